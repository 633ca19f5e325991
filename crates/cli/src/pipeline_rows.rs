//! Pipelines as the engine knows them, as rows of the system tables.
//!
//! Left out: asking the engine, and the tables.

use std::time::Duration;
use tradewind_analyze::{OperatorRow, PipelineRow, SourceRow};
use tradewind_process::{OperatorStatus, PipelineStatus, SourceStatus};
use tradewind_types::TimestampMicros;

/// A pipeline's row, at a time.
pub(crate) fn row(status: PipelineStatus, now_us: TimestampMicros) -> PipelineRow {
    let topics: Vec<&str> = status.sources.iter().map(|source| source.topic.as_str()).collect();
    let kind = if status.keeps_view { "materialized view" } else { "insert" };
    let age = status.committed_at.map(|at| Duration::from_micros((now_us - at).max(0) as u64));
    PipelineRow {
        topic: topics.join(", "),
        sources: status.sources.iter().flat_map(partitions).collect(),
        operators: status.operators.into_iter().map(operator).collect(),
        name: status.name,
        id: status.id,
        incarnation: status.incarnation,
        kind: kind.to_string(),
        owner: status.owner,
        target: status.target,
        state: status.state.to_string(),
        reason: status.reason,
        last_error: status.last_error,
        failed_at: status.failed_at,
        epoch: status.epoch,
        lag: status.lag,
        lag_seconds: seconds_of(status.lag_ms),
        ticks: status.ticks,
        busy_seconds: status.busy.as_secs_f64(),
        records_in: status.records_in,
        rows: status.rows_out,
        dead_letters: status.dead_letters,
        late_events: status.late_events,
        lost_records: status.lost_records,
        committed_at: status.committed_at,
        checkpoint_age_seconds: age.map(|age| age.as_secs_f64()),
        checkpoint_seconds: status.checkpoint_took.as_secs_f64(),
        checkpoint_bytes: status.checkpoint_bytes,
        started_at: status.started_at,
        sql: status.sql,
    }
}

fn partitions(source: &SourceStatus) -> impl Iterator<Item = SourceRow> + '_ {
    source.positions.iter().map(|(partition, position)| SourceRow {
        topic: source.topic.clone(),
        partition: *partition,
        position: *position,
        committed: source.committed.get(partition).copied(),
        end: source.ends.get(partition).copied(),
        lag_seconds: source.lag_ms.get(partition).copied().map(seconds_of),
    })
}

fn operator(operator: OperatorStatus) -> OperatorRow {
    let work = operator.work;
    OperatorRow {
        id: operator.id,
        kind: operator.kind.to_string(),
        inputs: operator.inputs,
        description: operator.what,
        workers: work.workers as u64,
        rows_in: work.rows_in,
        rows_out: work.rows_out,
        late_rows: work.rows_late,
        state_rows: work.state_rows as u64,
        state_bytes: work.state_bytes as u64,
        watermark: work.watermark,
        busy_seconds: work.busy.as_secs_f64(),
    }
}

fn seconds_of(ms: u64) -> f64 {
    ms as f64 / 1e3
}
