//! DescribeProducers: which producers a partition knows, and whose transaction is open there.
//!
//! Guarantees: each partition has its own result; the answer is charged before it is made, and past
//! [`PRODUCERS_TOLD_MAX`] producers partitions are refused. Left out: producers without an id.

use super::{Api, Pending};
use crate::partition::ProducerFacts;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
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

/// Producers one answer names at most: those of several full partitions, or of many usual ones.
const PRODUCERS_TOLD_MAX: usize = 50_000;
/// What a producer takes in an answer: the structure while it is built and its bytes.
const PRODUCER_BYTES: usize = 160;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeProducersRequest = request.decode()?;
    Ok(async move {
        let mut charge = Charge::default();
        let mut left = PRODUCERS_TOLD_MAX;
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                let found = known(&broker, &topic.name, index, &mut left);
                let count = found.as_ref().map_or(0, Vec::len);
                broker.answers.charge(&mut charge, count * PRODUCER_BYTES).await;
                partitions.push(described(index, found));
            }
            topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
        }
        let mut reply = request.reply(&DescribeProducersResponse::default().with_topics(topics))?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

/// The producers of a partition, if the answer has room for them.
fn known(
    broker: &Broker,
    topic: &str,
    partition: i32,
    left: &mut usize,
) -> Result<Vec<ProducerFacts>, (ResponseError, String)> {
    let producers = broker.store.producers(topic, partition);
    let producers = producers.map_err(|error| (of_log_error(&error), error.to_string()))?;
    *left = left.checked_sub(producers.len()).ok_or_else(|| {
        let reason = format!("an answer names {PRODUCERS_TOLD_MAX} producers: ask for less");
        (ResponseError::PolicyViolation, reason)
    })?;
    Ok(producers)
}

fn described(
    partition: i32,
    found: Result<Vec<ProducerFacts>, (ResponseError, String)>,
) -> PartitionResponse {
    let response =
        PartitionResponse::default().with_partition_index(partition).with_error_message(None);
    match found {
        Ok(producers) => {
            response.with_active_producers(producers.into_iter().map(producer).collect())
        }
        Err((code, reason)) => response
            .with_error_code(number(code))
            .with_error_message(Some(StrBytes::from_string(reason))),
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
