//! Consumer groups over the wire: every version of every API, waiting and dying members, what a
//! restart leaves, what strangers may not do.

use super::harness::*;
use super::hostile::{assert_well, header, send_body};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;
use tradewind_log::group::{GroupSettings, GroupState, OFFSETS_TOPIC};
use tradewind_log::wire::{WireLimits, versions};
use tradewind_types::Log;

fn range(api: &str) -> std::ops::RangeInclusive<i16> {
    let (_, _, min, max) = versions().find(|(name, ..)| *name == api).unwrap();
    min..=max
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

/// Limits under which a first rebalance takes no time worth mentioning.
fn quick() -> WireLimits {
    let groups = GroupSettings {
        initial_rebalance_delay: Duration::from_millis(500),
        session_timeout_min: Duration::from_millis(100),
        ..GroupSettings::default()
    };
    WireLimits { groups, ..WireLimits::default() }
}

async fn quick_port(partitions: i32) -> Port {
    let port = Port::start(quick()).await;
    port.topic("t", partitions).await;
    port
}

fn join_request(id: &str, member: &str) -> JoinGroupRequest {
    // A subscription to topic `t`, version 0.
    let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription);
    JoinGroupRequest::default()
        .with_group_id(group(id))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins, coming back under the id that is asked for.
async fn join(
    client: &mut Client,
    version: i16,
    mut request: JoinGroupRequest,
) -> JoinGroupResponse {
    if version < 1 {
        request.rebalance_timeout_ms = -1;
    }
    let answer = client.call(version, &request).await;
    if answer.error_code != 79 {
        return answer;
    }
    assert!(version >= 4 && !answer.member_id.is_empty());
    let request = request.with_member_id(answer.member_id);
    client.call(version, &request).await
}

fn sync_request(id: &str, joined: &JoinGroupResponse, all: &[(&str, &[u8])]) -> SyncGroupRequest {
    let assignment = |(member, bytes): &(&str, &[u8])| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(bytes))
    };
    SyncGroupRequest::default()
        .with_group_id(group(id))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(all.iter().map(assignment).collect())
}

/// Partition 0 of `t`, as an assignment.
const WORK: &[u8] = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";

async fn sync(
    client: &mut Client,
    version: i16,
    id: &str,
    joined: &JoinGroupResponse,
) -> SyncGroupResponse {
    client.call(version, &sync_request(id, joined, &[(&joined.member_id, WORK)])).await
}

async fn beat(client: &mut Client, version: i16, id: &str, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group(id))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    client.call(version, &request).await.error_code
}

fn commit_request(
    id: &str,
    member: &str,
    generation: i32,
    offset: i64,
    note: &str,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text(note)));
    let topic = OffsetCommitRequestTopic::default().with_name(name("t"));
    OffsetCommitRequest::default()
        .with_group_id(group(id))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

/// Commits without being a member; the partition's error code.
async fn commit(client: &mut Client, id: &str, offset: i64) -> i16 {
    let answer = client.call(8, &commit_request(id, "", -1, offset, "")).await;
    answer.topics[0].partitions[0].error_code
}

/// A group's offset of partition 0: offset, note, error code.
async fn fetch_at(client: &mut Client, version: i16, id: &str, stable: bool) -> (i64, String, i16) {
    let request = OffsetFetchRequest::default().with_require_stable(stable && version >= 7);
    let told =
        |offset: i64, note: Option<StrBytes>, code: i16| (offset, note.unwrap().to_string(), code);
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(name("t"));
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group(id))
            .with_topics(Some(vec![topic.with_partition_indexes(vec![0])]));
        let answer = client.call(version, &request.with_groups(vec![asked])).await;
        let partition = answer.groups[0].topics[0].partitions[0].clone();
        return told(partition.committed_offset, partition.metadata, partition.error_code);
    }
    let topic = OffsetFetchRequestTopic::default().with_name(name("t"));
    let topic = topic.with_partition_indexes(vec![0]);
    let request = request.with_group_id(group(id)).with_topics(Some(vec![topic]));
    let partition = client.call(version, &request).await.topics[0].partitions[0].clone();
    told(partition.committed_offset, partition.metadata, partition.error_code)
}

