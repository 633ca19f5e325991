//! FindCoordinator: where a group or transaction is kept.
//!
//! Guarantees: groups and transactions are kept by the only broker there is. Each key has its own
//! answer from version 4 on.
//! Left out: share groups.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) const API: Api = Api {
    name: "FindCoordinator",
    key: 10,
    min: 0,
    max: 6,
    flexible_from: 3,
    request: &Shape {
        fields: &[
            Field::between(0, 3, Kind::Text),
            Field::from(1, Kind::Fixed(1)),
            Field::from(4, Kind::Each(&Kind::Text)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<FindCoordinatorRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: FindCoordinatorRequest = request.decode()?;
    let response = if request.version >= 4 {
        let keys = asked.coordinator_keys.into_iter();
        let of = |key: StrBytes| coordinator(&broker, asked.key_type).with_key(key);
        FindCoordinatorResponse::default().with_coordinators(keys.map(of).collect())
    } else {
        let found = coordinator(&broker, asked.key_type);
        FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message.filter(|_| request.version >= 1))
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port)
    };
    Ok(answered(request.reply(&response)?))
}

/// Who keeps what is of this type.
fn coordinator(broker: &Broker, key_type: i8) -> Coordinator {
    match key_type {
        GROUP | TRANSACTION => Coordinator::default()
            .with_node_id(NODE_ID.into())
            .with_host(broker.host.clone())
            .with_port(broker.port),
        _ => Coordinator::default()
            .with_node_id((-1).into())
            .with_port(-1)
            .with_error_code(number(ResponseError::InvalidRequest))
            .with_error_message(Some(StrBytes::from_static_str(
                "only groups (0) and transactions (1) have a coordinator",
            ))),
    }
}
