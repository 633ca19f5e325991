//! LeaveGroup: members say that they go, or an administrator does for them.
//!
//! Guarantees: from version 3 on many at once, each with its own result.
//! Left out: what the group does then.

use super::{Api, Pending, answered};
use crate::group::Identity;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use std::sync::Arc;

const MEMBER: Shape = Shape {
    fields: &[Field::new(Kind::Text), Field::new(Kind::Text), Field::from(5, Kind::Text)],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "LeaveGroup",
    key: 13,
    min: 0,
    max: 5,
    flexible_from: 4,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::between(0, 2, Kind::Text),
            Field::from(3, Kind::Array(&MEMBER)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<LeaveGroupRequest>,
};

/// The first version with many members.
const MANY_FROM: i16 = 3;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: LeaveGroupRequest = request.decode()?;
    let identity = |member_id, instance| Identity { member_id, instance, generation: -1 };
    let leaving: Vec<Identity> = match request.version {
        MANY_FROM.. => (asked.members.iter())
            .map(|it| identity(own(&it.member_id), it.group_instance_id.as_ref().map(own)))
            .collect(),
        _ => vec![identity(own(&asked.member_id), None)],
    };
    let left = broker.groups.leave(&own(&asked.group_id.0), &leaving).await;
    let response = LeaveGroupResponse::default().with_error_code(code(&left));
    let response = match left {
        Ok(results) if request.version >= MANY_FROM => {
            let members = asked.members.into_iter().zip(results);
            response.with_members(members.map(|(who, left)| member(who, code(&left))).collect())
        }
        Ok(results) => response.with_error_code(results.first().map_or(0, code)),
        Err(_) => response,
    };
    Ok(answered(request.reply(&response)?))
}

fn member(who: MemberIdentity, code: i16) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(who.member_id)
        .with_group_instance_id(who.group_instance_id)
        .with_error_code(code)
}
