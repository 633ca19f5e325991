//! What connections of the Postgres port may cost.

use std::time::Duration;

/// What connections may cost.
#[derive(Debug, Clone)]
pub struct PostgresLimits {
    /// Connections at once; more are told so and closed.
    pub connections_max: usize,
    /// The longest message of a client.
    pub message_bytes_max: usize,
    /// Messages of all connections together that are longer than [`SMALL_BYTES`] and are being
    /// received or worked on; further ones wait unread.
    pub inflight_bytes_max: usize,
    /// Prepared statements of one connection.
    pub statements_max: usize,
    /// Portals and cursors of one connection.
    pub portals_max: usize,
    /// How long a message may be on its way beside what it takes at 64 KiB a second, and how long
    /// an answer may wait to be taken.
    pub stall_timeout: Duration,
    /// How long a connection may be silent.
    pub idle_timeout: Option<Duration>,
    /// How long statements under way may take once a stop was asked for.
    pub drain_timeout: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            message_bytes_max: 64 << 20,
            inflight_bytes_max: 128 << 20,
            statements_max: 1_000,
            portals_max: 64,
            stall_timeout: Duration::from_secs(30),
            idle_timeout: None,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// A client that has connected says who it is within this time.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest first message, as in PostgreSQL.
pub(crate) const STARTUP_BYTES_MAX: usize = 10_000;
/// Messages up to this size are free: every connection may hold one.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// The slowest that a long message may come.
pub(crate) const SLOWEST_BYTES_PER_SECOND: usize = 64 << 10;
/// An answer is sent when so much of it is written.
pub(crate) const FLUSH_BYTES: usize = 64 << 10;
/// A buffer that has grown beyond this is given back when it is empty.
pub(crate) const KEEP_BYTES: usize = 4 << 10;
/// What is read ahead of a client while its statement runs, to see whether it goes away.
pub(crate) const AHEAD_BYTES: usize = 8 << 10;
/// A portal that nobody asks for more rows of keeps a query's place; after this time it loses it.
pub(crate) const PORTAL_IDLE_MAX: Duration = Duration::from_secs(600);
