//! The pipelines' engine over the lake: how tables are made and opened for writing.
//!
//! Guarantees: this is the only joint of catalogue, lake and engine; the test that cuts the power
//! runs it as the server does.
//! Left out: ports, and the order in which a server opens its parts.

use crate::history::LakeHistory;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_lake::{Lake, LakeError, TableSpec};
use tradewind_process::{Engine, EngineParts, EngineSettings, History, ProcessError, Sinks};
use tradewind_sql::{Catalogue, TableDefinition};
use tradewind_types::config::Config;
use tradewind_types::{Clock, Log, Sink, SinkError};

/// The lake's tables as the catalogue has them. What a statement that did not end left behind goes.
///
/// # Errors
/// The first table that cannot be made.
pub async fn make_tables(catalogue: &Catalogue, lake: &Lake) -> Result<(), LakeError> {
    let relations = catalogue.relations();
    let tables = relations.iter().filter_map(|relation| relation.table());
    let named = tables.filter(|table| table.is_lake()).map(|table| table.folder.clone());
    lake.settle_all(&named.collect()).await?;
    for relation in catalogue.relations() {
        if let Some(table) = relation.table().filter(|table| table.is_lake()) {
            lake.create_table(&table_spec(table)).await?;
        }
    }
    Ok(())
}

/// What the lake is told of a table.
pub fn table_spec(table: &TableDefinition) -> TableSpec {
    TableSpec {
        name: table.folder.clone(),
        schema: table.schema(),
        partition_columns: table.partitioned_by.clone(),
    }
}

/// Lake tables as the engine's sinks.
#[derive(Debug, Clone)]
pub struct LakeSinks(Lake);

impl LakeSinks {
    /// Sinks into the tables of `lake`.
    pub fn new(lake: Lake) -> Self {
        Self(lake)
    }
}

#[async_trait]
impl Sinks for LakeSinks {
    async fn open(
        &self,
        table: &TableDefinition,
        writer: &str,
    ) -> Result<Box<dyn Sink>, SinkError> {
        let failed = |error: LakeError| {
            let (table, reason) = (table.name.clone(), error.to_string());
            match error.is_transient() {
                true => SinkError::Transient { table, reason },
                false => SinkError::Permanent { table, reason },
            }
        };
        self.0.create_table(&table_spec(table)).await.map_err(failed)?;
        self.0.sink(&table.folder, writer).map_err(failed)
    }

    fn history(&self, table: &str) -> Option<Arc<dyn History>> {
        Some(Arc::new(LakeHistory::new(self.0.table(table)?)))
    }
}

/// What the engine works with.
pub(crate) struct Parts<'a> {
    pub(crate) catalogue: &'a Arc<Catalogue>,
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) lake: &'a Lake,
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) config: &'a Config,
    /// The folder of the manifests.
    pub(crate) dir: &'a Path,
}

/// Starts every pipeline of the catalogue.
///
/// # Errors
/// The folder of the manifests cannot be used.
pub(crate) async fn start(parts: Parts<'_>) -> Result<Engine, ProcessError> {
    let config = parts.config;
    let engine = Engine::start(EngineParts {
        catalogue: Arc::clone(parts.catalogue),
        log: Arc::clone(parts.log),
        sinks: Arc::new(LakeSinks::new(parts.lake.clone())),
        disk: Arc::clone(parts.disk),
        dir: parts.dir.to_path_buf(),
        clock: Arc::clone(parts.clock),
        settings: EngineSettings {
            commit_bytes: config.lake.commit_bytes,
            commit_interval_ms: config.lake.commit_interval_ms,
            tick_rows_max: config.process.tick_rows_max,
            tick_budget_ms: config.process.tick_budget_ms,
            state_memory_bytes: config.process.state_memory_bytes,
            view_memory_bytes: config.process.view_memory_bytes,
            retry_backoff_ms_min: config.process.retry_backoff_ms_min,
            retry_backoff_ms_max: config.process.retry_backoff_ms_max,
            retry_attempts_max: config.process.retry_attempts_max,
            state_ttl_ms: config.process.state_ttl_ms.unwrap_or(0),
            ..EngineSettings::default()
        },
    });
    engine.await
}
