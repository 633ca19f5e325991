//! A worker's part of an operator whose state need not fit into memory: each shard is a worker of
//! its own, in memory or in a scratch file.
//!
//! A tick's rows are kept until its end and then done shard by shard. A shard that is not in memory
//! is not brought back for a few rows: a worker is given what the file holds of their keys, and what
//! it has changed is written behind it. The file is thus a log of the shard's state, and those of
//! its parts that no checkpoint has yet are what the next checkpoint asks for.
//!
//! Guarantees: gives what the operator gives without this; what is out of memory is in checkpoints
//! as if it were not; a shard whose windows are due is done though no rows come for it.
//! Left out: which shards go, see [`crate::Executor`]; splitting a shard, which must fit.

mod evict;
mod inbox;
mod log;
mod restore;

use super::{Keyed, StateWorker, Stateful};
use crate::{
    DataflowError, EvictedRows, Graph, NodeIndex, OperatorKind, RowError, Scratch, ShardRange,
    WATERMARK_NONE, Watermark,
};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use hashbrown::HashSet;
use inbox::Inbox;
use log::Log;
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct Sharded {
    graph: Arc<Graph>,
    node: NodeIndex,
    scratch: Arc<dyn Scratch>,
    shards: ShardRange,
    /// By shard, from the first of this worker's on.
    parts: Vec<Part>,
    inbox: Inbox,
    /// Changes from before the state was in shards, that no checkpoint has yet.
    unsaved: Vec<EvictedRows>,
    /// Up to where the inputs were complete at the end of the last tick, and at that of this one.
    complete: Watermark,
    target: Watermark,
    /// The last that was saved.
    complete_saved: Watermark,
    /// Places in `parts` that this tick still has to do.
    queue: VecDeque<usize>,
    current: Option<Current>,
    ticks: u64,
    /// After how long state is forgotten; `i64::MAX` for never.
    ttl_ms: i64,
    now_ms: i64,
    late: Vec<RecordBatch>,
    errors: Vec<RowError>,
}

/// One shard's state.
#[derive(Default)]
struct Part {
    /// All of it, where it is in memory.
    worker: Option<Stateful>,
    /// Where there is no worker all of the state; beside one the same as the worker holds but for
    /// the changes it has not given out yet.
    log: Option<Log>,
    /// Changes that no checkpoint has yet, those of the worker apart.
    unsaved: Vec<EvictedRows>,
    /// See [`StateWorker::due`]; as of the last time it was in memory.
    due: Option<Watermark>,
    /// Keys, where there is no worker.
    keys: usize,
    /// The tick that last had rows for it.
    touched: u64,
    /// When, while it is not in memory, it is read for what is to be forgotten.
    stale_ms: i64,
}

/// The shard at hand.
struct Current {
    place: usize,
    worker: Stateful,
    held: Held,
}

/// What the worker at hand holds of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// All of it, and stays in memory.
    Resident,
    /// All of it, read for this tick.
    Whole,
    /// What has the keys of this tick's rows, so many.
    Keys(usize),
}

impl Sharded {
    pub(crate) fn new(
        graph: &Arc<Graph>,
        node: NodeIndex,
        shards: ShardRange,
        scratch: Arc<dyn Scratch>,
        (ttl_ms, now_ms): (u64, i64),
    ) -> Self {
        let (first, end) = shards.bounds();
        Self {
            inbox: Inbox::new(&graph.nodes[node].kind, &shards, scratch.clone()),
            graph: graph.clone(),
            node,
            scratch,
            parts: (first..end).map(|_| Part { stale_ms: i64::MAX, ..Part::default() }).collect(),
            shards,
            unsaved: Vec::new(),
            complete: WATERMARK_NONE,
            target: WATERMARK_NONE,
            complete_saved: WATERMARK_NONE,
            queue: VecDeque::new(),
            current: None,
            ticks: 0,
            ttl_ms: if ttl_ms == 0 { i64::MAX } else { i64::try_from(ttl_ms).unwrap_or(i64::MAX) },
            now_ms,
            late: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// An empty worker for a shard.
    fn fresh(&self, place: usize) -> Result<Stateful, DataflowError> {
        let node = &self.graph.nodes[self.node];
        let inputs: Vec<_> = node.inputs.iter().map(|input| &self.graph.nodes[*input]).collect();
        let shards = ShardRange::one(self.shards.bounds().0 + place);
        let none = || DataflowError::Internal(format!("{} keeps nothing", node.id));
        let ttl_ms = if self.ttl_ms == i64::MAX { 0 } else { self.ttl_ms.unsigned_abs() };
        let mut worker = Stateful::new(node, &inputs, shards, ttl_ms).ok_or_else(none)?;
        worker.worker().set_now(self.now_ms)?;
        Ok(worker)
    }

    /// Whether state waits for watermarks.
    fn has_windows(&self) -> bool {
        matches!(self.graph.nodes[self.node].kind, OperatorKind::WindowAggregate(_))
    }

    /// Makes a shard the one at hand, with this tick's rows.
    fn visit(&mut self, place: usize) -> Result<(), DataflowError> {
        let rows = self.inbox.take(place)?;
        self.parts[place].touched = self.ticks;
        let (mut worker, held) = match self.parts[place].worker.take() {
            Some(worker) => (worker, Held::Resident),
            None => self.load(place, &rows)?,
        };
        let at = worker.worker();
        at.set_now(self.now_ms)?;
        at.advance(self.complete);
        for (input, keyed) in rows {
            at.push(input, keyed)?;
        }
        at.end_tick(self.target)?;
        self.current = Some(Current { place, worker, held });
        Ok(())
    }

    /// A worker with as much of a shard as this tick needs.
    fn load(
        &self,
        place: usize,
        rows: &[(usize, Keyed)],
    ) -> Result<(Stateful, Held), DataflowError> {
        let part = &self.parts[place];
        let mut worker = self.fresh(place)?;
        let Some(log) = &part.log else { return Ok((worker, Held::Resident)) };
        let is_due = part.due.is_some_and(|due| due <= self.target);
        if is_due || part.is_stale(self.now_ms) || log.is_long() {
            log.read_into(worker.worker(), None)?;
            return Ok((worker, Held::Whole));
        }
        let wanted: HashSet<u64> =
            rows.iter().flat_map(|(_, keyed)| keyed.hashes.iter().copied()).collect();
        log.read_into(worker.worker(), Some(&wanted))?;
        let keys = worker.worker().keys();
        Ok((worker, Held::Keys(keys)))
    }

    /// Puts the shard at hand back to where it was.
    fn leave(&mut self, current: Current) -> Result<(), DataflowError> {
        let Current { place, mut worker, held } = current;
        let (at, part) = (worker.worker(), &mut self.parts[place]);
        self.late.extend(at.take_late());
        self.errors.extend(at.take_errors());
        let due = at.due();
        part.due = match held {
            Held::Keys(_) => part.due.into_iter().chain(due).min(),
            _ => due,
        };
        match held {
            Held::Resident => part.worker = Some(worker),
            Held::Whole => {
                part.keys = at.keys();
                part.append_changes(at)?;
                let is_stale = part.is_stale(self.now_ms);
                part.stale_ms = self.now_ms.saturating_add(self.ttl_ms);
                if is_stale || part.log.as_ref().is_some_and(Log::is_long) {
                    part.log = Log::write(&self.scratch, &at.take_all()?)?;
                }
            }
            Held::Keys(before) => {
                part.keys = (part.keys + at.keys()).saturating_sub(before);
                part.append_changes(at)?;
            }
        }
        Ok(())
    }

    /// The next rows that the shards at hand give.
    fn next_batch(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(batch) = current.worker.worker().next_output(rows_max)? {
                    return Ok(Some(batch));
                }
                if let Some(current) = self.current.take() {
                    self.leave(current)?;
                }
            }
            let Some(place) = self.queue.pop_front() else {
                self.complete = self.target;
                return Ok(None);
            };
            self.visit(place)?;
        }
    }
}

