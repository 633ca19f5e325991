//! What all pipelines of an engine use: the stores, and what is known of each pipeline.
//!
//! Guarantees: nothing here waits for a pipeline; a lock is held for a lookup or an assignment.
//! Left out: starting and stopping pipelines.

use crate::history::HistoricLog;
use crate::status::{OperatorStatus, PipelineState, PipelineStatus, SourceStatus};
use crate::stream::checkpoint::{Runtime, source_name, view_of};
use crate::stream::outlive::outlive;
use crate::stream::plan::{SourcePlan, StreamPlan, describe};
use crate::stream::source::SourceEnvironment;
use crate::view::View;
use crate::views::Views;
use crate::{EngineParts, EngineSettings, ProcessError, Sinks};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tradewind_dataflow::StateBudget;
use tradewind_disk::Disk;
use tradewind_sql::{Catalogue, Pipeline, PipelineStatement, StartupMode};
use tradewind_types::connector::Positions;
use tradewind_types::{Clock, Log, LogError, SourceError, TopicWriter};

/// What is said of a view whose old definition answers still.
const CATCHING_UP: &str = "catching up; the view answers as it was defined before until then";

/// What every pipeline uses.
pub(crate) struct Shared {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) log: Arc<dyn Log>,
    /// What topics are written by.
    pub(crate) writer: Option<Arc<dyn TopicWriter>>,
    pub(crate) sinks: Arc<dyn Sinks>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: EngineSettings,
    /// The memory of all pipelines' state.
    pub(crate) budget: Arc<StateBudget>,
    statuses: Mutex<BTreeMap<String, PipelineStatus>>,
    pub(crate) views: Views,
    /// Old definitions of views that answer until the new ones do.
    outliving: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn new(parts: EngineParts) -> Self {
        let settings = parts.settings;
        Self {
            budget: StateBudget::new(settings.state_memory_bytes, settings.view_memory_bytes),
            catalogue: parts.catalogue,
            writer: parts.log.writer(),
            log: parts.log,
            sinks: parts.sinks,
            disk: parts.disk,
            dir: parts.dir,
            clock: parts.clock,
            settings,
            statuses: Mutex::default(),
            views: Views::default(),
            outliving: Mutex::default(),
        }
    }

    /// A status for a pipeline that is about to start; counters of an earlier one stay.
    pub(crate) fn begin(&self, pipeline: &Pipeline) {
        let mut statuses = self.statuses.lock();
        let old = statuses.remove(&pipeline.name).unwrap_or_default();
        let (state, reason) = match pipeline.paused {
            true => (PipelineState::Paused, Some(paused_reason(pipeline))),
            false => (PipelineState::Starting, None),
        };
        let status = PipelineStatus {
            name: pipeline.name.clone(),
            id: pipeline.id.clone(),
            incarnation: pipeline.incarnation,
            keeps_view: keeps_view(pipeline),
            owner: pipeline.owner.to_string(),
            target: pipeline.target.clone(),
            sql: pipeline.sql.clone(),
            state,
            reason,
            started_at: None,
            ..old
        };
        statuses.insert(pipeline.name.clone(), status);
    }

    /// Forgets a pipeline; readers of its view are told.
    pub(crate) fn forget(&self, name: &str) {
        self.statuses.lock().remove(name);
        self.views.forget(name);
    }

    pub(crate) fn status_of(&self, name: &str) -> Option<PipelineStatus> {
        self.statuses.lock().get(name).cloned()
    }

    pub(crate) fn update(&self, name: &str, change: impl FnOnce(&mut PipelineStatus)) {
        if let Some(status) = self.statuses.lock().get_mut(name) {
            change(status);
        }
    }

    pub(crate) fn set_state(&self, name: &str, state: PipelineState, reason: Option<String>) {
        self.update(name, |status| {
            status.state = state;
            status.reason = reason;
        });
    }

    /// Notes what a pipeline has failed with.
    pub(crate) fn failed(&self, name: &str, error: &ProcessError) {
        let now = self.clock.now_us();
        self.update(name, |status| {
            status.last_error = Some(error.to_string());
            status.failed_at = Some(now);
        });
    }

    /// Notes what a pipeline reads and does; how far it had come stays known while it reads the
    /// same.
    pub(crate) fn reads(&self, name: &str, plan: &StreamPlan) {
        self.update(name, |status| {
            let topics = plan.sources.iter().map(source_name);
            if !topics.clone().eq(status.sources.iter().map(|source| &*source.topic)) {
                let source =
                    |topic: &str| SourceStatus { topic: topic.into(), ..Default::default() };
                status.sources = topics.map(source).collect();
            }
            status.operators = operators(plan);
        });
    }

    /// Notes where a pipeline stands that was opened.
    pub(crate) fn opened(&self, name: &str, runtime: &mut Runtime) {
        let work = runtime.work();
        self.update(name, |status| {
            for (index, source) in status.sources.iter_mut().enumerate() {
                source.positions.clone_from(&runtime.positions[index]);
                if runtime.taken_up_at.is_some() {
                    source.committed.clone_from(&runtime.positions[index]);
                }
            }
            status.epoch = runtime.epoch;
            status.committed_at = status.committed_at.or(runtime.taken_up_at);
            for (operator, work) in status.operators.iter_mut().zip(work) {
                operator.work = work;
            }
        });
    }

    pub(crate) fn running(&self, name: &str, runtime: &mut Runtime) {
        self.opened(name, runtime);
        let now = self.clock.now_us();
        let rising = runtime.view.as_ref().is_some_and(|view| self.views.is_rising(view));
        self.update(name, |status| {
            status.state = PipelineState::Running;
            status.reason = rising.then(|| CATCHING_UP.to_string());
            status.started_at = Some(now);
        });
        tracing::info!(pipeline = name, epoch = runtime.epoch, "pipeline runs");
    }

    /// The view a pipeline keeps, new where its definition is.
    pub(crate) fn view(&self, pipeline: &Pipeline, plan: &StreamPlan) -> Option<Arc<View>> {
        let (name, sink) = (view_of(plan)?, plan.sinks.first()?);
        let incarnation = pipeline.incarnation;
        let make = || View::new(name, incarnation, sink.schema.clone(), sink.key.clone());
        Some(self.views.of(name, incarnation, make))
    }

    /// A view has shown what it is now.
    pub(crate) fn shown(&self, view: &Arc<View>) {
        if self.views.rise(view) {
            tracing::info!(view = view.name, "the new definition answers");
            self.update(&view.name, |status| status.reason = None);
        }
    }

    /// Lets a view's old definition follow the stream until the new one answers.
    pub(crate) fn outlive(&self, runtime: Runtime) {
        let mut outliving = self.outliving.lock();
        outliving.retain(|task| !task.is_finished());
        outliving.push(tokio::spawn(outlive(runtime)));
    }

    /// Ends what outlives its definition, at once: it keeps nothing.
    pub(crate) async fn end_outliving(&self) {
        let tasks = std::mem::take(&mut *self.outliving.lock());
        for task in tasks {
            task.abort();
            // Aborted or ended, it is gone.
            let _ = task.await;
        }
    }

    /// What a source is opened with, which reads from `saved` on or anew.
    pub(crate) async fn environment(
        &self,
        pipeline: &Pipeline,
        source: &SourcePlan,
        saved: Option<&Positions>,
    ) -> Result<SourceEnvironment, ProcessError> {
        let log = self.log_of(pipeline, source, saved).await.map_err(SourceError::from)?;
        let (clock, name) = (self.clock.clone(), format!("pipeline:{}", pipeline.name));
        Ok(SourceEnvironment { log: Some(log), clock, name })
    }

    /// The log, with a topic's history where its table names one and retention has begun to take
    /// records that the pipeline wants. What fills the history reads the log alone.
    async fn log_of(
        &self,
        pipeline: &Pipeline,
        source: &SourcePlan,
        saved: Option<&Positions>,
    ) -> Result<Arc<dyn Log>, LogError> {
        let log = self.log.clone();
        let Some(topic) = source.definition.topic() else { return Ok(log) };
        let named = topic.history.as_ref().filter(|table| **table != pipeline.target);
        let Some(table) = named else { return Ok(log) };
        if saved.is_none() && topic.startup != StartupMode::Earliest {
            return Ok(log);
        }
        let Some(info) = log.topic(&topic.topic) else { return Ok(log) };
        let mut is_behind = false;
        for partition in 0..info.partitions {
            let wanted = saved.map_or(0, |saved| saved.get(&partition).copied().unwrap_or(0));
            is_behind |= wanted < log.watermarks(&topic.topic, partition)?.log_start;
        }
        if !is_behind {
            return Ok(log);
        }
        let missing = || {
            let name = &source.definition.name;
            LogError::Invalid(format!("{name}: its 'history.table' {table:?} does not exist"))
        };
        let folder =
            self.catalogue.table(table).map_or_else(|| table.clone(), |found| found.folder);
        let history = self.sinks.history(&folder).ok_or_else(missing)?;
        Ok(Arc::new(HistoricLog::open(log, &topic.topic, table, history).await?))
    }

    /// Every pipeline's status with its lag.
    pub(crate) fn statuses(&self) -> Vec<PipelineStatus> {
        let mut statuses: Vec<_> = self.statuses.lock().values().cloned().collect();
        statuses.iter_mut().for_each(|status| self.measure(status));
        statuses
    }

    /// One pipeline's status with its lag.
    pub(crate) fn measured(&self, name: &str) -> Option<PipelineStatus> {
        let mut status = self.status_of(name)?;
        self.measure(&mut status);
        Some(status)
    }

    /// Notes where the sources' topics end, and how many records that is.
    fn measure(&self, status: &mut PipelineStatus) {
        status.lag = 0;
        for source in &mut status.sources {
            let end = |partition: &i32| {
                let marks = self.log.watermarks(&source.topic, *partition).ok()?;
                Some((*partition, marks.last_stable))
            };
            source.ends = source.positions.keys().filter_map(end).collect();
            let behind =
                source.ends.iter().map(|(partition, end)| end - source.positions[partition]);
            status.lag += behind.filter_map(|behind| u64::try_from(behind).ok()).sum::<u64>();
        }
    }

    /// Notes how old the next record of each partition is that a pipeline is behind in.
    pub(crate) async fn measure_ages(&self, status: &mut PipelineStatus) {
        let now_ms = self.clock.now_us() / 1_000;
        for source in &mut status.sources {
            source.lag_ms.clear();
            for (partition, end) in &source.ends {
                let next = source.positions[partition];
                if next >= *end {
                    continue;
                }
                // One that retention has taken in between is no longer waited for.
                let read = self.log.read(&source.topic, *partition, next, 1).await;
                let record = read.ok().and_then(|records| records.into_iter().next());
                if let Some(record) = record {
                    let age = now_ms - record.record.timestamp_ms;
                    source.lag_ms.insert(*partition, u64::try_from(age).unwrap_or(0));
                }
            }
        }
        let ages = status.sources.iter().flat_map(|source| source.lag_ms.values());
        status.lag_ms = ages.copied().max().unwrap_or(0);
    }
}

/// Why a pipeline that somebody paused does not run, and what it still does.
pub(crate) fn paused_reason(pipeline: &Pipeline) -> String {
    match keeps_view(pipeline) {
        true => "paused by hand; the view answers as it was then".to_string(),
        false => "paused by hand".to_string(),
    }
}

pub(crate) fn keeps_view(pipeline: &Pipeline) -> bool {
    matches!(pipeline.statement, PipelineStatement::View(_))
}

fn operators(plan: &StreamPlan) -> Vec<OperatorStatus> {
    let nodes = plan.graph.nodes.iter().zip(describe(plan));
    let one = |(node, what): (&tradewind_dataflow::Node, String)| OperatorStatus {
        id: node.id.to_string(),
        kind: node.kind.name(),
        inputs: node.inputs.iter().map(|input| plan.graph.nodes[*input].id.to_string()).collect(),
        what,
        work: Default::default(),
    };
    nodes.map(one).collect()
}
