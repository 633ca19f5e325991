//! Texts out of texts: `CONCAT`, `CONCAT_WS`, `REPLACE`, `REVERSE`, `TRANSLATE`, `CHR`.
//!
//! Guarantees: null where an argument is null, but `CONCAT_WS` leaves nulls out.
//! Left out: `||`, which is an operator.

use super::function::{Function, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        concat(),
        concat_ws(),
        Function::new("replace", &[Takes::Text; 3], TEXT, |call| {
            let (text, from, to) = (call.text(0), call.text(1), call.text(2));
            call.texts(|row, out| {
                let (Some(text), Some(from), Some(to)) =
                    (text.get(row), from.get(row), to.get(row))
                else {
                    return Ok(false);
                };
                let mut rest = 0;
                for (at, _) in text.match_indices(from) {
                    out.push_str(&text[rest..at]);
                    out.push_str(to);
                    rest = at + from.len();
                }
                out.push_str(&text[rest..]);
                Ok(true)
            })
        })
        .shared(),
        Function::new("reverse", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| {
                Ok(text.get(row).map(|text| out.extend(text.chars().rev())).is_some())
            })
        })
        .shared(),
        translate(),
        // The character of the lowest byte.
        Function::new("chr", &[Takes::Whole], TEXT, |call| {
            let code = call.whole(0);
            call.texts(|row, out| {
                let Some(code) = code.get(row) else { return Ok(false) };
                if code >= 0 {
                    out.push(char::from(code.to_le_bytes()[0]));
                }
                Ok(true)
            })
        })
        .shared(),
    ]
}

fn concat() -> Arc<ScalarUDF> {
    Function::new("concat", &[Takes::Text], TEXT, |call| {
        let texts: Vec<_> = (0..call.len()).map(|index| call.text(index)).collect();
        call.texts(|row, out| {
            for text in &texts {
                let Some(text) = text.get(row) else { return Ok(false) };
                out.push_str(text);
            }
            Ok(true)
        })
    })
    .repeats()
    .shared()
}

fn concat_ws() -> Arc<ScalarUDF> {
    Function::new("concat_ws", &[Takes::Text], TEXT, |call| {
        let separator = call.text(0);
        let texts: Vec<_> = (1..call.len()).map(|index| call.text(index)).collect();
        call.texts(|row, out| {
            let Some(separator) = separator.get(row) else { return Ok(false) };
            let mut first = true;
            for text in texts.iter().filter_map(|text| text.get(row)) {
                if !first {
                    out.push_str(separator);
                }
                first = false;
                out.push_str(text);
            }
            Ok(true)
        })
    })
    .repeats()
    .shared()
}

/// `TRANSLATE(text, from, to)`: each character of `from` becomes the one at its place in `to`, or
/// goes where there is none.
fn translate() -> Arc<ScalarUDF> {
    Function::new("translate", &[Takes::Text; 3], TEXT, |call| {
        let (text, from, to) = (call.text(0), call.text(1), call.text(2));
        call.texts(|row, out| {
            let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row))
            else {
                return Ok(false);
            };
            out.extend(text.chars().filter_map(|letter| {
                match from.chars().position(|one| one == letter) {
                    None => Some(letter),
                    Some(place) => to.chars().nth(place),
                }
            }));
            Ok(true)
        })
    })
    .shared()
}
