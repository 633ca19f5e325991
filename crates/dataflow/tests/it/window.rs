//! Windows told as changelogs. Times are seconds; a row is `time key value watermark`.

use crate::aggregate_support::{Chain, call, schema, text};
use arrow::datatypes::{DataType, TimeUnit};
use tradewind_dataflow::operator::AggregateFunction::{Avg, Count, Max, Min, Sum};
use tradewind_dataflow::operator::{
    AggregateCall, AssignWatermark, AssignWindow, WindowAggregate, Windows,
};
use tradewind_dataflow::{Hidden, OperatorKind, WindowSpec};

const INT: DataType = DataType::Int64;
const SECOND: i64 = 1_000_000;
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(crate) fn spec(size: i64, slide: i64) -> WindowSpec {
    WindowSpec { size_us: size * SECOND, slide_us: slide * SECOND, offset_us: 0, zone: None }
}

pub(crate) fn calls() -> Vec<AggregateCall> {
    vec![call(Count, None, INT), call(Sum, Some(2), INT), call(Max, Some(2), INT)]
}

/// `GROUP BY k, window_start, window_end` over a source with watermarks.
pub(crate) fn windows(
    spec: WindowSpec,
    time: DataType,
    calls: Vec<AggregateCall>,
    weight: bool,
    workers: usize,
) -> Chain {
    let input = [("t", time.clone()), ("k", INT), ("v", INT), ("w", time.clone())];
    let hidden = Hidden { weight, ..Hidden::ORIGIN };
    let marked = Hidden { watermark: true, ..hidden };
    let mut output = vec![("k", INT)];
    output.extend(calls.iter().map(|call| ("r", call.output.clone())));
    output.extend([("window_start", TIME), ("window_end", TIME), ("window_time", time)]);
    let assign = OperatorKind::AssignWatermark(AssignWatermark { column: 3 });
    let windows = Windows::Sliced { time: 0, spec };
    let aggregate =
        OperatorKind::WindowAggregate(WindowAggregate { keys: vec![1], calls, windows });
    Chain::of(
        &input,
        hidden,
        vec![
            (assign, marked.behind(&schema(&input[..3])), marked),
            (aggregate, Hidden::NONE.behind(&schema(&output)), Hidden::NONE),
        ],
        workers,
    )
}

/// What was late, as it came.
fn late(output: &tradewind_dataflow::TickOutput) -> Vec<String> {
    output.late.iter().flat_map(|late| text(late.hidden, &late.rows)).collect()
}

#[test]
fn a_window_is_given_when_the_watermark_reaches_its_end() {
    let mut chain = windows(spec(10, 10), TIME, calls(), false, 1);
    assert!(chain.tick("+ 1 1 5 1\n+ 9 1 7 9\n+ 12 1 1 9\n+ 3 2 2 9").is_empty());
    assert!(chain.tick("+ 12 1 1 1970-01-01T00:00:09.999999").is_empty());
    assert_eq!(
        chain.tick("+ 13 2 3 10"),
        ["+ 1 2 12 7 00:00:00 00:00:10 00:00:09.999", "+ 2 1 2 2 00:00:00 00:00:10 00:00:09.999",]
    );
    assert!(chain.tick("+ 14 1 1 19").is_empty());
    assert_eq!(
        chain.end(),
        ["+ 1 3 3 1 00:00:10 00:00:20 00:00:19.999", "+ 2 1 3 3 00:00:10 00:00:20 00:00:19.999",]
    );
}

#[test]
fn windows_without_rows_are_not_given_and_hops_share_rows_in_the_order_of_their_ends() {
    let mut chain = windows(spec(10, 5), TIME, calls(), false, 1);
    assert!(chain.tick("+ 1 1 5 1\n+ 7 1 7 1").is_empty());
    assert_eq!(
        chain.tick("+ 102 1 9 100"),
        [
            "+ 1 1 5 5 23:59:55 00:00:05 00:00:04.999".replace("23:59:55", "1969-12-31T23:59:55"),
            "+ 1 2 12 7 00:00:00 00:00:10 00:00:09.999".into(),
            "+ 1 1 7 7 00:00:05 00:00:15 00:00:14.999".into(),
        ]
    );
    assert_eq!(
        chain.end(),
        ["+ 1 1 9 9 00:01:35 00:01:45 00:01:44.999", "+ 1 1 9 9 00:01:40 00:01:50 00:01:49.999",]
    );
}

