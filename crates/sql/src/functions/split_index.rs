//! `SPLIT_INDEX(text, delimiter, index)`: the part at `index`, counted from 0.
//!
//! Guarantees: null where there is no such part, the index is negative or the text is empty; a
//! delimiter that is a number is the character of that code.
//! Left out: patterns.

use super::function::{Function, TEXT, Takes};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use datafusion::arrow::compute;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn split_index() -> Arc<ScalarUDF> {
    Function::new("split_index", &[Takes::Text, Takes::Any, Takes::Whole], TEXT, |call| {
        let (text, index) = (call.text(0), call.whole(2));
        let given = call.column(1);
        let is_code = given.data_type().is_integer();
        let to = if is_code { DataType::Int64 } else { DataType::Utf8 };
        let given = compute::cast(given, &to).map_err(|error| error.to_string())?;
        let code = |row: usize| {
            let code = given.as_primitive::<arrow_array::types::Int64Type>().value(row);
            u32::try_from(code).ok().and_then(char::from_u32)
        };
        let mut letter = [0; 4];
        call.texts(|row, out| {
            let at = call.row_of(1, row);
            let (Some(text), Some(index)) = (text.get(row), index.get(row)) else {
                return Ok(false);
            };
            if given.is_null(at) {
                return Ok(false);
            }
            let delimiter = match is_code {
                true => match code(at) {
                    Some(code) => &*code.encode_utf8(&mut letter),
                    None => return Ok(false),
                },
                false => given.as_string::<i32>().value(at),
            };
            let part = part(text, delimiter, index);
            Ok(part.map(|part| out.push_str(part)).is_some())
        })
    })
    .shared()
}

fn part<'a>(text: &'a str, delimiter: &str, index: i64) -> Option<&'a str> {
    let index = usize::try_from(index).ok()?;
    if text.is_empty() {
        return None;
    }
    if delimiter.is_empty() {
        return (index == 0).then_some(text);
    }
    text.split(delimiter).nth(index)
}
