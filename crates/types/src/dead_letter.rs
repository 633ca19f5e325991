//! What could not be read: nothing that reached us is lost for being malformed.
//!
//! Guarantees: the raw bytes are kept as they came.
//! Left out: retrying, which is the reader's decision.

use crate::{Offset, PartitionId, TimestampMicros};
use bytes::Bytes;

/// Something that could not be read, with where it came from and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The store it was meant for, as far as that is known.
    pub store_id: String,
    /// Who met it: `http:track`, `pipeline:orders`, `replay:orders.csv`.
    pub source: String,
    /// What was wrong, in one line, naming the field, line or record at fault.
    pub reason: String,
    /// The bytes as they came.
    pub raw: Bytes,
    /// When we met it, in microseconds since the Unix epoch.
    pub received_at: TimestampMicros,
    /// The log position it was read from, when it had one.
    pub position: Option<(String, PartitionId, Offset)>,
}
