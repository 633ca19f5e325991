//! Whether values are the same, column by column.
//!
//! Guarantees: null is null, NaN is NaN, and both zeros are one: as [`crate::state::hash`] has it.
//! Left out: values of different types.

use crate::DataflowError;
use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, GenericByteArray, GenericByteViewArray, PrimitiveArray,
    downcast_primitive, make_comparator,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, LargeBinaryType,
    LargeUtf8Type, StringViewType, Utf8Type,
};

/// Clears `equal[i]` where row `left_rows[i]` of `left` is not the value at `places[i]` (an array
/// of `right` and a row in it).
pub(crate) fn keep_equal(
    left: &dyn Array,
    left_rows: &[u32],
    right: &[&dyn Array],
    places: &[(usize, usize)],
    equal: &mut [bool],
) -> Result<(), DataflowError> {
    let pairs = Pairs { left_rows, places, equal };
    macro_rules! primitive {
        ($t:ty) => {
            pairs.primitives::<$t>(left, right)
        };
    }
    downcast_primitive! {
        left.data_type() => (primitive),
        DataType::Utf8 => pairs.bytes::<Utf8Type>(left, right),
        DataType::LargeUtf8 => pairs.bytes::<LargeUtf8Type>(left, right),
        DataType::Binary => pairs.bytes::<BinaryType>(left, right),
        DataType::LargeBinary => pairs.bytes::<LargeBinaryType>(left, right),
        DataType::Utf8View => pairs.views::<StringViewType>(left, right),
        DataType::BinaryView => pairs.views::<BinaryViewType>(left, right),
        _ => return pairs.others(left, right),
    }
    Ok(())
}

struct Pairs<'a> {
    left_rows: &'a [u32],
    places: &'a [(usize, usize)],
    equal: &'a mut [bool],
}

impl Pairs<'_> {
    fn primitives<T: ArrowPrimitiveType>(self, left: &dyn Array, right: &[&dyn Array]) {
        let left: &PrimitiveArray<T> = left.as_primitive();
        let right: Vec<&PrimitiveArray<T>> =
            right.iter().map(|array| array.as_primitive()).collect();
        let nulls = left.null_count() > 0 || right.iter().any(|array| array.null_count() > 0);
        self.run(
            |row, (array, place)| same(left.value(row), right[array].value(place)),
            nulls.then_some(|row, (array, place): (usize, usize)| {
                (left.is_null(row), right[array].is_null(place))
            }),
        );
    }

    fn bytes<T: ByteArrayType>(self, left: &dyn Array, right: &[&dyn Array])
    where
        T::Native: PartialEq,
    {
        let left: &GenericByteArray<T> = left.as_bytes();
        let right: Vec<&GenericByteArray<T>> = right.iter().map(|array| array.as_bytes()).collect();
        let nulls = left.null_count() > 0 || right.iter().any(|array| array.null_count() > 0);
        self.run(
            |row, (array, place)| left.value(row) == right[array].value(place),
            nulls.then_some(|row, (array, place): (usize, usize)| {
                (left.is_null(row), right[array].is_null(place))
            }),
        );
    }

    fn views<T: ByteViewType>(self, left: &dyn Array, right: &[&dyn Array])
    where
        T::Native: PartialEq,
    {
        let left: &GenericByteViewArray<T> = left.as_byte_view();
        let right: Vec<&GenericByteViewArray<T>> =
            right.iter().map(|array| array.as_byte_view()).collect();
        let nulls = left.null_count() > 0 || right.iter().any(|array| array.null_count() > 0);
        self.run(
            |row, (array, place)| left.value(row) == right[array].value(place),
            nulls.then_some(|row, (array, place): (usize, usize)| {
                (left.is_null(row), right[array].is_null(place))
            }),
        );
    }

    #[inline(always)]
    fn run(
        self,
        same: impl Fn(usize, (usize, usize)) -> bool,
        nulls: Option<impl Fn(usize, (usize, usize)) -> (bool, bool)>,
    ) {
        let pairs = self.left_rows.iter().zip(self.places).zip(self.equal);
        match nulls {
            None => {
                for ((row, place), equal) in pairs {
                    *equal &= same(*row as usize, *place);
                }
            }
            Some(nulls) => {
                for ((row, place), equal) in pairs {
                    *equal &= match nulls(*row as usize, *place) {
                        (false, false) => same(*row as usize, *place),
                        (left, right) => left == right,
                    };
                }
            }
        }
    }

    /// Booleans, lists, rows, maps: compared by what orders them.
    fn others(self, left: &dyn Array, right: &[&dyn Array]) -> Result<(), DataflowError> {
        let compare =
            right.iter().map(|array| make_comparator(left, *array, SortOptions::default()));
        let compare: Vec<_> = compare.collect::<Result<_, _>>()?;
        for ((row, (array, place)), equal) in self.left_rows.iter().zip(self.places).zip(self.equal)
        {
            *equal &= compare[*array](*row as usize, *place).is_eq();
        }
        Ok(())
    }
}

/// Whether two values are one to SQL's keys: a value that is not itself is NaN.
#[inline(always)]
#[allow(clippy::eq_op, reason = "the way to ask whether a value of any number type is NaN")]
fn same<T: Copy + PartialEq>(left: T, right: T) -> bool {
    left == right || left != left && right != right
}
