//! The tick loop of a pipeline.
//!
//! Guarantees: a tick takes what has arrived, up to a bound in records and in time, drives it
//! through the operators and writes it at its end; it wakes on data, on a due checkpoint or on a
//! command, never by polling. A row that fails is a dead letter and no more.
//! Left out: what happens when the loop itself fails, which the supervisor decides.

use super::checkpoint::Runtime;
use super::operator::RowError;
use crate::{ProcessError, dead_letters};
use arrow::array::RecordBatch;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tradewind_types::{DEFAULT_STORE, DeadLetter, SinkError, Source, SourceBatch};

/// Records decoded at once: their columns stay in the cache, and the budget is looked at between.
const CHUNK_RECORDS: usize = 4_096;
/// How many times longer a checkpoint of positions alone may wait: it saves reading again, and
/// nothing else.
const IDLE_FACTOR: u32 = 10;
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
    /// Try again at once: only a pipeline that stands still listens to it.
    Resume,
}

/// What has been taken in since the last checkpoint.
#[derive(Debug, Default)]
struct Open {
    rows: usize,
    /// When the first of it came: rows or, where there are none, positions.
    since: Option<Instant>,
}

/// One tick's rows.
#[derive(Default)]
struct Tick {
    rows: Vec<RecordBatch>,
    letters: Vec<DeadLetter>,
    records: usize,
}

