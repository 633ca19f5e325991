//! A pipeline's runtime between two checkpoints, and the checkpoint itself.
//!
//! Guarantees: the order is stage, state files, manifest, commit, prune, and never another; the
//! next checkpoint waits for the end of the last one; ticks do not, except for the staging and the
//! copying of what has changed in the operators' state.
//! Left out: when a checkpoint is due, which the tick loop knows.

use super::job::Job;
use super::manifest::{Manifest, ManifestStore, SinkWork, SourcePositions, state_files};
use super::plan::{StreamPlan, Target};
use super::scratch::{DiskScratch, evicted_dir};
use super::sinks::{self, OpenSink};
use super::source::open_source;
use super::state_store::{OperatorState, StateStore};
use super::transactions;
use crate::shared::Shared;
use crate::view::View;
use crate::{EngineSettings, ProcessError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinHandle};
use tradewind_dataflow::{Eviction, ExecutorSettings, OperatorKind, OperatorWork, StateRows};
use tradewind_sql::Pipeline;
use tradewind_types::connector::{Committer, Positions};
use tradewind_types::{
    Epoch, Offset, PartitionId, SinkError, Source, SourceError, Staged, TimestampMicros,
};

/// Changes to an operator's state are folded into one whole file when their files are this many.
const CHANGE_FILES_MAX: usize = 16;

/// Offsets by source and partition.
type Ends = BTreeMap<(usize, PartitionId), Offset>;

/// A pipeline, open.
pub(crate) struct Runtime {
    pub(super) shared: Arc<Shared>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) job: Job,
    pub(super) sinks: Vec<OpenSink>,
    /// The view it keeps, if it does.
    pub(crate) view: Option<Arc<View>>,
    manifests: ManifestStore,
    states: StateStore,
    /// What the last checkpoint's manifest says of each operator's state.
    kept: BTreeMap<String, OperatorState>,
    /// The state files of the newest manifest.
    named: BTreeSet<String>,
    topic_ids: Vec<String>,
    /// Where the sources were when the last tick was written.
    pub(crate) positions: Vec<Positions>,
    pub(crate) epoch: Epoch,
    /// When the manifest was written that it goes on from, if it goes on.
    pub(crate) taken_up_at: Option<TimestampMicros>,
    /// How long each of the plan's sinks took to write, by its number.
    pub(super) sink_busy: Vec<Duration>,
    /// Up to where the log reached at the start: by source and partition, until it is reached.
    pub(super) catching_up: Ends,
    /// Whether any state is out of memory.
    pub(super) evicted: bool,
    /// The number of the view's last tick.
    pub(super) view_epoch: u64,
    /// The checkpoint that is under way.
    pub(super) committing: Option<Checkpoint>,
    /// How long the last one took.
    pub(super) took: Duration,
}

/// A checkpoint that is under way.
pub(crate) struct Checkpoint {
    pub(super) handle: JoinHandle<Result<Written, ProcessError>>,
    begun: Instant,
    epoch: Epoch,
    positions: Vec<Positions>,
    /// What is committed through the sinks themselves, by their index.
    rest: Vec<(usize, Staged)>,
}

/// What a checkpoint has written.
pub(super) struct Written {
    state: Vec<OperatorState>,
    /// Of state files and manifest.
    bytes: u64,
}

/// What is done beside the ticks.
struct Background {
    manifests: ManifestStore,
    states: StateStore,
    /// The rows to write, and whether they are all of their operator's state.
    rows: Vec<(StateRows, bool)>,
    kept: BTreeMap<String, OperatorState>,
    fingerprints: BTreeMap<String, String>,
    manifest: Manifest,
    committers: Vec<(Box<dyn Committer>, Staged)>,
    settings: EngineSettings,
}

