//! `TRIM`, `BTRIM`, `LTRIM`, `RTRIM`: `TRIM(LEADING x FROM s)` is planned as `LTRIM(s, x)`.
//!
//! Guarantees: any of the characters given goes, in any order; a space where none is given.
//! Left out: other white space than the space, which stays, as in Flink.

use super::function::{Function, Kernel, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let both: Kernel = |call| {
        let (text, set) = (call.text(0), (call.len() > 1).then(|| call.text(1)));
        call.slices(|row| {
            let set = set.map_or(Some(" "), |set| set.get(row))?;
            Some(text.get(row)?.trim_matches(|letter| set.contains(letter)))
        })
    };
    let left: Kernel = |call| {
        let (text, set) = (call.text(0), (call.len() > 1).then(|| call.text(1)));
        call.slices(|row| {
            let set = set.map_or(Some(" "), |set| set.get(row))?;
            Some(text.get(row)?.trim_start_matches(|letter| set.contains(letter)))
        })
    };
    let right: Kernel = |call| {
        let (text, set) = (call.text(0), (call.len() > 1).then(|| call.text(1)));
        call.slices(|row| {
            let set = set.map_or(Some(" "), |set| set.get(row))?;
            Some(text.get(row)?.trim_end_matches(|letter| set.contains(letter)))
        })
    };
    vec![
        Function::new("btrim", &[Takes::Text; 2], TEXT, both).optional(1).alias("trim").shared(),
        Function::new("ltrim", &[Takes::Text; 2], TEXT, left).optional(1).shared(),
        Function::new("rtrim", &[Takes::Text; 2], TEXT, right).optional(1).shared(),
    ]
}
