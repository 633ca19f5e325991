//! Metadata: the broker, the topics and who leads their partitions.
//!
//! Guarantees: a topic named by a client is made when the port's settings and the request allow
//! it, durably, before it is answered. The answer's size is charged before it is built.
//! Left out: who may do what; nothing is denied yet.

use super::operations::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use super::{Api, Pending};
use crate::wire::WireError;
use crate::wire::broker::{Broker, CLUSTER_ID, LEADER_EPOCH, NODE_ID};
use crate::wire::budget::Charge;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics::{is_internal, valid_topic_name};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::{Log, LogError, TopicInfo, TopicSpec};
use uuid::Uuid;

const TOPIC: Shape =
    Shape { fields: &[Field::from(10, Kind::Fixed(16)), Field::new(Kind::Text)], tags: &[] };

pub(crate) const API: Api = Api {
    name: "Metadata",
    key: 3,
    min: 0,
    max: 13,
    flexible_from: 9,
    request: &Shape {
        fields: &[
            Field::new(Kind::Array(&TOPIC)),
            Field::from(4, Kind::Fixed(1)),
            Field::between(8, 10, Kind::Fixed(1)),
            Field::from(8, Kind::Fixed(1)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<MetadataRequest>,
};

/// What a partition takes in an answer: the structure while it is built and its bytes.
const PARTITION_BYTES: usize = 256;
/// What a topic takes besides, its name included.
const TOPIC_BYTES: usize = 512;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let mut asked: MetadataRequest = request.decode()?;
    asked.topics = asked.topics.map(once);
    let may_create = asked.allow_auto_topic_creation && broker.limits.auto_create_partitions > 0;
    if let Some(topics) = asked.topics.as_ref().filter(|_| may_create) {
        create_missing(&broker, topics).await;
    }
    // The rest needs no order and may wait for room: it must not hold up an answer before it.
    Ok(async move {
        let mut charge = Charge::default();
        broker.answers.charge(&mut charge, estimate(&broker, &asked)).await;
        let mut reply = request.reply(&response(&broker, &asked, request.version))?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

/// Makes the topics that are named and do not exist. What cannot be made is answered as unknown
/// or as misnamed.
async fn create_missing(broker: &Broker, topics: &[MetadataRequestTopic]) {
    for name in topics.iter().filter_map(|topic| topic.name.as_ref()) {
        let may_be = valid_topic_name(name.as_str()) && !is_internal(name.as_str());
        if broker.store.topic(name.as_str()).is_some() || !may_be {
            continue;
        }
        let spec = TopicSpec::new(name.to_string(), broker.limits.auto_create_partitions);
        match broker.store.create_topic(&spec).await {
            Ok(()) => tracing::info!(topic = %spec.name, "topic made because a client named it"),
            Err(LogError::TopicExists { .. }) => {}
            Err(error) => {
                tracing::warn!(topic = %spec.name, code = ?of_log_error(&error), %error,
                    "a topic a client named could not be made");
            }
        }
    }
}

/// Whether the request asks for every topic: null, or nothing at all in the first version.
fn wants_all(asked: &MetadataRequest, version: i16) -> bool {
    asked.topics.as_ref().is_none_or(|topics| version == 0 && topics.is_empty())
}

/// Each topic once, however often a request repeats it: the answer stays as small as the log.
fn once(mut topics: Vec<MetadataRequestTopic>) -> Vec<MetadataRequestTopic> {
    let mut seen = BTreeSet::new();
    topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    topics
}

fn estimate(broker: &Broker, asked: &MetadataRequest) -> usize {
    let of = |topic: &TopicInfo| TOPIC_BYTES + topic.partitions as usize * PARTITION_BYTES;
    match &asked.topics {
        Some(topics) if !topics.is_empty() => (topics.iter())
            .map(|topic| find(broker, topic).map_or(TOPIC_BYTES, |info| of(&info)))
            .sum(),
        _ => broker.store.topics().iter().map(of).sum(),
    }
}

fn response(broker: &Broker, asked: &MetadataRequest, version: i16) -> MetadataResponse {
    let mut topics: Vec<MetadataResponseTopic> = match &asked.topics {
        Some(topics) if !wants_all(asked, version) => {
            topics.iter().map(|topic| named(broker, topic, version)).collect()
        }
        _ => broker.store.topics().iter().map(|topic| described(topic, version)).collect(),
    };
    if asked.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let mut response = MetadataResponse::default();
    if asked.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
        .with_brokers(vec![
            MetadataResponseBroker::default()
                .with_node_id(NODE_ID.into())
                .with_host(broker.host.clone())
                .with_port(broker.port),
        ])
        .with_cluster_id(Some(StrBytes::from_static_str(CLUSTER_ID)))
        .with_controller_id(NODE_ID.into())
        .with_topics(topics)
}

fn find(broker: &Broker, topic: &MetadataRequestTopic) -> Option<TopicInfo> {
    match &topic.name {
        Some(name) => broker.store.topic(name.as_str()),
        None => broker.store.topic_by_id(topic.topic_id.into_bytes()),
    }
}

fn named(broker: &Broker, topic: &MetadataRequestTopic, version: i16) -> MetadataResponseTopic {
    if let Some(info) = find(broker, topic) {
        return described(&info, version);
    }
    let error = match &topic.name {
        None => ResponseError::UnknownTopicId,
        Some(name) if valid_topic_name(name.as_str()) => ResponseError::UnknownTopicOrPartition,
        Some(_) => ResponseError::InvalidTopicException,
    };
    // Before version 12 a name cannot be null.
    let name = topic.name.clone().or((version < 12).then(TopicName::default));
    MetadataResponseTopic::default()
        .with_error_code(number(error))
        .with_name(name)
        .with_topic_id(if version >= 10 { topic.topic_id } else { Uuid::nil() })
}

fn described(topic: &TopicInfo, version: i16) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions).map(|index| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID.into())
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()]);
        if version >= 7 { partition.with_leader_epoch(LEADER_EPOCH) } else { partition }
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(if version >= 10 { Uuid::from_bytes(topic.id) } else { Uuid::nil() })
        .with_is_internal(is_internal(&topic.name))
        .with_partitions(partitions.collect())
}
