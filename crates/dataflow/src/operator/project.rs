//! Computes columns from columns, row by row.
//!
//! Guarantees: a null in a column that is `NOT NULL` fails that row.

use crate::{Failed, Hidden, Named};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// `SELECT`.
#[derive(Debug, Clone)]
pub struct Project {
    /// One for each visible column.
    pub expressions: Vec<Named>,
    /// The columns, the input's hidden ones last.
    pub schema: SchemaRef,
}

impl Project {
    pub(crate) fn apply(&self, batch: &RecordBatch, input: Hidden) -> Result<RecordBatch, Failed> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (named, field) in self.expressions.iter().zip(self.schema.fields()) {
            let column = named.evaluate(batch)?;
            if !field.is_nullable() && column.logical_null_count() > 0 {
                let reason = format!("column {:?} is NOT NULL", field.name());
                return Err(Failed::new(&named.text, &reason));
            }
            columns.push(column);
        }
        columns.extend_from_slice(&batch.columns()[input.visible(batch)..]);
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Failed::new("SELECT", &error.to_string()))
    }
}
