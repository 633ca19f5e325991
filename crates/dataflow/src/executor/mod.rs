//! Runs a graph, one tick after the other.
//!
//! Guarantees: at the end of a tick every operator has seen the same input; work goes in pieces of
//! bounded size, those furthest down the graph first, so that a tick's memory is bounded by
//! [`ExecutorSettings`] and not by how many rows match; the result does not depend on the number of
//! workers. Nothing here waits, and no result depends on a clock; a disk is touched where state is
//! evicted alone.
//! Left out: when a tick begins, and what its input is.

mod evict;
mod meter;
mod route;
mod state;

pub use evict::Eviction;
pub use meter::OperatorWork;
pub use state::{StatePiece, StateRows};

use crate::operator::assign_watermark::Watermarks;
use crate::operator::materialize::Published;
use crate::operator::{Keyed, Stateful};
use crate::state::hash::hash_columns;
use crate::{
    DataflowError, Graph, Hidden, NodeIndex, OperatorId, OperatorKind, RowError, ShardRange,
    WATERMARK_END, WATERMARK_NONE, Watermark, shard_of,
};
use arrow::array::RecordBatch;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use route::{Outbox, Router};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tradewind_types::PartitionId;

/// How an executor works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// Workers that state is divided among; their number does not change results.
    pub workers: usize,
    /// Rows in one piece of an operator's output, about.
    pub chunk_rows: usize,
    /// Rows that wait before an operator, at which it is run before anything above it goes on.
    pub pending_rows_max: usize,
    /// Fewer rows than these are not worth a second thread.
    pub parallel_rows_min: usize,
    /// After how many milliseconds without a write the state of unbounded groups and joins is
    /// forgotten; 0 for never. See [`Executor::set_now`].
    pub state_ttl_ms: u64,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            chunk_rows: 8_192,
            pending_rows_max: 262_144,
            parallel_rows_min: 2_048,
            state_ttl_ms: 0,
        }
    }
}

/// What has arrived at one source.
#[derive(Debug, Default)]
pub struct SourceInput {
    /// Rows in the source's schema, those of one partition in order.
    pub batches: Vec<RecordBatch>,
    /// The partitions there are.
    pub partitions: Vec<PartitionId>,
    /// Those that nothing has come from for so long that watermarks do not wait for them.
    pub idle: Vec<PartitionId>,
    /// Nothing will come any more.
    pub ended: bool,
}

/// What a tick has put out.
#[derive(Debug, Default)]
pub struct TickOutput {
    /// For each sink its rows, in the schema of the sink's node.
    pub sinks: Vec<Vec<RecordBatch>>,
    /// Rows that could not be computed.
    pub errors: Vec<RowError>,
    /// Rows that came after their windows.
    pub late: Vec<LateRows>,
}

/// Rows that came after their windows.
#[derive(Debug)]
pub struct LateRows {
    /// The operator that had no window for them.
    pub operator: OperatorId,
    /// The rows as they came to it.
    pub rows: RecordBatch,
    /// Which hidden columns they end with.
    pub hidden: Hidden,
}

/// A running graph.
pub struct Executor {
    router: Arc<Router>,
    settings: ExecutorSettings,
    /// For each node with state, each worker's part.
    states: Vec<Vec<Stateful>>,
    /// For each node, what waits for each worker.
    inboxes: Vec<Vec<VecDeque<(usize, Keyed)>>>,
    /// For each node, how many rows that is.
    pending: Vec<usize>,
    watermarks: BTreeMap<NodeIndex, Watermarks>,
    sources: Vec<NodeIndex>,
    /// How far each node's input is complete, as of the last tick.
    complete: Vec<Watermark>,
    /// Where state may leave memory.
    evicting: Option<evict::Evicting>,
    now_ms: i64,
}

