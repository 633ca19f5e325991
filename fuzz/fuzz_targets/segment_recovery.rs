//! A log opened on a segment of arbitrary bytes: it starts, takes records, and keeps them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, SimDisk};
use tradewind_log::{LogSettings, LogStore, scan_bytes};
use tradewind_types::{Log, ManualClock, Record, TopicSpec};

const DIR: &str = "/data/log";
const SEGMENT: &str = "/data/log/t/0/00000000000000000000.log";
const RECOVERY_POINT: &str = "/data/log/t/0/recovery-point";

fuzz_target!(|data: &[u8]| {
    let [how, segment @ ..] = data else { return };
    let segment = if how & 1 == 0 { segment.to_vec() } else { repaired(segment) };
    let durable_to = if how & 2 == 0 { 0 } else { segment.len() as u64 / 2 };
    let found = scan_bytes(&segment, 0, durable_to);
    assert!(found.position <= segment.len() as u64);
    // Opening a log three times takes a thousand times as long as walking a segment.
    if !segment.iter().fold(*how, |sum, byte| sum.wrapping_add(*byte)).is_multiple_of(16) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime needs nothing").block_on(recover(&segment, how & 4 != 0));
});

async fn recover(segment: &[u8], keep_recovery_point: bool) {
    let disk = SimDisk::new(1);
    let store = open(&disk).expect("an empty disk");
    store.create_topic(&TopicSpec::new("t", 1)).await.expect("a new topic");
    append(&store).await;
    store.close().await.expect("a working disk");
    drop(store);
    let file = disk.open(Path::new(SEGMENT), Create::Truncate).expect("its first segment");
    file.write_all_at(segment, 0).expect("a working disk");
    file.sync().expect("a working disk");
    drop(file);
    if !keep_recovery_point {
        let _ = disk.remove_file(Path::new(RECOVERY_POINT));
    }
    // Whatever the segment holds, the log starts; what it then takes is there after the next
    // start.
    let store = open(&disk).expect("a log that starts whatever its segment holds");
    let offset = append(&store).await;
    let end = store.watermarks("t", 0).expect("it is there").high_watermark;
    assert_eq!(end, offset + 1);
    store.close().await.expect("a working disk");
    drop(store);
    let store = open(&disk).expect("a log that was closed");
    assert_eq!(store.watermarks("t", 0).expect("it is there").high_watermark, end);
    let read = store.read("t", 0, offset, 1 << 20).await.expect("it was acknowledged");
    assert_eq!(read[0].record.value.as_deref(), Some(&b"kept"[..]));
}

fn open(disk: &Arc<SimDisk>) -> Option<LogStore> {
    let settings = LogSettings { disk_reserve_bytes: 0, ..LogSettings::default() };
    let disk: Arc<dyn Disk> = disk.clone();
    let clock = Arc::new(ManualClock::at(1_000_000_000));
    LogStore::open(disk, Path::new(DIR), settings, clock).ok().map(|(store, _)| store)
}

async fn append(store: &LogStore) -> i64 {
    let record = Record { value: Some(Bytes::from_static(b"kept")), ..Record::default() };
    store.append("t", 0, vec![record]).await.expect("a working disk").base_offset
}

/// Bytes whose first batch passes its checksum, so that recovery gets past it.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut segment = data.to_vec();
    if let [first, ..] = *data
        && segment.len() >= 61
    {
        let bytes = (61 + usize::from(first)).min(segment.len());
        segment[..8].fill(0);
        segment[8..12].copy_from_slice(&((bytes - 12) as i32).to_be_bytes());
        segment[16] = 2;
        segment[23..27].fill(0);
        segment[57..61].copy_from_slice(&1_i32.to_be_bytes());
        let crc = crc32c::crc32c(&segment[21..bytes]);
        segment[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    segment
}
