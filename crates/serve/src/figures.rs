//! Pipelines and their operators as Prometheus text.
//!
//! Guarantees: what is not there any more is not among the figures; labels are the names of
//! pipelines, their operators' ids and the few states there are, so that there are as many series
//! as the catalogue has of these, and of operators at most [`OPERATORS_MAX`].
//! Left out: ticks and checkpoints one by one, which are the recorder's histograms.

use std::fmt::Write;
use std::time::Duration;
use tradewind_process::{OperatorStatus, PipelineState, PipelineStatus};

/// Operators with figures of their own: some hundred pipelines. With seven series each that is
/// what a Prometheus takes from one target without notice; `sys.operators` has them all.
const OPERATORS_MAX: usize = 2_000;

const MICROS: f64 = 1e6;

/// A figure of each pipeline: its name, its kind, what it is, its value if there is one.
type Figure<T> = (&'static str, &'static str, &'static str, fn(&T) -> Option<f64>);

const PIPELINE: [Figure<PipelineStatus>; 16] = [
    ("lag_records", "gauge", "Records that are there and not yet read.", |one| count(one.lag)),
    ("lag_seconds", "gauge", "Age of the oldest of them, by its own timestamp.", |one| {
        Some(one.lag_ms as f64 / 1e3)
    }),
    ("records_total", "counter", "Records read.", |one| count(one.records_in)),
    ("rows_total", "counter", "Rows written.", |one| count(one.rows_out)),
    ("dead_letters_total", "counter", "Dead letters written.", |one| count(one.dead_letters)),
    ("late_events_total", "counter", "Late events written.", |one| count(one.late_events)),
    ("lost_records_total", "counter", "Records that retention took unread.", |one| {
        count(one.lost_records)
    }),
    ("ticks_total", "counter", "Ticks.", |one| count(one.ticks)),
    ("busy_seconds_total", "counter", "Seconds of all ticks.", |one| seconds(one.busy)),
    ("epoch", "gauge", "Number of the last checkpoint.", |one| count(one.epoch)),
    ("checkpoint_timestamp_seconds", "gauge", "When the last checkpoint was committed.", |one| {
        one.committed_at.map(|at| at as f64 / MICROS)
    }),
    ("last_checkpoint_seconds", "gauge", "How long the last checkpoint took.", |one| {
        seconds(one.checkpoint_took)
    }),
    ("last_checkpoint_bytes", "gauge", "State and manifest the last checkpoint wrote.", |one| {
        count(one.checkpoint_bytes)
    }),
    ("state_rows", "gauge", "Keys its operators keep.", |one| {
        count(one.operators.iter().map(|operator| operator.work.state_rows as u64).sum())
    }),
    ("state_bytes", "gauge", "Bytes in memory of what they keep, about.", |one| {
        count(one.operators.iter().map(|operator| operator.work.state_bytes as u64).sum())
    }),
    ("failed_timestamp_seconds", "gauge", "When it last failed.", |one| {
        one.failed_at.map(|at| at as f64 / MICROS)
    }),
];

const OPERATOR: [Figure<OperatorStatus>; 7] = [
    ("rows_in_total", "counter", "Rows that came; of a source the records read.", |one| {
        count(one.work.rows_in)
    }),
    ("rows_out_total", "counter", "Rows it gave.", |one| count(one.work.rows_out)),
    ("late_rows_total", "counter", "Rows that came after their windows.", |one| {
        count(one.work.rows_late)
    }),
    ("state_rows", "gauge", "Keys it keeps.", |one| {
        (one.work.workers > 0).then_some(one.work.state_rows as f64)
    }),
    ("state_bytes", "gauge", "Bytes of them in memory, about.", |one| {
        (one.work.workers > 0).then_some(one.work.state_bytes as f64)
    }),
    ("watermark_seconds", "gauge", "Up to where its input is complete, as a Unix time.", |one| {
        one.work.watermark.map(|at| at as f64 / MICROS)
    }),
    ("busy_seconds_total", "counter", "Seconds it worked, all workers together.", |one| {
        seconds(one.work.busy)
    }),
];

/// Everything that is known of pipelines.
pub(crate) fn text(pipelines: &[PipelineStatus]) -> String {
    let mut text = String::new();
    states(pipelines, &mut text);
    for (name, kind, help, value) in PIPELINE {
        let name = format!("tradewind_pipeline_{name}");
        opening(&name, kind, help, &mut text);
        for one in pipelines {
            line(&name, &[("pipeline", &one.name)], value(one), &mut text);
        }
    }
    let all = pipelines.iter().flat_map(|one| one.operators.iter().map(move |each| (one, each)));
    let shown: Vec<_> = all.clone().take(OPERATORS_MAX).collect();
    for (name, kind, help, value) in OPERATOR {
        let name = format!("tradewind_operator_{name}");
        opening(&name, kind, help, &mut text);
        for (one, operator) in &shown {
            let labels = [("pipeline", one.name.as_str()), ("operator", operator.id.as_str())];
            line(&name, &labels, value(operator), &mut text);
        }
    }
    let name = "tradewind_operators_without_figures";
    opening(name, "gauge", "Operators beyond those that have figures.", &mut text);
    line(name, &[], count((all.count() - shown.len()) as u64), &mut text);
    text
}

/// 1 for the state each pipeline is in, 0 for the others.
fn states(pipelines: &[PipelineStatus], text: &mut String) {
    let name = "tradewind_pipeline_state";
    opening(name, "gauge", "1 for the state it is in.", text);
    for one in pipelines {
        for state in PipelineState::ALL {
            let labels = [("pipeline", one.name.as_str()), ("state", state.name())];
            line(name, &labels, Some(f64::from(u8::from(one.state == state))), text);
        }
    }
}

fn count(value: u64) -> Option<f64> {
    Some(value as f64)
}

fn seconds(value: Duration) -> Option<f64> {
    Some(value.as_secs_f64())
}

fn opening(name: &str, kind: &str, help: &str, text: &mut String) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(name: &str, labels: &[(&str, &str)], value: Option<f64>, text: &mut String) {
    let Some(value) = value else { return };
    let labels: Vec<_> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let _ = match labels.is_empty() {
        true => writeln!(text, "{name} {value}"),
        false => writeln!(text, "{name}{{{}}} {value}", labels.join(",")),
    };
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewind_process::OperatorStatus;

    fn pipeline(name: &str, operators: usize) -> PipelineStatus {
        let operator =
            |number| OperatorStatus { id: format!("filter-{number}"), ..Default::default() };
        PipelineStatus {
            name: name.to_string(),
            lag: 5,
            lag_ms: 1_500,
            operators: (0..operators).map(operator).collect(),
            ..PipelineStatus::default()
        }
    }

    #[test]
    fn names_are_escaped_and_what_is_not_known_has_no_line() {
        let text = text(&[pipeline("a \"b\\", 1)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.contains(&r#"tradewind_pipeline_lag_records{pipeline="a \"b\\"} 5"#),
            "{text}"
        );
        assert!(lines.contains(&r#"tradewind_pipeline_lag_seconds{pipeline="a \"b\\"} 1.5"#));
        assert!(
            !lines.iter().any(|line| line.starts_with("tradewind_operator_watermark_seconds{"))
        );
        for line in lines.iter().filter(|line| !line.starts_with('#')) {
            assert_eq!(
                line.rsplit(' ').next().map(|value| value.parse::<f64>().is_ok()),
                Some(true)
            );
        }
    }

    #[test]
    fn operators_beyond_the_bound_are_counted() {
        let text = text(&[pipeline("a", OPERATORS_MAX), pipeline("b", 3)]);
        assert!(text.ends_with("\ntradewind_operators_without_figures 3\n"));
        assert!(!text.contains(r#"pipeline="b",operator"#));
    }
}
