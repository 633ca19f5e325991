//! What the modules share: stores on small segments, records that know their number.

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::{Create, Disk, SimDisk};
use tradewind_log::{LogSettings, LogStore, RecoveryReport, TopicDefaults};
use tradewind_types::{Clock, Log, LogError, LogRecord, ManualClock, Offset, Record, TopicSpec};

pub(crate) const TOPIC: &str = "events";
pub(crate) const DIR: &str = "/data/log";

/// Settings under which a few records fill a segment.
pub(crate) fn small() -> LogSettings {
    LogSettings {
        disk_reserve_bytes: 0,
        topic: TopicDefaults { segment_bytes: 4096, ..TopicDefaults::default() },
        ..LogSettings::default()
    }
}

/// A simulated disk with a log on it, and its clock.
pub(crate) struct Fixture {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: LogSettings,
}

impl Fixture {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::at(1_000_000_000)),
            settings: small(),
        }
    }

    pub(crate) fn try_open(&self) -> Result<(LogStore, RecoveryReport), LogError> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        LogStore::open(disk, Path::new(DIR), self.settings.clone(), clock)
    }

    pub(crate) fn open(&self) -> (LogStore, RecoveryReport) {
        self.try_open().unwrap()
    }

    /// Opens the log and makes its one topic, with one partition.
    pub(crate) async fn with_topic(&self) -> LogStore {
        let (store, _) = self.open();
        store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
        store
    }

    /// The files of the partition with this extension, in order.
    pub(crate) fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = self.disk.list(&partition_dir()).unwrap();
        let mut paths: Vec<PathBuf> = entries
            .into_iter()
            .map(|entry| entry.path)
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        paths.sort();
        paths
    }

    /// Removes a file.
    pub(crate) fn disk_remove(&self, path: &Path) {
        self.disk.remove_file(path).unwrap();
    }

    /// Makes a file, durably.
    pub(crate) fn disk_write(&self, path: &Path, bytes: &[u8]) {
        self.disk.write_atomic(path, bytes).unwrap();
    }

    /// Changes one byte of a file, durably.
    pub(crate) fn garble(&self, path: &Path, position: u64) {
        let file = self.disk.open(path, Create::No).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], position).unwrap();
        file.sync().unwrap();
    }
}

pub(crate) fn partition_dir() -> PathBuf {
    Path::new(DIR).join(TOPIC).join("0")
}

/// A record whose value says `number`, padded to `bytes`.
pub(crate) fn record(number: u64, bytes: usize) -> Record {
    let mut value = number.to_string().into_bytes();
    value.resize(bytes.max(value.len()), b' ');
    Record {
        timestamp_ms: number as i64 * 10,
        key: Some(Bytes::from(format!("k{}", number % 7))),
        value: Some(Bytes::from(value)),
        headers: vec![(Bytes::from_static(b"n"), Some(Bytes::from(number.to_string())))],
    }
}

/// The number a record was made with.
pub(crate) fn number(record: &Record) -> u64 {
    let value = String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap();
    value.trim_end().parse().unwrap()
}

/// Appends the records numbered `numbers` as one batch.
pub(crate) async fn append(
    store: &LogStore,
    numbers: std::ops::Range<u64>,
) -> Result<Offset, LogError> {
    let records = numbers.map(|n| record(n, 100)).collect();
    Ok(store.append(TOPIC, 0, records).await?.base_offset)
}

/// Everything that can be read of a partition, checking that offsets are dense.
pub(crate) async fn read_all(store: &LogStore, topic: &str, partition: i32) -> Vec<LogRecord> {
    let marks = store.watermarks(topic, partition).unwrap();
    let mut out: Vec<LogRecord> = Vec::new();
    let mut from = marks.log_start;
    while from < marks.high_watermark {
        let read = store.read(topic, partition, from, 1000).await.unwrap();
        assert!(!read.is_empty(), "nothing at {from} below {}", marks.high_watermark);
        for record in &read {
            assert_eq!(record.offset, from);
            from += 1;
        }
        out.extend(read);
    }
    out
}

pub(crate) async fn numbers(store: &LogStore) -> Vec<u64> {
    read_all(store, TOPIC, 0).await.iter().map(|read| number(&read.record)).collect()
}
