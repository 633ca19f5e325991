//! A pipeline's runtime between two checkpoints, and the checkpoint itself.
//!
//! Guarantees: the order is stage, manifest, commit, prune, and never another; the next checkpoint
//! waits for the last commit; ticks do not, where the sink has a committer.
//! Left out: when a checkpoint is due, which the tick loop knows.

use crate::dead_letters;
use crate::engine::Shared;
use crate::stream::manifest::{Manifest, ManifestStore, SinkWork, SourcePositions};
use crate::stream::plan::StreamPlan;
use crate::stream::source::{TopicReader, TopicSource};
use crate::{EngineSettings, ProcessError};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tradewind_sql::{Pipeline, TableDefinition};
use tradewind_types::connector::{Committer, Positions};
use tradewind_types::{Epoch, Sink, SinkError, Source, SourceError, Staged};

/// The source's operator id: a stateless pipeline has one.
const SOURCE: &str = "source-1";
/// The sink of the pipeline's rows.
const TARGET: &str = "sink-1";
/// The sink of what it could not read or compute.
const DEAD_LETTERS: &str = "dead-letters";

/// A pipeline, open.
pub(crate) struct Runtime {
    pub(super) shared: Arc<Shared>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) plan: StreamPlan,
    pub(super) source: TopicSource,
    pub(super) target: Box<dyn Sink>,
    pub(super) dead: Box<dyn Sink>,
    pub(super) dead_table: TableDefinition,
    manifests: ManifestStore,
    topic_id: String,
    /// Where the source was when the last tick was written.
    pub(super) positions: Positions,
    pub(super) epoch: Epoch,
    /// Where the source was at the last checkpoint.
    durable: Positions,
    /// The commit that is under way.
    pub(super) committing: Option<JoinHandle<Result<(), SinkError>>>,
}