impl Runtime {
    /// Opens the sources and the sinks and takes up where the newest manifest stands.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        pipeline: Arc<Pipeline>,
        plan: StreamPlan,
        view: Option<Arc<View>>,
    ) -> Result<Self, ProcessError> {
        let plan = Arc::new(plan);
        let dir = shared.dir.join(&pipeline.id);
        let manifests = ManifestStore::open(shared.disk.clone(), dir.clone())?;
        let states = StateStore::new(shared.disk.clone(), dir.clone());
        let newest = manifests.newest()?;
        transactions::settle(&shared, &pipeline.id, newest.as_ref()).await?;
        if let Some(view) = &view {
            view.take_up(newest.as_ref().map_or(0, |manifest| manifest.epoch));
        }
        // Rows go on where an older incarnation stood; what is computed over all rows begins anew.
        let taken_up = newest
            .as_ref()
            .filter(|manifest| manifest.incarnation == pipeline.incarnation || is_stateless(&plan));
        let taken_up_at = taken_up.map(|manifest| manifest.written_at);
        let sources = open_sources(&shared, &pipeline, &plan, taken_up).await?;
        let topic_ids = plan.sources.iter().map(|source| topic_id(&shared, source));
        let topic_ids = topic_ids.collect::<Result<Vec<_>, _>>()?;
        let state_ttl_ms = shared.settings.state_ttl_ms;
        let settings = ExecutorSettings { state_ttl_ms, ..shared.settings.executor };
        let scratch = Arc::new(DiskScratch::open(
            shared.disk.clone(),
            dir.join(evicted_dir(pipeline.incarnation)),
        )?);
        let eviction = Eviction { budget: shared.budget.clone(), scratch };
        let mut job = Job::new(plan, sources, shared.clock.clone(), settings, Some(eviction))?;
        let mut kept = BTreeMap::new();
        if let Some(manifest) = taken_up {
            resume(&mut job, manifest, &topic_ids)?;
            kept = restore_state(&mut job, manifest, &states)?;
        }
        let sinks = sinks::open(&shared, &pipeline, &job.plan, newest.as_ref()).await?;
        let is_new = newest.as_ref().is_none_or(|last| last.incarnation < pipeline.incarnation);
        let (catching_up, view_epoch) = beginning(&shared, &job, view.as_deref())?;
        let mut runtime = Self {
            positions: job.positions(),
            taken_up_at,
            sink_busy: vec![Duration::ZERO; job.plan.sinks.len()],
            named: newest.as_ref().map(|manifest| state_files(&manifest.state)).unwrap_or_default(),
            epoch: newest.map_or(0, |manifest| manifest.epoch),
            evicted: false,
            catching_up,
            view_epoch,
            shared,
            pipeline,
            job,
            sinks,
            view,
            manifests,
            states,
            kept,
            topic_ids,
            committing: None,
            took: Duration::ZERO,
        };
        runtime.hold(&runtime.positions);
        if is_new {
            // From now on it is on disk where this incarnation began.
            runtime.checkpoint().await?;
            runtime.finish_commit().await?;
        }
        Ok(runtime)
    }

    /// Closes the epoch, and begins to make it durable and to commit it.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), ProcessError> {
        self.finish_commit().await?;
        let begun = Instant::now();
        let epoch = self.epoch + 1;
        let mut staged = Vec::with_capacity(self.sinks.len());
        for sink in &mut self.sinks {
            staged.push(sink.sink.stage(epoch).await?);
        }
        let rows = self.changed_state()?;
        let manifest = self.manifest(epoch, &staged);
        let (mut committers, mut rest) = (Vec::new(), Vec::new());
        for (index, staged) in staged.into_iter().enumerate().filter(|(_, one)| one.rows > 0) {
            match self.sinks[index].sink.committer() {
                Some(committer) => committers.push((committer, staged)),
                None => rest.push((index, staged)),
            }
        }
        let work = Background {
            manifests: self.manifests.clone(),
            states: self.states.clone(),
            rows,
            kept: self.kept.clone(),
            fingerprints: self.fingerprints(),
            manifest,
            committers,
            settings: self.shared.settings.clone(),
        };
        self.epoch = epoch;
        let positions = self.positions.clone();
        let handle = tokio::spawn(work.run());
        self.committing = Some(Checkpoint { handle, begun, epoch, positions, rest });
        Ok(())
    }

    /// The state's changes, or all of it where the changes have become many files.
    fn changed_state(&mut self) -> Result<Vec<(StateRows, bool)>, ProcessError> {
        let many = |state: &OperatorState| {
            let (full, changes): (Vec<_>, Vec<_>) = state.files.iter().partition(|file| file.full);
            let bytes = |files: &[&super::state_store::StateFile]| -> u64 {
                files.iter().map(|file| file.bytes).sum()
            };
            changes.len() >= CHANGE_FILES_MAX && bytes(&changes) >= bytes(&full)
                || changes.len() >= 4 * CHANGE_FILES_MAX
        };
        let mut rows = Vec::new();
        for id in self.job.executor.stateful() {
            let fold = self.kept.get(&*id.0).is_some_and(many);
            let taken = match fold {
                true => self.job.executor.take_all(&id)?,
                false => self.job.executor.take_changes(&id)?,
            };
            rows.extend(taken.map(|taken| (taken, fold)));
        }
        Ok(rows)
    }

    fn fingerprints(&self) -> BTreeMap<String, String> {
        let graph = &self.job.plan.graph;
        let nodes = graph.nodes.iter().enumerate();
        let of = |(index, node): (usize, &tradewind_dataflow::Node)| {
            Some((node.id.to_string(), graph.fingerprint(index)?))
        };
        nodes.filter_map(of).collect()
    }

    fn manifest(&self, epoch: Epoch, staged: &[Staged]) -> Manifest {
        let work = |(sink, staged): (&OpenSink, &Staged)| SinkWork {
            sink: sink.id.clone(),
            staged: staged.clone(),
        };
        Manifest {
            pipeline_id: self.pipeline.id.clone(),
            pipeline: self.pipeline.name.clone(),
            incarnation: self.pipeline.incarnation,
            epoch,
            written_at: self.shared.clock.now_us(),
            sources: self.source_positions(),
            state: Vec::new(),
            watermarks: self.job.executor.watermarks(),
            staged: self.sinks.iter().zip(staged).map(work).collect(),
        }
    }

    /// Where each source was when the last tick was written.
    pub(super) fn source_positions(&self) -> Vec<SourcePositions> {
        let sources = self.job.plan.sources.iter().enumerate();
        let one = |(index, source): (usize, &super::plan::SourcePlan)| SourcePositions {
            operator: source_id(index),
            topic: source_name(source).to_string(),
            topic_id: self.topic_ids[index].clone(),
            positions: self.positions[index].clone(),
        };
        sources.map(one).collect()
    }

    /// Waits until no checkpoint is under way, however it ends: the next runtime's recovery must
    /// not meet one half way, and finishes what this one could not.
    pub(crate) async fn settle(&mut self) {
        if let Some(checkpoint) = self.committing.take() {
            // Its error is in the log, or the pipeline is failing with another one.
            let _ = checkpoint.handle.await;
        }
    }

    /// Ends the transactions that are open when nothing is written any more, so that readers of a
    /// topic do not wait for a pipeline that stands still.
    pub(crate) async fn release(&mut self) {
        let topics = self.sinks.iter().any(|sink| sink.table.topic().is_some());
        if !topics {
            return;
        }
        let settled = transactions::settle_as_stored(&self.shared, &self.pipeline.id).await;
        if let Err(error) = settled {
            tracing::warn!(pipeline = self.pipeline.name, %error, "its transactions stay open");
        }
    }

    /// Waits for the checkpoint that is under way, if any.
    pub(crate) async fn finish_commit(&mut self) -> Result<(), ProcessError> {
        match self.committing.as_mut() {
            None => Ok(()),
            Some(checkpoint) => {
                let result = (&mut checkpoint.handle).await;
                self.commit_ended(result).await
            }
        }
    }

    /// Takes in how a checkpoint ended.
    pub(super) async fn commit_ended(
        &mut self,
        result: Result<Result<Written, ProcessError>, JoinError>,
    ) -> Result<(), ProcessError> {
        let Some(checkpoint) = self.committing.take() else { return Ok(()) };
        let broken = |error| ProcessError::Internal(format!("the checkpoint ended: {error}"));
        let written = result.map_err(broken)??;
        for (index, staged) in &checkpoint.rest {
            self.sinks[*index].sink.commit(staged).await?;
        }
        self.hold(&checkpoint.positions);
        self.took = checkpoint.begun.elapsed();
        self.report_commit(checkpoint, written.bytes);
        // What the manifest before names is kept for as long as it is.
        let files = state_files(&written.state);
        let before = std::mem::replace(&mut self.named, files);
        self.kept = written.state.into_iter().map(|one| (one.operator.clone(), one)).collect();
        self.manifests.prune()?;
        self.states.prune(&before.union(&self.named).cloned().collect())
    }

    fn report_commit(&self, checkpoint: Checkpoint, bytes: u64) {
        let (name, now) = (&self.pipeline.name, self.shared.clock.now_us());
        let took = checkpoint.begun.elapsed();
        self.shared.update(name, |status| {
            status.committed_at = Some(now);
            status.checkpoint_took = took;
            status.checkpoint_bytes = bytes;
            status.epoch = checkpoint.epoch;
            for (source, positions) in status.sources.iter_mut().zip(checkpoint.positions) {
                source.committed = positions;
            }
        });
        metrics::histogram!("tradewind_pipeline_checkpoint_seconds", "pipeline" => name.clone())
            .record(took.as_secs_f64());
    }

    /// What each operator has done since the runtime was opened.
    pub(crate) fn work(&mut self) -> Vec<OperatorWork> {
        let mut work = self.job.work();
        for (node, work) in self.job.plan.graph.nodes.iter().zip(&mut work) {
            if let OperatorKind::Sink(number) = node.kind {
                work.busy += self.sink_busy[number];
            }
        }
        work
    }

    /// Keeps retention off what has no manifest yet.
    fn hold(&self, positions: &[Positions]) {
        for (source, positions) in self.job.plan.sources.iter().zip(positions) {
            let Some(topic) = source.definition.topic() else { continue };
            for (partition, position) in positions {
                let holder = holder(&self.pipeline);
                self.shared.log.hold(&holder, &topic.topic, *partition, Some(*position));
            }
        }
    }
}

