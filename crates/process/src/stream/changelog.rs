//! Rows with weights as a changelog: `+I[be, 1]`, `-U[be, 1]`, `+U[be, 2]`, `-D[be, 2]`.
//!
//! Guarantees: applied in order, the lines leave the table that the rows leave. A row taken back
//! right before another of the same key is an update.
//! Left out: the text of a value, which is the language's.

use super::plan::SinkPlan;
use crate::view::View;
use arrow::array::{Array, RecordBatch};
use arrow::row::{RowConverter, SortField};
use tradewind_dataflow::Hidden;
use tradewind_sql::text::{RowKind, write_row};

/// Makes changelog lines of one sink's rows.
#[derive(Debug)]
pub struct Changelog {
    hidden: Hidden,
    key: Vec<usize>,
}

impl Changelog {
    /// For the rows of a sink.
    pub fn new(plan: &SinkPlan) -> Self {
        Self { hidden: plan.hidden, key: plan.key.clone() }
    }

    /// For the changes of a view.
    pub fn of_view(view: &View) -> Self {
        Self { hidden: Hidden { weight: true, ..Hidden::NONE }, key: view.key.clone() }
    }

    /// A batch's lines, in order.
    pub fn lines(&self, batch: &RecordBatch) -> Vec<String> {
        let columns = self.hidden.visible(batch);
        let text = |(row, kind): (usize, RowKind)| {
            let mut line = String::new();
            write_row(&mut line, kind, batch, columns, row);
            line
        };
        self.kinds(batch).into_iter().map(text).collect()
    }

    /// For each line its row and its kind.
    pub fn kinds(&self, batch: &RecordBatch) -> Vec<(usize, RowKind)> {
        let Some(weights) = self.hidden.weights(batch) else {
            return (0..batch.num_rows()).map(|row| (row, RowKind::Insert)).collect();
        };
        let weights = weights.values();
        let same_key = self.same_key_as_next(batch);
        let mut kinds = Vec::with_capacity(weights.len());
        let mut updated = false;
        for row in 0..weights.len() {
            let updates = weights[row] == -1 && weights.get(row + 1) == Some(&1) && same_key[row];
            let kind = match weights[row] {
                _ if updates => RowKind::UpdateBefore,
                _ if updated => RowKind::UpdateAfter,
                weight if weight > 0 => RowKind::Insert,
                _ => RowKind::Delete,
            };
            updated = updates;
            let times = usize::try_from(weights[row].unsigned_abs()).unwrap_or(usize::MAX);
            kinds.extend(std::iter::repeat_n((row, kind), times));
        }
        kinds
    }

    /// Whether each row has the key of the row after it.
    fn same_key_as_next(&self, batch: &RecordBatch) -> Vec<bool> {
        let columns: Vec<_> = self.key.iter().map(|key| batch.column(*key).clone()).collect();
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let rows = RowConverter::new(fields.collect())
            .and_then(|converter| converter.convert_columns(&columns));
        match rows {
            Ok(rows) if !columns.is_empty() => (0..batch.num_rows())
                .map(|row| row + 1 < batch.num_rows() && rows.row(row) == rows.row(row + 1))
                .collect(),
            // Rows without a key are replaced by what stands next to them.
            _ => vec![true; batch.num_rows()],
        }
    }
}
