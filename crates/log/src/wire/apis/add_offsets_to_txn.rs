//! AddOffsetsToTxn: a group's offsets become part of a transaction.
//!
//! Guarantees: the partition of `__consumer_offsets` that keeps the group is part of the
//! transaction, durably, so that the transaction's end reaches it.
//! Left out: the offsets, which TxnOffsetCommit brings to the group's coordinator.

use super::{Api, Pending};
use crate::transactions::OFFSETS_TOPIC;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::group_error::group_error;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "AddOffsetsToTxn",
    key: 25,
    min: 0,
    max: 4,
    flexible_from: 3,
    request: &Shape {
        fields: &[Field::new(Kind::Text), Field::new(Kind::Fixed(10)), Field::new(Kind::Text)],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<AddOffsetsToTxnRequest>,
};

/// The first version that tells a fenced producer from one with an old epoch.
const FENCED_FROM: i16 = 2;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: AddOffsetsToTxnRequest = request.decode()?;
    Ok(async move {
        let error = add(&broker, &asked, request.version).await.err();
        let response = AddOffsetsToTxnResponse::default().with_error_code(error.map_or(0, number));
        request.reply(&response).map(Some)
    }
    .boxed())
}

async fn add(
    broker: &Broker,
    asked: &AddOffsetsToTxnRequest,
    version: i16,
) -> Result<(), ResponseError> {
    let partition = broker.groups.offsets_partition_of(asked.group_id.as_str()).await;
    let partition = partition.map_err(group_error)?;
    let client = (asked.producer_id.0, asked.producer_epoch);
    let places = [(OFFSETS_TOPIC.to_owned(), partition)].into();
    let added =
        broker.transactions.add_partitions(&asked.transactional_id, client, places, 0).await;
    added.map_err(|error| of_transaction_error(&error, version >= FENCED_FROM))
}
