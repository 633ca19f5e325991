//! One partition: its segments, its writer, its readers.
//!
//! Guarantees: the high watermark is what has been fsynced and never goes back; every offset
//! belongs to exactly one batch, whose record compaction may have taken away; after a failed fsync
//! nothing is written any more; a numbered batch is written once and in order, and a transaction's
//! end decides what is stable. Left out: names and settings (store, topic).
//!
//! Five locks, taken in this order: compaction's (one at a time), the writer's lead (who writes the
//! queue to the file), the sync lock (who fsyncs), the files' lock (which sealed files are there:
//! readers share it while they open one, compaction takes it to put others in their place), the
//! state (facts in memory, held for no disk call).

mod append;
mod compact;
mod delete_records;
mod judge;
mod open;
mod producers;
mod read;
mod retain;
mod roll;
mod swap;
mod sync;
mod tail;

pub(crate) use append::{Append, Batches};
pub(crate) use open::Place;
pub(crate) use producers::{Origin, ProducerFacts};
pub(crate) use read::Pieces;

use crate::metrics_names as names;
use crate::reserve::Reserve;
use crate::segment::{self, FileKind, Index, RecoveryPoint, SegmentCache};
use crate::settings::{LiveSettings, LogSettings, TopicDefaults};
use parking_lot::{Mutex, RwLock};
use producers::Producers;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tokio::sync::Notify;
use tradewind_disk::{Disk, DiskFile};
use tradewind_types::log::{ProducerFault, Watermarks};
use tradewind_types::{Clock, LogError, Offset, PartitionId};

/// What all partitions of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: LogSettings,
    pub(crate) cache: SegmentCache,
    pub(crate) reserve: Reserve,
    /// Bytes of batches that wait for the disk.
    pub(crate) bytes_in_flight: AtomicUsize,
    /// Producers with an id that partitions know, over all of them.
    pub(crate) producers: Arc<AtomicUsize>,
    /// Partitions opened so far.
    pub(crate) lives: AtomicU64,
    /// How many partitions there are: they share the memory for tails.
    pub(crate) partitions: AtomicUsize,
}

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    shared: Arc<Shared>,
    /// Tells it from a partition of the same name before it.
    life: u64,
    topic: Arc<str>,
    id: PartitionId,
    dir: PathBuf,
    config: Arc<LiveSettings>,
    queue: Mutex<Vec<append::Pending>>,
    write_lead: Arc<tokio::sync::Mutex<()>>,
    sync_lead: Arc<tokio::sync::Mutex<sync::LastSync>>,
    sync_lock: Mutex<()>,
    files_lock: RwLock<()>,
    compacting: Mutex<()>,
    state: Mutex<State>,
    /// Told when the high watermark moved or the partition stopped.
    synced: Notify,
    /// The topic's readers, told the same.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    sealed: Vec<Arc<Sealed>>,
    active: Active,
    /// The offset the next record gets.
    next_offset: Offset,
    high_watermark: Offset,
    log_start: Offset,
    tail: tail::Tail,
    producers: Producers,
    /// What the newest snapshot of the producers speaks of.
    snapshot_offset: Option<Offset>,
    /// Bytes written since.
    unsnapped_bytes: u64,
    /// Batches written since the last fsync.
    unsynced_batches: u64,
    /// A task is on its way to fsync for appends that did not wait.
    flush_due: bool,
    recovery_point: RecoveryPoint,
    /// When the recovery point moved last, milliseconds.
    recovery_point_at_ms: i64,
    holds: BTreeMap<String, Offset>,
    /// How often compaction has put other segments in place.
    swaps: u64,
    stopped: Option<Stopped>,
}

/// A segment that is not written to any more.
#[derive(Debug)]
struct Sealed {
    base: Offset,
    end: Offset,
    bytes: u64,
    max_timestamp: i64,
    last_append_ms: i64,
    /// Whether it has an index of aborted transactions.
    aborted: bool,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    base: Offset,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    /// Bytes that have been fsynced: what readers see.
    synced_bytes: u64,
    index: Index,
    first_append_ms: i64,
    last_append_ms: i64,
}

/// Why a partition takes no more writes.
#[derive(Debug, Clone)]
enum Stopped {
    Offline(String),
    Deleted,
    Closed,
}

impl Partition {
    pub(crate) fn id(&self) -> PartitionId {
        self.id
    }

    /// The topic's settings as they are now.
    fn config(&self) -> Arc<TopicDefaults> {
        self.config.get()
    }

    pub(crate) fn watermarks(&self) -> Watermarks {
        self.state.lock().watermarks()
    }

    /// What tells a transaction that is going on from one that has ended since, of a producer whose
    /// transaction is not open here; `None` when it is.
    pub(crate) fn transaction_guard(&self, producer_id: i64, epoch: i16) -> Option<Offset> {
        let state = self.state.lock();
        let open = state.producers.is_open(producer_id, epoch);
        (!open).then(|| state.producers.guard(producer_id))
    }

