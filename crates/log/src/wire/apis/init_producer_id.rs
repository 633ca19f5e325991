//! InitProducerId: an id for a producer that numbers its batches.
//!
//! Guarantees: ids are random in 63 bits, so none is given twice in practice, across restarts
//! and without state. Sequence numbers are stored as they were sent.
//! Left out: checking sequence numbers, and transactions. A producer that asks for the latter is
//! refused in a way it does not retry.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) const API: Api = Api {
    name: "InitProducerId",
    key: 22,
    min: 0,
    max: 5,
    flexible_from: 2,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(4)),
            Field::from(3, Kind::Fixed(8)),
            Field::from(3, Kind::Fixed(2)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<InitProducerIdRequest>,
};

async fn handle(_: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: InitProducerIdRequest = request.decode()?;
    let response = if asked.transactional_id.is_some() {
        InitProducerIdResponse::default()
            .with_error_code(number(ResponseError::InvalidRequest))
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    } else {
        InitProducerIdResponse::default()
            .with_producer_id(random_id().into())
            .with_producer_epoch(0)
    };
    Ok(answered(request.reply(&response)?))
}

fn random_id() -> i64 {
    // A version 4 uuid fixes six bits of the upper half, two of the lower: the low 60 are random.
    let (_, low) = Uuid::new_v4().as_u64_pair();
    let (high, _) = Uuid::new_v4().as_u64_pair();
    i64::from_be_bytes((low << 4 | high >> 60).to_be_bytes()) & i64::MAX
}
