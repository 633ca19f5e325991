//! A request on its way into the collector, and what it is told.
//!
//! Left out: requests that are refused as a whole (see `refusal`).

use crate::reject::Reject;
use crate::request::Endpoint;

/// Who a request says it is from, apart from its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The write key of `Authorization: Basic`.
    pub write_key: Option<String>,
    /// The token of `Authorization: Bearer`.
    pub bearer_token: Option<String>,
}

/// A request, its body inflated.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which path it was sent to.
    pub endpoint: Endpoint,
    /// Its body.
    pub body: Vec<u8>,
    /// What its headers say of the sender.
    pub credentials: Credentials,
    /// The sender's address, as text.
    pub ip: Option<String>,
    /// The sender's `User-Agent`.
    pub user_agent: Option<String>,
}

/// What became of a request's events. All of it is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// New events.
    pub accepted: usize,
    /// Events that were accepted before.
    pub duplicates: usize,
    /// Of these, events whose content differs from what was accepted.
    pub conflicts: usize,
    /// Events that are not taken, by index; they are in `dead_letters`.
    pub rejected: Vec<Rejection>,
}

/// Events of a request that are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The first one's position in the batch.
    pub index: usize,
    /// How many in a row.
    pub count: usize,
    /// Why.
    pub reason: Reject,
}
