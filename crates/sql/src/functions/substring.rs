//! `SUBSTRING`, `LEFT`, `RIGHT` and `OVERLAY`.
//!
//! Guarantees: positions are in characters and count from 1; a negative one counts from the end.
//! Left out: nothing.

use super::function::{Function, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![substring(), left(), right(), overlay()]
}

/// `SUBSTRING(text, start [, length])`; null where the length is negative.
fn substring() -> Arc<ScalarUDF> {
    Function::new("substring", &[Takes::Text, Takes::Whole, Takes::Whole], TEXT, |call| {
        let (text, start) = (call.text(0), call.whole(1));
        let length = (call.len() > 2).then(|| call.whole(2));
        call.slices(|row| {
            let length = length.map_or(Some(i64::MAX), |length| length.get(row))?;
            slice(text.get(row)?, start.get(row)?, length)
        })
    })
    .optional(1)
    .alias("substr")
    .shared()
}

fn slice(text: &str, start: i64, length: i64) -> Option<&str> {
    if length < 0 {
        return None;
    }
    let first = match start {
        0 => 0,
        1.. => start - 1,
        // As in Flink there is nothing from before the first character on.
        _ => i64::try_from(text.chars().count()).ok()? + start,
    };
    if first < 0 {
        return Some("");
    }
    let end = first.saturating_add(length);
    let (first, end) = (usize::try_from(first).unwrap_or(0), usize::try_from(end).unwrap_or(0));
    if text.is_ascii() {
        let end = end.min(text.len());
        return Some(text.get(first..end).unwrap_or(""));
    }
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    Some(if first >= end { "" } else { &text[at(first)..at(end)] })
}

/// `LEFT(text, length)`; nothing where the length is negative.
fn left() -> Arc<ScalarUDF> {
    Function::new("left", &[Takes::Text, Takes::Whole], TEXT, |call| {
        let (text, length) = (call.text(0), call.whole(1));
        call.slices(|row| slice(text.get(row)?, 1, length.get(row)?.max(0)))
    })
    .shared()
}

fn right() -> Arc<ScalarUDF> {
    Function::new("right", &[Takes::Text, Takes::Whole], TEXT, |call| {
        let (text, length) = (call.text(0), call.whole(1));
        call.slices(|row| {
            let (text, length) = (text.get(row)?, length.get(row)?);
            match length {
                ..=0 => Some(""),
                _ if length >= text.len() as i64 => Some(text),
                _ => {
                    let count = i64::try_from(text.chars().count()).ok()?;
                    slice(text, (count - length).max(0) + 1, i64::MAX)
                }
            }
        })
    })
    .shared()
}

/// `OVERLAY(text PLACING other FROM start [FOR length])`: `length` is that of `other` where it is
/// left out; a start that is not in the text leaves it as it is.
fn overlay() -> Arc<ScalarUDF> {
    let takes = &[Takes::Text, Takes::Text, Takes::Whole, Takes::Whole];
    Function::new("overlay", takes, TEXT, |call| {
        let (text, other, start) = (call.text(0), call.text(1), call.whole(2));
        let length = (call.len() > 3).then(|| call.whole(3));
        call.texts(|row, out| {
            let (Some(text), Some(other), Some(start)) =
                (text.get(row), other.get(row), start.get(row))
            else {
                return Ok(false);
            };
            let length = match length.map(|length| length.get(row)) {
                None => other.chars().count() as i64,
                Some(Some(length)) => length,
                Some(None) => return Ok(false),
            };
            let count = text.chars().count() as i64;
            if start <= 0 || start > count {
                out.push_str(text);
                return Ok(true);
            }
            out.push_str(slice(text, 1, start - 1).unwrap_or(""));
            out.push_str(other);
            // As in Flink nothing of the rest is kept where the length is not above zero.
            if length > 0 && start + length <= count {
                out.push_str(slice(text, start + length, i64::MAX).unwrap_or(""));
            }
            Ok(true)
        })
    })
    .optional(1)
    .shared()
}
