//! The trait every durable, partitioned stream is met at: ours in process, a Kafka cluster later.
//!
//! Guarantees asked of every implementation: an append that returned `Ok` survives power loss;
//! nothing above the high watermark is ever read; offsets in a partition ascend and none is given
//! twice. They are dense in the log, but not in what is read: the markers that end transactions, the
//! records of aborted ones, and what compaction by key took away have offsets and are never shown. A
//! reader goes on where [`Log::read_on`] says.
//! Left out: consumer groups, which belong to the wire, and writing in transactions
//! ([`crate::TopicWriter`]).

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record's position in its partition. The first is 0.
pub type Offset = i64;
/// A partition's number in its topic. The first is 0.
pub type PartitionId = i32;

/// A durable, partitioned, append-only stream of records.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Makes a topic, durably. [`LogError::TopicExists`] when there is one of that name.
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError>;

    /// Removes a topic and its records.
    async fn delete_topic(&self, topic: &str) -> Result<(), LogError>;

    /// Every topic, by name.
    fn topics(&self) -> Vec<TopicInfo>;

    /// One topic, or `None`.
    fn topic(&self, topic: &str) -> Option<TopicInfo>;

    /// Appends `records` in order, as one batch; returns once they are durable.
    ///
    /// # Errors
    /// [`LogError::DiskReserve`] before the disk is full, [`LogError::Offline`] once an fsync of
    /// this partition has failed. After [`LogError::Offline`], [`LogError::Io`] and
    /// [`LogError::Corrupt`] the records may be kept or not, and may turn up after a restart; after
    /// every other error none of them is kept, nor will be.
    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError>;

    /// Reads the committed records from `from` up to the last stable offset, at most about
    /// `max_bytes` (at least one record when there is one). Empty when there is none. For a look at
    /// a place: who reads on needs [`Log::read_on`], which says where.
    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// Reads from `from` on as [`Log::read`] does, and says from where to read next, which may lie
    /// past the last record, and past `from` when there are no records at all. `next` is `from`
    /// exactly when there is nothing to read yet.
    ///
    /// The default serves logs without transactions, where the next offset follows the last record.
    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Records, LogError> {
        // A log without transactions has nothing that is not committed.
        let _ = isolation;
        let records = self.read(topic, partition, from, max_bytes).await?;
        let next = records.last().map_or(from, |last| last.offset + 1);
        Ok(Records { records, next })
    }

    /// The offsets between which a partition can be read.
    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError>;

    /// The first offset below the last stable one whose record has a timestamp at or after
    /// `timestamp_ms`, or `None`.
    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError>;

    /// Waits until the last stable offset of any partition of `topic` is past what `seen` names
    /// (partition `i` at index `i`: the next offset the caller wants). Partitions that `seen` does
    /// not reach, such as those added since, are waited for from their first record on.
    async fn wait(&self, topic: &str, seen: &[Offset]) -> Result<(), LogError>;

    /// Every partition's figures, by topic and number; none where the log keeps none.
    fn figures(&self) -> Vec<PartitionFigures> {
        Vec::new()
    }

    /// What pipelines write topics by; `None` where the log takes no transactions.
    fn writer(&self) -> Option<Arc<dyn crate::TopicWriter>> {
        None
    }

    /// Tells retention that `holder` (a pipeline) still needs everything from `offset` on.
    /// `None` lets go.
    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>);
}

/// What a new topic is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// `[a-zA-Z0-9._-]{1,249}`, not `.` or `..`.
    pub name: String,
    /// At least one.
    pub partitions: i32,
    /// Kafka's topic settings by their Kafka names (`retention.ms`, `retention.bytes`,
    /// `segment.bytes` …). Unknown ones are refused.
    pub settings: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with default settings.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, settings: BTreeMap::new() }
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Kafka's topic id.
    pub id: [u8; 16],
    /// How many partitions it has.
    pub partitions: i32,
    /// Its settings, defaults left out.
    pub settings: BTreeMap<String, String>,
}

/// A record to append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// What the record is about, if anything; records of one key keep their order.
    pub key: Option<Bytes>,
    /// The payload; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Name and value, in order, names may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A record as read. Keys, values and headers are slices of the segment that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands in its partition.
    pub offset: Offset,
    /// The record itself.
    pub record: Record,
}

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset; the others follow without a gap.
    pub base_offset: Offset,
}

/// Records as [`Log::read_on`] found them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The records, in order.
    pub records: Vec<LogRecord>,
    /// Where to read next.
    pub next: Offset,
}

/// Which durable records a reader is shown. Control records are shown to none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Those outside transactions and of committed ones, below the last stable offset.
    #[default]
    ReadCommitted,
    /// All below the high watermark, those of open and of aborted transactions too.
    ReadUncommitted,
}

