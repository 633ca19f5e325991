//! What the session asks others to do: statements that change something, the state of pipelines,
//! and decoded topics.
//!
//! Guarantees asked of an implementation: what it answered is durable.
//! Left out: the implementation, which joins the catalogue, the lake and the engine and is the
//! binary's.

use crate::error::AnalyzeError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::BTreeMap;
use tradewind_sql::{Dialect, PipelineStatement, Statement, TableDefinition};
use tradewind_types::connector::Positions;
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
    fn pipelines(&self) -> Vec<PipelineRow>;

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

/// A pipeline in `sys.pipelines`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineRow {
    /// Its name.
    pub name: String,
    /// Its id, which never changes.
    pub id: String,
    /// How often its definition has changed, from 1.
    pub incarnation: u64,
    /// What it reads, commas between; empty until it is planned.
    pub topic: String,
    /// The table or materialized view it writes.
    pub target: String,
    /// `running`, `paused`, `failed` …
    pub state: String,
    /// Why it does not run, where it does not.
    pub reason: Option<String>,
    /// The last checkpoint.
    pub epoch: u64,
    /// The next record to read, by topic and partition.
    pub positions: BTreeMap<String, Positions>,
    /// The same as of the last checkpoint that is committed.
    pub committed: BTreeMap<String, Positions>,
    /// Records of its topics it has not read yet.
    pub lag: u64,
    /// Records read since the start.
    pub records_in: u64,
    /// Rows written since the start.
    pub rows: u64,
    /// Rows that went to `dead_letters` since the start.
    pub dead_letters: u64,
    /// Rows that went to `late_events` since the start.
    pub late_events: u64,
    /// Records that retention had taken before they were read.
    pub lost_records: u64,
    /// When it last committed.
    pub committed_at: Option<TimestampMicros>,
    /// When it last started to run.
    pub started_at: Option<TimestampMicros>,
    /// The statement.
    pub sql: String,
}
