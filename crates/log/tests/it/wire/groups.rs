//! Members of groups over the wire: every version, waiting and dying members, static ones, bounds.

use super::group_client::*;
use super::harness::*;
use super::hostile::{assert_well, header, send_body};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    SyncGroupRequest,
};
use std::time::Duration;
use tradewind_log::group::{GroupSettings, GroupState};
use tradewind_log::wire::WireLimits;

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
