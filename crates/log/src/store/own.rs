//! What the broker itself writes to its topics.
//!
//! Guarantees: batches made in this process go to the log without the checks that strangers'
//! batches pass; their checksums are checked all the same.
//! Left out: which topics those are.

use super::LogStore;
use crate::batch;
use crate::partition::{Append, Batches, Origin};
use std::sync::Arc;
use tradewind_types::{Clock, LogError, Offset, PartitionId, Producer, Record, TopicLimits};

impl LogStore {
    /// Appends batches encoded in this process and returns the first record's offset once they
    /// are written; they are durable when [`LogStore::synced_to`] says so.
    ///
    /// # Errors
    /// As [`tradewind_types::Log::append`].
    pub(crate) async fn append_own(
        &self,
        topic: &str,
        partition: PartitionId,
        batches: Vec<u8>,
        verified: Option<Offset>,
    ) -> Result<Offset, LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        let spans =
            batch::parse_batches(&batches).map_err(|error| LogError::Invalid(error.to_string()))?;
        let origin = Origin::Offsets { verified };
        let append = Append { batches: Batches::Own(batches), spans, origin };
        partition.append(append, false).await
    }

    /// Appends records made in this process as one batch, in the transaction of `producer` or in
    /// none, and returns the offset behind them once they are written.
    pub(crate) async fn append_by(
        &self,
        producer: Option<Producer>,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Offset, LogError> {
        let found = self.partition(topic, partition)?;
        let count = records.len() as Offset;
        let appended = self.append_encoded(found, records, producer, false).await?;
        Ok(appended.base_offset + count)
    }

    /// What a topic takes.
    pub(crate) fn limits(&self, topic: &str) -> Result<TopicLimits, LogError> {
        let topic = self.topic_named(topic)?;
        let config = topic.config.get();
        Ok(TopicLimits {
            partitions: topic.file.partitions,
            batch_bytes_max: config.max_message_bytes,
            wants_keys: config.cleanup.compact,
        })
    }

    /// The clock the log's timestamps and retention go by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.shared.clock)
    }
}
