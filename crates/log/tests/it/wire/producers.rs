//! Producers that number their batches: nothing is stored twice, out of order or for a stranger.

use super::harness::*;
use super::versions::range;
use kafka_protocol::messages::InitProducerIdRequest;
use tradewind_log::wire::WireLimits;

const OUT_OF_ORDER: i16 = 45;
const INVALID_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_RECORD: i16 = 87;

fn numbered(sequence: i32) -> Numbered {
    Numbered { id: 500, epoch: 0, sequence, transactional: false }
}

async fn stored(port: &Port) -> Vec<(i64, bytes::Bytes)> {
    let read = port.store.read_raw("t", 0, 0, usize::MAX).await.unwrap();
    records(read.bytes)
}

#[tokio::test]
async fn a_batch_that_comes_again_is_answered_with_its_offset_in_every_version() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let mut due = 0;
    for version in range("Produce").filter(|version| *version >= 3) {
        for acks in [-1, 1] {
            let batch = numbered(due).batch(&[b"a", b"b"]);
            for _ in 0..3 {
                let answer = client.produce(version, acks, topic, 0, batch.clone()).await;
                let told = (answer.error_code, answer.base_offset);
                assert_eq!(told, (0, i64::from(due)), "version {version}");
            }
            due += 2;
        }
        let gap = numbered(due + 1).batch(&[b"late"]);
        let answer = client.produce(version, -1, topic, 0, gap).await;
        assert_eq!((answer.error_code, answer.base_offset), (OUT_OF_ORDER, -1));
    }
    assert_eq!(stored(&port).await.len(), due as usize);
    port.stop().await;
}

#[tokio::test]
async fn repeats_that_are_pipelined_are_stored_once_and_in_order() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let mut sent = Vec::new();
    for sequence in 0..50 {
        let value = sequence.to_string();
        let batch = numbered(sequence).batch(&[value.as_bytes()]);
        for _ in 0..2 {
            let request = produce_request(9, -1, topic, 0, batch.clone());
            sent.push((i64::from(sequence), client.send(9, &request).await));
        }
    }
    for (offset, correlation) in sent {
        type Request = kafka_protocol::messages::ProduceRequest;
        let answer = client.receive::<Request>(9, correlation).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, offset));
    }
    let values: Vec<_> = stored(&port).await.into_iter().map(|(_, value)| value).collect();
    let due: Vec<_> = (0..50).map(|sequence| sequence.to_string()).collect();
    assert_eq!(values, due);
    port.stop().await;
}

#[tokio::test]
async fn producers_are_known_after_a_close_and_after_a_kill() {
    for close in [true, false] {
        let port = Port::with_topic(1).await;
        let id = port.topic_id("t");
        let mut client = port.client().await;
        for sequence in 0..7 {
            let batch = numbered(sequence).batch(&[b"x"]);
            client.produce(9, -1, ("t", id), 0, batch).await;
        }
        let newer = Numbered { id: 501, epoch: 2, ..numbered(0) };
        client.produce(9, -1, ("t", id), 0, newer.batch(&[b"y"])).await;
        drop(client);
        let port = port.restart(close).await;
        let mut client = port.client().await;
        let mut send = async |batch| {
            let answer = client.produce(9, -1, ("t", id), 0, batch).await;
            (answer.error_code, answer.base_offset)
        };
        for sequence in 2..7 {
            let again = numbered(sequence).batch(&[b"x"]);
            assert_eq!(send(again).await, (0, i64::from(sequence)), "close {close}");
        }
        assert_eq!(send(numbered(9).batch(&[b"x"])).await, (OUT_OF_ORDER, -1));
        assert_eq!(send(numbered(7).batch(&[b"x"])).await, (0, 8));
        let older = Numbered { epoch: 1, ..newer };
        assert_eq!(send(older.batch(&[b"z"])).await, (INVALID_EPOCH, -1));
        port.stop().await;
    }
}

#[tokio::test]
async fn batches_no_producer_may_send_are_refused_and_nothing_is_stored() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let two = [numbered(0).batch(&[b"a"]), numbered(1).batch(&[b"b"])].concat();
    let cases = [
        ("two at once", two.into(), INVALID_RECORD),
        ("no sequence", numbered(-1).batch(&[b"a"]), INVALID_RECORD),
        ("no epoch", Numbered { epoch: -1, ..numbered(0) }.batch(&[b"a"]), INVALID_RECORD),
        (
            "a transaction of nobody",
            Numbered { id: -1, transactional: true, ..numbered(0) }.batch(&[b"a"]),
            INVALID_RECORD,
        ),
        (
            "a transaction nobody began",
            Numbered { transactional: true, ..numbered(0) }.batch(&[b"a"]),
            INVALID_TXN_STATE,
        ),
    ];
    for (what, batch, error) in cases {
        let answer = client.produce(9, -1, topic, 0, batch).await;
        assert_eq!(answer.error_code, error, "{what}");
    }
    assert!(stored(&port).await.is_empty());
    port.stop().await;
}

#[tokio::test]
async fn ids_are_not_given_again_after_a_restart() {
    let mut port = Port::start(WireLimits::default()).await;
    let mut ids = std::collections::BTreeSet::new();
    for life in 0..3 {
        let mut client = port.client().await;
        for _ in 0..5 {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let answer = client.call(4, &request).await;
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
            assert!(ids.insert(answer.producer_id.0), "life {life}: {ids:?}");
        }
        drop(client);
        port = port.restart(life == 0).await;
    }
    port.stop().await;
}
