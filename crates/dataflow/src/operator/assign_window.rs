//! Puts each row into its windows: `TABLE(TUMBLE(…))` and `TABLE(HOP(…))`.
//!
//! Guarantees: a row comes out once for each window it lies in, windows in order; a row without a
//! time lies in none and fails, as Flink says.
//! Left out: aggregates straight over such windows, which the planner hands to
//! [`super::WindowAggregate`] with [`super::Windows::Sliced`] instead.

use super::window_aggregate::{SliceEnds, times, window_columns};
use crate::{Failed, Hidden, WindowSpec};
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

/// Adds the columns `window_start`, `window_end`, `window_time` behind the input's visible ones.
#[derive(Debug, Clone)]
pub struct AssignWindow {
    /// The event-time column: a timestamp in microseconds.
    pub time: usize,
    /// Which windows.
    pub spec: WindowSpec,
}

impl AssignWindow {
    pub(crate) fn apply(
        &self,
        batch: &RecordBatch,
        input: Hidden,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, Failed> {
        let name = batch.schema_ref().field(self.time).name().clone();
        let failed = |reason: &str| Failed::new(&format!("window over {name:?}"), reason);
        let times = times(batch.column(self.time)).map_err(|error| failed(&error.to_string()))?;
        if times.null_count() > 0 {
            return Err(failed("its event time is NULL; filter such rows out before the window"));
        }
        let per_row = (self.spec.size_us / self.spec.slide_us).max(1);
        let mut rows = Vec::with_capacity(times.len() * per_row as usize);
        let mut ends = Vec::with_capacity(rows.capacity());
        let mut slices = SliceEnds::new(self.spec);
        for (row, time) in times.values().iter().enumerate() {
            let first = slices.of(*time);
            for window in 0..per_row {
                rows.push(row as u32);
                ends.push(first.saturating_add(window * self.spec.slide_us));
            }
        }
        self.columns(batch, input, schema, rows, &ends).map_err(|error| failed(&error.to_string()))
    }

    fn columns(
        &self,
        batch: &RecordBatch,
        input: Hidden,
        schema: &SchemaRef,
        rows: Vec<u32>,
        ends: &[i64],
    ) -> Result<RecordBatch, crate::DataflowError> {
        let visible = input.visible(batch);
        let taken = if rows.len() == batch.num_rows() {
            batch.columns().to_vec()
        } else {
            let rows = UInt32Array::from(rows);
            let columns = batch.columns().iter().map(|column| take(column, &rows, None));
            columns.collect::<Result<Vec<ArrayRef>, _>>()?
        };
        let mut columns = taken[..visible].to_vec();
        let starts: Vec<i64> = ends.iter().map(|end| end - self.spec.size_us).collect();
        columns.extend(window_columns(&self.spec, &starts, ends, schema, visible)?);
        columns.extend_from_slice(&taken[visible..]);
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}
