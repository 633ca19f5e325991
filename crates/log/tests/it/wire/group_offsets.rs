//! Offsets of groups over the wire, and what administrators do: every version, restarts,
//! transactions, retention, refusals.

use super::group_client::*;
use super::harness::*;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest,
    HeartbeatRequest, ListGroupsRequest, MetadataRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use std::time::Duration;
use tradewind_log::group::{GroupState, OFFSETS_TOPIC};
use tradewind_types::Log;

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    for version in range("OffsetCommit") {
        let offset = i64::from(version) * 10;
        let answer = match version {
            10.. => {
                let topic = id_of_t(&mut client).await;
                commit_by_id(&mut client, "g", topic, (offset, "note")).await
            }
            _ => client.call(version, &commit_request("g", "", -1, offset, "note")).await,
        };
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "version {version}");
        for version in range("OffsetFetch") {
            let found = fetch_at(&mut client, version, "g", true).await;
            assert_eq!(found, (offset, "note".into(), 0), "fetched by {version}");
            let nothing = fetch_at(&mut client, version, "nobody", true).await;
            assert_eq!(nothing, (-1, String::new(), 0), "fetched by {version}");
        }
    }
    // All topics: null.
    let all = OffsetFetchRequest::default().with_group_id(group("g")).with_topics(None);
    for version in 2..=7 {
        let answer = client.call(version, &all).await;
        assert_eq!(answer.topics.len(), 1);
        assert_eq!(answer.topics[0].partitions[0].committed_offset, 100);
    }
    let asked = |id| OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(None);
    let both = OffsetFetchRequest::default().with_groups(vec![asked("g"), asked("nobody")]);
    for version in 8..=9 {
        let answer = client.call(version, &both).await;
        assert_eq!(answer.groups[0].topics[0].partitions[0].committed_offset, 100);
        assert!(answer.groups[1].topics.is_empty() && answer.groups[1].error_code == 0);
    }
    port.stop().await;
}

#[tokio::test]
async fn the_newest_version_names_topics_by_id() {
    const UNKNOWN_ID: i16 = 100;
    let port = quick_port(1).await;
    port.topic("gone", 1).await;
    let mut client = port.client().await;
    let (t, gone) = (port.topic_id("t"), port.topic_id("gone"));
    for topic in [t, gone] {
        let answer = commit_by_id(&mut client, "g", topic, (7, "")).await;
        assert_eq!(answer.topics[0].topic_id, topic);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    let all = fetch_by_id(&mut client, "g", None, true).await.groups.remove(0);
    let mut found: Vec<_> = all.topics.iter().map(|topic| topic.topic_id).collect();
    found.sort();
    let mut due = vec![t, gone];
    due.sort();
    assert_eq!(found, due);
    port.store.delete_topic("gone").await.unwrap();
    let answer = commit_by_id(&mut client, "g", gone, (8, "")).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, UNKNOWN_ID);
    let asked = fetch_by_id(&mut client, "g", Some(gone), true).await.groups.remove(0);
    let partition = &asked.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.committed_offset), (UNKNOWN_ID, -1));
    let left = fetch_by_id(&mut client, "g", None, true).await.groups.remove(0);
    assert_eq!(left.topics.len(), 1, "of a topic that is gone nobody can name the id");
    // Another topic of the same name is another topic.
    port.topic("gone", 1).await;
    let asked = fetch_by_id(&mut client, "g", Some(gone), true).await.groups.remove(0);
    assert_eq!(asked.topics[0].partitions[0].error_code, UNKNOWN_ID);
    port.stop().await;
}