#[test]
fn rows_are_late_by_their_own_partition_and_are_handed_back() {
    let mut chain = windows(spec(10, 10), TIME, calls(), false, 1);
    chain.partitions = vec![0, 1];
    // Partition 1 holds the watermark back, so that the window has not fired; partition 0 is past
    // it all the same.
    let output = chain.tick_whole("+ 1 1 5 20 #0\n+ 2 1 6 20 #0\n+ 3 1 7 1 #1", false);
    assert!(chain.lines(&output).is_empty());
    assert_eq!(late(&output), ["+ 00:00:02 1 6"]);
    assert_eq!(chain.tick("+ 33 1 8 30 #1"), ["+ 1 2 12 7 00:00:00 00:00:10 00:00:09.999"]);
    let output = chain.tick_whole("+ 4 1 9 30 #1", false);
    assert_eq!(late(&output).len(), 1);
    assert_eq!(chain.end(), ["+ 1 1 8 8 00:00:30 00:00:40 00:00:39.999"]);
}

#[test]
fn a_row_that_is_late_for_some_hops_is_in_the_others() {
    let mut chain = windows(spec(10, 5), TIME, calls(), false, 1);
    chain.partitions = vec![0, 1];
    assert!(chain.tick("+ 1 1 1 0 #1\n+ 7 1 2 7 #0\n+ 3 1 10 7 #0").is_empty());
    assert_eq!(
        chain.end(),
        [
            "+ 1 1 1 1 1969-12-31T23:59:55 00:00:05 00:00:04.999",
            "+ 1 3 13 10 00:00:00 00:00:10 00:00:09.999",
            "+ 1 1 2 2 00:00:05 00:00:15 00:00:14.999",
        ]
    );
}

#[test]
fn operators_say_what_came_what_they_gave_and_what_they_keep() {
    let mut chain = windows(spec(10, 10), TIME, calls(), false, 2);
    chain.tick("+ 1 1 5 1\n+ 9 1 7 9\n+ 12 1 1 9");
    assert_eq!(chain.executor.work()[2].state_rows, 2);
    chain.tick("+ 21 2 1 20\n+ 3 1 1 20");
    let work = chain.executor.work();
    let rows = |node: usize| (work[node].rows_in, work[node].rows_out);
    assert_eq!((rows(1), rows(2), rows(3)), ((5, 5), (5, 2), (2, 2)));
    let aggregate = work[2];
    assert_eq!((aggregate.rows_late, aggregate.workers, aggregate.state_rows), (1, 2, 1));
    assert_eq!(aggregate.watermark, Some(20 * SECOND));
    assert!(aggregate.state_bytes > 0 && !aggregate.busy.is_zero());
    chain.end();
    let work = chain.executor.work();
    assert_eq!((work[2].state_rows, work[2].watermark), (0, None), "the end is no time");
}

#[test]
fn a_row_taken_back_before_its_window_ends_leaves_no_trace() {
    for spec in [spec(10, 10), spec(10, 5)] {
        let calls = vec![
            call(Count, None, INT),
            call(Min, Some(2), INT),
            AggregateCall { distinct: true, ..call(Avg, Some(2), INT) },
        ];
        let mut chain = windows(spec, TIME, calls, true, 1);
        assert!(chain.tick("+ 6 1 5 1\n+ 6 1 7 1\n+ 6 1 7 1\n+ 7 2 2 1").is_empty());
        assert!(chain.tick("- 6 1 5 2\n- 7 2 2 2").is_empty());
        let got = chain.end();
        assert_eq!(got[0], "+ 1 2 7 7 00:00:00 00:00:10 00:00:09.999");
        assert_eq!(got.len() as i64, spec.size_us / spec.slide_us);
        assert_eq!(chain.executor.state_sizes()[0].1, 0);
    }
}

#[test]
fn windows_of_a_zone_begin_at_its_midnight_and_last_23_hours_when_clocks_jump() {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let zone = Some(chrono_tz::Europe::Berlin);
    let spec = WindowSpec { zone, ..spec(86_400, 86_400) };
    let mut chain = windows(spec, time, vec![call(Count, None, INT)], false, 1);
    let rows = "+ 2024-03-30T22:59:59Z 1 1 2024-03-30T00:00:00Z
        + 2024-03-30T23:00:00Z 1 1 2024-03-30T00:00:00Z
        + 2024-03-31T21:59:59Z 1 1 2024-03-31T21:59:59.999999Z";
    assert_eq!(
        chain.tick(rows),
        ["+ 1 1 2024-03-30T00:00:00 2024-03-31T00:00:00 2024-03-30T22:59:59.999Z"]
    );
    assert_eq!(
        chain.tick("+ 2024-03-31T22:00:00Z 1 1 2024-03-31T22:00:00Z"),
        ["+ 1 2 2024-03-31T00:00:00 2024-04-01T00:00:00 2024-03-31T21:59:59.999Z"]
    );
}

