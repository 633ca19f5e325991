//! AlterPartitionReassignments: every partition stays where it is.
//!
//! Guarantees: each partition asked about is answered; moving one to where it already is works and
//! changes nothing, everything else is refused. Left out: moving. There is one broker.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::Log;

const PARTITION: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(4)), Field::new(Kind::Each(&Kind::Fixed(4)))],
    tags: &[],
};
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "AlterPartitionReassignments",
    key: 45,
    min: 0,
    max: 1,
    flexible_from: 0,
    request: &Shape {
        fields: &[
            Field::new(Kind::Fixed(4)),
            Field::from(1, Kind::Fixed(1)),
            Field::new(Kind::Array(&TOPIC)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<AlterPartitionReassignmentsRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: AlterPartitionReassignmentsRequest = request.decode()?;
    let responses = asked.topics.into_iter().map(|topic| {
        let known = broker.store.topic(&topic.name).map_or(0, |info| info.partitions);
        let partitions = topic.partitions.into_iter().map(|partition| {
            let response = ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index);
            match check(&partition, known) {
                Ok(()) => response.with_error_message(None),
                Err((error, reason)) => response
                    .with_error_code(number(error))
                    .with_error_message(Some(StrBytes::from_static_str(reason))),
            }
        });
        let partitions = partitions.collect();
        ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(asked.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(responses.collect());
    Ok(answered(request.reply(&response)?))
}

/// Whether the partition is, or is to be, on this broker alone. No replicas: to end a move.
fn check(
    partition: &ReassignablePartition,
    known: i32,
) -> Result<(), (ResponseError, &'static str)> {
    if !(0..known).contains(&partition.partition_index) {
        return Err((ResponseError::UnknownTopicOrPartition, "there is no such partition"));
    }
    match partition.replicas.as_deref() {
        None => Err((ResponseError::NoReassignmentInProgress, "it is not being moved")),
        Some([replica]) if *replica == NODE_ID => Ok(()),
        Some(_) => Err((ResponseError::InvalidReplicaAssignment, "there is one broker, broker 1")),
    }
}
