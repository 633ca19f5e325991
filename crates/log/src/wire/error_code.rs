//! The log's errors as Kafka's numbers.
//!
//! Guarantees: an error that goes away by itself or by waiting maps to a code clients retry; one
//! that does not maps to a code they report.
//! Left out: the errors of single APIs, which stand where they are found.

use crate::transactions::TransactionError;
use kafka_protocol::ResponseError;
use tradewind_types::LogError;
use tradewind_types::log::ProducerFault;

/// The number of `error`.
pub(crate) fn number(error: ResponseError) -> i16 {
    error.code()
}

/// What a transactional producer is told. `version_with_fenced` says that his request is of a
/// version that knows of being fenced.
pub(crate) fn of_transaction_error(
    error: &TransactionError,
    version_with_fenced: bool,
) -> ResponseError {
    match error {
        TransactionError::NoId => ResponseError::InvalidRequest,
        TransactionError::Timeout { .. } => ResponseError::InvalidTransactionTimeout,
        TransactionError::UnknownProducer => ResponseError::InvalidProducerIdMapping,
        TransactionError::Fenced if version_with_fenced => ResponseError::ProducerFenced,
        TransactionError::Fenced => ResponseError::InvalidProducerEpoch,
        TransactionError::Concurrent => ResponseError::ConcurrentTransactions,
        TransactionError::Reserved => ResponseError::TransactionalIdAuthorizationFailed,
        TransactionError::WrongState => ResponseError::InvalidTxnState,
        TransactionError::TooMany { .. } => ResponseError::PolicyViolation,
        TransactionError::Unavailable(_) => ResponseError::CoordinatorNotAvailable,
    }
}

/// What a reader or administrator is told.
pub(crate) fn of_log_error(error: &LogError) -> ResponseError {
    match error {
        LogError::NoTopic { .. } | LogError::NoPartition { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        LogError::TopicExists { .. } => ResponseError::TopicAlreadyExists,
        LogError::Invalid(_) => ResponseError::InvalidRequest,
        LogError::InvalidRecord(_) => ResponseError::InvalidRecord,
        LogError::InvalidTimestamp(_) => ResponseError::InvalidTimestamp,
        LogError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        LogError::Busy(_) => ResponseError::RequestTimedOut,
        LogError::Transaction { .. } => ResponseError::InvalidTxnState,
        LogError::Producer { fault, .. } => match fault {
            ProducerFault::OutOfOrder { .. } => ResponseError::OutOfOrderSequenceNumber,
            ProducerFault::StaleEpoch { .. } => ResponseError::InvalidProducerEpoch,
            ProducerFault::NoTransaction { .. } => ResponseError::InvalidTxnState,
        },
        LogError::Corrupt { .. }
        | LogError::DiskReserve { .. }
        | LogError::Offline { .. }
        | LogError::Io { .. } => ResponseError::KafkaStorageError,
    }
}
