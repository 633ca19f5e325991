//! DescribeProducers: which producers a partition knows, and whose transaction is open there.
//!
//! Guarantees: each partition has its own result. Left out: producers without an id.

use super::{Api, Pending, answered};
use crate::partition::ProducerFacts;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "DescribeProducers",
    key: 61,
    min: 0,
    max: 0,
    flexible_from: 0,
    request: &Shape { fields: &[Field::new(Kind::Array(&TOPIC))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeProducersRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeProducersRequest = request.decode()?;
    let topics = asked.topics.into_iter().map(|topic| {
        let partition = |index: &i32| described(&broker, &topic.name, *index);
        let partitions = topic.partition_indexes.iter().map(partition).collect();
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let response = DescribeProducersResponse::default().with_topics(topics.collect());
    Ok(answered(request.reply(&response)?))
}

fn described(broker: &Broker, topic: &str, partition: i32) -> PartitionResponse {
    let response =
        PartitionResponse::default().with_partition_index(partition).with_error_message(None);
    match broker.store.producers(topic, partition) {
        Ok(producers) => {
            response.with_active_producers(producers.into_iter().map(producer).collect())
        }
        Err(error) => response
            .with_error_code(number(of_log_error(&error)))
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}

fn producer(facts: ProducerFacts) -> ProducerState {
    ProducerState::default()
        .with_producer_id(facts.producer_id.into())
        .with_producer_epoch(facts.epoch.into())
        .with_last_sequence(facts.last_sequence)
        .with_last_timestamp(facts.last_timestamp_ms)
        .with_coordinator_epoch(0)
        .with_current_txn_start_offset(facts.open_from.unwrap_or(-1))
}
