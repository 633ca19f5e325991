//! What opening a log found.
//!
//! Guarantees: every byte that was cut and every record that was acknowledged and cannot be read
//! any more is named here, and in the process's log.

use std::path::PathBuf;
use tradewind_types::PartitionId;

/// What [`crate::LogStore::open`] did to make the log whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Ends of partitions that were never acknowledged and were cut.
    pub torn_tails: Vec<TornTail>,
    /// Bytes that were durable and are not what was written. Reads of them are refused.
    pub corruptions: Vec<Corruption>,
    /// Index files that were missing or wrong and were made anew.
    pub indexes_rebuilt: u64,
    /// Bytes of segments that were read and checked.
    pub scanned_bytes: u64,
    /// Leftovers of topics that were being made or removed, taken away.
    pub leftovers_removed: Vec<PathBuf>,
}

/// Bytes at the end of a partition that do not make whole batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The segment that was cut.
    pub file: PathBuf,
    /// Where it was cut: the end of the last whole batch.
    pub position: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What does not hold at `position`.
    pub reason: String,
    /// Where the cut bytes were put, when whole batches stood among them.
    pub kept_as: Option<PathBuf>,
}

/// Bytes below the recovery point that fail their checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The segment at fault.
    pub file: PathBuf,
    /// The first bad byte.
    pub position: u64,
    /// What does not hold there.
    pub reason: String,
}
