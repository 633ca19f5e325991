//! What the session asks others to do: statements that change something, the state of pipelines,
//! decoded topics, and the changes of views.
//!
//! Guarantees asked of an implementation: what it answered is durable.
//! Left out: the implementation, which joins the catalogue, the lake and the engine and is the
//! binary's.

use crate::changes::ChangeStream;
use crate::error::AnalyzeError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tradewind_sql::{Dialect, PipelineStatement, Statement, TableDefinition};
use tradewind_types::{Source, TimestampMicros};

/// Carries out what a session does not do itself.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Carries out a `CREATE`, `DROP`, `ALTER` or `INSERT INTO`; returns what was done, in the
    /// words of a command tag (`CREATE TABLE`).
    ///
    /// # Errors
    /// The statement cannot be carried out; nothing was changed.
    async fn run(&self, asked: Asked<'_>) -> Result<String, AnalyzeError>;

    /// How a pipeline would run, in lines.
    ///
    /// # Errors
    /// It cannot run as a pipeline.
    fn explain(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<String, AnalyzeError>;

    /// The rows of a materialized view as of now, all of one moment, in pieces of the schema that
    /// comes with them.
    ///
    /// # Errors
    /// It has not caught up since the server started, or does not run.
    fn view(&self, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>), AnalyzeError>;

    /// Every pipeline, as it is now.
    async fn pipelines(&self) -> Vec<PipelineRow>;

    /// The changes of a materialized view as they come: from behind `after`, the resume token of
    /// whoever has seen some already, where they are still kept, else from what it is now.
    ///
    /// # Errors
    /// There is no such view; `after` is no token.
    async fn subscribe(
        &self,
        view: &str,
        after: Option<&str>,
    ) -> Result<Box<dyn ChangeStream>, AnalyzeError>;

    /// The records of a declared topic, decoded: the columns of those names that the table has,
    /// the hidden ones last.
    ///
    /// # Errors
    /// There is no such topic, or its columns cannot be read.
    fn open_topic(
        &self,
        definition: &TableDefinition,
        columns: &[&str],
    ) -> Result<Box<dyn Source>, AnalyzeError>;
}

/// A statement that changes something, with what the session has set before it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// How its text is meant.
    pub dialect: Dialect,
    /// What the next pipeline is to be called; `None`: after its target.
    pub pipeline_name: Option<&'a str>,
}

/// A pipeline in `sys.pipelines`. Counters are of the time since the server started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineRow {
    /// Its name.
    pub name: String,
    /// Its id, which never changes.
    pub id: String,
    /// How often its definition has changed, from 1.
    pub incarnation: u64,
    /// `materialized view` or `insert`.
    pub kind: String,
    /// Who may change it.
    pub owner: String,
    /// What it reads, commas between; empty until it is planned.
    pub topic: String,
    /// How far it has read each partition of that; empty until it is opened.
    pub sources: Vec<SourceRow>,
    /// What it does with rows, inputs before those who use them; empty until it is planned.
    pub operators: Vec<OperatorRow>,
    /// The table or materialized view it writes.
    pub target: String,
    /// `running`, `paused`, `failed` …
    pub state: String,
    /// Why it does not run, where it does not.
    pub reason: Option<String>,
    /// What it last failed with.
    pub last_error: Option<String>,
    /// When that was.
    pub failed_at: Option<TimestampMicros>,
    /// The last checkpoint.
    pub epoch: u64,
    /// Records of its topics it has not read yet.
    pub lag: u64,
    /// How old the oldest of them is, by their own timestamps.
    pub lag_seconds: f64,
    /// Ticks.
    pub ticks: u64,
    /// How long they took together.
    pub busy_seconds: f64,
    /// Records read.
    pub records_in: u64,
    /// Rows written.
    pub rows: u64,
    /// Rows that went to `dead_letters`.
    pub dead_letters: u64,
    /// Rows that went to `late_events`.
    pub late_events: u64,
    /// Records that retention had taken before they were read.
    pub lost_records: u64,
    /// When it last committed.
    pub committed_at: Option<TimestampMicros>,
    /// How long ago that is.
    pub checkpoint_age_seconds: Option<f64>,
    /// How long the last checkpoint took.
    pub checkpoint_seconds: f64,
    /// Bytes of state and manifest that the last checkpoint wrote.
    pub checkpoint_bytes: u64,
    /// When it last started to run.
    pub started_at: Option<TimestampMicros>,
    /// The statement.
    pub sql: String,
}

/// A partition of what a pipeline reads: a row of `sys.pipeline_sources`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceRow {
    /// The topic, or the table of what is no topic.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// The next record to read.
    pub position: i64,
    /// The same as of the last checkpoint that is committed.
    pub committed: Option<i64>,
    /// Where the topic's partition ends now.
    pub end: Option<i64>,
    /// How old the next record is, where there is one.
    pub lag_seconds: Option<f64>,
}

/// An operator of a pipeline: a row of `sys.operators`. Counters are of the time since the
/// pipeline last started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorRow {
    /// `aggregate-1`.
    pub id: String,
    /// `aggregate`.
    pub kind: String,
    /// Whose rows it gets.
    pub inputs: Vec<String>,
    /// What it does and keeps.
    pub description: String,
    /// Workers that its state is divided among; 0 without state.
    pub workers: u64,
    /// Rows that came.
    pub rows_in: u64,
    /// Rows it gave.
    pub rows_out: u64,
    /// Rows that came after their windows.
    pub late_rows: u64,
    /// Keys it keeps.
    pub state_rows: u64,
    /// Their bytes in memory, about.
    pub state_bytes: u64,
    /// Up to where its input is complete.
    pub watermark: Option<TimestampMicros>,
    /// How long it worked, all workers together.
    pub busy_seconds: f64,
}
