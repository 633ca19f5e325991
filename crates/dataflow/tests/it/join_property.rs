//! Random changes of two sides leave what a nested loop leaves, however they are cut, divided and
//! handed over.

use crate::aggregate_support::{Table, apply};
use crate::join_support::{Joined, POISON, Shape};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tradewind_dataflow::operator::JoinKind::{self, Anti, Full, Inner, Left, Right, Semi};

/// `(k, v)`
type Row = (Option<i64>, Option<i64>);

#[derive(Debug, Clone)]
struct Step {
    side: usize,
    row: Row,
    weight: i64,
}

fn show(value: Option<i64>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

fn words((k, v): Row) -> String {
    format!("{} {}", show(k), show(v))
}

/// Makes rows that go be rows that have come, and only as often as they have.
fn arrange(steps: &mut [Step], weights: [bool; 2]) {
    let mut there: [Vec<(Row, i64)>; 2] = Default::default();
    for (place, step) in steps.iter_mut().enumerate() {
        let there = &mut there[step.side];
        if !weights[step.side] {
            step.weight = 1;
        } else if step.weight < 0 && there.is_empty() {
            step.weight = -step.weight;
        }
        if step.weight < 0 {
            let chosen = place * 7 % there.len();
            step.row = there[chosen].0;
            step.weight = step.weight.max(-there[chosen].1);
            there[chosen].1 += step.weight;
            there.retain(|(_, count)| *count > 0);
        } else {
            match there.iter_mut().find(|(row, _)| *row == step.row) {
                Some((_, count)) => *count += step.weight,
                None => there.push((step.row, step.weight)),
            }
        }
    }
}

fn matches(left: Row, right: Row, condition: bool) -> bool {
    let fails = right.1 == Some(POISON);
    let less = matches!((left.1, right.1), (Some(left), Some(right)) if left < right);
    left.0.is_some() && left.0 == right.0 && (!condition || less && !fails)
}

/// The rows that are left, joined one by one.
fn model(steps: &[Step], shape: Shape) -> Table {
    let mut left: [BTreeMap<Row, i64>; 2] = Default::default();
    for step in steps {
        *left[step.side].entry(step.row).or_default() += step.weight;
    }
    let mut table = Table::new();
    let mut give = |row: String, weight: i64| {
        if weight != 0 {
            *table.entry(row).or_default() += weight;
        }
    };
    let [lefts, rights] = &left;
    let kind = shape.kind;
    for (row, weight) in lefts {
        let partners =
            || rights.iter().filter(|(other, _)| matches(*row, **other, shape.condition));
        let matched = partners().any(|(_, weight)| *weight > 0);
        match kind {
            Semi if matched => give(words(*row), *weight),
            Anti if !matched => give(words(*row), *weight),
            Semi | Anti => {}
            _ => {
                for (other, times) in partners() {
                    give(format!("{} {}", words(*row), words(*other)), weight * times);
                }
                if matches!(kind, Left | Full) && !matched {
                    give(format!("{} null null", words(*row)), *weight);
                }
            }
        }
    }
    for (row, weight) in rights.iter().filter(|_| matches!(kind, Right | Full)) {
        let mut partners =
            lefts.iter().filter(|(other, _)| matches(**other, *row, shape.condition));
        if !partners.any(|(_, weight)| *weight > 0) {
            give(format!("null null {}", words(*row)), *weight);
        }
    }
    table
}

fn changelog(steps: &[Step], side: usize) -> String {
    let of_side = steps.iter().filter(|step| step.side == side);
    of_side.map(|step| format!("{} {}\n", step.weight, words(step.row))).collect()
}

/// Changes of one tick in any order, the last ones first.
fn apply_tick(table: &mut Table, lines: &[String]) {
    let (take, add): (Vec<String>, Vec<String>) =
        lines.iter().cloned().partition(|line| line.starts_with('-'));
    apply(table, &add);
    apply(table, &take);
}

fn step() -> impl Strategy<Value = Step> {
    let value =
        prop_oneof![4 => (0..4_i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(POISON))];
    let weight = prop_oneof![4 => Just(1), 1 => 2..4_i64, 4 => Just(-1), 1 => -3..-1_i64];
    let key = proptest::option::weighted(0.9, 0..3_i64);
    (0..2_usize, key, value, weight).prop_map(|(side, k, v, weight)| Step {
        side,
        row: (k, v),
        weight,
    })
}

fn kind() -> impl Strategy<Value = JoinKind> {
    proptest::sample::select(vec![Inner, Left, Right, Full, Semi, Anti])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn joins_leave_what_the_model_leaves(
        kind in kind(),
        condition in any::<bool>(),
        weights in any::<[bool; 2]>(),
        mut steps in proptest::collection::vec(step(), 1..160),
        workers in 1..5_usize,
        memory in proptest::option::of(proptest::sample::select(vec![0_usize, 3_000, 30_000])),
        ticks in proptest::collection::vec(
            (1..60_usize, any::<bool>(), proptest::option::of(0..5_usize), any::<bool>()), 1..6),
    ) {
        arrange(&mut steps, weights);
        let shape = Shape { kind, condition, weights, kept: true };
        let mut joined = Joined::new(shape, workers).within(memory);
        let (mut table, mut log, mut rest) = (Table::new(), Vec::new(), &steps[..]);
        for (size, backwards, hand_over, all) in ticks.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            let mut now = now.to_vec();
            if *backwards {
                now.reverse();
            }
            let output = joined.tick_whole([&changelog(&now, 0), &changelog(&now, 1)]);
            let lines = joined.lines(&output);
            apply_tick(&mut table, &lines);
            rest = later;
            let wanted = model(&steps[..steps.len() - rest.len()], shape);
            prop_assert_eq!(&table, &wanted);
            let mut published = Table::new();
            for row in joined.published() {
                apply(&mut published, &[row]);
            }
            prop_assert_eq!(&published, &wanted);
            if rest.is_empty() {
                break;
            }
            if let Some(workers) = hand_over {
                if *all {
                    log.clear();
                }
                log.extend(joined.take(*all));
                // Without workers it goes on where it is.
                if *workers > 0 {
                    joined.hand_over(*workers, &log);
                }
            }
        }
    }
}
