//! Groups that never end, told as changelogs.

use crate::aggregate_support::{Chain, Table, apply, call};
use arrow::datatypes::DataType;
use tradewind_dataflow::operator::AggregateFunction::{Avg, Count, Max, Min, Sum};
use tradewind_dataflow::operator::{Aggregate, AggregateCall};
use tradewind_dataflow::{DataflowError, Hidden, OperatorKind, SourceInput};

const INT: DataType = DataType::Int64;

/// `GROUP BY` the first `keys` columns.
fn chain(
    input: &[(&str, DataType)],
    hidden: Hidden,
    keys: usize,
    calls: Vec<AggregateCall>,
    workers: usize,
) -> Chain {
    let results = calls.iter().map(|call| ("r", call.output.clone()));
    let output: Vec<_> = input[..keys].iter().cloned().chain(results).collect();
    let kind = OperatorKind::Aggregate(Aggregate { keys: (0..keys).collect(), calls });
    Chain::new(input, hidden, kind, (&output, Hidden::CHANGES), workers)
}

fn key_and_value() -> [(&'static str, DataType); 2] {
    [("k", INT), ("v", INT)]
}

#[test]
fn a_changed_group_gives_its_old_row_and_its_new_one() {
    let calls = vec![call(Count, None, INT), call(Sum, Some(1), INT), call(Max, Some(1), INT)];
    let mut chain = chain(&key_and_value(), Hidden::NONE, 1, calls, 1);
    assert_eq!(chain.tick("+ 1 4\n+ 2 5\n+ 1 null"), ["+ 1 2 4 4", "+ 2 1 5 5"]);
    assert_eq!(
        chain.tick("+ 2 3\n+ 3 null\n+ 2 -3"),
        ["- 2 1 5 5", "+ 2 3 5 5", "+ 3 1 null null"]
    );
    assert!(chain.tick("").is_empty());
}

#[test]
fn a_group_whose_row_is_the_same_gives_nothing() {
    let calls = vec![call(Max, Some(1), INT)];
    let mut chain = chain(&key_and_value(), Hidden::CHANGES, 1, calls, 1);
    assert_eq!(chain.tick("+ 1 4\n+ 2 5"), ["+ 1 4", "+ 2 5"]);
    assert!(chain.tick("+ 1 3\n+ 2 9\n- 2 9").is_empty());
    assert_eq!(chain.tick("- 1 4\n- 2 5"), ["- 1 4", "+ 1 3", "- 2 5"]);
}

#[test]
fn rows_taken_back_before_they_come_cancel() {
    let calls = vec![
        call(Count, Some(1), INT),
        call(Sum, Some(1), INT),
        call(Min, Some(1), INT),
        AggregateCall { distinct: true, ..call(Count, Some(1), INT) },
    ];
    let mut chain = chain(&key_and_value(), Hidden::CHANGES, 1, calls, 1);
    assert_eq!(chain.tick("- 1 4\n+ 1 5\n+ 1 4"), ["+ 1 1 5 5 1"]);
    assert_eq!(chain.tick("3 1 4"), ["- 1 1 5 5 1", "+ 1 4 17 4 2"]);
    assert_eq!(chain.tick("-3 1 4\n- 1 5\n- 2 2\n+ 2 2"), ["- 1 4 17 4 2"]);
}

#[test]
fn without_keys_there_is_no_row_before_the_first_input_nor_after_the_last_is_gone() {
    let calls = vec![call(Count, None, INT), call(Sum, Some(0), INT)];
    let mut chain = chain(&[("v", INT)], Hidden::CHANGES, 0, calls, 3);
    assert!(chain.tick("").is_empty());
    assert_eq!(chain.tick("+ 7"), ["+ 1 7"]);
    assert_eq!(chain.tick("- 7"), ["- 1 7"]);
    assert_eq!(chain.tick("+ null"), ["+ 1 null"]);
}

#[test]
fn select_distinct_over_rows_that_are_only_added_never_updates() {
    let columns = [("a", DataType::Utf8), ("b", DataType::Float64)];
    let kind = OperatorKind::Aggregate(Aggregate { keys: vec![0, 1], calls: vec![] });
    let mut chain = Chain::new(&columns, Hidden::NONE, kind, (&columns, Hidden::NONE), 1);
    assert_eq!(
        chain.tick("+ x 0.0\n+ x NaN\n+ null null\n+ x -0.0"),
        ["+ x 0.0", "+ x NaN", "+ null null"]
    );
    assert_eq!(chain.tick("+ x NaN\n+ y 1\n+ null null"), ["+ y 1.0"]);
}

#[test]
fn select_distinct_over_changes_takes_back_what_is_gone() {
    let mut chain = chain(&[("k", DataType::Utf8)], Hidden::CHANGES, 1, vec![], 1);
    assert_eq!(chain.tick("+ a\n+ a\n+ null\n+ b"), ["+ a", "+ null", "+ b"]);
    assert_eq!(chain.tick("- a\n- null\n- b\n+ c"), ["- null", "- b", "+ c"]);
    assert_eq!(chain.tick("- a\n+ null"), ["- a", "+ null"]);
}

#[test]
fn every_type_that_has_an_order_has_a_least_and_a_greatest() {
    let types = [
        (DataType::Int8, "3", "-4", "9"),
        (DataType::Int16, "3", "-400", "900"),
        (DataType::Int32, "3", "-400", "900"),
        (DataType::Float32, "0.5", "-1.5", "inf"),
        (DataType::Float64, "2.5", "-inf", "NaN"),
        (DataType::Decimal128(20, 2), "1.50", "-0.01", "99999999999999.99"),
        (DataType::Utf8, "b", "B", "é"),
        (DataType::Boolean, "true", "false", "true"),
        (DataType::Date32, "2024-01-01", "1950-05-05", "2024-01-02"),
        (
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
            "2024-01-01T00:00:00",
            "1960-01-01T00:00:00.000001",
            "2024-01-01T00:00:00.000001",
        ),
    ];
    for hidden in [Hidden::NONE, Hidden::CHANGES] {
        for (of, middle, least, most) in types.clone() {
            let calls = vec![call(Min, Some(0), of.clone()), call(Max, Some(0), of.clone())];
            let mut chain = chain(&[("v", of)], hidden, 0, calls, 1);
            let text = format!("+ {middle}\n+ null\n+ {least}\n+ {most}\n+ {middle}");
            assert_eq!(chain.tick(&text), [format!("+ {least} {most}")]);
        }
    }
}

#[test]
fn averages_of_integers_are_cut_and_of_decimals_rounded_half_up() {
    let money = DataType::Decimal128(10, 2);
    let columns = [("i", INT), ("d", money), ("f", DataType::Float32)];
    let calls = vec![
        call(Avg, Some(0), INT),
        call(Avg, Some(1), DataType::Decimal128(38, 6)),
        call(Sum, Some(1), DataType::Decimal128(38, 2)),
        call(Avg, Some(2), DataType::Float32),
    ];
    let mut chain = chain(&columns, Hidden::NONE, 0, calls, 1);
    assert_eq!(
        chain.tick("+ -1 -1.00 0.5\n+ -2 -1.00 2\n+ -2 0.00 null"),
        ["+ -1 -0.666667 -2.00 1.25"]
    );
}

#[test]
fn a_filter_leaves_rows_out_of_its_aggregate_alone() {
    let columns = [("k", INT), ("v", INT), ("f", DataType::Boolean)];
    let only = |call: AggregateCall| AggregateCall { filter: Some(2), ..call };
    let calls = vec![
        call(Count, None, INT),
        only(call(Count, None, INT)),
        only(call(Sum, Some(1), INT)),
        only(AggregateCall { distinct: true, ..call(Sum, Some(1), INT) }),
    ];
    let mut chain = chain(&columns, Hidden::CHANGES, 1, calls, 1);
    assert_eq!(chain.tick("+ 1 4 true\n+ 1 5 false\n+ 1 6 null"), ["+ 1 3 1 4 4"]);
    assert_eq!(chain.tick("+ 1 4 true\n+ 1 null true"), ["- 1 3 1 4 4", "+ 1 5 3 8 4"]);
    assert_eq!(chain.tick("-2 1 4 true"), ["- 1 5 3 8 4", "+ 1 3 1 null null"]);
}

#[test]
fn sums_of_floats_forget_infinities_that_are_taken_back() {
    let columns = [("v", DataType::Float64)];
    let mut chain =
        chain(&columns, Hidden::CHANGES, 0, vec![call(Sum, Some(0), DataType::Float64)], 1);
    assert_eq!(chain.tick("+ inf\n+ 1.5"), ["+ inf"]);
    assert_eq!(chain.tick("+ -inf"), ["- inf", "+ NaN"]);
    assert_eq!(chain.tick("- inf"), ["- NaN", "+ -inf"]);
    assert_eq!(chain.tick("- -inf"), ["- -inf", "+ 1.5"]);
}

#[test]
fn a_sum_that_does_not_fit_says_which_and_what_to_write() {
    let int = DataType::Int32;
    let columns = [("v", int.clone())];
    let calls = vec![AggregateCall { text: "SUM(v)".into(), ..call(Sum, Some(0), int) }];
    let mut chain = chain(&columns, Hidden::NONE, 0, calls, 1);
    assert_eq!(chain.tick("+ 2147483647"), ["+ 2147483647"]);
    let batch = crate::aggregate_support::rows(&chain.input, Hidden::NONE, "+ 1");
    let input = SourceInput { batches: vec![batch], ..SourceInput::default() };
    let error = chain.executor.tick(vec![input]).unwrap_err();
    assert!(matches!(error, DataflowError::Overflow { .. }));
    assert_eq!(
        error.to_string(),
        "aggregate-1: SUM(v) does not fit Int32; CAST its argument to DECIMAL(38, 0)"
    );
}

#[test]
fn keys_of_any_types_are_told_apart_also_after_many_have_come_and_gone() {
    let columns =
        [("a", DataType::Utf8), ("b", DataType::Decimal128(20, 2)), ("c", DataType::Boolean)];
    for keys in 1..=3 {
        let mut chain = chain(&columns, Hidden::CHANGES, keys, vec![call(Count, None, INT)], 2);
        let mut table = Table::new();
        let line = |sign: &str, n: i64| match n % 7 {
            0 => format!("{sign} null {n}.5 null\n"),
            _ => format!("{sign} key-{} {}.25 {}\n", n % 997, n % 10, n % 2 == 0),
        };
        for round in 0..20 {
            let added: String = (0..300).map(|n| line("+", n * 37 + round)).collect();
            let gone: String = (0..300).map(|n| line("-", n * 37 + round)).collect();
            let lines = chain.tick(&added);
            apply(&mut table, &lines);
            let counted: i64 = table
                .keys()
                .map(|row| row.rsplit(' ').next().unwrap().parse::<i64>().unwrap())
                .sum();
            assert_eq!(counted, 300);
            let lines = chain.tick(&gone);
            apply(&mut table, &lines);
            assert!(table.is_empty(), "{table:?}");
        }
        assert_eq!(chain.executor.state_sizes()[0].1, 0);
    }
}
