//! A disk that is full, and a disk whose fsync fails.

use crate::support::{Fixture, TOPIC, append, numbers};
use tradewind_types::{Log, LogError};

#[tokio::test]
async fn a_full_disk_refuses_appends_and_leaves_nothing_half_written() {
    let mut fixture = Fixture::new(1);
    fixture.settings.disk_reserve_bytes = 0;
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    // Room that ends in the midst of a batch; the reserve was looked at before.
    let mut acked = 3;
    for room in [0, 1, 60, 100, 300] {
        fixture.disk.set_available_bytes(room);
        let error = append(&store, acked..acked + 3).await.unwrap_err();
        let full = matches!(&error, LogError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
        assert!(full || matches!(error, LogError::DiskReserve { .. }), "{error}");
        assert_eq!(numbers(&store).await, (0..acked).collect::<Vec<_>>());
        fixture.disk.set_available_bytes(1 << 20);
        fixture.clock.advance_us(2_000_000);
        assert_eq!(append(&store, acked..acked + 1).await.unwrap(), acked as i64);
        acked += 1;
    }
    store.close().await.unwrap();
    let (store, report) = fixture.open();
    assert_eq!(report, Default::default());
    assert_eq!(numbers(&store).await, (0..acked).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_is_full_when_a_segment_is_sealed_recovers() {
    let fixture = Fixture::new(2);
    let store = fixture.with_topic().await;
    let mut acked = 0;
    for round in 0..60_u64 {
        if round % 3 == 0 {
            fixture.disk.set_available_bytes(round * 7);
        }
        if append(&store, acked..acked + 4).await.is_ok() {
            acked += 4;
        }
        fixture.disk.set_available_bytes(1 << 20);
        fixture.clock.advance_us(2_000_000);
    }
    assert!(acked > 100);
    assert_eq!(numbers(&store).await, (0..acked).collect::<Vec<_>>());
    drop(store);
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert_eq!(numbers(&store).await, (0..acked).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_fsync_takes_the_partition_offline_and_is_never_tried_again() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    fixture.disk.fail_next_sync(".log");
    let failed = append(&store, 3..4).await.unwrap_err();
    assert!(matches!(&failed, LogError::Offline { partition: 0, .. }), "{failed}");
    for _ in 0..3 {
        let refused = append(&store, 3..4).await.unwrap_err();
        assert!(matches!(refused, LogError::Offline { .. }));
    }
    assert!(store.stats()[0].offline.is_some());
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, 3);
    assert_eq!(numbers(&store).await, [0, 1, 2], "what was durable is readable");
    // A restart with the page cache warm must not take for durable what the disk never got.
    store.close().await.unwrap();
    let (store, _) = fixture.open();
    assert_eq!(numbers(&store).await, [0, 1, 2]);
    append(&store, 3..4).await.unwrap();
    drop(store);
    fixture.disk.cut_power_after(0);
    fixture.disk.power_on();
    let (store, _) = fixture.open();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn one_partition_offline_leaves_the_others_alone() {
    let fixture = Fixture::new(4);
    let store = fixture.with_topic().await;
    store.create_topic(&tradewind_types::TopicSpec::new("other", 1)).await.unwrap();
    fixture.disk.fail_next_sync("events/0/");
    append(&store, 0..1).await.unwrap_err();
    store.append("other", 0, vec![crate::support::record(0, 10)]).await.unwrap();
    assert_eq!(crate::support::read_all(&store, "other", 0).await.len(), 1);
}

#[tokio::test]
async fn a_failed_fsync_while_sealing_takes_the_partition_offline() {
    let fixture = Fixture::new(5);
    let store = fixture.with_topic().await;
    let mut acked = 0;
    while fixture.files("log").len() < 2 {
        append(&store, acked..acked + 3).await.unwrap();
        acked += 3;
    }
    // Written but not fsynced when the next append seals the segment.
    let batch = store.read_raw(TOPIC, 0, 0, 1).await.unwrap().bytes;
    let free = 4096 - (store.stats()[0].bytes - fixture_sealed_bytes(&fixture));
    for _ in 0..free / batch.len() as u64 {
        store.append_raw(TOPIC, 0, batch.clone(), false).await.unwrap();
    }
    fixture.disk.fail_next_sync(".log");
    let failed = append(&store, acked..acked + 3).await.unwrap_err();
    assert!(matches!(failed, LogError::Offline { .. }), "{failed}");
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, acked as i64);
}

fn fixture_sealed_bytes(fixture: &Fixture) -> u64 {
    use tradewind_disk::Disk;
    let files = fixture.files("log");
    let sealed = &files[..files.len() - 1];
    sealed.iter().map(|path| fixture.disk.metadata(path).unwrap().len).sum()
}
