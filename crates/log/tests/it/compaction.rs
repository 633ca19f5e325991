//! Compaction by key: against a map, with every compression, beside readers, in small memory.

use crate::support::{DIR, Fixture, TOPIC};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use tradewind_log::{Cleanup, LogSettings, LogStore, batch};
use tradewind_types::{Clock, Log, LogError, LogRecord, Record, TopicSpec};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// Settings under which every sealed segment is compacted in each round.
pub(crate) fn compacting(settings: &mut LogSettings) {
    settings.topic.cleanup = Cleanup { delete: false, compact: true };
    settings.topic.min_dirty_millionths = 0;
    settings.topic.segment_bytes = 1024;
    settings.tail_bytes_max = 0;
}

pub(crate) fn fixture(seed: u64) -> Fixture {
    let mut fixture = Fixture::new(seed);
    compacting(&mut fixture.settings);
    fixture
}

pub(crate) fn keyed(key: u64, value: Option<u64>) -> Record {
    Record {
        timestamp_ms: value.unwrap_or(0) as i64,
        key: Some(Bytes::from(format!("key {key}"))),
        value: value.map(|value| Bytes::from(format!("{value:040}"))),
        headers: vec![(Bytes::from_static(b"h"), None)],
    }
}

async fn put(store: &LogStore, key: u64, value: Option<u64>) -> i64 {
    store.append(TOPIC, 0, vec![keyed(key, value)]).await.unwrap().base_offset
}

/// Everything there is, read in small pieces; offsets ascend.
pub(crate) async fn read_all(store: &LogStore, topic: &str) -> Result<Vec<LogRecord>, LogError> {
    let marks = store.watermarks(topic, 0)?;
    let mut all: Vec<LogRecord> = Vec::new();
    let mut from = marks.log_start;
    while from < marks.high_watermark {
        let read = store.read(topic, 0, from, 200).await?;
        let Some(last) = read.last() else { break };
        assert!(read[0].offset >= from && last.offset < marks.high_watermark);
        assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
        from = last.offset + 1;
        all.extend(read);
    }
    Ok(all)
}

/// What a reader who keeps a map has in the end.
pub(crate) fn folded(records: &[LogRecord]) -> BTreeMap<Bytes, Bytes> {
    let mut map = BTreeMap::new();
    for LogRecord { record, .. } in records {
        let key = record.key.clone().unwrap();
        match &record.value {
            Some(value) => drop(map.insert(key, value.clone())),
            None => drop(map.remove(&key)),
        }
    }
    map
}

#[tokio::test]
async fn of_each_key_the_last_record_stays_at_its_offset() {
    let fixture = fixture(1);
    let store = fixture.with_topic().await;
    let mut last = HashMap::new();
    for value in 0..300 {
        let key = value % 11;
        last.insert(key, put(&store, key, Some(value)).await);
    }
    let before = store.stats()[0].clone();
    let all = read_all(&store, TOPIC).await.unwrap();
    let done = store.maintain_once().await.unwrap();
    assert!(done.compacted_segments > 0 && done.compacted_bytes > 0, "{done:?}");
    let after = store.stats()[0].clone();
    assert!(after.bytes * 4 < before.bytes && after.segments < before.segments, "{after:?}");
    assert_eq!(after.watermarks, before.watermarks);
    let left = read_all(&store, TOPIC).await.unwrap();
    assert_eq!(folded(&left), folded(&all));
    for offset in last.values() {
        let found = left.iter().find(|record| record.offset == *offset).unwrap();
        assert_eq!(Some(found), all.iter().find(|record| record.offset == *offset));
    }
    // What is sealed has each key once; the active segment is as it was.
    let sealed_end = after.compacted_to;
    let mut keys: Vec<_> =
        left.iter().filter(|r| r.offset < sealed_end).map(|r| r.record.key.clone()).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    assert_eq!(
        left.iter().filter(|r| r.offset >= sealed_end).collect::<Vec<_>>(),
        all.iter().filter(|r| r.offset >= sealed_end).collect::<Vec<_>>()
    );
    // Nothing to do: nothing is done.
    assert_eq!(store.maintain_once().await.unwrap().compacted_segments, 0);
    // A restart finds it so, whether it was closed or not, and with its indexes or without.
    drop(store);
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty() && report.indexes_rebuilt == 0, "{report:?}");
    assert_eq!(read_all(&store, TOPIC).await.unwrap(), left);
    drop(store);
    for file in fixture.files("index") {
        fixture.disk_remove(&file);
    }
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty() && report.indexes_rebuilt > 0, "{report:?}");
    assert_eq!(read_all(&store, TOPIC).await.unwrap(), left);
    assert_eq!(store.stats()[0].compacted_to, sealed_end);
}

