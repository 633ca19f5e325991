//! `GET /api/subscribe?view=NAME`: a materialized view, and then every change of it, as
//! server-sent events.
//!
//! Guarantees: `snapshot` events hold the view as it was after one tick, whole; each `changes`
//! event holds one tick's changes, none left out: applied in order they leave the view. An event's
//! `id` is a resume token: a client that comes back with it (`Last-Event-ID`) goes on behind it, or
//! is sent a `reset` and a snapshot where the changes since are no longer kept. With each token
//! stands up to which records of its topics the view is the answer.
//! Left out: filters, and several views at once, which are at `/api/live`.

use crate::{origin, render};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tradewind_process::stream::manifest::SourcePositions;
use tradewind_process::{Engine, ResumeToken, Subscription, ViewEvent, reached_by_topic};

/// Silence after which a client is told that the connection is alive: proxies cut after a minute.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Seconds to wait before asking again when there are too many subscribers.
const RETRY_SECONDS: &str = "5";

/// What subscribers may cost.
#[derive(Debug, Clone, Copy)]
pub struct SubscribeLimits {
    /// Subscribers at once, over every route; more are asked to come again.
    pub subscribers_max: usize,
}

impl Default for SubscribeLimits {
    fn default() -> Self {
        Self { subscribers_max: 4_096 }
    }
}

/// Room for subscribers, whichever way they ask.
#[derive(Debug, Clone)]
pub struct Subscribers {
    slots: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// One subscriber's place.
#[derive(Debug)]
pub(crate) struct Place {
    stopping: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
}

impl Subscribers {
    /// Room within limits, until `stopping` says so: what has no end must not hold up a stop.
    pub fn new(limits: SubscribeLimits, stopping: watch::Receiver<bool>) -> Self {
        Self { slots: Arc::new(Semaphore::new(limits.subscribers_max)), stopping }
    }

    pub(crate) fn admit(&self) -> Option<Place> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(Place { stopping: self.stopping.clone(), _slot: slot })
    }
}

impl Place {
    /// Done when the server is stopping.
    pub(crate) async fn stopped(&mut self) {
        // A sender that is gone means the same.
        let _ = self.stopping.wait_for(|stop| *stop).await;
    }
}

/// An answer to whom there is no place for.
pub(crate) fn too_many() -> Response {
    let retry = [(RETRY_AFTER, RETRY_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, retry, "too many subscribers\n").into_response()
}

/// The route.
pub fn subscribe_router(engine: Engine, subscribers: Subscribers) -> Router {
    Router::new().route("/api/subscribe", get(subscribe)).with_state(Edge { engine, subscribers })
}

#[derive(Clone)]
struct Edge {
    engine: Engine,
    subscribers: Subscribers,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    view: String,
    /// A resume token, for clients that cannot send `Last-Event-ID`.
    after: Option<String>,
}

async fn subscribe(
    State(edge): State<Edge>,
    Query(request): Query<Request>,
    headers: HeaderMap,
) -> Response {
    if let Some(reason) = origin::refusal(&headers) {
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let Some(view) = edge.engine.view(&request.view) else {
        return missing(&edge.engine, &request.view);
    };
    let Some(place) = edge.subscribers.admit() else { return too_many() };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_string);
    let token = last.or(request.after).and_then(|text| ResumeToken::parse(&text));
    let columns = render::json_columns(&view.schema);
    let events = Events { subscription: Subscription::new(view, token), columns, place };
    let events = stream::unfold(events, |mut events| async {
        let text = events.next().await?;
        Some((Ok::<_, Infallible>(text), events))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// No view of that name, or not yet: pipelines are opened after the server answers.
fn missing(engine: &Engine, name: &str) -> Response {
    if engine.status(name).is_ok_and(|status| status.keeps_view) {
        let retry = [(RETRY_AFTER, RETRY_SECONDS)];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "the view is starting\n").into_response();
    }
    let reason = format!("materialized view {name:?} does not exist\n");
    (StatusCode::NOT_FOUND, reason).into_response()
}

/// One subscriber's events as text.
struct Events {
    subscription: Subscription,
    columns: String,
    place: Place,
}

impl Events {
    /// The next event's text; `None` when the view was dropped, the server stops, or a value
    /// cannot be written, which ends the stream.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::select! {
            () = self.place.stopped() => return None,
            next = timeout(HEARTBEAT, self.subscription.next()) => next,
        };
        match next {
            Err(_) => Some(": alive\n\n".to_string()),
            Ok(event) => self.text(event?).ok(),
        }
    }

    fn text(&self, event: ViewEvent) -> Result<String, ArrowError> {
        Ok(match event {
            ViewEvent::Reset => "event: reset\ndata: {}\n\n".to_string(),
            // The reset that follows says it.
            ViewEvent::Behind => ": behind\n\n".to_string(),
            ViewEvent::Snapshot { rows, token, positions } => {
                let mut data = format!("{{\"columns\":{},\"rows\":[", self.columns);
                if let Some(rows) = rows {
                    render::json_rows(&rows, usize::MAX, &mut data)?;
                }
                data.push(']');
                if token.is_some() {
                    data.push_str(&reached(&positions));
                }
                data.push('}');
                framed("snapshot", token.map(|token| token.to_string()).as_deref(), &data)
            }
            ViewEvent::Changes { changes, token } => {
                let (deleted, inserted) = changed(&changes.rows)?;
                let reached = reached(&changes.positions);
                let data = format!("{{\"delete\":[{deleted}],\"insert\":[{inserted}]{reached}}}");
                framed("changes", Some(&token.to_string()), &data)
            }
        })
    }
}

/// `,"positions":{"events":{"0":17}}`: the next offset by topic and partition.
fn reached(sources: &[SourcePositions]) -> String {
    format!(",\"positions\":{}", serde_json::json!(reached_by_topic(sources)))
}

/// Rows taken back, and rows added, as JSON arrays with commas between them, each as often as it
/// counts. `batches` have `_weight` last.
pub(crate) fn changed(batches: &[RecordBatch]) -> Result<(String, String), ArrowError> {
    let (mut deleted, mut inserted) = (String::new(), String::new());
    for batch in batches {
        let weight = batch.num_columns() - 1;
        let weights = batch.column(weight).as_primitive::<Int64Type>();
        let visible: Vec<usize> = (0..weight).collect();
        let rows = batch.project(&visible)?;
        for (sign, text) in [(-1, &mut deleted), (1, &mut inserted)] {
            let times = weights.values().iter().map(|weight| (weight * sign).max(0));
            for round in 1..=times.clone().max().unwrap_or(0) {
                let keep = times.clone().map(|times| Some(times >= round)).collect();
                let kept = filter_record_batch(&rows, &keep)?;
                if !text.is_empty() && kept.num_rows() > 0 {
                    text.push(',');
                }
                render::json_rows(&kept, usize::MAX, text)?;
            }
        }
    }
    Ok((deleted, inserted))
}

pub(crate) fn framed(name: &str, id: Option<&str>, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // A line feed in the data would end it: each line is a `data:` of its own.
    let data = data.replace('\n', "\ndata: ");
    format!("event: {name}\n{id}data: {data}\n\n")
}