#[tokio::test]
async fn groups_are_listed_described_and_removed_in_every_version() {
    let port = quick_port(1).await;
    let (mut client, mut admin) = (port.client().await, port.client().await);
    let joined = join(&mut client, 9, join_request("busy", "")).await;
    assert_eq!(sync(&mut client, 5, "busy", &joined).await.error_code, 0);
    commit(&mut admin, "idle", 3).await;
    for version in range("ListGroups") {
        let listed = admin.call(version, &ListGroupsRequest::default()).await;
        let ids: Vec<_> = listed.groups.iter().map(|it| it.group_id.to_string()).collect();
        assert_eq!(ids, ["busy", "idle"], "version {version}");
        assert_eq!(listed.groups[0].protocol_type.as_str(), "consumer");
        assert!(version < 4 || listed.groups[0].group_state.as_str() == "Stable");
        assert!(version < 5 || listed.groups[0].group_type.as_str() == "classic");
        let filter = async |admin: &mut Client, states: &[&str], types: &[&str]| {
            let texts = |of: &[&str]| of.iter().map(|it| text(it)).collect::<Vec<_>>();
            let request = ListGroupsRequest::default()
                .with_states_filter(texts(states))
                .with_types_filter(texts(types));
            admin.call(version, &request).await.groups.len()
        };
        if version >= 4 {
            assert_eq!(filter(&mut admin, &["empty"], &[]).await, 1);
            assert_eq!(filter(&mut admin, &["Dead"], &[]).await, 0);
        }
        if version >= 5 {
            assert_eq!(filter(&mut admin, &[], &["Classic"]).await, 2);
            assert_eq!(filter(&mut admin, &[], &["consumer"]).await, 0);
        }
    }
    for version in range("DescribeGroups") {
        let ids = vec![group("busy"), group("idle"), group("nobody")];
        let described =
            admin.call(version, &DescribeGroupsRequest::default().with_groups(ids)).await;
        let [busy, idle, nobody] = &described.groups[..] else { panic!("three groups") };
        assert_eq!((busy.group_state.as_str(), busy.protocol_data.as_str()), ("Stable", "range"));
        let member = &busy.members[0];
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("test", "/127.0.0.1")
        );
        assert_eq!(&member.member_assignment[..], WORK);
        assert_eq!((idle.group_state.as_str(), idle.members.len()), ("Empty", 0));
        assert_eq!(nobody.group_state.as_str(), "Dead");
        assert_eq!(nobody.error_code, if version < 6 { 0 } else { 69 });
    }
    for version in range("DeleteGroups") {
        commit(&mut admin, "idle", 3).await;
        let ids = vec![group("busy"), group("idle"), group("nobody")];
        let gone =
            admin.call(version, &DeleteGroupsRequest::default().with_groups_names(ids)).await;
        let codes: Vec<_> = gone.results.iter().map(|it| it.error_code).collect();
        assert_eq!(codes, [68, 0, 69], "version {version}");
        assert_eq!(committed(&mut admin, "idle").await, -1);
    }
    port.stop().await;
}