/// The range of a partition: `log_start <= last_stable <= high_watermark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset retention has left.
    pub log_start: Offset,
    /// The end of what readers are shown: the first offset of the oldest transaction that is not
    /// durably ended, and without one the high watermark.
    pub last_stable: Offset,
    /// The first offset that is not durable yet.
    pub high_watermark: Offset,
}

/// A partition as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFigures {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: PartitionId,
    /// The readable range.
    pub watermarks: Watermarks,
    /// Bytes of its segments.
    pub bytes: u64,
    /// How many segments it has.
    pub segments: usize,
    /// Compaction has been over everything below.
    pub compacted_to: Offset,
    /// When its oldest segment got its last record, milliseconds.
    pub oldest_ms: Option<i64>,
    /// The newest timestamp of its records, milliseconds.
    pub newest_ms: Option<i64>,
    /// Why it takes no more writes, if an fsync failed.
    pub offline: Option<String>,
}

impl Watermarks {
    /// The end of what a reader of `isolation` is shown.
    pub fn end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadCommitted => self.last_stable,
            Isolation::ReadUncommitted => self.high_watermark,
        }
    }
}

/// Why a numbered or transactional batch is not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerFault {
    /// The batch does not begin where the producer's last one ended.
    #[error("producer {producer_id} sent sequence {sent} where {due} is due")]
    OutOfOrder {
        /// Who.
        producer_id: i64,
        /// The first sequence number of the batch.
        sent: i32,
        /// The one that follows what is there.
        due: i32,
    },
    /// A newer instance of the producer has written, or its transaction was ended for it.
    #[error("producer {producer_id} sent epoch {sent}, {known} is known")]
    StaleEpoch {
        /// Who.
        producer_id: i64,
        /// The epoch of the batch.
        sent: i16,
        /// The newest one.
        known: i16,
    },
    /// A transactional batch outside a transaction, or another kind of batch inside of one.
    #[error("producer {producer_id} is not in the transaction its batch says")]
    NoTransaction {
        /// Who.
        producer_id: i64,
    },
}

/// Records of a batch that are not taken, and the whole batch with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadRecords {
    /// What is wrong with the first.
    pub reason: String,
    /// Which these are, from 0 on in their batch, as far as they are told; none where it is the
    /// batch that is wrong.
    pub records: Vec<i32>,
}

/// Why a log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No such topic.
    #[error("topic {topic:?} does not exist")]
    NoTopic {
        /// The name asked for.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("topic {topic:?} has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: PartitionId,
    },
    /// The name is taken.
    #[error("topic {topic:?} exists already")]
    TopicExists {
        /// The name asked for.
        topic: String,
    },
    /// The request makes no sense: a bad name, a setting nobody knows, a batch that is too large.
    #[error("{0}")]
    Invalid(String),
    /// A record is not what its topic takes: no key where records are compacted by key.
    #[error("{0}")]
    InvalidRecord(BadRecords),
    /// A producer's timestamp is further from the clock than its topic takes.
    #[error("{0}")]
    InvalidTimestamp(BadRecords),
    /// The offset lies outside what is kept.
    #[error("offset {offset} of {topic}-{partition} is outside {log_start}..{high_watermark}")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        offset: Offset,
        /// The first offset kept.
        log_start: Offset,
        /// The end of what can be read.
        high_watermark: Offset,
    },
    /// Bytes that are not what was written.
    #[error("{file} is corrupt at byte {position}: {reason}")]
    Corrupt {
        /// The segment's path.
        file: String,
        /// Where in it.
        position: u64,
        /// What does not hold.
        reason: String,
    },
    /// The disk's reserve is reached; reads go on, appends wait for room.
    #[error(
        "the disk's reserve is reached: {available} bytes left, `log.disk_reserve_bytes` keeps {reserve}"
    )]
    DiskReserve {
        /// Bytes the file system has left.
        available: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// An fsync failed, or a write ended without saying how; the partition takes no more writes
    /// until the server is restarted.
    #[error("{topic}-{partition} is offline until a restart: {reason}")]
    Offline {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// What the operating system said.
        reason: String,
    },
    /// A producer's batch does not follow what the partition knows of its producer; nothing of it
    /// is kept.
    #[error("{topic}-{partition}: {fault}")]
    Producer {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// What does not hold.
        fault: ProducerFault,
    },
    /// A transaction of this process could not be begun or ended.
    #[error("transactional id {id:?}: {reason}")]
    Transaction {
        /// The transactional id.
        id: String,
        /// What does not hold.
        reason: String,
    },
    /// More appends are waiting than the log has room for; nothing of this one is kept.
    #[error("the log is busy: {0}")]
    Busy(String),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}
