//! EndTxn: a producer commits or aborts its transaction.
//!
//! Guarantees: answered once the decision is durable, after which it holds whatever crashes; the
//! markers that make it visible follow. From version 5 on the producer's epoch rises with it.
//! Left out: waiting for the markers; until they are written, the next transaction's first request
//! is told CONCURRENT_TRANSACTIONS.

use super::{Api, Pending};
use crate::transactions::Ending;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "EndTxn",
    key: 26,
    min: 0,
    max: 5,
    flexible_from: 3,
    request: &Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Fixed(11))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<EndTxnRequest>,
};

/// The first version that tells a fenced producer from one with an old epoch.
const FENCED_FROM: i16 = 2;
/// The first version with which the epoch rises.
const BUMPS_FROM: i16 = 5;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: EndTxnRequest = request.decode()?;
    Ok(async move {
        let bumps = request.version >= BUMPS_FROM;
        let ending = Ending {
            identity: (asked.producer_id.0, asked.producer_epoch),
            commit: asked.committed,
            bumps,
        };
        let response = EndTxnResponse::default();
        let response = match broker.transactions.end(&asked.transactional_id, ending).await {
            Ok((id, epoch)) if bumps => {
                response.with_producer_id(id.into()).with_producer_epoch(epoch)
            }
            Ok(_) => response,
            Err(error) => {
                let code = of_transaction_error(&error, request.version >= FENCED_FROM);
                response.with_error_code(number(code))
            }
        };
        request.reply(&response).map(Some)
    }
    .boxed())
}
