//! SyncGroup: a member asks what it is to do; the leader says so for all.
//!
//! Guarantees: answered once the assignment is stored, durably; what is kept of the request while
//! it waits is a copy of its own.
//! Left out: what an assignment says.

use super::{Api, Pending};
use crate::group::{Identity, Sync};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, own, sent};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use bytes::Bytes;
use futures::FutureExt;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use std::sync::Arc;

const ASSIGNMENT: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Blob)], tags: &[] };

pub(crate) const API: Api = Api {
    name: "SyncGroup",
    key: 14,
    min: 0,
    max: 5,
    flexible_from: 4,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(4)),
            Field::new(Kind::Text),
            Field::from(3, Kind::Text),
            Field::from(5, Kind::Text),
            Field::from(5, Kind::Text),
            Field::new(Kind::Array(&ASSIGNMENT)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<SyncGroupRequest>,
};

async fn handle(broker: Arc<Broker>, mut request: Request) -> Result<Pending, WireError> {
    let asked: SyncGroupRequest = request.decode()?;
    let group = own(&asked.group_id.0);
    let sync = Sync {
        who: Identity {
            member_id: own(&asked.member_id),
            instance: asked.group_instance_id.as_ref().map(own),
            generation: asked.generation_id,
        },
        protocol_type: asked.protocol_type.as_ref().map(own),
        protocol: asked.protocol_name.as_ref().map(own),
        assignments: (asked.assignments.iter())
            .map(|it| (own(&it.member_id), Bytes::copy_from_slice(&it.assignment)))
            .collect(),
    };
    drop(asked);
    (request.body, request.client) = (Bytes::new(), Bytes::new());
    Ok(async move {
        let answer = tokio::select! {
            answer = broker.groups.sync(&group, sync) => answer,
            () = broker.closed() => return Ok(None),
        };
        let mut response = SyncGroupResponse::default().with_error_code(code(&answer));
        if let Ok(synced) = answer {
            response = response.with_assignment(synced.assignment);
            if request.version >= 5 {
                response = response
                    .with_protocol_type(synced.protocol_type.as_ref().map(sent))
                    .with_protocol_name(synced.protocol.as_ref().map(sent));
            }
        }
        request.reply(&response).map(Some)
    }
    .boxed())
}
