//! Outside facts become events: the tracking API, the replay of files, the demo shop.
//!
//! Guarantees: what was answered with success is durable, once; what could not be read is durable
//! too, as a dead letter; everything in between is bounded and says so when it is full.
//! Left out: the log itself (met as [`tradewind_types::Log`]) and every query engine.

mod appender;
mod arrival;
mod budget;
pub mod client;
mod collector;
mod convert;
mod dead_letters;
mod dedup;
pub mod demo;
mod error;
pub mod http;
mod identity;
mod json;
mod queue;
mod record;
mod refusal;
mod reject;
pub mod replay;
mod request;
mod retry;
mod settings;
mod start;
mod time;

pub use arrival::{Answer, Arrival, Credentials, Rejection};
pub use collector::{CollectParts, Collector};
pub use convert::convert;
pub use error::CollectError;
pub use identity::{FINGERPRINT_HEADER, ID_HEADER};
pub use json::Fault;
pub use refusal::Refusal;
pub use reject::Reject;
pub use request::{Call, Endpoint, Excess, Field, Kind, Request, parse};
pub use retry::{Retried, Retries, RetryError, RetryRequest};
pub use settings::{
    BATCH_BYTES_MAX, BATCH_EVENTS_MAX, CLOCK_AHEAD_US_MAX, CollectSettings, EVENT_BYTES_MAX,
    RAW_BYTES_MAX, REQUEST_RECORD_BYTES_MAX, WriteKey,
};
