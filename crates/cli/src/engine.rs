//! The pipelines' engine over the lake: how a table is opened for writing.

use crate::server::table_spec;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_lake::{Lake, LakeError};
use tradewind_process::{Engine, EngineParts, EngineSettings, ProcessError, Sinks};
use tradewind_sql::{Catalogue, TableDefinition};
use tradewind_types::config::Config;
use tradewind_types::{Clock, Log, Sink, SinkError};

/// Lake tables as the engine's sinks.
struct LakeSinks(Lake);

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
        self.0.sink(&table.name, writer).map_err(failed)
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
        sinks: Arc::new(LakeSinks(parts.lake.clone())),
        disk: Arc::clone(parts.disk),
        dir: parts.dir.to_path_buf(),
        clock: Arc::clone(parts.clock),
        settings: EngineSettings {
            commit_bytes: config.lake.commit_bytes,
            commit_interval_ms: config.lake.commit_interval_ms,
            tick_rows_max: config.process.tick_rows_max,
            tick_budget_ms: config.process.tick_budget_ms,
            retry_backoff_ms_min: config.process.retry_backoff_ms_min,
            retry_backoff_ms_max: config.process.retry_backoff_ms_max,
            retry_attempts_max: config.process.retry_attempts_max,
        },
    });
    engine.await
}
