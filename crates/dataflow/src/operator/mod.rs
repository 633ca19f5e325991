//! What is done with rows between sources and sinks.
//!
//! The files beside this hold an operator each: what it is told (a struct of the planner's), and
//! for those with state a worker's part of it.
//!
//! Guarantees of operators without state: hidden columns pass through unchanged; a row that fails
//! is found and handed back with the expression and the reason, and the rows beside it go on.
//! Guarantees of those with state: correct for rows that are taken back; the same result for any
//! order of rows whose order does not matter to SQL.

pub mod aggregate;
pub mod assign_watermark;
mod assign_window;
mod bisect;
mod filter;
pub mod join;
pub mod materialize;
mod project;
pub(crate) mod sharded;
mod unnest;
pub mod window_aggregate;

pub use aggregate::{Aggregate, AggregateCall, AggregateFunction};
pub use assign_watermark::AssignWatermark;
pub use assign_window::AssignWindow;
pub use filter::Filter;
pub use join::{Join, JoinKind};
pub use materialize::Materialize;
pub use project::Project;
pub use unnest::Unnest;
pub use window_aggregate::{WindowAggregate, Windows};

use crate::{
    DataflowError, Failed, Node, OperatorKind, RowError, ShardRange, WATERMARK_NONE, Watermark,
};
use arrow::array::RecordBatch;

/// Rows for an operator with state, with the hash of each row's key.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// The rows, hidden columns last.
    pub rows: RecordBatch,
    /// One for each row, see [`crate::state::hash::hash_columns`].
    pub hashes: Vec<u64>,
}

/// One worker's part of an operator with state.
///
/// The order of calls in a tick: any number of `push` and `next_output`, then one `end_tick`, then
/// `next_output` until it gives nothing. State is looked at between ticks only.
pub(crate) enum Stateful {
    Aggregate(aggregate::AggregateWorker),
    WindowAggregate(window_aggregate::WindowAggregateWorker),
    Join(Box<join::JoinWorker>),
    Materialize(materialize::MaterializeWorker),
    /// Any of the others but the last, in shards that need not be in memory.
    Sharded(Box<sharded::Sharded>),
}

/// What one kind of state can do. See [`Stateful`] for the order of calls.
pub(crate) trait StateWorker: Send {
    /// Takes rows in. They are all of `input`, their keys are all of this worker's shards.
    fn push(&mut self, input: usize, keyed: Keyed) -> Result<(), DataflowError>;

    /// All rows of this tick are in, and the inputs are complete up to `watermark`.
    fn end_tick(&mut self, watermark: Watermark) -> Result<(), DataflowError>;

    /// The next rows to give, about `rows_max` of them, or nothing for now.
    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError>;

    /// Rows that came too late since the last call, as they came.
    fn take_late(&mut self) -> Vec<RecordBatch> {
        Vec::new()
    }

    /// Rows that could not be computed since the last call.
    fn take_errors(&mut self) -> Vec<RowError> {
        Vec::new()
    }

    /// What has changed since the last call, as rows that [`StateWorker::restore`] takes: each
    /// batch is in one of the schemas that the operator's state has, in the order of restoring.
    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError>;

    /// All of the state, in the same form. Changes not yet taken are in it, and count as taken.
    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError>;

    /// Takes in what an earlier worker gave out, in that order. Rows of shards that are not this
    /// worker's are passed over.
    fn restore(&mut self, rows: &RecordBatch) -> Result<(), DataflowError>;

    /// It is so late, by a clock that does not go back: what has not been written for too long is
    /// forgotten. Between ticks, and before a restore.
    fn set_now(&mut self, _now_ms: i64) -> Result<(), DataflowError> {
        Ok(())
    }

    /// The hash of each row's key in rows of state; `None` where they are about all keys.
    fn state_hashes(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError>;

    /// The inputs are complete up to `watermark`, at which nothing was due.
    fn advance(&mut self, _watermark: Watermark) {}

    /// Up to where the worker knows its inputs to be complete, if it keeps that.
    fn complete(&self) -> Watermark {
        WATERMARK_NONE
    }

    /// The least watermark at which [`StateWorker::end_tick`] has something to give without
    /// further rows.
    fn due(&self) -> Option<Watermark> {
        None
    }

    /// Rows or groups that [`StateWorker::next_output`] has before it, about.
    fn waiting(&self) -> usize {
        0
    }

    /// Keys held.
    fn keys(&self) -> usize;

    /// Bytes in memory, about.
    fn bytes(&self) -> usize;
}

impl Stateful {
    /// A worker's empty part of an operator, or `None` where the operator has no state. Without a
    /// write for `ttl_ms` state is forgotten, 0 for never.
    pub(crate) fn new(
        node: &Node,
        inputs: &[&Node],
        shards: ShardRange,
        ttl_ms: u64,
    ) -> Option<Self> {
        Some(match &node.kind {
            OperatorKind::Aggregate(plan) => {
                let worker = aggregate::AggregateWorker::new(plan, node, inputs[0], shards, ttl_ms);
                Self::Aggregate(worker)
            }
            OperatorKind::WindowAggregate(plan) => Self::WindowAggregate(
                window_aggregate::WindowAggregateWorker::new(plan, node, inputs[0], shards),
            ),
            OperatorKind::Join(plan) => {
                let worker =
                    join::JoinWorker::new(plan, node, [inputs[0], inputs[1]], shards, ttl_ms);
                Self::Join(Box::new(worker))
            }
            OperatorKind::Materialize(plan) => Self::Materialize(
                materialize::MaterializeWorker::new(plan, node, inputs[0], shards, ttl_ms > 0),
            ),
            _ => return None,
        })
    }

    pub(crate) fn worker(&mut self) -> &mut dyn StateWorker {
        match self {
            Self::Aggregate(worker) => worker,
            Self::WindowAggregate(worker) => worker,
            Self::Join(worker) => worker.as_mut(),
            Self::Materialize(worker) => worker,
            Self::Sharded(worker) => worker.as_mut(),
        }
    }
}

impl Stateful {
    /// The same, to look at.
    pub(crate) fn held(&self) -> &dyn StateWorker {
        match self {
            Self::Aggregate(worker) => worker,
            Self::WindowAggregate(worker) => worker,
            Self::Join(worker) => worker.as_ref(),
            Self::Materialize(worker) => worker,
            Self::Sharded(worker) => worker.as_ref(),
        }
    }
}

impl Node {
    /// Runs a batch through an operator without state; rows that fail are added to `errors` and
    /// left out. Other operators hand the batch on.
    pub(crate) fn run(
        &self,
        batch: RecordBatch,
        input: crate::Hidden,
        errors: &mut Vec<RowError>,
    ) -> Vec<RecordBatch> {
        let apply = |batch: &RecordBatch| -> Result<RecordBatch, Failed> {
            match &self.kind {
                OperatorKind::Filter(filter) => filter.apply(batch),
                OperatorKind::Project(project) => project.apply(batch, input),
                OperatorKind::Unnest(unnest) => unnest.apply(batch, input),
                OperatorKind::AssignWindow(assign) => assign.apply(batch, input, &self.schema),
                _ => Ok(batch.clone()),
            }
        };
        bisect::run(&batch, input, &apply, &self.id, errors)
    }
}
