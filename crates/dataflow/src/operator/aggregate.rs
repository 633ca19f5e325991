//! Groups that never end: `GROUP BY`, `SELECT DISTINCT`, aggregates without a key.
//!
//! Guarantees: after a tick, for each group that has changed, the old row at -1 (if it had one) and
//! the new one at +1, next to each other, once; nothing for a group whose row is the same. A group
//! whose rows were all taken back is gone. With a time to live a group that has had no rows for so
//! long is forgotten without a word: its row stays where it was given, the next row begins a new
//! group, rows taken back from none are passed over, and rows that are the same are given again.
//! Without keys there is no row before the first input.
//! Left out: computing keys and arguments: the planner puts a projection before.

mod worker;

pub(crate) use worker::AggregateWorker;

use arrow::datatypes::DataType;

/// `GROUP BY keys` with aggregates. Gives the keys, then one column for each call.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Columns of the input.
    pub keys: Vec<usize>,
    /// What is computed for each group.
    pub calls: Vec<AggregateCall>,
}

/// One aggregate in a `SELECT`.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// Which one.
    pub function: AggregateFunction,
    /// The input's column; `None` for `COUNT(*)`.
    pub argument: Option<usize>,
    /// `FILTER (WHERE …)`: a boolean column of the input.
    pub filter: Option<usize>,
    /// Equal values count once.
    pub distinct: bool,
    /// The result's type.
    pub output: DataType,
    /// As the statement has it, for messages.
    pub text: String,
}

/// The aggregates there are. Null arguments are passed over by all but `COUNT(*)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// How many rows, or values that are not null.
    Count,
    /// Null where there is no value. An integer or decimal that does not fit fails.
    Sum,
    /// Null where there is no value. Any type that has an order.
    Min,
    /// The same.
    Max,
    /// The sum by the count in the output's type: integers are cut towards zero, decimals
    /// rounded half up. Null where there is no value.
    Avg,
}
