//! Finds the rows of a batch that an operator fails on.
//!
//! Guarantees: every row is either in the output or in the errors; a batch without failures is
//! evaluated once. With k failing rows of n it is evaluated about k log n times.
//! Left out: what happens to the failing rows.

use crate::{Failed, Hidden, OperatorId, RowError};
use arrow::array::RecordBatch;

pub(super) fn run(
    batch: &RecordBatch,
    hidden: Hidden,
    apply: &dyn Fn(&RecordBatch) -> Result<RecordBatch, Failed>,
    operator: &OperatorId,
    errors: &mut Vec<RowError>,
) -> Vec<RecordBatch> {
    let mut done = Vec::new();
    // Batches still to do, the next one last, so that rows keep their order.
    let mut open = vec![batch.clone()];
    while let Some(batch) = open.pop() {
        match apply(&batch) {
            Ok(output) => done.push(output),
            Err(failed) if batch.num_rows() <= 1 => {
                let origin = hidden.origin_of(&batch, 0);
                let Failed { expression, reason } = failed;
                let operator = operator.clone();
                errors.push(RowError { operator, expression, reason, origin, row: batch, hidden });
            }
            Err(_) => {
                let half = batch.num_rows() / 2;
                open.push(batch.slice(half, batch.num_rows() - half));
                open.push(batch.slice(0, half));
            }
        }
    }
    done
}
