//! What the session asks others to do: statements that change something, and the state of
//! pipelines.
//!
//! Guarantees asked of an implementation: what it answered is durable.
//! Left out: the implementation, which joins the catalogue, the lake and the engine and is the
//! binary's.

use crate::error::AnalyzeError;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use std::sync::Arc;
use tradewind_sql::{Dialect, Statement, TableDefinition};

/// Carries out what a session does not do itself.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Carries out a `CREATE`, `DROP`, `ALTER` or `INSERT INTO`; returns what was done, in the
    /// words of a command tag (`CREATE TABLE`).
    ///
    /// # Errors
    /// The statement cannot be carried out; nothing was changed.
    async fn run(&self, statement: &Statement, dialect: Dialect) -> Result<String, AnalyzeError>;

    /// Every pipeline, as it is now.
    fn pipelines(&self) -> Vec<PipelineRow>;

    /// A declared topic as a table of decoded rows, hidden columns last; `None` where that is not
    /// supported.
    fn topic_table(&self, definition: &TableDefinition) -> Option<Arc<dyn TableProvider>>;
}

/// A pipeline in `sys.pipelines`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineRow {
    /// Its name.
    pub name: String,
    /// The table it writes.
    pub target: String,
    /// `running`, `paused`, `failed` …
    pub state: String,
    /// Why it does not run, where it does not.
    pub reason: Option<String>,
    /// The last checkpoint.
    pub epoch: u64,
    /// Rows written since the start.
    pub rows: u64,
    /// Rows that went to `dead_letters` since the start.
    pub dead_letters: u64,
    /// Records of its topics it has not read yet.
    pub lag: u64,
    /// The statement.
    pub sql: String,
}
