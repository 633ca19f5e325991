//! What a log store is opened with: durability, bounds and the topics' defaults.
//!
//! Guarantees: every queue, cache and buffer of this crate is bounded by a value named here.
//! Left out: where the values come from. The binary resolves them from its configuration.

use crate::batch::{Compression, ProduceRules, RecordRules};
use parking_lot::RwLock;
use std::sync::Arc;

/// When appended bytes are made durable. Nothing is readable before that, in either mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// As soon as the disk is free: one fsync serves everybody who has written by then.
    Always,
    /// At most one fsync a partition in this many milliseconds; durable appends wait for it.
    IntervalMs(u64),
}

/// Settings of a [`crate::LogStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// When bytes are made durable.
    pub flush: Flush,
    /// Bytes of the file system that are kept free; appends are refused before they are touched.
    pub disk_reserve_bytes: u64,
    /// Bytes of batches that may be waiting for the disk, over all partitions.
    pub append_bytes_in_flight_max: usize,
    /// Bytes one read returns at most, whatever it asks for (one batch is always returned).
    pub read_bytes_max: usize,
    /// Bytes of recent batches kept in memory for readers, over all partitions.
    pub tail_bytes_max: usize,
    /// Partitions of all topics together: each costs a file handle and a recovery at start.
    pub partitions_max: usize,
    /// Sealed segments kept open, each with its index in memory.
    pub segments_open_max: usize,
    /// Keys one round of compaction knows the last offset of, at about 29 bytes each; a partition
    /// with more takes several rounds.
    pub compaction_keys_max: usize,
    /// `producer.id.expiration.ms`: how long a producer that numbers its batches is remembered after
    /// its last one. Kafka's day: by then nobody sends anything again.
    pub producer_expiration_ms: i64,
    /// Producers that are remembered, over all partitions: 250 bytes each. Of one partition no more
    /// than 10,000. When there are more, those go that were silent longest, and without any that
    /// were silent for five minutes a new one is told to come back.
    pub producers_max: usize,
    /// Transactions.
    pub transactions: TransactionSettings,
    /// What a topic has when it does not say otherwise.
    pub topic: TopicDefaults,
}

/// What transactions may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSettings {
    /// `transaction.max.timeout.ms`: the longest a transaction may be open.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`: how long a transactional id is remembered after its last
    /// transaction.
    pub id_expiration_ms: i64,
    /// Transactional ids that are remembered: a few hundred bytes each. One more is refused.
    pub ids_max: usize,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            // Kafka's quarter of an hour: what is behind an open transaction waits so long.
            timeout_ms_max: 15 * 60_000,
            // Kafka's week.
            id_expiration_ms: 7 * 24 * 3_600_000,
            ids_max: 100_000,
        }
    }
}

/// The settings of a topic, by their Kafka names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `retention.ms`: how long a sealed segment is kept after its last append; `None` for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: bytes a partition keeps at most; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`: a segment is sealed before it grows past this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is sealed this long after its first append.
    pub segment_ms: i64,
    /// `max.message.bytes`: the largest record batch accepted.
    pub max_message_bytes: usize,
    /// `cleanup.policy`: what becomes of old records.
    pub cleanup: Cleanup,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_dirty_millionths: u32,
    /// `delete.retention.ms`: how long compaction keeps a tombstone it has seen.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: how long a record is safe from compaction.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: after this time it is compacted whatever the ratio.
    pub max_compaction_lag_ms: i64,
    /// `message.timestamp.type`: whose clock a record's timestamp is from.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far behind a producer's clock may be.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far ahead it may be.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`: how batches are kept.
    pub compression: TopicCompression,
    /// What Kafka has beside, and what has no effect.
    pub layout: KafkaLayout,
}

impl TopicDefaults {
    /// What the topic takes from producers when the clock says `now_ms`.
    pub(crate) fn produce_rules(&self, now_ms: i64) -> ProduceRules {
        let unbounded = (self.timestamp_before_max_ms, self.timestamp_after_max_ms)
            == (i64::MAX, i64::MAX)
            || self.timestamp_type == TimestampType::LogAppendTime;
        let earliest = now_ms.saturating_sub(self.timestamp_before_max_ms);
        let earliest = if self.timestamp_before_max_ms == i64::MAX { i64::MIN } else { earliest };
        let latest = now_ms.saturating_add(self.timestamp_after_max_ms);
        ProduceRules {
            batch_bytes_max: self.max_message_bytes,
            records: RecordRules {
                keyed: self.cleanup.compact,
                timestamps: (!unbounded).then_some(earliest..=latest),
                ..RecordRules::produced()
            },
        }
    }