#[tokio::test]
async fn a_tombstone_stays_its_time_and_the_key_is_gone_for_good() {
    let mut fixture = fixture(2);
    fixture.settings.topic.delete_retention_ms = 2 * 24 * 3_600_000;
    let store = fixture.with_topic().await;
    for value in 0..40 {
        put(&store, value % 4, Some(value)).await;
    }
    let tombstone = put(&store, 2, None).await;
    for value in 40..100 {
        put(&store, 7, Some(value)).await;
    }
    store.maintain_once().await.unwrap();
    let of_two = |records: &[LogRecord]| -> Vec<i64> {
        let of = |record: &&LogRecord| record.record.key.as_deref() == Some(b"key 2");
        records.iter().filter(of).map(|record| record.offset).collect()
    };
    assert_eq!(of_two(&read_all(&store, TOPIC).await.unwrap()), [tombstone], "it is kept");
    // A day later it is still there, three days later it goes, if there is something to do.
    for (day, expected) in [(1, vec![tombstone]), (3, vec![])] {
        fixture.clock.advance_us(day * DAY_US);
        for value in 0..60 {
            put(&store, 9, Some(value)).await;
        }
        store.maintain_once().await.unwrap();
        let left = read_all(&store, TOPIC).await.unwrap();
        assert_eq!(of_two(&left), expected, "day {day}");
        let time = left.iter().find(|r| r.offset == tombstone).map(|r| r.record.timestamp_ms);
        assert!(time.is_none_or(|time| time == 0), "its timestamp is its own: {time:?}");
    }
    drop(store);
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert!(of_two(&read_all(&store, TOPIC).await.unwrap()).is_empty());
}

#[tokio::test]
async fn more_keys_than_the_map_holds_take_several_rounds() {
    let mut fixture = fixture(3);
    fixture.settings.compaction_keys_max = 10;
    let store = fixture.with_topic().await;
    for value in 0..400 {
        put(&store, value % 50, Some(value)).await;
    }
    let before = folded(&read_all(&store, TOPIC).await.unwrap());
    let (mut rounds, mut reached) = (0, 0);
    loop {
        store.maintain_once().await.unwrap();
        assert_eq!(folded(&read_all(&store, TOPIC).await.unwrap()), before);
        let now = store.stats()[0].compacted_to;
        if now == reached {
            break;
        }
        assert!(now > reached, "each round gets further: {now}");
        reached = now;
        rounds += 1;
    }
    assert!(reached > 380, "{reached}");
    assert!(rounds > 3, "{rounds}");
    let left = read_all(&store, TOPIC).await.unwrap();
    assert!(left.len() < 50 + 50, "{}", left.len());
}

#[tokio::test]
async fn producers_batches_of_every_compression_are_compacted() {
    let fixture = fixture(4);
    let store = fixture.with_topic().await;
    let mut expected = BTreeMap::new();
    for round in 0..40_u64 {
        for bits in 0..5_i16 {
            let records: Vec<Record> =
                (0..6).map(|key| keyed(key * 5 + bits as u64, Some(round))).collect();
            for record in &records {
                expected.insert(record.key.clone().unwrap(), record.value.clone().unwrap());
            }
            let bytes = crate::compressed::compressed_batch(&records, bits);
            store.append_raw(TOPIC, 0, bytes, true).await.unwrap();
        }
    }
    let before = store.stats()[0].bytes;
    store.maintain_once().await.unwrap();
    let left = read_all(&store, TOPIC).await.unwrap();
    assert_eq!(folded(&left), expected);
    assert!(store.stats()[0].bytes * 3 < before);
    // The wire sees whole batches with the codec they were sent with.
    let mut codecs = std::collections::BTreeSet::new();
    let marks = store.watermarks(TOPIC, 0).unwrap();
    let mut from = marks.log_start;
    while from < marks.high_watermark {
        let read = store.read_raw(TOPIC, 0, from, 1).await.unwrap();
        let spans = batch::parse_batches(&read.bytes).unwrap();
        let header = spans[0].header;
        assert!(header.records > 0 && header.end_offset() > from);
        codecs.insert(header.attributes & 7);
        from = spans.last().unwrap().header.end_offset();
    }
    assert_eq!(codecs.len(), 5);
}

