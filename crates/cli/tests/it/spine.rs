//! Every part that stores or moves an event, joined as the server joins them, on a simulated disk.
//!
//! Guarantees: nothing here outlives its runtime; settings are small, so that segments roll,
//! deduplication writes snapshots, and tables stage, commit, compact and clean up many times in a
//! run.
//! Left out: ports (requests enter through the router), and the server's own wiring, which `kill`
//! runs.

use crate::power_cut::{Place, Tally};
use crate::shop::Rows;
use crate::turns::{TurnSinks, Turns};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;
use tradewind_cli::engine::{LakeSinks, make_tables};
use tradewind_collect::{CollectParts, CollectSettings, Collector, Retries};
use tradewind_disk::SimDisk;
use tradewind_lake::{Lake, LakeSettings, ReadSnapshots};
use tradewind_log::{Flush, LogSettings, LogStore, TopicDefaults};
use tradewind_process::{Engine, EngineParts, EngineSettings, PipelineState};
use tradewind_sql::{Catalogue, PackFile};
use tradewind_types::{Event, Log, ManualClock, SystemClock};

const LOG_DIR: &str = "/data/log";
const COLLECT_DIR: &str = "/data/collect";
const LAKE_DIR: &str = "/data/lake";
const PIPELINES_DIR: &str = "/data/pipelines";
const EVENT_PARTITIONS: i32 = 2;
/// Looks at the pipelines before they are said to stand still.
const LOOKS_MAX: usize = 2_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn log_settings(flush: Flush) -> LogSettings {
    let topic = TopicDefaults {
        segment_bytes: 16 << 10,
        max_message_bytes: 1 << 20,
        retention_ms: None,
        ..TopicDefaults::default()
    };
    LogSettings { flush, topic, ..LogSettings::default() }
}

fn collect_settings() -> CollectSettings {
    CollectSettings {
        event_partitions: EVENT_PARTITIONS,
        // A run takes hours of its own time, and its client may come back after all of them.
        dedup_window_ms: 31 * 24 * 3_600_000,
        // A quarter of a partition's share is what it holds in memory before it writes ids down.
        dedup_ids_max: 4 * 64 * EVENT_PARTITIONS as u64,
        ..CollectSettings::default()
    }
}

fn lake_settings() -> LakeSettings {
    LakeSettings {
        compact_files_min: 3,
        checkpoint_commits: 4,
        vacuum_retention_hours: 1,
        log_retention_hours: 1,
        ..LakeSettings::default()
    }
}

fn engine_settings(state_memory_bytes: usize) -> EngineSettings {
    EngineSettings {
        commit_bytes: 32 << 10,
        commit_interval_ms: 400,
        tick_rows_max: 16,
        state_memory_bytes,
        ..EngineSettings::default()
    }
}

