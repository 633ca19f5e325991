//! A plan that runs: its sources, and the executor they feed.
//!
//! Guarantees: a tick takes what has arrived, up to a bound in rows and in time, and drives it
//! through every operator before it ends; positions and state belong together between two ticks.
//! Left out: sinks, checkpoints, and what becomes of rows that failed.

use crate::ProcessError;
use crate::stream::plan::StreamPlan;
use arrow::array::RecordBatch;
use futures::future::select_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tradewind_dataflow::operator::assign_watermark::WatermarkState;
use tradewind_dataflow::{
    Eviction, Executor, ExecutorSettings, LateRows, OperatorId, OperatorKind, OperatorWork,
    RowError, SourceInput, StateRows,
};
use tradewind_types::connector::Positions;
use tradewind_types::{Clock, DeadLetter, PartitionId, Source};

/// Rows asked of a source at once: divided among the cores their columns stay in the caches, and
/// the budget is looked at between.
const CHUNK_ROWS: usize = 16_384;
/// How long nothing may come from a partition before watermarks do not wait for it.
const IDLE_AFTER: Duration = Duration::from_secs(30);

/// With state out of memory: how many times as many rows a tick may take in, and for how long.
/// The rows are in memory until the tick's end.
const EVICTED_ROWS_FACTOR: usize = 8;
const EVICTED_BUDGET_US: i64 = 1_000_000;

/// How much one tick may take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickLimits {
    /// Rows, about.
    pub rows_max: usize,
    /// Microseconds of reading.
    pub budget_us: i64,
}

/// A running plan.
pub struct Job {
    /// What runs.
    pub plan: Arc<StreamPlan>,
    pub(crate) executor: Executor,
    sources: Vec<JobSource>,
    clock: Arc<dyn Clock>,
    /// The source that is asked first, so that none starves.
    first: usize,
    /// The executor has been told that every source has ended.
    flushed: bool,
    /// How long operators took over the last tick.
    operators_us: i64,
}

/// A source and what is known about it.
struct JobSource {
    source: Box<dyn Source>,
    has_watermark: bool,
    /// When each partition last gave something.
    seen: BTreeMap<PartitionId, Instant>,
    /// Records read, those that are no rows included.
    records: u64,
    /// How long reading and decoding took.
    busy: Duration,
}

/// All that a job needs to go on from some tick.
#[derive(Debug, Clone)]
pub struct JobState {
    /// For each source the next record to read.
    pub positions: Vec<Positions>,
    /// How far event time had come.
    pub watermarks: BTreeMap<OperatorId, WatermarkState>,
    /// What the operators kept.
    pub state: Vec<StateRows>,
}

/// What a tick came to.
#[derive(Debug, Default)]
pub struct JobTick {
    /// Records taken in, those that are no rows included.
    pub records: usize,
    /// For each sink its rows.
    pub sinks: Vec<Vec<RecordBatch>>,
    /// Records that could not be decoded.
    pub rejected: Vec<DeadLetter>,
    /// Rows that could not be computed.
    pub errors: Vec<RowError>,
    /// Rows that came after their windows.
    pub late: Vec<LateRows>,
}

impl Job {
    /// A job over sources in the order of the plan's. Without `eviction` all state stays in memory.
    ///
    /// # Errors
    /// A planner's bug.
    pub fn new(
        plan: Arc<StreamPlan>,
        sources: Vec<Box<dyn Source>>,
        clock: Arc<dyn Clock>,
        settings: ExecutorSettings,
        eviction: Option<Eviction>,
    ) -> Result<Self, ProcessError> {
        let mut executor = Executor::new(plan.graph.clone(), settings)?;
        if let Some(eviction) = eviction {
            executor = executor.evicting(eviction);
        }
        executor.set_now(clock.now_ms())?;
        let now = Instant::now();
        let source = |(source, planned): (Box<dyn Source>, &super::plan::SourcePlan)| {
            let seen = source.positions().into_keys().map(|partition| (partition, now)).collect();
            let has_watermark = planned.has_watermark;
            JobSource { source, has_watermark, seen, records: 0, busy: Duration::ZERO }
        };
        let sources = sources.into_iter().zip(&plan.sources).map(source).collect();
        Ok(Self { plan, executor, sources, clock, first: 0, flushed: false, operators_us: 0 })
    }

    /// Waits until a tick would have something to do.
    ///
    /// # Errors
    /// A source failed.
    pub async fn ready(&mut self) -> Result<(), ProcessError> {
        if self.ended() {
            return std::future::pending().await;
        }
        if self.all_sources_ended() {
            return Ok(());
        }
        let idle = self.next_idle();
        let open = self.sources.iter_mut().filter(|one| !one.source.ended());
        let ready = select_all(open.map(|one| one.source.ready()));
        tokio::select! {
            (result, ..) = ready => Ok(result?),
            () = until(idle) => Ok(()),
        }
    }

    /// Whether every source has ended and the last window has been given.
    pub fn ended(&self) -> bool {
        self.flushed
    }

    /// Takes in what is there. Never waits for more.
    ///
    /// # Errors
    /// Whatever makes the job useless: a source failed, a value does not fit its type.
    pub async fn tick(&mut self, limits: TickLimits) -> Result<JobTick, ProcessError> {
        let mut tick = JobTick::default();
        let mut inputs: Vec<SourceInput> = Vec::new();
        inputs.resize_with(self.sources.len(), SourceInput::default);
        self.gather(self.widened(limits), &mut tick, &mut inputs).await?;
        self.describe(&mut inputs);
        let last = inputs.iter().all(|input| input.ended);
        let executor = &mut self.executor;
        executor.set_now(self.clock.now_ms())?;
        let started = std::time::Instant::now();
        let output = crate::blocking::blocking(|| executor.tick(inputs))?;
        self.operators_us = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.flushed = last;
        tick.sinks = output.sinks;
        tick.errors = output.errors;
        tick.late = output.late;
        Ok(tick)
    }

