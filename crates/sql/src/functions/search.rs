//! Looking into a text: `CHAR_LENGTH`, `POSITION`, `INSTR`, `LOCATE`, `STARTSWITH`, `ENDSWITH`,
//! `ASCII`, and what it is made of: `IS_ALPHA`, `IS_DIGIT`, `IS_DECIMAL`.
//!
//! Guarantees: positions are in characters and count from 1; 0 is nowhere.
//! Left out: patterns, which are `regexp`'s.

use super::function::{BOOLEAN, Function, INT, Takes};
use crate::typing::cast::{Decimal, parse_decimal};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let two = &[Takes::Text; 2];
    vec![
        Function::new("char_length", &[Takes::Text], INT, |call| {
            let text = call.text(0);
            call.ints(|row| text.get(row).and_then(|text| count(text).try_into().ok()))
        })
        .alias("character_length")
        .shared(),
        Function::new("position", two, INT, |call| {
            let (what, text) = (call.text(0), call.text(1));
            call.ints(|row| find(text.get(row)?, what.get(row)?, 1, 1))
        })
        .shared(),
        instr(),
        Function::new("locate", &[Takes::Text, Takes::Text, Takes::Whole], INT, |call| {
            let (what, text) = (call.text(0), call.text(1));
            let start = (call.len() > 2).then(|| call.whole(2));
            call.ints(|row| {
                let start = start.map_or(Some(1), |start| start.get(row))?;
                find(text.get(row)?, what.get(row)?, start.max(1), 1)
            })
        })
        .optional(1)
        .shared(),
        Function::new("startswith", two, BOOLEAN, |call| {
            let (text, start) = (call.text(0), call.text(1));
            call.booleans(|row| Some(text.get(row)?.starts_with(start.get(row)?)))
        })
        .shared(),
        Function::new("endswith", two, BOOLEAN, |call| {
            let (text, end) = (call.text(0), call.text(1));
            call.booleans(|row| Some(text.get(row)?.ends_with(end.get(row)?)))
        })
        .shared(),
        // The first byte, signed as Java's are.
        Function::new("ascii", &[Takes::Text], INT, |call| {
            let text = call.text(0);
            call.ints(|row| {
                let first = text.get(row)?.bytes().next();
                Some(first.map_or(0, |byte| i32::from(byte.cast_signed())))
            })
        })
        .shared(),
        Function::new("is_alpha", &[Takes::Text], BOOLEAN, |call| {
            let text = call.text(0);
            call.booleans(|row| Some(consists(text.get(row).unwrap_or(""), char::is_alphabetic)))
        })
        .shared(),
        Function::new("is_digit", &[Takes::Text], BOOLEAN, |call| {
            let text = call.text(0);
            call.booleans(|row| Some(consists(text.get(row).unwrap_or(""), char::is_numeric)))
        })
        .shared(),
        Function::new("is_decimal", &[Takes::Text], BOOLEAN, |call| {
            let text = call.text(0);
            call.booleans(|row| {
                Some(parse_decimal(text.get(row).unwrap_or(""), 38, 0) != Decimal::Malformed)
            })
        })
        .shared(),
    ]
}

/// `INSTR(text, what [, start [, occurrence]])`; a negative start looks backwards.
fn instr() -> Arc<ScalarUDF> {
    let takes = &[Takes::Text, Takes::Text, Takes::Whole, Takes::Whole];
    Function::new("instr", takes, INT, |call| {
        let (text, what) = (call.text(0), call.text(1));
        let start = (call.len() > 2).then(|| call.whole(2));
        let occurrence = (call.len() > 3).then(|| call.whole(3));
        call.ints(|row| {
            let start = start.map_or(Some(1), |start| start.get(row))?;
            let occurrence = occurrence.map_or(Some(1), |occurrence| occurrence.get(row))?;
            find(text.get(row)?, what.get(row)?, start, occurrence)
        })
    })
    .optional(2)
    .shared()
}

fn consists(text: &str, of: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(of)
}

fn count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Where `what` is for the `occurrence`-th time, looking from `start`.
fn find(text: &str, what: &str, start: i64, occurrence: i64) -> Option<i32> {
    let place = |byte: usize| i32::try_from(count(&text[..byte]) + 1).ok();
    let nth = usize::try_from(occurrence.max(1) - 1).ok()?;
    let byte_of = |index: usize| {
        if text.is_ascii() {
            (index <= text.len()).then_some(index)
        } else {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(index)
        }
    };
    let mut from = match start {
        0 => return Some(0),
        1.. => match byte_of(usize::try_from(start - 1).ok()?) {
            Some(from) => from,
            None => return Some(0),
        },
        _ => {
            let last = i64::try_from(count(text)).ok()? + start;
            let Some(last) = usize::try_from(last).ok().and_then(byte_of) else { return Some(0) };
            let places = text.match_indices(what).map(|(at, _)| at).filter(|at| *at <= last);
            let places: Vec<_> = places.collect();
            let found = places.len().checked_sub(nth + 1).map(|index| places[index]);
            return found.map_or(Some(0), place);
        }
    };
    for _ in 0..nth {
        let Some(at) = text[from..].find(what) else { return Some(0) };
        from += at + text[from + at..].chars().next().map_or(1, char::len_utf8);
        if from > text.len() {
            return Some(0);
        }
    }
    text[from..].find(what).map_or(Some(0), |at| place(from + at))
}
