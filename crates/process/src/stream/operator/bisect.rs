//! Finds the rows of a batch that an operator fails on.
//!
//! Guarantees: every row is either in the output or in the errors; a batch without failures is
//! evaluated once. With k failing rows of n it is evaluated about k log n times.
//! Left out: what happens to the failing rows.

use super::{Failed, OperatorId};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use tradewind_types::{Offset, PartitionId};

/// A row that could not be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The record it comes from.
    pub partition: PartitionId,
    /// The same.
    pub offset: Offset,
    /// Which operator failed.
    pub operator: OperatorId,
    /// On which expression.
    pub expression: String,
    /// Why.
    pub reason: String,
}

pub(super) fn run(
    batch: &RecordBatch,
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
                let (partition, offset) = position(&batch);
                let Failed { expression, reason } = failed;
                let operator = operator.clone();
                errors.push(RowError { partition, offset, operator, expression, reason });
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

/// Where the first row comes from.
fn position(batch: &RecordBatch) -> (PartitionId, Offset) {
    let columns = batch.num_columns();
    let partition = batch.column(columns - 2).as_primitive::<Int32Type>();
    let offset = batch.column(columns - 1).as_primitive::<Int64Type>();
    match partition.is_empty() {
        true => (-1, -1),
        false => (partition.value(0), offset.value(0)),
    }
}
