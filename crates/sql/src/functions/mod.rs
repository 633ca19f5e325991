//! Flink's scalar functions that DataFusion has not, or has under another meaning.
//!
//! Guarantees: every function is immutable, so a pipeline that is replayed gives the same rows.
//! Left out: functions of time and chance, which the streaming planner refuses; `IF`, which
//! `CASE` says as well.

mod base64;
mod checked;
mod json;
mod split_index;
mod text;

pub use checked::CheckedArithmetic;

use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Every function, by the order of their names.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        base64::from_base64(),
        json::json_exists(),
        json::json_query(),
        json::json_value(),
        split_index::split_index(),
        base64::to_base64(),
    ]
}
