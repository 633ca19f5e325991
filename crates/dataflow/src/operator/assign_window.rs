//! Puts each row into its windows: `TABLE(TUMBLE(…))` and `TABLE(HOP(…))`.
//!
//! Guarantees: a row comes out once for each window it lies in, windows in order; a row without a
//! time lies in none and fails, as Flink says.
//! Left out: aggregates straight over such windows, which the planner hands to
//! [`super::WindowAggregate`] with [`super::Windows::Sliced`] instead.

use crate::{Failed, Hidden, WindowSpec};
use arrow::array::RecordBatch;
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
        let _ = (batch, input, schema);
        Err(Failed::new("WINDOW", "not built"))
    }
}
