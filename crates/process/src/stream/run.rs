//! Runs a plan to the end of its sources: `tradewind run`, and tests of what a query answers.
//!
//! Guarantees: when it returns without being stopped, every row of bounded sources has taken
//! effect and every window has been given.
//! Left out: checkpoints: a run that is cut short begins anew.

use super::job::{Job, JobTick, TickLimits};
use super::plan::{SinkPlan, StreamPlan};
use super::scratch::DiskScratch;
use super::sink::{SinkEnvironment, open_sink};
use super::source::{SourceEnvironment, open_source};
use crate::ProcessError;
use arrow::array::RecordBatch;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tradewind_dataflow::{Eviction, ExecutorSettings, StateBudget};
use tradewind_types::{DeadLetter, Sink, SinkError};

/// How a plan is run.
#[derive(Debug, Clone, Copy)]
pub struct RunSettings {
    /// How operators run.
    pub executor: ExecutorSettings,
    /// How much one tick takes in.
    pub limits: TickLimits,
    /// How much memory operators' state may take; the rest goes to files of the system's temporary
    /// folder.
    pub state_memory_bytes: usize,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Records taken in.
    pub records: u64,
    /// Rows put out, those taken back included.
    pub rows: u64,
    /// Records and rows that could not be read or computed.
    pub dead_letters: u64,
    /// Why the first of them could not.
    pub first_dead_letter: Option<String>,
    /// Rows that came after their windows.
    pub late_events: u64,
    /// Ticks.
    pub ticks: u64,
    /// From the first tick to the last.
    pub elapsed: Duration,
}

/// Takes the rows of a plan's `Target::Query` sinks.
pub trait RowWriter: Send {
    /// The rows of one tick.
    ///
    /// # Errors
    /// Whoever asked is gone.
    fn write(&mut self, plan: &SinkPlan, rows: &[RecordBatch]) -> Result<(), SinkError>;
}

/// Runs a plan until its sources end or `stop` does.
///
/// # Errors
/// A source, a sink or an operator failed.
pub async fn run(
    plan: Arc<StreamPlan>,
    environment: &SourceEnvironment,
    settings: RunSettings,
    writer: &mut dyn RowWriter,
    stop: impl Future<Output = ()> + Send,
) -> Result<RunReport, ProcessError> {
    let mut sources = Vec::with_capacity(plan.sources.len());
    for source in &plan.sources {
        sources.push(open_source(environment, source, true).await?);
    }
    let mut sinks: Vec<Option<Box<dyn Sink>>> = Vec::with_capacity(plan.sinks.len());
    for (index, sink) in plan.sinks.iter().enumerate() {
        let to = SinkEnvironment {
            // A run that is cut short begins anew: nothing settles what it had open.
            writer: None,
            clock: environment.clock.clone(),
            name: environment.name.clone(),
            id: format!("run-{index}"),
            origin: None,
        };
        sinks.push(open_sink(sink, &to.id, &to)?);
    }
    let eviction = Eviction {
        budget: StateBudget::new(settings.state_memory_bytes, usize::MAX),
        scratch: Arc::new(DiskScratch::temporary()),
    };
    let clock = environment.clock.clone();
    let mut job = Job::new(plan, sources, clock, settings.executor, Some(eviction))?;
    let mut report = RunReport::default();
    let started = Instant::now();
    tokio::pin!(stop);
    while !job.ended() {
        tokio::select! {
            biased;
            () = &mut stop => break,
            ready = job.ready() => ready?,
        }
        let tick = job.tick(settings.limits).await?;
        write(&job.plan.clone(), tick, &mut sinks, writer, &mut report).await?;
    }
    for sink in sinks.iter_mut().flatten() {
        let staged = sink.stage(1).await?;
        sink.commit(&staged).await?;
    }
    report.elapsed = started.elapsed();
    Ok(report)
}

async fn write(
    plan: &StreamPlan,
    tick: JobTick,
    sinks: &mut [Option<Box<dyn Sink>>],
    writer: &mut dyn RowWriter,
    report: &mut RunReport,
) -> Result<(), ProcessError> {
    report.ticks += 1;
    report.records += tick.records as u64;
    note_dead(&tick, report);
    report.late_events += tick.late.iter().map(|late| late.rows.num_rows() as u64).sum::<u64>();
    for ((rows, sink), planned) in tick.sinks.into_iter().zip(sinks).zip(&plan.sinks) {
        report.rows += rows.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        match sink {
            Some(sink) => sink.write(rows).await?,
            None => writer.write(planned, &rows)?,
        }
    }
    Ok(())
}

fn note_dead(tick: &JobTick, report: &mut RunReport) {
    report.dead_letters += (tick.rejected.len() + tick.errors.len()) as u64;
    if report.first_dead_letter.is_some() {
        return;
    }
    let record = |letter: &DeadLetter| match &letter.position {
        Some((name, _, offset)) => format!("{name} at {offset}: {}", letter.reason),
        None => letter.reason.clone(),
    };
    let row =
        |error: &tradewind_dataflow::RowError| format!("{}: {}", error.expression, error.reason);
    let first = tick.rejected.first().map(record);
    report.first_dead_letter = first.or_else(|| tick.errors.first().map(row));
}
