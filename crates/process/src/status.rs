//! What a pipeline is doing, for people: `sys.pipelines`, `sys.operators` and `/metrics`.
//!
//! Guarantees: a status is as of the last tick; `lag` and the ends of topics are as of the call.
//! Left out: history.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tradewind_dataflow::OperatorWork;
use tradewind_types::connector::Positions;
use tradewind_types::{Epoch, PartitionId, TimestampMicros};

/// A pipeline as it is. Counters are of the time since the start of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// Its id, which never changes.
    pub id: String,
    /// How often its definition has changed, from 1.
    pub incarnation: u64,
    /// Whether it keeps a materialized view; else it is an `INSERT INTO`.
    pub keeps_view: bool,
    /// Who may change it.
    pub owner: String,
    /// The table or view it writes.
    pub target: String,
    /// The statement.
    pub sql: String,
    /// What it does.
    pub state: PipelineState,
    /// Why it is not running, or what it has lost.
    pub reason: Option<String>,
    /// What it last failed with.
    pub last_error: Option<String>,
    /// When that was; microseconds since the Unix epoch.
    pub failed_at: Option<TimestampMicros>,
    /// The last checkpoint's number; 0 before the first.
    pub epoch: Epoch,
    /// What it reads; empty until it is planned.
    pub sources: Vec<SourceStatus>,
    /// What is done with rows, inputs before those who use them; empty until it is planned.
    pub operators: Vec<OperatorStatus>,
    /// Records that are there and not yet read, over all partitions.
    pub lag: u64,
    /// How old the oldest of them is, by the records' own timestamps, in milliseconds.
    pub lag_ms: u64,
    /// Ticks.
    pub ticks: u64,
    /// How long they took together.
    pub busy: Duration,
    /// Records read.
    pub records_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Late events written.
    pub late_events: u64,
    /// Records that retention had taken before they were read.
    pub lost_records: u64,
    /// When the last checkpoint was committed; microseconds since the Unix epoch.
    pub committed_at: Option<TimestampMicros>,
    /// How long the last checkpoint took from its beginning to its commit.
    pub checkpoint_took: Duration,
    /// Bytes of state and manifest that the last checkpoint wrote.
    pub checkpoint_bytes: u64,
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
    /// Where the topic ends now; empty for what is no topic.
    pub ends: Positions,
    /// How old the next record to read is, in milliseconds, where there is one.
    pub lag_ms: BTreeMap<PartitionId, u64>,
}

/// One operator of a pipeline. What it has done counts from the pipeline's last start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorStatus {
    /// `aggregate-1`.
    pub id: String,
    /// The first part of it.
    pub kind: &'static str,
    /// The ids of those its rows come from.
    pub inputs: Vec<String>,
    /// What it does: expressions, keys, what it keeps.
    pub what: String,
    /// What it has done, and what it keeps.
    pub work: OperatorWork,
}

/// What a pipeline does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PipelineState {
    /// It is being planned and restored.
    #[default]
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

impl PipelineState {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Running,
        Self::Waiting,
        Self::Retrying,
        Self::Paused,
        Self::Failed,
        Self::Stopped,
    ];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for PipelineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
