//! Heartbeat: a member says that it lives, and is told whether to join again.
//!
//! Guarantees: answered at once. Left out: the timeouts, which are the group's.

use super::{Api, Pending, answered};
use crate::group::{GroupError, Identity};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "Heartbeat",
    key: 12,
    min: 0,
    max: 4,
    flexible_from: 4,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(4)),
            Field::new(Kind::Text),
            Field::from(3, Kind::Text),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<HeartbeatRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: HeartbeatRequest = request.decode()?;
    let who = Identity {
        member_id: own(&asked.member_id),
        instance: asked.group_instance_id.as_ref().map(own),
        generation: asked.generation_id,
    };
    let beat = match broker.groups.heartbeat(&asked.group_id.0, &who).await {
        // Members are not to join again because the groups are still being read.
        Err(GroupError::Loading) => Ok(()),
        other => other,
    };
    Ok(answered(request.reply(&HeartbeatResponse::default().with_error_code(code(&beat)))?))
}