async fn committed(client: &mut Client, id: &str) -> i64 {
    fetch_at(client, 8, id, true).await.0
}

#[tokio::test]
async fn a_member_joins_works_and_leaves_in_every_version() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    let (syncs, beats, leaves) = (range("SyncGroup"), range("Heartbeat"), range("LeaveGroup"));
    let others = syncs.cycle().zip(beats.cycle()).zip(leaves.cycle());
    for (version, ((sync_version, beat_version), leave_version)) in range("JoinGroup").zip(others) {
        let id = format!("g{version}");
        let joined = join(&mut client, version, join_request(&id, "")).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert!(version < 7 || joined.protocol_type.as_deref() == Some("consumer"));
        assert_eq!(joined.members.len(), 1);
        assert!(!joined.members[0].metadata.is_empty());
        let synced = sync(&mut client, sync_version, &id, &joined).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, WORK), "{sync_version}");
        assert!(sync_version < 5 || synced.protocol_name.as_deref() == Some("range"));
        assert_eq!(beat(&mut client, beat_version, &id, &joined).await, 0);
        let leave = LeaveGroupRequest::default().with_group_id(group(&id));
        let left = match leave_version {
            3.. => {
                let me = MemberIdentity::default().with_member_id(joined.member_id.clone());
                let stranger = MemberIdentity::default().with_member_id(text("who"));
                let answer =
                    client.call(leave_version, &leave.with_members(vec![me, stranger])).await;
                assert_eq!(answer.members[1].error_code, 25);
                answer.members[0].error_code
            }
            _ => {
                let leave = leave.with_member_id(joined.member_id.clone());
                client.call(leave_version, &leave).await.error_code
            }
        };
        assert_eq!(left, 0, "version {leave_version}");
        assert_eq!(beat(&mut client, beat_version, &id, &joined).await, 25, "it is no member now");
    }
    port.stop().await;
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    for version in range("OffsetCommit") {
        let offset = i64::from(version) * 10;
        let request = commit_request("g", "", -1, offset, "note");
        let answer = client.call(version, &request).await;
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
        assert_eq!(answer.topics[0].partitions[0].committed_offset, 90);
    }
    let asked = |id| OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(None);
    let both = OffsetFetchRequest::default().with_groups(vec![asked("g"), asked("nobody")]);
    for version in 8..=9 {
        let answer = client.call(version, &both).await;
        assert_eq!(answer.groups[0].topics[0].partitions[0].committed_offset, 90);
        assert!(answer.groups[1].topics.is_empty() && answer.groups[1].error_code == 0);
    }
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
async fn what_is_asked_behind_a_waiting_join_is_answered_after_it() {
    let mut limits = WireLimits { stall_timeout: Duration::from_millis(200), ..quick() };
    limits.groups.initial_rebalance_delay = Duration::from_secs(10);
    let port = Port::start(limits).await;
    let mut client = port.client().await;
    // A tenth of the delay, for a group nobody knows.
    let first = client.send(3, &join_request("g", "")).await;
    let second = client.send(2, &ListGroupsRequest::default()).await;
    let joined = client.receive::<JoinGroupRequest>(3, first).await;
    assert_eq!(joined.error_code, 0);
    let listed = client.receive::<ListGroupsRequest>(2, second).await;
    assert_eq!(listed.groups.len(), 1);
    port.stop().await;
}