impl Background {
    async fn run(mut self) -> Result<Written, ProcessError> {
        let (epoch, mut bytes) = (self.manifest.epoch, 0);
        for (rows, full) in &self.rows {
            let file = self.states.write(epoch, rows, *full)?;
            bytes += file.bytes;
            let operator = rows.operator.to_string();
            let fingerprint = self.fingerprints.get(&operator).cloned().unwrap_or_default();
            let state = self.kept.entry(operator.clone()).or_insert_with(|| OperatorState {
                operator,
                fingerprint,
                files: Vec::new(),
            });
            if *full {
                state.files.clear();
            }
            state.files.push(file);
        }
        self.manifest.state = self.kept.into_values().collect();
        if !self.rows.is_empty() {
            self.states.sync()?;
        }
        bytes += self.manifests.write(&self.manifest)? as u64;
        tracing::debug!(pipeline = self.manifest.pipeline, epoch, "checkpoint");
        for (committer, staged) in &mut self.committers {
            commit(committer.as_mut(), staged, &self.settings).await?;
        }
        Ok(Written { state: self.manifest.state, bytes })
    }
}

/// Under which name a pipeline holds records.
pub(crate) fn holder(pipeline: &Pipeline) -> String {
    format!("pipeline {}", pipeline.name)
}