#[tokio::test]
async fn offsets_are_removed_unless_members_read_the_topic() {
    let port = quick_port(1).await;
    port.topic("other", 1).await;
    let (mut client, mut admin) = (port.client().await, port.client().await);
    let delete = async |admin: &mut Client, id: &str, topics: &[&str]| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topic = |topic: &&str| {
            OffsetDeleteRequestTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition.clone()])
        };
        let request = OffsetDeleteRequest::default()
            .with_group_id(group(id))
            .with_topics(topics.iter().map(topic).collect());
        let answer = admin.call(0, &request).await;
        let codes: Vec<_> = answer.topics.iter().map(|it| it.partitions[0].error_code).collect();
        (answer.error_code, codes)
    };
    assert_eq!(delete(&mut admin, "g", &["t"]).await, (69, vec![]));
    let joined = join(&mut client, 5, join_request("g", "")).await;
    sync(&mut client, 3, "g", &joined).await;
    let request = commit_request("g", &joined.member_id, joined.generation_id, 5, "");
    assert_eq!(client.call(8, &request).await.topics[0].partitions[0].error_code, 0);
    assert_eq!(delete(&mut admin, "g", &["t", "other", "gone"]).await, (0, vec![86, 0, 3]));
    assert_eq!(committed(&mut admin, "g").await, 5);
    commit(&mut admin, "simple", 5).await;
    assert_eq!(delete(&mut admin, "simple", &["t"]).await, (0, vec![0]));
    assert_eq!(committed(&mut admin, "simple").await, -1);
    // With its topic an offset goes, too.
    commit(&mut admin, "simple", 6).await;
    port.store.delete_topic("other").await.unwrap();
    let gone = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    assert_eq!(admin.call(5, &gone).await.responses[0].error_code, 0);
    port.topic("t", 1).await;
    let forgotten = async {
        while committed(&mut admin, "simple").await != -1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn offsets_nobody_uses_expire_and_their_groups_with_them() {
    let mut limits = quick();
    limits.groups.offsets_retention = Duration::from_secs(2);
    limits.groups.retention_check_interval = Duration::from_millis(20);
    let port = Port::start(limits.clone()).await;
    port.topic("t", 1).await;
    let mut client = port.client().await;
    let joined = join(&mut client, 5, join_request("busy", "")).await;
    sync(&mut client, 3, "busy", &joined).await;
    let request = commit_request("busy", &joined.member_id, joined.generation_id, 5, "");
    client.call(8, &request).await;
    commit(&mut client, "idle", 3).await;
    // An old client says itself how long.
    let brief = commit_request("brief", "", -1, 4, "").with_retention_time_ms(1);
    client.call(2, &brief).await;
    let only = async |port: &Port, left: &[&str]| {
        let gone = async {
            loop {
                let groups = port.groups.groups().await.unwrap();
                let names: Vec<_> = groups.iter().map(|view| view.group.clone()).collect();
                if names == left {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
    };
    only(&port, &["busy", "idle"]).await;
    only(&port, &["busy"]).await;
    assert_eq!(committed(&mut client, "busy").await, 5, "its member reads the topic");
    drop(client);
    let port = Port::start_in(port.stop_and_keep().await, limits).await;
    only(&port, &["busy"]).await;
    port.stop().await;
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    assert_eq!(client.call(5, &join_request("", "")).await.error_code, 24);
    let long = "g".repeat(256);
    assert_eq!(client.call(5, &join_request(&long, "")).await.error_code, 24);
    assert_eq!(commit(&mut client, &long, 1).await, 24);
    assert_eq!(client.call(5, &join_request("nobody", "who")).await.error_code, 25);
    let mut empty = join_request("g", "");
    empty.protocols.clear();
    assert_eq!(client.call(5, &empty).await.error_code, 23);
    // Members of groups nobody knows.
    for (version, code) in [(8, 22), (9, 69)] {
        let request = commit_request("nobody", "who", 3, 1, "");
        let answer = client.call(version, &request).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, code, "version {version}");
    }
    // Of three partitions one does not exist and one says too much.
    let mut request = commit_request("g", "", -1, 1, "");
    let partition = request.topics[0].partitions[0].clone();
    let long = partition.clone().with_committed_metadata(Some(text(&"x".repeat(4097))));
    request.topics[0].partitions = vec![partition.clone(), long, partition.with_partition_index(9)];
    let codes: Vec<_> = client.call(8, &request).await.topics[0]
        .partitions
        .iter()
        .map(|it| it.error_code)
        .collect();
    assert_eq!(codes, [0, 12, 3]);
    port.stop().await;
}

#[tokio::test]
async fn groups_offsets_and_assignments_survive_a_restart() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    let request = join_request("team", "").with_group_instance_id(Some(text("i")));
    let joined = join(&mut client, 5, request).await;
    sync(&mut client, 3, "team", &joined).await;
    let committing = commit_request("team", &joined.member_id, joined.generation_id, 7, "note");
    assert_eq!(client.call(8, &committing).await.topics[0].partitions[0].error_code, 0);
    for offset in [5, 9, 4] {
        assert_eq!(commit(&mut client, "simple", offset).await, 0);
    }
    commit(&mut client, "gone", 1).await;
    client.call(2, &DeleteGroupsRequest::default().with_groups_names(vec![group("gone")])).await;
    drop(client);
    let port = Port::start_in(port.stop_and_keep().await, quick()).await;
    let mut client = port.client().await;
    assert_eq!(fetch_at(&mut client, 8, "team", true).await, (7, "note".into(), 0));
    assert_eq!(committed(&mut client, "simple").await, 4, "the last one, not the largest");
    let views = port.groups.groups().await.unwrap();
    let names: Vec<_> = views.iter().map(|view| (view.group.as_str(), view.state)).collect();
    assert_eq!(names, [("simple", GroupState::Empty), ("team", GroupState::Stable)]);
    let team = &views[1];
    assert_eq!((team.generation, team.leader.as_deref()), (1, Some(joined.member_id.as_str())));
    assert_eq!(team.members[0].instance_id.as_deref(), Some("i"));
    assert_eq!(team.members[0].partitions, [("t".to_owned(), vec![0])]);
    assert_eq!(team.offsets[0].member_id.as_deref(), Some(joined.member_id.as_str()));
    // The member goes on as if nothing had happened.
    let mut member = HeartbeatRequest::default()
        .with_group_id(group("team"))
        .with_generation_id(1)
        .with_member_id(joined.member_id.clone());
    member.group_instance_id = Some(text("i"));
    assert_eq!(client.call(3, &member).await.error_code, 0);
    port.stop().await;
}

#[tokio::test]
async fn clients_neither_write_nor_make_nor_remove_the_groups_topic() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    let metadata = |create| {
        let topic = MetadataRequestTopic::default().with_name(Some(name(OFFSETS_TOPIC)));
        MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(create)
    };
    assert_eq!(client.call(8, &metadata(true)).await.topics[0].error_code, 3);
    let topic = CreatableTopic::default()
        .with_name(name(OFFSETS_TOPIC))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]);
    assert_eq!(client.call(4, &create).await.topics[0].error_code, 17);
    assert_eq!(commit(&mut client, "g", 5).await, 0);
    assert_eq!(client.call(4, &create).await.topics[0].error_code, 36);
    let told = client.call(8, &metadata(false)).await.topics.remove(0);
    assert_eq!((told.error_code, told.is_internal, told.partitions.len()), (0, true, 4));
    let id = port.topic_id(OFFSETS_TOPIC);
    for version in [3, 13] {
        let answer = client.produce(version, -1, (OFFSETS_TOPIC, id), 0, one(b"forged")).await;
        assert_eq!(answer.error_code, 17);
    }
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name(OFFSETS_TOPIC)]);
    assert_eq!(client.call(5, &delete).await.responses[0].error_code, 73);
    assert_eq!(committed(&mut client, "g").await, 5);
    port.stop().await;
}
