//! FindCoordinator: where a group or transaction is kept.
//!
//! Guarantees: answered, because librdkafka sends LZ4 only to brokers that have this API; the
//! coordinator of every transactional id is this broker.
//! Left out: groups, which are told to try again later.

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
    if asked.key_type == TRANSACTION {
        return here(&broker, &request, asked);
    }
    let (error, message) = match asked.key_type {
        GROUP => (ResponseError::CoordinatorNotAvailable, "consumer groups are not served"),
        _ => (ResponseError::InvalidRequest, "there are groups (0) and transactions (1)"),
    };
    let (code, message) = (number(error), Some(StrBytes::from_static_str(message)));
    let response = if request.version >= 4 {
        let none = |key: StrBytes| {
            Coordinator::default()
                .with_key(key)
                .with_node_id((-1).into())
                .with_port(-1)
                .with_error_code(code)
                .with_error_message(message.clone())
        };
        let coordinators = asked.coordinator_keys.into_iter().map(none).collect();
        FindCoordinatorResponse::default().with_coordinators(coordinators)
    } else {
        FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(message.filter(|_| request.version >= 1))
            .with_node_id((-1).into())
            .with_port(-1)
    };
    Ok(answered(request.reply(&response)?))
}

/// This broker, for each of the keys.
fn here(
    broker: &Broker,
    request: &Request,
    asked: FindCoordinatorRequest,
) -> Result<Pending, WireError> {
    let response = FindCoordinatorResponse::default();
    let response = if request.version >= 4 {
        let us = |key: StrBytes| {
            Coordinator::default()
                .with_key(key)
                .with_node_id(NODE_ID.into())
                .with_host(broker.host.clone())
                .with_port(broker.port)
                .with_error_message(None)
        };
        response.with_coordinators(asked.coordinator_keys.into_iter().map(us).collect())
    } else {
        response
            .with_error_message(None)
            .with_node_id(NODE_ID.into())
            .with_host(broker.host.clone())
            .with_port(broker.port)
    };
    Ok(answered(request.reply(&response)?))
}
