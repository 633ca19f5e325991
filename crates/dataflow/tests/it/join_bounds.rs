//! How much a join gives at once, and how fast it is.

use crate::aggregate_support::schema;
use crate::join_support::less;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;
use tradewind_dataflow::operator::{Filter, Join, JoinKind};
use tradewind_dataflow::{
    Executor, ExecutorSettings, Expression, Graph, Hidden, Named, OperatorKind, SourceInput,
};

/// Lets nothing through and notes what it has seen.
#[derive(Debug, Default)]
struct Watch {
    rows: AtomicUsize,
    rows_at_once: AtomicUsize,
}

impl Expression for Watch {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        self.rows.fetch_add(batch.num_rows(), Relaxed);
        self.rows_at_once.fetch_max(batch.num_rows(), Relaxed);
        Ok(Arc::new(BooleanArray::from(vec![false; batch.num_rows()])))
    }
}

fn watched(kind: JoinKind, weight: bool, condition: Option<Named>) -> (Executor, Arc<Watch>) {
    let columns = [("k", DataType::Int64), ("v", DataType::Int64)];
    let hidden = Hidden { weight, ..Hidden::NONE };
    let input = hidden.behind(&schema(&columns));
    let mut graph = Graph { nodes: Vec::new() };
    let left = graph.add(OperatorKind::Source(0), vec![], input.clone(), hidden);
    let right = graph.add(OperatorKind::Source(1), vec![], input, hidden);
    let hidden = match kind {
        JoinKind::Inner => hidden,
        _ => Hidden::CHANGES,
    };
    let output = hidden.behind(&schema(&[columns.clone(), columns].concat()));
    let join = Join { kind, left_keys: vec![0], right_keys: vec![0], condition };
    let join = graph.add(OperatorKind::Join(join), vec![left, right], output.clone(), hidden);
    let watch = Arc::new(Watch::default());
    let predicate = Named { expression: watch.clone(), text: "watch".into() };
    let filter = OperatorKind::Filter(Filter { predicate });
    let filter = graph.add(filter, vec![join], output.clone(), hidden);
    graph.add(OperatorKind::Sink(0), vec![filter], output, hidden);
    let settings = ExecutorSettings { workers: 1, ..ExecutorSettings::default() };
    (Executor::new(Arc::new(graph), settings).unwrap(), watch)
}

fn rows(keys: &[i64], weight: bool) -> RecordBatch {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let mut columns = vec![column(keys.to_vec()), column((0..keys.len() as i64).collect())];
    columns.extend(weight.then(|| column(vec![1; keys.len()])));
    let hidden = Hidden { weight, ..Hidden::NONE };
    let visible = schema(&[("k", DataType::Int64), ("v", DataType::Int64)]);
    RecordBatch::try_new(hidden.behind(&visible), columns).unwrap()
}

fn input(batches: Vec<RecordBatch>) -> SourceInput {
    SourceInput { batches, ..SourceInput::default() }
}

/// One key on both sides: `left` x `right` matches.
fn one_key(kind: JoinKind, weight: bool, left: usize, right: usize) -> Arc<Watch> {
    let (mut executor, watch) = watched(kind, weight, None);
    let side = |count: usize| input(vec![rows(&vec![1; count], weight)]);
    executor.tick(vec![side(left), side(right)]).unwrap();
    watch
}

#[test]
fn one_key_with_very_many_matches_comes_in_bounded_pieces() {
    let chunk = ExecutorSettings::default().chunk_rows;
    for (left, right) in [(20_000, 200), (200, 20_000), (1, 200_000)] {
        for weight in [false, true] {
            let watch = one_key(JoinKind::Inner, weight, left, right);
            assert_eq!(watch.rows.load(Relaxed), left * right);
            assert!(watch.rows_at_once.load(Relaxed) <= chunk + 1);
        }
        // Rows alone come on top: at most as many again.
        let watch = one_key(JoinKind::Full, false, left, right);
        assert_eq!(watch.rows.load(Relaxed), left * right + 2 * left);
        assert!(watch.rows_at_once.load(Relaxed) <= 2 * chunk + 1);
    }
}

#[test]
fn a_condition_that_holds_for_none_of_many_pairs_gives_nothing() {
    let (mut executor, watch) = watched(JoinKind::Inner, false, Some(less(1, 0)));
    let ones = || input(vec![rows(&[1; 2_000], false).slice(1, 1_999)]);
    executor.tick(vec![ones(), ones()]).unwrap();
    assert_eq!(watch.rows.load(Relaxed), 0);
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// `twc test --release -p tradewind-dataflow --test it speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed_of_one_key_with_four_hundred_million_matches() {
    let (before, started) = (resident_bytes(), Instant::now());
    let watch = one_key(JoinKind::Inner, false, 20_000, 20_000);
    assert_eq!(watch.rows.load(Relaxed), 400_000_000);
    let grown = (resident_bytes().saturating_sub(before)) >> 20;
    println!("400 M matches in {:?}, memory grew by {grown} MB", started.elapsed());
    assert!(grown < 64);
}

/// Keys `0..count` in no order.
fn shuffled(count: i64, seed: i64) -> Vec<i64> {
    // A step without a common factor with the count meets every key once.
    (0..count).map(|place| (place * 1_000_003 + seed) % count).collect()
}

#[test]
#[ignore = "a measurement"]
fn speed_of_two_million_rows_a_side_that_match_once() {
    const ROWS: i64 = 2_000_000;
    for (kind, weight) in
        [(JoinKind::Inner, false), (JoinKind::Inner, true), (JoinKind::Left, true)]
    {
        let (mut executor, watch) = watched(kind, weight, None);
        let batches = |seed: i64| -> Vec<RecordBatch> {
            shuffled(ROWS, seed).chunks(8_192).map(|keys| rows(keys, weight)).collect()
        };
        let (left, right) = (batches(0), batches(777_777));
        let started = Instant::now();
        for (left, right) in left.chunks(8).zip(right.chunks(8)) {
            executor.tick(vec![input(left.to_vec()), input(right.to_vec())]).unwrap();
        }
        let took = started.elapsed();
        let rate = 2.0 * ROWS as f64 / took.as_secs_f64() / 1e6;
        let (_, _, bytes) = executor.state_sizes()[0];
        let matches = watch.rows.load(Relaxed);
        println!(
            "{kind:?}, weights {weight}: {took:?}, {rate:.2} M input rows/s, {matches} rows out, {} MB of state",
            bytes >> 20
        );
        assert!(matches >= ROWS as usize);
    }
}
