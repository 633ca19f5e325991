//! The answer to a `SUBSCRIBE`: changes as they come, as JSON lines or CSV.
//!
//! Guarantees: a line is whole; what stands before a `progress` line leaves the view as it was at
//! one moment; the last line says why the answer ends, unless the connection broke. A reader that
//! is slower than the view is cut with the reason: nothing is kept for it here.
//! Left out: where changes come from.

use crate::render;
use crate::sql::{Statement, error_json};
use crate::subscribe::{HEARTBEAT, Place};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use tokio::time::{Instant, sleep_until, timeout};
use tradewind_analyze::{AnalyzeError, Change, Changes, RowKind};
use tradewind_types::connector::Positions;

/// Rows written at once: a change may be of many, and is handed on bit by bit.
const ROWS_AT_ONCE: usize = 1_000;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    Json,
    Csv,
}

/// Answers with changes until somebody ends it, at `end` at the latest.
pub(crate) fn answer(
    changes: Changes,
    format: Lines,
    end: Option<Instant>,
    place: Place,
    statement: Statement,
) -> Response {
    let schema = changes.schema();
    let (head, kind) = match format {
        Lines::Json => {
            let columns = render::json_columns(&schema);
            (format!("{{\"columns\":{columns}}}\n"), "application/x-ndjson")
        }
        Lines::Csv => (render::csv_changes_header(&schema), "text/csv; charset=utf-8"),
    };
    let columns = schema.fields().len();
    let writer = Writer {
        changes: Some(changes),
        head: Some(head),
        rows: None,
        token: None,
        positions: BTreeMap::new(),
        columns,
        format,
        end,
        place,
        statement,
    };
    let body = stream::unfold(writer, |mut writer| async move {
        let text = writer.next().await?;
        Some((Ok::<_, Infallible>(text), writer))
    });
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], Body::from_stream(body)).into_response()
}

/// Writes an answer bit by bit.
struct Writer {
    /// `None` when the last line was written.
    changes: Option<Changes>,
    head: Option<String>,
    rows: Option<Rows>,
    /// The last token that was written, and up to which records that is.
    token: Option<String>,
    positions: BTreeMap<String, Positions>,
    columns: usize,
    format: Lines,
    end: Option<Instant>,
    place: Place,
    /// Under way until the answer is.
    statement: Statement,
}

/// Rows that are being written.
struct Rows {
    batch: RecordBatch,
    kinds: Vec<(usize, RowKind)>,
    /// The first that is not yet.
    next: usize,
}

impl Writer {
    async fn next(&mut self) -> Option<String> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if self.rows.is_some() {
            return self.rows();
        }
        let changes = self.changes.as_mut()?;
        let next = tokio::select! {
            biased;
            () = self.place.stopped() => return Some(self.ended("stopping")),
            () = self.statement.ended() => return Some(self.ended("cancelled")),
            () = until(self.end) => return Some(self.ended("timeout")),
            next = timeout(HEARTBEAT, changes.next()) => next,
        };
        match next {
            // Nothing has changed since, which is progress too.
            Err(_) => Some(self.progress()),
            Ok(Ok(None)) => Some(self.ended("limit")),
            Ok(Ok(Some(Change::Rows { batch, kinds }))) => {
                self.rows = Some(Rows { batch, kinds, next: 0 });
                self.rows()
            }
            Ok(Ok(Some(Change::Progress { token, positions }))) => {
                self.token = Some(token);
                self.positions = positions;
                Some(self.progress())
            }
            Ok(Ok(Some(Change::Reset))) => {
                self.token = None;
                self.positions.clear();
                Some(self.line("reset", "", &json!({"reset": true})))
            }
            Ok(Err(error)) => Some(self.failed(&error)),
        }
    }

    /// The next of the rows that are being written.
    fn rows(&mut self) -> Option<String> {
        let Rows { batch, kinds, next: from } = self.rows.take()?;
        let to = kinds.len().min(from + ROWS_AT_ONCE);
        let mut text = String::new();
        let written = match self.format {
            Lines::Json => render::json_changes(&batch, &kinds[from..to], &mut text),
            Lines::Csv => render::csv_changes(&batch, &kinds[from..to], &mut text),
        };
        if to < kinds.len() {
            self.rows = Some(Rows { batch, kinds, next: to });
        }
        Some(match written {
            Ok(()) => text,
            Err(error) => self.unwritable(&error),
        })
    }

    fn unwritable(&mut self, error: &ArrowError) -> String {
        self.rows = None;
        self.failed(&AnalyzeError::user(error.to_string()))
    }

    fn progress(&self) -> String {
        let token = self.token.clone().unwrap_or_default();
        let line = json!({"progress": self.token, "positions": self.positions});
        self.line("progress", &token, &line)
    }

    fn ended(&mut self, why: &str) -> String {
        self.changes = None;
        let token = self.token.clone().unwrap_or_default();
        match self.format {
            Lines::Json => format!("{}\n", json!({"end": why, "token": self.token})),
            Lines::Csv if token.is_empty() => format!("# end: {why}\n"),
            Lines::Csv => format!("# end: {why} {token}\n"),
        }
    }

    fn failed(&mut self, error: &AnalyzeError) -> String {
        self.changes = None;
        match self.format {
            Lines::Json => {
                format!("{}\n", json!({"error": error_json(error), "token": self.token}))
            }
            Lines::Csv => format!("# error: {error}\n"),
        }
    }

    /// A line that is no row.
    fn line(&self, kind: &str, token: &str, json: &serde_json::Value) -> String {
        match self.format {
            Lines::Json => format!("{json}\n"),
            Lines::Csv => format!("{kind},,{token}{}\n", ",".repeat(self.columns)),
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
