//! Appending and reading, in one life of the store and over restarts.

use crate::support::{Fixture, TOPIC, append, number, numbers, read_all, record};
use bytes::Bytes;
use std::sync::Arc;
use tradewind_disk::OsDisk;
use tradewind_log::{Flush, LogStore, batch};
use tradewind_types::{Log, LogError, SystemClock, TopicSpec};

#[tokio::test]
async fn records_come_back_over_segments_and_restarts() {
    let fixture = Fixture::new(1);
    let store = fixture.with_topic().await;
    for n in 0..100 {
        assert_eq!(append(&store, n * 3..n * 3 + 3).await.unwrap(), n as i64 * 3);
    }
    assert!(fixture.files("log").len() > 5, "several segments");
    assert_eq!(numbers(&store).await, (0..300).collect::<Vec<_>>());
    store.close().await.unwrap();
    let (store, report) = fixture.open();
    assert_eq!(report, Default::default(), "a clean close leaves nothing to do");
    assert_eq!(numbers(&store).await, (0..300).collect::<Vec<_>>());
    assert_eq!(append(&store, 300..301).await.unwrap(), 300);
    let record = &read_all(&store, TOPIC, 0).await[300].record;
    assert_eq!(*record, crate::support::record(300, 100));
}

#[tokio::test]
async fn a_restart_without_close_reads_only_the_tail() {
    let mut fixture = Fixture::new(2);
    fixture.settings.topic.segment_bytes = 1 << 20;
    let store = fixture.with_topic().await;
    for n in 0..4000 {
        append(&store, n * 3..n * 3 + 3).await.unwrap();
    }
    let on_disk = store.stats()[0].bytes;
    drop(store);
    let (store, report) = fixture.open();
    assert_eq!(numbers(&store).await.len(), 12000);
    assert!(on_disk > 1_500_000, "{on_disk}");
    // A quarter of a segment since the recovery point, and one index interval before it.
    assert!(report.scanned_bytes < (1 << 18) + (64 << 10), "scanned {}", report.scanned_bytes);
    assert!(report.torn_tails.is_empty() && report.corruptions.is_empty());
}

