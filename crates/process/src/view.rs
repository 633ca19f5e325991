//! Materialized views as readers meet them.
//!
//! Guarantees: a reader gets a view as it was at the end of one tick, whole, and what he holds
//! never changes under him; a view that has not caught up after a start does not answer; changes
//! are handed out in order, without a gap, or the reader is told to begin anew.
//! Left out: computing it.

use crate::stream::manifest::SourcePositions;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tradewind_dataflow::operator::materialize::Published;

/// Ticks of changes kept for subscribers: some seconds of a busy view.
const CHANGES_TICKS_MAX: usize = 1_024;
/// Rows of changes kept for subscribers.
const CHANGES_ROWS_MAX: usize = 262_144;

/// A materialized view of a running server.
#[derive(Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Which definition of that name.
    pub incarnation: u64,
    /// The visible columns.
    pub schema: SchemaRef,
    /// Columns that tell rows apart; may be empty.
    pub key: Vec<usize>,
    state: Mutex<State>,
    epochs: watch::Sender<u64>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    current: Option<Arc<ViewSnapshot>>,
    changes: VecDeque<Arc<ViewChanges>>,
    rows: usize,
}

/// A view at the end of a tick.
#[derive(Debug, Clone)]
pub struct ViewSnapshot {
    /// Which tick: numbers grow, over restarts too.
    pub epoch: u64,
    /// Its rows.
    pub table: Arc<Published>,
    /// Up to which records of its sources it is the answer.
    pub positions: Reached,
}

/// The next record of each source that an answer does not know of yet.
pub type Reached = Arc<[SourcePositions]>;

/// What one tick has changed.
#[derive(Debug)]
pub struct ViewChanges {
    /// Which tick.
    pub epoch: u64,
    /// Rows with `_weight` last.
    pub rows: Vec<RecordBatch>,
    /// Up to which records of its sources the view is the answer after it.
    pub positions: Reached,
}

impl View {
    pub(crate) fn new(name: &str, incarnation: u64, schema: SchemaRef, key: Vec<usize>) -> Self {
        let state = State { current: None, changes: VecDeque::new(), rows: 0 };
        Self {
            name: name.to_string(),
            incarnation,
            schema,
            key,
            state: Mutex::new(state),
            epochs: watch::channel(0).0,
            closed: AtomicBool::new(false),
        }
    }

    /// The view as of the last tick, or `None` while it catches up after a start.
    pub fn snapshot(&self) -> Option<Arc<ViewSnapshot>> {
        self.state.lock().current.clone()
    }

    /// The ticks' changes after `epoch`, or `None` where not all of them are kept: begin with a
    /// snapshot then.
    pub fn changes_after(&self, epoch: u64) -> Option<Vec<Arc<ViewChanges>>> {
        let state = self.state.lock();
        let newest = state.current.as_ref()?.epoch;
        if epoch == newest {
            return Some(Vec::new());
        }
        let known = state.changes.iter().position(|changes| changes.epoch == epoch)?;
        Some(state.changes.iter().skip(known + 1).cloned().collect())
    }

    /// Sees the newest tick's number whenever there is a new one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.epochs.subscribe()
    }

    /// Whether it was dropped or replaced: it does not change any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Tells its readers that it was dropped or replaced.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.epochs.send_modify(|_| {});
    }

    /// Its pipeline starts anew: it answers again once it has caught up.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.current = None;
        state.changes.clear();
        state.rows = 0;
    }

    pub(crate) fn publish(&self, snapshot: ViewSnapshot, rows: Vec<RecordBatch>) {
        let epoch = snapshot.epoch;
        {
            let mut state = self.state.lock();
            state.rows += count(&rows);
            let positions = snapshot.positions.clone();
            state.changes.push_back(Arc::new(ViewChanges { epoch, rows, positions }));
            while state.changes.len() > CHANGES_TICKS_MAX || state.rows > CHANGES_ROWS_MAX {
                let Some(oldest) = state.changes.pop_front() else { break };
                state.rows -= count(&oldest.rows);
            }
            state.current = Some(Arc::new(snapshot));
        }
        self.epochs.send_replace(epoch);
    }

    /// Says that it is the answer to more records, which have changed nothing.
    pub(crate) fn advance(&self, positions: Reached) {
        let mut state = self.state.lock();
        if let Some(current) = &state.current {
            let ViewSnapshot { epoch, table, .. } = &**current;
            let table = table.clone();
            state.current = Some(Arc::new(ViewSnapshot { epoch: *epoch, table, positions }));
        }
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}
