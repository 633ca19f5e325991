//! Transactions over the wire: what is committed is seen whole, what is aborted never.

use super::harness::*;
use super::versions::range;
use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, FetchResponse, FindCoordinatorRequest, GroupId,
    InitProducerIdRequest, ListOffsetsRequest, ListTransactionsRequest, TransactionalId,
    WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;
use tradewind_log::wire::WireLimits;
use tradewind_types::Log;

const INVALID_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const UNKNOWN_PRODUCER: i16 = 49;
const INVALID_TIMEOUT: i16 = 50;
const CONCURRENT: i16 = 51;
const FENCED: i16 = 90;

fn transactional_id(id: &str) -> TransactionalId {
    StrBytes::from_string(id.to_owned()).into()
}

/// A transactional producer made of requests.
struct Producer {
    client: Client,
    id: TransactionalId,
    who: Numbered,
}

impl Producer {
    async fn begin(port: &Port, id: &str, version: i16) -> Self {
        let mut client = port.client().await;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(id)))
            .with_transaction_timeout_ms(60_000);
        let answer = loop {
            let answer = client.call(version, &request).await;
            if answer.error_code != CONCURRENT {
                break answer;
            }
        };
        assert_eq!(answer.error_code, 0, "version {version}");
        let (id, epoch) = (transactional_id(id), answer.producer_epoch);
        let who = Numbered { id: answer.producer_id.0, epoch, sequence: 0, transactional: true };
        Self { client, id, who }
    }

    async fn add(&mut self, version: i16, topic: &str, partition: i32) -> i16 {
        let topics = vec![
            AddPartitionsToTxnTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition]),
        ];
        let (id, epoch) = (self.who.id.into(), self.who.epoch);
        let request = match version {
            4.. => AddPartitionsToTxnRequest::default().with_transactions(vec![
                AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(self.id.clone())
                    .with_producer_id(id)
                    .with_producer_epoch(epoch)
                    .with_topics(topics),
            ]),
            _ => AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(self.id.clone())
                .with_v3_and_below_producer_id(id)
                .with_v3_and_below_producer_epoch(epoch)
                .with_v3_and_below_topics(topics),
        };
        let answer = self.client.call(version, &request).await;
        let topics = match version {
            4.. => &answer.results_by_transaction[0].topic_results,
            _ => &answer.results_by_topic_v3_and_below,
        };
        topics[0].results_by_partition[0].partition_error_code
    }

    /// As [`Producer::add`], asked again while the last transaction is being finished.
    async fn added(&mut self, version: i16, topic: &str, partition: i32) {
        while self.add(version, topic, partition).await == CONCURRENT {}
        assert_eq!(self.add(version, topic, partition).await, 0, "version {version}");
    }

    async fn send(&mut self, version: i16, port: &Port, partition: i32, value: &str) -> i16 {
        let topic = ("t", port.topic_id("t"));
        let batch = self.who.batch(&[value.as_bytes()]);
        let mut request = produce_request(version, -1, topic, partition, batch);
        request.transactional_id = Some(self.id.clone());
        let answer = self.client.call(version, &request).await;
        let error = answer.responses[0].partition_responses[0].error_code;
        self.who.sequence += i32::from(error == 0);
        error
    }

    async fn end(&mut self, version: i16, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(self.who.id.into())
            .with_producer_epoch(self.who.epoch)
            .with_committed(commit);
        let answer = self.client.call(version, &request).await;
        if version >= 5 && answer.error_code == 0 {
            (self.who.id, self.who.epoch) = (answer.producer_id.0, answer.producer_epoch);
            self.who.sequence = 0;
        }
        answer.error_code
    }
}

async fn fetch(
    client: &mut Client,
    version: i16,
    port: &Port,
    from: i64,
    committed: bool,
    max_wait_ms: i32,
) -> FetchResponse {
    let topic = ("t", port.topic_id("t"));
    let want = Want { max_wait_ms, ..Want::default() };
    let request = fetch_request(version, topic, &[(0, from)], want);
    client.call(version, &request.with_isolation_level(i8::from(committed))).await
}

