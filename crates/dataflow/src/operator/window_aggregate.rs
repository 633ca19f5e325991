//! Groups that end with their window: `GROUP BY keys, window_start, window_end`.
//!
//! Guarantees: a window is given once, when the watermark passes its end, with all rows of it that
//! were not late; a window without rows is never given. A row is late for a window whose end is at
//! or below the running watermark of the row's own partition before it; a row late for all its
//! windows is handed out as late. Input that is taken back before its window ends leaves no trace.
//! Left out: computing keys and arguments.

mod fire;
mod slices;
mod state;
mod worker;

pub(crate) use slices::{SliceEnds, times, window_columns};
pub(crate) use worker::WindowAggregateWorker;

use super::AggregateCall;
use crate::WindowSpec;

/// Gives the keys, one column for each call, then `window_start`, `window_end` (TIMESTAMP) and
/// `window_time` (of the input's time type; one millisecond before the end).
#[derive(Debug, Clone)]
pub struct WindowAggregate {
    /// Columns of the input, without those of the window.
    pub keys: Vec<usize>,
    /// What is computed for each group and window.
    pub calls: Vec<AggregateCall>,
    /// Where a row's windows are known from.
    pub windows: Windows,
}

/// Where a row's windows are known from.
#[derive(Debug, Clone)]
pub enum Windows {
    /// From its event time. State is one slice for each key and step, merged when a window fires.
    Sliced {
        /// The event-time column: a timestamp in microseconds.
        time: usize,
        /// Which windows.
        spec: WindowSpec,
    },
    /// The row says it: its windows were assigned further up.
    Attached {
        /// The column `window_start`.
        start: usize,
        /// The column `window_end`.
        end: usize,
        /// For the zone of the wall clock they are times of.
        spec: WindowSpec,
    },
}