impl Runtime {
    /// Opens the source and the sinks and takes up where the newest manifest stands.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        pipeline: Arc<Pipeline>,
        plan: StreamPlan,
    ) -> Result<Self, ProcessError> {
        let dead_table = dead_letters::table(&shared.catalogue);
        dead_letters::check(&dead_table)?;
        let manifests = ManifestStore::open(shared.disk.clone(), shared.dir.join(&pipeline.id))?;
        let newest = manifests.newest()?;
        let reader = TopicReader {
            log: shared.log.clone(),
            clock: shared.clock.clone(),
            name: format!("pipeline:{}", pipeline.name),
        };
        let mut source = TopicSource::open(&plan.read, reader)?;
        let topic_id = topic_id(&shared, &plan)?;
        match &newest {
            Some(manifest) => resume(&mut source, manifest, &plan, &topic_id)?,
            None => source.seek_to(plan.startup).await?,
        }
        let (target, dead) =
            open_sinks(&shared, &pipeline, &plan, &dead_table, newest.as_ref()).await?;
        let is_new = newest.as_ref().is_none_or(|last| last.incarnation < pipeline.incarnation);
        let mut runtime = Self {
            positions: source.positions(),
            durable: source.positions(),
            epoch: newest.map_or(0, |manifest| manifest.epoch),
            shared,
            pipeline,
            plan,
            source,
            target,
            dead,
            dead_table,
            manifests,
            topic_id,
            committing: None,
        };
        runtime.hold();
        if is_new {
            // From now on it is on disk where this incarnation began.
            runtime.checkpoint().await?;
        }
        Ok(runtime)
    }

    /// Makes what has been written since the last checkpoint durable, and begins to commit it.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), ProcessError> {
        self.finish_commit().await?;
        let epoch = self.epoch + 1;
        let target = self.target.stage(epoch).await?;
        let dead = self.dead.stage(epoch).await?;
        self.manifests.write(&self.manifest(epoch, &target, &dead))?;
        self.epoch = epoch;
        self.durable.clone_from(&self.positions);
        self.hold();
        tracing::debug!(pipeline = self.pipeline.name, epoch, rows = target.rows, "checkpoint");
        self.begin_commit(target, dead).await
    }

    fn manifest(&self, epoch: Epoch, target: &Staged, dead: &Staged) -> Manifest {
        let work = |sink: &str, staged: &Staged| SinkWork {
            sink: sink.to_string(),
            staged: staged.clone(),
        };
        Manifest {
            pipeline_id: self.pipeline.id.clone(),
            pipeline: self.pipeline.name.clone(),
            incarnation: self.pipeline.incarnation,
            epoch,
            written_at: self.shared.clock.now_us(),
            sources: vec![SourcePositions {
                operator: SOURCE.to_string(),
                topic: self.plan.read.topic.clone(),
                topic_id: self.topic_id.clone(),
                positions: self.positions.clone(),
            }],
            state: Vec::new(),
            staged: vec![work(TARGET, target), work(DEAD_LETTERS, dead)],
        }
    }

    /// Commits beside the ticks where the sinks can, else here.
    async fn begin_commit(&mut self, target: Staged, dead: Staged) -> Result<(), ProcessError> {
        let works = [(&mut self.target, target), (&mut self.dead, dead)];
        let mut beside: Vec<(Box<dyn Committer>, Staged)> = Vec::new();
        for (sink, staged) in works {
            // Without rows there is nothing to commit.
            if staged.rows == 0 {
                continue;
            }
            match sink.committer() {
                Some(committer) => beside.push((committer, staged)),
                None => sink.commit(&staged).await?,
            }
        }
        if beside.is_empty() {
            return self.committed();
        }
        let settings = self.shared.settings.clone();
        self.committing = Some(tokio::spawn(async move {
            for (committer, staged) in &mut beside {
                commit(committer.as_mut(), staged, &settings).await?;
            }
            Ok(())
        }));
        Ok(())
    }

    /// Waits until no commit is under way, however it ends: the next runtime's recovery must not
    /// meet one half way, and finishes what this one could not.
    pub(crate) async fn settle(&mut self) {
        if let Some(commit) = self.committing.take() {
            // Its error is in the log, or the pipeline is failing with another one.
            let _ = commit.await;
        }
    }

    /// Where the source stands, and the last checkpoint's number.
    pub(crate) fn positions_and_epoch(&self) -> (Positions, Epoch) {
        (self.positions.clone(), self.epoch)
    }

    /// Waits for the commit that is under way, if any.
    pub(crate) async fn finish_commit(&mut self) -> Result<(), ProcessError> {
        match self.committing.as_mut() {
            None => Ok(()),
            Some(commit) => {
                let result = commit.await;
                self.commit_ended(result)
            }
        }
    }

    /// Takes in how a commit ended.
    pub(super) fn commit_ended(
        &mut self,
        result: Result<Result<(), SinkError>, tokio::task::JoinError>,
    ) -> Result<(), ProcessError> {
        self.committing = None;
        match result {
            Ok(Ok(())) => self.committed(),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(ProcessError::Internal(format!("the commit ended: {error}"))),
        }
    }

    fn committed(&mut self) -> Result<(), ProcessError> {
        let now = self.shared.clock.now_us();
        let epoch = self.epoch;
        self.shared.update(&self.pipeline.name, |status| {
            status.committed_at = Some(now);
            status.committed.clone_from(&self.durable);
            status.epoch = epoch;
        });
        metrics::gauge!("tradewind_pipeline_epoch", "pipeline" => self.pipeline.name.clone())
            .set(epoch as f64);
        self.manifests.prune()
    }

    /// Keeps retention off what has no manifest yet.
    fn hold(&self) {
        for (partition, position) in &self.positions {
            let topic = &self.plan.read.topic;
            self.shared.log.hold(&holder(&self.pipeline), topic, *partition, Some(*position));
        }
    }
}

/// Under which name a pipeline holds records.
pub(crate) fn holder(pipeline: &Pipeline) -> String {
    format!("pipeline {}", pipeline.name)
}

