//! Columns in the form their keys are compared in.
//!
//! Guarantees: two values of a column are one key exactly where their words, or their bytes, are
//! the same: all NaNs are one, and both zeros.

use crate::DataflowError;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Float32Type, Float64Type};
use std::sync::Arc;

/// Whether a type's values fit a word each.
pub(super) fn is_word(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => true,
        DataType::Float16 => false,
        other => other.primitive_width().is_some_and(|width| width <= 8),
    }
}

/// A word for each value, or `None` where the type's values do not fit one. Those of nulls are
/// anything.
pub(super) fn words(column: &ArrayRef) -> Option<ScalarBuffer<u64>> {
    match column.data_type() {
        DataType::Boolean => {
            Some(column.as_boolean().values().iter().map(u64::from).collect::<Vec<_>>().into())
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values().iter();
            Some(values.map(|value| canonical_f64(*value).to_bits()).collect::<Vec<_>>().into())
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values().iter();
            let bits = values.map(|value| u64::from(canonical_f32(*value).to_bits()));
            Some(bits.collect::<Vec<_>>().into())
        }
        other if is_word(other) => {
            let data = column.to_data();
            let (buffer, offset, len) = (data.buffers()[0].clone(), data.offset(), data.len());
            Some(match other.primitive_width()? {
                8 => ScalarBuffer::new(buffer, offset, len),
                4 => widen(ScalarBuffer::<u32>::new(buffer, offset, len)),
                2 => widen(ScalarBuffer::<u16>::new(buffer, offset, len)),
                _ => widen(ScalarBuffer::<u8>::new(buffer, offset, len)),
            })
        }
        _ => None,
    }
}

fn widen<T: ArrowNativeType + Into<u64>>(values: ScalarBuffer<T>) -> ScalarBuffer<u64> {
    values.iter().map(|value| (*value).into()).collect::<Vec<u64>>().into()
}

/// The column that words came from.
pub(super) fn from_words(
    words: Vec<u64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    let len = words.len();
    let buffer = match data_type {
        DataType::Boolean => {
            let bits: arrow::buffer::BooleanBuffer = words.iter().map(|word| *word != 0).collect();
            bits.into_inner()
        }
        other => match other.primitive_width() {
            Some(8) => Buffer::from_vec(words),
            Some(4) => words.iter().map(|word| *word as u32).collect(),
            Some(2) => words.iter().map(|word| *word as u16).collect(),
            _ => words.iter().map(|word| *word as u8).collect(),
        },
    };
    let data = ArrayData::builder(data_type.clone()).len(len).add_buffer(buffer).nulls(nulls);
    Ok(make_array(data.build()?))
}

/// The column with one NaN and one zero, within lists and rows too.
pub(super) fn canonical(column: &ArrayRef) -> Result<ArrayRef, DataflowError> {
    Ok(match column.data_type() {
        DataType::Float64 => {
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(canonical_f64))
        }
        DataType::Float32 => {
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(canonical_f32))
        }
        _ => {
            let data = column.to_data();
            if data.child_data().is_empty() {
                return Ok(column.clone());
            }
            let children = data
                .child_data()
                .iter()
                .map(|child| canonical(&make_array(child.clone())).map(|child| child.to_data()));
            let children = children.collect::<Result<Vec<_>, _>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
    })
}

fn canonical_f64(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

fn canonical_f32(value: f32) -> f32 {
    if value.is_nan() {
        f32::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}
