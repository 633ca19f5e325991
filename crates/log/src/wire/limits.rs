//! What the Kafka port allows: every bound on what strangers can make it hold.
//!
//! Guarantees: each buffer, count and wait of the port is bounded by a field here.
//! Left out: where the values come from; the binary fills them from the configuration.

use crate::group::GroupSettings;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The Kafka port's settings. [`WireLimits::default`] suits one store on one machine.
#[derive(Debug, Clone)]
pub struct WireLimits {
    /// The largest produce request, bytes. Kafka's own default is the same.
    pub produce_bytes_max: usize,
    /// The largest request of any other kind, bytes. Real ones are a few kilobytes.
    pub request_bytes_max: usize,
    /// Bytes of requests being read or worked on, over all connections.
    pub requests_in_flight_bytes_max: usize,
    /// Bytes of answers being made or sent, over all connections.
    pub answers_in_flight_bytes_max: usize,
    /// The most one fetch answers with, bytes, whatever it asks for; one batch may exceed it.
    pub fetch_bytes_max: usize,
    /// The longest a fetch waits for data, whatever it asks for.
    pub fetch_wait_max: Duration,
    /// Produce requests of one connection that may wait for their fsync at the same time.
    pub produces_in_flight_max: usize,
    /// Open connections, all peers together.
    pub connections_max: usize,
    /// Open connections from one address.
    pub connections_per_ip_max: usize,
    /// How long a connection may be silent between requests. Kafka's default.
    pub idle_timeout: Duration,
    /// How far a peer may fall behind [`SLOWEST_BYTES_PER_SECOND`] while it sends a request or
    /// reads an answer. One that does nothing is cut after this time.
    pub stall_timeout: Duration,
    /// How long a peer may do nothing at all, once it has begun to send a request or to read an
    /// answer and others wait for the memory this takes.
    pub stall_timeout_pressed: Duration,
    /// How long open connections have to finish when the server stops.
    pub drain_timeout: Duration,
    /// Partitions of a topic made because a client named it; 0 turns that off.
    pub auto_create_partitions: i32,
    /// Which topics clients may not delete.
    pub kept_topics: KeptTopics,
    /// What consumer groups may take, and their timeouts.
    pub groups: GroupSettings,
    /// What each client may use in a second.
    pub quotas: QuotaLimits,
}

/// What each client, by its client id, may use in a second; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes of its produce requests.
    pub produce_bytes_per_second: Option<u64>,
    /// Bytes of the answers to its fetches.
    pub fetch_bytes_per_second: Option<u64>,
    /// Requests of any kind.
    pub requests_per_second: Option<u64>,
}

/// Which topics clients may not delete, and why. By default they may delete every one.
#[derive(Clone)]
pub struct KeptTopics(Arc<Why>);

/// The reason a topic is kept, where it is.
type Why = dyn Fn(&str) -> Option<String> + Send + Sync;

impl KeptTopics {
    /// `why` answers with the reason a topic is kept, in the words of an error message.
    pub fn new(why: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(why))
    }

    pub(crate) fn why(&self, topic: &str) -> Option<String> {
        (self.0)(topic)
    }
}

impl Default for KeptTopics {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for KeptTopics {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("KeptTopics")
    }
}

/// A peer slower than this on a large request or answer is cut: it holds memory others need.
pub const SLOWEST_BYTES_PER_SECOND: usize = 64 * 1024;

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            produce_bytes_max: 100 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            requests_in_flight_bytes_max: 128 * 1024 * 1024,
            answers_in_flight_bytes_max: 128 * 1024 * 1024,
            fetch_bytes_max: 4 * 1024 * 1024,
            fetch_wait_max: Duration::from_secs(30),
            produces_in_flight_max: 16,
            connections_max: 20_000,
            connections_per_ip_max: 12_000,
            idle_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(30),
            stall_timeout_pressed: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            auto_create_partitions: 1,
            kept_topics: KeptTopics::default(),
            groups: GroupSettings::default(),
            quotas: QuotaLimits::default(),
        }
    }
}

impl WireLimits {
    /// When a transfer is to be given up, should nothing more move. `pressed` says that others
    /// wait for the memory it takes.
    pub(crate) fn stalled_at(&self, transfer: &Transfer, pressed: bool) -> Instant {
        let earned = transfer.bytes as u64 * 1_000 / SLOWEST_BYTES_PER_SECOND as u64;
        let behind = transfer.began + self.stall_timeout + Duration::from_millis(earned);
        match pressed {
            true => behind.min(transfer.moved + self.stall_timeout_pressed),
            false => behind,
        }
    }
}

/// A request on its way in or an answer on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    began: Instant,
    /// When anything moved last.
    moved: Instant,
    bytes: usize,
}

impl Transfer {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, moved: now, bytes: 0 }
    }

    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = Instant::now();
        self.bytes += bytes;
    }
}

/// How often a transfer under way is looked at, in case memory has become short meanwhile.
pub(crate) const TRANSFER_TICK: Duration = Duration::from_millis(250);
