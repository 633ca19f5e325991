//! Topics as requests name them: by name, or by id in the newer versions.
//!
//! Guarantees: one rule for both forms, and one error for each way of being unknown.

use crate::LogStore;
use crate::transactions::STATE_TOPIC;
use kafka_protocol::ResponseError;
use tradewind_types::{Log, TopicInfo};
use uuid::Uuid;

/// The topic a request means: by `id` when its version carries ids, else by `name`.
pub(crate) fn resolve(
    store: &LogStore,
    by_id: bool,
    name: &str,
    id: Uuid,
) -> Result<TopicInfo, ResponseError> {
    if by_id {
        store.topic_by_id(id.into_bytes()).ok_or(ResponseError::UnknownTopicId)
    } else {
        store.topic(name).ok_or(ResponseError::UnknownTopicOrPartition)
    }
}

/// Whether only this server writes to the topic, makes and removes it.
pub(crate) fn is_internal(name: &str) -> bool {
    name == STATE_TOPIC
}

/// Kafka's rule for the names of topics.
pub(crate) fn valid_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}
