//! `SPLIT_INDEX(text, delimiter, index)`: the part at `index`, counted from 0.
//!
//! Guarantees: null where there is no such part or the index is negative.
//! Left out: a delimiter given as a code point.

use super::text::{Body, function};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn split_index() -> Arc<ScalarUDF> {
    function(
        "split_index",
        3,
        Body::Text(|row| {
            let index: i64 = row[2].parse().map_err(|_| format!("{:?} is no index", row[2]))?;
            let part =
                usize::try_from(index).ok().and_then(|index| row[0].split(row[1]).nth(index));
            Ok(part.map(str::to_string))
        }),
    )
}
