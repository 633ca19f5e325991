//! Every advertised version of every API, asked by an independent encoder.

use super::harness::*;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, DeleteTopicsRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;
use tradewind_log::wire::{WireLimits, versions};

pub(super) fn range(api: &str) -> std::ops::RangeInclusive<i16> {
    let (_, _, min, max) = versions().find(|(name, ..)| *name == api).unwrap();
    min..=max
}

#[tokio::test]
async fn api_versions_lists_what_is_served_in_every_version() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    for version in range("ApiVersions") {
        let text = || StrBytes::from_static_str("test");
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request =
                request.with_client_software_name(text()).with_client_software_version(text());
        }
        let response = client.call(version, &request).await;
        assert_eq!(response.error_code, 0);
        let told = response.api_keys.iter().map(|a| (a.api_key, (a.min_version, a.max_version)));
        let served = versions().map(|(_, key, min, max)| (key, (min, max)));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), served.collect(), "version {version}");
        let finalized: Vec<_> = response
            .finalized_features
            .iter()
            .map(|it| (it.name.as_str(), it.min_version_level, it.max_version_level))
            .collect();
        let supported: Vec<_> = response
            .supported_features
            .iter()
            .map(|it| (it.name.as_str(), it.min_version, it.max_version))
            .collect();
        let transactions = [("transaction.version", 2, 2)];
        let due = if version >= 3 { &transactions[..] } else { &[] };
        assert_eq!(finalized, due, "version {version}");
        assert_eq!(response.finalized_features_epoch, if version >= 3 { 0 } else { -1 });
        let due = if version >= 4 { &[("transaction.version", 0, 2)][..] } else { &[] };
        assert_eq!(supported, due, "older clients take a level of 0 for a fault");
    }
    port.stop().await;
}

#[tokio::test]
async fn produce_is_advertised_from_zero_and_the_ranges_are_those_of_one_release() {
    let by_name: BTreeMap<_, _> =
        versions().map(|(name, _, min, max)| (name, (min, max))).collect();
    // As a Kafka 4.1 broker says.
    let expected = BTreeMap::from([
        ("Produce", (0, 13)),
        ("Fetch", (4, 18)),
        ("ListOffsets", (1, 10)),
        ("Metadata", (0, 13)),
        ("FindCoordinator", (0, 6)),
        ("ApiVersions", (0, 4)),
        ("CreateTopics", (2, 7)),
        ("DeleteTopics", (1, 6)),
        ("InitProducerId", (0, 5)),
        ("OffsetCommit", (2, 10)),
        ("OffsetFetch", (1, 10)),
        ("JoinGroup", (0, 9)),
        ("Heartbeat", (0, 4)),
        ("LeaveGroup", (0, 5)),
        ("SyncGroup", (0, 5)),
        ("DescribeGroups", (0, 6)),
        ("ListGroups", (0, 5)),
        ("TxnOffsetCommit", (0, 5)),
        ("DeleteGroups", (0, 2)),
        ("OffsetDelete", (0, 0)),
        ("AlterConfigs", (0, 2)),
        ("AlterPartitionReassignments", (0, 1)),
        ("AlterReplicaLogDirs", (1, 2)),
        ("CreatePartitions", (0, 3)),
        ("DeleteRecords", (0, 2)),
        ("DescribeCluster", (0, 2)),
        ("DescribeConfigs", (1, 4)),
        ("DescribeLogDirs", (1, 4)),
        ("DescribeTopicPartitions", (0, 0)),
        ("ElectLeaders", (0, 2)),
        ("IncrementalAlterConfigs", (0, 1)),
        ("ListConfigResources", (0, 1)),
        ("ListPartitionReassignments", (0, 0)),
        ("OffsetForLeaderEpoch", (2, 4)),
        ("AddPartitionsToTxn", (0, 5)),
        ("AddOffsetsToTxn", (0, 4)),
        ("EndTxn", (0, 5)),
        ("WriteTxnMarkers", (1, 1)),
        ("DescribeProducers", (0, 0)),
        ("DescribeTransactions", (0, 0)),
        ("ListTransactions", (0, 2)),
    ]);
    assert_eq!(by_name, expected);
}

#[tokio::test]
async fn an_unknown_api_versions_version_is_answered_in_its_first_form() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    let mut future = frame(18, 3, 41, &ApiVersionsRequest::default()).to_vec();
    future[6..8].copy_from_slice(&99_i16.to_be_bytes());
    client.stream.write_all(&future).await.unwrap();
    let mut answer = client.receive_frame().await.unwrap();
    assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 41);
    let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(response.error_code, 35);
    assert_eq!((response.api_keys[0].api_key, response.api_keys[0].max_version), (18, 4));
    // The same connection goes on.
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).await.error_code, 0);
    port.stop().await;
}

#[tokio::test]
async fn metadata_names_the_broker_the_topics_and_their_ids_in_every_version() {
    let port = Port::with_topic(3).await;
    let id = port.topic_id("t");
    let mut client = port.client().await;
    for version in range("Metadata") {
        let all = match version {
            0 => MetadataRequest::default().with_topics(Some(vec![])),
            _ => MetadataRequest::default().with_topics(None),
        };
        let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
        let some = MetadataRequest::default().with_topics(Some(vec![topic.clone(), topic]));
        for request in [all, some] {
            let response = client.call(version, &request).await;
            let broker = &response.brokers[0];
            assert_eq!(
                (broker.host.as_str(), broker.port),
                ("127.0.0.1", port.address.port().into())
            );
            assert_eq!(response.topics.len(), 1, "version {version}: each topic once");
            let topic = &response.topics[0];
            assert_eq!(topic.name, Some(name("t")));
            assert_eq!(topic.partitions.len(), 3);
            assert!(topic.partitions.iter().all(|p| p.leader_id == broker.node_id));
            assert!(version < 10 || topic.topic_id == id);
        }
    }
    let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
    let unknown = MetadataRequestTopic::default().with_name(None).with_topic_id(uuid::Uuid::max());
    let request = MetadataRequest::default().with_topics(Some(vec![by_id, unknown]));
    let response = client.call(12, &request).await;
    assert_eq!(response.topics[0].name, Some(name("t")));
    assert_eq!(response.topics[1].error_code, 100);
    port.stop().await;
}