/// The id of the node of a plan's source: they are numbered in the order they are planned.
fn source_id(index: usize) -> String {
    format!("source-{}", index + 1)
}

/// The topic a source reads, or its table.
pub(crate) fn source_name(source: &super::plan::SourcePlan) -> &str {
    source.definition.topic().map_or(&source.definition.name, |topic| &topic.topic)
}

fn topic_id(shared: &Shared, source: &super::plan::SourcePlan) -> Result<String, ProcessError> {
    let Some(topic) = source.definition.topic() else { return Ok(String::new()) };
    let missing =
        || SourceError::from(tradewind_types::LogError::NoTopic { topic: topic.topic.clone() });
    let info = shared.log.topic(&topic.topic).ok_or_else(missing)?;
    Ok(info.id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The plan's sources, to read from a manifest's positions on or anew.
async fn open_sources(
    shared: &Shared,
    pipeline: &Pipeline,
    plan: &StreamPlan,
    taken_up: Option<&Manifest>,
) -> Result<Vec<Box<dyn Source>>, ProcessError> {
    let mut sources = Vec::with_capacity(plan.sources.len());
    for (index, source) in plan.sources.iter().enumerate() {
        let saved = taken_up.and_then(|manifest| manifest.source(&source_id(index)));
        let positions = saved.map(|saved| &saved.positions);
        let environment = shared.environment(pipeline, source, positions).await?;
        sources.push(open_source(&environment, source, taken_up.is_none()).await?);
    }
    Ok(sources)
}

/// Up to where a view is to catch up before it answers, and the number of its tick before the
/// first.
fn beginning(shared: &Shared, job: &Job, view: Option<&View>) -> Result<(Ends, u64), ProcessError> {
    let shown = view.and_then(View::snapshot);
    // A view that answers goes on answering, whatever has come since it was paused.
    let catching_up = match shown {
        Some(_) => BTreeMap::new(),
        None => log_ends(shared, job)?,
    };
    // Later than any number of an earlier run, as long as clocks go forward.
    let now = u64::try_from(shared.clock.now_us()).unwrap_or(0);
    Ok((catching_up, now.max(shown.map_or(0, |shown| shown.epoch))))
}

/// Where the sources' topics end now.
fn log_ends(shared: &Shared, job: &Job) -> Result<Ends, ProcessError> {
    let mut ends = BTreeMap::new();
    for (index, (source, positions)) in job.plan.sources.iter().zip(job.positions()).enumerate() {
        let Some(topic) = source.definition.topic() else { continue };
        for (partition, position) in positions {
            let marks =
                shared.log.watermarks(&topic.topic, partition).map_err(SourceError::from)?;
            if position < marks.last_stable {
                ends.insert((index, partition), marks.last_stable);
            }
        }
    }
    Ok(ends)
}

/// Puts the sources where a manifest says.
fn resume(job: &mut Job, manifest: &Manifest, topic_ids: &[String]) -> Result<(), ProcessError> {
    let plan = job.plan.clone();
    let positions = job.positions();
    for (index, source) in plan.sources.iter().enumerate() {
        let name = source_name(source);
        let refuse = |reason: String| -> Result<(), ProcessError> {
            Err(SourceError::Position { source_name: name.to_string(), reason }.into())
        };
        let id = source_id(index);
        let Some(saved) = manifest.source(&id) else {
            return refuse(format!("epoch {} has no positions for {id}", manifest.epoch));
        };
        let topic_id = &topic_ids[index];
        if saved.topic != name || saved.topic_id != *topic_id {
            return refuse(format!(
                "its positions are of topic {:?} with id {}, and this has id {topic_id}: drop the pipeline and make it anew",
                saved.topic, saved.topic_id
            ));
        }
        let count = positions[index].len();
        if source.definition.topic().is_some() && saved.positions.len() != count {
            return refuse(format!(
                "it has {count} partitions, and had {} at epoch {}: drop the pipeline and make it anew",
                saved.positions.len(),
                manifest.epoch
            ));
        }
        job.seek(index, &saved.positions)?;
    }
    job.executor.restore_watermarks(&manifest.watermarks);
    Ok(())
}

/// Gives the operators the state a manifest names.
fn restore_state(
    job: &mut Job,
    manifest: &Manifest,
    states: &StateStore,
) -> Result<BTreeMap<String, OperatorState>, ProcessError> {
    let graph = job.plan.graph.clone();
    let mut kept = BTreeMap::new();
    for state in &manifest.state {
        let node = graph.nodes.iter().position(|node| *node.id.0 == *state.operator);
        let now = node.and_then(|node| graph.fingerprint(node)).unwrap_or_default();
        if now != state.fingerprint {
            return Err(ProcessError::StateChanged {
                operator: state.operator.clone(),
                then: state.fingerprint.clone(),
                now,
            });
        }
        for file in &state.files {
            let operator = tradewind_dataflow::OperatorId(state.operator.as_str().into());
            let executor = &mut job.executor;
            states.read(file, |rows| {
                Ok(crate::blocking::blocking(|| executor.restore_rows(&operator, &rows))?)
            })?;
        }
        kept.insert(state.operator.clone(), state.clone());
    }
    Ok(kept)
}

/// Commits, trying again where that may help.
async fn commit(
    committer: &mut dyn Committer,
    staged: &Staged,
    settings: &EngineSettings,
) -> Result<(), SinkError> {
    let mut attempt = 1;
    loop {
        match committer.commit(staged).await {
            Err(error @ SinkError::Transient { .. }) if attempt < settings.retry_attempts_max => {
                tracing::warn!(table = staged.table, epoch = staged.epoch, %error, attempt, "commit failed");
                tokio::time::sleep(settings.backoff(attempt)).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// Whether a plan's operators keep something between ticks that a checkpoint of an earlier tick
/// could not do without.
pub(super) fn is_stateless(plan: &StreamPlan) -> bool {
    let graph = &plan.graph;
    let keeps = |(index, node): (usize, &tradewind_dataflow::Node)| {
        graph.fingerprint(index).is_some() || matches!(node.kind, OperatorKind::AssignWatermark(_))
    };
    !graph.nodes.iter().enumerate().any(keeps)
}

/// The name of the view a plan keeps.
pub(crate) fn view_of(plan: &StreamPlan) -> Option<&str> {
    plan.sinks.iter().find_map(|sink| match &sink.target {
        Target::View(name) => Some(name.as_str()),
        _ => None,
    })
}