/// Runs a pipeline until it is told to stop.
///
/// # Errors
/// Whatever ends it: the runtime is useless then, and a new one takes up from the manifest.
pub(crate) async fn run(
    runtime: &mut Runtime,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<(), ProcessError> {
    let mut open = Open::default();
    loop {
        let due = runtime.due(&open);
        let full = runtime.is_full();
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Checkpoint(reply)) => runtime.answer(&mut open, reply).await?,
                Some(Command::Resume) => {}
                Some(Command::Stop) | None => {
                    runtime.stop(&open).await;
                    return Ok(());
                }
            },
            result = join(&mut runtime.committing) => runtime.commit_ended(result)?,
            () = until(due) => {
                runtime.checkpoint().await?;
                open = Open::default();
            }
            ready = runtime.source.ready(), if !full => {
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

/// The end of a commit, or never where there is none.
async fn join<T>(
    commit: &mut Option<tokio::task::JoinHandle<T>>,
) -> Result<T, tokio::task::JoinError> {
    match commit {
        Some(commit) => commit.await,
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
        Some(since + if open.rows > 0 { interval } else { interval * IDLE_FACTOR })
    }

    fn open_bytes(&self) -> usize {
        self.target.open_bytes() + self.dead.open_bytes()
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
        if let Err(error) = last.and(self.finish_commit().await) {
            tracing::warn!(pipeline = self.pipeline.name, %error, "the last checkpoint failed");
        }
    }

    async fn tick(&mut self, open: &mut Open) -> Result<(), ProcessError> {
        let started = std::time::Instant::now();
        let tick = self.gather().await?;
        let (rows, letters) = (count(&tick.rows), tick.letters.len());
        if tick.records == 0 {
            return Ok(());
        }
        self.write(tick.rows, rows).await?;
        if letters > 0 {
            let batch = dead_letters::rows(&self.dead_table, &tick.letters);
            let batch = batch.map_err(|error| ProcessError::Internal(error.to_string()))?;
            self.dead.write(vec![batch]).await?;
        }
        self.positions = self.source.positions();
        if open.since.is_none() || (open.rows == 0 && rows + letters > 0) {
            open.since = Some(Instant::now());
        }
        open.rows += rows + letters;
        self.report(tick.records, rows, letters, started);
        Ok(())
    }

    /// Takes what is there through the operators.
    async fn gather(&mut self) -> Result<Tick, ProcessError> {
        let settings = self.shared.settings.clone();
        let started_us = self.shared.clock.now_us();
        let budget_us = (settings.tick_budget_ms * 1_000) as i64;
        let mut tick = Tick::default();
        loop {
            let wanted = CHUNK_RECORDS.min(settings.tick_rows_max - tick.records);
            let before: i64 = self.source.positions().values().sum();
            let batches = self.source.poll(wanted).await?;
            let after: i64 = self.source.positions().values().sum();
            tick.records += usize::try_from(after - before).unwrap_or(0);
            for batch in batches {
                self.run_batch(batch, &mut tick).await?;
            }
            // A clock that jumps ends the tick early or at the bound in records.
            let elapsed_us = self.shared.clock.now_us().saturating_sub(started_us);
            let over = !(0..budget_us).contains(&elapsed_us);
            if after == before || tick.records >= settings.tick_rows_max || over {
                return Ok(tick);
            }
        }
    }

    async fn run_batch(&mut self, input: SourceBatch, tick: &mut Tick) -> Result<(), ProcessError> {
        tick.letters.extend(input.rejected);
        let mut errors = Vec::new();
        let mut batches = vec![input.batch];
        for operator in &self.plan.operators {
            batches.retain(|batch| batch.num_rows() > 0);
            let run = |batch| operator.run(&batch, &mut errors);
            batches = batches.into_iter().flat_map(run).collect();
        }
        tick.rows.extend(batches.into_iter().filter(|batch| batch.num_rows() > 0));
        for error in errors {
            let letter = self.letter(error).await?;
            tick.letters.push(letter);
        }
        Ok(())
    }

    /// A row that failed as a dead letter, with the record it came from.
    async fn letter(&mut self, error: RowError) -> Result<DeadLetter, ProcessError> {
        let (topic, log) = (&self.plan.read.topic, &self.shared.log);
        let records = log.read(topic, error.partition, error.offset, 1).await;
        let records = records.map_err(tradewind_types::SourceError::from)?;
        let found = records.into_iter().find(|record| record.offset == error.offset);
        let raw = found.and_then(|record| record.record.value).unwrap_or_default();
        Ok(DeadLetter {
            store_id: super::source::store_of(&raw).unwrap_or_else(|| DEFAULT_STORE.to_string()),
            source: format!("pipeline:{}", self.pipeline.name),
            reason: format!("{}: {} ({})", error.expression, error.reason, error.operator),
            raw,
            received_at: self.shared.clock.now_us(),
            position: Some((topic.clone(), error.partition, error.offset)),
        })
    }

    /// Writes a tick's rows. A sink without room gets some by a checkpoint of what it has.
    async fn write(&mut self, batches: Vec<RecordBatch>, rows: usize) -> Result<(), ProcessError> {
        if rows == 0 {
            return Ok(());
        }
        match self.target.write(batches.clone()).await {
            Err(SinkError::Transient { reason, .. }) => {
                tracing::debug!(pipeline = self.pipeline.name, reason, "making room");
                // The positions are still those before this tick.
                self.checkpoint().await?;
                self.finish_commit().await?;
                Ok(self.target.write(batches).await?)
            }
            other => Ok(other?),
        }
    }

    fn report(&self, records: usize, rows: usize, letters: usize, started: std::time::Instant) {
        let name = &self.pipeline.name;
        self.shared.update(name, |status| {
            status.positions.clone_from(&self.positions);
            status.records_in += records as u64;
            status.rows_out += rows as u64;
            status.dead_letters += letters as u64;
            status.lost_records = self.source.lost();
        });
        let label = || name.clone();
        metrics::counter!("tradewind_pipeline_records_total", "pipeline" => label())
            .increment(records as u64);
        metrics::counter!("tradewind_pipeline_rows_total", "pipeline" => label())
            .increment(rows as u64);
        metrics::counter!("tradewind_pipeline_dead_letters_total", "pipeline" => label())
            .increment(letters as u64);
        metrics::histogram!("tradewind_pipeline_tick_seconds", "pipeline" => label())
            .record(started.elapsed().as_secs_f64());
    }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
