//! The tick loop of a pipeline.
//!
//! Guarantees: a tick takes what has arrived, up to a bound in records and in time, drives it
//! through the operators and writes it at its end; it wakes on data, on a due checkpoint or on a
//! command, never by polling. A row that fails is a dead letter and no more.
//! Left out: what happens when the loop itself fails, which the supervisor decides.

use super::checkpoint::{self, Checkpoint, Runtime, is_stateless};
use super::job::{JobTick, TickLimits};
use super::output::{LetterWriter, lake_rows};
use super::sinks::Feeds;
use crate::view::{View, ViewSnapshot};
use crate::{ProcessError, dead_letters};
use arrow::array::RecordBatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tradewind_types::{DeadLetter, SinkError};

/// How many times longer a checkpoint of positions alone may wait: it saves reading again, and
/// nothing else.
const IDLE_FACTOR: u32 = 10;
/// Checkpoints for readers who wait take at most this part of the time: with much state one of them
/// may write all of it.
const CHECKPOINT_SHARE: u32 = 10;
/// Bytes due, as a multiple of `commit_bytes`, at which a pipeline whose commit is still under way
/// stops reading.
const BACKPRESSURE_FACTOR: usize = 2;

/// What a running pipeline can be asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Checkpoint and commit now.
    Checkpoint(oneshot::Sender<Result<(), ProcessError>>),
    /// Checkpoint, commit, end.
    Stop,
    /// The same, and leave the view to its readers until a new definition answers.
    Replace,
    /// Try again at once: only a pipeline that stands still listens to it.
    Resume,
}

/// How a run was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop.
    Stopped,
    /// A new definition takes its place.
    Replaced,
}

/// What has been taken in since the last checkpoint.
#[derive(Debug, Default)]
struct Open {
    rows: usize,
    /// When the first of it came: rows or, where there are none, positions.
    since: Option<Instant>,
}

/// What a tick has written.
#[derive(Debug, Default)]
struct Written {
    rows: usize,
    dead_letters: usize,
    late_events: usize,
}

