//! What a topic says about its producers' records: which are refused, by number, and how batches
//! are compressed.

use crate::support::*;
use bytes::Bytes;
use tradewind_log::batch;
use tradewind_types::{Log, LogError, Record};

const CODECS: [(&str, i16); 5] =
    [("uncompressed", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)];

fn keyless(n: u64) -> Record {
    Record { key: None, ..record(n, 20) }
}

#[tokio::test]
async fn the_records_at_fault_are_named_and_no_more_than_a_hundred() {
    let fixture = Fixture::new(11);
    let store = fixture.with_topic().await;
    store.set_topic_setting(TOPIC, "cleanup.policy", Some("compact")).await.unwrap();
    let records: Vec<Record> =
        (0..300).map(|n| if n % 2 == 1 { keyless(n) } else { record(n, 20) }).collect();
    for count in [2, 6, 300] {
        let sent = crate::power_cut::produced(&records[..count]);
        let refused = store.append_raw(TOPIC, 0, sent.into(), true).await.unwrap_err();
        let LogError::InvalidRecord(bad) = &refused else { panic!("{refused}") };
        let odd: Vec<i32> = (0..count as i32).filter(|n| n % 2 == 1).take(100).collect();
        assert_eq!(bad.records, odd);
        assert!(bad.reason.contains("record 1 has no key"), "{bad}");
    }
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, 0);
}

#[tokio::test]
async fn batches_are_kept_in_their_topics_compression_whatever_they_were_sent_in() {
    let fixture = Fixture::new(12);
    let store = fixture.with_topic().await;
    let mut end = 0;
    for (name, bits) in CODECS {
        store.set_topic_setting(TOPIC, "compression.type", Some(name)).await.unwrap();
        let bare = |n| Record { headers: Vec::new(), ..record(n, 200) };
        let sent: Vec<Record> = (0..10).map(bare).collect();
        let plain = crate::power_cut::produced(&sent);
        let zipped = crate::compressed::compress(&plain, 1);
        for batch in [plain, zipped] {
            let appended = store.append_raw(TOPIC, 0, Bytes::from(batch), true).await.unwrap();
            assert_eq!(appended.base_offset, end);
            let raw = store.read_raw(TOPIC, 0, end, 1).await.unwrap().bytes;
            let header = batch::parse_header(&raw).unwrap();
            assert_eq!((header.attributes & 7, header.records), (bits, 10), "{name}");
            let read = store.read(TOPIC, 0, end, usize::MAX).await.unwrap();
            let read: Vec<_> = read.into_iter().map(|read| read.record).collect();
            assert_eq!(read, sent, "{name}");
            end += 10;
        }
    }
    // What compression makes too large is refused, as what is sent too large is.
    store.set_topic_setting(TOPIC, "compression.type", Some("uncompressed")).await.unwrap();
    store.set_topic_setting(TOPIC, "max.message.bytes", Some("1000")).await.unwrap();
    let large = crate::power_cut::produced(&(0..10).map(|n| record(n, 200)).collect::<Vec<_>>());
    let zipped = crate::compressed::compress(&large, 1);
    assert!(zipped.len() < 1_000 && large.len() > 1_000);
    let refused = store.append_raw(TOPIC, 0, Bytes::from(zipped), true).await.unwrap_err();
    assert!(refused.to_string().contains("compression.type"), "{refused}");
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, end);
}
