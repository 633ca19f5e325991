//! InitProducerId: who a producer is that numbers its batches, with or without transactions.
//!
//! Guarantees: an id is never given twice, across restarts; with a transactional id, whoever had it
//! before is fenced and what he left open is aborted first.
//! Left out: raising the epoch of a producer without transactions, which clients do by themselves.

use super::{Api, Pending};
use crate::transactions::{Identity, TransactionError};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;

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

/// The first version that tells a fenced producer from one with an old epoch.
const FENCED_FROM: i16 = 4;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: InitProducerIdRequest = request.decode()?;
    Ok(async move {
        let response = InitProducerIdResponse::default();
        let response = match init(&broker, &asked).await {
            Ok((id, epoch)) => response.with_producer_id(id.into()).with_producer_epoch(epoch),
            Err(None) => refused(response, ResponseError::InvalidRequest),
            Err(Some(error)) => {
                let code = of_transaction_error(&error, request.version >= FENCED_FROM);
                refused(response, code)
            }
        };
        request.reply(&response).map(Some)
    }
    .boxed())
}

/// Who the producer is from now on; the error is `None` when half of an identity was sent.
async fn init(
    broker: &Broker,
    asked: &InitProducerIdRequest,
) -> Result<Identity, Option<TransactionError>> {
    let expected = match (asked.producer_id.0, asked.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(None),
        identity => Some(identity),
    };
    match &asked.transactional_id {
        Some(id) => broker.transactions.init(id, asked.transaction_timeout_ms, expected).await,
        None => broker.transactions.producer_id().await.map(|id| (id, 0)),
    }
    .map_err(Some)
}

fn refused(response: InitProducerIdResponse, code: ResponseError) -> InitProducerIdResponse {
    response.with_error_code(number(code)).with_producer_id((-1).into()).with_producer_epoch(-1)
}
