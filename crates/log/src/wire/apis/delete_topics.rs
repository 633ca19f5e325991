//! DeleteTopics: removes topics by name or, from version 6, by id.
//!
//! Guarantees: answered once the removal is durable; each topic has its own result; a topic that
//! the port is told to keep stays.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics::is_internal;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::Log;
use uuid::Uuid;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Fixed(16))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "DeleteTopics",
    key: 20,
    min: 1,
    max: 6,
    flexible_from: 4,
    request: &Shape {
        fields: &[
            Field::from(6, Kind::Array(&TOPIC)),
            Field::between(0, 5, Kind::Each(&Kind::Text)),
            Field::new(Kind::Fixed(4)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DeleteTopicsRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DeleteTopicsRequest = request.decode()?;
    let by_name = asked.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_either = asked.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let mut results = Vec::new();
    for (name, id) in by_name.chain(by_either) {
        let mut result = delete(&broker, request.version, name, id).await;
        if request.version < 5 {
            result.error_message = None;
        }
        results.push(result);
    }
    Ok(answered(request.reply(&DeleteTopicsResponse::default().with_responses(results))?))
}

async fn delete(
    broker: &Broker,
    version: i16,
    name: Option<TopicName>,
    id: Uuid,
) -> DeletableTopicResult {
    let store = &broker.store;
    let known = match &name {
        Some(name) => store.topic(name.as_str()),
        None => store.topic_by_id(id.into_bytes()),
    };
    let Some(topic) = known else {
        let error = match name {
            Some(_) => ResponseError::UnknownTopicOrPartition,
            None => ResponseError::UnknownTopicId,
        };
        return DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(id)
            .with_error_code(number(error));
    };
    let result = DeletableTopicResult::default()
        .with_topic_id(Uuid::from_bytes(topic.id))
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))));
    let internal = is_internal(&topic.name).then(|| "it keeps what transactions are about".into());
    if let Some(reason) = internal.or_else(|| broker.limits.kept_topics.why(&topic.name)) {
        return result
            .with_error_code(number(kept(version)))
            .with_error_message(Some(StrBytes::from_string(reason)));
    }
    match store.delete_topic(&topic.name).await {
        Ok(()) => result,
        Err(error) => result
            .with_error_code(number(of_log_error(&error)))
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}

/// What clients print best for a topic that stays. Most of them show the name of the code and
/// drop the message: "topic deletion is disabled" says it, and is there from version 3 on.
fn kept(version: i16) -> ResponseError {
    match version {
        3.. => ResponseError::TopicDeletionDisabled,
        _ => ResponseError::PolicyViolation,
    }
}
