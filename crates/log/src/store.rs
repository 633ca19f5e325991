//! The store: every topic and partition under one folder.

use crate::settings::LogSettings;
use crate::report::RecoveryReport;
use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_types::log::{Appended, Watermarks};
use tradewind_types::{
    Clock, Log, LogError, LogRecord, Offset, PartitionId, Record, TopicInfo, TopicSpec,
};

/// A log on a disk. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    _inner: Arc<()>,
}

/// Where a producer's batches landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAppended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The time the log gave the batches, or -1: topics keep the producer's timestamps.
    pub append_time_ms: i64,
    /// The first offset the partition keeps.
    pub log_start: Offset,
}

/// Whole record batches as they lie on disk.
#[derive(Debug, Clone)]
pub struct RawRead {
    /// Batches without a gap; the first one holds the offset asked for and may start before it.
    pub bytes: Bytes,
    /// The readable range at the time of the read.
    pub watermarks: Watermarks,
}

#[allow(unused_variables)]
impl LogStore {
    /// Opens (or makes) the log in `dir`. Blocks on the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: LogSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RecoveryReport), LogError> {
        unimplemented!()
    }

    /// Appends a producer's record batches (v2, one or more, without gaps between them). They are
    /// stored as sent, compression included; only base offset and leader epoch are rewritten.
    /// `durable` waits for the fsync (`acks=all`); otherwise it returns once written.
    pub async fn append_raw(
        &self,
        topic: &str,
        partition: PartitionId,
        batches: Bytes,
        durable: bool,
    ) -> Result<RawAppended, LogError> {
        unimplemented!()
    }

    /// Whole batches from the one that holds `from`, below the high watermark, about `max_bytes`
    /// (at least one batch when there is one). Empty at the high watermark.
    pub async fn read_raw(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<RawRead, LogError> {
        unimplemented!()
    }

    /// A topic by Kafka's topic id.
    pub fn topic_by_id(&self, id: [u8; 16]) -> Option<TopicInfo> {
        unimplemented!()
    }

    /// Makes everything written durable and closes the log.
    pub async fn close(&self) -> Result<(), LogError> {
        unimplemented!()
    }
}

#[allow(unused_variables)]
#[async_trait]
impl Log for LogStore {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        unimplemented!()
    }

    async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        unimplemented!()
    }

    fn topics(&self) -> Vec<TopicInfo> {
        unimplemented!()
    }

    fn topic(&self, topic: &str) -> Option<TopicInfo> {
        unimplemented!()
    }

    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        unimplemented!()
    }

    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        unimplemented!()
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        unimplemented!()
    }

    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        unimplemented!()
    }

    async fn wait(&self, topic: &str, seen: &[Offset]) -> Result<(), LogError> {
        unimplemented!()
    }

    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>) {
        unimplemented!()
    }
}
