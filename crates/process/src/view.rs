//! Materialized views as readers meet them.
//!
//! Guarantees: a reader gets a view as it was at the end of one tick, whole, and what he holds
//! never changes under him; a view that has not caught up after a start does not answer, unless its
//! pipeline is or was paused: then it answers as it was when it stopped, and goes on from there;
//! changes are handed out in order, without a gap, or the reader is told to begin anew.
//! Left out: computing it.

use crate::stream::manifest::SourcePositions;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tradewind_dataflow::operator::materialize::Published;
use tradewind_types::Epoch;
use tradewind_types::connector::Positions;

/// Ticks of changes kept for subscribers: some seconds of a busy view.
pub const CHANGES_TICKS_MAX: usize = 1_024;
/// Rows of changes kept for subscribers.
pub const CHANGES_ROWS_MAX: usize = 262_144;

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

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<ViewSnapshot>>,
    changes: VecDeque<Arc<ViewChanges>>,
    rows: usize,
    /// The first tick shown since it last began anew.
    began: u64,
    /// The checkpoint that holds just what is shown; `None` while its pipeline runs.
    settled: Option<Epoch>,
}

/// What comes after a tick that somebody has seen.
#[derive(Debug, Clone)]
pub enum Following {
    /// Nothing yet.
    Nothing,
    /// The next tick's changes.
    Changes(Arc<ViewChanges>),
    /// Changes that are no longer kept.
    Lost,
    /// Something else: the view has begun anew since, or the tick is none of its own.
    Anew,
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

/// The same by topic and partition: the least where tables over one topic stand apart.
pub fn reached_by_topic(sources: &[SourcePositions]) -> BTreeMap<String, Positions> {
    let mut topics: BTreeMap<String, Positions> = BTreeMap::new();
    for source in sources {
        let topic = topics.entry(source.topic.clone()).or_default();
        for (partition, offset) in &source.positions {
            let least = topic.entry(*partition).or_insert(*offset);
            *least = (*least).min(*offset);
        }
    }
    topics
}

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
        Self {
            name: name.to_string(),
            incarnation,
            schema,
            key,
            state: Mutex::default(),
            epochs: watch::channel(0).0,
            closed: AtomicBool::new(false),
        }
    }

    /// The view as of the last tick, or `None` while it catches up after a start.
    pub fn snapshot(&self) -> Option<Arc<ViewSnapshot>> {
        self.state.lock().current.clone()
    }

    /// What the tick after `epoch` has changed. Begin with a snapshot where that is not kept.
    pub fn following(&self, epoch: u64) -> Following {
        let state = self.state.lock();
        let Some(newest) = state.current.as_ref().map(|current| current.epoch) else {
            return Following::Anew;
        };
        if epoch == newest {
            return Following::Nothing;
        }
        if !(state.began..newest).contains(&epoch) {
            return Following::Anew;
        }
        match state.changes.binary_search_by_key(&epoch, |changes| changes.epoch) {
            Ok(seen) => Following::Changes(state.changes[seen + 1].clone()),
            Err(_) => Following::Lost,
        }
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

    /// Its pipeline has stopped behind checkpoint `epoch`, which holds just what is shown.
    pub(crate) fn settle(&self, epoch: Epoch) {
        self.state.lock().settled = Some(epoch);
    }

    /// Its pipeline starts from checkpoint `epoch`. Where that holds what is shown, it goes on
    /// from there; else it answers again once it has caught up.
    pub(crate) fn take_up(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        if state.settled.take() != Some(epoch) {
            *state = State::default();
        }
    }

    pub(crate) fn publish(&self, snapshot: ViewSnapshot, rows: Vec<RecordBatch>) {
        let epoch = snapshot.epoch;
        {
            let mut state = self.state.lock();
            if state.current.is_none() {
                state.began = epoch;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::{Subscription, ViewEvent};
    use arrow::datatypes::Schema;

    fn view() -> Arc<View> {
        Arc::new(View::new("v", 1, Arc::new(Schema::empty()), Vec::new()))
    }

    fn tick(view: &View, epoch: u64) {
        let table = Published { schema: view.schema.clone(), chunks: Vec::new() };
        let (table, positions) = (Arc::new(table), Vec::new().into());
        view.publish(ViewSnapshot { epoch, table, positions }, Vec::new());
    }

    #[test]
    fn changes_follow_each_other_until_they_are_no_longer_kept() {
        let view = view();
        assert!(matches!(view.following(1), Following::Anew), "it shows nothing yet");
        for epoch in 5..8 {
            tick(&view, epoch);
        }
        assert!(matches!(view.following(5), Following::Changes(next) if next.epoch == 6));
        assert!(matches!(view.following(7), Following::Nothing));
        for other in [4, 8] {
            assert!(matches!(view.following(other), Following::Anew), "{other}");
        }
        for epoch in 8..8 + CHANGES_TICKS_MAX as u64 {
            tick(&view, epoch);
        }
        assert!(matches!(view.following(7), Following::Lost));
        assert!(matches!(view.following(8), Following::Changes(_)));
    }

    #[test]
    fn what_is_settled_goes_on_only_from_the_same_checkpoint() {
        let view = view();
        tick(&view, 5);
        view.settle(2);
        view.take_up(2);
        assert!(view.snapshot().is_some());
        // It has run since.
        view.take_up(2);
        assert!(view.snapshot().is_none());
        tick(&view, 6);
        view.settle(3);
        view.take_up(4);
        assert!(view.snapshot().is_none());
        tick(&view, 9);
        assert!(matches!(view.following(6), Following::Anew));
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_before_it_begins_anew() {
        let view = view();
        tick(&view, 1);
        let mut reader = Subscription::new(view.clone(), None);
        let first = reader.next().await;
        assert!(matches!(first, Some(ViewEvent::Snapshot { rows: None, token: Some(_), .. })));
        for epoch in 2..=CHANGES_TICKS_MAX as u64 + 2 {
            tick(&view, epoch);
        }
        assert!(matches!(reader.next().await, Some(ViewEvent::Behind)));
        assert!(matches!(reader.next().await, Some(ViewEvent::Reset)));
        assert!(matches!(reader.next().await, Some(ViewEvent::Snapshot { .. })));
        view.close();
        assert!(reader.next().await.is_none());
    }
}