    /// After how long a segment is sealed: what is to be compacted in time must be sealed in time.
    pub(crate) fn segment_ms_max(&self) -> i64 {
        if self.cleanup.compact {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

/// `cleanup.policy`. At least one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// Retention removes old segments.
    pub delete: bool,
    /// Compaction leaves the last record of each key.
    pub compact: bool,
}

impl Cleanup {
    /// As Kafka writes it.
    pub fn text(self) -> &'static str {
        match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, _) => "delete",
        }
    }
}

/// `compression.type`: how a topic's batches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicCompression(Option<Compression>);

impl TopicCompression {
    /// As their producer compressed them.
    pub const PRODUCER: Self = Self(None);

    const NAMES: [(&str, Self); 6] = [
        ("producer", Self::PRODUCER),
        ("uncompressed", Self(Some(Compression::None))),
        ("gzip", Self(Some(Compression::Gzip))),
        ("snappy", Self(Some(Compression::Snappy))),
        ("lz4", Self(Some(Compression::Lz4))),
        ("zstd", Self(Some(Compression::Zstd))),
    ];

    /// As Kafka writes it.
    pub fn text(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, kind)| *kind == self);
        named.map(|(name, _)| *name).expect("every codec is in the list")
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
    }

    /// What batches are to be compressed with; `None` leaves them as they are.
    pub(crate) fn codec(self) -> Option<Compression> {
        self.0
    }
}

/// Settings of how Kafka lays out and writes its files. Nothing depends on them here: they are
/// kept, and shown, for the programs that set them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaLayout {
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: i64,
    /// `segment.index.bytes`
    pub segment_index_bytes: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
}

impl Default for KafkaLayout {
    fn default() -> Self {
        Self {
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            index_interval_bytes: 4_096,
            segment_index_bytes: 10 << 20,
            segment_jitter_ms: 0,
        }
    }
}

/// Whose clock a topic's timestamps are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The log's: records get it when they are appended.
    LogAppendTime,
}

impl TimestampType {
    /// As Kafka writes it.
    pub fn text(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::CreateTime, Self::LogAppendTime].into_iter().find(|kind| kind.text() == text)
    }
}

/// A topic's settings as they are now: its partitions look here each time.
#[derive(Debug)]
pub(crate) struct LiveSettings(RwLock<Arc<TopicDefaults>>);

impl LiveSettings {
    pub(crate) fn new(settings: TopicDefaults) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    pub(crate) fn get(&self) -> Arc<TopicDefaults> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn set(&self, settings: TopicDefaults) {
        *self.0.write() = Arc::new(settings);
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            flush: Flush::Always,
            disk_reserve_bytes: 1 << 30,
            append_bytes_in_flight_max: 64 << 20,
            read_bytes_max: 32 << 20,
            tail_bytes_max: 16 << 20,
            partitions_max: 2_000,
            segments_open_max: 128,
            // Seven eighths of two million slots: 55 MB when a partition has as many keys.
            compaction_keys_max: 1_835_008,
            producer_expiration_ms: 24 * 3_600_000,
            producers_max: 200_000,
            transactions: TransactionSettings::default(),
            topic: TopicDefaults::default(),
        }
    }
}

impl Default for TopicDefaults {
    fn default() -> Self {
        Self {
            // Kafka's week.
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            // A quarter of Kafka's: retention works on whole segments, and one is rescanned when
            // its index is lost.
            segment_bytes: 256 << 20,
            segment_ms: 7 * 24 * 3_600_000,
            // Kafka takes 1 MiB; a tracking request of 500 KB must fit however it is escaped.
            max_message_bytes: 4 << 20,
            // What Kafka has, from here on.
            cleanup: Cleanup { delete: true, compact: false },
            min_dirty_millionths: 500_000,
            delete_retention_ms: 24 * 3_600_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compression: TopicCompression::PRODUCER,
            layout: KafkaLayout::default(),
        }
    }
}
