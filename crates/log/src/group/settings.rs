//! What consumer groups are run with: timeouts, and every bound on what they hold.
//!
//! Guarantees: members, metadata and offsets of all groups together stay within the bounds named
//! here. Left out: where the values come from; the binary resolves them from its configuration.

use std::time::Duration;

/// Settings of a [`crate::group::GroupCoordinator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// Partitions of `__consumer_offsets` when it is made. Commits of one partition share an
    /// fsync, so few are better than Kafka's fifty, which spread over brokers; more than one, so
    /// that a transaction that hangs or a bad sector holds back a part of the groups only.
    pub offsets_partitions: i32,
    /// The shortest session timeout a member may ask for. Kafka's.
    pub session_timeout_min: Duration,
    /// The longest session timeout a member may ask for. Kafka's.
    pub session_timeout_max: Duration,
    /// The longest a rebalance waits for a member, whatever it asks for: a member that is gone
    /// must not hold up the others for days.
    pub rebalance_timeout_max: Duration,
    /// How long a group without members waits for more when the first one joins, and again after
    /// each that comes. This much is waited for groups that have had several members; a tenth of
    /// it for others, whose first consumer is mostly the only one. Kafka's value.
    pub initial_rebalance_delay: Duration,
    /// How long a member that joined for the first time may wait for its answer: it does not yet
    /// send heartbeats, so nothing else tells when it is gone. Kafka's.
    pub new_member_join_timeout: Duration,
    /// Groups there may be: any client can make one by committing an offset.
    pub groups_max: usize,
    /// Members of one group. The leader is sent what all of them subscribe to.
    pub members_max: usize,
    /// Bytes of protocols one member may bring: names and subscriptions.
    pub member_bytes_max: usize,
    /// Bytes of a group's subscriptions and assignments: they become one record in the log.
    pub group_bytes_max: usize,
    /// Bytes of all groups together, members and offsets, in memory.
    pub state_bytes_max: usize,
    /// Bytes of the text a client may commit with an offset. Kafka's.
    pub offset_metadata_bytes_max: usize,
    /// How long the offsets of a group without members are kept. Kafka's week.
    pub offsets_retention: Duration,
    /// How often offsets are looked at for their retention. Kafka's.
    pub retention_check_interval: Duration,
}

/// The longest group id, bytes: each committed offset is a record that names its group.
pub(crate) const GROUP_ID_BYTES_MAX: usize = 255;

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            offsets_partitions: 4,
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            rebalance_timeout_max: Duration::from_secs(60 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            new_member_join_timeout: Duration::from_secs(5 * 60),
            groups_max: 20_000,
            members_max: 2_000,
            member_bytes_max: 256 << 10,
            group_bytes_max: 3 << 20,
            state_bytes_max: 128 << 20,
            offset_metadata_bytes_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            retention_check_interval: Duration::from_secs(600),
        }
    }
}

/// A duration in whole milliseconds, the unit of the protocol.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
