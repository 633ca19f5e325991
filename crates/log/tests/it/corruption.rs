//! Durable bytes that are not what was written: reported, refused, never cut.

use crate::support::{Fixture, TOPIC, append, number, numbers};
use tradewind_disk::{Create, Disk};
use tradewind_log::LogStore;
use tradewind_types::{Log, LogError};

async fn ten_segments(fixture: &Fixture) -> LogStore {
    let store = fixture.with_topic().await;
    let mut n = 0;
    while fixture.files("log").len() < 10 {
        append(&store, n..n + 3).await.unwrap();
        n += 3;
    }
    store
}

#[tokio::test]
async fn a_sealed_segment_with_a_bad_byte_is_readable_around_it() {
    let fixture = Fixture::new(1);
    let store = ten_segments(&fixture).await;
    let end = store.watermarks(TOPIC, 0).unwrap().high_watermark;
    store.close().await.unwrap();
    let file = fixture.files("log")[3].clone();
    let base: i64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    // The second batch of the segment: three records of about 120 bytes each come before.
    fixture.garble(&file, 500 + 200);
    let (store, report) = fixture.open();
    assert!(report.torn_tails.is_empty());
    let mut refused = Vec::new();
    for from in 0..end {
        match store.read(TOPIC, 0, from, 1).await {
            Ok(read) => assert_eq!(number(&read[0].record), from as u64),
            Err(LogError::Corrupt { file: named, position, .. }) => {
                assert_eq!(named, file.display().to_string());
                assert!(position > 0);
                refused.push(from);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, [base + 3, base + 4, base + 5]);
    assert_eq!(append(&store, end as u64..end as u64 + 1).await.unwrap(), end);
}

#[tokio::test]
async fn a_bad_header_is_stepped_over_when_the_index_is_rebuilt() {
    let fixture = Fixture::new(2);
    let store = ten_segments(&fixture).await;
    let end = store.watermarks(TOPIC, 0).unwrap().high_watermark;
    store.close().await.unwrap();
    let file = fixture.files("log")[3].clone();
    let first = tradewind_log::batch::parse_header(&fixture.disk.read(&file).unwrap()).unwrap();
    // The second batch's length: nothing can walk over it any more.
    fixture.garble(&file, first.bytes as u64 + 9);
    for index in fixture.files("index") {
        fixture.disk.remove_file(&index).unwrap();
    }
    let (store, report) = fixture.open();
    let [bad] = report.corruptions.as_slice() else { panic!("{report:?}") };
    assert_eq!((&bad.file, bad.position), (&file, first.bytes as u64));
    assert_eq!(report.indexes_rebuilt, 10);
    let mut refused = 0;
    for from in 0..end {
        match store.read(TOPIC, 0, from, 1).await {
            Ok(read) => assert_eq!(number(&read[0].record), from as u64),
            Err(LogError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 3, "the one batch");
}

#[tokio::test]
async fn bytes_lost_below_the_recovery_point_are_reported_and_offsets_go_on() {
    let mut fixture = Fixture::new(3);
    fixture.settings.topic.segment_bytes = 1 << 20;
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    let whole = store.stats()[0].bytes;
    append(&store, 3..6).await.unwrap();
    store.close().await.unwrap();
    let file = fixture.files("log")[0].clone();
    fixture.disk.open(&file, Create::No).unwrap().set_len(whole + 10).unwrap();
    let (store, report) = fixture.open();
    let [bad] = report.corruptions.as_slice() else { panic!("{report:?}") };
    assert_eq!((&bad.file, bad.position), (&file, whole));
    assert!(report.torn_tails.is_empty(), "acknowledged bytes are not cut");
    assert_eq!(fixture.disk.metadata(&file).unwrap().len, whole + 10);
    // No offset is given twice, and what is left is readable.
    assert_eq!(append(&store, 6..7).await.unwrap(), 6);
    for from in [0, 1, 2, 6] {
        assert_eq!(number(&store.read(TOPIC, 0, from, 1).await.unwrap()[0].record), from as u64);
    }
    for from in [3, 4, 5] {
        let error = store.read(TOPIC, 0, from, 1).await.unwrap_err();
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    }
    store.close().await.unwrap();
    let (store, _) = fixture.open();
    assert_eq!(store.read(TOPIC, 0, 6, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_last_segment_is_reported() {
    let fixture = Fixture::new(4);
    let store = ten_segments(&fixture).await;
    let end = store.watermarks(TOPIC, 0).unwrap().high_watermark;
    store.close().await.unwrap();
    fixture.disk.remove_file(fixture.files("log").last().unwrap()).unwrap();
    let (store, report) = fixture.open();
    assert_eq!(report.corruptions.len(), 1, "{report:?}");
    assert_eq!(append(&store, 0..1).await.unwrap(), end);
}

#[tokio::test]
async fn indexes_that_are_missing_or_garbled_are_rebuilt() {
    let mut fixture = Fixture::new(5);
    fixture.settings.topic.segment_bytes = 256 << 10;
    let store = fixture.with_topic().await;
    let mut n = 0;
    while fixture.files("log").len() < 4 {
        append(&store, n..n + 20).await.unwrap();
        n += 20;
    }
    store.close().await.unwrap();
    for kind in ["index", "timeindex"] {
        for path in fixture.files(kind) {
            let len = fixture.disk.metadata(&path).unwrap().len;
            for damage in 0..len + 1 {
                if damage == len {
                    fixture.disk.remove_file(&path).unwrap();
                } else {
                    fixture.garble(&path, damage);
                }
                let (store, report) = fixture.open();
                for from in (0..n as i64).step_by(97) {
                    let read = store.read(TOPIC, 0, from, 1).await.unwrap();
                    assert_eq!(number(&read[0].record), from as u64);
                    let at = store.offset_at(TOPIC, 0, from * 10).await.unwrap();
                    assert_eq!(at, Some(from));
                }
                assert!(report.corruptions.is_empty() && report.torn_tails.is_empty());
                store.close().await.unwrap();
            }
        }
    }
    let (store, report) = fixture.open();
    assert_eq!(report, Default::default(), "everything was rebuilt");
    assert_eq!(numbers(&store).await, (0..n).collect::<Vec<_>>());
}
