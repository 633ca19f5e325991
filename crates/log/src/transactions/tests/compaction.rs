//! Compaction of what was written in transactions.

use super::*;
use crate::batch::BatchHeader;
use crate::settings::Cleanup;
use std::collections::BTreeMap;
use tradewind_types::{LogRecord, Offset};

const HOUR_US: i64 = 3_600_000_000;

fn compacting() -> Fixture {
    let mut fixture = Fixture::new();
    let topic = &mut fixture.settings.topic;
    topic.cleanup = Cleanup { delete: false, compact: true };
    topic.min_dirty_millionths = 0;
    topic.delete_retention_ms = HOUR_US / 1_000;
    fixture.settings.tail_bytes_max = 0;
    fixture
}

fn record(key: &str, value: Option<i32>) -> Record {
    let value = value.map(|value| Bytes::from(format!("{value:0>150}")));
    Record { key: Some(Bytes::from(key.to_owned())), value, ..Record::default() }
}

/// A numbered batch of one record; its offset.
async fn put(
    coordinator: &Coordinator,
    client: Identity,
    (sequence, transactional): (i32, bool),
    record: Record,
) -> Offset {
    let batch = batch::numbered(&[record], client, sequence, transactional);
    let guard = coordinator.store.transaction_guard("t", 0, client).unwrap();
    let appended = coordinator.store.append_verified("t", 0, batch, true, guard).await;
    appended.unwrap().base_offset
}

/// Fills segments, so that those before are sealed.
async fn fill(coordinator: &Coordinator) {
    for _ in 0..12 {
        coordinator.store.append("t", 0, vec![record("filler", Some(0))]).await.unwrap();
    }
}

async fn read(coordinator: &Coordinator, isolation: Isolation) -> Vec<LogRecord> {
    let store = &coordinator.store;
    let (mut from, mut all) = (store.watermarks("t", 0).unwrap().log_start, Vec::new());
    loop {
        let read = store.read_on("t", 0, from, 500, isolation).await.unwrap();
        if read.next == from {
            return all;
        }
        all.extend(read.records);
        from = read.next;
    }
}

/// What a reader of `isolation` who keeps a map has in the end.
async fn folded(coordinator: &Coordinator, isolation: Isolation) -> BTreeMap<Bytes, Bytes> {
    let mut map = BTreeMap::new();
    for LogRecord { record, .. } in read(coordinator, isolation).await {
        match (record.key.unwrap(), record.value) {
            (key, Some(value)) => drop(map.insert(key, value)),
            (key, None) => drop(map.remove(&key)),
        }
    }
    map
}

/// The batches as they lie there.
fn batches(fixture: &Fixture) -> Vec<BatchHeader> {
    let files = fixture.files("log").into_iter();
    let parsed = files.flat_map(|file| {
        batch::parse_batches(&fixture.disk.read(&file).unwrap()).unwrap().into_iter()
    });
    parsed.map(|span| span.header).collect()
}

fn markers(fixture: &Fixture) -> usize {
    batches(fixture).iter().filter(|header| header.control()).count()
}

/// Everything that a start may find missing.
async fn without_files(fixture: &Fixture, coordinator: Arc<Coordinator>) -> Arc<Coordinator> {
    drop(coordinator);
    fixture.disk.restart();
    for file in fixture.files("producers").into_iter().chain(fixture.files("txnindex")) {
        fixture.disk.remove_file(&file).unwrap();
    }
    fixture.open()
}

#[tokio::test]
async fn what_was_aborted_goes_and_its_markers_after_their_time() {
    let fixture = compacting();
    let mut coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "id").await;
    for sequence in 0..12 {
        // Of each key the last that is committed is followed by one that is aborted.
        let key = format!("key {}", sequence % 3);
        add(&coordinator, "id", client, "t").await;
        put(&coordinator, client, (sequence, true), record(&key, Some(sequence))).await;
        end(&coordinator, "id", client, sequence < 6).await;
    }
    fill(&coordinator).await;
    let due = folded(&coordinator, Isolation::ReadCommitted).await;
    let value = |key: &str| due[&Bytes::from(key.to_owned())].clone();
    assert_eq!([value("key 0"), value("key 2")], [format!("{:0>150}", 3), format!("{:0>150}", 5)]);
    assert_ne!(folded(&coordinator, Isolation::ReadUncommitted).await, due);
    assert_eq!(markers(&fixture), 12);
    let mut counts = Vec::new();
    for round in 0..4 {
        let done = coordinator.store.maintain_once().await.unwrap();
        assert!(done.compacted_segments > 0, "round {round}");
        assert_eq!(folded(&coordinator, Isolation::ReadCommitted).await, due, "round {round}");
        assert_eq!(
            folded(&coordinator, Isolation::ReadUncommitted).await,
            due,
            "nothing is left of what was aborted, round {round}"
        );
        counts.push(markers(&fixture));
        for close in [true, false] {
            if close {
                coordinator.store.close().await.unwrap();
            }
            coordinator = restarted(&fixture, coordinator);
            assert_eq!(folded(&coordinator, Isolation::ReadCommitted).await, due);
        }
        coordinator = without_files(&fixture, coordinator).await;
        assert_eq!(folded(&coordinator, Isolation::ReadCommitted).await, due, "round {round}");
        fixture.clock.advance_us(HOUR_US * 2 / 3);
        fill(&coordinator).await;
    }
    // The first round finds the data, the second says from when on the markers may go, and of
    // what is not superseded and of the batches that a producer is known by they stay.
    assert_eq!(counts[..3], [12, 12, 12]);
    assert!((3..10).contains(&counts[3]), "{counts:?}");
    let first = batches(&fixture).iter().map(|header| header.base_offset).min();
    assert_eq!(first, Some(0), "each offset belongs to a batch");
}

