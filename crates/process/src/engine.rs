//! All pipelines of a server.
//!
//! Guarantees: what is answered is durable; each pipeline runs in a task of its own.
//! Left out: where topics and tables live.

use crate::history::History;
use crate::shared::Shared;
use crate::status::{PipelineState, PipelineStatus};
use crate::stream::checkpoint::holder;
use crate::stream::manifest::ManifestStore;
use crate::stream::plan::{StreamPlan, explain, plan_statement};
use crate::stream::scratch;
use crate::stream::tick::Command;
use crate::stream::transactions;
use crate::supervisor::supervise;
use crate::view::View;
use crate::{EngineSettings, ProcessError};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tradewind_disk::Disk;
use tradewind_sql::catalogue::Outcome;
use tradewind_sql::{
    Catalogue, Dialect, NewPipeline, ObjectKind, Owner, Pipeline, PipelineStatement,
    TableDefinition, did_you_mean,
};
use tradewind_types::{Clock, Log, Sink, SinkError};

/// Commands that may wait for a pipeline: people and shutdown send them, one at a time.
const COMMANDS_MAX: usize = 16;

/// Opens the tables that pipelines write.
#[async_trait]
pub trait Sinks: Send + Sync + 'static {
    /// A sink into a table, which is made when it is not there. `writer` tells writers of one
    /// table apart, over restarts.
    async fn open(&self, table: &TableDefinition, writer: &str)
    -> Result<Box<dyn Sink>, SinkError>;

    /// A table of events for reading back; `None` where there is none of that name.
    fn history(&self, table: &str) -> Option<Arc<dyn History>> {
        let _ = table;
        None
    }
}

/// What an engine is made of.
pub struct EngineParts {
    /// Tables, views and pipelines.
    pub catalogue: Arc<Catalogue>,
    /// Topics.
    pub log: Arc<dyn Log>,
    /// Tables to write.
    pub sinks: Arc<dyn Sinks>,
    /// Where manifests are written.
    pub disk: Arc<dyn Disk>,
    /// The folder of the pipelines' folders.
    pub dir: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How it works.
    pub settings: EngineSettings,
}

/// A pipeline to make.
#[derive(Debug, Clone)]
pub struct PipelineRequest {
    /// Its name; the target's name where there is none. A materialized view's is the view's.
    pub name: Option<String>,
    /// The statement. One that makes a view is refused where the view's name is taken, unless it
    /// says otherwise.
    pub statement: PipelineStatement,
    /// How its text is meant.
    pub dialect: Dialect,
    /// Who may change it.
    pub owner: Owner,
}

/// All pipelines of a server. Clones are handles of the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<BTreeMap<String, Task>>>,
    /// Held while somebody pauses, resumes or drops: a task that is replaced is never missed.
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// A pipeline's task.
struct Task {
    incarnation: u64,
    commands: mpsc::Sender<Command>,
    handle: JoinHandle<()>,
}

impl Engine {
    /// Starts every pipeline of the catalogue. A pipeline that cannot start says so in its status.
    ///
    /// # Errors
    /// The folder of manifests cannot be made.
    pub async fn start(parts: EngineParts) -> Result<Self, ProcessError> {
        let dir = parts.dir;
        crate::blocking::blocking(|| parts.disk.create_dir_all(&dir))
            .map_err(|source| ProcessError::Io { path: dir.display().to_string(), source })?;
        let engine = Self {
            shared: Arc::new(Shared::new(EngineParts { dir, ..parts })),
            tasks: Arc::default(),
            changing: Arc::default(),
        };
        let shared = &engine.shared;
        crate::blocking::blocking(|| scratch::sweep(&*shared.disk, &shared.dir))?;
        transactions::settle_all(shared).await;
        engine.refresh().await;
        Ok(engine)
    }

    /// Brings the running pipelines to what the catalogue says: after a pack was applied.
    pub async fn refresh(&self) {
        let wanted = self.shared.catalogue.pipelines();
        let stale: Vec<String> = {
            let tasks = self.tasks.lock();
            let is_current = |name: &str, task: &Task| {
                let same =
                    |one: &&Arc<Pipeline>| one.name == name && one.incarnation == task.incarnation;
                wanted.iter().any(|one| same(&one))
            };
            tasks
                .iter()
                .filter(|(name, task)| !is_current(name, task))
                .map(|(name, _)| name.clone())
                .collect()
        };
        for name in stale {
            // A view that answers goes on doing so until its new definition has caught up.
            let goes_on = wanted.iter().any(|one| one.name == name);
            match goes_on && self.shared.views.answers(&name) {
                true => self.end(&name, Command::Replace).await,
                false => self.stop(&name).await,
            }
        }
        for pipeline in wanted {
            self.spawn(&pipeline);
        }
    }