/// What a consumer of committed records makes of everything there is, waiting until `end` is
/// stable.
async fn committed(port: &Port, end: i64) -> Vec<Bytes> {
    let mut client = port.client().await;
    while port.store.watermarks("t", 0).unwrap().last_stable < end {
        tokio::task::yield_now().await;
    }
    let response = fetch(&mut client, 12, port, 0, true, 0).await;
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let aborted = partition.aborted_transactions.clone().expect("a list for who asks for it");
    let mut bytes = partition.records.clone().unwrap();
    let mut values = Vec::new();
    let mut skipping = std::collections::BTreeSet::new();
    let mut aborted = aborted.into_iter().peekable();
    while !bytes.is_empty() {
        let header = tradewind_log::batch::parse_header(&bytes).unwrap();
        let batch = bytes.split_to(header.bytes);
        while let Some(next) = aborted.next_if(|next| next.first_offset < header.end_offset()) {
            skipping.insert(next.producer_id.0);
        }
        if header.control() {
            skipping.remove(&header.producer_id);
        } else if !header.transactional() || !skipping.contains(&header.producer_id) {
            values.extend(records(batch).into_iter().map(|(_, value)| value));
        }
    }
    values
}

#[tokio::test]
async fn what_is_committed_is_seen_and_what_is_aborted_is_not_in_every_version() {
    let port = Port::with_topic(1).await;
    let mut due = Vec::new();
    let mut end = 0;
    let adds = range("AddPartitionsToTxn").cycle();
    let produces = range("Produce").filter(|version| *version >= 3).cycle();
    let ends = range("EndTxn").chain(range("EndTxn"));
    for (round, ((add, produce), end_version)) in adds.zip(produces).zip(ends).enumerate() {
        let init = (round as i16) % 6;
        let mut producer = Producer::begin(&port, &format!("id {round}"), init).await;
        for commit in [true, false, true] {
            let value = format!("{round} {commit} {end}");
            producer.added(add, "t", 0).await;
            assert_eq!(producer.send(produce, &port, 0, &value).await, 0, "Produce {produce}");
            let marks = port.store.watermarks("t", 0).unwrap();
            assert_eq!((marks.last_stable, marks.high_watermark), (end, end + 1));
            assert_eq!(producer.end(end_version, commit).await, 0, "EndTxn {end_version}");
            end += 2;
            if commit {
                due.push(Bytes::from(value));
            }
            assert_eq!(committed(&port, end).await, due);
        }
    }
    let ours = port.store.read("t", 0, 0, usize::MAX).await.unwrap();
    let values: Vec<_> = ours.into_iter().map(|read| read.record.value.unwrap()).collect();
    assert_eq!(values, due, "and read in process, too");
    let mut client = port.client().await;
    let all = fetched(&fetch(&mut client, 12, &port, 0, false, 0).await);
    assert_eq!(all.len() as i64, end, "who asks for all gets all, markers included");
    port.stop().await;
}

#[tokio::test]
async fn fetch_and_list_offsets_end_at_what_is_stable_in_every_version() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut producer = Producer::begin(&port, "id", 4).await;
    let mut other = port.client().await;
    other.produce(9, -1, topic, 0, one(b"before")).await;
    producer.added(3, "t", 0).await;
    assert_eq!(producer.send(9, &port, 0, "open").await, 0);
    other.produce(9, -1, topic, 0, one(b"behind")).await;
    for version in range("Fetch") {
        for (isolated, count) in [(true, 1), (false, 3)] {
            let response = fetch(&mut other, version, &port, 0, isolated, 0).await;
            assert_eq!(fetched(&response).len(), count, "version {version}");
            let partition = &response.responses[0].partitions[0];
            let marks = (partition.last_stable_offset, partition.high_watermark);
            assert_eq!(marks, (1, 3), "version {version}");
            assert_eq!(partition.aborted_transactions.is_some(), isolated);
        }
        let response = fetch(&mut other, version, &port, 2, true, 0).await;
        assert!(fetched(&response).is_empty(), "past what is stable there is nothing yet");
    }
    for version in range("ListOffsets").filter(|version| *version >= 2) {
        for (level, end) in [(0, 3), (1, 1)] {
            let partition =
                ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
            let topic =
                ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
            let request =
                ListOffsetsRequest::default().with_isolation_level(level).with_topics(vec![topic]);
            let answer = other.call(version, &request).await;
            assert_eq!(answer.topics[0].partitions[0].offset, end, "version {version}");
        }
    }
    port.stop().await;
}

