//! DescribeGroups: state, members and assignments of groups.
//!
//! Guarantees: subscriptions and assignments are shown while they hold, that is of stable groups;
//! an answer's bytes are charged before it is built.
//! Left out: who may do what; nothing is denied yet.

use super::operations::GROUP_OPERATIONS;
use super::{Api, Pending};
use crate::group::{Group, GroupError, GroupState};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::group_error::{group_error, sent};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "DescribeGroups",
    key: 15,
    min: 0,
    max: 6,
    flexible_from: 5,
    request: &Shape {
        fields: &[Field::new(Kind::Each(&Kind::Text)), Field::from(3, Kind::Fixed(1))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeGroupsRequest>,
};

/// The first version in which a group that is not there is an error.
const NOT_FOUND_FROM: i16 = 6;
/// The first version with instance ids.
const INSTANCES_FROM: i16 = 4;
/// What a group takes in an answer without its members.
const GROUP_BYTES: usize = 512;
/// How a group that is not there is described.
const DEAD: &str = "Dead";

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeGroupsRequest = request.decode()?;
    Ok(async move { serve(&broker, &request, asked).await.map(Some) }.boxed())
}

async fn serve(
    broker: &Broker,
    request: &Request,
    asked: DescribeGroupsRequest,
) -> Result<Reply, WireError> {
    // Each once, however often it is named: the answer stays as small as the groups.
    let mut seen = BTreeSet::new();
    let mut ids = asked.groups;
    ids.retain(|id| seen.insert(id.clone()));
    let ready = broker.groups.ready().await;
    let mut charge = Charge::default();
    let bytes = broker.groups.look(|all| {
        let of = |id: &GroupId| {
            GROUP_BYTES + id.len() + all.get(&id.0).map_or(0, |group| group.member_bytes() * 2)
        };
        ids.iter().map(of).sum()
    });
    broker.answers.charge(&mut charge, bytes).await;
    let version = request.version;
    let groups = ids.into_iter().map(|id| match ready {
        Err(error) => {
            DescribedGroup::default().with_error_code(group_error(error).code()).with_group_id(id)
        }
        Ok(()) => broker.groups.look(|all| match all.get(&id.0) {
            Some(group) => described(group, id, version),
            None => missing(id, version),
        }),
    });
    let mut groups: Vec<DescribedGroup> = groups.collect();
    if asked.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = GROUP_OPERATIONS;
        }
    }
    let mut reply = request.reply(&DescribeGroupsResponse::default().with_groups(groups))?;
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(reply)
}

fn missing(id: GroupId, version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str(DEAD));
    if version < NOT_FOUND_FROM {
        return dead.with_group_id(id);
    }
    let message = format!("Group {} not found.", id.as_str());
    dead.with_group_id(id)
        .with_error_code(group_error(GroupError::NotFound).code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn described(group: &Group, id: GroupId, version: i16) -> DescribedGroup {
    let stable = group.state == GroupState::Stable;
    let protocol = group.protocol.as_ref().filter(|_| stable);
    let members = group.members.values().map(|member| {
        let instance = member.instance.as_ref().filter(|_| version >= INSTANCES_FROM);
        let described = DescribedGroupMember::default()
            .with_member_id(sent(&member.id))
            .with_group_instance_id(instance.map(sent))
            .with_client_id(sent(&member.client_id))
            .with_client_host(sent(&member.client_host));
        match stable {
            true => described
                .with_member_metadata(member.metadata(protocol.map(|name| &**name)))
                .with_member_assignment(member.assignment.clone()),
            false => described,
        }
    });
    DescribedGroup::default()
        .with_group_id(id)
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_protocol_type(group.protocol_type.as_ref().map(sent).unwrap_or_default())
        .with_protocol_data(protocol.map(sent).unwrap_or_default())
        .with_members(members.collect())
}
