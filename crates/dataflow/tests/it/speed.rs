//! How fast groups are: `cargo test --release -- --ignored --nocapture speed_of`.

use crate::aggregate_support::{call, schema};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Instant;
use tradewind_dataflow::operator::Aggregate;
use tradewind_dataflow::operator::AggregateFunction::{Count, Max, Sum};
use tradewind_dataflow::{Executor, ExecutorSettings, Graph, Hidden, OperatorKind, SourceInput};

const INT: DataType = DataType::Int64;
const ROWS: usize = 10_000_000;
const TICK_ROWS: usize = 262_144;

/// `SELECT k, COUNT(*), SUM(v), MAX(v) GROUP BY k` on one worker, ticks and output included.
fn rows_per_second(keys: i64) -> f64 {
    let input = Arc::new(schema(&[("k", INT), ("v", INT)]));
    let output = [("k", INT), ("c", INT), ("s", INT), ("m", INT)];
    let output = Hidden::CHANGES.behind(&schema(&output));
    let calls = vec![call(Count, None, INT), call(Sum, Some(1), INT), call(Max, Some(1), INT)];
    let mut graph = Graph { nodes: Vec::new() };
    let source = graph.add(OperatorKind::Source(0), vec![], input.clone(), Hidden::NONE);
    let kind = OperatorKind::Aggregate(Aggregate { keys: vec![0], calls });
    let node = graph.add(kind, vec![source], output.clone(), Hidden::CHANGES);
    graph.add(OperatorKind::Sink(0), vec![node], output, Hidden::CHANGES);
    let settings = ExecutorSettings { workers: 1, ..ExecutorSettings::default() };
    let mut executor = Executor::new(Arc::new(graph), settings).unwrap();
    let mut random = SmallRng::seed_from_u64(1);
    let batches: Vec<RecordBatch> = (0..ROWS / 8_192)
        .map(|_| {
            let mut column = |most: i64| -> ArrayRef {
                let values = (0..8_192).map(|_| random.random_range(0..most));
                Arc::new(Int64Array::from_iter_values(values))
            };
            RecordBatch::try_new(input.clone(), vec![column(keys), column(1 << 40)]).unwrap()
        })
        .collect();
    let start = Instant::now();
    for tick in batches.chunks(TICK_ROWS / 8_192) {
        let input = SourceInput { batches: tick.to_vec(), ..SourceInput::default() };
        executor.tick(vec![input]).unwrap();
    }
    ROWS as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement"]
fn speed_of_groups() {
    for keys in [100, 10_000, 1_000_000] {
        println!("{keys} keys: {:.1} million rows/s", rows_per_second(keys) / 1e6);
    }
}
