//! Kept tables: what changes, and what readers see.

use crate::aggregate_support::{Chain, Table, apply, executor, rows, schema, text};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_dataflow::operator::Materialize;
use tradewind_dataflow::{Graph, Hidden, OperatorKind, SourceInput};

const COLUMNS: [(&str, DataType); 2] = [("k", DataType::Int64), ("v", DataType::Utf8)];
/// The place of the kept table in a chain.
const TABLE: usize = 1;

fn kept(key: &[usize], weight: bool, workers: usize) -> Chain {
    let hidden = Hidden { weight, ..Hidden::NONE };
    let kind = OperatorKind::Materialize(Materialize { key: key.to_vec() });
    Chain::new(&COLUMNS, hidden, kind, (&COLUMNS, hidden), workers)
}

fn chunks(chain: &mut Chain) -> Vec<Arc<RecordBatch>> {
    chain.executor.publish(TABLE).unwrap().chunks
}

fn published(chain: &mut Chain) -> Vec<String> {
    let mut rows: Vec<_> =
        chunks(chain).iter().flat_map(|chunk| text(Hidden::NONE, chunk)).collect();
    rows.sort();
    rows
}

#[test]
fn changes_of_a_tick_are_consolidated() {
    for workers in [1, 4] {
        let mut chain = kept(&[], true, workers);
        let mut lines = chain.tick("+ 1 a\n+ 2 b\n- 1 a\n+ 3 c\n+ 3 c");
        lines.sort();
        assert_eq!(lines, ["+ 2 b", "2 3 c"]);
        assert!(chain.tick("- 2 b\n+ 2 b").is_empty());
        assert_eq!(chain.tick("+ 4 d\n- 2 b"), ["- 2 b", "+ 4 d"]);
        assert_eq!(published(&mut chain), ["+ 3 c", "+ 3 c", "+ 4 d"]);
    }
}

#[test]
fn changes_of_a_key_stand_next_to_each_other() {
    let mut chain = kept(&[0], true, 2);
    assert_eq!(chain.tick("+ 1 a\n+ 2 b\n+ 3 c"), ["+ 1 a", "+ 2 b", "+ 3 c"]);
    let lines = chain.tick("+ 3 z\n+ 1 x\n+ 2 y\n- 2 b\n- 3 c\n- 1 a");
    assert_eq!(lines, ["- 3 c", "+ 3 z", "- 1 a", "+ 1 x", "- 2 b", "+ 2 y"]);
}

#[test]
fn what_readers_hold_stays_as_it_was() {
    let mut chain = kept(&[0], true, 1);
    chain.tick("+ 1 a\n+ 2 b");
    let before = chunks(&mut chain);
    chain.tick("- 1 a");
    assert_eq!(text(Hidden::NONE, &before[0]), ["+ 1 a", "+ 2 b"]);
    assert_eq!(published(&mut chain), ["+ 2 b"]);
    chain.tick("- 2 b");
    assert!(published(&mut chain).is_empty());
}

#[test]
fn nulls_and_nans_and_zeros_are_found_again() {
    let columns = [("a", DataType::Float64), ("b", DataType::Utf8), ("c", DataType::Boolean)];
    let kind = OperatorKind::Materialize(Materialize { key: vec![] });
    let changes = Hidden::CHANGES;
    let mut chain = Chain::new(&columns, changes, kind, (&columns, changes), 1);
    chain.tick("+ NaN null null\n+ null x true\n+ 0.0 y false\n+ 1.5 z true");
    let lines = chain.tick("- null x true\n- NaN null null\n- -0.0 y false");
    assert_eq!(lines, ["- null x true", "- NaN null null", "- 0.0 y false"]);
    assert_eq!(published(&mut chain), ["+ 1.5 z true"]);
}

