//! The trait pipelines write topics by: appends, at once or in transactions that only this process
//! ends.
//!
//! Guarantees asked of every implementation: a transaction begun here is ended by whoever began it
//! and by nobody else, neither by a timeout nor by a restart, and its id is not forgotten before
//! [`TopicWriter::forget`]; what is appended in it is seen when it is committed, or never.
//! Left out: numbering batches so that they may be sent twice: nothing in process is.

use crate::log::{LogError, Offset, PartitionId, Record};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who writes in a transaction: Kafka's producer id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// Given once and to nobody else.
    pub id: i64,
    /// Rises when somebody takes over.
    pub epoch: i16,
}

/// What a topic takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLimits {
    /// How many partitions it has.
    pub partitions: i32,
    /// The largest batch, in bytes (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// It is compacted by key: a record without one is refused.
    pub wants_keys: bool,
}

/// Writes topics for this process.
///
/// A transaction is [`begin`](Self::begin), then for each partition [`span`](Self::span) before the
/// first [`append`](Self::append), [`synced_to`](Self::synced_to) the end of each, and
/// [`commit`](Self::commit) or [`abort`](Self::abort). The next one under the same id begins with
/// `span`, by the producer that `commit` returned; `begin` is for who takes over.
#[async_trait]
pub trait TopicWriter: Send + Sync + 'static {
    /// What a topic takes now.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    fn limits(&self, topic: &str) -> Result<TopicLimits, LogError>;

    /// How many bytes a batch of these records is.
    fn batch_bytes(&self, records: &[Record]) -> usize;

    /// Takes the transactional id `id` over: whoever had it is shut out, and what he left open is
    /// aborted.
    ///
    /// # Errors
    /// [`LogError::Transaction`], also when a stranger uses the id.
    async fn begin(&self, id: &str) -> Result<Producer, LogError>;

    /// Makes partitions of a topic part of the open transaction, which begins with the first.
    /// Durable on return.
    ///
    /// # Errors
    /// [`LogError::Transaction`].
    async fn span(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partitions: &BTreeSet<PartitionId>,
    ) -> Result<(), LogError>;

    /// Appends records as one batch, in the open transaction of `producer` or outside of any, and
    /// returns the offset behind them. They are written on return, and durable, and outside
    /// transactions seen, when [`TopicWriter::synced_to`] says so.
    ///
    /// # Errors
    /// As [`crate::Log::append`].
    async fn append(
        &self,
        producer: Option<Producer>,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Offset, LogError>;

    /// Waits until everything below `end` is durable.
    ///
    /// # Errors
    /// [`LogError::Offline`] when the fsync fails.
    async fn synced_to(
        &self,
        topic: &str,
        partition: PartitionId,
        end: Offset,
    ) -> Result<(), LogError>;

    /// Commits the transaction of `producer` and returns when it is seen: with who writes the next
    /// one, since no two transactions of an id have one producer. Committing again, also after a
    /// restart and after somebody has taken over, changes nothing.
    ///
    /// # Errors
    /// [`LogError::Transaction`], also when it was aborted.
    async fn commit(&self, id: &str, producer: Producer) -> Result<Producer, LogError>;

    /// Aborts what is open under `id` and shuts out whoever wrote it. Nothing when nothing is open.
    ///
    /// # Errors
    /// [`LogError::Transaction`].
    async fn abort(&self, id: &str) -> Result<(), LogError>;

    /// Forgets an id under which nothing is open. Nothing when it is not known.
    ///
    /// # Errors
    /// [`LogError::Transaction`].
    async fn forget(&self, id: &str) -> Result<(), LogError>;

    /// The transactional ids that were taken over here and not forgotten, in order.
    ///
    /// # Errors
    /// [`LogError::Transaction`].
    async fn ids(&self) -> Result<Vec<String>, LogError>;
}
