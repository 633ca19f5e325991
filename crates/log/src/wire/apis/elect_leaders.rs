//! ElectLeaders: says that every partition has the leader it should have.
//!
//! Guarantees: each partition asked about is answered; nothing changes.
//! Left out: elections. There is one broker.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::Log;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "ElectLeaders",
    key: 43,
    min: 0,
    max: 2,
    flexible_from: 2,
    request: &Shape {
        fields: &[
            Field::from(1, Kind::Fixed(1)),
            Field::new(Kind::Array(&TOPIC)),
            Field::new(Kind::Fixed(4)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ElectLeadersRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: ElectLeadersRequest = request.decode()?;
    // Asked about all of them, Kafka names those it has elected a leader for: none.
    let topics = asked.topic_partitions.unwrap_or_default();
    let results = topics.into_iter().map(|topic| {
        let known = broker.store.topic(&topic.topic).map_or(0, |info| info.partitions);
        let results = topic.partitions.into_iter().map(|partition| {
            let (error, reason) = match (0..known).contains(&partition) {
                true => (ResponseError::ElectionNotNeeded, "its leader is the one it should be"),
                false => (ResponseError::UnknownTopicOrPartition, "there is no such partition"),
            };
            PartitionResult::default()
                .with_partition_id(partition)
                .with_error_code(number(error))
                .with_error_message(Some(StrBytes::from_static_str(reason)))
        });
        let results = results.collect();
        ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(results)
    });
    let response = ElectLeadersResponse::default().with_replica_election_results(results.collect());
    Ok(answered(request.reply(&response)?))
}
