//! The store: every topic and partition under one folder.
//!
//! Guarantees: one process at a time; a topic is there whole or not at all, whenever the power
//! fails. Left out: what a partition does with its files (partition).

mod admin;
mod alter;
mod log_trait;
mod open;
mod own;

pub(crate) use alter::Change;

use crate::batch::{self, BatchFault, Marker};
use crate::blocking;
use crate::partition::{Append, Batches, Origin, Partition, Pieces, ProducerFacts, Shared};
use crate::report::RecoveryReport;
use crate::settings::{LiveSettings, LogSettings, TimestampType};
use crate::topic_file::TopicFile;
use crate::transactions::Coordinator;
use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tradewind_disk::{Disk, DiskFile};
use tradewind_types::log::{BadRecords, Isolation, Watermarks};
use tradewind_types::{Clock, LogError, Offset, PartitionId, TopicInfo};

/// Compressed batches of producers that are inflated at once: each may take 16 MiB.
const INFLATING_MAX: usize = 4;

/// A log on a disk. Clones share it.
#[derive(Debug, Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    dir: PathBuf,
    topics: RwLock<Topics>,
    /// One topic is made or removed at a time.
    admin: Arc<tokio::sync::Mutex<()>>,
    inflating: Semaphore,
    closed: AtomicBool,
    /// The one coordinator of this log's transactions, while anybody uses it. It holds the store.
    transactions: Mutex<Weak<Coordinator>>,
    /// Held open, and so locked, until the store is closed.
    lock: Mutex<Option<Arc<dyn DiskFile>>>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: BTreeMap<[u8; 16], Arc<Topic>>,
}

#[derive(Debug)]
struct Topic {
    file: TopicFile,
    config: Arc<LiveSettings>,
    partitions: Vec<Arc<Partition>>,
    /// Sends whenever a high watermark moves, or the topic goes.
    changed: Arc<Notify>,
    deleted: Arc<AtomicBool>,
}

/// Where a producer's batches landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAppended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The time the log gave the batches, milliseconds; -1 where the topic keeps the producer's.
    pub append_time_ms: i64,
    /// The first offset the partition keeps.
    pub log_start: Offset,
}

/// Whole record batches as they lie on disk.
#[derive(Debug, Clone)]
pub struct RawRead {
    /// Whole batches in order. The first one may start before the offset asked for, or, where
    /// compaction took the records between, after it.
    pub bytes: Bytes,
    /// The readable range at the time of the read.
    pub watermarks: Watermarks,
}

/// A partition as it is, for system tables, `/metrics` and administrators.
pub type PartitionStats = tradewind_types::log::PartitionFigures;

/// What a round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Segments removed.
    pub segments: u64,
    /// Bytes they had.
    pub bytes: u64,
    /// Holds of pipelines that were overridden, because the disk's reserve was reached.
    pub holds_overridden: u64,
    /// Segments that compaction has written anew, as they are now.
    pub compacted_segments: u64,
    /// Bytes that compaction has saved.
    pub compacted_bytes: u64,
}

