//! What producers and consumers rely on: acks, order, long poll, limits, errors.

use super::harness::*;
use bytes::Bytes;
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tradewind_log::wire::WireLimits;
use tradewind_types::Log;

#[tokio::test]
async fn acks_all_one_and_none_are_stored_and_only_none_is_not_answered() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    assert_eq!(client.produce(9, -1, topic, 0, one(b"all")).await.base_offset, 0);
    assert_eq!(port.store.watermarks("t", 0).unwrap().high_watermark, 1, "answered: durable");
    assert_eq!(client.produce(9, 1, topic, 0, one(b"one")).await.base_offset, 1);
    client.send(9, &produce_request(9, 0, topic, 0, one(b"none"))).await;
    // The next answer belongs to the next request: none came for the one without acks.
    assert_eq!(client.produce(9, -1, topic, 0, one(b"last")).await.base_offset, 3);
    let response = client.call(12, &fetch_request(12, topic, &[(0, 0)], Want::default())).await;
    let values: Vec<_> = fetched(&response).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["all", "one", "none", "last"]);
    assert_eq!(client.produce(9, 7, topic, 0, one(b"bad")).await.error_code, 21);
    port.stop().await;
}

#[tokio::test]
async fn a_failed_produce_without_acks_ends_the_connection() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    client.send(9, &produce_request(9, 0, ("nowhere", uuid::Uuid::nil()), 0, one(b"x"))).await;
    client.expect_closed().await;
    port.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_written_and_answered_in_order() {
    let port = Port::with_topic(2).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let mut sent = Vec::new();
    for index in 0..200 {
        let request = produce_request(9, -1, topic, index % 2, one(index.to_string().as_bytes()));
        sent.push(client.send(9, &request).await);
    }
    let fetch = fetch_request(12, topic, &[(0, 0)], Want::default());
    let fetch_sent = client.send(12, &fetch).await;
    for (index, correlation) in sent.into_iter().enumerate() {
        let answer = client.receive::<ProduceRequest>(9, correlation).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, index as i64 / 2));
    }
    let response = client.receive::<FetchRequest>(12, fetch_sent).await;
    let values: Vec<_> = fetched(&response).into_iter().map(|(_, value)| value).collect();
    let even: Vec<_> = (0..200).step_by(2).map(|index| Bytes::from(index.to_string())).collect();
    assert_eq!(values, even, "a fetch sent after the produces sees them all");
    port.stop().await;
}

#[tokio::test]
async fn a_fetch_waits_for_data_and_no_longer() {
    let port = Port::with_topic(2).await;
    let topic = ("t", port.topic_id("t"));
    let (mut reader, mut writer) = (port.client().await, port.client().await);
    let long = Want { max_wait_ms: 30_000, ..Want::default() };
    let began = Instant::now();
    let waiting = reader.send(13, &fetch_request(13, topic, &[(0, 0), (1, 0)], long)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    writer.produce(9, -1, topic, 1, one(b"woken")).await;
    let response = reader.receive::<FetchRequest>(13, waiting).await;
    assert!(began.elapsed() < Duration::from_secs(25), "it was woken, it did not time out");
    let partitions = &response.responses[0].partitions;
    assert_eq!(records(partitions[1].records.clone().unwrap())[0].1, "woken");
    let short = Want { max_wait_ms: 50, ..Want::default() };
    let response = reader.call(13, &fetch_request(13, topic, &[(0, 0)], short)).await;
    assert!(fetched(&response).is_empty());
    port.stop().await;
}

#[tokio::test]
async fn min_bytes_gathers_several_appends() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let (mut reader, mut writer) = (port.client().await, port.client().await);
    let size = one(&[0; 100]).len() as i32;
    let want = Want { max_wait_ms: 30_000, min_bytes: 3 * size, ..Want::default() };
    let waiting = reader.send(12, &fetch_request(12, topic, &[(0, 0)], want)).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        writer.produce(9, -1, topic, 0, one(&[0; 100])).await;
    }
    let response = reader.receive::<FetchRequest>(12, waiting).await;
    assert_eq!(fetched(&response).len(), 3);
    port.stop().await;
}

#[tokio::test]
async fn limits_hold_but_a_reader_always_moves_on() {
    let port = Port::with_topic(3).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    for partition in 0..3 {
        for _ in 0..3 {
            client.produce(9, -1, topic, partition, one(&[7; 1_000])).await;
        }
    }
    let counts = async |client: &mut Client, want| {
        let from = [(0, 0), (1, 0), (2, 0)];
        let response = client.call(12, &fetch_request(12, topic, &from, want)).await;
        let partitions = response.responses[0].partitions.iter();
        partitions.map(|p| records(p.records.clone().unwrap()).len()).collect::<Vec<_>>()
    };
    let batch = one(&[7; 1_000]).len() as i32;
    let tiny = Want { max_bytes: 10, partition_max_bytes: 10, ..Want::default() };
    assert_eq!(counts(&mut client, tiny).await, [1, 0, 0], "the first batch, though too large");
    let two = Want { partition_max_bytes: 2 * batch, ..Want::default() };
    assert_eq!(counts(&mut client, two).await, [2, 2, 2]);
    let four = Want { max_bytes: 4 * batch, ..Want::default() };
    assert_eq!(counts(&mut client, four).await, [3, 1, 0]);
    port.stop().await;
}

