//! What administrators ask, in every version: settings, partitions, deletion, descriptions.

use super::harness::*;
use super::versions::range;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as OldResource, AlterableConfig as OldConfig,
};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, DeleteRecordsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, DescribeTopicPartitionsRequest,
    ElectLeadersRequest, IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest,
    OffsetForLeaderEpochRequest,
};
use kafka_protocol::protocol::StrBytes;
use tradewind_log::wire::{KeptTopics, WireLimits};
use tradewind_types::{Log, TopicSpec};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;
const UNKNOWN_TOPIC: i16 = 3;
const OUT_OF_RANGE: i16 = 1;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A port with topic `t`, and a topic `kept` that clients may not take apart.
async fn port() -> Port {
    let kept_topics = KeptTopics::new(|topic| (topic == "kept").then(|| "it is ours".to_string()));
    let port = Port::start(WireLimits { kept_topics, ..WireLimits::default() }).await;
    port.topic("t", 1).await;
    port.topic("kept", 1).await;
    port
}

async fn describe(
    client: &mut Client,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let mut request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    if version >= 3 {
        request = request.with_include_documentation(true);
    }
    client.call(version, &request).await.results.remove(0)
}

/// A step of an incremental change: setting, operation, value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

/// One incremental change of topic `name`: the answer's code and message.
async fn change(
    client: &mut Client,
    version: i16,
    name: &str,
    steps: &[Change<'_>],
    validate_only: bool,
) -> (i16, String) {
    let configs = steps.iter().map(|(name, operation, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    let answer = client.call(version, &request).await.responses.remove(0);
    (answer.error_code, answer.error_message.map(|text| text.to_string()).unwrap_or_default())
}

#[tokio::test]
async fn settings_are_described_with_where_they_come_from() {
    let port = port().await;
    let mut client = port.client().await;
    port.store.set_topic_setting("t", "retention.ms", Some("1234")).await.unwrap();
    for version in range("DescribeConfigs") {
        let all = describe(&mut client, version, TOPIC, "t", None).await;
        assert_eq!((all.error_code, all.configs.len()), (0, tradewind_log::TOPIC_SETTINGS.len()));
        let named = describe(&mut client, version, TOPIC, "t", Some(&["retention.ms"])).await;
        let [config] = &named.configs[..] else { panic!("{named:?}") };
        assert_eq!(config.value.as_deref(), Some("1234"));
        assert_eq!(
            (config.config_source, config.read_only, config.is_sensitive),
            (1, false, false)
        );
        let synonyms: Vec<_> =
            config.synonyms.iter().map(|s| (s.name.as_str(), s.source)).collect();
        assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
        if version >= 3 {
            assert_eq!(config.config_type, 5, "a long");
            assert!(config.documentation.as_ref().unwrap().contains("sealed segment"));
        }
        let default = all.configs.iter().find(|c| c.name.as_str() == "segment.bytes").unwrap();
        assert_eq!((default.config_source, default.value.as_deref()), (5, Some("268435456")));
        let broker = describe(&mut client, version, BROKER, "1", None).await;
        let value = |name: &str| {
            let found = broker.configs.iter().find(|config| config.name.as_str() == name);
            found.and_then(|config| config.value.as_ref()).map(|value| value.to_string())
        };
        assert_eq!(value("broker.id").as_deref(), Some("1"));
        assert_eq!(value("log.retention.ms").as_deref(), Some("604800000"));
        assert!(broker.configs.iter().all(|config| config.read_only));
        assert!(describe(&mut client, version, BROKER, "", None).await.configs.is_empty());
        let wrong = [
            (TOPIC, "nothing", UNKNOWN_TOPIC),
            (TOPIC, "a b", 17),
            (BROKER, "7", 42),
            (8, "1", 42),
        ];
        for (kind, name, code) in wrong {
            let refused = describe(&mut client, version, kind, name, None).await;
            assert_eq!((refused.error_code, refused.configs.len()), (code, 0), "{kind} {name}");
        }
    }
    port.stop().await;
}

#[tokio::test]
async fn settings_are_changed_step_by_step() {
    let port = port().await;
    let mut client = port.client().await;
    let policy = |port: &Port| {
        let settings = port.store.topic("t").unwrap().settings;
        settings.get("cleanup.policy").cloned()
    };
    for version in range("IncrementalAlterConfigs") {
        let client = &mut client;
        let steps = [("retention.ms", 0, Some("5")), ("segment.ms", 0, Some("6"))];
        assert_eq!(change(client, version, "t", &steps, true).await.0, 0);
        assert!(port.store.topic("t").unwrap().settings.is_empty(), "only asked");
        assert_eq!(change(client, version, "t", &steps, false).await.0, 0);
        assert_eq!(port.store.topic_settings("t").unwrap().retention_ms, Some(5));
        let delete = [("retention.ms", 1, None), ("segment.ms", 1, None)];
        assert_eq!(change(client, version, "t", &delete, false).await.0, 0);
        assert!(port.store.topic("t").unwrap().settings.is_empty());
        // Lists grow and shrink, from what holds.
        let grow = [("cleanup.policy", 2, Some("compact"))];
        assert_eq!(change(client, version, "t", &grow, false).await.0, 0);
        assert_eq!(policy(&port).as_deref(), Some("delete,compact"));
        assert_eq!(change(client, version, "t", &grow, false).await.0, 0, "once is enough");
        let shrink = [("cleanup.policy", 3, Some("compact"))];
        assert_eq!(change(client, version, "t", &shrink, false).await.0, 0);
        assert_eq!(policy(&port).as_deref(), Some("delete"));
        let back = [("cleanup.policy", 1, None)];
        assert_eq!(change(client, version, "t", &back, false).await.0, 0);
        let wrong: [(&str, &[Change<'_>], i16, &str); 9] = [
            ("t", &[("nonsense", 0, Some("1"))], INVALID_CONFIG, "nonsense"),
            ("t", &[("nonsense", 1, None)], INVALID_CONFIG, "nonsense"),
            ("t", &[("retention.ms", 0, Some("soon"))], INVALID_CONFIG, "soon"),
            ("t", &[("retention.ms", 0, None)], INVALID_CONFIG, "no value"),
            ("t", &[("retention.ms", 2, Some("1"))], INVALID_CONFIG, "not a list"),
            ("t", &[("retention.ms", 9, Some("1"))], INVALID_CONFIG, "operation 9"),
            (
                "t",
                &[("retention.ms", 0, Some("1")), ("retention.ms", 0, Some("2"))],
                INVALID_REQUEST,
                "twice",
            ),
            ("nothing", &[("retention.ms", 0, Some("1"))], UNKNOWN_TOPIC, "nothing"),
            ("kept", &[("cleanup.policy", 0, Some("compact"))], INVALID_CONFIG, "it is ours"),
        ];
        for (topic, steps, code, names) in wrong {
            let (error, message) = change(client, version, topic, steps, false).await;
            assert!(error == code && message.contains(names), "{steps:?}: {error} {message}");
        }
        assert_eq!(
            change(client, version, "kept", &[("retention.ms", 0, Some("9"))], false).await.0,
            0
        );
        // All of a change, or nothing.
        let half = [("retention.ms", 0, Some("5")), ("segment.bytes", 0, Some("1"))];
        assert_eq!(change(client, version, "t", &half, false).await.0, INVALID_CONFIG);
        assert!(port.store.topic("t").unwrap().settings.is_empty());
    }
    port.stop().await;
}

#[tokio::test]
async fn settings_are_replaced_as_older_tools_do() {
    let port = port().await;
    let mut client = port.client().await;
    for version in range("AlterConfigs") {
        let mut set = async |kind: i8, name: &str, settings: &[(&str, &str)]| {
            let configs = settings.iter().map(|(name, value)| {
                OldConfig::default().with_name(text(name)).with_value(Some(text(value)))
            });
            let resource = OldResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configs(configs.collect());
            let request = AlterConfigsRequest::default().with_resources(vec![resource]);
            client.call(version, &request).await.responses.remove(0).error_code
        };
        assert_eq!(set(TOPIC, "t", &[("retention.ms", "5"), ("segment.ms", "7")]).await, 0);
        assert_eq!(set(TOPIC, "t", &[("retention.bytes", "8")]).await, 0);
        let settings = port.store.topic("t").unwrap().settings;
        assert_eq!(
            settings.into_iter().collect::<Vec<_>>(),
            [("retention.bytes".into(), "8".into())]
        );
        assert_eq!(set(TOPIC, "t", &[("nonsense", "8")]).await, INVALID_CONFIG);
        assert_eq!(set(TOPIC, "nothing", &[]).await, UNKNOWN_TOPIC);
        assert_eq!(set(BROKER, "1", &[("num.partitions", "8")]).await, INVALID_REQUEST);
        assert_eq!(set(TOPIC, "t", &[]).await, 0);
        assert!(port.store.topic("t").unwrap().settings.is_empty());
    }
    port.stop().await;
}

#[tokio::test]
async fn partitions_are_added_in_every_version() {
    let port = port().await;
    let mut client = port.client().await;
    let mut count = 1;
    for version in range("CreatePartitions") {
        let mut add = async |name: &str, count: i32, replicas: Option<Vec<i32>>, ask: bool| {
            let assign = |replica: i32| {
                CreatePartitionsAssignment::default().with_broker_ids(vec![replica.into()])
            };
            let topic = CreatePartitionsTopic::default()
                .with_name(self::name(name))
                .with_count(count)
                .with_assignments(replicas.map(|all| all.into_iter().map(assign).collect()));
            let request =
                CreatePartitionsRequest::default().with_topics(vec![topic]).with_validate_only(ask);
            client.call(version, &request).await.results.remove(0).error_code
        };
        assert_eq!(add("t", count + 2, None, true).await, 0);
        assert_eq!(port.store.topic("t").unwrap().partitions, count);
        assert_eq!(add("t", count + 1, None, false).await, 0);
        assert_eq!(add("t", count + 2, Some(vec![1]), false).await, 0);
        count += 2;
        assert_eq!(port.store.topic("t").unwrap().partitions, count);
        assert_eq!(add("t", count, None, false).await, 37);
        assert_eq!(add("t", -1, None, false).await, 37);
        assert_eq!(add("t", 1_000_000, None, false).await, 37);
        assert_eq!(add("t", count + 1, Some(vec![2]), false).await, 39);
        assert_eq!(add("t", count + 1, Some(vec![1, 1]), false).await, 39);
        assert_eq!(add("nothing", 5, None, false).await, UNKNOWN_TOPIC);
        assert_eq!(add("kept", 5, None, false).await, POLICY_VIOLATION);
    }
    let last = port.store.append("t", count - 1, vec![Default::default()]).await.unwrap();
    assert_eq!(last.base_offset, 0);
    port.stop().await;
}

#[tokio::test]
async fn records_are_deleted_in_every_version() {
    let port = port().await;
    let mut client = port.client().await;
    let compacted = TopicSpec {
        settings: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
        ..TopicSpec::new("compacted", 1)
    };
    port.store.create_topic(&compacted).await.unwrap();
    let mut end = 0;
    for version in range("DeleteRecords") {
        for _ in 0..10 {
            port.store.append("t", 0, vec![Default::default()]).await.unwrap();
        }
        end += 10;
        let mut delete = async |name: &str, partition: i32, offset: i64| {
            let partition = DeleteRecordsPartition::default()
                .with_partition_index(partition)
                .with_offset(offset);
            let topic = DeleteRecordsTopic::default()
                .with_name(self::name(name))
                .with_partitions(vec![partition]);
            let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
            let answer = client.call(version, &request).await.topics.remove(0).partitions.remove(0);
            (answer.error_code, answer.low_watermark)
        };
        assert_eq!(delete("t", 0, end - 4).await, (0, end - 4));
        assert_eq!(delete("t", 0, end - 6).await, (0, end - 4), "it never goes back");
        assert_eq!(delete("t", 0, end + 1).await, (OUT_OF_RANGE, -1));
        assert_eq!(delete("t", 0, -2).await, (OUT_OF_RANGE, -1));
        assert_eq!(delete("t", 0, -1).await, (0, end), "all that can be read");
        assert_eq!(delete("t", 7, 0).await, (UNKNOWN_TOPIC, -1));
        assert_eq!(delete("nothing", 0, 0).await, (UNKNOWN_TOPIC, -1));
        assert_eq!(delete("kept", 0, 0).await, (POLICY_VIOLATION, -1));
        assert_eq!(delete("compacted", 0, -1).await, (POLICY_VIOLATION, -1));
        let marks = port.store.watermarks("t", 0).unwrap();
        assert_eq!((marks.log_start, marks.high_watermark), (end, end));
    }
    port.stop().await;
}

#[tokio::test]
async fn epochs_end_where_the_log_does_in_every_version() {
    let port = port().await;
    let mut client = port.client().await;
    port.store.append("t", 0, vec![Default::default(); 3]).await.unwrap();
    for version in range("OffsetForLeaderEpoch") {
        let mut ask = async |partition: i32, known: i32, epoch: i32| {
            let partition = OffsetForLeaderPartition::default()
                .with_partition(partition)
                .with_current_leader_epoch(known)
                .with_leader_epoch(epoch);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(name("t"))
                .with_partitions(vec![partition]);
            let mut request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
            if version >= 3 {
                request = request.with_replica_id((-1).into());
            }
            let answer = client.call(version, &request).await.topics.remove(0).partitions.remove(0);
            (answer.error_code, answer.leader_epoch, answer.end_offset)
        };
        assert_eq!(ask(0, -1, 0).await, (0, 0, 3));
        assert_eq!(ask(0, 0, 0).await, (0, 0, 3));
        assert_eq!(ask(0, 0, 4).await, (0, -1, -1));
        assert_eq!(ask(0, 0, -1).await, (0, -1, -1));
        assert_eq!(ask(0, 1, 0).await, (75, -1, -1), "a leader that is not there yet");
        assert_eq!(ask(5, -1, 0).await, (UNKNOWN_TOPIC, -1, -1));
    }
    port.stop().await;
}

#[tokio::test]
async fn the_cluster_is_described_in_every_version() {
    let port = port().await;
    let mut client = port.client().await;
    for version in range("DescribeCluster") {
        let response = client.call(version, &DescribeClusterRequest::default()).await;
        assert_eq!((response.error_code, response.cluster_id.as_str()), (0, "tradewind"));
        let [broker] = &response.brokers[..] else { panic!("{response:?}") };
        assert_eq!(broker.broker_id, response.controller_id);
        assert_eq!(broker.port, i32::from(port.address.port()));
        if version >= 1 {
            for (kind, error) in [(2, 114), (9, 115)] {
                let request = DescribeClusterRequest::default().with_endpoint_type(kind);
                assert_eq!(client.call(version, &request).await.error_code, error);
            }
        }
    }
    let none = client.call(0, &ListPartitionReassignmentsRequest::default()).await;
    assert_eq!((none.error_code, none.topics.len()), (0, 0));
    for version in range("ElectLeaders") {
        let asked = |numbers: &[i32]| {
            TopicPartitions::default().with_topic(name("t")).with_partitions(numbers.to_vec())
        };
        let request =
            ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked(&[0, 1])]));
        let response = client.call(version, &request).await;
        let results = &response.replica_election_results[0].partition_result;
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [84, UNKNOWN_TOPIC]);
        let all = ElectLeadersRequest::default().with_topic_partitions(None);
        assert!(client.call(version, &all).await.replica_election_results.is_empty());
    }
    port.stop().await;
}

#[tokio::test]
async fn folders_are_described_in_every_version() {
    let port = port().await;
    let mut client = port.client().await;
    port.store.append("t", 0, vec![Default::default(); 3]).await.unwrap();
    let bytes = port.store.stats().iter().find(|stats| stats.topic == "t").unwrap().bytes;
    for version in range("DescribeLogDirs") {
        let all = DescribeLogDirsRequest::default().with_topics(None);
        let response = client.call(version, &all).await;
        let [dir] = &response.results[..] else { panic!("{response:?}") };
        assert_eq!((dir.error_code, dir.topics.len()), (0, 2));
        assert!(dir.log_dir.starts_with('/'));
        let t = dir.topics.iter().find(|topic| topic.name == name("t")).unwrap();
        assert_eq!(t.partitions[0].partition_size, bytes as i64);
        assert!(version < 4 || (dir.usable_bytes > 0 && dir.total_bytes > dir.usable_bytes));
        let one =
            DescribableLogDirTopic::default().with_topic(name("t")).with_partitions(vec![0, 9]);
        let some = DescribeLogDirsRequest::default().with_topics(Some(vec![one]));
        let response = client.call(version, &some).await;
        assert_eq!(response.results[0].topics[0].partitions.len(), 1);
    }
    port.stop().await;
}

#[tokio::test]
async fn thousands_of_partitions_are_described_a_page_at_a_time() {
    let port = port().await;
    port.topic("wide", 900).await;
    port.topic("wider", 1_090).await;
    let mut client = port.client().await;
    let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let request = DescribeTopicPartitionsRequest::default()
            .with_response_partition_limit(700)
            .with_cursor(cursor.take());
        let response = client.call(0, &request).await;
        pages += 1;
        for topic in &response.topics {
            assert_eq!(topic.error_code, 0);
            let name = topic.name.as_ref().unwrap().to_string();
            seen.extend(topic.partitions.iter().map(|p| (name.clone(), p.partition_index)));
        }
        let Some(next) = response.next_cursor else { break };
        cursor = Some(
            Cursor::default()
                .with_topic_name(next.topic_name)
                .with_partition_index(next.partition_index),
        );
    }
    assert_eq!((pages, seen.len()), (3, 1_992));
    assert!(seen.is_sorted() && seen.windows(2).all(|two| two[0] != two[1]));
    // Whatever is asked for, an answer has its bounds.
    let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(i32::MAX);
    let response = client.call(0, &request).await;
    let count: usize = response.topics.iter().map(|topic| topic.partitions.len()).sum();
    assert!(count <= 2_000);
    let named = |name: &str| TopicRequest::default().with_name(self::name(name));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![named("t"), named("nothing"), named("t"), named("a b")])
        .with_response_partition_limit(10);
    let response = client.call(0, &request).await;
    let codes: Vec<_> = response
        .topics
        .iter()
        .map(|t| (t.name.clone().unwrap().to_string(), t.error_code))
        .collect();
    assert_eq!(codes, [("a b".into(), 17), ("nothing".into(), 3), ("t".into(), 0)]);
    assert_eq!(response.topics[2].topic_id, port.topic_id("t"));
    let negative = Cursor::default().with_topic_name(name("t")).with_partition_index(-5);
    let request = DescribeTopicPartitionsRequest::default().with_cursor(Some(negative));
    assert_eq!(client.call(0, &request).await.topics[0].error_code, INVALID_REQUEST);
    port.stop().await;
}

