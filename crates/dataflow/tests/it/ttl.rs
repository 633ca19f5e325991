//! State that is forgotten when nothing was written to it for too long.

use crate::aggregate_support::{Chain, call, schema};
use crate::join_support::{Joined, Shape};
use arrow::datatypes::DataType;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tradewind_dataflow::operator::AggregateFunction::{Count, Max, Sum};
use tradewind_dataflow::operator::JoinKind::{Inner, Left};
use tradewind_dataflow::operator::{Aggregate, Materialize};
use tradewind_dataflow::{Hidden, OperatorKind};

const INT: DataType = DataType::Int64;
const TTL_MS: u64 = 100;

fn sums(workers: usize, memory: Option<usize>, viewed: bool) -> Chain {
    let calls = vec![call(Count, None, INT), call(Sum, Some(1), INT), call(Max, Some(1), INT)];
    let output = schema(&[("k", INT), ("c", INT), ("s", INT), ("m", INT)]);
    let given = Hidden::CHANGES.behind(&output);
    let aggregate = OperatorKind::Aggregate(Aggregate { keys: vec![0], calls });
    let mut operators = vec![(aggregate, given.clone(), Hidden::CHANGES)];
    if viewed {
        let view = OperatorKind::Materialize(Materialize { key: vec![0] });
        operators.push((view, given, Hidden::CHANGES));
    }
    let chain = Chain::of(&[("k", INT), ("v", INT)], Hidden::CHANGES, operators, workers);
    chain.within(memory).forgetting(workers, TTL_MS)
}

fn at(chain: &mut Chain, now_ms: i64, text: &str) -> Vec<String> {
    chain.executor.set_now(now_ms).unwrap();
    chain.tick(text)
}

#[test]
fn a_group_without_rows_for_so_long_begins_anew_and_one_with_rows_does_not() {
    let mut chain = sums(1, None, false);
    assert_eq!(at(&mut chain, 1_000, "+ 1 5\n+ 2 5"), ["+ 1 1 5 5", "+ 2 1 5 5"]);
    assert_eq!(at(&mut chain, 1_099, "+ 1 7"), ["- 1 1 5 5", "+ 1 2 12 7"]);
    // Its own row ends the life of the other.
    assert_eq!(at(&mut chain, 1_100, "+ 2 7"), ["+ 2 1 7 7"]);
    assert_eq!(at(&mut chain, 1_198, "+ 1 1"), ["- 1 2 12 7", "+ 1 3 13 7"]);
    assert_eq!(chain.executor.state_sizes()[0].1, 2);
    assert!(at(&mut chain, 2_000, "").is_empty());
    assert_eq!(chain.executor.state_sizes()[0].1, 0);
}

#[test]
fn rows_taken_back_from_a_forgotten_group_are_passed_over() {
    let mut chain = sums(1, None, false);
    at(&mut chain, 0, "+ 1 5\n+ 1 6");
    assert!(at(&mut chain, 100, "- 1 5").is_empty());
    assert_eq!(at(&mut chain, 101, "- 1 6\n+ 1 7"), ["+ 1 1 7 7"]);
    assert_eq!(at(&mut chain, 102, "- 1 7\n- 1 7"), ["- 1 1 7 7"]);
    assert_eq!(at(&mut chain, 103, "+ 1 9"), ["+ 1 1 9 9"]);
}

/// Those behind hear of a row again, or they would forget what is still true.
#[test]
fn a_row_that_is_the_same_is_given_again() {
    let mut chain = sums(1, None, false);
    assert_eq!(at(&mut chain, 0, "+ 1 5"), ["+ 1 1 5 5"]);
    assert_eq!(at(&mut chain, 1, "+ 1 6\n- 1 6"), ["- 1 1 5 5", "+ 1 1 5 5"]);
}

#[test]
fn a_view_keeps_the_row_of_a_forgotten_group_until_its_key_has_another() {
    let mut chain = sums(1, None, true);
    at(&mut chain, 0, "+ 1 5\n+ 2 5");
    assert!(at(&mut chain, 100, "").is_empty());
    let mut given = at(&mut chain, 101, "+ 1 9");
    given.sort();
    assert_eq!(given, ["+ 1 1 9 9", "- 1 1 5 5"]);
    let log = chain.take(true);
    chain.hand_over(2, &log);
    let mut given = at(&mut chain, 300, "+ 2 1");
    given.sort();
    assert_eq!(given, ["+ 2 1 1 1", "- 2 1 5 5"]);
}

#[test]
fn evicted_state_is_forgotten_and_leaves_the_disk() {
    let mut chain = sums(1, Some(0), false);
    let rows: String = (0..500).map(|key| format!("+ {key} 1\n")).collect();
    assert_eq!(at(&mut chain, 0, &rows).len(), 500);
    assert_eq!(chain.executor.state_sizes()[0].1, 500);
    assert_eq!(at(&mut chain, 99, "+ 7 1"), ["- 7 1 1 1", "+ 7 2 2 1"]);
    at(&mut chain, 150, "+ 1000 1");
    at(&mut chain, 260, "");
    assert_eq!(chain.executor.state_sizes()[0].1, 0);
    assert!(chain.executor.has_evicted() || chain.executor.is_sharded());
    let log = chain.take(true);
    assert!(
        log.iter()
            .flat_map(|rows| &rows.pieces)
            .all(|piece| { piece.read().unwrap().iter().all(|batch| batch.num_rows() == 0) })
    );
    assert_eq!(at(&mut chain, 261, "+ 7 3"), ["+ 7 1 3 3"]);
}

