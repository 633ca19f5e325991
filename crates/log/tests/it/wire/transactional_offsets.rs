//! Offsets committed in transactions, over the wire: they count with the transaction or not at all,
//! and nothing is left pending by who does not ask the transaction's coordinator.

use super::group_client::*;
use super::harness::*;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, InitProducerIdRequest, TxnOffsetCommitRequest,
};

const UNKNOWN_TOPIC: i16 = 3;
const INVALID_GROUP: i16 = 24;
const INVALID_REQUEST: i16 = 42;
const INVALID_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const UNKNOWN_PRODUCER: i16 = 49;
const CONCURRENT: i16 = 51;
const UNSTABLE: i16 = 88;
const ABORTABLE: i16 = 120;
/// The first version that adds the group's partition by itself.
const ADDS_FROM: i16 = 5;

/// A producer that commits offsets of group `g` in transactions.
struct Producer {
    client: Client,
    id: &'static str,
    who: (i64, i16),
    group: &'static str,
    topic: &'static str,
}

impl Producer {
    async fn begin(port: &Port, id: &'static str) -> Self {
        let mut client = port.client().await;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(text(id).into()))
            .with_transaction_timeout_ms(60_000);
        loop {
            let answer = client.call(4, &request).await;
            if answer.error_code != CONCURRENT {
                assert_eq!(answer.error_code, 0);
                let who = (answer.producer_id.0, answer.producer_epoch);
                return Self { client, id, who, group: "g", topic: "t" };
            }
        }
    }

    /// AddOffsetsToTxn, asked again while the last transaction is being finished.
    async fn add(&mut self) {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(self.id).into())
            .with_producer_id(self.who.0.into())
            .with_producer_epoch(self.who.1)
            .with_group_id(group(self.group));
        loop {
            let code = self.client.call(3, &request).await.error_code;
            if code != CONCURRENT {
                return assert_eq!(code, 0);
            }
        }
    }

    /// TxnOffsetCommit, asked again while the last transaction is being finished.
    async fn commit(&mut self, version: i16, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name(self.topic));
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(self.id).into())
            .with_group_id(group(self.group))
            .with_producer_id(self.who.0.into())
            .with_producer_epoch(self.who.1)
            .with_generation_id(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        loop {
            let answer = self.client.call(version, &request).await;
            let code = answer.topics[0].partitions[0].error_code;
            if code != CONCURRENT {
                return code;
            }
        }
    }

    async fn end(&mut self, version: i16, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(self.id).into())
            .with_producer_id(self.who.0.into())
            .with_producer_epoch(self.who.1)
            .with_committed(commit);
        let answer = self.client.call(version, &request).await;
        assert_eq!(answer.error_code, 0, "EndTxn {version}");
        if version >= 5 {
            self.who = (answer.producer_id.0, answer.producer_epoch);
        }
    }

    async fn transaction(&mut self, version: i16, offset: i64) {
        if version < ADDS_FROM {
            self.add().await;
        }
        assert_eq!(self.commit(version, offset).await, 0, "version {version}");
    }
}

/// What is wrong with what a producer says.
type Change = fn(&mut Producer);

/// What group `g` has committed once nothing is pending.
async fn settled(client: &mut Client) -> i64 {
    let settles = async {
        loop {
            match fetch_at(client, 8, "g", true).await {
                (_, _, UNSTABLE) => tokio::task::yield_now().await,
                (offset, _, 0) => return offset,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, settles).await.unwrap()
}

#[tokio::test]
async fn they_count_when_the_transaction_is_committed_also_over_a_restart() {
    let mut port = quick_port(1).await;
    let mut client = port.client().await;
    let mut producer = Producer::begin(&port, "x").await;
    let mut due = -1;
    for version in range("TxnOffsetCommit") {
        let end = if version < ADDS_FROM { 3 } else { 5 };
        for commit in [false, true] {
            let offset = 100 + i64::from(version) * 10 + i64::from(commit);
            producer.transaction(version, offset).await;
            assert_eq!(fetch_at(&mut client, 8, "g", true).await, (-1, String::new(), UNSTABLE));
            assert_eq!(fetch_at(&mut client, 8, "g", false).await.0, due, "not yet");
            if version == 2 && commit {
                drop(client);
                port = port.restart(true).await;
                client = port.client().await;
                producer.client = port.client().await;
                assert_eq!(fetch_at(&mut client, 8, "g", true).await.2, UNSTABLE, "still open");
            }
            producer.end(end, commit).await;
            due = if commit { offset } else { due };
            assert_eq!(settled(&mut client).await, due, "version {version}, commit {commit}");
        }
    }
    // A kill, with one transaction open that the next life's producer has aborted.
    producer.transaction(5, 900).await;
    drop((client, producer));
    let port = port.restart(false).await;
    let mut client = port.client().await;
    assert_eq!(fetch_at(&mut client, 8, "g", true).await.2, UNSTABLE);
    Producer::begin(&port, "x").await;
    assert_eq!(settled(&mut client).await, due);
    port.stop().await;
}

#[tokio::test]
async fn who_does_not_ask_the_coordinator_leaves_nothing_pending() {
    let port = quick_port(1).await;
    port.topic("other", 1).await;
    let mut client = port.client().await;
    let mut producer = Producer::begin(&port, "x").await;
    for version in range("TxnOffsetCommit") {
        let wrong = match version {
            ..4 => INVALID_TXN_STATE,
            4 => ABORTABLE,
            _ => 0,
        };
        assert_eq!(producer.commit(version, 5).await, wrong, "nothing is open, {version}");
        if wrong == 0 {
            producer.end(5, false).await;
        }
        let whole = producer.who;
        let cases: [(Change, i16); 6] = [
            (|p| p.who.0 += 1, UNKNOWN_PRODUCER),
            (|p| p.who.1 += 1, INVALID_EPOCH),
            (|p| p.id = "another", UNKNOWN_PRODUCER),
            (|p| p.id = "", INVALID_REQUEST),
            (|p| p.group = "", INVALID_GROUP),
            (|p| p.topic = "nowhere", UNKNOWN_TOPIC),
        ];
        for (number, (change, due)) in cases.into_iter().enumerate() {
            change(&mut producer);
            assert_eq!(producer.commit(version, 6).await, due, "case {number}, {version}");
            (producer.who, producer.id) = (whole, "x");
            (producer.group, producer.topic) = ("g", "t");
        }
        // Of another group that lies in another partition.
        producer.group = "h";
        producer.add().await;
        producer.group = "g";
        assert_eq!(producer.commit(version, 7).await, wrong, "not spanned, {version}");
        producer.end(3, false).await;
        // What has ended is not open any more.
        producer.transaction(version, 8).await;
        producer.end(3, false).await;
        assert_eq!(producer.commit(version, 9).await, wrong, "it has ended, {version}");
        if wrong == 0 {
            producer.end(3, false).await;
        }
        assert_eq!(settled(&mut client).await, -1, "version {version}");
    }
    // A newer producer of the same id.
    producer.transaction(3, 10).await;
    let mut heir = Producer::begin(&port, "x").await;
    for version in range("TxnOffsetCommit") {
        assert_eq!(producer.commit(version, 11).await, INVALID_EPOCH, "version {version}");
    }
    assert_eq!(settled(&mut client).await, -1);
    heir.transaction(4, 12).await;
    heir.end(3, true).await;
    assert_eq!(settled(&mut client).await, 12);
    port.stop().await;
}