#[tokio::test]
async fn produced_records_are_fetched_in_every_version() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let mut expected = Vec::new();
    for version in range("Produce").filter(|version| *version >= 3) {
        let value = format!("by produce {version}");
        let answer = client.produce(version, -1, topic, 0, one(value.as_bytes())).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, expected.len() as i64));
        expected.push((answer.base_offset, bytes::Bytes::from(value)));
    }
    for version in range("Fetch") {
        let response =
            client.call(version, &fetch_request(version, topic, &[(0, 0)], Want::default())).await;
        assert_eq!(fetched(&response), expected, "by fetch {version}");
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.high_watermark, expected.len() as i64);
        assert_eq!(partition.last_stable_offset, partition.high_watermark);
    }
    port.stop().await;
}

#[tokio::test]
async fn offsets_are_listed_in_every_version() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let values: &[(i64, &[u8])] = &[(1_000, b"a"), (9_000, b"b"), (5_000, b"c")];
    client.produce(3, -1, topic, 0, batch(values)).await;
    client.produce(3, -1, topic, 0, batch(&[(7_000, b"d")])).await;
    for version in range("ListOffsets") {
        let mut ask = async |timestamp: i64| {
            let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default()
                .with_name(name("t"))
                .with_partitions(vec![partition.with_current_leader_epoch(-1)]);
            let request = ListOffsetsRequest::default().with_topics(vec![topic]);
            let response = client.call(version, &request).await;
            let answer = &response.topics[0].partitions[0];
            let epoch = if version >= 4 && answer.offset >= 0 { 0 } else { -1 };
            assert_eq!(answer.leader_epoch, epoch, "version {version}");
            match answer.error_code {
                0 => (answer.offset, answer.timestamp),
                error => (i64::from(error), -99),
            }
        };
        let since = |first: i16, answer| if version >= first { answer } else { (35, -99) };
        assert_eq!(ask(-1).await, (4, -1), "the latest");
        assert_eq!(ask(-2).await, (0, -1), "the earliest");
        assert_eq!(ask(-3).await, since(7, (1, 9_000)), "the newest timestamp");
        assert_eq!(ask(-4).await, since(8, (0, -1)), "the earliest on this machine");
        assert_eq!(ask(-5).await, since(9, (-1, -1)), "nothing is anywhere else");
        assert_eq!(ask(-6).await, (35, -99), "no version knows it yet");
        assert_eq!(ask(500).await, (0, 1_000));
        assert_eq!(ask(1_001).await, (1, 9_000), "the first at or after, by offset");
        assert_eq!(ask(9_001).await, (-1, -1), "none so late");
    }
    port.stop().await;
}

#[tokio::test]
async fn topics_are_made_and_removed_in_every_version() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    let deletes = range("DeleteTopics").cycle();
    for (version, delete) in range("CreateTopics").chain(range("CreateTopics")).zip(deletes) {
        let topic = CreatableTopic::default()
            .with_name(name("made"))
            .with_num_partitions(2)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let made = client.call(version, &request).await.topics.remove(0);
        assert_eq!((made.name.as_str(), made.error_code), ("made", 0), "version {version}");
        let again = client.call(version, &request).await.topics.remove(0);
        assert_eq!(again.error_code, 36);
        let request = match delete {
            6 => DeleteTopicsRequest::default().with_topics(vec![
                DeleteTopicState::default().with_name(None).with_topic_id(port.topic_id("made")),
                DeleteTopicState::default().with_name(Some(name("never"))),
            ]),
            _ => DeleteTopicsRequest::default().with_topic_names(vec![name("made"), name("never")]),
        };
        let gone = client.call(delete, &request).await;
        let errors: Vec<_> = gone.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(errors, [0, 3], "version {delete}");
        assert_eq!(gone.responses[0].name, Some(name("made")));
    }
    port.stop().await;
}

#[tokio::test]
async fn groups_find_this_broker_and_producers_get_ids_in_every_version() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    for version in range("FindCoordinator") {
        let key = StrBytes::from_static_str("group");
        let request = match version {
            4.. => FindCoordinatorRequest::default().with_coordinator_keys(vec![key]),
            _ => FindCoordinatorRequest::default().with_key(key),
        };
        let response = client.call(version, &request).await;
        let found = match response.coordinators.first() {
            Some(found) => (found.error_code, found.node_id.0, found.port),
            None => (response.error_code, response.node_id.0, response.port),
        };
        assert_eq!(found, (0, 1, port.address.port().into()), "version {version}");
    }
    let mut ids = std::collections::BTreeSet::new();
    for version in range("InitProducerId") {
        let response = client
            .call(version, &InitProducerIdRequest::default().with_transactional_id(None))
            .await;
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        assert!(response.producer_id.0 >= 0 && ids.insert(response.producer_id.0));
    }
    port.stop().await;
}