    /// The next record to read, for each source.
    pub fn positions(&self) -> Vec<Positions> {
        self.sources.iter().map(|one| one.source.positions()).collect()
    }

    /// Puts source `index` where a checkpoint says.
    ///
    /// # Errors
    /// There is no such place any more.
    pub fn seek(&mut self, index: usize, positions: &Positions) -> Result<(), ProcessError> {
        Ok(self.sources[index].source.seek(positions)?)
    }

    /// All that a new job of the same plan needs to go on from here. Between ticks only.
    ///
    /// # Errors
    /// A bug.
    pub fn checkpoint(&mut self) -> Result<JobState, ProcessError> {
        let mut state = Vec::new();
        for operator in self.executor.stateful() {
            state.extend(self.executor.take_all(&operator)?);
        }
        let (positions, watermarks) = (self.positions(), self.executor.watermarks());
        Ok(JobState { positions, watermarks, state })
    }

    /// Goes on where another job stood. Before the first tick only.
    ///
    /// # Errors
    /// It is the state of another plan, or of places that are no more.
    pub fn restore(&mut self, state: &JobState) -> Result<(), ProcessError> {
        for (index, positions) in state.positions.iter().enumerate() {
            self.seek(index, positions)?;
        }
        self.executor.restore_watermarks(&state.watermarks);
        for rows in &state.state {
            self.executor.restore(rows)?;
        }
        Ok(())
    }

    /// What each operator has done, in the order of the graph's nodes. Between ticks only.
    pub(crate) fn work(&mut self) -> Vec<OperatorWork> {
        let mut work = self.executor.work();
        for (node, work) in self.plan.graph.nodes.iter().zip(&mut work) {
            if let OperatorKind::Source(number) = node.kind {
                let source = &self.sources[number];
                work.rows_in = source.records;
                work.busy += source.busy;
            }
        }
        work
    }

    /// Records that were gone before they were read, over all sources.
    pub fn lost(&self) -> u64 {
        self.sources.iter().map(|one| one.source.lost()).sum()
    }

    fn all_sources_ended(&self) -> bool {
        self.sources.iter().all(|one| one.source.ended())
    }

    /// With state out of memory a tick reads most of it whatever rows it has: it takes in for about
    /// as long as the last one worked, so that half the time at most goes into that.
    fn widened(&self, limits: TickLimits) -> TickLimits {
        if !self.executor.has_evicted() {
            return limits;
        }
        let budget_us = self.operators_us.min(EVICTED_BUDGET_US).max(limits.budget_us);
        TickLimits { rows_max: limits.rows_max.saturating_mul(EVICTED_ROWS_FACTOR), budget_us }
    }

    async fn gather(
        &mut self,
        limits: TickLimits,
        tick: &mut JobTick,
        inputs: &mut [SourceInput],
    ) -> Result<(), ProcessError> {
        let started_us = self.clock.now_us();
        let count = self.sources.len();
        loop {
            let before = tick.records;
            for step in 0..count {
                let index = (self.first + step) % count;
                let wanted = CHUNK_ROWS.min(limits.rows_max.saturating_sub(tick.records));
                if wanted > 0 && !self.sources[index].source.ended() {
                    self.poll(index, wanted, tick, &mut inputs[index]).await?;
                }
            }
            self.first = (self.first + 1) % count.max(1);
            // A clock that jumps ends the tick early or at the bound in rows.
            let elapsed_us = self.clock.now_us().saturating_sub(started_us);
            let over = !(0..limits.budget_us).contains(&elapsed_us);
            if tick.records == before || tick.records >= limits.rows_max || over {
                return Ok(());
            }
        }
    }

    async fn poll(
        &mut self,
        index: usize,
        rows_max: usize,
        tick: &mut JobTick,
        input: &mut SourceInput,
    ) -> Result<(), ProcessError> {
        let one = &mut self.sources[index];
        let before: i64 = one.source.progress();
        let started = std::time::Instant::now();
        let batches = one.source.poll(rows_max).await?;
        one.busy += started.elapsed();
        for batch in batches {
            if one.has_watermark {
                one.seen.insert(batch.partition, Instant::now());
            }
            tick.rejected.extend(batch.rejected);
            if batch.batch.num_rows() > 0 {
                input.batches.push(batch.batch);
            }
        }
        let records = usize::try_from(one.source.progress() - before).unwrap_or(0);
        one.records += records as u64;
        tick.records += records;
        Ok(())
    }

    /// Says which partitions there are, and which of them are idle.
    fn describe(&self, inputs: &mut [SourceInput]) {
        let now = Instant::now();
        for (one, input) in self.sources.iter().zip(inputs) {
            input.ended = one.source.ended();
            input.partitions = one.source.positions().into_keys().collect();
            let is_idle = |partition: &&PartitionId| {
                one.seen.get(partition).is_some_and(|seen| now - *seen >= IDLE_AFTER)
            };
            input.idle = input.partitions.iter().filter(is_idle).copied().collect();
        }
    }

    /// When the next partition becomes idle, if a watermark waits for one.
    fn next_idle(&self) -> Option<Instant> {
        let now = Instant::now();
        let waited = self.sources.iter().filter(|one| one.has_watermark && one.seen.len() > 1);
        let times = waited.flat_map(|one| one.seen.values().map(|seen| *seen + IDLE_AFTER));
        times.filter(|at| *at > now).min()
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
