//! `POST /api/sql`: a statement or a script in, the last statement's answer out, as it is made.
//!
//! Guarantees: an answer holds at most `rows_max` rows and `bytes_max` bytes and says when it was
//! cut; a statement ends with its time, or with its client; an error before the first row has a
//! status of its own, a later one stands at the end of the answer. `SUBSCRIBE` alone goes on.
//! Left out: who may ask what.

use crate::subscribe::{Subscribers, too_many};
use crate::{changes, origin, render};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tradewind_analyze::{AnalyzeError, Answer, Dialect, Fault, Platform, Rows};

/// The longest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What one statement and its answer may cost.
#[derive(Debug, Clone, Copy)]
pub struct SqlLimits {
    /// Rows of an answer.
    pub rows_max: usize,
    /// Bytes of an answer, about.
    pub bytes_max: usize,
    /// How long a statement may run, its answer's way included.
    pub statement_timeout: Duration,
}

/// The route.
pub fn sql_router(platform: Platform, limits: SqlLimits, subscribers: Subscribers) -> Router {
    Router::new()
        .route("/api/sql", post(answer))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Edge { platform, limits, subscribers })
}

#[derive(Clone)]
struct Edge {
    platform: Platform,
    limits: SqlLimits,
    subscribers: Subscribers,
}

/// What is asked. As a JSON body, or (all but `sql`) in the address of a text body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    sql: String,
    dialect: Option<String>,
    format: Option<String>,
    /// How long it may take, if that is less than the server allows; when a `SUBSCRIBE` ends.
    timeout_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

async fn answer(
    State(edge): State<Edge>,
    Query(parameters): Query<Request>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(reason) = origin::refusal(&headers) {
        return failure(StatusCode::FORBIDDEN, &AnalyzeError::user(reason));
    }
    let asked = match request(parameters, &headers, &body) {
        Ok(asked) => asked,
        Err((status, reason)) => return failure(status, &AnalyzeError::user(reason)),
    };
    let format = match format(asked.format.as_deref(), &headers) {
        Ok(format) => format,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error),
    };
    let wanted = asked.timeout_ms.map(Duration::from_millis);
    let most = edge.limits.statement_timeout;
    let deadline = Deadline::after(wanted.map_or(most, |wanted| wanted.min(most)));
    match execute(&edge, &asked, deadline).await {
        Ok(Answer::Done(tag)) => done(&tag, format, deadline),
        Ok(Answer::Changes(answer)) => match edge.subscribers.admit() {
            // It has no end of its own: only the client's.
            Some(place) => {
                let end = wanted.and_then(|wanted| deadline.start.checked_add(wanted));
                changes::answer(answer, format, end, place)
            }
            None => too_many(),
        },
        Ok(Answer::Rows(rows)) => stream_rows(rows, format, edge.limits, deadline).await,
        Err(error) => failure(status_of(&error), &error),
    }
}

fn request(
    parameters: Request,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Request, (StatusCode, String)> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let mut asked = match kind {
        "application/json" => serde_json::from_slice(body).map_err(|error| {
            (StatusCode::BAD_REQUEST, format!("the body is not {{\"sql\": ...}}: {error}"))
        })?,
        // What `curl -d` says unless told otherwise; a browser's form comes with an origin.
        "" | "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => Request {
            sql: String::from_utf8(body.to_vec())
                .map_err(|_| (StatusCode::BAD_REQUEST, "the body is not UTF-8".to_string()))?,
            ..parameters
        },
        other => {
            let reason =
                format!("{other:?} is no way to send SQL: send application/json or text/plain");
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
        }
    };
    asked.sql = asked.sql.trim().to_string();
    match asked.sql.is_empty() {
        true => Err((StatusCode::BAD_REQUEST, "there is no statement".into())),
        false => Ok(asked),
    }
}

fn format(named: Option<&str>, headers: &HeaderMap) -> Result<Format, AnalyzeError> {
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match named {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(other) => {
            Err(AnalyzeError::user(format!("{other:?} is no format")).hint("json or csv"))
        }
        None if accepted.starts_with("text/csv") => Ok(Format::Csv),
        None => Ok(Format::Json),
    }
}

async fn execute(edge: &Edge, asked: &Request, deadline: Deadline) -> Result<Answer, AnalyzeError> {
    let mut session = edge.platform.session();
    if let Some(name) = &asked.dialect {
        session.set_dialect(Dialect::from_name(name).ok_or_else(|| {
            AnalyzeError::user(format!("{name:?} is no dialect")).hint("postgres or flink")
        })?);
    }
    metrics::counter!("sql_statements_total").increment(1);
    deadline.bound(session.execute(&asked.sql)).await?
}

/// When a statement's time is up.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    start: Instant,
    end: Instant,
}

impl Deadline {
    fn after(time: Duration) -> Self {
        let start = Instant::now();
        Self { start, end: start + time }
    }

    async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, AnalyzeError> {
        timeout_at(self.end, work).await.map_err(|_| {
            let time = (self.end - self.start).as_secs_f64();
            AnalyzeError::environment(format!("the statement took longer than {time} s"))
                .hint("raise `sql.statement_timeout_ms`, or ask for less")
        })
    }