/// A topic whose records get the server's time says so in its answers, in every version.
#[tokio::test]
async fn the_servers_time_is_told_to_producers_and_consumers() {
    let port = port().await;
    port.store
        .set_topic_setting("t", "message.timestamp.type", Some("LogAppendTime"))
        .await
        .unwrap();
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for version in range("Produce").filter(|version| *version >= 3) {
        let answer = client.produce(version, -1, topic, 0, batch(&[(5, b"x"), (7, b"y")])).await;
        assert_eq!(answer.error_code, 0);
        assert!(answer.log_append_time_ms >= before.as_millis() as i64, "{answer:?}");
    }
    let response = client.call(12, &fetch_request(12, topic, &[(0, 0)], Want::default())).await;
    let mut bytes = response.responses[0].partitions[0].records.clone().unwrap();
    let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).unwrap();
    assert!(set.records.iter().all(|record| {
        record.timestamp_type == kafka_protocol::records::TimestampType::LogAppend
    }));
    // Bounds of the producer's clock.
    port.store.set_topic_setting("t", "message.timestamp.type", None).await.unwrap();
    let far = batch(&[(i64::MAX / 2, b"x")]);
    assert_eq!(client.produce(9, -1, topic, 0, far).await.error_code, 32);
    // A compacted topic wants keys.
    port.store.set_topic_setting("t", "cleanup.policy", Some("compact")).await.unwrap();
    assert_eq!(client.produce(9, -1, topic, 0, one(b"no key")).await.error_code, 87);
    port.stop().await;
}

