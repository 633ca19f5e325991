//! CreateTopics: makes topics, or checks that they could be made.
//!
//! Guarantees: answered once the topic is durable; each topic has its own result.
//! Left out: replicas. A factor of 1 or the default is taken, another refused as a single Kafka
//! broker does; assignments count partitions.

use super::{Api, Pending, answered};
use crate::LogStore;
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics::{is_internal, valid_topic_name};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewind_types::{Log, LogError, TopicSpec};
use uuid::Uuid;

const ASSIGNMENT: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(4)), Field::new(Kind::Each(&Kind::Fixed(4)))],
    tags: &[],
};
const CONFIG: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Text)], tags: &[] };
const TOPIC: Shape = Shape {
    fields: &[
        Field::new(Kind::Text),
        Field::new(Kind::Fixed(6)),
        Field::new(Kind::Array(&ASSIGNMENT)),
        Field::new(Kind::Array(&CONFIG)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "CreateTopics",
    key: 19,
    min: 2,
    max: 7,
    flexible_from: 5,
    request: &Shape {
        fields: &[Field::new(Kind::Array(&TOPIC)), Field::new(Kind::Fixed(5))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<CreateTopicsRequest>,
};

/// Why a topic is not made.
type Refusal = (ResponseError, String);

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: CreateTopicsRequest = request.decode()?;
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<StrBytes> = (asked.topics.iter())
        .filter(|topic| !seen.insert(&topic.name))
        .map(|topic| topic.name.0.clone())
        .collect();
    let mut results = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let made = if twice.contains(&topic.name.0) {
            Err((ResponseError::InvalidRequest, "the request names this topic twice".into()))
        } else {
            create(&broker, topic, asked.validate_only).await
        };
        results.push(result(&broker.store, topic, made, request.version));
    }
    Ok(answered(request.reply(&CreateTopicsResponse::default().with_topics(results))?))
}

/// Makes one topic; answers how many partitions it has.
async fn create(
    broker: &Broker,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<i32, Refusal> {
    let spec = spec(topic, broker.limits.auto_create_partitions.max(1))?;
    if broker.store.topic(&spec.name).is_some() {
        let error = LogError::TopicExists { topic: spec.name };
        return Err((of_log_error(&error), error.to_string()));
    }
    if is_internal(&spec.name) {
        let reason = format!("the server makes topic {:?} itself", spec.name);
        return Err((ResponseError::InvalidTopicException, reason));
    }
    let made = match validate_only {
        true => broker.store.check_topic(&spec),
        false => broker.store.create_topic(&spec).await,
    };
    match made {
        Ok(()) => Ok(spec.partitions),
        Err(error) => Err((create_error(&error, &spec), error.to_string())),
    }
}

/// The topic asked for, in the log's words.
fn spec(topic: &CreatableTopic, partitions_default: i32) -> Result<TopicSpec, Refusal> {
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => partitions_default,
        (0, asked) if asked >= 1 => asked,
        (0, asked) => {
            let reason = format!("{asked} partitions asked for, at least 1 is needed");
            return Err((ResponseError::InvalidPartitions, reason));
        }
        (assigned, _) => assigned_partitions(topic, assigned)?,
    };
    if topic.assignments.is_empty() && !matches!(topic.replication_factor, -1 | 1) {
        let reason = format!(
            "replication factor {} asked for, there is one broker",
            topic.replication_factor
        );
        return Err((ResponseError::InvalidReplicationFactor, reason));
    }
    let settings = (topic.configs.iter())
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect::<BTreeMap<_, _>>();
    Ok(TopicSpec { name: topic.name.to_string(), partitions, settings })
}

fn assigned_partitions(topic: &CreatableTopic, assigned: usize) -> Result<i32, Refusal> {
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
    indexes.sort_unstable();
    let dense = indexes.iter().enumerate().all(|(at, index)| at as i64 == i64::from(*index));
    let here = topic.assignments.iter().all(|a| a.broker_ids == [NODE_ID]);
    if dense && here {
        return Ok(assigned as i32);
    }
    let reason = format!("partitions must be numbered from 0 and assigned to broker {NODE_ID}");
    Err((ResponseError::InvalidReplicaAssignment, reason))
}

/// Which of the two things a topic can be wrong in: its name or its settings.
fn create_error(error: &LogError, spec: &TopicSpec) -> ResponseError {
    match error {
        LogError::Invalid(_) if !valid_topic_name(&spec.name) => {
            ResponseError::InvalidTopicException
        }
        LogError::Invalid(_) => ResponseError::InvalidConfig,
        other => of_log_error(other),
    }
}

fn result(
    store: &LogStore,
    topic: &CreatableTopic,
    made: Result<i32, Refusal>,
    version: i16,
) -> CreatableTopicResult {
    let result =
        CreatableTopicResult::default().with_name(topic.name.clone()).with_error_message(None);
    match made {
        Err((error, reason)) => result
            .with_error_code(number(error))
            .with_error_message(Some(StrBytes::from_string(reason)))
            .with_configs(None),
        Ok(partitions) if version >= 5 => result
            .with_topic_id(topic_id(store, topic, version))
            .with_num_partitions(partitions)
            .with_replication_factor(1),
        Ok(_) => result,
    }
}

fn topic_id(store: &LogStore, topic: &CreatableTopic, version: i16) -> Uuid {
    match store.topic(topic.name.as_str()) {
        Some(info) if version >= 7 => Uuid::from_bytes(info.id),
        _ => Uuid::nil(),
    }
}
