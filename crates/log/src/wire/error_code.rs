//! The log's errors as Kafka's numbers.
//!
//! Guarantees: an error that goes away by itself or by waiting maps to a code clients retry; one
//! that does not maps to a code they report.
//! Left out: the errors of single APIs, which stand where they are found.

use kafka_protocol::ResponseError;
use tradewind_types::LogError;
use tradewind_types::log::ProducerFault;

/// The number of `error`.
pub(crate) fn number(error: ResponseError) -> i16 {
    error.code()
}

/// What a reader or administrator is told.
pub(crate) fn of_log_error(error: &LogError) -> ResponseError {
    match error {
        LogError::NoTopic { .. } | LogError::NoPartition { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        LogError::TopicExists { .. } => ResponseError::TopicAlreadyExists,
        LogError::Invalid(_) => ResponseError::InvalidRequest,
        LogError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        LogError::Busy(_) => ResponseError::RequestTimedOut,
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