#[test]
fn a_row_of_weight_n_is_there_n_times() {
    let mut chain = kept(&[], true, 1);
    let count = |chain: &mut Chain, row: &str| {
        published(chain).iter().filter(|found| *found == row).count()
    };
    let mut wanted = 0_i64;
    for weight in [3, 1_020, 1, 1, 1_023, 1, 5_000, -4_999, -1_000, 2_047, -3_000] {
        chain.tick(&format!("{weight} 1 a\n+ 2 b"));
        wanted += weight;
        assert_eq!(count(&mut chain, "+ 1 a") as i64, wanted);
    }
    assert_eq!(count(&mut chain, "+ 2 b"), 11);
    // What is heavy is published by pages it shares.
    chain.tick("100000 1 a");
    let before = chunks(&mut chain);
    assert!(before.iter().map(Arc::as_ptr).collect::<std::collections::BTreeSet<_>>().len() < 5);
    chain.tick(&format!("{} 1 a\n+ 3 c", -wanted - 100_000));
    assert_eq!(count(&mut chain, "+ 1 a"), 0);
    assert_eq!(count(&mut chain, "+ 3 c"), 1);
}

#[test]
fn a_weight_that_stays_negative_is_a_bug_that_names_the_row() {
    let mut chain = kept(&[], true, 1);
    chain.tick("+ 1 a");
    let batch = rows(&schema(&COLUMNS), Hidden::CHANGES, "- 7 seven");
    let input = SourceInput { batches: vec![batch], ..SourceInput::default() };
    let error = chain.executor.tick(vec![input]).unwrap_err().to_string();
    assert_eq!(error, "internal error: materialize-1: row (7, seven) is left with weight -1");
}

#[test]
fn rows_that_are_only_added_pass_and_fill_pages() {
    for workers in [1, 3] {
        let mut chain = kept(&[], false, workers);
        let mut wanted = Vec::new();
        let mut before: Vec<Arc<RecordBatch>> = Vec::new();
        for tick in 0..40 {
            let lines: Vec<_> = (0..100).map(|row| format!("+ {} a", tick * 100 + row)).collect();
            assert_eq!(chain.tick(&lines.join("\n")), lines);
            wanted.extend(lines);
            let now = chunks(&mut chain);
            assert!(now.len() <= wanted.len() / 1_024 + 1);
            let full = before.len().saturating_sub(1);
            assert!(before[..full].iter().zip(&now).all(|(old, new)| Arc::ptr_eq(old, new)));
            before = now;
        }
        assert!(chain.tick("").is_empty());
        wanted.sort();
        assert_eq!(published(&mut chain), wanted);
    }
}

/// Rows with keys from a small set, one of each key at a time, as an aggregate gives them.
struct Updates {
    random: SmallRng,
    values: BTreeMap<i64, i64>,
}

impl Updates {
    fn next(&mut self, count: usize, keys: i64, gone: f64) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            let key = self.random.random_range(0..keys);
            if let Some(value) = self.values.remove(&key) {
                lines += &format!("- {key} v{value}\n");
            }
            if !self.random.random_bool(gone) {
                let value = self.random.random_range(0..1_000_000);
                lines += &format!("+ {key} v{value}\n");
                self.values.insert(key, value);
            }
        }
        lines
    }

    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<_> =
            self.values.iter().map(|(key, value)| format!("+ {key} v{value}")).collect();
        rows.sort();
        rows
    }
}

