//! How fast operators are, on one worker, ticks and output included:
//! `cargo test --release -- --ignored --nocapture speed_of`.

use crate::aggregate_support::{call, schema};
use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Instant;
use tradewind_dataflow::operator::AggregateFunction::{Avg, Count, Max, Min, Sum};
use tradewind_dataflow::operator::{
    Aggregate, AggregateCall, AssignWatermark, Join, JoinKind, Materialize, WindowAggregate,
    Windows,
};
use tradewind_dataflow::{
    Executor, ExecutorSettings, Graph, Hidden, NodeIndex, OperatorKind, SourceInput, WindowSpec,
};

const INT: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8;
const PRICE: DataType = DataType::Decimal128(18, 2);
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const BATCH_ROWS: usize = 8_192;
const TICK_ROWS: usize = 262_144;
const VALUES: i64 = 1 << 40;

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn random_ints(random: &mut SmallRng, most: i64) -> ArrayRef {
    ints((0..BATCH_ROWS).map(|_| random.random_range(0..most)))
}

/// A graph of one chain: a source, operators with what they give, a sink.
fn chain(
    input: &SchemaRef,
    hidden: Hidden,
    operators: Vec<(OperatorKind, SchemaRef, Hidden)>,
) -> Graph {
    let mut graph = Graph { nodes: Vec::new() };
    let mut last = graph.add(OperatorKind::Source(0), vec![], input.clone(), hidden);
    for (kind, schema, hidden) in operators {
        last = graph.add(kind, vec![last], schema, hidden);
    }
    sink(&mut graph, last);
    graph
}

fn sink(graph: &mut Graph, last: NodeIndex) {
    let (schema, hidden) = (graph.nodes[last].schema.clone(), graph.nodes[last].hidden);
    graph.add(OperatorKind::Sink(0), vec![last], schema, hidden);
}

fn executor(graph: Graph) -> Executor {
    let settings = ExecutorSettings { workers: 1, ..ExecutorSettings::default() };
    Executor::new(Arc::new(graph), settings).unwrap()
}

/// Ticks of one source. Prints how many rows a second went through.
fn measure(what: &str, graph: Graph, batches: &[RecordBatch], tick_rows: usize) {
    let mut executor = executor(graph);
    let (mut rows, mut given, mut ticks) = (0, 0, 0);
    let each = batches.first().map_or(1, RecordBatch::num_rows);
    let start = Instant::now();
    for tick in batches.chunks((tick_rows / each).max(1)) {
        let batches = tick.to_vec();
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let input = SourceInput { batches, partitions: vec![0], ..SourceInput::default() };
        let output = executor.tick(vec![input]).unwrap();
        given += output.sinks[0].iter().map(RecordBatch::num_rows).sum::<usize>();
        ticks += 1;
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{what}: {:.2} million rows/s ({rows} in, {given} out, {ticks} ticks of {:.0} us)",
        rows as f64 / took / 1e6,
        took * 1e6 / f64::from(ticks),
    );
}

/// `SELECT keys, calls GROUP BY keys` over batches of this schema.
fn grouped(input: &SchemaRef, hidden: Hidden, keys: &[usize], calls: Vec<AggregateCall>) -> Graph {
    let of_key = |key: &usize| ("k", input.field(*key).data_type().clone());
    let mut output: Vec<_> = keys.iter().map(of_key).collect();
    output.extend(calls.iter().map(|call| ("r", call.output.clone())));
    let output = Hidden::CHANGES.behind(&schema(&output));
    let kind = OperatorKind::Aggregate(Aggregate { keys: keys.to_vec(), calls });
    chain(input, hidden, vec![(kind, output, Hidden::CHANGES)])
}

fn batches(
    input: &SchemaRef,
    rows: usize,
    mut columns: impl FnMut(&mut SmallRng) -> Vec<ArrayRef>,
) -> Vec<RecordBatch> {
    let mut random = SmallRng::seed_from_u64(1);
    (0..rows / BATCH_ROWS)
        .map(|_| RecordBatch::try_new(input.clone(), columns(&mut random)).unwrap())
        .collect()
}

fn count_sum_max() -> Vec<AggregateCall> {
    vec![call(Count, None, INT), call(Sum, Some(1), INT), call(Max, Some(1), INT)]
}

