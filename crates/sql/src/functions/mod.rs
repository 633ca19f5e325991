//! Scalar functions that DataFusion has not, or has under another meaning.
//!
//! Guarantees: every function is immutable, so a pipeline that is replayed gives the same rows;
//! [`flink`] holds Flink 2.3's meaning under Flink's names.
//! Left out: functions of time and chance, which the streaming planner refuses.

mod base64;
mod branch;
mod calendar;
mod case;
mod checked;
mod compose;
pub(crate) mod function;
mod hash;
mod json;
mod moment;
mod nested;
mod number;
mod pad;
mod pattern;
mod regexp;
mod search;
mod split_index;
mod substring;
mod text;
mod trim;
mod url;

pub use checked::CheckedArithmetic;
pub use nested::numbered_elements;

use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions that both dialects have, by the order of their names.
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

/// The functions of the `flink` dialect: they take the place of DataFusion's of the same name.
pub fn flink() -> Vec<Arc<ScalarUDF>> {
    let families: [fn() -> Vec<Arc<ScalarUDF>>; 15] = [
        all,
        branch::all,
        calendar::all,
        case::all,
        compose::all,
        hash::all,
        moment::all,
        nested::all,
        number::all,
        pad::all,
        regexp::all,
        search::all,
        substring::all,
        trim::all,
        url::all,
    ];
    families.into_iter().flat_map(|family| family()).collect()
}