#[test]
fn pages_follow_a_table_that_grows_changes_and_shrinks() {
    let mut chain = kept(&[0], true, 2);
    let mut updates = Updates { random: SmallRng::seed_from_u64(7), values: BTreeMap::new() };
    let (mut table, mut log) = (Table::new(), Vec::new());
    let phases = [(6, 3_000, 0.0), (20, 40, 0.1), (10, 2_000, 0.9), (10, 300, 0.2)];
    for (phase, (ticks, size, gone)) in phases.into_iter().enumerate() {
        for tick in 0..ticks {
            let lines = chain.tick(&updates.next(size, 20_000, gone));
            apply(&mut table, &lines);
            if tick % 3 == 1 {
                continue;
            }
            let now = chunks(&mut chain);
            let rows: usize = now.iter().map(|chunk| chunk.num_rows()).sum();
            assert_eq!(rows, updates.values.len());
            assert!(now.len() <= rows / 512 + 1, "{} pages of {rows} rows", now.len());
            assert!(now.iter().all(|chunk| chunk.num_rows() <= 1_024));
            assert_eq!(published(&mut chain), updates.rows());
            assert_eq!(table.len(), rows);
            if tick % 4 == 3 {
                log.extend(chain.take(false));
            }
        }
        log.extend(chain.take(false));
        chain.hand_over(phase + 1, &log);
        if phase == 1 {
            log = chain.take(true);
        }
    }
    assert_eq!(published(&mut chain), updates.rows());
}

#[test]
fn pages_without_changes_are_shared() {
    let mut chain = kept(&[0], true, 1);
    let lines: String = (0..10_000).map(|key| format!("+ {key} a\n")).collect();
    chain.tick(&lines);
    let before = chunks(&mut chain);
    chain.tick("- 5 a\n+ 5 b\n- 9999 a\n+ 9999 c");
    let now = chunks(&mut chain);
    assert_eq!((before.len(), now.len()), (10, 10));
    let changed = before.iter().zip(&now).filter(|(old, new)| !Arc::ptr_eq(old, new)).count();
    assert_eq!(changed, 2);
}

/// Rows of a table of a million, and how long a tick of 50 changes takes to publish.
/// `twc test --release -p tradewind-dataflow --test it speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed_of_publishing_fifty_changes_of_a_million_rows() {
    let schema = schema(&[("k", DataType::Int64), ("a", DataType::Int64), ("b", DataType::Int64)]);
    let full = Hidden::CHANGES.behind(&schema);
    let mut graph = Graph { nodes: Vec::new() };
    let source = graph.add(OperatorKind::Source(0), vec![], full.clone(), Hidden::CHANGES);
    let keep = OperatorKind::Materialize(Materialize { key: vec![0] });
    let table = graph.add(keep, vec![source], full.clone(), Hidden::CHANGES);
    graph.add(OperatorKind::Sink(0), vec![table], full.clone(), Hidden::CHANGES);
    let mut executor = executor(&Arc::new(graph), 1);
    let batch = |keys: &[i64], value: i64, weight: i64| {
        let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as _;
        let count = keys.len();
        let columns = vec![
            column(keys.to_vec()),
            column(vec![value; count]),
            column(vec![7; count]),
            column(vec![weight; count]),
        ];
        RecordBatch::try_new(full.clone(), columns).unwrap()
    };
    let mut tick = |batches: Vec<RecordBatch>| {
        let started = std::time::Instant::now();
        executor.tick(vec![SourceInput { batches, ..SourceInput::default() }]).unwrap();
        let ticked = started.elapsed();
        let chunks = executor.publish(table).unwrap().chunks;
        (ticked, started.elapsed() - ticked, chunks)
    };
    let keys: Vec<i64> = (0..1_000_000).collect();
    let (ticked, first, mut before) =
        tick(keys.chunks(8_192).map(|keys| batch(keys, 0, 1)).collect());
    println!("a million rows: tick {ticked:?}, publish {first:?}");
    for round in 0..5 {
        let keys: Vec<i64> =
            (0..50).map(|place| (place * 19_937 + round * 11) % 1_000_000).collect();
        let (ticked, took, now) = tick(vec![batch(&keys, 0, -1), batch(&keys, round + 1, 1)]);
        let changed =
            now.iter().filter(|chunk| !before.iter().any(|old| Arc::ptr_eq(old, chunk))).count();
        println!(
            "50 updates: tick {ticked:?}, publish {took:?} for {changed} changed of {} pages",
            now.len()
        );
        before = now;
    }
}
