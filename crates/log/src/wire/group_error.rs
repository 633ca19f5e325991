//! A group's refusals as Kafka's numbers, and what its requests have in common.
//!
//! Guarantees: one number for each refusal, the one a Kafka broker gives.
//! Left out: the numbers that depend on the version of a request, which stand where it is served.

use super::request::Request;
use crate::group::GroupError;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The number of `error`.
pub(crate) fn group_error(error: GroupError) -> ResponseError {
    match error {
        GroupError::UnknownMember => ResponseError::UnknownMemberId,
        GroupError::FencedInstance => ResponseError::FencedInstanceId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::MemberIdRequired => ResponseError::MemberIdRequired,
        GroupError::Full => ResponseError::GroupMaxSizeReached,
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::NotFound => ResponseError::GroupIdNotFound,
        GroupError::NotEmpty => ResponseError::NonEmptyGroup,
        GroupError::Subscribed => ResponseError::GroupSubscribedToTopic,
        GroupError::MetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
        GroupError::CommitTooLarge => ResponseError::InvalidCommitOffsetSize,
        GroupError::UnknownPartition => ResponseError::UnknownTopicOrPartition,
        GroupError::Unstable => ResponseError::UnstableOffsetCommit,
        GroupError::FencedProducer => ResponseError::InvalidProducerEpoch,
        GroupError::NoTransaction => ResponseError::InvalidTxnState,
        GroupError::Loading => ResponseError::CoordinatorLoadInProgress,
        GroupError::NotAvailable => ResponseError::CoordinatorNotAvailable,
        GroupError::Failed => ResponseError::NotCoordinator,
    }
}

/// The number of a result, 0 when it went well.
pub(crate) fn code<T>(result: &Result<T, GroupError>) -> i16 {
    result.as_ref().err().map_or(0, |error| group_error(*error).code())
}

/// A text of our own: a part of a request would keep all of it in memory.
pub(crate) fn own(text: &StrBytes) -> Arc<str> {
    text.as_str().into()
}

/// A text as an answer has it.
pub(crate) fn sent(text: &Arc<str>) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// What the client calls itself, and where it is, in Kafka's form.
pub(crate) fn client_of(request: &Request) -> (Arc<str>, Arc<str>) {
    let id = String::from_utf8_lossy(&request.client);
    (id.as_ref().into(), format!("/{}", request.peer).into())
}