impl Part {
    fn is_stale(&self, now_ms: i64) -> bool {
        self.worker.is_none() && self.log.is_some() && self.stale_ms <= now_ms
    }

    /// Writes what a worker has changed behind the shard's log.
    fn append_changes(&mut self, worker: &mut dyn StateWorker) -> Result<(), DataflowError> {
        let changes = worker.take_changes()?;
        match &mut self.log {
            Some(log) if has_rows(&changes) => {
                let rows = log.append(&changes)?;
                self.unsaved.push(rows);
                Ok(())
            }
            None if has_rows(&changes) => {
                Err(DataflowError::Internal("changes to a shard that is nowhere".into()))
            }
            _ => Ok(()),
        }
    }
}

fn has_rows(batches: &[RecordBatch]) -> bool {
    batches.iter().any(|batch| batch.num_rows() > 0)
}

impl StateWorker for Sharded {
    fn push(&mut self, input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        self.inbox.push(input, keyed)
    }

    fn end_tick(&mut self, watermark: Watermark) -> Result<(), DataflowError> {
        self.ticks += 1;
        self.target = watermark;
        self.inbox.sort()?;
        let now_ms = self.now_ms;
        let is_due =
            |part: &Part| part.due.is_some_and(|due| due <= watermark) || part.is_stale(now_ms);
        let places = self.parts.iter().enumerate();
        let wanted = places.filter(|(place, part)| self.inbox.has(*place) || is_due(part));
        self.queue = wanted.map(|(place, _)| place).collect();
        Ok(())
    }

    /// Shards have few rows each: those of several go as one batch.
    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        let (mut batches, mut rows) = (Vec::new(), 0);
        while rows < rows_max {
            let Some(batch) = self.next_batch(rows_max - rows)? else { break };
            rows += batch.num_rows();
            batches.push(batch);
        }
        match batches.len() {
            0 | 1 => Ok(batches.pop()),
            _ => Ok(Some(concat_batches(&batches[0].schema(), &batches)?)),
        }
    }

    fn take_late(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.late)
    }

    fn take_errors(&mut self) -> Vec<RowError> {
        std::mem::take(&mut self.errors)
    }

    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        Err(DataflowError::Internal("shards give their state in pieces".into()))
    }

    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.take_changes()
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        self.put(rows)
    }

    fn set_now(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut residents = self.parts.iter_mut().filter_map(|part| part.worker.as_mut());
        residents.try_for_each(|worker| worker.worker().set_now(now_ms))
    }

    fn state_hashes(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        self.fresh(0)?.worker().state_hashes(rows)
    }

    fn waiting(&self) -> usize {
        self.inbox.rows() + self.queue.len()
    }

    fn keys(&self) -> usize {
        let keys =
            |part: &Part| part.worker.as_ref().map_or(part.keys, |worker| worker.held().keys());
        self.parts.iter().map(keys).sum()
    }

    fn bytes(&self) -> usize {
        let resident = self.parts.iter().filter_map(|part| part.worker.as_ref());
        resident.map(|worker| worker.held().bytes()).sum()
    }
}