#[tokio::test]
async fn records_without_a_key_are_refused_and_old_ones_go() {
    let mut fixture = fixture(5);
    fixture.settings.topic.cleanup = Cleanup { delete: true, compact: false };
    let store = fixture.with_topic().await;
    let keyless = Record { key: None, ..keyed(0, Some(1)) };
    store.append(TOPIC, 0, vec![keyless.clone()]).await.unwrap();
    drop(store);
    fixture.settings.topic.cleanup = Cleanup { delete: false, compact: true };
    let (store, _) = fixture.open();
    let refused = store.append(TOPIC, 0, vec![keyless.clone()]).await.unwrap_err();
    assert!(matches!(refused, LogError::InvalidRecord(_)), "{refused}");
    let bytes = crate::power_cut::produced(&[keyless]);
    let refused = store.append_raw(TOPIC, 0, bytes.into(), true).await.unwrap_err();
    assert!(matches!(refused, LogError::InvalidRecord(_)), "{refused}");
    for value in 0..60 {
        put(&store, 1, Some(value)).await;
    }
    store.maintain_once().await.unwrap();
    let left = read_all(&store, TOPIC).await.unwrap();
    assert!(left.iter().all(|record| record.record.key.is_some()), "{left:?}");
}

#[tokio::test]
async fn young_records_wait_and_a_clean_log_is_left_alone() {
    let mut fixture = fixture(6);
    fixture.settings.topic.min_compaction_lag_ms = 3_600_000;
    fixture.settings.topic.min_dirty_millionths = 900_000;
    let store = fixture.with_topic().await;
    let now = fixture.clock.now_ms() as u64;
    for value in 0..80 {
        put(&store, 1, Some(now + value)).await;
    }
    assert_eq!(store.maintain_once().await.unwrap().compacted_segments, 0, "too young");
    fixture.clock.advance_us(2 * 3_600_000_000);
    assert!(store.maintain_once().await.unwrap().compacted_segments > 0);
    // Little of it is new now.
    for value in 0..40 {
        put(&store, value, Some(now + value)).await;
    }
    fixture.clock.advance_us(2 * 3_600_000_000);
    store.maintain_once().await.unwrap();
    let held = store.stats()[0].compacted_to;
    for value in 0..8 {
        put(&store, value, Some(now + value)).await;
    }
    fixture.clock.advance_us(2 * 3_600_000_000);
    assert_eq!(store.maintain_once().await.unwrap().compacted_segments, 0, "hardly dirty");
    assert_eq!(store.stats()[0].compacted_to, held);
}

#[tokio::test]
async fn compact_and_delete_together_do_both() {
    let mut fixture = fixture(7);
    fixture.settings.topic.cleanup = Cleanup { delete: true, compact: true };
    fixture.settings.topic.retention_ms = Some(24 * 3_600_000);
    let store = fixture.with_topic().await;
    let now = fixture.clock.now_ms() as u64;
    for value in 0..80 {
        put(&store, value % 3, Some(now + value)).await;
    }
    store.maintain_once().await.unwrap();
    assert!(read_all(&store, TOPIC).await.unwrap().len() < 40);
    fixture.clock.advance_us(2 * DAY_US);
    store.maintain_once().await.unwrap();
    let marks = store.watermarks(TOPIC, 0).unwrap();
    assert_eq!((marks.log_start, marks.high_watermark), (80, 80));
}

#[tokio::test]
async fn an_offset_by_time_is_that_of_a_record_that_is_there() {
    let fixture = fixture(8);
    let store = fixture.with_topic().await;
    for value in 0..200 {
        put(&store, value % 7, Some(value * 10)).await;
    }
    store.maintain_once().await.unwrap();
    let left = read_all(&store, TOPIC).await.unwrap();
    for time in (0..2_100).step_by(7) {
        let due = left.iter().find(|record| record.record.timestamp_ms >= time);
        let found = store.offset_at(TOPIC, 0, time).await.unwrap();
        assert_eq!(found, due.map(|record| record.offset), "{time}");
    }
}

/// As a consumer reads: up to where the log ends when it gets there.
async fn read_to_the_end(store: &LogStore) -> Vec<LogRecord> {
    let mut all: Vec<LogRecord> = Vec::new();
    let mut from = 0;
    loop {
        let read = store.read(TOPIC, 0, from, 200).await.unwrap();
        let Some(last) = read.last() else { return all };
        from = last.offset + 1;
        all.extend(read);
    }
}