#[tokio::test]
async fn a_producer_whose_records_are_gone_goes_on_where_it_was() {
    let fixture = compacting();
    let mut coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "id").await;
    add(&coordinator, "id", client, "t").await;
    for sequence in 0..3 {
        put(&coordinator, client, (sequence, true), record("gone", Some(sequence))).await;
    }
    end(&coordinator, "id", client, false).await;
    // One without transactions, whose records others supersede.
    let other = (coordinator.producer_id().await.unwrap(), 0);
    let mut last = 0;
    for sequence in 0..3 {
        let record = record("filler", Some(1));
        last = put(&coordinator, other, (sequence, false), record).await;
    }
    for round in 0..3 {
        fill(&coordinator).await;
        fixture.clock.advance_us(2 * HOUR_US);
        coordinator.store.maintain_once().await.unwrap();
        coordinator = without_files(&fixture, coordinator).await;
        let all = read(&coordinator, Isolation::ReadUncommitted).await;
        let left = |found: &LogRecord| found.record.key.as_deref() == Some(b"gone");
        assert!(!all.iter().any(left), "round {round}");
        let again = put(&coordinator, other, (2, false), record("filler", Some(1))).await;
        assert_eq!(again, last, "what comes again is known, round {round}");
    }
    put(&coordinator, other, (3, false), record("filler", Some(1))).await;
    settle(&coordinator).await;
    add(&coordinator, "id", client, "t").await;
    let skipped = batch::numbered(&[record("k", Some(1))], client, 4, true);
    let guard = coordinator.store.transaction_guard("t", 0, client).unwrap();
    let refused = coordinator.store.append_verified("t", 0, skipped, true, guard).await;
    assert!(refused.is_err(), "3 is due");
    put(&coordinator, client, (3, true), record("kept", Some(7))).await;
    end(&coordinator, "id", client, true).await;
    let marks = coordinator.store.watermarks("t", 0).unwrap();
    assert_eq!(marks.last_stable, marks.high_watermark);
    assert!(folded(&coordinator, Isolation::ReadCommitted).await.contains_key(&b"kept"[..]));
}

#[tokio::test]
async fn what_is_open_holds_compaction_and_what_is_committed_takes_part() {
    let fixture = compacting();
    let coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "id").await;
    let store = &coordinator.store;
    for value in 0..20 {
        store.append("t", 0, vec![record("a", Some(value))]).await.unwrap();
    }
    add(&coordinator, "id", client, "t").await;
    let first = put(&coordinator, client, (0, true), record("a", Some(100))).await;
    put(&coordinator, client, (1, true), record("b", None)).await;
    store.append("t", 0, vec![record("b", Some(1))]).await.unwrap();
    put(&coordinator, client, (2, true), record("b", None)).await;
    fill(&coordinator).await;
    store.maintain_once().await.unwrap();
    let compacted = store.stats().iter().find(|stats| stats.topic == "t").unwrap().compacted_to;
    assert!(compacted > 0 && compacted <= first, "{compacted} {first}");
    end(&coordinator, "id", client, true).await;
    fill(&coordinator).await;
    store.maintain_once().await.unwrap();
    let of = |all: &[LogRecord], key: &str| -> Vec<Offset> {
        let of_key = |found: &&LogRecord| found.record.key.as_deref() == Some(key.as_bytes());
        all.iter().filter(of_key).map(|found| found.offset).collect()
    };
    let all = read(&coordinator, Isolation::ReadCommitted).await;
    assert_eq!(of(&all, "a"), [first], "of the key the last one, which was committed");
    assert_eq!(of(&all, "b"), [first + 3], "its tombstone");
    for _ in 0..2 {
        fixture.clock.advance_us(2 * HOUR_US);
        fill(&coordinator).await;
        store.maintain_once().await.unwrap();
    }
    let all = read(&coordinator, Isolation::ReadCommitted).await;
    assert_eq!((of(&all, "a"), of(&all, "b")), (vec![first], vec![]), "it had its time");
}

#[tokio::test]
async fn who_reads_up_to_an_open_transaction_gets_over_what_compaction_has_emptied() {
    let fixture = compacting();
    let coordinator = fixture.with_topic().await;
    let store = &coordinator.store;
    fill(&coordinator).await;
    let (aborts, stays) = (begin(&coordinator, "aborts").await, begin(&coordinator, "stays").await);
    for id in ["aborts", "stays"] {
        add(&coordinator, id, if id == "aborts" { aborts } else { stays }, "t").await;
    }
    put(&coordinator, aborts, (0, true), record("gone", Some(1))).await;
    // It does not fit the segment, so that what is aborted is the last of a sealed one.
    let large = Record { value: Some(Bytes::from(vec![7; 1_100])), ..record("open", None) };
    let first = put(&coordinator, stays, (0, true), large).await;
    end(&coordinator, "aborts", aborts, false).await;
    fill(&coordinator).await;
    assert!(store.maintain_once().await.unwrap().compacted_segments > 0);
    assert_eq!(store.watermarks("t", 0).unwrap().last_stable, first);
    let mut from = 0;
    while from < first {
        let read = store.read_on("t", 0, from, 100, Isolation::ReadCommitted).await.unwrap();
        assert!(read.next > from && read.next <= first, "from {from} to {}", read.next);
        from = read.next;
    }
}
