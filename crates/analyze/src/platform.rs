//! What all sessions share: the stores, the memory pool, the functions.
//!
//! Guarantees: one memory pool bounds all queries together; operators that can, spill to the
//! temporary folder; at most `queries_max` queries run at once.
//! Left out: opening the stores, which the binary does.

use crate::control::Control;
use crate::error::AnalyzeError;
use crate::groups::ConsumerGroups;
use crate::joins::YieldInJoins;
use crate::pg_catalog::{Planner, Shapes};
use crate::session::Session;
use crate::sums::WideSum;
use crate::topic::TopicFunction;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry, SessionStateDefaults};
use datafusion::logical_expr::AggregateUDF;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::prelude::SessionConfig;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tradewind_lake::Lake;
use tradewind_sql::functions::CheckedArithmetic;
use tradewind_sql::typing::FlinkOperators;
use tradewind_sql::{Catalogue, Dialect, FlinkTypes};
use tradewind_types::{Clock, Log, SystemClock};

/// The catalog every table is in.
pub(crate) const CATALOG: &str = "tradewind";
/// The schema of tables without a schema.
pub(crate) const PUBLIC: &str = "public";
/// The schema of system tables.
pub(crate) const SYS: &str = "sys";
/// The schema of the standard's system views.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";
/// Memory consumers named in an error when the pool is exhausted.
const CONSUMERS_IN_ERROR: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// What a platform is made of. `None` where there is no data folder: then there are files only.
#[derive(Default)]
pub struct PlatformParts {
    /// Tables, views and pipelines by name.
    pub catalogue: Option<Arc<Catalogue>>,
    /// The lake.
    pub lake: Option<Lake>,
    /// Topics.
    pub log: Option<Arc<dyn Log>>,
    /// Who carries out what changes something.
    pub control: Option<Arc<dyn Control>>,
    /// Who knows the consumer groups.
    pub groups: Option<Arc<dyn ConsumerGroups>>,
    /// Every setting there is, for `sys.settings`.
    pub configuration: Vec<SettingRow>,
    /// Bounds.
    pub settings: AnalyzeSettings,
}

/// A row of `sys.settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    /// `section.name`.
    pub name: String,
    /// What it is. Secrets are masked.
    pub value: String,
    /// What it is where nothing else is said.
    pub default: String,
    /// `default`, `file`, `environment` or `command line`.
    pub source: String,
    /// The file's line or the variable.
    pub place: Option<String>,
    /// What it does.
    pub description: String,
}

/// Bounds of the queries.
#[derive(Debug, Clone)]
pub struct AnalyzeSettings {
    /// Memory of all queries together.
    pub memory_bytes: usize,
    /// Threads of one query.
    pub threads: usize,
    /// Queries at once.
    pub queries_max: usize,
    /// Where operators spill; `None`: the system's temporary folder.
    pub spill_dir: Option<PathBuf>,
    /// The dialect a session starts with.
    pub dialect: Dialect,
    /// Which files a query may read.
    pub files: FileAccess,
}

impl Default for AnalyzeSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queries_max: 64,
            spill_dir: None,
            dialect: Dialect::Postgres,
            files: FileAccess::Anywhere,
        }
    }
}

/// Which files `FROM 'path'` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// Whatever the process can read.
    Anywhere,
    /// None.
    Nowhere,
}

/// What all sessions share. Clones share it.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    parts: PlatformParts,
    state: SessionState,
    /// What a text in the `flink` dialect is planned with.
    flink: SessionState,
    queries: Arc<Semaphore>,
    /// Columns of relations that must be planned to know them, for `pg_catalog`.
    shapes: Shapes,
    /// Microseconds since the Unix epoch.
    started_at: i64,
}

impl Platform {
    /// Joins the parts.
    ///
    /// # Errors
    /// The spill folder cannot be used.
    pub fn new(parts: PlatformParts) -> Result<Self, AnalyzeError> {
        let state = base_state(&parts)?;
        let flink = flink_state(&state)?;
        let queries = Arc::new(Semaphore::new(parts.settings.queries_max));
        Ok(Self {
            inner: Arc::new(Inner {
                parts,
                state,
                flink,
                queries,
                shapes: Shapes::default(),
                started_at: SystemClock.now_us(),
            }),
        })
    }

    /// A new session with default settings.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// The names of all tables, topics and views, for completion.
    pub fn names(&self) -> Vec<String> {
        crate::tables::public_names(self)
    }

    pub(crate) fn parts(&self) -> &PlatformParts {
        &self.inner.parts
    }

    pub(crate) fn shapes(&self) -> &Shapes {
        &self.inner.shapes
    }

    /// When it was made, in microseconds since the Unix epoch.
    pub(crate) fn started_at(&self) -> i64 {
        self.inner.started_at
    }

    pub(crate) fn state(&self) -> SessionState {
        self.inner.state.clone()
    }

    /// What bounds the memory of all queries.
    pub(crate) fn memory_pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.inner.state.runtime_env().memory_pool)
    }

    /// What a text of a dialect is planned with, in the surroundings of `state`.
    pub(crate) fn planning_state(&self, state: &SessionState, dialect: Dialect) -> SessionState {
        match dialect {
            Dialect::Postgres => state.clone(),
            Dialect::Flink => {
                let mut flink = self.inner.flink.clone();
                *flink.config_mut() = state.config().clone();
                flink.config_mut().options_mut().sql_parser.map_string_types_to_utf8view = false;
                flink
            }
        }
    }

    /// The right to run one more query.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, AnalyzeError> {
        Arc::clone(&self.inner.queries).try_acquire_owned().map_err(|_| {
            let most = self.inner.parts.settings.queries_max;
            AnalyzeError::environment(format!("{most} queries are running"))
                .hint("try again, or raise `sql.queries_max`")
        })
    }
}

fn base_state(parts: &PlatformParts) -> Result<SessionState, AnalyzeError> {
    let settings = &parts.settings;
    let mode = match &settings.spill_dir {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let pool = FairSpillPool::new(settings.memory_bytes);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, CONSUMERS_IN_ERROR)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(settings.threads);
    let options = config.options_mut();
    // 0.1 is a tenth: money is compared with and multiplied by exact numbers.
    options.sql_parser.parse_float_as_decimal = true;
    // Errors say where.
    options.sql_parser.collect_spans = true;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
        .with_default_features()
        .with_analyzer_rule(Arc::new(CheckedArithmetic))
        .with_physical_optimizer_rule(Arc::new(YieldInJoins))
        .with_query_planner(Arc::new(Planner))
        .build();
    state.register_udtf("topic", Arc::new(TopicFunction(parts.log.clone())));
    for function in tradewind_sql::functions::all() {
        state.register_udf(function)?;
    }
    state.register_udaf(Arc::new(AggregateUDF::from(WideSum::new())))?;
    Ok(state)
}

/// The same with the language of the `flink` dialect.
fn flink_state(base: &SessionState) -> Result<SessionState, AnalyzeError> {
    let mut operators: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(FlinkOperators)];
    operators.extend(SessionStateDefaults::default_expr_planners());
    let mut state = SessionStateBuilder::new_from_existing(base.clone())
        .with_type_planner(Arc::new(FlinkTypes))
        .with_expr_planners(operators)
        .build();
    for function in tradewind_sql::functions::flink() {
        state.register_udf(function)?;
    }
    for function in tradewind_sql::aggregates::flink() {
        state.register_udaf(function)?;
    }
    Ok(state)
}
