//! Two sources, a join, and perhaps a table kept of it.

use crate::aggregate_support::{executor, executor_for, rows, schema, text};
use crate::scratch::within;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::lt;
use arrow::datatypes::{DataType, Int64Type};
use std::sync::Arc;
use tradewind_dataflow::operator::{Join, JoinKind, Materialize};
use tradewind_dataflow::{
    Executor, Expression, Graph, Hidden, Named, NodeIndex, OperatorKind, SourceInput, StateRows,
    TickOutput,
};

/// `a < b` of two columns; fails on a pair whose `b` is [`POISON`].
#[derive(Debug)]
struct Less(usize, usize);

/// A value no condition can be computed for.
pub(crate) const POISON: i64 = 99;

impl Expression for Less {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let (left, right) = (batch.column(self.0), batch.column(self.1));
        if right.as_primitive::<Int64Type>().iter().any(|value| value == Some(POISON)) {
            return Err("poison".into());
        }
        let less: BooleanArray = lt(left, right).map_err(|error| error.to_string())?;
        Ok(Arc::new(less))
    }
}

pub(crate) fn less(left: usize, right: usize) -> Named {
    Named { expression: Arc::new(Less(left, right)), text: "a < b".into() }
}

/// What a join is made of: both inputs are `(k, v)`, joined by `k`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) kind: JoinKind,
    /// Left `v` < right `v`.
    pub(crate) condition: bool,
    /// Which inputs take rows back.
    pub(crate) weights: [bool; 2],
    /// Without it the join is the last operator.
    pub(crate) kept: bool,
}

pub(crate) struct Joined {
    memory: Option<usize>,
    ttl_ms: u64,
    graph: Arc<Graph>,
    pub(crate) executor: Executor,
    inputs: [Hidden; 2],
    output: Hidden,
    table: NodeIndex,
}

const COLUMNS: [(&str, DataType); 2] = [("k", DataType::Int64), ("v", DataType::Int64)];

impl Joined {
    pub(crate) fn new(shape: Shape, workers: usize) -> Self {
        let visible = schema(&COLUMNS);
        let inputs = shape.weights.map(|weight| Hidden { weight, ..Hidden::NONE });
        let mut graph = Graph { nodes: Vec::new() };
        let source = |graph: &mut Graph, side: usize| {
            let schema = inputs[side].behind(&visible);
            graph.add(OperatorKind::Source(side), vec![], schema, inputs[side])
        };
        let both = vec![source(&mut graph, 0), source(&mut graph, 1)];
        let pairs = !matches!(shape.kind, JoinKind::Semi | JoinKind::Anti);
        let columns = match pairs {
            true => [COLUMNS, COLUMNS].concat(),
            false => COLUMNS.to_vec(),
        };
        let output = match (shape.kind, shape.weights) {
            (JoinKind::Inner | JoinKind::Semi, [false, false]) => Hidden::NONE,
            _ => Hidden::CHANGES,
        };
        let join = Join {
            kind: shape.kind,
            left_keys: vec![0],
            right_keys: vec![0],
            condition: shape.condition.then(|| less(1, 3)),
        };
        let schema = output.behind(&schema(&columns));
        let join = graph.add(OperatorKind::Join(join), both, schema.clone(), output);
        let mut last = join;
        if shape.kept {
            let keep = OperatorKind::Materialize(Materialize { key: vec![] });
            last = graph.add(keep, vec![join], schema.clone(), output);
        }
        graph.add(OperatorKind::Sink(0), vec![last], schema, output);
        let graph = Arc::new(graph);
        let executor = executor(&graph, workers);
        Self { executor, graph, inputs, output, table: last, memory: None, ttl_ms: 0 }
    }

    /// The same with state that is forgotten. Before the first tick.
    pub(crate) fn forgetting(mut self, workers: usize, ttl_ms: u64) -> Self {
        self.ttl_ms = ttl_ms;
        self.executor = within(executor_for(&self.graph, workers, ttl_ms), self.memory);
        self
    }

    /// The same with so much memory for its state. Before the first tick.
    pub(crate) fn within(mut self, bytes: Option<usize>) -> Self {
        self.memory = bytes;
        self.executor = within(self.executor, bytes);
        self
    }

    /// One tick with changes of both sides.
    pub(crate) fn tick_whole(&mut self, inputs: [&str; 2]) -> TickOutput {
        let visible = schema(&COLUMNS);
        let input = |(text, hidden): (&str, Hidden)| SourceInput {
            batches: vec![rows(&visible, hidden, text)],
            ..SourceInput::default()
        };
        self.executor.tick(inputs.into_iter().zip(self.inputs).map(input).collect()).unwrap()
    }

    pub(crate) fn lines(&self, output: &TickOutput) -> Vec<String> {
        output.sinks[0].iter().flat_map(|batch| text(self.output, batch)).collect()
    }

    pub(crate) fn tick(&mut self, left: &str, right: &str) -> Vec<String> {
        let output = self.tick_whole([left, right]);
        assert!(output.errors.is_empty(), "{:?}", output.errors);
        self.lines(&output)
    }

    /// The rows of the table as readers see it.
    pub(crate) fn published(&mut self) -> Vec<String> {
        let published = self.executor.publish(self.table).unwrap();
        published.chunks.iter().flat_map(|chunk| text(Hidden::NONE, chunk)).collect()
    }

    pub(crate) fn take(&mut self, all: bool) -> Vec<StateRows> {
        let operators = self.executor.stateful();
        let take = |operator| match all {
            true => self.executor.take_all(operator).unwrap(),
            false => self.executor.take_changes(operator).unwrap(),
        };
        operators.iter().filter_map(take).collect()
    }

    pub(crate) fn hand_over(&mut self, workers: usize, taken: &[StateRows]) {
        self.executor = within(executor_for(&self.graph, workers, self.ttl_ms), self.memory);
        for rows in taken {
            self.executor.restore(rows).unwrap();
        }
    }
}
