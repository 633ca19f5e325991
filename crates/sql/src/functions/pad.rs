//! `LPAD`, `RPAD` and `REPEAT`.
//!
//! Guarantees: lengths are in characters; a negative length, or padding with nothing, is null.
//! Left out: texts of more than [`LENGTH_MAX`] characters, which are an error of their row.

use super::function::{Call, Function, TEXT, Takes};
use arrow_array::ArrayRef;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Characters of a text made here; one row must not take the memory of all.
const LENGTH_MAX: i64 = 16 << 20;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let takes = &[Takes::Text, Takes::Whole, Takes::Text];
    vec![
        Function::new("lpad", takes, TEXT, |call| pad(call, true)).shared(),
        Function::new("rpad", takes, TEXT, |call| pad(call, false)).shared(),
        Function::new("repeat", &[Takes::Text, Takes::Whole], TEXT, |call| {
            let (text, times) = (call.text(0), call.whole(1));
            call.texts(|row, out| {
                let (Some(text), Some(times)) = (text.get(row), times.get(row)) else {
                    return Ok(false);
                };
                let times = times.max(0);
                check(times.saturating_mul(text.len() as i64))?;
                (0..times).for_each(|_| out.push_str(text));
                Ok(true)
            })
        })
        .shared(),
    ]
}

fn check(length: i64) -> Result<(), String> {
    match length > LENGTH_MAX {
        true => Err(format!("a text of {length} characters is more than {LENGTH_MAX}")),
        false => Ok(()),
    }
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef, String> {
    let (text, length, padding) = (call.text(0), call.whole(1), call.text(2));
    call.texts(|row, out| {
        let (Some(text), Some(length), Some(padding)) =
            (text.get(row), length.get(row), padding.get(row))
        else {
            return Ok(false);
        };
        check(length)?;
        let Ok(length) = usize::try_from(length) else { return Ok(false) };
        if padding.is_empty() {
            return Ok(false);
        }
        let missing = length.saturating_sub(text.chars().count());
        if left {
            out.extend(padding.chars().cycle().take(missing));
        }
        out.extend(text.chars().take(length));
        if !left {
            out.extend(padding.chars().cycle().take(missing));
        }
        Ok(true)
    })
}
