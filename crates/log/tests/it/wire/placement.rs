//! Where things are, asked of the one broker with the one folder: moves to where something is
//! already work, all others are refused; what has settings is listed; everybody may do everything.

use super::harness::*;
use super::versions::range;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, DescribeClusterRequest,
    DescribeGroupsRequest, DescribeLogDirsRequest, GroupId, ListConfigResourcesRequest,
    MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;
use tradewind_log::wire::WireLimits;

const UNKNOWN_TOPIC: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const LOG_DIR_NOT_FOUND: i16 = 57;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;

#[tokio::test]
async fn a_partition_can_be_moved_to_where_it_is_and_nowhere_else() {
    let port = Port::with_topic(2).await;
    let mut client = port.client().await;
    for version in range("AlterPartitionReassignments") {
        for (partition, replicas, expected) in [
            (0, Some(vec![1]), 0),
            (1, None, NO_REASSIGNMENT_IN_PROGRESS),
            (1, Some(vec![]), INVALID_REPLICA_ASSIGNMENT),
            (1, Some(vec![2]), INVALID_REPLICA_ASSIGNMENT),
            (1, Some(vec![1, 1]), INVALID_REPLICA_ASSIGNMENT),
            (2, Some(vec![1]), UNKNOWN_TOPIC),
        ] {
            let replicas = replicas.map(|all| all.into_iter().map(Into::into).collect());
            let moved = ReassignablePartition::default()
                .with_partition_index(partition)
                .with_replicas(replicas);
            let topic =
                ReassignableTopic::default().with_name(name("t")).with_partitions(vec![moved]);
            let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
            let response = client.call(version, &request).await;
            let answer = &response.responses[0].partitions[0];
            assert_eq!((answer.partition_index, answer.error_code), (partition, expected));
            assert_eq!(answer.error_message.is_some(), expected != 0, "{answer:?}");
        }
    }
    port.stop().await;
}

#[tokio::test]
async fn a_replica_can_be_moved_to_the_folder_it_is_in_and_no_other() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    let all = DescribeLogDirsRequest::default().with_topics(None);
    let folder = client.call(4, &all).await.results[0].log_dir.clone();
    for version in range("AlterReplicaLogDirs") {
        let request = |path: &StrBytes| {
            let topic = AlterReplicaLogDirTopic::default().with_name(name("t"));
            let dir = AlterReplicaLogDir::default().with_path(path.clone());
            let dir = dir.with_topics(vec![topic.with_partitions(vec![0, 1])]);
            AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])
        };
        for (path, expected) in [
            (folder.clone(), [0, UNKNOWN_TOPIC]),
            (StrBytes::from_static_str("/elsewhere"), [LOG_DIR_NOT_FOUND; 2]),
        ] {
            let response = client.call(version, &request(&path)).await;
            assert_eq!(response.results[0].topic_name, name("t"));
            let codes = response.results[0].partitions.iter().map(|result| result.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), expected);
        }
    }
    port.stop().await;
}

#[tokio::test]
async fn what_has_settings_is_listed() {
    let port = Port::start(WireLimits::default()).await;
    port.topic("a", 1).await;
    port.topic("b", 1).await;
    let mut client = port.client().await;
    for version in range("ListConfigResources") {
        let [everything, topics, broker, groups, wrong]: [&[i8]; 5] =
            [&[], &[2], &[4], &[32], &[3]];
        let (named, one) = ([(2, "a"), (2, "b")], [(4, "1")]);
        let both: Vec<_> = named.into_iter().chain(one).collect();
        for (kinds, error, expected) in [
            (everything, 0, &both[..]),
            (topics, 0, &named),
            (broker, 0, &one),
            (groups, 0, &[]),
            (wrong, UNSUPPORTED_VERSION, &[]),
        ] {
            // The first version asks for, and is answered with, the metrics of clients.
            if version == 0 && !kinds.is_empty() {
                continue;
            }
            let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
            let response = client.call(version, &request).await;
            let listed: Vec<_> = (response.config_resources.iter())
                .map(|resource| (resource.resource_type, resource.resource_name.as_str()))
                .filter(|(_, name)| !name.starts_with("__"))
                .collect();
            let expected = if version == 0 { &[] } else { expected };
            assert_eq!((response.error_code, &listed[..]), (error, expected), "{kinds:?}");
        }
    }
    port.stop().await;
}

#[tokio::test]
async fn everything_is_allowed_and_told_to_who_asks() {
    let port = Port::with_topic(1).await;
    let mut client = port.client().await;
    let (unknown, of) = (i32::MIN, |codes: &[u32]| codes.iter().map(|code| 1 << code).sum::<i32>());
    // Kafka's numbers of its operations.
    let topic_may = of(&[3, 4, 5, 6, 7, 8, 10, 11]);
    let group_may = of(&[3, 6, 8, 10, 11]);
    let cluster_may = of(&[5, 7, 8, 9, 10, 11, 12]);
    for asks in [false, true] {
        let told = |may: i32| if asks { may } else { unknown };
        for version in range("Metadata").filter(|version| *version >= 8) {
            let mut request =
                MetadataRequest::default().with_include_topic_authorized_operations(asks);
            request.include_cluster_authorized_operations = asks && version <= 10;
            request.topics = None;
            let response = client.call(version, &request).await;
            let topic = response.topics.iter().find(|topic| topic.name == Some(name("t"))).unwrap();
            assert_eq!(topic.topic_authorized_operations, told(topic_may), "version {version}");
            if version <= 10 {
                assert_eq!(response.cluster_authorized_operations, told(cluster_may));
            }
        }
        for version in range("DescribeCluster") {
            let request = DescribeClusterRequest::default()
                .with_include_cluster_authorized_operations(asks)
                .with_endpoint_type(1);
            let response = client.call(version, &request).await;
            assert_eq!(response.cluster_authorized_operations, told(cluster_may));
        }
        for version in range("DescribeGroups").filter(|version| (3..6).contains(version)) {
            let request = DescribeGroupsRequest::default()
                .with_groups(vec![GroupId(StrBytes::from_static_str("nobody"))])
                .with_include_authorized_operations(asks);
            let response = client.call(version, &request).await;
            assert_eq!(response.groups[0].authorized_operations, told(group_may));
        }
    }
    port.stop().await;
}
