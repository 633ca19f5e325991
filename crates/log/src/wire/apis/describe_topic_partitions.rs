//! DescribeTopicPartitions: topics and their partitions, a page at a time.
//!
//! Guarantees: topics in the order of their names, each once; at most [`PARTITIONS_MAX`]
//! partitions in an answer, and where it stopped is where the next one goes on.
//! Left out: who may do what; nothing is denied yet.

use super::operations::TOPIC_OPERATIONS;
use super::{Api, Pending};
use crate::wire::WireError;
use crate::wire::broker::{Broker, LEADER_EPOCH, NODE_ID};
use crate::wire::budget::Charge;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics::{is_internal, valid_topic_name};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::{Log, TopicInfo};
use uuid::Uuid;

const TOPIC: Shape = Shape { fields: &[Field::new(Kind::Text)], tags: &[] };
const CURSOR: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Fixed(4))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "DescribeTopicPartitions",
    key: 75,
    min: 0,
    max: 0,
    flexible_from: 0,
    request: &Shape {
        fields: &[
            Field::new(Kind::Array(&TOPIC)),
            Field::new(Kind::Fixed(4)),
            Field::new(Kind::Optional(&CURSOR)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeTopicPartitionsRequest>,
};

/// Partitions one answer names at most, whatever is asked for: what Kafka has by default.
const PARTITIONS_MAX: usize = 2_000;
/// What a partition or a topic takes while the answer is made.
const ENTRY_BYTES: usize = 512;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeTopicPartitionsRequest = request.decode()?;
    Ok(async move {
        let mut charge = Charge::default();
        let entries = PARTITIONS_MAX + asked.topics.len();
        broker.answers.charge(&mut charge, entries * ENTRY_BYTES).await;
        let response = match page(&broker, &asked) {
            Ok(response) => response,
            Err(error) => {
                // There is no place for an error of the whole request but at a topic.
                let topic = DescribeTopicPartitionsResponseTopic::default()
                    .with_error_code(number(error))
                    .with_name(None);
                DescribeTopicPartitionsResponse::default().with_topics(vec![topic])
            }
        };
        let mut reply = request.reply(&response)?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

fn page(
    broker: &Broker,
    asked: &DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, ResponseError> {
    let (from, first) = match &asked.cursor {
        None => (None, 0),
        Some(cursor) if cursor.partition_index >= 0 => {
            (Some(cursor.topic_name.to_string()), cursor.partition_index)
        }
        Some(_) => return Err(ResponseError::InvalidRequest),
    };
    let asked_for = usize::try_from(asked.response_partition_limit).unwrap_or(0);
    let mut left = asked_for.clamp(1, PARTITIONS_MAX);
    let mut names: BTreeSet<String> =
        asked.topics.iter().map(|topic| topic.name.to_string()).collect();
    if names.is_empty() {
        names = broker.store.topics().into_iter().map(|topic| topic.name).collect();
    }
    let mut topics = Vec::new();
    for name in names.range(from.clone().unwrap_or_default()..) {
        let Some(info) = broker.store.topic(name) else {
            topics.push(unknown(name));
            continue;
        };
        let first = if from.as_ref() == Some(name) { first } else { 0 };
        let wanted = usize::try_from(info.partitions.saturating_sub(first)).unwrap_or(0);
        let next = |partition| {
            Cursor::default()
                .with_topic_name(TopicName(StrBytes::from_string(name.clone())))
                .with_partition_index(partition)
        };
        if left == 0 {
            return Ok(answer(topics, Some(next(first))));
        }
        let taken = wanted.min(left) as i32;
        topics.push(described(&info, first..first + taken));
        left -= taken as usize;
        if wanted > taken as usize {
            return Ok(answer(topics, Some(next(first + taken))));
        }
    }
    Ok(answer(topics, None))
}

fn answer(
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
) -> DescribeTopicPartitionsResponse {
    DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(next)
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match valid_topic_name(name) {
        true => ResponseError::UnknownTopicOrPartition,
        false => ResponseError::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(number(error))
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
}

fn described(
    info: &TopicInfo,
    partitions: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = partitions.map(|index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
            // Null is allowed here, and more than the Java client can take.
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(info.name.clone()))))
        .with_topic_id(Uuid::from_bytes(info.id))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
        .with_is_internal(is_internal(&info.name))
        .with_partitions(partitions.collect())
}
