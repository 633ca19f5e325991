//! The type of a value that comes from several places: `CASE`, `COALESCE`, `IF`, `GREATEST`.
//!
//! Guarantees: Flink 2.3's answer, or none where Flink refuses to mix.
//! Left out: set operations, which DataFusion coerces.

use super::decimal::Digits;
use arrow_schema::{DataType, Field, Fields};
use std::sync::Arc;

/// The type all of `types` are cast to; `None` where they do not mix.
pub fn common_type<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let mut types = types.into_iter();
    let first = types.next()?.clone();
    types.try_fold(first, |so_far, next| pair(&so_far, next))
}

fn pair(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, Null, Timestamp};
    if a == b {
        return Some(a.clone());
    }
    if is_text(a) && is_text(b) {
        return Some(DataType::Utf8);
    }
    match (a, b) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Timestamp(..), Timestamp(..)) => Some(a.clone()),
        (Date32, Timestamp(..)) => Some(b.clone()),
        (Timestamp(..), Date32) => Some(a.clone()),
        (Float64, other) | (other, Float64) if is_number(other) => Some(Float64),
        // As in Flink a FLOAT stays one beside integers, and widens beside decimals.
        (Float32, other) | (other, Float32) if is_number(other) => Some(match other {
            DataType::Decimal128(..) => Float64,
            _ => Float32,
        }),
        (DataType::List(x), DataType::List(y)) => {
            let element = pair(x.data_type(), y.data_type())?;
            Some(DataType::List(Arc::new(Field::new_list_field(element, true))))
        }
        (DataType::Struct(x), DataType::Struct(y)) if x.len() == y.len() => {
            let fields = x.iter().zip(y).map(|(x, y)| {
                let data_type = pair(x.data_type(), y.data_type())?;
                Some(Field::new(x.name(), data_type, x.is_nullable() || y.is_nullable()))
            });
            Some(DataType::Struct(fields.collect::<Option<Fields>>()?))
        }
        _ => {
            let (x, y) = (Digits::of(a)?, Digits::of(b)?);
            Some(match (a, b) {
                (DataType::Decimal128(..), _) | (_, DataType::Decimal128(..)) => {
                    x.either(y).data_type()
                }
                _ if x.precision >= y.precision => a.clone(),
                _ => b.clone(),
            })
        }
    }
}

/// `STRING` in any of Arrow's forms.
pub(crate) const fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether Flink calculates with it.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64) || Digits::of(data_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType::{
        Boolean, Decimal128, Float32, Float64, Int16, Int32, Int64, Utf8,
    };

    #[test]
    fn branches_meet_where_flink_lets_them() {
        let cases = [
            (Int32, Float64, Some(Float64)),
            (Int32, Decimal128(10, 2), Some(Decimal128(12, 2))),
            (Float32, Int64, Some(Float32)),
            (Float32, Decimal128(10, 2), Some(Float64)),
            (Int16, Int64, Some(Int64)),
            (DataType::Null, Utf8, Some(Utf8)),
            (Int32, Utf8, None),
            (Boolean, Int32, None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(common_type([&a, &b]), expected, "{a} and {b}");
            assert_eq!(common_type([&b, &a]), expected, "{b} and {a}");
        }
    }
}
