//! Produce 0 to 2 with message sets, as clients of Kafka 0.8 to 0.10 send them.

use super::harness::*;
use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::messages::FetchResponse;
use std::io::Write;
use tokio::io::AsyncWriteExt;
use tradewind_log::wire::WireLimits;

fn message(magic: u8, attributes: u8, value: &[u8]) -> Vec<u8> {
    let mut summed = vec![magic, attributes];
    if magic == 1 {
        summed.put_i64(1_700_000_000_123);
    }
    summed.put_i32(3);
    summed.extend_from_slice(b"key");
    summed.put_i32(value.len() as i32);
    summed.extend_from_slice(value);
    let mut crc = flate2::Crc::new();
    crc.update(&summed);
    let mut bytes = Vec::new();
    bytes.put_i64(0);
    bytes.put_i32(4 + summed.len() as i32);
    bytes.put_u32(crc.sum());
    bytes.extend_from_slice(&summed);
    bytes
}

fn request(version: i16, acks: i16, records: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i16(0);
    body.put_i16(version);
    body.put_i32(5);
    body.put_i16(-1);
    body.put_i16(acks);
    body.put_i32(1_000);
    body.put_i32(1);
    body.put_i16(1);
    body.put_slice(b"t");
    body.put_i32(1);
    body.put_i32(0);
    body.put_i32(records.len() as i32);
    body.put_slice(records);
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

/// Error code and base offset, the answer's form checked to its last byte.
async fn produce(client: &mut Client, version: i16, records: &[u8]) -> (i16, i64) {
    client.stream.write_all(&request(version, -1, records)).await.unwrap();
    let mut answer = client.receive_frame().await.unwrap();
    assert_eq!((answer.get_i32(), answer.get_i32()), (5, 1), "correlation and topics");
    assert_eq!((answer.get_i16(), answer.get_u8()), (1, b't'));
    assert_eq!((answer.get_i32(), answer.get_i32()), (1, 0), "partitions and index");
    let (code, base) = (answer.get_i16(), answer.get_i64());
    if version >= 2 {
        assert_eq!(answer.get_i64(), -1, "the producer's time was kept");
    }
    if version >= 1 {
        assert_eq!(answer.get_i32(), 0, "throttle time");
    }
    assert!(answer.is_empty());
    (code, base)
}

async fn stored(client: &mut Client, port: &Port) -> FetchResponse {
    let topic = ("t", port.topic_id("t"));
    client.call(4, &fetch_request(4, topic, &[(0, 0)], Want::default())).await
}

#[tokio::test]
async fn message_sets_become_batches() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&[message(1, 0, b"three"), message(1, 0, b"four")].concat()).unwrap();
    let gzip = gzip.finish().unwrap();
    let sets = [
        (0, message(0, 0, b"zero"), 0),
        (1, [message(0, 0, b"one"), message(0, 0, b"two")].concat(), 1),
        (2, message(1, 1, &gzip), 3),
    ];
    for (version, set, base) in sets {
        assert_eq!(produce(&mut client, version, &set).await, (0, base), "version {version}");
    }
    let values: Vec<_> =
        fetched(&stored(&mut client, &port).await).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["zero", "one", "two", "three", "four"]);
    port.stop().await;
}

#[tokio::test]
async fn a_broken_set_is_refused_and_nothing_is_stored() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    let mut flipped = message(1, 0, b"value");
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(produce(&mut client, 2, &flipped).await, (2, -1));
    assert_eq!(produce(&mut client, 2, &message(1, 4, b"")).await, (76, -1), "zstd in magic 1");
    assert_eq!(produce(&mut client, 2, b"").await.0, 87, "nothing at all");
    assert!(fetched(&stored(&mut client, &port).await).is_empty());
    port.stop().await;
}

#[tokio::test]
async fn a_message_set_in_a_new_version_is_refused() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let set = Bytes::from(message(1, 0, b"value"));
    assert_eq!(client.produce(3, -1, topic, 0, set).await.error_code, 87);
    port.stop().await;
}

#[tokio::test]
async fn an_old_produce_without_acks_is_stored_and_not_answered() {
    let port = Port::start(WireLimits::default()).await;
    port.topic("t", 1).await;
    let mut client = port.client().await;
    client.stream.write_all(&request(0, 0, &message(0, 0, b"quiet"))).await.unwrap();
    // The next answer on this connection is the next request's.
    assert_eq!(produce(&mut client, 0, &message(0, 0, b"loud")).await, (0, 1));
    assert_eq!(fetched(&stored(&mut client, &port).await).len(), 2);
    port.stop().await;
}