impl Executor {
    /// An executor without state.
    ///
    /// # Errors
    /// The graph is not one: a planner's bug.
    pub fn new(graph: Arc<Graph>, settings: ExecutorSettings) -> Result<Self, DataflowError> {
        graph.check().map_err(DataflowError::Internal)?;
        let workers = settings.workers.max(1);
        let count = graph.nodes.len();
        let mut states = Vec::with_capacity(count);
        let (mut watermarks, mut sources) = (BTreeMap::new(), Vec::new());
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs: Vec<_> = node.inputs.iter().map(|input| &graph.nodes[*input]).collect();
            let ttl_ms = settings.state_ttl_ms;
            let part =
                |worker| Stateful::new(node, &inputs, ShardRange::of(worker, workers), ttl_ms);
            states.push((0..workers).map_while(part).collect());
            match node.kind {
                OperatorKind::AssignWatermark(_) => {
                    watermarks.insert(index, Watermarks::default());
                }
                OperatorKind::Source(number) => {
                    sources.resize(sources.len().max(number + 1), 0);
                    sources[number] = index;
                }
                _ => {}
            }
        }
        let inbox = || (0..workers).map(|_| VecDeque::new()).collect();
        Ok(Self {
            settings: ExecutorSettings { workers, ..settings },
            states,
            inboxes: (0..count).map(|_| inbox()).collect(),
            pending: vec![0; count],
            watermarks,
            sources,
            complete: vec![WATERMARK_NONE; count],
            router: Arc::new(Router::new(graph, workers)),
            evicting: None,
            now_ms: 0,
        })
    }

    /// Says how late it is, in milliseconds since 1970: before ticks, and before a restore, where
    /// state does not live for ever. A clock that goes back is passed over.
    ///
    /// # Errors
    /// A bug.
    pub fn set_now(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        if self.settings.state_ttl_ms == 0 {
            return Ok(());
        }
        self.now_ms = self.now_ms.max(now_ms);
        let now_ms = self.now_ms;
        self.states.iter_mut().flatten().try_for_each(|state| state.worker().set_now(now_ms))
    }

    /// Takes input in (that of source `i` at index `i`) and runs until nothing is in flight.
    ///
    /// # Errors
    /// The executor is useless afterwards.
    pub fn tick(&mut self, inputs: Vec<SourceInput>) -> Result<TickOutput, DataflowError> {
        let mut output = TickOutput { sinks: vec![Vec::new(); self.sinks()], ..Default::default() };
        let mut waiting = Vec::new();
        let mut ended = vec![false; self.router.graph.nodes.len()];
        for (input, source) in inputs.into_iter().zip(self.sources.clone()) {
            self.note_partitions(source, &input);
            ended[source] = input.ended;
            waiting.extend(input.batches.into_iter().map(|batch| (source, batch)));
        }
        self.feed(waiting, &mut output)?;
        for node in 0..self.states.len() {
            self.complete[node] = self.completeness(node, &ended);
            if !self.states[node].is_empty() {
                self.pump(node, &mut output)?;
                self.end_tick(node, &mut output)?;
            }
        }
        self.fit()?;
        Ok(output)
    }

    /// The table that a `Materialize` keeps, as of the last tick.
    ///
    /// # Errors
    /// The node is none, or a bug.
    pub fn publish(&mut self, node: NodeIndex) -> Result<Published, DataflowError> {
        // Its rows are all of one key, that of no columns.
        let hash = hash_columns(&[], 1)?[0];
        let owner = ShardRange::worker(shard_of(hash), self.settings.workers);
        match self.states[node].get_mut(owner) {
            Some(Stateful::Materialize(worker)) => {
                self.router.meters[node].time(|| worker.publish())
            }
            _ => Err(DataflowError::Internal(format!("node {node} keeps no table"))),
        }
    }

    /// Up to where a node's input is complete, as of the last tick.
    pub fn watermark(&self, node: NodeIndex) -> Watermark {
        self.complete[node]
    }

    fn sinks(&self) -> usize {
        let sink = |node: &crate::Node| match node.kind {
            OperatorKind::Sink(number) => Some(number + 1),
            _ => None,
        };
        self.router.graph.nodes.iter().filter_map(sink).max().unwrap_or(0)
    }

    /// Tells the watermarks behind a source which partitions it has.
    fn note_partitions(&mut self, source: NodeIndex, input: &SourceInput) {
        for (node, watermarks) in &mut self.watermarks {
            if self.router.graph.source_of(*node) == Some(source) {
                watermarks.set(&input.partitions, &input.idle, input.ended);
            }
        }
    }

    fn completeness(&mut self, node: NodeIndex, ended: &[bool]) -> Watermark {
        let graph = self.router.graph.clone();
        match graph.nodes[node].kind {
            OperatorKind::Source(_) if ended[node] => WATERMARK_END,
            OperatorKind::Source(_) => WATERMARK_NONE,
            OperatorKind::AssignWatermark(_) => {
                self.watermarks.get_mut(&node).map_or(WATERMARK_NONE, Watermarks::combined)
            }
            _ => {
                let inputs = graph.nodes[node].inputs.iter().map(|input| self.complete[*input]);
                inputs.min().unwrap_or(WATERMARK_NONE)
            }
        }
    }

    /// Takes the sources' rows as far as the first operators with state.
    fn feed(
        &mut self,
        batches: Vec<(NodeIndex, RecordBatch)>,
        output: &mut TickOutput,
    ) -> Result<(), DataflowError> {
        let mut batches = batches.into_iter().peekable();
        while batches.peek().is_some() {
            let (mut group, mut rows) = (Vec::new(), 0);
            while rows < self.settings.pending_rows_max {
                let Some((source, batch)) = batches.next() else { break };
                rows += batch.num_rows();
                group.push((source, batch));
            }
            let marked = self.spread(group, rows, output)?;
            let mut noted = Vec::with_capacity(marked.len());
            for (node, batch) in marked {
                let router = self.router.clone();
                let noting = || self.note_watermarks(node, &batch);
                noted.push((node, router.meters[node].time(noting)?));
            }
            let more = self.spread(noted, rows, output)?;
            debug_assert!(more.is_empty(), "a watermark is assigned once, behind its source");
        }
        Ok(())
    }

    /// Hands each node's batch on, beside each other where that pays. Returns what waits for its
    /// watermarks, in order.
    fn spread(
        &mut self,
        batches: Vec<(NodeIndex, RecordBatch)>,
        rows: usize,
        output: &mut TickOutput,
    ) -> Result<Vec<(NodeIndex, RecordBatch)>, DataflowError> {
        let router = self.router.clone();
        let one = |(node, batch): (NodeIndex, RecordBatch)| {
            let mut outbox = Outbox::default();
            router.forward(node, batch, &mut outbox).map(|()| outbox)
        };
        let parallel = self.is_worth_it(rows) && batches.len() > 1;
        let outboxes: Vec<Result<Outbox, DataflowError>> = match parallel {
            true => batches.into_par_iter().map(one).collect(),
            false => batches.into_iter().map(one).collect(),
        };
        let mut marked = Vec::new();
        for outbox in outboxes {
            marked.extend(self.deliver(outbox?, output)?);
        }
        Ok(marked)
    }

    fn is_worth_it(&self, rows: usize) -> bool {
        self.settings.workers > 1 && rows >= self.settings.parallel_rows_min
    }

    fn note_watermarks(
        &mut self,
        node: NodeIndex,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, DataflowError> {
        let at = &self.router.graph.nodes[node];
        let input = self.router.graph.nodes[at.inputs[0]].hidden;
        let watermarks = self.watermarks.entry(node).or_default();
        match &at.kind {
            OperatorKind::AssignWatermark(assign) => {
                assign.apply(batch, input, &at.schema, watermarks)
            }
            _ => Err(DataflowError::Internal(format!("{} assigns no watermarks", at.id))),
        }
    }

    /// Puts an outbox where it belongs, and makes room where too much waits. Returns what waits
    /// for its watermarks.
    fn deliver(
        &mut self,
        outbox: Outbox,
        output: &mut TickOutput,
    ) -> Result<Vec<(NodeIndex, RecordBatch)>, DataflowError> {
        for (sink, batch) in outbox.sinks {
            output.sinks[sink].push(batch);
        }
        output.errors.extend(outbox.errors);
        for (node, input, worker, keyed) in outbox.keyed {
            self.pending[node] += keyed.hashes.len();
            self.inboxes[node][worker].push_back((input, keyed));
            if self.pending[node] >= self.settings.pending_rows_max {
                self.pump(node, output)?;
            }
        }
        Ok(outbox.marked)
    }

    fn end_tick(&mut self, node: NodeIndex, output: &mut TickOutput) -> Result<(), DataflowError> {
        let watermark = self.complete[node];
        let router = self.router.clone();
        for state in &mut self.states[node] {
            router.meters[node].time(|| state.worker().end_tick(watermark))?;
        }
        self.pump(node, output)?;
        let graph = &router.graph;
        let hidden = graph.nodes[graph.nodes[node].inputs[0]].hidden;
        for state in &mut self.states[node] {
            let operator = &graph.nodes[node].id;
            for rows in state.worker().take_late() {
                router.meters[node].late(rows.num_rows());
                output.late.push(LateRows { operator: operator.clone(), rows, hidden });
            }
        }
        Ok(())
    }

    /// Runs a node with state until nothing waits for it and it has nothing more to give.
    fn pump(&mut self, node: NodeIndex, output: &mut TickOutput) -> Result<(), DataflowError> {
        loop {
            let rows = self.pending[node];
            let within: usize = self.states[node].iter().map(|state| state.held().waiting()).sum();
            let router = self.router.clone();
            let settings = self.settings;
            let round = |(state, inbox): (&mut Stateful, &mut VecDeque<(usize, Keyed)>)| {
                run_worker(&router, node, state, inbox, &settings)
            };
            let parallel = self.is_worth_it(rows.max(within).max(match rows {
                0 => 0,
                // Few rows may match many.
                _ => self.settings.parallel_rows_min,
            }));
            let (states, inboxes) = (&mut self.states[node], &mut self.inboxes[node]);
            let outboxes: Vec<Result<Outbox, DataflowError>> = match parallel {
                true => states.into_par_iter().zip(inboxes).map(round).collect(),
                false => states.iter_mut().zip(inboxes).map(round).collect(),
            };
            let left = self.inboxes[node].iter().flatten().map(|(_, keyed)| keyed.hashes.len());
            self.pending[node] = left.sum();
            let mut done = true;
            for outbox in outboxes {
                let outbox = outbox?;
                done &= !outbox.unfinished;
                self.deliver(outbox, output)?;
            }
            if done {
                return Ok(());
            }
        }
    }
}

/// One worker's turn at a node: as much as an outbox may hold.
fn run_worker(
    router: &Router,
    node: NodeIndex,
    state: &mut Stateful,
    inbox: &mut VecDeque<(usize, Keyed)>,
    settings: &ExecutorSettings,
) -> Result<Outbox, DataflowError> {
    let (worker, meter) = (state.worker(), &router.meters[node]);
    let mut outbox = Outbox::default();
    let mut rows = 0;
    loop {
        while let Some(batch) = meter.time(|| worker.next_output(settings.chunk_rows))? {
            rows += batch.num_rows();
            outbox.errors.extend(worker.take_errors());
            router.forward(node, batch, &mut outbox)?;
            if rows >= settings.pending_rows_max {
                outbox.unfinished = true;
                return Ok(outbox);
            }
        }
        match inbox.pop_front() {
            Some((input, keyed)) => meter.time(|| worker.push(input, keyed))?,
            None => {
                outbox.errors.extend(worker.take_errors());
                return Ok(outbox);
            }
        }
    }
}
