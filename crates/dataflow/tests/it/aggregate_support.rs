//! Changelogs as text: `+ 1 4` is the row (1, 4) at weight 1, `- 5 3` at -1, `null` a null. Times
//! may be whole seconds since 1970; `#1` at the end puts a row into partition 1.

use crate::scratch::within;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_dataflow::operator::{AggregateCall, AggregateFunction};
use tradewind_dataflow::{
    Executor, ExecutorSettings, Graph, Hidden, OperatorKind, SourceInput, StateRows, TickOutput,
};

/// A table's rows and how often each is there.
pub(crate) type Table = BTreeMap<String, i64>;

pub(crate) fn schema(columns: &[(&str, DataType)]) -> Schema {
    let field = |(name, of): &(&str, DataType)| Field::new(*name, of.clone(), true);
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

pub(crate) fn call(
    function: AggregateFunction,
    argument: Option<usize>,
    output: DataType,
) -> AggregateCall {
    let text = format!("{function:?}({argument:?})").to_uppercase();
    AggregateCall { function, argument, filter: None, distinct: false, output, text }
}

/// Rows from text, a line each; weights are the signs where `hidden` has them.
pub(crate) fn rows(visible: &Schema, hidden: Hidden, text: &str) -> RecordBatch {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (place, field) in visible.fields().iter().enumerate() {
        let value = |line: &Vec<&str>| {
            let word = line[place + 1];
            (word != "null").then(|| word.replace('_', " "))
        };
        let texts: StringArray = lines.iter().map(value).collect();
        let seconds = cast(&texts, &DataType::Int64).unwrap();
        let is_seconds = matches!(field.data_type(), DataType::Timestamp(..))
            && seconds.null_count() == texts.null_count();
        let column = match is_seconds {
            true => {
                let micros = seconds.as_primitive::<Int64Type>();
                let micros: Int64Array = micros.unary(|seconds| seconds * 1_000_000);
                cast(&micros, field.data_type()).unwrap()
            }
            false => cast(&texts, field.data_type()).unwrap(),
        };
        assert_eq!(column.null_count(), texts.null_count(), "{text}");
        columns.push(column);
    }
    if hidden.origin {
        let partition = |line: &Vec<&str>| {
            let partition = line.last().and_then(|word| word.strip_prefix('#'));
            partition.map_or(0, |partition| partition.parse().unwrap())
        };
        columns.push(Arc::new(Int32Array::from_iter_values(lines.iter().map(partition))));
        columns.push(Arc::new(Int64Array::from_iter_values(0..lines.len() as i64)));
    }
    if hidden.weight {
        let weight = |line: &Vec<&str>| match line[0] {
            "+" => 1,
            "-" => -1,
            weight => weight.parse().unwrap(),
        };
        columns.push(Arc::new(Int64Array::from_iter_values(lines.iter().map(weight))));
    }
    RecordBatch::try_new(hidden.behind(visible), columns).unwrap()
}

/// The other way round; rows at one weight other than 1 and -1 show it.
pub(crate) fn text(hidden: Hidden, batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let columns = batch.columns()[..hidden.visible(batch)].iter();
    let columns: Vec<_> =
        columns.map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let line = |row: usize| {
        let weight = hidden.weights(batch).map_or(1, |weights| weights.value(row));
        let sign = match weight {
            1 => "+".to_string(),
            -1 => "-".to_string(),
            other => other.to_string(),
        };
        let values =
            columns.iter().map(|column| column.value(row).to_string().replace("1970-01-01T", ""));
        [sign].into_iter().chain(values).collect::<Vec<_>>().join(" ")
    };
    (0..batch.num_rows()).map(line).collect()
}

/// A graph with one source and one sink, running.
pub(crate) struct Chain {
    pub(crate) graph: Arc<Graph>,
    memory: Option<usize>,
    ttl_ms: u64,
    pub(crate) input: Schema,
    hidden: Hidden,
    output: Hidden,
    pub(crate) partitions: Vec<i32>,
    pub(crate) executor: Executor,
}

impl Chain {
    /// Source -> `kind` -> sink.
    pub(crate) fn new(
        input: &[(&str, DataType)],
        hidden: Hidden,
        kind: OperatorKind,
        output: (&[(&str, DataType)], Hidden),
        workers: usize,
    ) -> Self {
        Self::of(input, hidden, vec![(kind, output.1.behind(&schema(output.0)), output.1)], workers)
    }

    /// Source -> operators with what they give -> sink.
    pub(crate) fn of(
        input: &[(&str, DataType)],
        hidden: Hidden,
        operators: Vec<(OperatorKind, SchemaRef, Hidden)>,
        workers: usize,
    ) -> Self {
        let input = schema(input);
        let mut graph = Graph { nodes: Vec::new() };
        let mut last = graph.add(OperatorKind::Source(0), vec![], hidden.behind(&input), hidden);
        for (kind, schema, hidden) in operators {
            last = graph.add(kind, vec![last], schema, hidden);
        }
        let (schema, output) = (graph.nodes[last].schema.clone(), graph.nodes[last].hidden);
        graph.add(OperatorKind::Sink(0), vec![last], schema, output);
        let graph = Arc::new(graph);
        let executor = executor(&graph, workers);
        Self {
            graph,
            input,
            hidden,
            output,
            partitions: vec![0],
            executor,
            memory: None,
            ttl_ms: 0,
        }
    }

    /// The same with state that is forgotten. Before the first tick.
    pub(crate) fn forgetting(mut self, workers: usize, ttl_ms: u64) -> Self {
        self.ttl_ms = ttl_ms;
        self.executor = within(executor_for(&self.graph, workers, ttl_ms), self.memory);
        self
    }

    /// The same with so much memory for its state. Before the first tick.
    pub(crate) fn within(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.memory = bytes.into();
        self.executor = within(self.executor, self.memory);
        self
    }

    pub(crate) fn tick_whole(&mut self, text: &str, ended: bool) -> TickOutput {
        let batches = vec![rows(&self.input, self.hidden, text)];
        let partitions = self.partitions.clone();
        let input = SourceInput { batches, partitions, ended, idle: Vec::new() };
        self.executor.tick(vec![input]).unwrap()
    }

    /// What comes out for input.
    pub(crate) fn tick(&mut self, input: &str) -> Vec<String> {
        let output = self.tick_whole(input, false);
        self.lines(&output)
    }

    /// What comes out at the end of the input.
    pub(crate) fn end(&mut self) -> Vec<String> {
        let output = self.tick_whole("", true);
        self.lines(&output)
    }

    pub(crate) fn lines(&self, output: &TickOutput) -> Vec<String> {
        assert!(output.errors.is_empty(), "{:?}", output.errors);
        output.sinks[0].iter().flat_map(|batch| text(self.output, batch)).collect()
    }

    /// Goes on in an executor with another number of workers, from state that is handed over.
    pub(crate) fn hand_over(&mut self, workers: usize, taken: &[StateRows]) {
        let watermarks = self.executor.watermarks();
        self.executor = within(executor_for(&self.graph, workers, self.ttl_ms), self.memory);
        self.executor.restore_watermarks(&watermarks);
        for rows in taken {
            self.executor.restore(rows).unwrap();
        }
    }

    pub(crate) fn take(&mut self, all: bool) -> Vec<StateRows> {
        let operators = self.executor.stateful();
        let take = |operator| match all {
            true => self.executor.take_all(operator).unwrap(),
            false => self.executor.take_changes(operator).unwrap(),
        };
        operators.iter().filter_map(take).collect()
    }
}

pub(crate) fn executor(graph: &Arc<Graph>, workers: usize) -> Executor {
    executor_for(graph, workers, 0)
}

/// One whose state is forgotten when nothing was written for so long.
pub(crate) fn executor_for(graph: &Arc<Graph>, workers: usize, state_ttl_ms: u64) -> Executor {
    // So few rows that threads, pieces of output and rounds are all met.
    let settings = ExecutorSettings {
        workers,
        chunk_rows: 7,
        pending_rows_max: 50,
        parallel_rows_min: 20,
        state_ttl_ms,
    };
    Executor::new(graph.clone(), settings).unwrap()
}

/// Adds changes to a table.
pub(crate) fn apply(table: &mut Table, lines: &[String]) {
    for line in lines {
        let (sign, row) = line.split_once(' ').unwrap_or((line, ""));
        let weight = match sign {
            "+" => 1,
            "-" => -1,
            other => other.parse().unwrap(),
        };
        let count = table.entry(row.to_string()).or_default();
        *count += weight;
        assert!(*count >= 0, "{line} takes back what is not there");
        if *count == 0 {
            table.remove(row);
        }
    }
}
