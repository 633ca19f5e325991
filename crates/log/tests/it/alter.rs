//! Topics that are changed: settings that hold at once and after a restart, more partitions, the
//! oldest records given up.

use crate::support::{Fixture, TOPIC, append, numbers, record};
use tradewind_log::{LogStore, TimestampType};
use tradewind_types::{Clock, Log, LogError, TopicSpec};

async fn set(store: &LogStore, name: &str, value: &str) -> Result<(), LogError> {
    store.set_topic_setting(TOPIC, name, Some(value)).await
}

#[tokio::test]
async fn settings_hold_at_once_and_after_a_restart() {
    let fixture = Fixture::new(1);
    let store = fixture.with_topic().await;
    for n in 0..40 {
        append(&store, n..n + 1).await.unwrap();
    }
    // Segments are smaller from the next append on.
    let before = store.stats()[0].segments;
    set(&store, "segment.bytes", "1024").await.unwrap();
    for n in 40..80 {
        append(&store, n..n + 1).await.unwrap();
    }
    assert!(store.stats()[0].segments > before + 4, "{:?}", store.stats());
    // Retention is another in the next round.
    set(&store, "retention.bytes", "3000").await.unwrap();
    assert!(store.maintain_once().await.unwrap().segments > 0);
    // Batches that are larger than before are refused at once.
    set(&store, "max.message.bytes", "200").await.unwrap();
    let refused = append(&store, 80..83).await.unwrap_err();
    assert!(refused.to_string().contains("max.message.bytes"), "{refused}");
    for wrong in [("max.message.bytes", "12"), ("nonsense", "1"), ("compression.type", "best")] {
        let refused = set(&store, wrong.0, wrong.1).await.unwrap_err();
        assert!(refused.to_string().contains(wrong.0), "{refused}");
    }
    drop(store);
    fixture.disk.power_on();
    let (store, _) = fixture.open();
    let settings = store.topic(TOPIC).unwrap().settings;
    assert_eq!(settings.len(), 3, "{settings:?}");
    assert_eq!(store.topic_settings(TOPIC).unwrap().max_message_bytes, 200);
    store.set_topic_setting(TOPIC, "max.message.bytes", None).await.unwrap();
    append(&store, 80..83).await.unwrap();
    assert!(!store.topic(TOPIC).unwrap().settings.contains_key("max.message.bytes"));
}

#[tokio::test]
async fn partitions_are_added_and_read_and_stay() {
    let fixture = Fixture::new(2);
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.wait(TOPIC, &[3]).await })
    };
    tokio::task::yield_now().await;
    store.add_partitions(TOPIC, 3, true).await.unwrap();
    assert_eq!(store.topic(TOPIC).unwrap().partitions, 1, "only asked");
    store.add_partitions(TOPIC, 3, false).await.unwrap();
    assert_eq!(store.topic(TOPIC).unwrap().partitions, 3);
    store.append(TOPIC, 2, vec![record(7, 20)]).await.unwrap();
    waiting.await.unwrap().unwrap();
    for fewer in [2, 3] {
        let refused = store.add_partitions(TOPIC, fewer, false).await.unwrap_err();
        assert!(matches!(refused, LogError::Invalid(_)), "{refused}");
    }
    let refused = store.add_partitions(TOPIC, 1_000_000, false).await.unwrap_err();
    assert!(refused.to_string().contains("log.partitions_max"), "{refused}");
    drop(store);
    fixture.disk.power_on();
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert_eq!(store.topic(TOPIC).unwrap().partitions, 3);
    assert_eq!(numbers(&store).await, [0, 1, 2]);
    assert_eq!(store.read(TOPIC, 2, 0, 1_000).await.unwrap().len(), 1);
}

/// Power cuts while partitions are added: all of them are there, or none.
#[tokio::test]
async fn an_addition_is_whole_or_not_there() {
    let (mut added, mut lost) = (0, 0);
    for seed in 0..200 {
        let fixture = Fixture::new(seed);
        let store = fixture.with_topic().await;
        append(&store, 0..3).await.unwrap();
        fixture.disk.cut_power_after(1 + seed % 40);
        let acknowledged = store.add_partitions(TOPIC, 4, false).await.is_ok();
        drop(store);
        fixture.disk.power_on();
        let (store, report) = fixture.open();
        assert!(report.corruptions.is_empty(), "seed {seed}: {report:?}");
        let there = store.topic(TOPIC).unwrap().partitions;
        assert!(there == 4 || (there == 1 && !acknowledged), "seed {seed}: {there}");
        if there == 4 {
            added += 1
        } else {
            lost += 1
        }
        // It can be done, or done again, and written to.
        if there == 1 {
            store.add_partitions(TOPIC, 4, false).await.unwrap();
        }
        store.append(TOPIC, 3, vec![record(1, 10)]).await.unwrap();
        assert_eq!(numbers(&store).await, [0, 1, 2], "seed {seed}");
    }
    assert!(added > 20 && lost > 20, "{added} {lost}");
}

