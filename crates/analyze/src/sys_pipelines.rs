//! `sys.pipelines`, `sys.pipeline_sources` and `sys.operators`.
//!
//! Guarantees: counters are as of each pipeline's last tick, lag is as of the query.
//! Left out: history.

use crate::control::{OperatorRow, PipelineRow, SourceRow};
use crate::platform::Platform;
use crate::sys::text;
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::TimestampMicros;

type Columns = Vec<(&'static str, ArrayRef)>;

async fn rows(platform: &Platform) -> Vec<PipelineRow> {
    match &platform.parts().control {
        Some(control) => control.pipelines().await,
        None => Vec::new(),
    }
}

/// One row a pipeline.
pub(crate) async fn pipelines(platform: &Platform) -> Columns {
    let rows = rows(platform).await;
    let words = |of: fn(&PipelineRow) -> &str| text(rows.iter().map(of));
    let number = |of: fn(&PipelineRow) -> u64| numbers(rows.iter().map(of));
    let positions = |of: fn(&SourceRow) -> Option<i64>| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| by_topic(row, of))))
    };
    let total = |of: fn(&OperatorRow) -> u64| {
        numbers(rows.iter().map(|row| row.operators.iter().map(of).sum()))
    };
    vec![
        ("name", words(|row| &row.name)),
        ("kind", words(|row| &row.kind)),
        ("topic", words(|row| &row.topic)),
        ("target", words(|row| &row.target)),
        ("state", words(|row| &row.state)),
        ("reason", some(rows.iter().map(|row| row.reason.as_deref()))),
        ("lag", number(|row| row.lag)),
        ("lag_seconds", floats(rows.iter().map(|row| Some(row.lag_seconds)))),
        ("watermark", instants(rows.iter().map(watermark))),
        ("records_in", number(|row| row.records_in)),
        ("rows", number(|row| row.rows)),
        ("dead_letters", number(|row| row.dead_letters)),
        ("late_events", number(|row| row.late_events)),
        ("lost_records", number(|row| row.lost_records)),
        ("positions", positions(|source| Some(source.position))),
        ("committed", positions(|source| source.committed)),
        ("epoch", number(|row| row.epoch)),
        ("committed_at", instants(rows.iter().map(|row| row.committed_at))),
        ("checkpoint_age_seconds", floats(rows.iter().map(|row| row.checkpoint_age_seconds))),
        ("checkpoint_seconds", floats(rows.iter().map(|row| Some(row.checkpoint_seconds)))),
        ("checkpoint_bytes", number(|row| row.checkpoint_bytes)),
        ("state_rows", total(|operator| operator.state_rows)),
        ("state_bytes", total(|operator| operator.state_bytes)),
        ("ticks", number(|row| row.ticks)),
        ("busy_seconds", floats(rows.iter().map(|row| Some(row.busy_seconds)))),
        ("started_at", instants(rows.iter().map(|row| row.started_at))),
        ("last_error", some(rows.iter().map(|row| row.last_error.as_deref()))),
        ("failed_at", instants(rows.iter().map(|row| row.failed_at))),
        ("owner", words(|row| &row.owner)),
        ("id", words(|row| &row.id)),
        ("incarnation", number(|row| row.incarnation)),
        ("sql", words(|row| &row.sql)),
    ]
}

/// One row a partition that a pipeline reads.
pub(crate) async fn sources(platform: &Platform) -> Columns {
    let pipelines = rows(platform).await;
    let rows: Vec<(&str, &SourceRow)> = pipelines
        .iter()
        .flat_map(|row| row.sources.iter().map(|source| (row.name.as_str(), source)))
        .collect();
    let lag = |source: &SourceRow| Some((source.end? - source.position).max(0));
    let offsets = |of: &dyn Fn(&SourceRow) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(rows.iter().map(|(_, source)| of(source))))
    };
    let partitions = rows.iter().map(|(_, source)| source.partition);
    vec![
        ("pipeline", text(rows.iter().map(|(name, _)| *name))),
        ("topic", text(rows.iter().map(|(_, source)| source.topic.as_str()))),
        ("partition", Arc::new(Int32Array::from_iter_values(partitions))),
        ("position", offsets(&|source| Some(source.position))),
        ("committed", offsets(&|source| source.committed)),
        ("log_end", offsets(&|source| source.end)),
        ("lag", offsets(&lag)),
        ("lag_seconds", floats(rows.iter().map(|(_, source)| source.lag_seconds))),
    ]
}

/// One row an operator.
pub(crate) async fn operators(platform: &Platform) -> Columns {
    let pipelines = rows(platform).await;
    let rows: Vec<(&str, &OperatorRow)> = pipelines
        .iter()
        .flat_map(|row| row.operators.iter().map(|operator| (row.name.as_str(), operator)))
        .collect();
    let inputs: Vec<String> = rows.iter().map(|(_, operator)| operator.inputs.join(", ")).collect();
    let number = |of: fn(&OperatorRow) -> u64| numbers(rows.iter().map(|(_, one)| of(one)));
    vec![
        ("pipeline", text(rows.iter().map(|(name, _)| *name))),
        ("operator", text(rows.iter().map(|(_, operator)| operator.id.as_str()))),
        ("kind", text(rows.iter().map(|(_, operator)| operator.kind.as_str()))),
        ("inputs", text(inputs.iter().map(String::as_str))),
        ("description", text(rows.iter().map(|(_, operator)| operator.description.as_str()))),
        ("workers", number(|operator| operator.workers)),
        ("rows_in", number(|operator| operator.rows_in)),
        ("rows_out", number(|operator| operator.rows_out)),
        ("late_rows", number(|operator| operator.late_rows)),
        ("state_rows", number(|operator| operator.state_rows)),
        ("state_bytes", number(|operator| operator.state_bytes)),
        ("watermark", instants(rows.iter().map(|(_, operator)| operator.watermark))),
        ("busy_seconds", floats(rows.iter().map(|(_, operator)| Some(operator.busy_seconds)))),
    ]
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

fn some<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn instants(times: impl Iterator<Item = Option<TimestampMicros>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
}

/// Up to where all of a pipeline's operators are complete that know an event time.
fn watermark(row: &PipelineRow) -> Option<TimestampMicros> {
    row.operators.iter().filter_map(|operator| operator.watermark).min()
}

/// `{"events":{"0":17,"1":4}}`, which `json_value` reads. Of two tables over one topic the one that
/// is further behind counts.
fn by_topic(row: &PipelineRow, of: fn(&SourceRow) -> Option<i64>) -> String {
    let mut topics: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    for source in &row.sources {
        let partitions = topics.entry(&source.topic).or_default();
        if let Some(offset) = of(source) {
            let known = partitions.entry(source.partition).or_insert(offset);
            *known = offset.min(*known);
        }
    }
    let each = topics.iter().map(|(topic, partitions)| {
        let at = partitions.iter().map(|(partition, at)| format!("\"{partition}\":{at}"));
        // A topic's name has no character that JSON escapes.
        format!("\"{topic}\":{{{}}}", at.collect::<Vec<_>>().join(","))
    });
    format!("{{{}}}", each.collect::<Vec<_>>().join(","))
}
