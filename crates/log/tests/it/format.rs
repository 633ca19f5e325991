//! The files of format version 1, byte by byte: what is on somebody's disk must stay readable.

use crate::power_cut::produced;
use crate::support::{DIR, Fixture, TOPIC, append, numbers, partition_dir, read_all, record};
use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use std::path::Path;
use tradewind_disk::{Create, Disk};
use tradewind_types::{Log, Record};

const TOPIC_JSON: &str = r#"{"format_version":1,"name":"events","id":"6f3c1c0e-5a0b-4d57-9d0e-0c6a55c0ffee","partitions":1,"settings":{"retention.ms":"-1"}}"#;
/// One batch of two records, made by hand from docs/formats/log-segment.md; see `records`.
const SEGMENT: &str = "000000000000000000000045000000000252feff8e0000000000010000018bcfe568000000018bcf\
    e56805ffffffffffffffffffffffffffff0000000218000000026b047631020268010c000a020101\
    00";
const INDEX: &str = "0000000200000051911c1c62";
const TIME_INDEX: &str = "0000018bcfe56805000000024bbc1dfe";
const RECOVERY_POINT: &str = "54575250000000010000000000000002000000000000000000000000000000020000000000000000\
    00000000000000510000000000000000000000008536495b";
/// As this release writes it: it says that no batch has a producer with an id.
const RECOVERY_POINT_NOW: &str = "54575250000000010000000000000002000000000000000000000000000000020000000000000000\
    0000000000000051000000000000000048674bc7cba685f4";

fn records() -> Vec<Record> {
    let first = Record {
        timestamp_ms: 1_700_000_000_000,
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"v1")),
        headers: vec![(Bytes::from_static(b"h"), None)],
    };
    vec![first, Record { timestamp_ms: 1_700_000_000_005, ..Record::default() }]
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

#[tokio::test]
async fn a_folder_of_version_1_opens() {
    let fixture = Fixture::new(1);
    let dir = partition_dir();
    fixture.disk.create_dir_all(&dir).unwrap();
    let put = |path: &Path, bytes: &[u8]| {
        fixture.disk.open(path, Create::New).unwrap().write_all_at(bytes, 0).unwrap();
    };
    put(&Path::new(DIR).join(TOPIC).join("topic.json"), TOPIC_JSON.as_bytes());
    put(&dir.join("00000000000000000000.log"), &hex(SEGMENT));
    put(&dir.join("00000000000000000000.index"), &hex(INDEX));
    put(&dir.join("00000000000000000000.timeindex"), &hex(TIME_INDEX));
    put(&dir.join("recovery-point"), &hex(RECOVERY_POINT));
    let (store, report) = fixture.open();
    assert_eq!(report, Default::default());
    let info = store.topic(TOPIC).unwrap();
    assert_eq!(info.id[..4], [0x6f, 0x3c, 0x1c, 0x0e]);
    assert_eq!(info.settings["retention.ms"], "-1");
    let read = read_all(&store, TOPIC, 0).await;
    assert_eq!(read.iter().map(|read| read.record.clone()).collect::<Vec<_>>(), records());
}

#[tokio::test]
async fn this_release_writes_those_bytes() {
    let fixture = Fixture::new(2);
    let store = fixture.with_topic().await;
    store.append(TOPIC, 0, records()).await.unwrap();
    store.close().await.unwrap();
    let read = |name: &str| {
        let bytes = fixture.disk.read(&partition_dir().join(name)).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(read("00000000000000000000.log"), SEGMENT);
    assert_eq!(read("00000000000000000000.index"), INDEX);
    assert_eq!(read("00000000000000000000.timeindex"), TIME_INDEX);
    // The slot that was written last; the other one lies in a page of its own.
    assert_eq!(read("recovery-point")[..128], *RECOVERY_POINT_NOW);
}

#[tokio::test]
async fn batches_are_those_of_kafka() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    // Another's encoder, our decoder.
    let sent: Vec<Record> = (3..6).map(|n| Record { headers: vec![], ..record(n, 50) }).collect();
    store.append_raw(TOPIC, 0, produced(&sent).into(), true).await.unwrap();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(read_all(&store, TOPIC, 0).await[4].record, sent[1]);
    // Our encoder, another's decoder.
    let mut raw = store.read_raw(TOPIC, 0, 0, usize::MAX).await.unwrap().bytes;
    let decoded = RecordBatchDecoder::decode_all(&mut raw).unwrap();
    let decoded: Vec<_> = decoded.into_iter().flat_map(|set| set.records).collect();
    assert_eq!(decoded.len(), 6);
    let ours = record(1, 100);
    assert_eq!((decoded[1].offset, decoded[1].timestamp), (1, ours.timestamp_ms));
    assert_eq!((&decoded[1].key, &decoded[1].value), (&ours.key, &ours.value));
    assert_eq!(decoded[1].headers.len(), 1);
}
