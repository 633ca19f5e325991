//! What a pipeline is doing, for people: `sys.pipelines` and `/metrics`.
//!
//! Guarantees: a status is as of the last tick; `lag` is as of the call.
//! Left out: history.

use std::fmt;
use tradewind_types::connector::Positions;
use tradewind_types::{Epoch, TimestampMicros};

/// A pipeline as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// Its id, which never changes.
    pub id: String,
    /// How often its definition has changed, from 1.
    pub incarnation: u64,
    /// The table it writes.
    pub target: String,
    /// The statement.
    pub sql: String,
    /// What it does.
    pub state: PipelineState,
    /// Why it is not running, or what it has lost.
    pub reason: Option<String>,
    /// The last checkpoint's number; 0 before the first.
    pub epoch: Epoch,
    /// What it reads; empty until it is planned.
    pub sources: Vec<SourceStatus>,
    /// Records that are there and not yet read, over all partitions.
    pub lag: u64,
    /// Records read since the start of the server.
    pub records_in: u64,
    /// Rows written since the start of the server.
    pub rows_out: u64,
    /// Dead letters written since the start of the server.
    pub dead_letters: u64,
    /// Late events written since the start of the server.
    pub late_events: u64,
    /// Records that retention had taken before they were read.
    pub lost_records: u64,
    /// When the sinks last committed; microseconds since the Unix epoch.
    pub committed_at: Option<TimestampMicros>,
    /// When it last started to run; microseconds since the Unix epoch.
    pub started_at: Option<TimestampMicros>,
}

/// How far a pipeline has read one of its sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// The topic, or the table of what is no topic.
    pub topic: String,
    /// The next record to read, by partition.
    pub positions: Positions,
    /// The same as of the last checkpoint that is committed.
    pub committed: Positions,
}

/// What a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineState {
    /// It is being planned and restored.
    Starting,
    /// It takes in what arrives.
    Running,
    /// It waits for its topic to be made.
    Waiting,
    /// It has failed and will try again by itself.
    Retrying,
    /// Somebody paused it.
    Paused,
    /// It has failed and needs somebody.
    Failed,
    /// The server is shutting down.
    Stopped,
}

impl fmt::Display for PipelineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}