#[tokio::test]
async fn a_fetch_answers_no_more_than_the_port_allows() {
    let limits = WireLimits { fetch_bytes_max: 3_000, ..WireLimits::default() };
    let port = Port::start(limits).await;
    port.topic("t", 1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    for _ in 0..10 {
        client.produce(9, -1, topic, 0, one(&[7; 1_000])).await;
    }
    let response = client.call(12, &fetch_request(12, topic, &[(0, 0)], Want::default())).await;
    assert_eq!(fetched(&response).len(), 2);
    port.stop().await;
}

#[tokio::test]
async fn what_cannot_be_fetched_says_why() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let code = async |client: &mut Client, version, topic, from: (i32, i64)| {
        let response =
            client.call(version, &fetch_request(version, topic, &[from], Want::default())).await;
        response.responses[0].partitions[0].error_code
    };
    assert_eq!(code(&mut client, 12, topic, (0, 5)).await, 1, "past the end");
    assert_eq!(code(&mut client, 12, topic, (9, 0)).await, 3, "no such partition");
    assert_eq!(code(&mut client, 12, ("nowhere", topic.1), (0, 0)).await, 3, "no such topic");
    assert_eq!(code(&mut client, 13, ("", uuid::Uuid::max()), (0, 0)).await, 100, "no such id");
    let session = fetch_request(12, topic, &[(0, 0)], Want::default()).with_session_id(77);
    assert_eq!(client.call(12, &session).await.error_code, 70);
    port.stop().await;
}

#[tokio::test]
async fn what_cannot_be_produced_says_why() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let mut flipped = one(b"value").to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut control = one(b"value").to_vec();
    control[22] |= 0x20;
    let mut transactional = one(b"value").to_vec();
    transactional[22] |= 0x10;
    let cut = one(b"value").slice(..70);
    let large = one(&vec![0; 5 << 20]);
    let cases: [(&str, Bytes, i16); 6] = [
        ("a flipped bit", flipped.into(), 2),
        ("a control batch", control.into(), 87),
        ("a transaction of nobody", transactional.into(), 87),
        ("a cut batch", cut, 2),
        ("nothing", Bytes::new(), 87),
        ("too large", large, 10),
    ];
    for (case, records, code) in cases {
        let answer = client.produce(9, -1, topic, 0, records).await;
        assert_eq!((answer.error_code, answer.base_offset), (code, -1), "{case}");
        assert!(answer.error_message.is_some(), "{case}");
    }
    assert_eq!(client.produce(9, -1, topic, 4, one(b"x")).await.error_code, 3);
    assert_eq!(client.produce(13, -1, ("", uuid::Uuid::max()), 0, one(b"x")).await.error_code, 100);
    assert_eq!(port.store.watermarks("t", 0).unwrap().high_watermark, 0);
    port.stop().await;
}

#[tokio::test]
async fn a_client_that_only_says_goodbye_is_answered_first() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let sent = client.send(9, &produce_request(9, -1, topic, 0, one(b"last"))).await;
    client.stream.shutdown().await.unwrap();
    let answer = client.receive::<ProduceRequest>(9, sent).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    client.expect_closed().await;
    port.stop().await;
}

#[tokio::test]
async fn stopping_answers_what_waits() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let long = Want { max_wait_ms: 30_000, ..Want::default() };
    let waiting = client.send(12, &fetch_request(12, topic, &[(0, 0)], long)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    port.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "the long poll ended with the port");
    assert!(fetched(&client.receive::<FetchRequest>(12, waiting).await).is_empty());
}

#[tokio::test]
async fn a_refused_batch_names_its_bad_records() {
    let port = Port::with_topic(1).await;
    port.store.set_topic_setting("t", "cleanup.policy", Some("compact")).await.unwrap();
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    for version in super::versions::range("Produce").filter(|version| *version >= 3) {
        let refused = client.produce(version, -1, topic, 0, one(b"no key")).await;
        let bad = refused.record_errors.iter().map(|record| record.batch_index);
        let expected = if version >= 8 { vec![0] } else { vec![] };
        assert_eq!((refused.error_code, bad.collect::<Vec<_>>()), (87, expected), "{version}");
    }
    port.stop().await;
}
