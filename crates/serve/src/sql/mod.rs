//! `POST /api/sql`: a statement or a script in, the last statement's answer out, as it is made or
//! in pages; `DELETE /api/sql/ID` ends it.
//!
//! Guarantees: an answer holds at most `rows_max` rows and `bytes_max` bytes and says when it was
//! cut; a statement ends with its time, with its client, or when it is cancelled; an error before the
//! first row has a status of its own, a later one stands at the end of the answer. `SUBSCRIBE` alone
//! goes on.
//! Left out: who may ask what.

mod encoder;
mod failure;
mod pages;
mod parameters;
mod request;
mod running;
mod stream;

pub(crate) use failure::error_json;
pub(crate) use running::Statement;

use crate::changes::{self, Lines};
use crate::origin;
use crate::subscribe::{Subscribers, too_many};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use encoder::{Encoder, End};
use failure::Failure;
use pages::Pages;
use request::{Address, Format, Request};
use running::Running;
use std::time::Duration;
use tokio::time::Instant;
use tradewind_analyze::{AnalyzeError, Answer, Changes, Dialect, Platform, Session};

/// The longest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// The header that says under which id a statement can be cancelled.
const ID: HeaderName = HeaderName::from_static("x-tradewind-query-id");

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

/// The routes.
pub fn sql_router(platform: Platform, limits: SqlLimits, subscribers: Subscribers) -> Router {
    let (running, pages) = (Running::default(), Pages::default());
    Router::new()
        .route("/api/sql", post(answer))
        .route("/api/sql/{id}", delete(cancel))
        .route("/api/sql/{id}/{page}", get(page))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Edge { platform, limits, subscribers, running, pages })
}

#[derive(Clone)]
struct Edge {
    platform: Platform,
    limits: SqlLimits,
    subscribers: Subscribers,
    running: Running,
    pages: Pages,
}

async fn answer(
    State(edge): State<Edge>,
    address: Result<Query<Address>, QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    allowed(&headers)?;
    let Query(address) = address.map_err(|error| AnalyzeError::user(error.body_text()))?;
    let mut asked = Request::read(address, &headers, &body)?;
    let format = asked.format(&headers)?;
    let wanted = asked.timeout_ms.map(Duration::from_millis);
    let most = edge.limits.statement_timeout;
    let time = wanted.map_or(most, |wanted| wanted.min(most));
    let statement = edge.running.begin(asked.id.take(), time)?;
    let id = HeaderValue::try_from(statement.id.as_str());
    let outcome = statement_of(&edge, &asked, &statement).await;
    let answered = match outcome {
        Ok(Answer::Done(tag)) => done(&tag, format, &statement).map_err(Failure::from),
        Ok(Answer::Changes(answer)) => followed(&edge, answer, format, wanted, statement),
        Ok(Answer::Rows(rows)) => match asked.page_rows {
            Some(count) => edge.pages.begin(rows, format, count, statement).await,
            None => stream::answer(rows, format, edge.limits, statement).await,
        },
        Err(error) => Err(error.into()),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    if let Ok(id) = id {
        response.headers_mut().insert(ID, id);
    }
    Ok(response)
}

/// The next page of an answer.
async fn page(
    State(edge): State<Edge>,
    Path((id, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    allowed(&headers)?;
    edge.pages.page(&id, &number).await
}

/// Ends a statement.
async fn cancel(
    State(edge): State<Edge>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    allowed(&headers)?;
    match edge.running.cancel(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => {
            let error = AnalyzeError::user(format!("no statement {id:?} is running"));
            Err(Failure::with(StatusCode::NOT_FOUND, error))
        }
    }
}

fn allowed(headers: &HeaderMap) -> Result<(), Failure> {
    match origin::refusal(headers) {
        Some(reason) => Err(Failure::with(StatusCode::FORBIDDEN, AnalyzeError::user(reason))),
        None => Ok(()),
    }
}

async fn statement_of(
    edge: &Edge,
    asked: &Request,
    statement: &Statement,
) -> Result<Answer, AnalyzeError> {
    let mut session = edge.platform.session();
    if let Some(name) = &asked.dialect {
        session.set_dialect(Dialect::from_name(name).ok_or_else(|| {
            AnalyzeError::user(format!("{name:?} is no dialect")).hint("postgres or flink")
        })?);
    }
    metrics::counter!("sql_statements_total").increment(1);
    statement.bound(execute(&mut session, asked)).await?
}

/// Carries out a script; parameters are its last statement's.
async fn execute(session: &mut Session, asked: &Request) -> Result<Answer, AnalyzeError> {
    let Some(given) = &asked.parameters else { return session.execute(&asked.sql).await };
    let statements = session.parse(&asked.sql)?;
    let Some((last, before)) = statements.split_last() else {
        return Err(AnalyzeError::user("there is no statement"));
    };
    if !before.is_empty() {
        return Err(AnalyzeError::user("a script takes no parameters")
            .hint("send its statements one by one"));
    }
    let prepared = session.prepare(last, &[]).await?;
    let values = parameters::values(given, &prepared.parameters)?;
    session.execute_prepared(&prepared, &values).await
}

fn done(tag: &str, format: Format, statement: &Statement) -> Result<Response, AnalyzeError> {
    let kind = [(CONTENT_TYPE, format.media_type())];
    let elapsed_ms = statement.elapsed_ms();
    let body = match format {
        Format::Json => serde_json::json!({
            "columns": [], "rows": [], "row_count": 0, "truncated": false, "done": tag,
            "elapsed_ms": elapsed_ms,
        })
        .to_string()
        .into_bytes(),
        Format::Csv => Vec::new(),
        Format::Arrow => {
            let mut nothing = Encoder::new(format, &arrow::datatypes::Schema::empty())?;
            nothing.finish(&End { elapsed_ms, ..End::default() })?;
            nothing.take()
        }
    };
    Ok((kind, body).into_response())
}

/// The changes of a view. They have no end of their own: only the client's, or a cancel.
fn followed(
    edge: &Edge,
    answer: Changes,
    format: Format,
    wanted: Option<Duration>,
    statement: Statement,
) -> Result<Response, Failure> {
    let lines = match format {
        Format::Json => Lines::Json,
        Format::Csv => Lines::Csv,
        Format::Arrow => {
            let error = AnalyzeError::user("SUBSCRIBE is answered as json or csv");
            return Err(error.hint("\"format\": \"json\"").into());
        }
    };
    let Some(place) = edge.subscribers.admit() else { return Ok(too_many()) };
    let end: Option<Instant> = wanted.and_then(|wanted| statement.started().checked_add(wanted));
    Ok(changes::answer(answer, lines, end, place, statement))
}
