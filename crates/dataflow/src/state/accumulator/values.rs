//! The few types that values are kept as.
//!
//! Guarantees: the order of what is kept is the order of the values: floats become integers in
//! their order, all NaNs one above everything else, both zeros one.

use crate::DataflowError;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, Float64Array, Int64Array,
    NullBufferBuilder, PrimitiveArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    BinaryType, DataType, Decimal128Type, Float64Type, Int64Type, IntervalUnit, TimeUnit,
};
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

/// How values of some types are kept.
pub(super) trait Kept: Send + Sync + 'static {
    /// A value.
    type Owned: Borrow<Self::Value> + Ord + Hash + Clone + Send;
    /// A value in a column.
    type Value: ?Sized + Ord + Hash;
    /// A column of them.
    type Column;

    /// A column's values in this form.
    fn column(array: &ArrayRef) -> Result<Self::Column, DataflowError>;
    /// The value of a row that is not null.
    fn value(column: &Self::Column, row: usize) -> &Self::Value;
    /// Kept longer than its column.
    fn own(value: &Self::Value) -> Self::Owned;
    /// A column of a type.
    fn array<'a>(
        values: impl Iterator<Item = Option<&'a Self::Value>>,
        data_type: &DataType,
    ) -> Result<ArrayRef, DataflowError>;
    /// Bytes a value has beside its own size.
    fn extra(_value: &Self::Value) -> usize {
        0
    }
}

/// Integers, booleans, dates, times, floats.
pub(super) struct Ints;
/// Decimals.
pub(super) struct Decimals;
/// Text by its bytes, and bytes.
pub(super) struct Bytes;

impl Kept for Ints {
    type Owned = i64;
    type Value = i64;
    type Column = ScalarBuffer<i64>;

    fn column(array: &ArrayRef) -> Result<Self::Column, DataflowError> {
        if array.data_type().is_floating() {
            let floats = cast(array, &DataType::Float64)?;
            let values = floats.as_primitive::<Float64Type>().values().iter();
            return Ok(values.map(|value| in_order(*value)).collect::<Vec<_>>().into());
        }
        Ok(to_ints(array)?.values().clone())
    }

    #[inline(always)]
    fn value(column: &Self::Column, row: usize) -> &i64 {
        &column[row]
    }

    #[inline(always)]
    fn own(value: &i64) -> i64 {
        *value
    }

    fn array<'a>(
        values: impl Iterator<Item = Option<&'a i64>>,
        data_type: &DataType,
    ) -> Result<ArrayRef, DataflowError> {
        let ints = column::<Int64Type>(values.map(|value| Ok(value.copied())))?;
        if data_type.is_floating() {
            let floats: Float64Array = ints.unary(from_order);
            return Ok(cast(&floats, data_type)?);
        }
        ints_to(ints, data_type)
    }
}

impl Kept for Decimals {
    type Owned = i128;
    type Value = i128;
    type Column = ScalarBuffer<i128>;

    fn column(array: &ArrayRef) -> Result<Self::Column, DataflowError> {
        Ok(array.as_primitive::<Decimal128Type>().values().clone())
    }

    #[inline(always)]
    fn value(column: &Self::Column, row: usize) -> &i128 {
        &column[row]
    }

    #[inline(always)]
    fn own(value: &i128) -> i128 {
        *value
    }

    fn array<'a>(
        values: impl Iterator<Item = Option<&'a i128>>,
        data_type: &DataType,
    ) -> Result<ArrayRef, DataflowError> {
        let decimals = column::<Decimal128Type>(values.map(|value| Ok(value.copied())))?;
        Ok(Arc::new(decimals.with_data_type(data_type.clone())))
    }
}

impl Kept for Bytes {
    type Owned = Box<[u8]>;
    type Value = [u8];
    type Column = BinaryArray;

    fn column(array: &ArrayRef) -> Result<Self::Column, DataflowError> {
        Ok(cast(array, &DataType::Binary)?.as_bytes::<BinaryType>().clone())
    }