#[tokio::test]
async fn a_fetch_that_waits_is_woken_by_the_end_of_a_transaction() {
    let port = Port::with_topic(1).await;
    let mut producer = Producer::begin(&port, "id", 4).await;
    producer.added(3, "t", 0).await;
    producer.send(9, &port, 0, "value").await;
    let mut waiting = port.client().await;
    let wait = async { fetched(&fetch(&mut waiting, 12, &port, 0, true, 30_000).await) };
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(producer.end(3, true).await, 0);
    };
    let began = std::time::Instant::now();
    let (read, ()) = tokio::join!(wait, end);
    assert_eq!(read[0], (0, Bytes::from("value")));
    assert!(began.elapsed().as_secs() < 25, "it was not the deadline that woke it");
    port.stop().await;
}

#[tokio::test]
async fn who_begins_with_the_same_id_fences_who_was_there_in_every_version() {
    for version in range("EndTxn") {
        let port = Port::with_topic(1).await;
        let mut zombie = Producer::begin(&port, "id", 4).await;
        zombie.added(3, "t", 0).await;
        assert_eq!(zombie.send(9, &port, 0, "of the zombie").await, 0);
        let mut heir = Producer::begin(&port, "id", 5).await;
        assert_eq!(heir.who.id, zombie.who.id);
        assert_eq!(zombie.send(9, &port, 0, "late").await, INVALID_EPOCH);
        let fenced = if version < 2 { INVALID_EPOCH } else { FENCED };
        assert_eq!(zombie.end(version, true).await, fenced, "version {version}");
        for add in range("AddPartitionsToTxn") {
            let fenced = if add < 2 { INVALID_EPOCH } else { FENCED };
            assert_eq!(zombie.add(add, "t", 0).await, fenced, "version {add}");
        }
        heir.added(3, "t", 0).await;
        assert_eq!(heir.send(9, &port, 0, "of the heir").await, 0);
        assert_eq!(heir.end(3, true).await, 0);
        assert_eq!(committed(&port, 4).await, ["of the heir"]);
        port.stop().await;
    }
}

#[tokio::test]
async fn what_a_producer_may_not_do_is_refused_as_kafka_does() {
    let port = Port::with_topic(2).await;
    let mut client = port.client().await;
    for version in range("InitProducerId") {
        let mut ask = async |id: &str, timeout_ms| {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(transactional_id(id)))
                .with_transaction_timeout_ms(timeout_ms);
            client.call(version, &request).await.error_code
        };
        assert_eq!(ask("id", 900_001).await, INVALID_TIMEOUT);
        assert_eq!(ask("id", 0).await, INVALID_TIMEOUT);
        assert_eq!(ask("", 1_000).await, 42);
    }
    let mut producer = Producer::begin(&port, "id", 4).await;
    assert_eq!(producer.end(3, true).await, INVALID_TXN_STATE, "nothing is open");
    assert_eq!(producer.add(3, "nowhere", 0).await, 3);
    assert_eq!(producer.add(3, "t", 9).await, 3);
    producer.added(3, "t", 0).await;
    assert_eq!(producer.send(9, &port, 1, "x").await, INVALID_TXN_STATE, "not spanned");
    assert_eq!(producer.send(12, &port, 1, "x").await, 0, "version 12 makes it spanned");
    let whole = producer.who;
    producer.who.id += 1;
    assert_eq!(producer.end(3, true).await, UNKNOWN_PRODUCER);
    producer.who = whole;
    producer.id = transactional_id("another");
    assert_eq!(producer.end(3, true).await, UNKNOWN_PRODUCER);
    let topic = ("__transaction_state", port.topic_id("__transaction_state"));
    let mut client = port.client().await;
    assert_eq!(client.produce(9, -1, topic, 0, one(b"x")).await.error_code, 17);
    port.stop().await;
}