/// Requests whose counts lie, and requests that are long: the connection goes, or the answer is
/// bounded.
#[tokio::test]
async fn hostile_admin_requests_are_cut_off() {
    let port = port().await;
    for (name, key, min, max) in tradewind_log::wire::versions() {
        for version in min..=max {
            let mut client = port.client().await;
            let mut frame = vec![0, 0, 0, 0];
            frame.extend_from_slice(&key.to_be_bytes());
            frame.extend_from_slice(&version.to_be_bytes());
            frame.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
            frame.extend_from_slice(&[0x7f; 40]);
            let length = (frame.len() - 4) as i32;
            frame[..4].copy_from_slice(&length.to_be_bytes());
            tokio::io::AsyncWriteExt::write_all(&mut client.stream, &frame).await.unwrap();
            // Some versions have nothing in them that could lie; they answer.
            if client.receive_frame().await.is_some() {
                let harmless =
                    ["ApiVersions", "DescribeCluster", "Metadata", "FindCoordinator", "ListGroups"];
                assert!(harmless.contains(&name), "{name} {version}");
            }
        }
    }
    let mut client = port.client().await;
    let resources = (0..15_000).map(|n| {
        AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&format!("t{n}")))
    });
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources.collect());
    let answer = client.call(1, &request).await;
    assert!(answer.responses.iter().all(|response| response.error_code == UNKNOWN_TOPIC));
    port.stop().await;
}