#[test]
fn windows_that_rows_bring_along_are_kept_apart() {
    let input = [("s", TIME), ("e", TIME), ("k", INT), ("v", INT), ("w", TIME)];
    let marked = Hidden { watermark: true, ..Hidden::ORIGIN };
    let calls = vec![call(Sum, Some(3), INT)];
    let output =
        [("k", INT), ("r", INT), ("window_start", TIME), ("window_end", TIME), ("t", TIME)];
    let assign = OperatorKind::AssignWatermark(AssignWatermark { column: 4 });
    let windows = Windows::Attached { start: 0, end: 1, spec: spec(10, 5) };
    let aggregate = WindowAggregate { keys: vec![2], calls, windows };
    let operators = vec![
        (assign, marked.behind(&schema(&input[..4])), marked),
        (
            OperatorKind::WindowAggregate(aggregate),
            Hidden::NONE.behind(&schema(&output)),
            Hidden::NONE,
        ),
    ];
    let mut chain = Chain::of(&input, Hidden::ORIGIN, operators, 2);
    assert!(chain.tick("+ 0 10 1 4 1\n+ 5 15 1 6 1\n+ 0 10 1 5 1\n+ 3 13 1 1 2").is_empty());
    assert_eq!(chain.tick("+ 5 15 2 3 10"), ["+ 1 9 00:00:00 00:00:10 00:00:09.999"]);
    let output = chain.tick_whole("+ 0 10 1 1 10\n+ null 15 1 1 10", false);
    assert_eq!(output.late.iter().map(|late| late.rows.num_rows()).sum::<usize>(), 1);
    assert_eq!(output.errors[0].reason, "its window is NULL");
    let mut rest = chain.end();
    rest.sort();
    assert_eq!(
        rest,
        [
            "+ 1 1 00:00:03 00:00:13 00:00:12.999",
            "+ 1 6 00:00:05 00:00:15 00:00:14.999",
            "+ 2 3 00:00:05 00:00:15 00:00:14.999",
        ]
    );
}

#[test]
fn assigned_windows_stand_beside_their_rows_in_order() {
    let input = [("t", TIME), ("v", INT)];
    let output = [
        ("t", TIME),
        ("v", INT),
        ("window_start", TIME),
        ("window_end", TIME),
        ("window_time", TIME),
    ];
    for (spec, wanted) in [
        (spec(10, 10), vec!["- 00:00:07 1 00:00:00 00:00:10 00:00:09.999"]),
        (
            spec(10, 5),
            vec![
                "- 00:00:07 1 00:00:00 00:00:10 00:00:09.999",
                "- 00:00:07 1 00:00:05 00:00:15 00:00:14.999",
            ],
        ),
    ] {
        let kind = OperatorKind::AssignWindow(AssignWindow { time: 0, spec });
        let mut chain = Chain::new(&input, Hidden::CHANGES, kind, (&output, Hidden::CHANGES), 1);
        assert_eq!(chain.tick("- 7 1"), wanted);
        let output = chain.tick_whole("+ 7 1\n+ null 2\n+ 8 3", false);
        let rows: usize = output.sinks[0].iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(rows, 2 * wanted.len());
        assert_eq!(output.errors.len(), 1);
        assert_eq!(
            output.errors[0].reason,
            "its event time is NULL; filter such rows out before the window"
        );
    }
}

#[test]
fn a_row_without_a_time_fails_alone() {
    let mut chain = windows(spec(10, 10), TIME, calls(), false, 1);
    let output = chain.tick_whole("+ 1 1 5 1\n+ null 1 7 1\n+ 2 1 1 1", false);
    assert!(output.late.is_empty());
    assert_eq!(output.errors.len(), 1);
    assert_eq!(output.errors[0].expression, "window over \"t\"");
    assert_eq!(output.errors[0].origin, Some((0, 1)));
    assert_eq!(chain.end(), ["+ 1 2 6 5 00:00:00 00:00:10 00:00:09.999"]);
}
