//! Random changes leave what a naive model leaves, however they are cut, divided and handed over.

use crate::aggregate_support::{Chain, Table, apply, call};
use arrow::datatypes::DataType;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tradewind_dataflow::operator::AggregateFunction::{Avg, Count, Max, Min, Sum};
use tradewind_dataflow::operator::{Aggregate, AggregateCall};
use tradewind_dataflow::{Hidden, OperatorKind};

/// `(k, t, v, s, f)`: two keys, a number, a text, a filter.
type Row = (Option<i64>, bool, Option<i64>, u8, Option<bool>);

/// Rows that come, or go where they have come.
type Step = (Row, bool);

const INT: DataType = DataType::Int64;

fn columns() -> [(&'static str, DataType); 5] {
    [
        ("k", INT),
        ("t", DataType::Boolean),
        ("v", INT),
        ("s", DataType::Utf8),
        ("f", DataType::Boolean),
    ]
}

fn calls() -> Vec<AggregateCall> {
    let decimal = DataType::Decimal128(38, 6);
    let distinct = |call| AggregateCall { distinct: true, ..call };
    vec![
        call(Count, None, INT),
        call(Count, Some(2), INT),
        call(Sum, Some(2), INT),
        call(Min, Some(2), INT),
        call(Max, Some(3), DataType::Utf8),
        distinct(call(Count, Some(3), INT)),
        AggregateCall { filter: Some(4), ..distinct(call(Sum, Some(2), INT)) },
        call(Avg, Some(2), decimal),
    ]
}

fn chain(keys: usize, weight: bool, workers: usize) -> Chain {
    let results = calls().into_iter().map(|call| ("r", call.output));
    let output: Vec<_> = columns()[..keys].iter().cloned().chain(results).collect();
    let kind = OperatorKind::Aggregate(Aggregate { keys: (0..keys).collect(), calls: calls() });
    let hidden = Hidden { weight, ..Hidden::NONE };
    Chain::new(&columns(), hidden, kind, (&output, Hidden::CHANGES), workers)
}

fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

fn words(row: &Row) -> [String; 5] {
    let (k, t, v, s, f) = row;
    [show(*k), t.to_string(), show(*v), format!("text-{s:02}"), show(*f)]
}

fn changelog(steps: &[Step]) -> String {
    let line = |(row, back): &Step| {
        format!("{} {}\n", if *back { "-" } else { "+" }, words(row).join(" "))
    };
    steps.iter().map(line).collect()
}

/// Makes those that go be rows that have come.
fn arrange(steps: &mut [Step], weight: bool) {
    let mut open: Vec<Row> = Vec::new();
    for (place, (row, back)) in steps.iter_mut().enumerate() {
        *back &= weight && !open.is_empty();
        match back {
            true => *row = open.swap_remove(place * 7 % open.len()),
            false => open.push(*row),
        }
    }
}

/// The rows that are left, grouped and counted one by one.
fn model(steps: &[Step], keys: usize) -> Table {
    let mut left: BTreeMap<Row, i64> = BTreeMap::new();
    for (row, back) in steps {
        *left.entry(*row).or_default() += if *back { -1 } else { 1 };
    }
    let mut groups: BTreeMap<Vec<String>, Vec<Row>> = BTreeMap::new();
    for (row, count) in left {
        for _ in 0..count {
            groups.entry(words(&row)[..keys].to_vec()).or_default().push(row);
        }
    }
    let line = |(key, rows): (Vec<String>, Vec<Row>)| ([key, results(&rows)].concat().join(" "), 1);
    groups.into_iter().map(line).collect()
}

fn results(rows: &[Row]) -> Vec<String> {
    let values: Vec<i64> = rows.iter().filter_map(|row| row.2).collect();
    let texts: BTreeSet<u8> = rows.iter().map(|row| row.3).collect();
    let filtered = rows.iter().filter(|row| row.4 == Some(true));
    let distinct: BTreeSet<i64> = filtered.filter_map(|row| row.2).collect();
    let sum = values.iter().copied().reduce(|a, b| a + b);
    let average = sum.map(|sum| {
        let count = values.len() as i64;
        let millionths = (2 * sum.abs() * 1_000_000 + count) / (2 * count);
        let sign = if sum < 0 && millionths > 0 { "-" } else { "" };
        format!("{sign}{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
    });
    vec![
        rows.len().to_string(),
        values.len().to_string(),
        show(sum),
        show(values.iter().min()),
        show(texts.iter().max().map(|text| format!("text-{text:02}"))),
        texts.len().to_string(),
        show(distinct.into_iter().reduce(|a, b| a + b)),
        show(average),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn groups_leave_what_the_model_leaves(
        weight in any::<bool>(),
        keys in 0..3_usize,
        mut steps in proptest::collection::vec(
            (
                (
                    proptest::option::of(0..4_i64),
                    any::<bool>(),
                    proptest::option::of(-3..4_i64),
                    0..12_u8,
                    proptest::option::of(any::<bool>()),
                ),
                proptest::bool::weighted(0.45),
            ),
            1..200,
        ),
        workers in 1..5_usize,
        memory in proptest::option::of(proptest::sample::select(vec![0_usize, 3_000, 30_000])),
        ticks in proptest::collection::vec(
            (1..60_usize, any::<bool>(), proptest::option::of(0..5_usize), any::<bool>()), 1..6),
    ) {
        arrange(&mut steps, weight);
        let mut chain = chain(keys, weight, workers).within(memory);
        let (mut table, mut log, mut rest) = (Table::new(), Vec::new(), &steps[..]);
        for (size, backwards, hand_over, all) in ticks.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            let mut now = now.to_vec();
            // Within a tick rows may come in any order, also after they have gone.
            if *backwards {
                now.reverse();
            }
            let lines = chain.tick(&changelog(&now));
            apply(&mut table, &lines);
            rest = later;
            let done = &steps[..steps.len() - rest.len()];
            prop_assert_eq!(&table, &model(done, keys));
            if rest.is_empty() {
                break;
            }
            if let Some(workers) = hand_over {
                if *all {
                    log.clear();
                }
                log.extend(chain.take(*all));
                // Without workers it goes on where it is.
                if *workers > 0 {
                    chain.hand_over(*workers, &log);
                }
            }
        }
    }
}
