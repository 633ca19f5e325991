//! What a pipeline reads from and writes to.
//!
//! Guarantees asked of a [`Sink`]: between `stage` and `commit` the work is durable and invisible;
//! `commit` of one epoch any number of times is the same as once; `recover` finishes the epoch a
//! manifest names and forgets everything else.
//! Left out: planning and scheduling, which are the engine's.

use crate::log::{LogError, Offset, PartitionId};
use crate::{DeadLetter, Epoch};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The next offset to read, by partition: what a checkpoint keeps of a source.
pub type Positions = BTreeMap<PartitionId, Offset>;

/// Rows of one source partition, decoded.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// The partition all rows came from.
    pub partition: PartitionId,
    /// Rows in the source's schema, with [`crate::PARTITION_COLUMN`] and
    /// [`crate::OFFSET_COLUMN`] as the last two columns.
    pub batch: RecordBatch,
    /// Records that could not be decoded, with their offsets.
    pub rejected: Vec<DeadLetter>,
    /// The next offset to read once these rows are taken in.
    pub next_offset: Offset,
}

/// A partitioned stream of rows that can be read again from any position it still keeps.
#[async_trait]
pub trait Source: Send {
    /// The rows' schema, the two hidden columns last.
    fn schema(&self) -> SchemaRef;

    /// What can be read now, at most about `rows_max` rows over all partitions; empty when there
    /// is nothing. Never waits.
    async fn poll(&mut self, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError>;

    /// Waits until `poll` would have something.
    async fn ready(&mut self) -> Result<(), SourceError>;

    /// The next offset to read, by partition.
    fn positions(&self) -> Positions;

    /// Reads on from `positions`; partitions it does not name start at the first offset kept.
    fn seek(&mut self, positions: &Positions) -> Result<(), SourceError>;

    /// Whether the source has ended for good. A topic never does.
    fn ended(&self) -> bool {
        false
    }

    /// Records handed out so far, over all partitions, those that were no rows included: a number
    /// that grows with them, from anywhere.
    fn progress(&self) -> i64 {
        self.positions().values().sum()
    }

    /// Records that were gone before they were read.
    fn lost(&self) -> u64 {
        0
    }
}

/// A place rows go to, exactly once, in two phases.
///
/// The order of calls in one epoch is `write`*, `stage`, then (the manifest is durable) `commit`.
/// Rows written after `stage` belong to the next epoch, whether or not `commit` came yet.
#[async_trait]
pub trait Sink: Send {
    /// Adds the rows of one tick to the open epoch. Where the sink can be queried they are visible
    /// when this returns, all or none of a call.
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError>;

    /// Bytes in memory that belong to the open epoch.
    fn open_bytes(&self) -> usize;

    /// Makes the open epoch's rows durable without making them part of the table, and opens the
    /// next epoch. Returns what a manifest must keep to commit them later.
    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError>;

    /// Makes exactly the staged rows part of the table. Idempotent.
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError>;

    /// Rows that were written and do not fit where they should go, as letters; taken out.
    fn take_rejected(&mut self) -> Vec<DeadLetter> {
        Vec::new()
    }

    /// How long after a row its readers should see it, in milliseconds, where they see it only once
    /// it is committed; `None` where that need not be soon.
    fn commit_within_ms(&self) -> Option<u64> {
        None
    }

    /// A second handle for `commit` alone, so that rows are taken in while an epoch is committed.
    /// `None`: the caller commits through the sink itself and writes when that is done.
    fn committer(&self) -> Option<Box<dyn Committer>> {
        None
    }

    /// Called once after a start, before any `write`: commits `last` if the table is behind it and
    /// drops whatever was staged beside it. `None`: no manifest names anything.
    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError>;
}

/// The part of a [`Sink`] that commits. See [`Sink::commit`].
#[async_trait]
pub trait Committer: Send {
    /// Makes exactly the staged rows part of the table. Idempotent.
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError>;
}

/// What `stage` has made durable: enough to commit it after a restart, without the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// The sink's table, by name.
    pub table: String,
    /// The epoch that was closed.
    pub epoch: Epoch,
    /// Rows in it.
    pub rows: u64,
    /// Whatever the sink needs (a lake: the files' names, sizes, partition values, statistics).
    pub work: serde_json::Value,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The log below failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Positions that the source no longer (or never) had: a checkpoint past the log's end.
    #[error("{source_name}: {reason}")]
    Position {
        /// The topic or file.
        source_name: String,
        /// What does not hold.
        reason: String,
    },
    /// The source's decoder failed as a whole, not on a row.
    #[error("{source_name}: {reason}")]
    Decode {
        /// The topic or file.
        source_name: String,
        /// What went wrong.
        reason: String,
    },
}

/// Why a sink could not take or keep rows.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Worth trying again: a lost connection, a full disk, a conflict.
    #[error("table {table:?}: {reason}")]
    Transient {
        /// The table.
        table: String,
        /// What went wrong.
        reason: String,
    },
    /// Trying again will not help: a schema that does not fit, a foreign table.
    #[error("table {table:?}: {reason}")]
    Permanent {
        /// The table.
        table: String,
        /// What went wrong.
        reason: String,
    },
}
