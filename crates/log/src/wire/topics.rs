//! Topics as requests name them: by name, or by id in the newer versions.
//!
//! Guarantees: one rule for both forms, and one error for each way of being unknown.

use super::broker::LEADER_EPOCH;
use crate::LogStore;
use crate::group::OFFSETS_TOPIC;
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

/// The topics the broker keeps its own state in: clients read them and no more.
pub(crate) fn is_internal(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | STATE_TOPIC)
}

/// Whether a client knows the leader there is; -1 is one that does not say.
pub(crate) fn check_leader_epoch(known: i32) -> Result<(), ResponseError> {
    match known {
        -1 | LEADER_EPOCH => Ok(()),
        newer if newer > LEADER_EPOCH => Err(ResponseError::UnknownLeaderEpoch),
        _ => Err(ResponseError::FencedLeaderEpoch),
    }
}

/// Kafka's rule for the names of topics.
pub(crate) fn valid_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}