/// Runs a pipeline until it is told to stop.
///
/// # Errors
/// Whatever ends it: the runtime is useless then, and a new one takes up from the manifest.
pub(crate) async fn run(
    runtime: &mut Runtime,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Ended, ProcessError> {
    let mut open = Open::default();
    // Where nothing came since the checkpoint no tick will show the view.
    runtime.publish(&mut JobTick::default())?;
    loop {
        let due = runtime.due(&open);
        let full = runtime.is_full();
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Checkpoint(reply)) => runtime.answer(&mut open, reply).await?,
                Some(Command::Resume) => {}
                Some(Command::Replace) => {
                    runtime.stop(&open).await;
                    return Ok(Ended::Replaced);
                }
                Some(Command::Stop) | None => {
                    runtime.stop(&open).await;
                    return Ok(Ended::Stopped);
                }
            },
            result = join(&mut runtime.committing) => runtime.commit_ended(result).await?,
            () = until(due) => {
                runtime.checkpoint().await?;
                open = Open::default();
            }
            ready = runtime.job.ready(), if !full => {
                ready?;
                runtime.tick(&mut open).await?;
                // Others on this thread come in between two ticks.
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The end of a checkpoint, or never where there is none.
async fn join(
    checkpoint: &mut Option<Checkpoint>,
) -> Result<Result<checkpoint::Written, ProcessError>, tokio::task::JoinError> {
    match checkpoint {
        Some(checkpoint) => (&mut checkpoint.handle).await,
        None => std::future::pending().await,
    }
}

impl Runtime {
    /// When the next checkpoint is due; not before the last one is committed.
    fn due(&self, open: &Open) -> Option<Instant> {
        let since = open.since.filter(|_| self.committing.is_none())?;
        if self.open_bytes() >= self.shared.settings.commit_bytes {
            return Some(since);
        }
        let interval = Duration::from_millis(self.shared.settings.commit_interval_ms);
        let within = self.sinks.iter().filter_map(|sink| sink.sink.commit_within_ms()).min();
        if let Some(within) = within.filter(|_| open.rows > 0) {
            let within = Duration::from_millis(within).max(self.took * CHECKPOINT_SHARE);
            return Some(since + within.min(interval));
        }
        Some(since + if open.rows > 0 { interval } else { interval * IDLE_FACTOR })
    }

    fn open_bytes(&self) -> usize {
        self.sinks.iter().map(|sink| sink.sink.open_bytes()).sum()
    }

    fn is_full(&self) -> bool {
        let bound = self.shared.settings.commit_bytes.saturating_mul(BACKPRESSURE_FACTOR);
        self.committing.is_some() && self.open_bytes() >= bound
    }

    async fn answer(
        &mut self,
        open: &mut Open,
        reply: oneshot::Sender<Result<(), ProcessError>>,
    ) -> Result<(), ProcessError> {
        if open.since.is_some() {
            self.checkpoint().await?;
            *open = Open::default();
        }
        self.finish_commit().await?;
        // Whoever asked may have gone.
        let _ = reply.send(Ok(()));
        Ok(())
    }

    /// Ends after a last checkpoint. One that fails is no reason to stay: the next start takes up
    /// from the manifest.
    async fn stop(&mut self, open: &Open) {
        let mut last = Ok(());
        if open.since.is_some() {
            last = self.checkpoint().await;
        }
        if let Err(error) = last.and(self.finish_commit().await).and_then(|()| self.show()) {
            tracing::warn!(pipeline = self.pipeline.name, %error, "the last checkpoint failed");
            self.shared.failed(&self.pipeline.name, &error);
        }
    }

    /// Shows the readers of a view what the checkpoint holds that was just written or read. They
    /// see it until the pipeline goes on.
    pub(crate) fn show(&mut self) -> Result<(), ProcessError> {
        if let Some(view) = self.view.clone() {
            if view.snapshot().is_none() {
                self.publish_rows(&view, Vec::new())?;
            }
            view.settle(self.epoch);
        }
        Ok(())
    }

    fn limits(&self) -> TickLimits {
        let settings = &self.shared.settings;
        let budget_us = (settings.tick_budget_ms * 1_000) as i64;
        TickLimits { rows_max: settings.tick_rows_max, budget_us }
    }

    /// A tick for the readers of the view alone.
    pub(super) async fn follow_on(&mut self) -> Result<(), ProcessError> {
        let mut tick = self.job.tick(self.limits()).await?;
        self.positions = self.job.positions();
        self.publish(&mut tick)
    }

    async fn tick(&mut self, open: &mut Open) -> Result<(), ProcessError> {
        let started = std::time::Instant::now();
        let mut tick = self.job.tick(self.limits()).await?;
        self.note_evicted();
        let letters = LetterWriter {
            pipeline: &self.pipeline.name,
            plan: &self.job.plan,
            log: &self.shared.log,
            clock: &self.shared.clock,
        };
        let mut dead = letters.dead(&mut tick).await?;
        let late = letters.late(&mut tick)?;
        let written = self.write_tick(&mut tick, &mut dead, &late).await?;
        self.positions = self.job.positions();
        self.publish(&mut tick)?;
        let rows = written.rows + written.dead_letters + written.late_events;
        if tick.records > 0 || rows > 0 {
            if open.since.is_none() || (open.rows == 0 && rows > 0) {
                open.since = Some(Instant::now());
            }
            open.rows += rows;
        }
        self.report(tick.records, &written, started);
        Ok(())
    }

    /// Says when state begins to leave memory, and when all of it is back.
    fn note_evicted(&mut self) {
        let evicted = self.job.executor.has_evicted();
        if evicted == std::mem::replace(&mut self.evicted, evicted) {
            return;
        }
        let (pipeline, bytes_max) = (&self.pipeline.name, self.shared.settings.state_memory_bytes);
        if evicted {
            tracing::info!(pipeline, bytes_max, "state does not fit: part of it is on disk");
        } else {
            tracing::info!(pipeline, "state is in memory again");
        }
    }

    /// Writes what a tick has put out to the sinks.
    async fn write_tick(
        &mut self,
        tick: &mut JobTick,
        dead: &mut Vec<DeadLetter>,
        late: &[DeadLetter],
    ) -> Result<Written, ProcessError> {
        let mut written = Written::default();
        for index in 0..self.sinks.len() {
            let batches = match self.sinks[index].feeds {
                Feeds::Rows(sink) => {
                    let batches = std::mem::take(&mut tick.sinks[sink]);
                    written.rows += count(&batches);
                    let batches = self.as_written(index, sink, &batches)?;
                    let began = std::time::Instant::now();
                    self.write(index, batches).await?;
                    self.sink_busy[sink] += began.elapsed();
                    // Dead letters are written after the rows: theirs is the same tick.
                    dead.extend(self.sinks[index].sink.take_rejected());
                    continue;
                }
                Feeds::DeadLetters => {
                    written.dead_letters = dead.len();
                    self.letter_rows(index, dead)?
                }
                Feeds::LateEvents => {
                    written.late_events = late.len();
                    self.letter_rows(index, late)?
                }
            };
            self.write(index, batches).await?;
        }
        // A view's changes are no rows of a sink, and count all the same.
        written.rows += tick.sinks.iter().map(|batches| count(batches)).sum::<usize>();
        Ok(written)
    }

    /// Rows as their sink takes them: a lake table with its two hidden columns.
    fn as_written(
        &self,
        index: usize,
        sink: usize,
        batches: &[RecordBatch],
    ) -> Result<Vec<RecordBatch>, ProcessError> {
        if !self.sinks[index].table.is_lake() {
            return Ok(batches.to_vec());
        }
        let hidden = self.job.plan.sinks[sink].hidden;
        batches.iter().map(|batch| lake_rows(batch, hidden)).collect()
    }

    fn letter_rows(
        &self,
        index: usize,
        letters: &[DeadLetter],
    ) -> Result<Vec<RecordBatch>, ProcessError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let batch = dead_letters::rows(&self.sinks[index].table, letters);
        Ok(vec![batch.map_err(|error| ProcessError::Internal(error.to_string()))?])
    }

    /// Writes a tick's rows. A sink without room gets some by the checkpoint that is under way, or
    /// by one of what was written before.
    async fn write(&mut self, index: usize, batches: Vec<RecordBatch>) -> Result<(), ProcessError> {
        if batches.is_empty() {
            return Ok(());
        }
        match self.sinks[index].sink.write(batches.clone()).await {
            Err(SinkError::Transient { reason, .. }) => {
                tracing::debug!(pipeline = self.pipeline.name, reason, "making room");
                // With state a checkpoint would hold this tick's state and the positions before.
                if index == 0 && is_stateless(&self.job.plan) {
                    self.checkpoint().await?;
                }
                self.finish_commit().await?;
                Ok(self.sinks[index].sink.write(batches).await?)
            }
            other => Ok(other?),
        }
    }

    /// Shows the readers of a view what it is now, once it has caught up.
    fn publish(&mut self, tick: &mut JobTick) -> Result<(), ProcessError> {
        let Some(view) = self.view.clone() else { return Ok(()) };
        let changes: Vec<RecordBatch> = tick.sinks.iter_mut().flat_map(std::mem::take).collect();
        self.catching_up.retain(|(source, partition), target| {
            self.positions[*source].get(partition).is_some_and(|position| position < target)
        });
        if !self.catching_up.is_empty() {
            return Ok(());
        }
        if changes.is_empty() && view.snapshot().is_some() {
            view.advance(self.source_positions().into());
            return Ok(());
        }
        self.publish_rows(&view, changes)
    }

    fn publish_rows(
        &mut self,
        view: &Arc<View>,
        changes: Vec<RecordBatch>,
    ) -> Result<(), ProcessError> {
        let Some(node) = self.job.plan.view else { return Ok(()) };
        self.view_epoch += 1;
        let snapshot = ViewSnapshot {
            epoch: self.view_epoch,
            table: Arc::new(self.job.executor.publish(node)?),
            positions: self.source_positions().into(),
        };
        view.publish(snapshot, changes);
        self.shared.shown(view);
        Ok(())
    }

    fn report(&mut self, records: usize, written: &Written, started: std::time::Instant) {
        let work = self.work();
        let (name, took) = (&self.pipeline.name, started.elapsed());
        self.shared.update(name, |status| {
            for (source, positions) in status.sources.iter_mut().zip(&self.positions) {
                source.positions.clone_from(positions);
            }
            for (operator, work) in status.operators.iter_mut().zip(work) {
                operator.work = work;
            }
            status.ticks += 1;
            status.busy += took;
            status.records_in += records as u64;
            status.rows_out += written.rows as u64;
            status.dead_letters += written.dead_letters as u64;
            status.late_events += written.late_events as u64;
            status.lost_records = self.job.lost();
        });
        metrics::gauge!("tradewind_state_memory_bytes")
            .set(self.shared.budget.state_bytes() as f64);
        metrics::histogram!("tradewind_pipeline_tick_seconds", "pipeline" => name.clone())
            .record(took.as_secs_f64());
    }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