#[tokio::test]
async fn reads_begin_anywhere_in_memory_or_on_disk() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    for n in 0..50 {
        append(&store, n * 4..n * 4 + 4).await.unwrap();
    }
    let (reopened, _) = {
        store.close().await.unwrap();
        fixture.open()
    };
    for store in [&store, &reopened] {
        for from in 0..200 {
            let read = store.read(TOPIC, 0, from, 1).await.unwrap();
            assert_eq!(number(&read[0].record), from as u64);
            assert_eq!(read.last().unwrap().offset, from / 4 * 4 + 3, "one batch");
            let raw = store.read_raw(TOPIC, 0, from, 1).await.unwrap();
            let spans = batch::parse_batches(&raw.bytes).unwrap();
            assert_eq!((spans.len(), spans[0].header.base_offset), (1, from / 4 * 4));
        }
        assert!(store.read(TOPIC, 0, 200, 1000).await.unwrap().is_empty());
        for outside in [-1, 201] {
            let error = store.read(TOPIC, 0, outside, 1).await.unwrap_err();
            assert!(matches!(error, LogError::OutOfRange { high_watermark: 200, .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    let fixture = Fixture::new(4);
    let store = fixture.with_topic().await;
    for n in 0..60 {
        append(&store, n * 5..n * 5 + 5).await.unwrap();
    }
    store.close().await.unwrap();
    let (reopened, _) = fixture.open();
    for store in [&store, &reopened] {
        for n in 0..300_i64 {
            assert_eq!(store.offset_at(TOPIC, 0, n * 10).await.unwrap(), Some(n));
            assert_eq!(store.offset_at(TOPIC, 0, n * 10 - 9).await.unwrap(), Some(n));
        }
        assert_eq!(store.offset_at(TOPIC, 0, i64::MIN).await.unwrap(), Some(0));
        assert_eq!(store.offset_at(TOPIC, 0, 2991).await.unwrap(), None);
    }
}

#[tokio::test]
async fn waiting_ends_when_something_is_durable() {
    let fixture = Fixture::new(5);
    let store = fixture.with_topic().await;
    let waiter = {
        let store = store.clone();
        tokio::spawn(async move { store.wait(TOPIC, &[0]).await })
    };
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    append(&store, 0..1).await.unwrap();
    waiter.await.unwrap().unwrap();
    store.wait(TOPIC, &[]).await.unwrap();
    let waiter = {
        let store = store.clone();
        tokio::spawn(async move { store.wait(TOPIC, &[1]).await })
    };
    tokio::task::yield_now().await;
    store.delete_topic(TOPIC).await.unwrap();
    assert!(matches!(waiter.await.unwrap(), Err(LogError::NoTopic { .. })));
}

#[tokio::test]
async fn appends_that_do_not_wait_become_readable() {
    let fixture = Fixture::new(6);
    let store = fixture.with_topic().await;
    let batch = produced(&[record(0, 10), record(1, 10)]);
    let appended = store.append_raw(TOPIC, 0, batch, false).await.unwrap();
    assert_eq!((appended.base_offset, appended.append_time_ms, appended.log_start), (0, -1, 0));
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, 0, "not fsynced yet");
    store.wait(TOPIC, &[0]).await.unwrap();
    assert_eq!(numbers(&store).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_gathers_appends_and_keeps_the_high_watermark_honest() {
    let mut fixture = Fixture::new(7);
    fixture.settings.flush = Flush::IntervalMs(50);
    let store = fixture.with_topic().await;
    append(&store, 0..1).await.unwrap();
    let began = tokio::time::Instant::now();
    let before = fixture.disk.operations();
    let appends = (1..21).map(|n| append(&store, n..n + 1));
    let offsets = futures::future::try_join_all(appends).await.unwrap();
    assert_eq!(offsets, (1..21).collect::<Vec<_>>());
    assert_eq!(began.elapsed().as_millis() / 10, 5, "the interval has passed once");
    assert!(fixture.disk.operations() - before < 30, "20 writes, one fsync, a recovery point");
    assert_eq!(numbers(&store).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_batches_are_stored_as_sent_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = crate::support::small();
    let open = || {
        LogStore::open(
            Arc::new(OsDisk),
            &dir.path().join("log"),
            settings.clone(),
            Arc::new(SystemClock),
        )
    };
    let (store, _) = open().unwrap();
    store.create_topic(&TopicSpec::new(TOPIC, 3)).await.unwrap();
    let mut two = produced(&[record(0, 100), record(1, 100)]).to_vec();
    two.extend_from_slice(&produced(&[record(2, 100)]));
    for round in 0..40 {
        let sent = Bytes::from(two.clone());
        let appended = store.append_raw(TOPIC, 2, sent, true).await.unwrap();
        assert_eq!(appended.base_offset, round * 3);
    }
    assert!(matches!(open(), Err(LogError::Busy(_))), "the folder is locked");
    let read = store.read_raw(TOPIC, 2, 3, two.len()).await.unwrap();
    let spans = batch::parse_batches(&read.bytes).unwrap();
    let bases: Vec<i64> = spans.iter().map(|span| span.header.base_offset).collect();
    assert_eq!(bases, [3, 5]);
    // Outside of base offset and leader epoch every byte is the producer's.
    assert_eq!(read.bytes[16..spans[1].position], two[16..spans[1].position]);
    store.close().await.unwrap();
    let (store, report) = open().unwrap();
    assert_eq!(report, Default::default());
    assert_eq!(read_all(&store, TOPIC, 2).await.len(), 120);
}

/// A batch as a producer sends it: one of ours, taken from a store.
fn produced(records: &[tradewind_types::Record]) -> Bytes {
    let fixture = Fixture::new(99);
    futures::executor::block_on(async {
        let store = fixture.with_topic().await;
        store.append(TOPIC, 0, records.to_vec()).await.unwrap();
        store.read_raw(TOPIC, 0, 0, usize::MAX).await.unwrap().bytes
    })
}
