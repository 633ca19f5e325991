//! Computes columns from columns, row by row.
//!
//! Guarantees: a null in a column that is `NOT NULL` fails that row.

use super::{Failed, Named};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// `SELECT`.
#[derive(Debug, Clone)]
pub struct Project {
    /// One for each visible column.
    pub expressions: Vec<Named>,
    /// The columns, the two hidden ones last.
    pub schema: SchemaRef,
}

impl Project {
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failed> {
        let mut columns = Vec::with_capacity(self.expressions.len() + 2);
        for (named, field) in self.expressions.iter().zip(self.schema.fields()) {
            let column = named.evaluate(batch)?;
            if !field.is_nullable() && column.logical_null_count() > 0 {
                let reason = format!("column {:?} is NOT NULL", field.name());
                return Err(Failed::new(&named.text, &reason));
            }
            columns.push(column);
        }
        let hidden = batch.num_columns() - 2;
        columns.extend_from_slice(&batch.columns()[hidden..]);
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Failed::new("SELECT", &error.to_string()))
    }
}
