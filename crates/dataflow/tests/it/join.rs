//! Joins, told as changelogs: rows are `k v`, joined by `k`.

use crate::aggregate_support::{Table, apply};
use crate::join_support::{Joined, POISON, Shape};
use tradewind_dataflow::operator::JoinKind::{self, Anti, Full, Inner, Left, Right, Semi};

fn join(kind: JoinKind) -> Joined {
    Joined::new(Shape { kind, condition: false, weights: [true; 2], kept: false }, 1)
}

/// Without `_weight` on both sides.
fn join_added(kind: JoinKind) -> Joined {
    Joined::new(Shape { kind, condition: false, weights: [false; 2], kept: false }, 1)
}

fn join_less(kind: JoinKind) -> Joined {
    Joined::new(Shape { kind, condition: true, weights: [true; 2], kept: false }, 1)
}

/// What changes add up to, sorted.
fn sum(lines: &[String]) -> Vec<String> {
    let mut table = Table::new();
    // In this order nothing is taken back before it is there.
    let (add, take): (Vec<String>, Vec<String>) =
        lines.iter().cloned().partition(|line| !line.starts_with('-'));
    apply(&mut table, &add);
    apply(&mut table, &take);
    table.into_iter().map(|(row, count)| format!("{count} {row}")).collect()
}

#[test]
fn inner_gives_each_pair_once_whichever_side_comes_first() {
    for mut joined in [join_added(Inner), join(Inner)] {
        assert!(joined.tick("+ 1 10\n+ 2 20", "").is_empty());
        assert_eq!(joined.tick("", "+ 1 11\n+ 3 31"), ["+ 1 10 1 11"]);
        assert_eq!(joined.tick("+ 3 30\n+ 1 12", ""), ["+ 3 30 3 31", "+ 1 12 1 11"]);
    }
}

#[test]
fn both_sides_in_one_tick_meet_once() {
    for mut joined in [join_added(Inner), join(Inner)] {
        let lines = joined.tick("+ 1 10\n+ 1 12", "+ 1 11\n+ 1 13");
        let wanted = ["1 1 10 1 11", "1 1 10 1 13", "1 1 12 1 11", "1 1 12 1 13"];
        assert_eq!(sum(&lines), wanted);
    }
}

#[test]
fn nulls_match_nothing() {
    for mut joined in [join_added(Inner), join(Inner)] {
        assert!(joined.tick("+ null 1", "+ null 1").is_empty());
        assert_eq!(joined.executor.state_sizes()[0].1, 0);
    }
    assert_eq!(join(Left).tick("+ null 1", "+ null 1"), ["+ null 1 null null"]);
    assert_eq!(join(Right).tick("+ null 1", "+ null 1"), ["+ null null null 1"]);
    let lines = join(Full).tick("+ null 1", "+ null 2");
    assert_eq!(lines, ["+ null 1 null null", "+ null null null 2"]);
    assert!(join(Semi).tick("+ null 1", "+ null 1").is_empty());
    let mut anti = join(Anti);
    assert_eq!(anti.tick("+ null 1", "+ null 1"), ["+ null 1"]);
    assert_eq!(anti.tick("- null 1", ""), ["- null 1"]);
}

#[test]
fn equal_rows_multiply() {
    let mut joined = join(Inner);
    assert_eq!(joined.tick("+ 1 10\n2 1 10", "2 1 11"), ["6 1 10 1 11"]);
    assert_eq!(joined.tick("- 1 10", ""), ["-2 1 10 1 11"]);
    assert_eq!(joined.tick("", "-2 1 11"), ["-4 1 10 1 11"]);
    assert!(joined.tick("-2 1 10", "").is_empty());
    assert_eq!(joined.executor.state_sizes()[0].1, 0);
    let mut added = join_added(Inner);
    assert_eq!(added.tick("+ 1 10\n+ 1 10", "+ 1 11"), ["+ 1 10 1 11", "+ 1 10 1 11"]);
}

#[test]
fn a_row_taken_back_takes_its_pairs_back() {
    let mut joined = join(Inner);
    joined.tick("+ 1 10\n+ 1 12", "+ 1 11");
    assert_eq!(joined.tick("- 1 10", ""), ["- 1 10 1 11"]);
    assert_eq!(joined.tick("", "- 1 11"), ["- 1 12 1 11"]);
    assert!(joined.tick("- 1 12", "").is_empty());
}

#[test]
fn an_update_gives_old_and_new_next_to_each_other() {
    let mut joined = join(Inner);
    joined.tick("+ 1 10", "+ 1 11\n+ 1 13");
    let lines = joined.tick("- 1 10\n+ 1 12", "");
    assert_eq!(lines, ["- 1 10 1 13", "+ 1 12 1 13", "- 1 10 1 11", "+ 1 12 1 11"]);
}

#[test]
fn left_rows_stand_alone_until_they_have_a_partner() {
    let mut joined = join(Left);
    assert_eq!(joined.tick("+ 1 10", ""), ["+ 1 10 null null"]);
    assert_eq!(joined.tick("", "+ 1 11"), ["+ 1 10 1 11", "- 1 10 null null"]);
    assert_eq!(joined.tick("", "+ 1 13\n+ 2 9"), ["+ 1 10 1 13"]);
    assert_eq!(joined.tick("", "- 1 11"), ["- 1 10 1 11"]);
    assert_eq!(joined.tick("", "- 1 13"), ["- 1 10 1 13", "+ 1 10 null null"]);
    assert_eq!(joined.tick("- 1 10", ""), ["- 1 10 null null"]);
}

