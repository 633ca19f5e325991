//! Why one event of a request is not taken. Its bytes go to `dead_letters` with this reason.
//!
//! Guarantees: [`Reject::code`] is one of a few words, fit for a metric's label; the message names
//! the field at fault.

use crate::settings::{BATCH_EVENTS_MAX, EVENT_BYTES_MAX, REQUEST_RECORD_BYTES_MAX};
use tradewind_types::event::MESSAGE_ID_CHARS_MAX;

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// A number, a text, an array.
    #[error("an event is an object")]
    NotAnObject,
    /// Larger than an event may be.
    #[error("the event has {bytes} bytes, at most {EVENT_BYTES_MAX} are taken")]
    TooLarge {
        /// Its size as sent.
        bytes: usize,
    },
    /// Larger than an event may be once it has its batch's context.
    #[error(
        "the event has {bytes} bytes with its batch's context and integrations, \
         at most {EVENT_BYTES_MAX} are taken"
    )]
    TooLargeMerged {
        /// Its size with them.
        bytes: usize,
    },
    /// The batch's context, repeated in every event, makes the request too large.
    #[error(
        "the batch has more than {REQUEST_RECORD_BYTES_MAX} bytes once its context is part of \
         every event"
    )]
    RequestTooLarge,
    /// Past the number of events a batch may have.
    #[error("a batch holds at most {BATCH_EVENTS_MAX} events")]
    TooMany,
    /// In a batch, each event says what it is.
    #[error("\"type\" is missing")]
    NoType,
    /// Not a call there is.
    #[error("\"type\" is none of track, page, identify, group, screen, alias")]
    UnknownType,
    /// Nobody did it.
    #[error("\"userId\" or \"anonymousId\" is required")]
    NoIdentity,
    /// A track call without the name of what happened.
    #[error("a track call requires \"event\"")]
    NoEventName,
    /// A field holds another type of JSON value.
    #[error("{field:?} must be {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// An id longer than is taken.
    #[error("\"messageId\" has more than {MESSAGE_ID_CHARS_MAX} characters")]
    MessageIdTooLong,
    /// Not a time.
    #[error("{field:?} is not an ISO 8601 date and time")]
    Timestamp {
        /// The field.
        field: &'static str,
    },
}

impl Reject {
    /// The reason as a metric's label.
    pub fn code(&self) -> &'static str {
        match self {
            Reject::NotAnObject => "not_an_object",
            Reject::TooLarge { .. } | Reject::TooLargeMerged { .. } => "event_too_large",
            Reject::RequestTooLarge => "request_too_large",
            Reject::TooMany => "too_many_events",
            Reject::NoType | Reject::UnknownType => "type",
            Reject::NoIdentity => "no_identity",
            Reject::NoEventName => "no_event_name",
            Reject::WrongType { .. } => "wrong_type",
            Reject::MessageIdTooLong => "message_id_too_long",
            Reject::Timestamp { .. } => "timestamp",
        }
    }
}
