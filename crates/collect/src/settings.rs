//! What a collector is started with, and the limits that are not for users to change.
//!
//! Guarantees: every queue and buffer of this crate is bounded by something on this page.
//! Left out: reading a configuration file, which resolves to these structs.

use std::collections::HashMap;

/// Largest event, in bytes of JSON; Segment's limit.
pub const EVENT_BYTES_MAX: usize = 32 * 1024;
/// Largest request body, in bytes after inflation; Segment's limit for a batch.
pub const BATCH_BYTES_MAX: usize = 500 * 1024;
/// Most events in a batch; Segment's limit.
pub const BATCH_EVENTS_MAX: usize = 2_500;
/// Most bytes of unreadable input kept in one dead letter: twice the largest event, so that only
/// input that is no event at all is cut.
pub const RAW_BYTES_MAX: usize = 64 * 1024;
/// Most bytes one request may become once its batch's context is merged into every event: 16
/// times the largest body, against a batch that repeats a large context 2,500 times.
pub const REQUEST_RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A client's clock further ahead than this is not believed.
pub const CLOCK_AHEAD_US_MAX: i64 = 24 * 3_600 * 1_000_000;
/// Records of one append, in bytes: enough that fsyncs do not limit throughput, and below what a
/// log takes as one batch.
pub(crate) const APPEND_BYTES_MAX: usize = 768 * 1024;
/// What one record costs besides its value, in bytes: for bounds, not exact.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 256;
/// Seconds a client is asked to wait when requests come faster than they are made durable.
pub(crate) const RETRY_AFTER_BUSY_S: u32 = 1;
/// Seconds a client is asked to wait when an operator has to act (disk full, partition offline).
pub(crate) const RETRY_AFTER_UNAVAILABLE_S: u32 = 30;

/// A collector's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectSettings {
    /// Partitions the topic `events` is made with; one that is there keeps its own number.
    pub event_partitions: i32,
    /// Who may send, by write key. Empty: everybody may, into the store `default` under the
    /// source `http`.
    pub write_keys: HashMap<String, WriteKey>,
    /// Bytes of requests that are not answered yet, bodies and records together; past it 429.
    pub in_flight_bytes_max: usize,
    /// Bytes waiting for one partition's appender; past it 429.
    pub queue_bytes_max: usize,
    /// How long a request's body may take to arrive, in milliseconds; past it 408.
    pub body_timeout_ms: u64,
    /// For how long an event's id is remembered, in milliseconds. Ids live up to an hour longer.
    pub dedup_window_ms: i64,
    /// Most ids remembered, over all partitions; past it the oldest are forgotten and counted.
    /// An older id costs 2 bytes of memory and 24 of disk.
    pub dedup_ids_max: u64,
    /// Take the client's address from the first entry of `X-Forwarded-For`: only behind a proxy
    /// that sets it.
    pub trust_forwarded_for: bool,
}

impl Default for CollectSettings {
    fn default() -> Self {
        Self {
            event_partitions: 4,
            write_keys: HashMap::new(),
            in_flight_bytes_max: 64 * 1024 * 1024,
            queue_bytes_max: 16 * 1024 * 1024,
            body_timeout_ms: 30_000,
            dedup_window_ms: 24 * 3_600 * 1_000,
            dedup_ids_max: 16_000_000,
            trust_forwarded_for: false,
        }
    }
}

/// What a write key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteKey {
    /// The store its events belong to.
    pub store_id: String,
    /// The source its events carry: part of an event's identity.
    pub source: String,
    /// The token a client must send as `Authorization: Bearer` beside this key, if any.
    pub bearer_token: Option<String>,
}