    fn elapsed_ms(self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

fn status_of(error: &AnalyzeError) -> StatusCode {
    match error.fault {
        Fault::User => StatusCode::BAD_REQUEST,
        Fault::Environment => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(crate) fn error_json(error: &AnalyzeError) -> serde_json::Value {
    json!({"message": error.message, "detail": error.detail, "hint": error.hint})
}

fn failure(status: StatusCode, error: &AnalyzeError) -> Response {
    if error.fault == Fault::Bug {
        tracing::error!(%error, "a statement failed for a reason of ours");
    }
    (status, Json(json!({"error": error_json(error)}))).into_response()
}

fn done(tag: &str, format: Format, deadline: Deadline) -> Response {
    match format {
        Format::Csv => ([(CONTENT_TYPE, "text/csv; charset=utf-8")], String::new()).into_response(),
        Format::Json => Json(json!({
            "columns": [], "rows": [], "row_count": 0, "truncated": false, "done": tag,
            "elapsed_ms": deadline.elapsed_ms(),
        }))
        .into_response(),
    }
}

/// Answers with rows. The first batch is waited for, so that most errors still have a status.
async fn stream_rows(
    mut rows: Rows,
    format: Format,
    limits: SqlLimits,
    deadline: Deadline,
) -> Response {
    let schema = rows.schema();
    let first = match deadline.bound(rows.next()).await {
        Ok(Some(Err(error))) | Err(error) => return failure(status_of(&error), &error),
        Ok(Some(Ok(batch))) => Some(batch),
        Ok(None) => None,
    };
    let (head, kind) = match format {
        Format::Json => {
            let columns = render::json_columns(&schema);
            (format!("{{\"columns\":{columns},\"rows\":["), "application/json")
        }
        Format::Csv => (render::csv_header(&schema), "text/csv; charset=utf-8"),
    };
    let writer =
        Writer { rows: Some(rows), first, head, format, limits, deadline, count: 0, bytes: 0 };
    let body = stream::unfold(writer, |mut writer| async move {
        let chunk = writer.chunk().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), writer))
    });
    ([(CONTENT_TYPE, kind)], Body::from_stream(body)).into_response()
}

/// Writes an answer chunk by chunk.
struct Writer {
    /// `None` when the last chunk was written.
    rows: Option<Rows>,
    first: Option<arrow::array::RecordBatch>,
    head: String,
    format: Format,
    limits: SqlLimits,
    deadline: Deadline,
    count: usize,
    bytes: usize,
}

impl Writer {
    async fn chunk(&mut self) -> Option<String> {
        let rows = self.rows.as_mut()?;
        let mut text = std::mem::take(&mut self.head);
        let batch = match self.first.take() {
            Some(batch) => Ok(Some(Ok(batch))),
            None => self.deadline.bound(rows.next()).await,
        };
        match batch {
            Ok(Some(Ok(batch))) => match self.write(&batch, &mut text) {
                Ok(false) => {}
                Ok(true) => self.end(&mut text, true, None),
                Err(error) => self.end(&mut text, false, Some(&error)),
            },
            Ok(None) => self.end(&mut text, false, None),
            Ok(Some(Err(error))) | Err(error) => self.end(&mut text, false, Some(&error)),
        }
        Some(text)
    }

    /// Writes a batch; says whether the answer is full.
    fn write(
        &mut self,
        batch: &arrow::array::RecordBatch,
        text: &mut String,
    ) -> Result<bool, AnalyzeError> {
        let mut left = 0;
        while left < batch.num_rows() {
            // In slices, so that wide rows meet the limit on bytes before memory does.
            let slice = batch.slice(left, ROWS_AT_ONCE.min(batch.num_rows() - left));
            let room = self.limits.rows_max - self.count;
            let taken = slice.num_rows().min(room);
            let before = text.len();
            if taken > 0 {
                if self.count > 0 && self.format == Format::Json {
                    text.push_str(",\n");
                }
                let written = match self.format {
                    Format::Json => render::json_rows(&slice, taken, text),
                    Format::Csv => render::csv_rows(&slice, taken, text),
                };
                written.map_err(|error| AnalyzeError::user(error.to_string()))?;
            }
            self.count += taken;
            self.bytes += text.len() - before;
            left += slice.num_rows();
            if taken < slice.num_rows()
                || (self.bytes >= self.limits.bytes_max && left < batch.num_rows())
            {
                return Ok(true);
            }
        }
        Ok(self.bytes >= self.limits.bytes_max)
    }

    fn end(&mut self, text: &mut String, truncated: bool, error: Option<&AnalyzeError>) {
        self.rows = None;
        let (count, elapsed_ms) = (self.count, self.deadline.elapsed_ms());
        match self.format {
            Format::Json => {
                text.push_str(&format!("],\"row_count\":{count},\"truncated\":{truncated}"));
                if let Some(error) = error {
                    text.push_str(&format!(",\"error\":{}", error_json(error)));
                }
                text.push_str(&format!(",\"elapsed_ms\":{elapsed_ms}}}\n"));
            }
            Format::Csv => {
                if truncated {
                    text.push_str(&format!("# truncated after {count} rows\n"));
                }
                if let Some(error) = error {
                    text.push_str(&format!("# error: {error}\n"));
                }
            }
        }
    }
}

/// Rows written between two looks at the limit on bytes.
const ROWS_AT_ONCE: usize = 256;