    /// Plans a pipeline, keeps it durably and starts it.
    ///
    /// # Errors
    /// It cannot run as a stream; its name is taken.
    pub async fn create(&self, request: PipelineRequest) -> Result<PipelineStatus, ProcessError> {
        let PipelineRequest { name, statement, dialect, owner } = request;
        let plan = self.plan(&statement, dialect)?;
        let name = match &statement {
            PipelineStatement::Insert(_) => name.unwrap_or_else(|| statement.target().to_string()),
            PipelineStatement::View(view) => view.name.clone(),
        };
        let catalogue = &self.shared.catalogue;
        match &statement {
            PipelineStatement::Insert(insert) => {
                let (sql, columns) = (insert.sql.clone(), plan.columns);
                let name = name.clone();
                let new = NewPipeline { name, sql, dialect, owner, columns };
                catalogue.create_pipeline(&new)?;
            }
            PipelineStatement::View(view) => {
                let columns = plan.columns.clone();
                let outcome = catalogue.create_materialized_view(view, dialect, &owner, columns)?;
                // Whoever follows a new one from now on finds it, and waits until it answers. One
                // that was kept is not what this plan says.
                if outcome != Outcome::Kept
                    && let Some(pipeline) = catalogue.pipeline(&name)
                {
                    self.shared.view(&pipeline, &plan);
                }
            }
        }
        self.refresh().await;
        self.status(&name)
    }