fn topic_id(shared: &Shared, plan: &StreamPlan) -> Result<String, ProcessError> {
    let topic = &plan.read.topic;
    let missing = || SourceError::from(tradewind_types::LogError::NoTopic { topic: topic.clone() });
    let info = shared.log.topic(topic).ok_or_else(missing)?;
    Ok(info.id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts a source where a manifest says.
fn resume(
    source: &mut TopicSource,
    manifest: &Manifest,
    plan: &StreamPlan,
    topic_id: &str,
) -> Result<(), ProcessError> {
    let refuse = |reason: String| {
        Err(SourceError::Position { source_name: plan.read.topic.clone(), reason }.into())
    };
    let Some(saved) = manifest.sources.iter().find(|saved| saved.operator == SOURCE) else {
        return refuse(format!("epoch {} has no positions for {SOURCE}", manifest.epoch));
    };
    if saved.topic != plan.read.topic || saved.topic_id != topic_id {
        return refuse(format!(
            "its positions are of topic {:?} with id {}, and this has id {topic_id}: drop the pipeline and make it anew",
            saved.topic, saved.topic_id
        ));
    }
    if saved.positions.len() != source.positions().len() {
        return refuse(format!(
            "it has {} partitions, and had {} at epoch {}: drop the pipeline and make it anew",
            source.positions().len(),
            saved.positions.len(),
            manifest.epoch
        ));
    }
    source.seek(&saved.positions)?;
    Ok(())
}

/// Opens both sinks and lets them finish what the newest manifest names.
async fn open_sinks(
    shared: &Shared,
    pipeline: &Pipeline,
    plan: &StreamPlan,
    dead_table: &TableDefinition,
    newest: Option<&Manifest>,
) -> Result<(Box<dyn Sink>, Box<dyn Sink>), ProcessError> {
    let work =
        |sink: &str| newest?.staged.iter().find(|work| work.sink == sink).map(|work| &work.staged);
    let sinks = [(TARGET, &plan.target), (DEAD_LETTERS, dead_table)];
    let mut opened = Vec::with_capacity(sinks.len());
    for (sink, table) in sinks {
        let mut last = work(sink);
        if let Some(manifest) = newest.filter(|last| last.incarnation < pipeline.incarnation)
            && let Some(staged) = last.take()
        {
            finish_predecessor(shared, pipeline, manifest.incarnation, sink, staged).await?;
        }
        let name = writer(&pipeline.id, pipeline.incarnation, sink);
        let mut open = shared.sinks.open(table, &name).await?;
        open.recover(last).await?;
        opened.push(open);
    }
    let dead = opened.pop().expect("two sinks were opened");
    let target = opened.pop().expect("two sinks were opened");
    Ok((target, dead))
}

/// Commits what an older incarnation had staged, under its own name.
async fn finish_predecessor(
    shared: &Shared,
    pipeline: &Pipeline,
    incarnation: u64,
    sink: &str,
    staged: &Staged,
) -> Result<(), ProcessError> {
    let table = match shared.catalogue.table(&staged.table) {
        Some(table) => table,
        None if sink == DEAD_LETTERS => dead_letters::table(&shared.catalogue),
        None => {
            tracing::error!(
                pipeline = pipeline.name,
                table = staged.table,
                rows = staged.rows,
                "the table of an older incarnation is gone, and so are its staged rows"
            );
            return Ok(());
        }
    };
    let name = writer(&pipeline.id, incarnation, sink);
    let mut open = shared.sinks.open(&table, &name).await?;
    Ok(open.recover(Some(staged)).await?)
}

/// Under which name a pipeline commits to a table. The table `dead_letters` may be both its target
/// and the place of its dead letters, so the two differ.
fn writer(id: &str, incarnation: u64, sink: &str) -> String {
    match sink {
        TARGET => format!("{id}/{incarnation}"),
        other => format!("{id}/{incarnation}/{other}"),
    }
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