#[tokio::test]
async fn a_connection_that_dies_while_it_joins_is_let_go() {
    let mut limits = WireLimits { connections_per_ip_max: 1, ..quick() };
    limits.groups.initial_rebalance_delay = Duration::from_secs(3_000);
    let port = Port::start(limits).await;
    let mut client = port.client().await;
    client.send(3, &join_request("g", "")).await;
    while port.groups.groups().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    let served = async {
        loop {
            let mut client = port.client().await;
            client.send(2, &ListGroupsRequest::default()).await;
            if client.receive_frame().await.is_some() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    // A closing port does not wait for members either.
    let mut client = loop {
        let mut client = port.client().await;
        client.send(5, &join_request("g", "")).await;
        if let Some(answer) = client.receive_frame().await {
            assert_eq!(answer[8..10], 79_i16.to_be_bytes());
            break client;
        }
    };
    client.send(3, &join_request("g", "")).await;
    port.stop().await;
    client.expect_closed().await;
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

/// Two members of group `g`: the leader first. Both are told generation 2.
async fn two_members(port: &Port) -> [(Client, JoinGroupResponse); 2] {
    let (mut one, mut two) = (port.client().await, port.client().await);
    let first = join(&mut one, 5, join_request("g", "")).await;
    sync(&mut one, 3, "g", &first).await;
    let fresh = two.call(5, &join_request("g", "")).await;
    assert_eq!(fresh.error_code, 79);
    let waiting = two.send(5, &join_request("g", &fresh.member_id)).await;
    while beat(&mut one, 3, "g", &first).await == 0 {}
    let first = one.call(5, &join_request("g", &first.member_id)).await;
    let second = two.receive::<JoinGroupRequest>(5, waiting).await;
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    [(one, first), (two, second)]
}

#[tokio::test]
async fn followers_wait_for_the_leader_and_members_are_told_of_a_rebalance() {
    let port = quick_port(2).await;
    let [(mut one, first), (mut two, second)] = two_members(&port).await;
    // The follower asks first and waits.
    let request = sync_request("g", &second, &[]);
    let waiting = two.send(3, &request).await;
    let all: &[(&str, &[u8])] = &[(&first.member_id, b"a"), (&second.member_id, b"b")];
    let told = one.call(3, &sync_request("g", &first, all)).await;
    let other = two.receive::<SyncGroupRequest>(3, waiting).await;
    assert_eq!((&told.assignment[..], &other.assignment[..]), (&b"a"[..], &b"b"[..]));
    // A stale generation, a stranger, a wrong protocol.
    let stale = first.clone().with_generation_id(1);
    assert_eq!(beat(&mut one, 3, "g", &stale).await, 22);
    let stranger = first.clone().with_member_id(text("who"));
    assert_eq!(beat(&mut one, 3, "g", &stranger).await, 25);
    let wrong = sync_request("g", &first, &[]).with_protocol_name(Some(text("sticky")));
    assert_eq!(one.call(5, &wrong).await.error_code, 23);
    let mut odd = join_request("g", "");
    odd.protocols[0].name = text("unheard of");
    assert_eq!(port.client().await.call(3, &odd).await.error_code, 23);
    // One leaves: the other has to join again, and may not commit as of the old generation then.
    let leave = LeaveGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(second.member_id.clone());
    assert_eq!(two.call(1, &leave).await.error_code, 0);
    assert_eq!(beat(&mut one, 3, "g", &first).await, 27);
    let request = commit_request("g", &first.member_id, first.generation_id, 5, "");
    let code = one.call(8, &request).await.topics[0].partitions[0].error_code;
    assert_eq!(code, 0, "what was read before the rebalance still counts");
    let again = one.call(5, &join_request("g", &first.member_id)).await;
    assert_eq!((again.generation_id, again.members.len()), (3, 1));
    let code = one.call(8, &request).await.topics[0].partitions[0].error_code;
    assert_eq!(code, 22);
    let early = commit_request("g", &again.member_id, 3, 5, "");
    assert_eq!(one.call(8, &early).await.topics[0].partitions[0].error_code, 27);
    port.stop().await;
}

#[tokio::test]
async fn a_member_that_dies_while_it_waits_does_not_hold_up_the_others() {
    let port = quick_port(2).await;
    let [(mut one, first), (two, second)] = two_members(&port).await;
    drop(second);
    sync(&mut one, 3, "g", &first).await;
    // A third comes, is asked to wait, and its machine loses its power.
    let mut third = port.client().await;
    let fresh = third.call(5, &join_request("g", "")).await;
    third.send(5, &join_request("g", &fresh.member_id)).await;
    while beat(&mut one, 3, "g", &first).await != 27 {}
    drop((third, two));
    // The second never joins again: the first waits for it, and then goes on alone.
    let alone = one.call(5, &join_request("g", &first.member_id)).await;
    assert_eq!((alone.error_code, alone.members.len()), (0, 1));
    port.stop().await;
}

#[tokio::test]
async fn static_members_come_back_without_a_rebalance_and_twins_are_fenced() {
    let port = quick_port(2).await;
    let named = |member: &str| join_request("g", member).with_group_instance_id(Some(text("i")));
    for version in 5..=9 {
        let mut client = port.client().await;
        let first = join(&mut client, version, named("")).await;
        assert_eq!(first.error_code, 0);
        let generation = first.generation_id;
        let sync_all = sync_request("g", &first, &[(&first.member_id, WORK)]);
        let synced = client.call(3, &sync_all.with_group_instance_id(Some(text("i")))).await;
        assert_eq!(synced.error_code, 0);
        // Its next life.
        let mut reborn = port.client().await;
        let second = join(&mut reborn, version, named("")).await;
        assert_eq!((second.error_code, second.generation_id), (0, generation));
        assert_ne!(second.member_id, first.member_id);
        if version >= 9 {
            assert!(second.skip_assignment && second.leader == second.member_id);
            assert_eq!(second.members.len(), 1);
        } else {
            assert_eq!(second.leader, first.member_id, "it is not to assign");
        }
        let request = sync_request("g", &second, &[]).with_group_instance_id(Some(text("i")));
        assert_eq!(&reborn.call(3, &request).await.assignment[..], WORK);
        // The old one is told.
        let stale = HeartbeatRequest::default()
            .with_group_id(group("g"))
            .with_generation_id(generation)
            .with_member_id(first.member_id.clone())
            .with_group_instance_id(Some(text("i")));
        assert_eq!(client.call(3, &stale).await.error_code, 82);
        assert_eq!(client.call(version, &named(&first.member_id)).await.error_code, 82);
        let mut late = commit_request("g", &first.member_id, generation, 1, "");
        late.group_instance_id = Some(text("i"));
        assert_eq!(client.call(8, &late).await.topics[0].partitions[0].error_code, 82);
        // An administrator takes it out by its name.
        let out = MemberIdentity::default().with_group_instance_id(Some(text("i")));
        let leave = LeaveGroupRequest::default().with_group_id(group("g")).with_members(vec![out]);
        assert_eq!(client.call(4, &leave).await.members[0].error_code, 0);
        let gone = async {
            while port.groups.groups().await.unwrap()[0].state != GroupState::Empty {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
    }
    port.stop().await;
}

#[tokio::test]
async fn members_that_are_not_heard_of_are_out() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    let request = join_request("g", "").with_session_timeout_ms(300);
    let joined = join(&mut client, 5, request.clone()).await;
    sync(&mut client, 3, "g", &joined).await;
    let gone = async {
        while port.groups.groups().await.unwrap()[0].state != GroupState::Empty {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(beat(&mut client, 3, "g", &joined).await, 25);
    for ms in [99, 30 * 60 * 1000 + 1, -1] {
        let outside = request.clone().with_session_timeout_ms(ms);
        assert_eq!(client.call(5, &outside).await.error_code, 26, "{ms} ms");
    }
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
async fn offsets_of_a_transaction_count_when_it_is_committed_also_over_a_restart() {
    let port = quick_port(1).await;
    let mut client = port.client().await;
    let request = |epoch: i16, offset: i64| {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t"));
        TxnOffsetCommitRequest::default()
            .with_transactional_id(text("x").into())
            .with_group_id(group("g"))
            .with_producer_id(42.into())
            .with_producer_epoch(epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])])
    };
    let code = async |client: &mut Client, version: i16, request: &TxnOffsetCommitRequest| {
        client.call(version, request).await.topics[0].partitions[0].error_code
    };
    let at = port.groups.offsets_partition_of("g").await.unwrap();
    for version in range("TxnOffsetCommit") {
        let offset = 100 + i64::from(version);
        let before = fetch_at(&mut client, 8, "g", true).await;
        assert_eq!(code(&mut client, version, &request(1, offset)).await, 0, "version {version}");
        assert_eq!(fetch_at(&mut client, 8, "g", true).await, (-1, String::new(), 88));
        assert_eq!(fetch_at(&mut client, 8, "g", false).await, before, "not yet");
        port.groups.transaction_ended(at, 42, 1, true).await;
        assert_eq!(committed(&mut client, "g").await, offset);
    }
    assert_eq!(code(&mut client, 3, &request(1, 500)).await, 0);
    port.groups.transaction_ended(at, 42, 1, false).await;
    assert_eq!(committed(&mut client, "g").await, 104, "aborted");
    assert_eq!(code(&mut client, 3, &request(2, 600)).await, 0);
    assert_eq!(code(&mut client, 3, &request(1, 700)).await, 47, "fenced");
    drop(client);
    // No marker was written in the log, so after a restart all of them are open.
    let port = Port::start_in(port.stop_and_keep().await, quick()).await;
    let mut client = port.client().await;
    assert_eq!(fetch_at(&mut client, 8, "g", true).await.2, 88);
    port.groups.transaction_ended(at, 42, 2, true).await;
    assert_eq!(committed(&mut client, "g").await, 600);
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

#[tokio::test]
async fn groups_members_and_what_they_say_are_bounded() {
    let groups = GroupSettings {
        groups_max: 3,
        members_max: 2,
        member_bytes_max: 10_000,
        initial_rebalance_delay: Duration::from_secs(60),
        ..GroupSettings::default()
    };
    let port = Port::start(WireLimits { groups, ..WireLimits::default() }).await;
    port.topic("t", 1).await;
    let mut client = port.client().await;
    let mut fat = join_request("g", "");
    fat.protocols[0].metadata = Bytes::from(vec![0; 10_000]);
    assert_eq!(client.call(3, &fat).await.error_code, 81);
    // Ids that were given out count as members.
    for code in [79, 79, 81] {
        assert_eq!(client.call(5, &join_request("g", "")).await.error_code, code);
    }
    for code in [0, 0, 81] {
        let id = format!("simple{code}{}", port.groups.groups().await.unwrap().len());
        assert_eq!(commit(&mut client, &id, 1).await, code);
    }
    assert_eq!(client.call(5, &join_request("one more", "")).await.error_code, 81);
    port.stop().await;
}

#[tokio::test]
async fn counts_that_lie_and_thousands_of_members_cost_no_more_than_they_may() {
    let port = quick_port(1).await;
    // JoinGroup, SyncGroup, LeaveGroup, OffsetCommit, OffsetFetch, DescribeGroups, DeleteGroups.
    for (key, version) in [(11, 5), (14, 3), (13, 3), (8, 7), (9, 7), (15, 4), (42, 1)] {
        let mut body = header(key, version);
        body.put_i16(1);
        body.put_slice(b"g");
        body.put_i32(i32::MAX);
        body.resize(body.len() + 40, 0x7f);
        send_body(&port, &body).await.expect_closed().await;
    }
    let most = GroupSettings::default().members_max;
    let mut client = port.client().await;
    for _ in 0..most {
        assert_eq!(client.call(5, &join_request("g", "")).await.error_code, 79);
    }
    assert_eq!(client.call(5, &join_request("g", "")).await.error_code, 81);
    assert_well(&port).await;
    port.stop().await;
}