#[tokio::test]
async fn a_producer_that_says_who_it_is_has_its_epoch_raised() {
    let port = Port::with_topic(1).await;
    let mut producer = Producer::begin(&port, "id", 5).await;
    let (id, epoch) = (producer.who.id, producer.who.epoch);
    let ask = |epoch| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id("id")))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
    };
    for version in 3..=5 {
        let expected = epoch + version - 3;
        for _ in 0..2 {
            let answer = producer.client.call(version, &ask(expected)).await;
            let told = (answer.error_code, answer.producer_id.0, answer.producer_epoch);
            assert_eq!(told, (0, id, expected + 1), "version {version}, asked twice");
        }
    }
    let fenced = producer.client.call(4, &ask(epoch)).await.error_code;
    assert_eq!(fenced, FENCED);
    assert_eq!(producer.client.call(3, &ask(epoch)).await.error_code, INVALID_EPOCH);
    port.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_open_too_long_is_aborted() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id("id")))
        .with_transaction_timeout_ms(1);
    let answer = client.call(4, &request).await;
    let who = Numbered {
        id: answer.producer_id.0,
        epoch: answer.producer_epoch,
        sequence: 0,
        transactional: true,
    };
    let mut producer = Producer { client, id: transactional_id("id"), who };
    producer.added(3, "t", 0).await;
    let sent = producer.send(9, &port, 0, "too slow").await;
    // The sweep may have been faster than the batch.
    assert!([0, INVALID_EPOCH, INVALID_TXN_STATE].contains(&sent), "{sent}");
    let state = async {
        loop {
            let request = DescribeTransactionsRequest::default()
                .with_transactional_ids(vec![producer.id.clone()]);
            let answer = producer.client.call(0, &request).await;
            if &*answer.transaction_states[0].transaction_state == "CompleteAbort" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, state).await.unwrap();
    assert_eq!(producer.end(3, true).await, FENCED);
    assert!(port.store.read("t", 0, 0, usize::MAX).await.unwrap().is_empty());
    port.stop().await;
}

#[tokio::test]
async fn transactions_and_producers_are_listed_and_described() {
    let port = Port::with_topic(2).await;
    let mut producer = Producer::begin(&port, "id", 4).await;
    let _idle = Producer::begin(&port, "idle", 4).await;
    producer.added(3, "t", 1).await;
    producer.send(9, &port, 1, "x").await;
    let mut client = port.client().await;
    let text = |text: &'static str| StrBytes::from_static_str(text);
    for version in range("ListTransactions") {
        let mut list = async |states: Vec<StrBytes>, duration_ms: i64| {
            let mut request = ListTransactionsRequest::default().with_state_filters(states);
            if version >= 1 {
                request = request.with_duration_filter(duration_ms);
            }
            let answer = client.call(version, &request).await;
            assert_eq!(answer.error_code, 0);
            let ids =
                answer.transaction_states.iter().map(|state| state.transactional_id.to_string());
            (ids.collect::<Vec<_>>(), answer.unknown_state_filters.len())
        };
        assert_eq!(list(vec![], -1).await.0, ["id", "idle"]);
        assert_eq!(list(vec![text("Ongoing"), text("Odd")], -1).await, (vec!["id".to_owned()], 1));
        if version >= 1 {
            assert!(list(vec![], 1 << 40).await.0.is_empty());
        }
    }
    let mut matching = async |pattern: &'static str| {
        let request = ListTransactionsRequest::default()
            .with_transactional_id_pattern(Some(StrBytes::from_static_str(pattern)));
        let answer = client.call(2, &request).await;
        let ids = answer.transaction_states.iter().map(|state| state.transactional_id.to_string());
        (answer.error_code, ids.collect::<Vec<_>>())
    };
    // The whole id is to match, as in Kafka.
    for (pattern, ids) in [
        ("", &["id", "idle"][..]),
        ("id", &["id"]),
        ("i|id", &["id"]),
        ("id.*", &["id", "idle"]),
        ("d", &[]),
    ] {
        assert_eq!(matching(pattern).await, (0, ids.iter().map(ToString::to_string).collect()));
    }
    for wrong in ["(", "a)|(?:b", r"(a)\1", "(?:a{1000}){1000}"] {
        assert_eq!(matching(wrong).await, (128, vec![]), "{wrong}");
    }
    let ids = vec![transactional_id("id"), transactional_id("never")];
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let answer = client.call(0, &request).await;
    let (known, unknown) = (&answer.transaction_states[0], &answer.transaction_states[1]);
    assert_eq!((&*known.transaction_state, known.transaction_timeout_ms), ("Ongoing", 60_000));
    assert_eq!(known.topics[0].partitions, [1]);
    assert_eq!(unknown.error_code, 105);
    let topics =
        vec![TopicRequest::default().with_name(name("t")).with_partition_indexes(vec![0, 1, 7])];
    let answer = client.call(0, &DescribeProducersRequest::default().with_topics(topics)).await;
    let partitions = &answer.topics[0].partitions;
    assert!(partitions[0].active_producers.is_empty());
    let known = &partitions[1].active_producers[0];
    assert_eq!(
        (known.producer_id.0, known.last_sequence, known.current_txn_start_offset),
        (producer.who.id, 0, 0)
    );
    assert_eq!(partitions[2].error_code, 3);
    port.stop().await;
}