    #[inline(always)]
    fn value(column: &Self::Column, row: usize) -> &[u8] {
        column.value(row)
    }

    #[inline(always)]
    fn own(value: &[u8]) -> Box<[u8]> {
        value.into()
    }

    fn array<'a>(
        values: impl Iterator<Item = Option<&'a [u8]>>,
        data_type: &DataType,
    ) -> Result<ArrayRef, DataflowError> {
        let bytes: BinaryArray = values.collect();
        Ok(cast(&bytes, data_type)?)
    }

    fn extra(value: &[u8]) -> usize {
        value.len()
    }
}

/// Which of the three a type is kept as: calls the function with it.
macro_rules! kept_as {
    ($data_type:expr, $function:ident ( $($argument:expr),* )) => {
        match $data_type {
            arrow::datatypes::DataType::Decimal128(..) => {
                $function::<crate::state::accumulator::values::Decimals>($($argument),*)
            }
            arrow::datatypes::DataType::Utf8
            | arrow::datatypes::DataType::LargeUtf8
            | arrow::datatypes::DataType::Utf8View
            | arrow::datatypes::DataType::Binary
            | arrow::datatypes::DataType::LargeBinary
            | arrow::datatypes::DataType::BinaryView => {
                $function::<crate::state::accumulator::values::Bytes>($($argument),*)
            }
            _ => $function::<crate::state::accumulator::values::Ints>($($argument),*),
        }
    };
}
pub(super) use kept_as;

/// A float as an integer of the same order.
pub(super) fn in_order(value: f64) -> i64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    flip(value.to_bits() as i64)
}

fn from_order(ordered: i64) -> f64 {
    f64::from_bits(flip(ordered) as u64)
}

/// Negative floats are in falling order of their bits.
const fn flip(bits: i64) -> i64 {
    bits ^ ((((bits >> 63) as u64) >> 1) as i64)
}

/// A column of values; one without nulls has no mask.
#[inline]
pub(super) fn column<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Result<Option<T::Native>, DataflowError>>,
) -> Result<PrimitiveArray<T>, DataflowError> {
    let rows = values.size_hint().0;
    let (mut column, mut valid) = (Vec::with_capacity(rows), NullBufferBuilder::new(rows));
    for value in values {
        let value = value?;
        valid.append(value.is_some());
        column.push(value.unwrap_or_default());
    }
    Ok(PrimitiveArray::new(column.into(), valid.finish()))
}

/// Values that are integers underneath.
pub(super) fn to_ints(array: &ArrayRef) -> Result<Int64Array, DataflowError> {
    let array = match array.data_type() {
        DataType::Time32(_) | DataType::Interval(IntervalUnit::YearMonth) | DataType::Date32 => {
            &cast(array, &DataType::Int32)?
        }
        _ => array,
    };
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The other way round.
pub(super) fn ints_to(ints: Int64Array, data_type: &DataType) -> Result<ArrayRef, DataflowError> {
    let array: ArrayRef = match data_type {
        DataType::Time32(_) | DataType::Interval(IntervalUnit::YearMonth) | DataType::Date32 => {
            Arc::new(cast(&ints, &DataType::Int32)?)
        }
        // Past the cast, which would read seconds out of it.
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = ints.reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>();
            return Ok(Arc::new(times.with_timezone_opt(zone.clone())));
        }
        _ => Arc::new(ints),
    };
    Ok(cast(&array, data_type)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn floats_keep_their_order_and_come_back() {
        let sorted = [f64::NEG_INFINITY, -1.5, -0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        let ordered = sorted.map(in_order);
        assert!(ordered.is_sorted_by(|left, right| left < right));
        for (value, ordered) in sorted.iter().zip(ordered) {
            let back = from_order(ordered);
            assert!(back == *value || (back.is_nan() && value.is_nan()));
        }
        assert_eq!(in_order(-0.0), in_order(0.0));
        assert_eq!(in_order(-f64::NAN), in_order(f64::NAN));
    }
}