#[tokio::test]
async fn deleted_records_stay_deleted() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    for n in 0..100 {
        append(&store, n..n + 1).await.unwrap();
    }
    let segments = store.stats()[0].segments;
    assert_eq!(store.delete_records(TOPIC, 0, Some(55)).await.unwrap(), 55);
    assert_eq!(store.delete_records(TOPIC, 0, Some(20)).await.unwrap(), 55, "it never goes back");
    assert!(store.stats()[0].segments < segments);
    assert_eq!(numbers(&store).await, (55..100).collect::<Vec<_>>());
    for outside in [-1, 101] {
        let refused = store.delete_records(TOPIC, 0, Some(outside)).await.unwrap_err();
        assert!(matches!(refused, LogError::OutOfRange { .. }), "{refused}");
    }
    drop(store);
    fixture.disk.power_on();
    let (store, _) = fixture.open();
    assert_eq!(numbers(&store).await, (55..100).collect::<Vec<_>>());
    store.hold("pipeline", TOPIC, 0, Some(70));
    let refused = store.delete_records(TOPIC, 0, None).await.unwrap_err();
    assert!(refused.to_string().contains("pipeline"), "{refused}");
    store.hold("pipeline", TOPIC, 0, None);
    assert_eq!(store.delete_records(TOPIC, 0, None).await.unwrap(), 100);
    assert!(numbers(&store).await.is_empty());
    assert_eq!(append(&store, 100..101).await.unwrap(), 100);
    assert!(matches!(
        store.delete_records("nothing", 0, None).await.unwrap_err(),
        LogError::NoTopic { .. }
    ));
}

#[tokio::test]
async fn the_logs_time_is_what_records_have() {
    let mut fixture = Fixture::new(4);
    fixture.settings.tail_bytes_max = 0;
    let store = fixture.with_topic().await;
    append(&store, 0..2).await.unwrap();
    set(&store, "message.timestamp.type", "LogAppendTime").await.unwrap();
    assert_eq!(store.topic_settings(TOPIC).unwrap().timestamp_type, TimestampType::LogAppendTime);
    fixture.clock.advance_us(5_000_000);
    let now = fixture.clock.now_ms();
    append(&store, 2..4).await.unwrap();
    for codec in 0..5 {
        let records: Vec<_> = (0..3).map(|n| record(n, 300)).collect();
        let batch = crate::compressed::compressed_batch(&records, codec);
        let appended = store.append_raw(TOPIC, 0, batch, true).await.unwrap();
        assert_eq!(appended.append_time_ms, now);
    }
    let times = |records: Vec<tradewind_types::LogRecord>| -> Vec<i64> {
        records.into_iter().map(|read| read.record.timestamp_ms).collect()
    };
    let mut expected = vec![0, 10];
    expected.extend([now; 17]);
    assert_eq!(times(store.read(TOPIC, 0, 0, 1 << 20).await.unwrap()), expected);
    assert_eq!(store.offset_at(TOPIC, 0, now).await.unwrap(), Some(2));
    drop(store);
    let (store, report) = fixture.open();
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert_eq!(times(store.read(TOPIC, 0, 0, 1 << 20).await.unwrap()), expected);
}

#[tokio::test]
async fn producers_clocks_are_held_against_ours() {
    let fixture = Fixture::new(5);
    let store = fixture.with_topic().await;
    let now = fixture.clock.now_ms();
    let at = |timestamp_ms: i64| tradewind_types::Record { timestamp_ms, ..record(1, 20) };
    let send = async |times: &[i64]| {
        let records: Vec<_> = times.iter().map(|time| at(*time)).collect();
        let batch = crate::power_cut::produced(&records);
        store.append_raw(TOPIC, 0, batch.into(), true).await.map(drop)
    };
    // Kafka lets producers be an hour ahead, and as far behind as they like.
    send(&[0, now, now + 3_600_000]).await.unwrap();
    let refused = send(&[now, now + 3_600_001]).await.unwrap_err();
    assert!(matches!(refused, LogError::InvalidTimestamp(_)), "{refused}");
    set(&store, "message.timestamp.before.max.ms", "1000").await.unwrap();
    send(&[now - 1_000]).await.unwrap();
    let refused = send(&[now - 1_001]).await.unwrap_err();
    assert!(matches!(refused, LogError::InvalidTimestamp(_)), "{refused}");
    // Where the log gives the time, the producer's does not matter.
    set(&store, "message.timestamp.type", "LogAppendTime").await.unwrap();
    send(&[now - 1_001, now + 9_999_999]).await.unwrap();
    // No producer may say that the log gave it, nor when tombstones go.
    for bit in [3, 6] {
        let mut batch = crate::power_cut::produced(&[at(now)]);
        batch[22] |= 1 << bit;
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        assert!(store.append_raw(TOPIC, 0, batch.into(), true).await.is_err(), "bit {bit}");
    }
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, 6);
}

#[tokio::test]
async fn a_topic_made_with_settings_nobody_knows_is_refused() {
    let fixture = Fixture::new(6);
    let (store, _) = fixture.open();
    let spec = |name: &str, value: &str| TopicSpec {
        settings: [(name.to_owned(), value.to_owned())].into(),
        ..TopicSpec::new("t", 1)
    };
    for (name, value) in
        [("nonsense", "1"), ("cleanup.policy", "burn"), ("min.insync.replicas", "2")]
    {
        let refused = store.create_topic(&spec(name, value)).await.unwrap_err();
        assert!(matches!(&refused, LogError::Invalid(text) if text.contains(name)), "{refused}");
    }
    store.create_topic(&spec("cleanup.policy", "compact, delete")).await.unwrap();
}
