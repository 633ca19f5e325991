//! A server's parts on one disk, started and stopped at will.

use super::lake::{FileLake, FileSinks};
use super::log::MemoryLog;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tradewind_disk::Disk;
use tradewind_process::{Engine, EngineParts, EngineSettings, PipelineRequest, PipelineStatus};
use tradewind_sql::{
    Catalogue, CreateView, Dialect, Insert, Owner, PipelineStatement, StatementKind, parse_script,
};
use tradewind_types::{Clock, Log, ManualClock, TopicSpec};

pub(crate) use super::lake::Row;

/// 2026-11-21T08:26:00Z.
pub(crate) fn start_time_us() -> i64 {
    1_795_249_560_000_000
}

/// A catalogue with the tables and views of a script, on the real disk.
pub(crate) fn catalogue(script: &str) -> (Arc<Catalogue>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(start_time_us()));
    let catalogue = Catalogue::open(dir.path(), clock).unwrap();
    for statement in parse_script(script, Dialect::Flink).unwrap() {
        match &statement.kind {
            StatementKind::CreateTable(table) => {
                catalogue.create_table(table, &Owner::Sql).unwrap();
            }
            StatementKind::CreateView(view) => {
                catalogue.create_view(view, Dialect::Flink, &Owner::Sql).unwrap();
            }
            other => panic!("a test's catalogue has tables and views, not {other:?}"),
        }
    }
    (Arc::new(catalogue), dir)
}

/// The only statement of a text.
pub(crate) fn insert_of(sql: &str) -> Insert {
    match parse_script(sql, Dialect::Flink).unwrap().remove(0).kind {
        StatementKind::Insert(insert) => *insert,
        other => panic!("{other:?}"),
    }
}

/// The only statement of a text.
pub(crate) fn view_of(sql: &str) -> CreateView {
    match parse_script(sql, Dialect::Flink).unwrap().remove(0).kind {
        StatementKind::CreateMaterializedView(view) => *view,
        other => panic!("{other:?}"),
    }
}

/// Everything but the running engine.
pub(crate) struct World {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) lake: Arc<FileLake>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: EngineSettings,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<ManualClock>,
    _catalogue_dir: tempfile::TempDir,
}

impl World {
    /// A world with a topic `t` of two partitions.
    pub(crate) async fn new(disk: Arc<dyn Disk>, dir: &Path, script: &str) -> Self {
        let (catalogue, catalogue_dir) = catalogue(script);
        let log = Arc::new(MemoryLog::new());
        log.create_topic(&TopicSpec::new("t", 2)).await.unwrap();
        Self {
            catalogue,
            log,
            lake: Arc::new(FileLake::new(disk.clone(), &dir.join("lake"))),
            disk,
            settings: EngineSettings {
                retry_backoff_ms_min: 1,
                retry_backoff_ms_max: 5,
                ..EngineSettings::default()
            },
            dir: dir.to_path_buf(),
            clock: Arc::new(ManualClock::at(start_time_us())),
            _catalogue_dir: catalogue_dir,
        }
    }

    /// Starts an engine on what is there.
    pub(crate) async fn engine(&self) -> Result<Engine, tradewind_process::ProcessError> {
        Engine::start(EngineParts {
            catalogue: self.catalogue.clone(),
            log: self.log.clone(),
            sinks: Arc::new(FileSinks(self.lake.clone())),
            disk: self.disk.clone(),
            dir: self.dir.join("pipelines"),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
        })
        .await
    }

    /// A restart: the lake forgets what was in memory.
    pub(crate) fn restart(&mut self) {
        self.lake = Arc::new(FileLake::new(self.disk.clone(), &self.dir.join("lake")));
    }

    pub(crate) async fn create(&self, engine: &Engine, name: &str, sql: &str) -> PipelineStatus {
        let request = PipelineRequest {
            name: Some(name.to_string()),
            statement: PipelineStatement::Insert(insert_of(sql)),
            dialect: Dialect::Flink,
            owner: Owner::Sql,
        };
        engine.create(request).await.unwrap()
    }

    /// Makes a materialized view, or another one of its name.
    pub(crate) async fn define(&self, engine: &Engine, sql: &str) {
        let statement = PipelineStatement::View(view_of(sql));
        let request =
            PipelineRequest { name: None, statement, dialect: Dialect::Flink, owner: Owner::Sql };
        engine.create(request).await.unwrap();
    }

    pub(crate) fn put(&self, partition: i32, json: &str) {
        self.log.put("t", partition, Some(json.as_bytes()));
    }

    /// The visible rows' texts, once there are `count` of them.
    pub(crate) async fn texts(&self, table: &str, count: usize) -> Vec<String> {
        let rows = wait_for(|| {
            let rows = self.lake.visible(table);
            (rows.len() >= count).then_some(rows)
        });
        let rows = rows.await.unwrap_or_else(|| {
            panic!(
                "{count} rows were expected in {table}, there are {:?}",
                self.lake.visible(table)
            )
        });
        rows.into_iter().map(|(text, _, _)| text).collect()
    }

    /// Waits for a pipeline's status to be as asked.
    pub(crate) async fn status(
        &self,
        engine: &Engine,
        name: &str,
        is: impl Fn(&PipelineStatus) -> bool,
    ) -> PipelineStatus {
        let found = wait_for(|| engine.status(name).ok().filter(|status| is(status))).await;
        found.unwrap_or_else(|| panic!("{:?}", engine.status(name)))
    }
}

/// Looks again until there is something, for up to half a minute.
pub(crate) async fn wait_for<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 0..15_000 {
        if let Some(found) = look() {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}
