//! A member of a group made of single requests.

use super::harness::*;
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, MetadataRequest,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;
use tradewind_log::group::GroupSettings;
use tradewind_log::wire::{WireLimits, versions};
use uuid::Uuid;

pub(super) fn range(api: &str) -> std::ops::RangeInclusive<i16> {
    let (_, _, min, max) = versions().find(|(name, ..)| *name == api).unwrap();
    min..=max
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

/// Limits under which a first rebalance takes no time worth mentioning.
pub(super) fn quick() -> WireLimits {
    let groups = GroupSettings {
        initial_rebalance_delay: Duration::from_millis(500),
        session_timeout_min: Duration::from_millis(100),
        ..GroupSettings::default()
    };
    WireLimits { groups, ..WireLimits::default() }
}

pub(super) async fn quick_port(partitions: i32) -> Port {
    let port = Port::start(quick()).await;
    port.topic("t", partitions).await;
    port
}

pub(super) fn join_request(id: &str, member: &str) -> JoinGroupRequest {
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
pub(super) async fn join(
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

pub(super) fn sync_request(
    id: &str,
    joined: &JoinGroupResponse,
    all: &[(&str, &[u8])],
) -> SyncGroupRequest {
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
pub(super) const WORK: &[u8] = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";

pub(super) async fn sync(
    client: &mut Client,
    version: i16,
    id: &str,
    joined: &JoinGroupResponse,
) -> SyncGroupResponse {
    client.call(version, &sync_request(id, joined, &[(&joined.member_id, WORK)])).await
}

pub(super) async fn beat(
    client: &mut Client,
    version: i16,
    id: &str,
    joined: &JoinGroupResponse,
) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group(id))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    client.call(version, &request).await.error_code
}

pub(super) fn commit_request(
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
pub(super) async fn commit(client: &mut Client, id: &str, offset: i64) -> i16 {
    let answer = client.call(8, &commit_request(id, "", -1, offset, "")).await;
    answer.topics[0].partitions[0].error_code
}

/// A group's offset of partition 0: offset, note, error code.
pub(super) async fn fetch_at(
    client: &mut Client,
    version: i16,
    id: &str,
    stable: bool,
) -> (i64, String, i16) {
    let request = OffsetFetchRequest::default().with_require_stable(stable && version >= 7);
    let told =
        |offset: i64, note: Option<StrBytes>, code: i16| (offset, note.unwrap().to_string(), code);
    if version >= 10 {
        let topic = id_of_t(client).await;
        let answer = fetch_by_id(client, id, Some(topic), stable).await;
        assert_eq!(answer.groups[0].topics[0].topic_id, topic);
        let partition = answer.groups[0].topics[0].partitions[0].clone();
        return told(partition.committed_offset, partition.metadata, partition.error_code);
    }
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

pub(super) async fn committed(client: &mut Client, id: &str) -> i64 {
    fetch_at(client, 8, id, true).await.0
}

/// The id of topic `t`.
pub(super) async fn id_of_t(client: &mut Client) -> Uuid {
    let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    client.call(12, &request).await.topics[0].topic_id
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u8(text.len() as u8 + 1);
    out.put_slice(text.as_bytes());
}

/// OffsetCommit 10: partition 0 of the topic with this id, by nobody's member.
pub(super) async fn commit_by_id(
    client: &mut Client,
    id: &str,
    topic: Uuid,
    (offset, note): (i64, &str),
) -> OffsetCommitResponse {
    let mut body = Vec::new();
    put_text(&mut body, id);
    body.put_i32(-1);
    put_text(&mut body, "");
    // No instance; one topic, one partition.
    body.put_slice(&[0, 2]);
    body.put_slice(topic.as_bytes());
    body.put_u8(2);
    body.put_i32(0);
    body.put_i64(offset);
    body.put_i32(-1);
    put_text(&mut body, note);
    // The tags of the partition, the topic and the request.
    body.put_slice(&[0, 0, 0]);
    client.call_with::<OffsetCommitRequest>(10, &body).await
}

/// OffsetFetch 10: partition 0 of a topic, or all there is.
pub(super) async fn fetch_by_id(
    client: &mut Client,
    id: &str,
    topic: Option<Uuid>,
    stable: bool,
) -> OffsetFetchResponse {
    let mut body = vec![2];
    put_text(&mut body, id);
    // No member.
    body.put_u8(0);
    body.put_i32(-1);
    match topic {
        None => body.put_u8(0),
        Some(topic) => {
            body.put_u8(2);
            body.put_slice(topic.as_bytes());
            body.put_u8(2);
            body.put_i32(0);
            body.put_u8(0);
        }
    }
    body.put_slice(&[0, u8::from(stable), 0]);
    client.call_with::<OffsetFetchRequest>(10, &body).await
}
