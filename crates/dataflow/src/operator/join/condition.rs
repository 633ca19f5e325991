//! What else must hold for a pair besides its key.
//!
//! Guarantees: false and null are no match; a pair that the condition fails on is no match either
//! and is found, however many others are beside it.

use crate::Named;
use arrow::array::{AsArray, BooleanArray, RecordBatch};

/// A pair that the condition could not be evaluated for.
pub(super) struct FailedPair {
    /// Its place among the pairs.
    pub(super) place: usize,
    pub(super) reason: String,
}

/// Which pairs the condition is true for.
pub(super) fn holds(condition: &Named, pairs: &RecordBatch) -> (Vec<bool>, Vec<FailedPair>) {
    let mut kept = Vec::with_capacity(pairs.num_rows());
    let mut failed = Vec::new();
    // What is still to do, the next last.
    let mut open = vec![pairs.clone()];
    while let Some(batch) = open.pop() {
        match evaluate(condition, &batch) {
            Ok(values) => kept.extend(values.iter().map(|value| value == Some(true))),
            Err(reason) if batch.num_rows() <= 1 => {
                failed.push(FailedPair { place: kept.len(), reason });
                kept.push(false);
            }
            Err(_) => {
                let half = batch.num_rows() / 2;
                open.push(batch.slice(half, batch.num_rows() - half));
                open.push(batch.slice(0, half));
            }
        }
    }
    (kept, failed)
}

fn evaluate(condition: &Named, batch: &RecordBatch) -> Result<BooleanArray, String> {
    let values = condition.evaluate(batch).map_err(|failed| failed.reason)?;
    let values = values.as_boolean_opt().cloned();
    values
        .filter(|values| values.len() == batch.num_rows())
        .ok_or_else(|| "it is no BOOLEAN".into())
}
