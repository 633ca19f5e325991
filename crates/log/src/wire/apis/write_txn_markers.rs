//! WriteTxnMarkers: an administrator ends a transaction in single partitions, whose coordinator
//! does not know of it.
//!
//! Guarantees: answered once each marker is durable. Left out: telling the transaction's
//! coordinator; its own markers come after and change nothing.

use super::{Api, Pending};
use crate::batch::Marker;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use std::sync::Arc;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };
const MARKER: Shape = Shape {
    fields: &[
        Field::new(Kind::Fixed(11)),
        Field::new(Kind::Array(&TOPIC)),
        Field::new(Kind::Fixed(4)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "WriteTxnMarkers",
    key: 27,
    min: 1,
    max: 1,
    flexible_from: 1,
    request: &Shape { fields: &[Field::new(Kind::Array(&MARKER))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<WriteTxnMarkersRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: WriteTxnMarkersRequest = request.decode()?;
    Ok(async move {
        let mut results = Vec::with_capacity(asked.markers.len());
        for marker in &asked.markers {
            results.push(write(&broker, marker).await);
        }
        request.reply(&WriteTxnMarkersResponse::default().with_markers(results)).map(Some)
    }
    .boxed())
}

async fn write(broker: &Broker, asked: &WritableTxnMarker) -> WritableTxnMarkerResult {
    let marker = Marker {
        producer_id: asked.producer_id.0,
        producer_epoch: asked.producer_epoch,
        committed: asked.transaction_result,
    };
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for partition in &topic.partition_indexes {
            let written = broker.store.append_marker(&topic.name, *partition, marker).await;
            let code = written.err().map_or(0, |error| number(of_log_error(&error)));
            partitions.push(
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(*partition)
                    .with_error_code(code),
            );
        }
        topics.push(
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    WritableTxnMarkerResult::default().with_producer_id(asked.producer_id).with_topics(topics)
}