#[test]
fn a_partner_that_is_replaced_leaves_nobody_alone() {
    let mut joined = join(Left);
    joined.tick("+ 1 10", "+ 1 11");
    assert_eq!(joined.tick("", "- 1 11\n+ 1 13"), ["- 1 10 1 11", "+ 1 10 1 13"]);
}

#[test]
fn right_is_left_seen_from_the_other_side() {
    let mut joined = join(Right);
    assert_eq!(joined.tick("", "+ 1 11"), ["+ null null 1 11"]);
    assert_eq!(joined.tick("3 1 10", ""), ["3 1 10 1 11", "- null null 1 11"]);
    assert_eq!(joined.tick("-3 1 10", ""), ["-3 1 10 1 11", "+ null null 1 11"]);
}

#[test]
fn full_gives_both_sides_alone() {
    let mut joined = join(Full);
    assert_eq!(
        joined.tick("+ 1 10\n+ 2 20", "2 3 31"),
        ["+ 1 10 null null", "+ 2 20 null null", "2 null null 3 31"]
    );
    assert_eq!(
        joined.tick("+ 3 30", "+ 1 11"),
        ["2 3 30 3 31", "-2 null null 3 31", "+ 1 10 1 11", "- 1 10 null null"]
    );
}

#[test]
fn semi_gives_a_left_row_as_often_as_it_is_there() {
    let mut joined = join(Semi);
    assert!(joined.tick("2 1 10\n+ 2 20", "").is_empty());
    assert_eq!(joined.tick("", "+ 1 11\n+ 1 12"), ["2 1 10"]);
    assert!(joined.tick("", "- 1 11").is_empty());
    assert_eq!(joined.tick("- 1 10", ""), ["- 1 10"]);
    assert_eq!(joined.tick("", "- 1 12"), ["- 1 10"]);
    let mut added = join_added(Semi);
    assert_eq!(added.tick("+ 1 10\n+ 2 20\n+ 1 10", "+ 1 1\n+ 1 1"), ["+ 1 10", "+ 1 10"]);
    assert_eq!(added.tick("+ 1 15", "+ 1 1"), ["+ 1 15"]);
}

#[test]
fn anti_gives_the_others() {
    let mut joined = join(Anti);
    assert_eq!(joined.tick("2 1 10\n+ 2 20", ""), ["2 1 10", "+ 2 20"]);
    assert_eq!(joined.tick("", "2 1 11"), ["-2 1 10"]);
    assert!(joined.tick("+ 1 10", "- 1 11").is_empty());
    assert_eq!(joined.tick("", "- 1 11"), ["3 1 10"]);
}

#[test]
fn a_condition_decides_beside_the_key() {
    let mut joined = join_less(Inner);
    assert_eq!(joined.tick("+ 1 10\n+ 1 20", "+ 1 15\n+ 1 null"), ["+ 1 10 1 15"]);
    let mut joined = join_less(Left);
    let lines = joined.tick("+ 1 10\n+ 1 20\n+ null 1", "+ 1 15");
    assert_eq!(sum(&lines), ["1 1 10 1 15", "1 1 20 null null", "1 null 1 null null"]);
    assert_eq!(joined.tick("", "- 1 15"), ["- 1 10 1 15", "+ 1 10 null null"]);
    let mut joined = join_less(Semi);
    assert_eq!(joined.tick("+ 1 10\n+ 1 20", "+ 1 15\n+ 1 5"), ["+ 1 10"]);
    let mut joined = join_less(Anti);
    assert_eq!(sum(&joined.tick("+ 1 10\n+ 1 20", "+ 1 15\n+ 1 5")), ["1 1 20"]);
}

#[test]
fn a_pair_that_fails_is_reported_and_no_match() {
    let mut joined = join_less(Left);
    let right = format!("+ 1 15\n+ 1 {POISON}\n+ 2 {POISON}");
    let output = joined.tick_whole(["+ 1 10\n+ 2 20", &right]);
    let wanted = ["1 1 10 1 15", "1 2 20 null null"];
    assert_eq!(sum(&joined.lines(&output)), wanted);
    assert_eq!(output.errors.len(), 2);
    let error = &output.errors[0];
    assert_eq!(
        (&*error.operator.0, &*error.expression, &*error.reason),
        ("join-1", "a < b", "poison")
    );
    assert_eq!((error.row.num_rows(), error.row.num_columns()), (1, 4));
    // When it goes, it is not reported again.
    let output = joined.tick_whole(["", &format!("- 1 {POISON}")]);
    assert!(output.errors.is_empty() && joined.lines(&output).is_empty());
}

#[test]
fn rows_taken_back_before_they_come_cancel() {
    for kind in [Inner, Left, Right, Full, Semi, Anti] {
        let mut joined = join(kind);
        joined.tick("+ 1 10", "+ 1 11");
        let lines = joined.tick("- 1 12\n+ 1 12", "- 1 13\n- 1 11\n+ 1 13\n+ 1 11");
        let mut table = Table::new();
        let mut sorted = lines.clone();
        sorted.sort();
        apply(
            &mut table,
            &sorted.iter().filter(|line| line.starts_with('+')).cloned().collect::<Vec<_>>(),
        );
        apply(
            &mut table,
            &sorted.iter().filter(|line| line.starts_with('-')).cloned().collect::<Vec<_>>(),
        );
        assert!(table.is_empty(), "{kind:?}: {lines:?}");
    }
}
