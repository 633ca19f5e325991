//! Retention by time and size, holds, and the disk's reserve.

use crate::support::{Fixture, TOPIC, append, numbers};
use std::collections::BTreeMap;
use tradewind_log::LogStore;
use tradewind_types::{Log, LogError, TopicSpec};

const MINUTE_US: i64 = 60_000_000;

async fn with_settings(fixture: &Fixture, settings: &[(&str, &str)]) -> LogStore {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let (store, _) = fixture.open();
    store.create_topic(&TopicSpec { name: TOPIC.into(), partitions: 1, settings }).await.unwrap();
    store
}

fn log_start(store: &LogStore) -> i64 {
    store.watermarks(TOPIC, 0).unwrap().log_start
}

#[tokio::test]
async fn old_segments_go_and_the_active_one_is_sealed_first() {
    let fixture = Fixture::new(1);
    let store = with_settings(&fixture, &[("retention.ms", "300000")]).await;
    for n in 0..30 {
        append(&store, n * 3..n * 3 + 3).await.unwrap();
        fixture.clock.advance_us(MINUTE_US / 6);
    }
    assert_eq!(store.maintain_once().await.unwrap().segments, 0, "all are younger");
    fixture.clock.advance_us(2 * MINUTE_US);
    let done = store.maintain_once().await.unwrap();
    assert!(done.segments > 0 && done.bytes > 0, "{done:?}");
    let start = log_start(&store);
    assert!(start > 0 && start < 90, "{start}");
    let left: Vec<u64> = (start as u64..90).collect();
    assert_eq!(numbers(&store).await, left);
    let below = store.read(TOPIC, 0, start - 1, 1).await.unwrap_err();
    assert!(matches!(below, LogError::OutOfRange { .. }));
    // Everything expires, the active segment too; offsets go on.
    fixture.clock.advance_us(10 * MINUTE_US);
    store.maintain_once().await.unwrap();
    assert_eq!((log_start(&store), numbers(&store).await.len()), (90, 0));
    assert_eq!(fixture.files("log").len(), 1);
    assert_eq!(append(&store, 90..91).await.unwrap(), 90);
    drop(store);
    let (store, report) = fixture.open();
    assert_eq!((log_start(&store), numbers(&store).await), (90, vec![90]), "{report:?}");
}

#[tokio::test]
async fn a_partition_keeps_what_its_size_allows() {
    let fixture = Fixture::new(2);
    let store = with_settings(&fixture, &[("retention.bytes", "10000")]).await;
    for n in 0..100 {
        append(&store, n..n + 1).await.unwrap();
    }
    store.maintain_once().await.unwrap();
    let bytes = store.stats()[0].bytes;
    assert!((10_000..10_000 + 4096).contains(&bytes), "{bytes}");
    let start = log_start(&store) as u64;
    assert_eq!(numbers(&store).await, (start..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_pipeline_holds_stays_until_the_reserve_forces_it() {
    let mut fixture = Fixture::new(3);
    fixture.settings.disk_reserve_bytes = 1 << 20;
    let store = with_settings(&fixture, &[("retention.ms", "1000")]).await;
    for n in 0..30 {
        append(&store, n * 3..n * 3 + 3).await.unwrap();
    }
    store.hold("orders", TOPIC, 0, Some(10));
    store.hold("fast", TOPIC, 0, Some(80));
    fixture.clock.advance_us(MINUTE_US);
    store.maintain_once().await.unwrap();
    let held = log_start(&store);
    assert!(held <= 10, "{held}");
    // The reserve is reached: appends are refused, and the next round overrides the hold.
    fixture.disk.set_available_bytes(1 << 19);
    fixture.clock.advance_us(2_000_000);
    let refused = append(&store, 90..91).await.unwrap_err();
    assert!(matches!(refused, LogError::DiskReserve { reserve, .. } if reserve == 1 << 20));
    let done = store.maintain_once().await.unwrap();
    assert!(done.segments > 0 && done.holds_overridden == 2, "{done:?}");
    assert_eq!(log_start(&store), 90);
    // Room again.
    fixture.disk.set_available_bytes(1 << 30);
    fixture.clock.advance_us(2_000_000);
    assert_eq!(append(&store, 90..91).await.unwrap(), 90);
    store.hold("orders", TOPIC, 0, None);
    store.hold("fast", TOPIC, 0, None);
    fixture.clock.advance_us(MINUTE_US);
    assert_eq!(store.maintain_once().await.unwrap().holds_overridden, 0);
    assert_eq!(log_start(&store), 91);
}

#[tokio::test]
async fn reads_go_on_while_the_reserve_is_reached() {
    let mut fixture = Fixture::new(4);
    fixture.settings.disk_reserve_bytes = 4096;
    let store = fixture.with_topic().await;
    fixture.disk.set_available_bytes(20_000);
    fixture.clock.advance_us(MINUTE_US);
    let mut n = 0;
    let error = loop {
        fixture.clock.advance_us(100_000);
        match append(&store, n..n + 1).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 1000);
    };
    let LogError::DiskReserve { available, reserve } = error else { panic!("{error}") };
    assert!(reserve == 4096 && available >= 3000, "the reserve itself is not touched");
    assert_eq!(numbers(&store).await, (0..n).collect::<Vec<_>>());
}
