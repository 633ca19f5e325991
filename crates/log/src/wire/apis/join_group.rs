//! JoinGroup: a member asks to take part in the next generation.
//!
//! Guarantees: what is kept of the request while it waits is a copy of its own, bounded by the
//! groups' settings; an answer's bytes are charged before it is built; a closing port and a peer
//! that is gone end the wait.
//! Left out: what the group makes of it.

use super::{Api, Pending};
use crate::group::{Join, JoinAnswer, Protocol, Subscription};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::group_error::{client_of, group_error, own, sent};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use bytes::Bytes;
use futures::FutureExt;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use uuid::Uuid;

const PROTOCOL: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Blob)], tags: &[] };

pub(crate) const API: Api = Api {
    name: "JoinGroup",
    key: 11,
    min: 0,
    max: 9,
    flexible_from: 6,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(4)),
            Field::from(1, Kind::Fixed(4)),
            Field::new(Kind::Text),
            Field::from(5, Kind::Text),
            Field::new(Kind::Text),
            Field::new(Kind::Array(&PROTOCOL)),
            Field::from(8, Kind::Text),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<JoinGroupRequest>,
};

/// The first version whose new members are sent away once, with the id to come back under.
const ASKS_FOR_ID_FROM: i16 = 4;
/// The first version in which a leader may be told not to assign.
const SKIPS_ASSIGNMENT_FROM: i16 = 9;
/// What of a client's or instance's name goes into a member's id, bytes.
const NAME_BYTES_MAX: usize = 255;
/// What a member takes in the leader's answer beside its metadata.
const MEMBER_BYTES: usize = 512;

async fn handle(broker: Arc<Broker>, mut request: Request) -> Result<Pending, WireError> {
    let asked: JoinGroupRequest = request.decode()?;
    let group = own(&asked.group_id.0);
    let join = join(&request, &asked);
    drop(asked);
    // Nothing of the frame is kept while the group gathers.
    (request.body, request.client) = (Bytes::new(), Bytes::new());
    Ok(async move {
        let answer = tokio::select! {
            answer = broker.groups.join(&group, join) => answer,
            () = broker.closed() => return Ok(None),
        };
        reply(&broker, &request, answer).await.map(Some)
    }
    .boxed())
}

fn join(request: &Request, asked: &JoinGroupRequest) -> Join {
    let (client_id, client_host) = client_of(request);
    let instance = asked.group_instance_id.as_ref().map(own);
    let name = instance.as_deref().unwrap_or(&client_id);
    let fresh_id = format!("{}-{}", cut(name), Uuid::new_v4());
    let ms = |ms: i32| u64::try_from(ms).unwrap_or(0);
    // The first version has one timeout for both.
    let rebalance = match asked.rebalance_timeout_ms {
        ..0 => asked.session_timeout_ms,
        given => given,
    };
    let protocol = |offered: &JoinGroupRequestProtocol| Protocol {
        name: own(&offered.name),
        metadata: Bytes::copy_from_slice(&offered.metadata),
    };
    Join {
        member_id: own(&asked.member_id),
        fresh_id: fresh_id.into(),
        client_id: cut(&client_id).into(),
        client_host,
        session_timeout_ms: ms(asked.session_timeout_ms),
        rebalance_timeout_ms: ms(rebalance),
        protocol_type: own(&asked.protocol_type),
        protocols: asked.protocols.iter().map(protocol).collect(),
        asks_for_id: request.version >= ASKS_FOR_ID_FROM,
        may_skip_assignment: request.version >= SKIPS_ASSIGNMENT_FROM,
        instance,
    }
}

fn cut(name: &str) -> &str {
    let end = (0..=NAME_BYTES_MAX.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or(0)]
}

async fn reply(broker: &Broker, request: &Request, answer: JoinAnswer) -> Result<Reply, WireError> {
    let mut charge = Charge::default();
    if let Ok(joined) = &answer {
        let bytes = joined.members.iter().map(|member| MEMBER_BYTES + member.metadata.len()).sum();
        broker.answers.charge(&mut charge, bytes).await;
    }
    let mut reply = request.reply(&response(answer, request.version))?;
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(reply)
}

fn response(answer: JoinAnswer, version: i16) -> JoinGroupResponse {
    // Before version 7 there is no null for it.
    let no_protocol = (version < 7).then(StrBytes::default);
    match answer {
        Err((error, member_id)) => JoinGroupResponse::default()
            .with_error_code(group_error(error).code())
            .with_member_id(sent(&member_id))
            .with_protocol_name(no_protocol)
            .with_generation_id(-1),
        Ok(joined) => {
            let member = |member: Subscription| {
                let instance = member.instance.as_ref().filter(|_| version >= 5).map(sent);
                JoinGroupResponseMember::default()
                    .with_member_id(sent(&member.member_id))
                    .with_group_instance_id(instance)
                    .with_metadata(member.metadata)
            };
            let response = JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_name(joined.protocol.as_ref().map(sent).or(no_protocol))
                .with_leader(sent(&joined.leader))
                .with_member_id(sent(&joined.member_id))
                .with_skip_assignment(joined.skip_assignment)
                .with_members(joined.members.into_iter().map(member).collect());
            match version {
                7.. => response.with_protocol_type(joined.protocol_type.as_ref().map(sent)),
                _ => response,
            }
        }
    }
}