fn joined(kind: tradewind_dataflow::operator::JoinKind, memory: Option<usize>) -> Joined {
    let shape = Shape { kind, condition: false, weights: [true, true], kept: false };
    Joined::new(shape, 1).within(memory).forgetting(1, TTL_MS)
}

fn join_at(joined: &mut Joined, now_ms: i64, left: &str, right: &str) -> Vec<String> {
    joined.executor.set_now(now_ms).unwrap();
    joined.tick(left, right)
}

#[test]
fn a_forgotten_row_of_a_join_meets_nothing_and_takes_its_pairs_along() {
    for memory in [None, Some(0)] {
        let mut joined = joined(Inner, memory);
        assert!(join_at(&mut joined, 0, "+ 1 5", "").is_empty());
        assert_eq!(join_at(&mut joined, 50, "", "+ 1 8"), ["+ 1 5 1 8"]);
        // The left row is gone, the right one is not.
        assert!(join_at(&mut joined, 100, "", "+ 1 9").is_empty());
        let mut given = join_at(&mut joined, 101, "- 1 5", "");
        given.sort();
        assert_eq!(given, ["- 1 5 1 8", "- 1 5 1 9"]);
        // It has not become less than nothing.
        assert!(join_at(&mut joined, 102, "", "+ 1 7").is_empty());
        let mut given = join_at(&mut joined, 103, "+ 1 5", "");
        given.sort();
        assert_eq!(given, ["+ 1 5 1 7", "+ 1 5 1 8", "+ 1 5 1 9"]);
    }
}

#[test]
fn partners_that_are_forgotten_still_count_also_after_a_restart() {
    for memory in [None, Some(0)] {
        for all in [false, true] {
            let mut joined = joined(Left, memory);
            assert_eq!(join_at(&mut joined, 0, "", "+ 1 8"), Vec::<String>::new());
            assert_eq!(join_at(&mut joined, 50, "+ 1 5", ""), ["+ 1 5 1 8"]);
            let mut log = joined.take(false);
            join_at(&mut joined, 120, "", "");
            if all {
                log.clear();
            }
            log.extend(joined.take(all));
            joined.hand_over(2, &log);
            // Nobody was told that the left row stands alone, so nobody is told that it does not.
            assert_eq!(join_at(&mut joined, 121, "", "+ 1 9"), ["+ 1 5 1 9"]);
            // Meeting a partner was a write: the left row lives until 221.
            assert_eq!(join_at(&mut joined, 220, "", "+ 1 7"), ["+ 1 5 1 7"]);
        }
    }
}

/// What Flink does, key by key.
#[derive(Debug, Default, Clone)]
struct Model(BTreeMap<i64, (i64, Vec<i64>)>);

impl Model {
    fn tick(&mut self, now_ms: i64, rows: &[(i64, i64, bool)]) -> Vec<String> {
        self.0.retain(|_, (at, _)| *at + TTL_MS as i64 > now_ms);
        let mut given = Vec::new();
        let line = |sign: &str, key: i64, values: &[i64]| {
            let (sum, max) = (values.iter().sum::<i64>(), values.iter().max());
            max.map(|max| format!("{sign} {key} {} {sum} {max}", values.len()))
        };
        for (key, value, back) in rows {
            let old = self.0.get(key).map(|(_, values)| values.clone()).unwrap_or_default();
            let mut new = old.clone();
            match (back, old.is_empty()) {
                (true, true) => continue,
                // Only values that are there are taken back.
                (true, false) => drop(new.pop()),
                (false, _) => new.push(*value),
            }
            given.extend(line("-", *key, &old).into_iter().chain(line("+", *key, &new)));
            match new.is_empty() {
                true => drop(self.0.remove(key)),
                false => drop(self.0.insert(*key, (now_ms, new))),
            }
        }
        given.sort();
        given
    }

    /// The row that a step stands for: values that go are the last ones that came.
    fn row(&self, now_ms: i64, (key, value, back): (i64, i64, bool)) -> (i64, i64, bool) {
        let there = self.0.get(&key).filter(|(at, _)| *at + TTL_MS as i64 > now_ms);
        let last = there.and_then(|(_, values)| values.last());
        (key, last.filter(|_| back).copied().unwrap_or(value), back)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// A row of each key in a tick at most, as Flink goes row by row.
    #[test]
    fn groups_are_forgotten_as_the_model_forgets_them(
        memory in proptest::option::of(proptest::sample::select(vec![0_usize, 3_000])),
        workers in 1..4_usize,
        ticks in proptest::collection::vec(
            (
                0..60_i64,
                proptest::collection::btree_map(0..6_i64, (-3..4_i64, any::<bool>()), 0..5),
                proptest::option::of(0..4_usize),
                any::<bool>(),
            ),
            1..30,
        ),
    ) {
        let mut chain = sums(workers, memory, false);
        let (mut model, mut now_ms, mut log) = (Model::default(), 1_000, Vec::new());
        for (wait, rows, hand_over, all) in ticks {
            now_ms += wait;
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(key, (value, back))| model.row(now_ms, (key, value, back)))
                .collect();
            let sign = |back: bool| if back { "-" } else { "+" };
            let text = rows.iter().map(|(key, value, back)| format!("{} {key} {value}\n", sign(*back)));
            let mut given = at(&mut chain, now_ms, &text.collect::<String>());
            given.sort();
            prop_assert_eq!(given, model.tick(now_ms, &rows));
            let Some(workers) = hand_over else { continue };
            if all {
                log.clear();
            }
            log.extend(chain.take(all));
            if workers > 0 {
                chain.hand_over(workers, &log);
            }
        }
    }
}