#[test]
#[ignore = "a measurement"]
fn speed_of_groups_by_number() {
    let input = Arc::new(schema(&[("k", INT), ("v", INT)]));
    for keys in [100, 10_000, 100_000, 1_000_000, 4_000_000] {
        let rows = batches(&input, 10_000_000, |random| {
            vec![random_ints(random, keys), random_ints(random, VALUES)]
        });
        let graph = grouped(&input, Hidden::NONE, &[0], count_sum_max());
        measure(&format!("{keys} keys"), graph, &rows, TICK_ROWS);
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_groups_by_two_texts() {
    let input = Arc::new(schema(&[("a", TEXT), ("v", INT), ("b", TEXT)]));
    for (most, other) in [(100, 100), (1_000, 1_000)] {
        let rows = batches(&input, 5_000_000, |random| {
            let mut texts = |name: &str, most: i64| -> ArrayRef {
                let text = |_| format!("{name}-{}", random.random_range(0..most));
                Arc::new(StringArray::from_iter_values((0..BATCH_ROWS).map(text)))
            };
            let (a, b) = (texts("customer", most), texts("product", other));
            vec![a, random_ints(random, VALUES), b]
        });
        let graph = grouped(&input, Hidden::NONE, &[0, 2], count_sum_max());
        measure(&format!("{} keys of two texts", most * other), graph, &rows, TICK_ROWS);
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_groups_by_one_text() {
    let input = Arc::new(schema(&[("a", TEXT), ("v", INT)]));
    for keys in [100, 10_000, 1_000_000] {
        let rows = batches(&input, 5_000_000, |random| {
            let text = |_| format!("customer-{}", random.random_range(0..keys));
            let texts = StringArray::from_iter_values((0..BATCH_ROWS).map(text));
            vec![Arc::new(texts), random_ints(random, VALUES)]
        });
        let graph = grouped(&input, Hidden::NONE, &[0], count_sum_max());
        measure(&format!("{keys} keys of a text"), graph, &rows, TICK_ROWS);
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_distinct_counts() {
    let input = Arc::new(schema(&[("k", INT), ("v", INT)]));
    for (keys, values) in [(1, 1_000_000), (1_000, 1_000), (1_000, 100_000), (1_000_000, 10)] {
        let rows = batches(&input, 5_000_000, |random| {
            vec![random_ints(random, keys), random_ints(random, values)]
        });
        let count = AggregateCall { distinct: true, ..call(Count, Some(1), INT) };
        let graph = grouped(&input, Hidden::NONE, &[0], vec![count]);
        let what = format!("count distinct of {values} values, {keys} keys");
        measure(&what, graph, &rows, TICK_ROWS);
    }
}

/// Rows that come and are taken back `behind` batches later.
fn taken_back(input: &SchemaRef, rows: usize, keys: i64, behind: usize) -> Vec<RecordBatch> {
    let visible = schema(&[("k", INT), ("v", INT)]);
    let added = batches(&Arc::new(visible), rows / 2, |random| {
        vec![random_ints(random, keys), random_ints(random, VALUES)]
    });
    let mut all = Vec::new();
    for place in 0..added.len() {
        let mut add = |place: usize, weight: i64| {
            let mut columns = added[place].columns().to_vec();
            columns.push(ints(vec![weight; BATCH_ROWS]));
            all.push(RecordBatch::try_new(input.clone(), columns).unwrap());
        };
        add(place, 1);
        if place >= behind {
            add(place - behind, -1);
        }
    }
    all
}

#[test]
#[ignore = "a measurement"]
fn speed_of_extremes_of_rows_that_are_taken_back() {
    let input = Hidden::CHANGES.behind(&schema(&[("k", INT), ("v", INT)]));
    for keys in [100, 10_000, 1_000_000] {
        let rows = taken_back(&input, 4_000_000, keys, 50);
        let calls = vec![call(Min, Some(1), INT), call(Max, Some(1), INT)];
        let graph = grouped(&input, Hidden::CHANGES, &[0], calls);
        measure(&format!("min and max with weights, {keys} keys"), graph, &rows, TICK_ROWS);
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_averages_of_decimals() {
    let input = Arc::new(schema(&[("k", INT), ("v", PRICE)]));
    for keys in [100, 10_000, 1_000_000] {
        let rows = batches(&input, 5_000_000, |random| {
            let value = |_| i128::from(random.random_range(0..1_000_000_i64));
            let values = Decimal128Array::from_iter_values((0..BATCH_ROWS).map(value));
            let values = values.with_data_type(PRICE);
            vec![random_ints(random, keys), Arc::new(values)]
        });
        let calls = vec![call(Avg, Some(1), DataType::Decimal128(38, 6))];
        let graph = grouped(&input, Hidden::NONE, &[0], calls);
        measure(&format!("average of decimals, {keys} keys"), graph, &rows, TICK_ROWS);
    }
}

/// Rows in order of time, `per_second` of them; the watermark is three seconds behind.
fn windowed(what: &str, size_s: i64, slide_s: i64, keys: i64, per_second: i64) {
    let input = [("t", TIME), ("k", INT), ("v", INT), ("w", TIME)];
    let marked = Hidden { watermark: true, ..Hidden::ORIGIN };
    let calls = vec![call(Count, None, INT), call(Sum, Some(2), INT), call(Max, Some(2), INT)];
    let output = ["k", "c", "s", "m"].map(|name| (name, INT)).to_vec();
    let output = [output, ["window_start", "window_end", "window_time"].map(|n| (n, TIME)).into()];
    let spec = WindowSpec {
        size_us: size_s * 1_000_000,
        slide_us: slide_s * 1_000_000,
        offset_us: 0,
        zone: None,
    };
    let windows = Windows::Sliced { time: 0, spec };
    let aggregate = WindowAggregate { keys: vec![1], calls, windows };
    let assigned = marked.behind(&schema(&input[..3]));
    let given = Hidden::NONE.behind(&schema(&output.concat()));
    let input = Hidden::ORIGIN.behind(&schema(&input));
    let graph = chain(
        &input,
        Hidden::ORIGIN,
        vec![
            (OperatorKind::AssignWatermark(AssignWatermark { column: 3 }), assigned, marked),
            (OperatorKind::WindowAggregate(aggregate), given, Hidden::NONE),
        ],
    );
    let mut first = 0;
    let rows = batches(&input, 5_000_000, |random| {
        let times = (0..BATCH_ROWS as i64).map(|row| (first + row) * 1_000_000 / per_second);
        let times: Vec<i64> = times.map(|time| time - random.random_range(0..3_000_000)).collect();
        let marks = times.iter().map(|time| time - 3_000_000);
        let marks: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(marks));
        let offsets = ints(first..first + BATCH_ROWS as i64);
        first += BATCH_ROWS as i64;
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
        let partitions: ArrayRef = Arc::new(Int32Array::from(vec![0; BATCH_ROWS]));
        let keys = random_ints(random, keys);
        vec![times, keys, random_ints(random, VALUES), marks, partitions, offsets]
    });
    measure(what, graph, &rows, TICK_ROWS);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_windows() {
    windowed("tumbling windows of 10 s, 100 keys", 10, 10, 100, 50_000);
    windowed("tumbling windows of 10 s, 100000 keys", 10, 10, 100_000, 50_000);
    windowed("tumbling windows of 1 s, 100000 keys", 1, 1, 100_000, 50_000);
    windowed("hops of 10 s by 1 s, 100 keys", 10, 1, 100, 50_000);
    windowed("hops of 10 s by 1 s, 100000 keys", 10, 1, 100_000, 50_000);
    windowed("hops of 60 s by 1 s, 1000 keys", 60, 1, 1_000, 50_000);
}

/// Ticks of 100 rows into groups, and groups into a kept table.
#[test]
#[ignore = "a measurement"]
fn speed_of_small_ticks() {
    let input = Arc::new(schema(&[("k", INT), ("v", INT)]));
    for keys in [100, 1_000_000] {
        let whole = batches(&input, 1_000_000, |random| {
            vec![random_ints(random, keys), random_ints(random, VALUES)]
        });
        let small: Vec<RecordBatch> = whole
            .iter()
            .flat_map(|batch| (0..BATCH_ROWS / 100).map(|place| batch.slice(place * 100, 100)))
            .collect();
        let graph = grouped(&input, Hidden::NONE, &[0], count_sum_max());
        measure(&format!("ticks of 100 rows, {keys} keys"), graph, &small, 100);
        let mut graph = grouped(&input, Hidden::NONE, &[0], count_sum_max());
        let sink = graph.nodes.pop().unwrap();
        let keep = OperatorKind::Materialize(Materialize { key: vec![0] });
        let kept = graph.add(keep, vec![1], sink.schema.clone(), sink.hidden);
        graph.add(sink.kind, vec![kept], sink.schema, sink.hidden);
        measure(&format!("the same, kept, {keys} keys"), graph, &small, 100);
        // As many rows in single batches of one tick.
        let graph = grouped(&input, Hidden::NONE, &[0], count_sum_max());
        measure(&format!("batches of 100 rows, {keys} keys"), graph, &small, TICK_ROWS);
    }
}

fn joined(what: &str, hidden: Hidden, rows: usize, keys: i64, kind: JoinKind) {
    const COLUMNS: [(&str, DataType); 2] = [("k", INT), ("v", INT)];
    let input = hidden.behind(&schema(&COLUMNS));
    let output = match (kind, hidden.weight) {
        (JoinKind::Inner, false) => Hidden::NONE,
        _ => Hidden::CHANGES,
    };
    let mut graph = Graph { nodes: Vec::new() };
    let mut source =
        |number| graph.add(OperatorKind::Source(number), vec![], input.clone(), hidden);
    let both = vec![source(0), source(1)];
    let join = Join { kind, left_keys: vec![0], right_keys: vec![0], condition: None };
    let given = output.behind(&schema(&[COLUMNS, COLUMNS].concat()));
    let join = graph.add(OperatorKind::Join(join), both, given, output);
    sink(&mut graph, join);
    let mut executor = executor(graph);
    let mut random = SmallRng::seed_from_u64(3);
    let mut side = || -> Vec<RecordBatch> {
        let batch = |_| {
            let mut columns = vec![random_ints(&mut random, keys), random_ints(&mut random, 1000)];
            if hidden.weight {
                columns.push(ints(vec![1; BATCH_ROWS]));
            }
            RecordBatch::try_new(input.clone(), columns).unwrap()
        };
        (0..rows / BATCH_ROWS).map(batch).collect()
    };
    let (left, right) = (side(), side());
    let start = Instant::now();
    let (mut taken, mut given) = (0, 0);
    let half = TICK_ROWS / BATCH_ROWS / 2;
    for (left, right) in left.chunks(half).zip(right.chunks(half)) {
        let input = |batches: &[RecordBatch]| SourceInput {
            batches: batches.to_vec(),
            ..SourceInput::default()
        };
        taken += 2 * left.len() * BATCH_ROWS;
        let output = executor.tick(vec![input(left), input(right)]).unwrap();
        given += output.sinks[0].iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    let took = start.elapsed().as_secs_f64();
    println!("{what}: {:.2} million rows/s ({taken} in, {given} out)", taken as f64 / took / 1e6);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_joins() {
    const SIDE: usize = 2_000_000;
    joined("join, a partner each", Hidden::NONE, SIDE, SIDE as i64, JoinKind::Inner);
    joined("join, ten partners each", Hidden::NONE, SIDE, SIDE as i64 / 10, JoinKind::Inner);
    joined("join, weights", Hidden::CHANGES, SIDE, SIDE as i64, JoinKind::Inner);
    joined("left join", Hidden::NONE, SIDE, SIDE as i64, JoinKind::Left);
    joined("full join, weights", Hidden::CHANGES, SIDE, SIDE as i64, JoinKind::Full);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_kept_tables() {
    let visible = schema(&[("k", INT), ("v", INT)]);
    let keep = |key: &[usize]| OperatorKind::Materialize(Materialize { key: key.to_vec() });
    let input = Hidden::NONE.behind(&visible);
    let rows = batches(&input, 1_000_000, |random| {
        vec![random_ints(random, VALUES), random_ints(random, VALUES)]
    });
    let operators = vec![(keep(&[]), input.clone(), Hidden::NONE)];
    measure("kept, added", chain(&input, Hidden::NONE, operators), &rows, TICK_ROWS);
    let input = Hidden::CHANGES.behind(&visible);
    for key in [vec![], vec![0]] {
        let what = format!("kept, a million rows, updates, key {key:?}");
        let operators = vec![(keep(&key), input.clone(), Hidden::CHANGES)];
        let graph = chain(&input, Hidden::CHANGES, operators);
        // About a million rows are there at any time.
        let rows = taken_back(&input, 6_000_000, VALUES, 1_000_000 / BATCH_ROWS);
        measure(&what, graph, &rows, TICK_ROWS);
    }
}
