//! What a partition knows of producers, whatever became of its files.

use crate::support::{Fixture, TOPIC, append, partition_dir};
use crate::wire::harness::Numbered;
use std::path::PathBuf;
use tradewind_disk::{Create, Disk};
use tradewind_log::LogStore;
use tradewind_types::log::ProducerFault;
use tradewind_types::{Log, LogError};

fn numbered(sequence: i32) -> Numbered {
    Numbered { id: 42, epoch: 0, sequence, transactional: false }
}

async fn send(store: &LogStore, sequence: i32, bytes: usize) -> Result<i64, LogError> {
    let batch = numbered(sequence).batch(&[&vec![b'x'; bytes]]);
    Ok(store.append_raw(TOPIC, 0, batch, true).await?.base_offset)
}

fn out_of_order(sent: Result<i64, LogError>) -> bool {
    let fault = ProducerFault::OutOfOrder { producer_id: 42, sent: 99, due: 30 };
    matches!(sent, Err(LogError::Producer { fault: found, .. }) if found == fault)
}

/// Thirty batches in several segments.
async fn thirty(fixture: &Fixture) -> LogStore {
    let store = fixture.with_topic().await;
    for sequence in 0..30 {
        assert_eq!(send(&store, sequence, 400).await.unwrap(), i64::from(sequence));
    }
    assert!(fixture.files("log").len() > 2);
    store
}

/// The log knows the thirty: it recognises the last five and wants the next.
async fn knows_thirty(store: &LogStore, how: &str) {
    for sequence in 25..30 {
        assert_eq!(send(store, sequence, 400).await.unwrap(), i64::from(sequence), "{how}");
    }
    assert!(out_of_order(send(store, 99, 400).await), "{how}");
    let end = store.watermarks(TOPIC, 0).unwrap().high_watermark;
    assert_eq!(end, 30, "{how}: nothing was stored twice");
}

#[tokio::test]
async fn snapshots_that_are_missing_garbled_or_newer_are_not_needed() {
    for closed in [true, false] {
        for (how, harm) in [
            ("whole", 0),
            ("all missing", 1),
            ("the newest missing", 2),
            ("the newest garbled", 3),
            ("all garbled", 4),
            ("of a version to come", 5),
            ("no recovery point either", 6),
        ] {
            let fixture = Fixture::new(3);
            let store = thirty(&fixture).await;
            if closed {
                store.close().await.unwrap();
            }
            drop(store);
            let snapshots = fixture.files("producers");
            assert_eq!(snapshots.len(), 2, "the newest and one to fall back on");
            let newest = snapshots.last().unwrap();
            let remove = |path: &PathBuf| fixture.disk.remove_file(path).unwrap();
            match harm {
                1 => snapshots.iter().for_each(remove),
                2 => remove(newest),
                3 => fixture.garble(newest, 20),
                4 => snapshots.iter().for_each(|path| fixture.garble(path, 20)),
                5 => fixture.garble(newest, 7),
                6 => {
                    snapshots.iter().for_each(remove);
                    remove(&partition_dir().join("recovery-point"));
                }
                _ => {}
            }
            fixture.disk.restart();
            let (store, _) = fixture.open();
            knows_thirty(&store, &format!("{how}, closed {closed}")).await;
            assert_eq!(send(&store, 30, 400).await.unwrap(), 30);
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_speaks_of_more_than_there_is_goes() {
    let fixture = Fixture::new(3);
    let store = thirty(&fixture).await;
    store.close().await.unwrap();
    drop(store);
    let newest = fixture.files("producers").pop().unwrap();
    let ahead = newest.with_file_name(format!("{:020}.producers", 77));
    let bytes = fixture.disk.read(&newest).unwrap();
    fixture.disk.write_atomic(&ahead, &bytes).unwrap();
    fixture.disk.restart();
    let (store, _) = fixture.open();
    assert!(fixture.disk.metadata(&ahead).is_err());
    knows_thirty(&store, "ahead").await;
}

#[tokio::test]
async fn a_torn_tail_takes_what_it_said_with_it() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    send(&store, 0, 100).await.unwrap();
    let batch = numbered(1).batch(&[b"never durable"]);
    store.append_raw(TOPIC, 0, batch, false).await.unwrap();
    drop(store);
    let log = fixture.files("log").pop().unwrap();
    let file = fixture.disk.open(&log, Create::No).unwrap();
    file.set_len(file.len().unwrap() - 3).unwrap();
    fixture.disk.restart();
    let (store, report) = fixture.open();
    assert_eq!(report.torn_tails.len(), 1);
    assert_eq!(send(&store, 0, 100).await.unwrap(), 0);
    assert_eq!(send(&store, 1, 100).await.unwrap(), 1, "the one that was cut may come again");
}

#[tokio::test]
async fn a_write_that_failed_may_be_repeated() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    send(&store, 0, 100).await.unwrap();
    fixture.disk.set_available_bytes(50);
    send(&store, 1, 100).await.unwrap_err();
    fixture.disk.set_available_bytes(1 << 20);
    assert_eq!(send(&store, 1, 100).await.unwrap(), 1);
    assert_eq!(send(&store, 1, 100).await.unwrap(), 1);
}

#[tokio::test]
async fn who_was_silent_for_the_expiration_time_is_forgotten() {
    for restart in [false, true] {
        let fixture = Fixture::new(3);
        let mut store = thirty(&fixture).await;
        fixture.clock.advance_us((fixture.settings.producer_expiration_ms - 1) * 1_000);
        store.maintain_once().await.unwrap();
        assert!(out_of_order(send(&store, 99, 400).await), "not yet");
        fixture.clock.advance_us(1_000);
        if restart {
            store.close().await.unwrap();
            drop(store);
            store = fixture.open().0;
        } else {
            store.maintain_once().await.unwrap();
        }
        assert_eq!(send(&store, 99, 400).await.unwrap(), 30, "restart {restart}");
    }
}

#[tokio::test]
async fn a_start_reads_little_however_long_the_log_is() {
    let mut fixture = Fixture::new(3);
    fixture.settings.topic.segment_bytes = 64 << 20;
    let store = fixture.with_topic().await;
    for sequence in 0..50 {
        send(&store, sequence, 1 << 20).await.unwrap();
    }
    drop(store);
    fixture.disk.restart();
    let (store, report) = fixture.open();
    assert!(report.scanned_bytes < 18 << 20, "{} bytes of 50 MiB", report.scanned_bytes);
    for sequence in 45..50 {
        assert_eq!(send(&store, sequence, 1 << 20).await.unwrap(), i64::from(sequence));
    }
    store.close().await.unwrap();
    drop(store);
    let (_, report) = fixture.open();
    assert!(report.scanned_bytes < 1 << 20, "{} bytes after a close", report.scanned_bytes);
}

#[tokio::test]
async fn a_log_without_numbered_batches_has_no_snapshots_and_is_not_read() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    for number in 0..100 {
        append(&store, number..number + 1).await.unwrap();
    }
    assert!(fixture.files("log").len() > 2);
    store.close().await.unwrap();
    drop(store);
    assert!(fixture.files("producers").is_empty());
    let (_, report) = fixture.open();
    assert_eq!(report.scanned_bytes, 0);
}
