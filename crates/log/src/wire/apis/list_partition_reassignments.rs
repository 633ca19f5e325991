//! ListPartitionReassignments: none is under way. `kafka-topics --describe` asks before it prints.
//!
//! Guarantees: answered. Left out: reassignments. There is one broker.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use std::sync::Arc;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "ListPartitionReassignments",
    key: 46,
    min: 0,
    max: 0,
    flexible_from: 0,
    request: &Shape {
        fields: &[Field::new(Kind::Fixed(4)), Field::new(Kind::Array(&TOPIC))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ListPartitionReassignmentsRequest>,
};

async fn handle(_: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    request.probe::<ListPartitionReassignmentsRequest>()?;
    let none = ListPartitionReassignmentsResponse::default().with_error_message(None);
    Ok(answered(request.reply(&none)?))
}
