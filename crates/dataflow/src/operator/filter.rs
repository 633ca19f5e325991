//! Keeps the rows a predicate is true for; false and null are left out.

use crate::{Failed, Named};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;

/// `WHERE`.
#[derive(Debug, Clone)]
pub struct Filter {
    /// A boolean.
    pub predicate: Named,
}

impl Filter {
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failed> {
        let kept = self.predicate.evaluate(batch)?;
        let kept = kept.as_boolean_opt();
        let kept = kept.ok_or_else(|| Failed::new(&self.predicate.text, "it is no BOOLEAN"))?;
        filter_record_batch(batch, kept)
            .map_err(|error| Failed::new(&self.predicate.text, &error.to_string()))
    }
}