    /// Plans a pipeline without running it.
    ///
    /// # Errors
    /// It cannot run as a stream.
    pub fn plan(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<StreamPlan, ProcessError> {
        plan_statement(statement, dialect, &self.shared.catalogue)
    }

    /// Describes how a pipeline would run.
    ///
    /// # Errors
    /// It cannot run as a stream.
    pub fn explain(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<String, ProcessError> {
        Ok(explain(&self.plan(statement, dialect)?))
    }

    /// Stops a materialized view and forgets it. Returns whether there was one.
    ///
    /// # Errors
    /// There is none and `if_exists` is not said; others read it; a pack owns it.
    pub async fn drop_view(&self, name: &str, if_exists: bool) -> Result<bool, ProcessError> {
        self.drop_object(ObjectKind::MaterializedView, name, if_exists).await
    }

    /// Stops a pipeline after a last checkpoint and forgets it; what it has written stays.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// There is none and `if_exists` is not said; a pack owns it.
    pub async fn drop_pipeline(&self, name: &str, if_exists: bool) -> Result<bool, ProcessError> {
        self.drop_object(ObjectKind::Pipeline, name, if_exists).await
    }

    async fn drop_object(
        &self,
        kind: ObjectKind,
        name: &str,
        if_exists: bool,
    ) -> Result<bool, ProcessError> {
        let _changing = self.changing.lock().await;
        let pipeline = self.shared.catalogue.pipeline(name);
        if !self.shared.catalogue.drop_object(kind, name, if_exists)? {
            return Ok(false);
        }
        let sources = self.shared.status_of(name).map(|status| status.sources).unwrap_or_default();
        self.stop(name).await;
        self.shared.forget(name);
        if let Some(pipeline) = pipeline {
            sources.iter().for_each(|source| self.release(&pipeline, &source.topic));
            transactions::retire(&self.shared, &pipeline.id).await?;
            let dir = self.shared.dir.join(&pipeline.id);
            ManifestStore::open(self.shared.disk.clone(), dir)?.remove()?;
        }
        Ok(true)
    }

    /// Lets retention have what a pipeline held.
    fn release(&self, pipeline: &Pipeline, topic: &str) {
        let partitions = self.shared.log.topic(topic).map_or(0, |info| info.partitions);
        for partition in 0..partitions {
            self.shared.log.hold(&holder(pipeline), topic, partition, None);
        }
    }

    /// Checkpoints a pipeline and lets it stand still, over restarts too. A view goes on answering
    /// as it was then. One that is paused already stays as it is.
    ///
    /// # Errors
    /// There is none; the catalogue's disk.
    pub async fn pause(&self, name: &str) -> Result<(), ProcessError> {
        let _changing = self.changing.lock().await;
        if self.shared.catalogue.pipeline(name).ok_or_else(|| self.missing(name))?.paused {
            return Ok(());
        }
        let pipeline = self.shared.catalogue.set_paused(name, true)?;
        self.stop(name).await;
        self.spawn(&pipeline);
        Ok(())
    }

    /// Lets a pipeline that was paused or has failed go on.
    ///
    /// # Errors
    /// There is none; the catalogue's disk.
    pub async fn resume(&self, name: &str) -> Result<(), ProcessError> {
        let _changing = self.changing.lock().await;
        let commands = self.commands(name)?;
        if self.shared.catalogue.pipeline(name).is_some_and(|pipeline| pipeline.paused) {
            self.shared.catalogue.set_paused(name, false)?;
            // Whoever looks now is not told that it is paused still.
            self.shared.set_state(name, PipelineState::Starting, None);
        }
        // A task that has ended in the meantime needs no waking.
        let _ = commands.send(Command::Resume).await;
        Ok(())
    }

    /// Makes what a pipeline has written durable and committed.
    ///
    /// # Errors
    /// There is none, or it fails while it does so.
    pub async fn checkpoint(&self, name: &str) -> Result<(), ProcessError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands(name)?;
        let ended = || ProcessError::Internal(format!("pipeline {name:?} ended meanwhile"));
        commands.send(Command::Checkpoint(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| {
            let reason = self.shared.status_of(name).and_then(|status| status.reason);
            ProcessError::Internal(reason.unwrap_or_else(|| format!("pipeline {name:?} failed")))
        })?
    }

    /// The same for all; the first failure is returned after all were tried.
    ///
    /// # Errors
    /// As for one.
    pub async fn checkpoint_all(&self) -> Result<(), ProcessError> {
        let names: Vec<String> = self.tasks.lock().keys().cloned().collect();
        let all = names.iter().map(|name| self.checkpoint(name));
        futures::future::join_all(all).await.into_iter().collect()
    }

    /// A materialized view that is kept here, or `None`.
    pub fn view(&self, name: &str) -> Option<Arc<View>> {
        self.shared.views.get(name)
    }

    /// Every pipeline as it is now, by name; without the ages of what is unread.
    pub fn pipelines(&self) -> Vec<PipelineStatus> {
        self.shared.statuses()
    }

    /// Every pipeline as it is now, by name. Reads one record of each partition that a pipeline
    /// is behind in.
    pub async fn overview(&self) -> Vec<PipelineStatus> {
        let mut statuses = self.shared.statuses();
        for status in &mut statuses {
            self.shared.measure_ages(status).await;
        }
        statuses
    }

    /// One pipeline as it is now; without the age of what is unread.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn status(&self, name: &str) -> Result<PipelineStatus, ProcessError> {
        self.shared.measured(name).ok_or_else(|| self.missing(name))
    }

    /// Stops every pipeline after a last checkpoint.
    ///
    /// # Errors
    /// None today: a pipeline that fails to stop in order is taken up from its manifest.
    pub async fn shutdown(&self) -> Result<(), ProcessError> {
        let names: Vec<String> = self.tasks.lock().keys().cloned().collect();
        futures::future::join_all(names.iter().map(|name| self.stop(name))).await;
        self.shared.end_outliving().await;
        Ok(())
    }

    fn spawn(&self, pipeline: &Pipeline) {
        let mut tasks = self.tasks.lock();
        if tasks.contains_key(&pipeline.name) {
            return;
        }
        self.shared.begin(pipeline);
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let handle = tokio::spawn(supervise(self.shared.clone(), pipeline.name.clone(), receiver));
        let task = Task { incarnation: pipeline.incarnation, commands, handle };
        tasks.insert(pipeline.name.clone(), task);
    }

    /// Ends a pipeline's task after a last checkpoint.
    async fn stop(&self, name: &str) {
        self.end(name, Command::Stop).await;
    }

    async fn end(&self, name: &str, command: Command) {
        let Some(task) = self.tasks.lock().remove(name) else { return };
        // A task that has ended already is what we want.
        let _ = task.commands.send(command).await;
        if let Err(error) = task.handle.await {
            tracing::error!(pipeline = name, %error, "pipeline ended badly");
        }
    }

    fn commands(&self, name: &str) -> Result<mpsc::Sender<Command>, ProcessError> {
        let tasks = self.tasks.lock();
        tasks.get(name).map(|task| task.commands.clone()).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> ProcessError {
        let pipelines = self.shared.catalogue.pipelines();
        let names = pipelines.iter().map(|pipeline| pipeline.name.as_str());
        ProcessError::NoPipeline { name: name.to_string(), hint: did_you_mean(name, names) }
    }
}
