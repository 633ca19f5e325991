//! An accepted event: what a tracking call becomes, and what the topic `events` holds as JSON.
//!
//! Guarantees: identity is `(store_id, source, message_id)`; `event_time` is the client's clock,
//! `received_at` ours; `properties`, `context`, `traits` and `consent` are the client's JSON text,
//! byte for byte, so that no number passes through a float.
//! Left out: validation and the wire, which belong to the collectors.

use crate::TimestampMicros;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The topic accepted events are appended to.
pub const EVENTS_TOPIC: &str = "events";
/// The topic unreadable input is appended to.
pub const DEAD_LETTERS_TOPIC: &str = "dead_letters";
/// The topic of what became of dead letters that were tried again.
pub const DEAD_LETTER_RETRIES_TOPIC: &str = "dead_letter_retries";
/// Longest `message_id`, in characters.
pub const MESSAGE_ID_CHARS_MAX: usize = 100;

/// One accepted event. Field order is the order of the JSON in the topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event<'a> {
    /// The client's id for this event, unique within `(store_id, source)`; ours when it sent none.
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    /// Which store the event belongs to.
    #[serde(borrow)]
    pub store_id: Cow<'a, str>,
    /// Which collector and write key it came through.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// `track`, `page`, `screen`, `identify`, `group` or `alias`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// What happened: a track call's event (canonical e-commerce v2 name where it is one), a page
    /// or screen's name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// When it happened by the client's clock; ISO 8601 with `Z` in JSON.
    #[serde(with = "crate::event::iso8601")]
    pub event_time: TimestampMicros,
    /// When we took it; ISO 8601 with `Z` in JSON.
    #[serde(with = "crate::event::iso8601")]
    pub received_at: TimestampMicros,
    /// The client's clock was more than 24 h ahead, and `event_time` was set to `received_at`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_clamped: bool,
    /// `anonymous_id`, or `user_id` where there is none: the key events are partitioned by.
    #[serde(borrow)]
    pub visitor_id: Cow<'a, str>,
    /// The known customer, if any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Cow<'a, str>>,
    /// The device's id, if any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<Cow<'a, str>>,
    /// The company or team of a group call.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<Cow<'a, str>>,
    /// The id an alias call replaces by `user_id`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<Cow<'a, str>>,
    /// The name the client sent, where `event` is the canonical name of an older alias.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub original_event: Option<Cow<'a, str>>,
    /// What the event says, as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<&'a RawValue>,
    /// Traits of an identify or group call, as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traits: Option<&'a RawValue>,
    /// Where it happened (page, device, campaign), as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub context: Option<&'a RawValue>,
    /// What the shopper had agreed to (`context.consent`), as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<&'a RawValue>,
    /// Which destinations the client allows, as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub integrations: Option<&'a RawValue>,
    /// Members of the call that have no field of their own, as one JSON object.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
}

/// ISO 8601 in UTC with microseconds, for serde: `2026-11-21T08:26:00.000000Z`.
pub mod iso8601 {
    use crate::TimestampMicros;
    use chrono::{DateTime, SecondsFormat};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Formats microseconds since the Unix epoch.
    pub fn format(at: TimestampMicros) -> String {
        match DateTime::from_timestamp_micros(at) {
            Some(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
            None => format!("{at}us"),
        }
    }

    /// Parses RFC 3339 text with any offset into microseconds since the Unix epoch; finer digits
    /// are cut.
    pub fn parse(text: &str) -> Result<TimestampMicros, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros())
    }

    /// For `#[serde(with)]`.
    pub fn serialize<S: Serializer>(at: &TimestampMicros, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format(*at))
    }

    /// For `#[serde(with)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimestampMicros, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        parse(&text).map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
    }
}
