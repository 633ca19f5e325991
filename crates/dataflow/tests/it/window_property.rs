//! Random windows leave what a naive model leaves, however input is cut, divided and handed over.

use crate::aggregate_support::{Chain, call, text};
use crate::window::{calls, spec, windows};
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tradewind_dataflow::WindowSpec;
use tradewind_dataflow::operator::AggregateCall;
use tradewind_dataflow::operator::AggregateFunction::{Count, Min};

/// A row that comes, or one that is taken back.
#[derive(Debug, Clone)]
struct Row {
    partition: usize,
    time: i64,
    key: i64,
    value: Option<i64>,
    back: bool,
}

fn rows(weights: bool) -> impl Strategy<Value = Vec<Row>> {
    let row = (0..3_usize, 0..40_i64, 0..4_i64, proptest::option::of(-3..4_i64), any::<bool>());
    let row = row.prop_map(move |(partition, jitter, key, value, back)| Row {
        partition,
        time: jitter,
        key,
        value,
        back: back && weights,
    });
    proptest::collection::vec(row, 1..150)
}

/// Times rise along the stream, so that some rows are late; a row that is taken back is one of
/// those that came in its partition before.
fn arrange(rows: &mut [Row]) {
    let mut open: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for (place, row) in rows.iter_mut().enumerate() {
        row.time += place as i64 / 2 - 10;
        let partition = open.entry(row.partition).or_default();
        match row.back.then(|| partition.pop()).flatten() {
            Some(came) => *row = Row { back: true, ..came },
            None => {
                row.back = false;
                partition.push(row.clone());
            }
        }
    }
}

/// A group of a window: how many rows, and how often each value.
type Group = (i64, BTreeMap<Option<i64>, i64>);

/// What windows give, and how many rows are late.
fn model(rows: &[Row], spec: &WindowSpec) -> (Vec<String>, usize) {
    let mut watermarks = [i64::MIN; 3];
    let mut groups: BTreeMap<(i64, i64), Group> = BTreeMap::new();
    let mut late = 0;
    let second = 1_000_000;
    for row in rows {
        let watermark = watermarks[row.partition];
        let first = spec.slice_end(row.time * second);
        let ends = (0..spec.size_us / spec.slide_us).map(|window| first + window * spec.slide_us);
        let open: Vec<i64> = ends.filter(|end| !spec.is_complete(*end, watermark)).collect();
        late += usize::from(open.is_empty());
        for end in open {
            let group = groups.entry((end, row.key)).or_default();
            let weight = if row.back { -1 } else { 1 };
            group.0 += weight;
            *group.1.entry(row.value).or_default() += weight;
        }
        watermarks[row.partition] = watermark.max((row.time - 3) * second);
    }
    let there = groups.iter().filter(|(_, (rows, _))| *rows > 0);
    (there.map(|((end, key), (_, values))| line(spec, *end, *key, values)).collect(), late)
}

fn line(spec: &WindowSpec, end: i64, key: i64, values: &BTreeMap<Option<i64>, i64>) -> String {
    let there: Vec<(i64, i64)> = values
        .iter()
        .filter(|(_, count)| **count > 0)
        .filter_map(|(value, count)| Some(((*value)?, *count)))
        .collect();
    let show = |value: Option<i64>| value.map_or("null".into(), |value| value.to_string());
    let sum = there.iter().map(|(value, count)| value * count).reduce(|a, b| a + b);
    let (max, min) = (there.iter().map(|of| of.0).max(), there.iter().map(|of| of.0).min());
    let rows: i64 = values.values().sum();
    let time = |micros: i64| {
        let column = arrow::array::TimestampMicrosecondArray::from(vec![micros]);
        let shown = arrow::util::display::array_value_to_string(&column, 0).unwrap();
        shown.replace("1970-01-01T", "")
    };
    let window = [end - spec.size_us, end, end - 1_000].map(time).join(" ");
    format!("+ {key} {rows} {} {} {} {} {window}", show(sum), show(max), there.len(), show(min))
}

fn changelog(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let sign = if row.back { "-" } else { "+" };
        let value = row.value.map_or("null".into(), |value| value.to_string());
        let (time, key, partition) = (row.time, row.key, row.partition);
        format!("{sign} {time} {key} {value} {} #{partition}\n", time - 3)
    };
    rows.iter().map(line).collect()
}

/// Runs the rows in ticks of these sizes and hands the state over where told: to how many workers.
fn run(
    mut chain: Chain,
    rows: &[Row],
    sizes: &[(usize, Option<usize>, bool)],
) -> (Vec<String>, usize) {
    chain.partitions = vec![0, 1, 2];
    let (mut given, mut late, mut log) = (Vec::new(), 0, Vec::new());
    let mut rest = rows;
    for (size, hand_over, all) in sizes.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        let output = chain.tick_whole(&changelog(now), later.is_empty());
        given.extend(chain.lines(&output));
        late += output.late.iter().map(|late| late.rows.num_rows()).sum::<usize>();
        for rows in &output.late {
            assert!(!text(rows.hidden, &rows.rows).is_empty());
        }
        rest = later;
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
    (given, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn windows_leave_what_the_model_leaves(
        weights in any::<bool>(),
        mut rows in any::<bool>().prop_flat_map(rows),
        hop in any::<bool>(),
        workers in 1..5_usize,
        memory in proptest::option::of(proptest::sample::select(vec![0_usize, 3_000, 30_000])),
        sizes in proptest::collection::vec(
            (1..60_usize, proptest::option::of(0..5_usize), any::<bool>()), 1..6),
    ) {
        if !weights {
            rows.iter_mut().for_each(|row| row.back = false);
        }
        arrange(&mut rows);
        let spec = if hop { spec(15, 5) } else { spec(10, 10) };
        let int = DataType::Int64;
        let mut calls = calls();
        calls.push(AggregateCall { distinct: true, ..call(Count, Some(2), int.clone()) });
        calls.push(call(Min, Some(2), int));
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let chain = windows(spec, time, calls, weights, workers).within(memory);
        let (mut wanted, late) = model(&rows, &spec);
        let (mut given, given_late) = run(chain, &rows, &sizes);
        given.sort();
        wanted.sort();
        prop_assert_eq!(given, wanted);
        prop_assert_eq!(given_late, late);
    }
}
