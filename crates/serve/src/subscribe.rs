//! `GET /api/subscribe?view=NAME`: a materialized view, and then every change of it, as
//! server-sent events.
//!
//! Guarantees: `snapshot` events hold the view as it was after one tick, whole; each `changes`
//! event holds one tick's changes, none left out: applied in order they leave the view. An event's
//! `id` is a resume token: a client that comes back with it (`Last-Event-ID`) goes on behind it, or
//! is sent a `reset` and a snapshot where the changes since are no longer kept. With each token
//! stands up to which records of its topics the view is the answer.
//! Left out: filters: a view is the filter.

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
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tradewind_process::stream::manifest::SourcePositions;
use tradewind_process::{Engine, View, ViewChanges, ViewSnapshot};
use tradewind_types::connector::Positions;

/// Rows of a snapshot in one event.
const EVENT_ROWS_MAX: usize = 1_000;
/// Silence after which a comment says that the connection is alive: proxies cut after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Seconds to wait before asking again when there are too many subscribers.
const RETRY_SECONDS: &str = "5";

/// What subscribers may cost.
#[derive(Debug, Clone, Copy)]
pub struct SubscribeLimits {
    /// Subscribers at once; more are asked to come again.
    pub subscribers_max: usize,
}

impl Default for SubscribeLimits {
    fn default() -> Self {
        Self { subscribers_max: 4_096 }
    }
}

/// The route.
pub fn subscribe_router(engine: Engine, limits: SubscribeLimits) -> Router {
    let slots = Arc::new(Semaphore::new(limits.subscribers_max));
    Router::new().route("/api/subscribe", get(subscribe)).with_state(Edge { engine, slots })
}

#[derive(Clone)]
struct Edge {
    engine: Engine,
    slots: Arc<Semaphore>,
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
        let reason = format!("materialized view {:?} does not exist\n", request.view);
        return (StatusCode::NOT_FOUND, reason).into_response();
    };
    let Ok(slot) = edge.slots.try_acquire_owned() else {
        let reason = "too many subscribers\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECONDS)], reason)
            .into_response();
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_string);
    let token = last.or(request.after).and_then(|text| Token::parse(&text));
    let subscription = Subscription::new(view, token, slot);
    let events = stream::unfold(subscription, |mut subscription| async {
        let text = subscription.next().await?;
        Some((Ok::<_, Infallible>(text), subscription))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// Up to where somebody has seen a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    incarnation: u64,
    epoch: u64,
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let (incarnation, epoch) = text.split_once('-')?;
        Some(Self { incarnation: incarnation.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

/// One subscriber.
struct Subscription {
    view: Arc<View>,
    epochs: watch::Receiver<u64>,
    /// The last tick whose changes were sent.
    seen: Option<u64>,
    /// A snapshot that is being sent, and how many of its pieces were.
    sending: Option<(Arc<ViewSnapshot>, usize)>,
    /// The client had seen something that cannot be continued.
    reset: bool,
    _slot: OwnedSemaphorePermit,
}

impl Subscription {
    fn new(view: Arc<View>, token: Option<Token>, slot: OwnedSemaphorePermit) -> Self {
        let kept = |token: &Token| {
            token.incarnation == view.incarnation && view.changes_after(token.epoch).is_some()
        };
        let seen = token.filter(kept).map(|token| token.epoch);
        let reset = token.is_some() && seen.is_none();
        let epochs = view.watch();
        Self { view, epochs, seen, sending: None, reset, _slot: slot }
    }

    /// The next event's text; `None` when a value cannot be written, which ends the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if std::mem::take(&mut self.reset) {
                return Some("event: reset\ndata: {}\n\n".to_string());
            }
            if self.sending.is_some() {
                return self.piece();
            }
            self.epochs.borrow_and_update();
            // It was dropped or replaced; whoever comes back is told.
            if self.view.is_closed() {
                return None;
            }
            match self.seen {
                // Without a snapshot it catches up after a start.
                None => {
                    if let Some(snapshot) = self.view.snapshot() {
                        self.sending = Some((snapshot, 0));
                        continue;
                    }
                }
                Some(seen) => match self.view.changes_after(seen) {
                    Some(changes) if changes.is_empty() => {}
                    Some(changes) => return self.changes(&changes),
                    // More ticks than are kept, or the view began anew.
                    None => {
                        (self.seen, self.reset) = (None, true);
                        continue;
                    }
                },
            }
            match tokio::time::timeout(HEARTBEAT, self.epochs.changed()).await {
                Ok(Ok(())) => {}
                Err(_) => return Some(": alive\n\n".to_string()),
                Ok(Err(_)) => return None,
            }
        }
    }

    /// The next piece of a snapshot. The last one has the token.
    fn piece(&mut self) -> Option<String> {
        let (snapshot, sent) = self.sending.take()?;
        let pieces = pieces(&snapshot);
        let mut data = String::from("{\"columns\":");
        data.push_str(&render::json_columns(&self.view.schema));
        data.push_str(",\"rows\":[");
        if let Some(piece) = pieces.get(sent) {
            render::json_rows(piece, usize::MAX, &mut data).ok()?;
        }
        data.push(']');
        if sent + 1 < pieces.len() {
            data.push('}');
            self.sending = Some((snapshot, sent + 1));
            return Some(event("snapshot", None, &data));
        }
        data.push_str(&positions(&snapshot.positions));
        data.push('}');
        self.seen = Some(snapshot.epoch);
        Some(event("snapshot", Some(self.token(snapshot.epoch)), &data))
    }

    fn changes(&mut self, ticks: &[Arc<ViewChanges>]) -> Option<String> {
        let mut text = String::new();
        for tick in ticks {
            let data = changes(tick).ok()?;
            text.push_str(&event("changes", Some(self.token(tick.epoch)), &data));
            self.seen = Some(tick.epoch);
        }
        Some(text)
    }

    fn token(&self, epoch: u64) -> String {
        format!("{}-{epoch}", self.view.incarnation)
    }
}

/// A snapshot's rows, some for each event.
fn pieces(snapshot: &ViewSnapshot) -> Vec<RecordBatch> {
    let mut pieces = Vec::new();
    for chunk in &snapshot.table.chunks {
        for begin in (0..chunk.num_rows()).step_by(EVENT_ROWS_MAX) {
            pieces.push(chunk.slice(begin, EVENT_ROWS_MAX.min(chunk.num_rows() - begin)));
        }
    }
    pieces
}

/// `,"positions":{"events":{"0":17}}`: the next offset by topic and partition; the least of them
/// where tables over one topic stand apart.
fn positions(reached: &[SourcePositions]) -> String {
    let mut topics: BTreeMap<&str, Positions> = BTreeMap::new();
    for source in reached {
        let topic = topics.entry(&source.topic).or_default();
        for (partition, offset) in &source.positions {
            let least = topic.entry(*partition).or_insert(*offset);
            *least = (*least).min(*offset);
        }
    }
    format!(",\"positions\":{}", serde_json::json!(topics))
}

/// `{"delete":[…],"insert":[…]}`: rows taken back, then rows added, each as often as it counts.
fn changes(tick: &ViewChanges) -> Result<String, ArrowError> {
    let (mut deleted, mut inserted) = (String::new(), String::new());
    for batch in &tick.rows {
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
    let positions = positions(&tick.positions);
    Ok(format!("{{\"delete\":[{deleted}],\"insert\":[{inserted}]{positions}}}"))
}

fn event(name: &str, id: Option<String>, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // A line feed in the data would end it: each line is a `data:` of its own.
    let data = data.replace('\n', "\ndata: ");
    format!("event: {name}\n{id}data: {data}\n\n")
}