/// Readers go on while segments are swapped under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_every_key_while_compaction_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = crate::support::small();
    compacting(&mut settings);
    settings.segments_open_max = 2;
    let clock: Arc<dyn Clock> = Arc::new(tradewind_types::SystemClock);
    let disk = Arc::new(tradewind_disk::OsDisk);
    let (store, _) = LogStore::open(disk, folder.path(), settings, clock).unwrap();
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    for value in 0..100 {
        put(&store, value % 20, Some(value)).await;
    }
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (store, done) = (store.clone(), Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let records = read_to_the_end(&store).await;
                assert_eq!(folded(&records).len(), 20);
                assert!(store.offset_at(TOPIC, 0, 1).await.unwrap().is_some());
                reads += 1;
            }
            reads
        }));
    }
    let mut compacted = 0;
    for value in 100..600 {
        put(&store, value % 20, Some(value)).await;
        if value % 10 == 0 {
            compacted += store.maintain_once().await.unwrap().compacted_segments;
        }
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert!(compacted > 10, "{compacted}");
}

#[derive(Debug, Clone)]
enum Operation {
    Put { key: u64, records: u8 },
    Remove { key: u64 },
    Compact,
    Wait { hours: i64 },
    Reopen { close: bool },
    DeleteBefore { share: u8 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (0..9_u64, 1..5_u8).prop_map(|(key, records)| Operation::Put { key, records }),
        3 => (0..9_u64).prop_map(|key| Operation::Remove { key }),
        3 => Just(Operation::Compact),
        1 => (1..40_i64).prop_map(|hours| Operation::Wait { hours }),
        1 => any::<bool>().prop_map(|close| Operation::Reopen { close }),
        1 => any::<u8>().prop_map(|share| Operation::DeleteBefore { share }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, a reader from the start ends with the map that the writer has; a deletion
    /// of records takes what it says and nothing else.
    #[test]
    fn the_log_is_a_map(
        operations in prop::collection::vec(operation(), 1..150),
        keys_max in prop_oneof![Just(3_usize), Just(1_000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut fixture = fixture(9);
            fixture.settings.topic.cleanup.delete = true;
            fixture.settings.topic.retention_ms = None;
            fixture.settings.compaction_keys_max = keys_max;
            let mut store = fixture.with_topic().await;
            let mut model: BTreeMap<Bytes, (i64, Bytes)> = BTreeMap::new();
            let mut number = 0;
            for operation in operations {
                match operation {
                    Operation::Put { key, records } => {
                        let made: Vec<Record> = (0..u64::from(records)).map(|n| {
                            number += 1;
                            keyed((key + n) % 9, Some(number))
                        }).collect();
                        let base = store.append(TOPIC, 0, made.clone()).await.unwrap().base_offset;
                        for (offset, record) in (base..).zip(made) {
                            model.insert(record.key.unwrap(), (offset, record.value.unwrap()));
                        }
                    }
                    Operation::Remove { key } => {
                        put(&store, key, None).await;
                        model.remove(&keyed(key, None).key.unwrap());
                    }
                    Operation::Compact => drop(store.maintain_once().await.unwrap()),
                    Operation::Wait { hours } => fixture.clock.advance_us(hours * 3_600_000_000),
                    Operation::Reopen { close } => {
                        if close {
                            store.close().await.unwrap();
                        }
                        drop(store);
                        let (opened, report) = fixture.open();
                        assert!(report.corruptions.is_empty() && report.torn_tails.is_empty());
                        store = opened;
                    }
                    Operation::DeleteBefore { share } => {
                        let marks = store.watermarks(TOPIC, 0).unwrap();
                        let span = marks.high_watermark - marks.log_start;
                        let before = marks.log_start + span * i64::from(share) / 2_000;
                        let start = store.delete_records(TOPIC, 0, Some(before)).await.unwrap();
                        assert_eq!(start, before);
                        model.retain(|_, (offset, _)| *offset >= before);
                    }
                }
                let read = read_all(&store, TOPIC).await.unwrap();
                let expected: BTreeMap<Bytes, Bytes> =
                    model.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect();
                assert_eq!(folded(&read), expected);
                for record in &read {
                    let alone = store.read(TOPIC, 0, record.offset, 1).await.unwrap();
                    assert_eq!(&alone[0], record);
                }
            }
        });
    }
}

/// The folder holds nothing but segments once it has been opened.
#[tokio::test]
async fn what_an_interrupted_compaction_left_is_taken_away() {
    let fixture = fixture(10);
    let store = fixture.with_topic().await;
    for value in 0..100 {
        put(&store, value % 3, Some(value)).await;
    }
    let left = read_all(&store, TOPIC).await.unwrap();
    drop(store);
    let leftover = Path::new(DIR).join(TOPIC).join("0").join(format!("{:020}.compacting", 0));
    fixture.disk_write(&leftover, b"half a segment");
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert_eq!(read_all(&store, TOPIC).await.unwrap(), left);
    assert!(fixture.files("compacting").is_empty());
}