#[tokio::test]
async fn an_administrator_ends_what_hangs() {
    let port = Port::with_topic(1).await;
    let mut producer = Producer::begin(&port, "id", 4).await;
    producer.added(3, "t", 0).await;
    producer.send(9, &port, 0, "hangs").await;
    let mut client = port.client().await;
    let topic =
        WritableTxnMarkerTopic::default().with_name(name("t")).with_partition_indexes(vec![0, 5]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.who.id.into())
        .with_producer_epoch(producer.who.epoch)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let answer = client.call(1, &request).await;
    let partitions = &answer.markers[0].topics[0].partitions;
    assert_eq!((partitions[0].error_code, partitions[1].error_code), (0, 3));
    let marks = port.store.watermarks("t", 0).unwrap();
    assert_eq!((marks.last_stable, marks.high_watermark), (2, 2));
    port.stop().await;
}

#[tokio::test]
async fn offsets_become_part_of_a_transaction_and_are_told_of_its_end() {
    let port = Port::with_topic(1).await;
    let mut producer = Producer::begin(&port, "id", 4).await;
    let mut client = port.client().await;
    let request = |producer: &Producer| {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(producer.id.clone())
            .with_producer_id(producer.who.id.into())
            .with_producer_epoch(producer.who.epoch)
            .with_group_id(GroupId(StrBytes::from_static_str("a")))
    };
    for version in range("AddOffsetsToTxn") {
        while client.call(version, &request(&producer)).await.error_code == CONCURRENT {}
        assert_eq!(client.call(version, &request(&producer)).await.error_code, 0);
        assert_eq!(producer.end(3, true).await, 0);
    }
    // The groups' topic is made when it is needed. "a" hashes to 97, and of its four partitions that
    // is the second: one marker for each of the five.
    while port.store.watermarks("__consumer_offsets", 1).unwrap().high_watermark < 5 {
        tokio::task::yield_now().await;
    }
    producer.who.epoch -= 1;
    assert_eq!(client.call(1, &request(&producer)).await.error_code, INVALID_EPOCH);
    assert_eq!(client.call(2, &request(&producer)).await.error_code, FENCED);
    port.stop().await;
}

#[tokio::test]
async fn transactions_survive_a_close_and_a_kill() {
    for close in [true, false] {
        let port = Port::with_topic(1).await;
        let mut first = Producer::begin(&port, "first", 4).await;
        let mut second = Producer::begin(&port, "second", 4).await;
        for producer in [&mut first, &mut second] {
            producer.added(3, "t", 0).await;
            assert_eq!(producer.send(9, &port, 0, "before").await, 0);
        }
        assert_eq!(first.end(3, true).await, 0);
        let (one, two) = (first.who, second.who);
        drop((first, second));
        let port = port.restart(close).await;
        let mut second =
            Producer { client: port.client().await, id: transactional_id("second"), who: two };
        assert_eq!(second.send(9, &port, 0, "after").await, 0, "the transaction goes on");
        assert_eq!(second.end(3, false).await, 0);
        let mut first =
            Producer { client: port.client().await, id: transactional_id("first"), who: one };
        first.added(3, "t", 0).await;
        assert_eq!(first.send(9, &port, 0, "again").await, 0, "and so do the sequences");
        assert_eq!(first.end(3, true).await, 0);
        // Two before, a marker, one after, its marker, one again and its marker; their order varies.
        assert_eq!(committed(&port, 7).await, ["before", "again"], "close {close}");
        port.stop().await;
    }
}

#[tokio::test]
async fn the_coordinator_of_every_transaction_is_this_broker() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    let key = StrBytes::from_static_str("id");
    for version in range("FindCoordinator").filter(|version| *version >= 1) {
        let request = FindCoordinatorRequest::default().with_key_type(1);
        let request = match version {
            4.. => request.with_coordinator_keys(vec![key.clone()]),
            _ => request.with_key(key.clone()),
        };
        let answer = client.call(version, &request).await;
        let (error, port_told) = match version {
            4.. => (answer.coordinators[0].error_code, answer.coordinators[0].port),
            _ => (answer.error_code, answer.port),
        };
        assert_eq!((error, port_told), (0, i32::from(port.address.port())), "version {version}");
    }
    port.stop().await;
}