impl LogStore {
    /// Opens (or makes) the log in `dir`, recovering what a crash left. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Busy`] when another process has it open, [`LogError::Invalid`] for a format
    /// version this release does not read, [`LogError::Corrupt`] when a topic's folder makes no
    /// sense (corrupt segments are reported and do not fail it), [`LogError::Io`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: LogSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RecoveryReport), LogError> {
        open::open(disk, dir, settings, clock)
    }

    /// Appends a producer's record batches (v2, one or more). They are stored as sent, compression
    /// included; only base offset and leader epoch are rewritten. `durable` waits for the fsync
    /// (`acks=all`); otherwise it returns once written, and the fsync follows.
    ///
    /// # Errors
    /// [`LogError::Invalid`] names the batch and what does not hold; the rest as
    /// [`tradewind_types::Log::append`].
    pub async fn append_raw(
        &self,
        topic: &str,
        partition: PartitionId,
        batches: Bytes,
        durable: bool,
    ) -> Result<RawAppended, LogError> {
        self.append_verified(topic, partition, batches, durable, None).await
    }

    /// As [`LogStore::append_raw`]. `verified` is what [`LogStore::transaction_guard`] said before
    /// the coordinator of the batch's transaction said that the partition is part of it.
    pub(crate) async fn append_verified(
        &self,
        topic: &str,
        partition: PartitionId,
        batches: Bytes,
        durable: bool,
        verified: Option<Offset>,
    ) -> Result<RawAppended, LogError> {
        let (topic, partition) = self.partition(topic, partition)?;
        let mut append = self.check_produced(&topic, batches, verified).await?;
        let append_time_ms = self.stamp(&topic, &mut append);
        let base_offset = partition.append(append, durable).await?;
        let log_start = partition.watermarks().log_start;
        Ok(RawAppended { base_offset, append_time_ms, log_start })
    }

    /// Gives the batches the log's time, where the topic wants that; answers it, or -1.
    fn stamp(&self, topic: &Topic, append: &mut Append) -> i64 {
        if topic.config.get().timestamp_type == TimestampType::CreateTime {
            return -1;
        }
        let now_ms = self.inner.shared.clock.now_ms();
        append.stamp(now_ms);
        now_ms
    }

    /// What tells a transaction that goes on from one that has ended meanwhile; `None` when this
    /// partition knows it as open.
    pub(crate) fn transaction_guard(
        &self,
        topic: &str,
        partition: PartitionId,
        (producer_id, epoch): (i64, i16),
    ) -> Result<Option<Offset>, LogError> {
        Ok(self.partition(topic, partition)?.1.transaction_guard(producer_id, epoch))
    }

    /// Ends a transaction in a partition, durably.
    pub(crate) async fn append_marker(
        &self,
        topic: &str,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<(), LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        let bytes = batch::marker(marker, self.inner.shared.clock.now_ms());
        let header = batch::parse_header(&bytes).expect("it was encoded just now");
        let spans = vec![batch::BatchSpan { position: 0, header }];
        let origin = Origin::Marker(marker);
        partition.append(Append { batches: Batches::Own(bytes), spans, origin }, true).await?;
        Ok(())
    }

    /// The coordinator of this log's transactions: the same for everybody who asks.
    pub(crate) fn transactions(&self) -> Arc<Coordinator> {
        let mut known = self.inner.transactions.lock();
        if let Some(coordinator) = known.upgrade() {
            return coordinator;
        }
        let coordinator = Coordinator::new(self.clone());
        *known = Arc::downgrade(&coordinator);
        coordinator
    }

    /// What the coordinator of this log's transactions is built on.
    pub(crate) fn parts(&self) -> (Arc<dyn Disk>, Arc<dyn Clock>, LogSettings, PathBuf) {
        let shared = &self.inner.shared;
        let (disk, clock) = (Arc::clone(&shared.disk), Arc::clone(&shared.clock));
        (disk, clock, shared.settings.clone(), self.inner.dir.clone())
    }

    /// Removes the sealed segments that end at or below `offset`.
    pub(crate) async fn remove_below(
        &self,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        blocking::run(move || partition.remove_below(offset)).await
    }

    /// Every producer a partition knows, by id.
    pub(crate) fn producers(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Vec<ProducerFacts>, LogError> {
        Ok(self.partition(topic, partition)?.1.producers())
    }

    /// Waits until everything below `end` is durable, so that what was appended without waiting
    /// can be answered later.
    ///
    /// # Errors
    /// [`LogError::Offline`] when the fsync fails.
    pub async fn synced_to(
        &self,
        topic: &str,
        partition: PartitionId,
        end: Offset,
    ) -> Result<(), LogError> {
        self.partition(topic, partition)?.1.synced_to(end).await
    }

    async fn check_produced(
        &self,
        topic: &Topic,
        batches: Bytes,
        verified: Option<Offset>,
    ) -> Result<Append, LogError> {
        let config = topic.config.get();
        let rules = config.produce_rules(self.inner.shared.clock.now_ms());
        let spans = batch::parse_batches(&batches).map_err(refused)?;
        let codec = config.compression.codec();
        let plain = spans.iter().all(|span| !span.header.compressed())
            && codec.is_none_or(|codec| codec == batch::Compression::None);
        let check = move || {
            batch::check_spans(&batches, &spans, &rules).map_err(refused)?;
            let append = Append {
                batches: Batches::Sent(batches),
                spans,
                origin: Origin::Client { verified },
            };
            append.compressed(codec, rules.batch_bytes_max)
        };
        if plain {
            return check();
        }
        let _permit = self.inner.inflating.acquire().await.expect("it is never closed");
        blocking::run(check).await
    }

    /// Whole batches from the one that holds `from`, below the high watermark, about `max_bytes`
    /// (at least one batch when there is one). Empty at the high watermark. Batches of open and
    /// aborted transactions are among them, and the markers that end them.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`], [`LogError::Corrupt`] when the batch asked for is not what was
    /// written.
    pub async fn read_raw(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<RawRead, LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        let read = partition.read(from, max_bytes, Isolation::ReadUncommitted).await?;
        let mut bytes = BytesMut::with_capacity(read.bytes());
        read.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        Ok(RawRead { bytes: bytes.freeze(), watermarks: read.watermarks })
    }

    /// As [`LogStore::read_raw`], in the pieces it is found in; for who reads what is committed only
    /// up to the last stable offset, and with what was aborted. Without `may_block` it is `None`
    /// when that cannot be told from memory.
    ///
    /// # Errors
    /// Those of [`LogStore::read_raw`].
    pub(crate) fn read_pieces(
        &self,
        (topic, partition): (&str, PartitionId),
        (from, max_bytes): (Offset, usize),
        isolation: Isolation,
        may_block: bool,
    ) -> Result<Option<Pieces>, LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        match may_block {
            true => partition.read_blocking(from, max_bytes, isolation).map(Some),
            false => partition.read_recent(from, max_bytes, isolation),
        }
    }

    /// A topic by Kafka's topic id.
    pub fn topic_by_id(&self, id: [u8; 16]) -> Option<TopicInfo> {
        self.inner.topics.read().by_id.get(&id).map(|topic| topic.info())
    }

    /// Every partition as it is, by topic and number.
    pub fn stats(&self) -> Vec<PartitionStats> {
        let topics = self.inner.topics.read();
        let partitions = topics.by_name.values().flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let (bytes, segments) = partition.size();
                let (oldest_ms, newest_ms) = partition.times();
                PartitionStats {
                    topic: topic.file.name.clone(),
                    partition: partition.id(),
                    watermarks: partition.watermarks(),
                    bytes,
                    segments,
                    compacted_to: partition.compacted_to(),
                    oldest_ms,
                    newest_ms,
                    offline: partition.offline(),
                }
            })
        });
        partitions.collect()
    }

    /// Applies retention and compaction to every partition, and makes durable what nobody waits for. Pipelines
    /// must have said what they hold before the first round.
    ///
    /// # Errors
    /// The first failure; the other partitions are looked after all the same.
    pub async fn maintain_once(&self) -> Result<Maintained, LogError> {
        let this = self.clone();
        blocking::run(move || this.maintain_blocking()).await
    }

    fn maintain_blocking(&self) -> Result<Maintained, LogError> {
        let forced = self.inner.shared.reserve.reached()?;
        let partitions: Vec<Arc<Partition>> = {
            let topics = self.inner.topics.read();
            topics.by_name.values().flat_map(|topic| topic.partitions.iter().cloned()).collect()
        };
        let mut done = Maintained::default();
        let mut failed = None;
        let mut note = |error: LogError| {
            tracing::warn!(%error, "a partition could not be maintained");
            failed.get_or_insert(error);
        };
        for partition in &partitions {
            match partition.flush().and_then(|()| partition.retain(forced)) {
                Ok(retained) => {
                    done.segments += retained.segments;
                    done.bytes += retained.bytes;
                    done.holds_overridden += retained.holds_overridden;
                }
                Err(error) => note(error),
            }
        }
        // Retention first, everywhere: compaction may take long, and needs room.
        for partition in &partitions {
            match partition.compact() {
                Ok(compacted) => {
                    done.compacted_segments += compacted.segments;
                    done.compacted_bytes += compacted.bytes_saved;
                }
                Err(error) => note(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Runs [`LogStore::maintain_once`] every `every` until the store is closed.
    pub async fn maintain(&self, every: Duration) {
        while !self.inner.closed.load(Ordering::Relaxed) {
            tokio::time::sleep(every).await;
            if let Err(error) = self.maintain_once().await {
                tracing::warn!(%error, "log maintenance failed");
            }
        }
    }

    /// Makes everything written durable, takes no more appends and lets go of the folder.
    ///
    /// # Errors
    /// The first partition that could not be closed; the others are closed all the same.
    pub async fn close(&self) -> Result<(), LogError> {
        let _admin = self.inner.admin.lock().await;
        self.inner.closed.store(true, Ordering::Relaxed);
        let topics: Vec<Arc<Topic>> = self.inner.topics.read().by_name.values().cloned().collect();
        let mut failed = None;
        for topic in &topics {
            for partition in &topic.partitions {
                if let Err(error) = partition.close().await {
                    tracing::warn!(%error, "a partition could not be closed");
                    failed.get_or_insert(error);
                }
            }
        }
        self.inner.lock.lock().take();
        failed.map_or(Ok(()), Err)
    }

    fn topic_named(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let topics = self.inner.topics.read();
        topics
            .by_name
            .get(name)
            .cloned()
            .ok_or_else(|| LogError::NoTopic { topic: name.to_owned() })
    }

    fn partition(
        &self,
        name: &str,
        partition: PartitionId,
    ) -> Result<(Arc<Topic>, Arc<Partition>), LogError> {
        let topic = self.topic_named(name)?;
        let found =
            usize::try_from(partition).ok().and_then(|id| topic.partitions.get(id)).cloned();
        match found {
            Some(partition) => Ok((topic, partition)),
            None => Err(LogError::NoPartition { topic: name.to_owned(), partition }),
        }
    }
}

/// Why a producer's batches are not taken.
fn refused(error: batch::BatchError) -> LogError {
    let reason = error.to_string();
    let records = error.records;
    match error.fault {
        BatchFault::Corrupt | BatchFault::TooLarge => LogError::Invalid(reason),
        BatchFault::Record => LogError::InvalidRecord(BadRecords { reason, records }),
        BatchFault::Timestamp => LogError::InvalidTimestamp(BadRecords { reason, records }),
    }
}

impl Topic {
    fn info(&self) -> TopicInfo {
        TopicInfo {
            name: self.file.name.clone(),
            id: self.file.id.into_bytes(),
            partitions: self.file.partitions,
            settings: self.file.settings.clone(),
        }
    }
}

impl Topics {
    fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.file.id.into_bytes(), Arc::clone(&topic));
        self.by_name.insert(topic.file.name.clone(), topic);
    }

    fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.by_name.remove(name)?;
        self.by_id.remove(topic.file.id.as_bytes());
        Some(topic)
    }
}