    /// Every producer that numbers its batches, by id.
    pub(crate) fn producers(&self) -> Vec<ProducerFacts> {
        self.state.lock().producers.facts()
    }

    /// Bytes on disk and segments.
    pub(crate) fn size(&self) -> (u64, usize) {
        let state = self.state.lock();
        let sealed: u64 = state.sealed.iter().map(|segment| segment.bytes).sum();
        (sealed + state.active.bytes, state.sealed.len() + 1)
    }

    /// When its oldest segment got its last record, and its newest timestamp, milliseconds.
    pub(crate) fn times(&self) -> (Option<i64>, Option<i64>) {
        let config = self.config();
        let state = self.state.lock();
        let active = (state.active.bytes > 0).then_some(state.active.last_append_ms);
        let oldest = state.sealed.first().map(|segment| segment.newest_ms(&config)).or(active);
        let sealed = state.sealed.iter().map(|segment| segment.max_timestamp).max();
        let newest = sealed.max(Some(state.active.index.max_timestamp()));
        (oldest, newest.filter(|newest| *newest >= 0))
    }

    /// Compaction has been over everything below.
    pub(crate) fn compacted_to(&self) -> Offset {
        self.state.lock().recovery_point.compacted_to
    }

    /// Why the partition is offline, if it is.
    pub(crate) fn offline(&self) -> Option<String> {
        match &self.state.lock().stopped {
            Some(Stopped::Offline(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    pub(crate) fn hold(&self, holder: &str, offset: Option<Offset>) {
        let mut state = self.state.lock();
        match offset {
            Some(offset) => state.holds.insert(holder.to_owned(), offset),
            None => state.holds.remove(holder),
        };
    }

    /// Takes no more writes: the topic is being removed.
    pub(crate) fn stop_deleted(&self) {
        let before = self.state.lock().stopped.replace(Stopped::Deleted);
        if matches!(before, Some(Stopped::Offline(_))) {
            metrics::gauge!(names::OFFLINE_PARTITIONS).decrement(1.0);
        }
        self.tell();
    }

    /// Takes no more writes, for `reason`.
    pub(crate) fn stop(&self, reason: &str) {
        let _sync = self.sync_lock.lock();
        self.go_offline(reason);
    }

    /// Wakes whoever waits for the high watermark.
    fn tell(&self) {
        self.synced.notify_waiters();
        self.changed.notify_waiters();
    }

    /// Takes the partition offline. Called with the sync lock held, so that no later fsync can
    /// succeed in its place.
    fn go_offline(&self, reason: &str) {
        let (file, synced_bytes) = {
            let mut state = self.state.lock();
            if state.stopped.is_none() {
                state.stopped = Some(Stopped::Offline(reason.to_owned()));
                metrics::gauge!(names::OFFLINE_PARTITIONS).increment(1.0);
            }
            (Arc::clone(&state.active.file), state.active.synced_bytes)
        };
        tracing::error!(topic = %self.topic, partition = self.id, reason, "partition is offline");
        // The page cache may show bytes the disk does not have: a restart must not take them for
        // durable. Where this fails too, recovery finds what the disk has.
        if let Err(error) = file.set_len(synced_bytes) {
            tracing::warn!(topic = %self.topic, partition = self.id, %error, "could not cut the file back to what is durable");
        }
        self.tell();
    }

    fn check_running(&self, state: &State) -> Result<(), LogError> {
        match &state.stopped {
            None => Ok(()),
            Some(stopped) => Err(self.stopped_error(stopped)),
        }
    }

    fn stopped_error(&self, stopped: &Stopped) -> LogError {
        let topic = self.topic.to_string();
        match stopped {
            Stopped::Offline(reason) => {
                LogError::Offline { topic, partition: self.id, reason: reason.clone() }
            }
            Stopped::Deleted => LogError::NoTopic { topic },
            Stopped::Closed => LogError::Busy("it is closed".into()),
        }
    }

    fn producer_error(&self, fault: ProducerFault) -> LogError {
        LogError::Producer { topic: self.topic.to_string(), partition: self.id, fault }
    }

    fn path(&self, base: Offset) -> PathBuf {
        segment::path(&self.dir, base, FileKind::Log)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    fn io_error(&self, path: &Path, source: std::io::Error) -> LogError {
        crate::topic_file::io_error(path, source)
    }
}

impl State {
    fn watermarks(&self) -> Watermarks {
        let (log_start, high_watermark) = (self.log_start, self.high_watermark);
        let unstable = self.producers.unstable_from().unwrap_or(high_watermark);
        Watermarks { log_start, last_stable: unstable.min(high_watermark), high_watermark }
    }
}