/// The pack's tables and pipelines, in a folder of their own.
pub(crate) fn catalogue(dir: &Path) -> Arc<Catalogue> {
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/ecommerce");
    let mut files: Vec<PackFile> = std::fs::read_dir(pack)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| PackFile {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    let text = crate::shop::JOINED_VIEW.to_string();
    files.push(PackFile { name: "90_joined.sql".into(), text });
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let catalogue = Catalogue::open(dir, Arc::new(SystemClock)).unwrap();
    let report = catalogue.apply_pack("ecommerce", &files).unwrap();
    assert!(report.refused.is_empty(), "{report:?}");
    Arc::new(catalogue)
}

/// One process's parts.
pub(crate) struct Spine {
    log: LogStore,
    collector: Arc<Collector>,
    lake: Lake,
    engine: Engine,
    router: Router,
    turns: Turns,
}

impl Spine {
    /// Opens everything, in the server's order.
    pub(crate) async fn start(
        disk: &Arc<SimDisk>,
        clock: &Arc<ManualClock>,
        catalogue: &Arc<Catalogue>,
        flush: Flush,
        state_memory_bytes: usize,
        turns: &Turns,
    ) -> Result<Self, String> {
        let (log, _) =
            LogStore::open(disk.clone(), Path::new(LOG_DIR), log_settings(flush), clock.clone())
                .map_err(text)?;
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let parts = CollectParts {
            log: shared.clone(),
            disk: disk.clone(),
            dir: COLLECT_DIR.into(),
            clock: clock.clone(),
            settings: collect_settings(),
        };
        let collector = Collector::open(parts.clone()).await.map_err(text)?;
        // What was begun is finished, and its topic is there to be read.
        Retries::open(&parts, collector.clone()).await.map_err(text)?;
        let lake = open_lake(disk, clock, turns).await?;
        turns.take(make_tables(catalogue, &lake)).await.map_err(text)?;
        let sinks = TurnSinks { sinks: LakeSinks::new(lake.clone()), turns: turns.clone() };
        let engine = Engine::start(EngineParts {
            catalogue: catalogue.clone(),
            log: shared,
            sinks: Arc::new(sinks),
            disk: disk.clone(),
            dir: PIPELINES_DIR.into(),
            clock: clock.clone(),
            settings: engine_settings(state_memory_bytes),
        });
        let engine = engine.await.map_err(text)?;
        let router = tradewind_collect::http::router(collector.clone());
        Ok(Self { log, collector, lake, engine, router, turns: turns.clone() })
    }

    /// Waits until every pipeline runs and has read its topic to the end.
    pub(crate) async fn drained(&self) -> Result<(), String> {
        for _ in 0..LOOKS_MAX {
            let pipelines = self.engine.pipelines();
            let behind = pipelines.iter().any(|pipeline| {
                pipeline.state != PipelineState::Running
                    || pipeline.lag > 0
                    || pipeline.sources.is_empty()
                    || pipeline.sources.iter().any(|source| source.positions.is_empty())
            });
            if !behind && !pipelines.is_empty() {
                return Ok(());
            }
            if let Some(failed) = pipelines.iter().find(|p| p.state == PipelineState::Failed) {
                let reason = failed.reason.as_deref().unwrap_or_default();
                return Err(format!("pipeline {} stands still: {reason}", failed.name));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(format!("the pipelines do not catch up: {:#?}", self.engine.pipelines()))
    }

    /// Commits everything that was read.
    pub(crate) async fn checkpoint(&self) -> Result<(), String> {
        self.engine.checkpoint_all().await.map_err(text)
    }

    /// Why a pipeline needs somebody, if one does.
    pub(crate) fn failed_pipeline(&self) -> Option<String> {
        let pipelines = self.engine.pipelines();
        let failed = pipelines.iter().find(|pipeline| pipeline.state == PipelineState::Failed)?;
        Some(format!("pipeline {}: {}", failed.name, failed.reason.as_deref().unwrap_or_default()))
    }

    /// Sends a batch; returns the answer's status.
    pub(crate) async fn send(&self, body: String) -> u16 {
        let request = Request::post("/v1/batch").header("content-type", "application/json");
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.status().as_u16()
    }

    /// A round of background work. What fails is tried again by the next.
    pub(crate) async fn maintain(&self, tally: &mut Tally) {
        let _ = self.log.maintain_once().await;
        for (_, done) in self.turns.take(self.lake.maintain_once()).await {
            let Ok(done) = done else { continue };
            tally.compactions += u64::from(done.compacted_from > 0);
            tally.checkpoints += u64::from(done.checkpoint);
            tally.vacuumed += done.data_files_removed as u64;
        }
    }

    /// Segments of all topics.
    pub(crate) fn segments(&self) -> u64 {
        self.log.stats().iter().map(|partition| partition.segments as u64).sum()
    }

    /// Versions of all tables.
    pub(crate) fn commits(&self) -> u64 {
        self.lake.tables().iter().map(|table| table.status().version).sum()
    }

    /// Every record of a topic.
    pub(crate) async fn logged(&self, topic: &str) -> Vec<Place> {
        let mut places = Vec::new();
        for partition in 0..self.log.topic(topic).unwrap().partitions {
            let mut next = 0;
            loop {
                let records = self.log.read(topic, partition, next, 1 << 20).await.unwrap();
                let Some(last) = records.last() else { break };
                next = last.offset + 1;
                places.extend(records.iter().map(|record| {
                    let value = record.record.value.as_ref().unwrap();
                    let id = serde_json::from_slice::<Event<'_>>(value)
                        .map(|event| event.message_id.into_owned());
                    (id.unwrap_or_default(), partition, record.offset)
                }));
            }
        }
        places
    }

    pub(crate) fn tables(&self) -> Tables {
        Tables::new(&self.lake, &self.turns)
    }

    /// The materialized views as they are now.
    pub(crate) fn views(&self) -> Result<Tables, String> {
        let session = SessionContext::new();
        for pipeline in self.engine.pipelines() {
            let Some(view) = self.engine.view(&pipeline.target) else { continue };
            let snapshot =
                view.snapshot().ok_or_else(|| format!("{} does not answer", view.name))?;
            let chunks = snapshot.table.chunks.iter().map(|chunk| chunk.as_ref().clone());
            let table = MemTable::try_new(snapshot.table.schema.clone(), vec![chunks.collect()]);
            session.register_table(&view.name, Arc::new(table.map_err(text)?)).map_err(text)?;
        }
        Ok(Tables { session, turns: self.turns.clone() })
    }

    /// Stops in order, as the server does.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let collector = self.collector.close().await.map_err(text);
        let engine = self.engine.shutdown().await.map_err(text);
        let log = self.log.close().await.map_err(text);
        collector.and(engine).and(log)
    }
}

pub(crate) async fn open_lake(
    disk: &Arc<SimDisk>,
    clock: &Arc<ManualClock>,
    turns: &Turns,
) -> Result<Lake, String> {
    let lake = Lake::open(disk.clone(), Path::new(LAKE_DIR), lake_settings(), clock.clone());
    turns.take(lake).await.map_err(text)
}

/// The lake's tables for questions in SQL, each as of the first question about it.
pub(crate) struct Tables {
    session: SessionContext,
    turns: Turns,
}

impl Tables {
    pub(crate) fn new(lake: &Lake, turns: &Turns) -> Self {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_extension(Arc::new(ReadSnapshots::default()));
        let session = SessionContext::new_with_config(config);
        for table in lake.tables() {
            session.register_table(table.name(), table.provider()).unwrap();
        }
        Self { session, turns: turns.clone() }
    }

    pub(crate) async fn ask(&self, sql: &str) -> Result<Rows, String> {
        let failed = |error| format!("{sql}: {error}");
        let asked = async { self.session.sql(sql).await?.collect().await };
        let batches = self.turns.take(asked).await.map_err(failed)?;
        let mut rows = Rows::new();
        for batch in &batches {
            let options = FormatOptions::default();
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            rows.extend(
                (0..batch.num_rows()).map(|row| {
                    columns.iter().map(|column| column.value(row).to_string()).collect()
                }),
            );
        }
        Ok(rows)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
