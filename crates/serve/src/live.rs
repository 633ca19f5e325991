//! `GET /api/live?view=A&where=…&view=B…`: several materialized views over one connection, as
//! server-sent events: what a page of panels keeps open.
//!
//! Guarantees: of each view what `/api/subscribe` guarantees, in events that say by `at` which of
//! the views asked for they are of, counted from 0. An event's `id` holds the resume tokens of all
//! views in that order: whoever comes back with it goes on behind it, view by view. A view that is
//! not there is said to be missing with the reason, looked for again, and keeps no other from
//! being followed.
//! Left out: ticks of different views at one moment; each view is whole by itself.

use crate::filter::RowFilter;
use crate::rendered::Rendered;
use crate::subscribe::{HEARTBEAT, Place, Subscribers, changed, framed, too_many};
use crate::{origin, render};
use arrow::error::ArrowError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::{FutureExt, pending, select_all};
use futures::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tradewind_process::{Engine, ResumeToken, Subscription, ViewChanges, ViewEvent};

/// Views of one connection: a page has a dozen panels, and many share a view.
const VIEWS_MAX: usize = 32;
/// Between two looks at the views: a busy one has fifty ticks a second, and nobody reads ten.
const PACE: Duration = Duration::from_millis(100);
/// Text handed on at once; what is more comes in the next piece.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// Between two looks for a view that is not there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The route.
pub fn live_router(engine: Engine, subscribers: Subscribers) -> Router {
    Router::new().route("/api/live", get(live)).with_state(Edge {
        engine,
        subscribers,
        rendered: Rendered::default(),
    })
}

#[derive(Clone)]
struct Edge {
    engine: Engine,
    subscribers: Subscribers,
    rendered: Rendered,
}

async fn live(
    State(edge): State<Edge>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    if let Some(reason) = origin::refusal(&headers) {
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let views = match asked(parameters, last) {
        Ok(views) => views,
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    };
    let Some(place) = edge.subscribers.admit() else { return too_many() };
    let Edge { engine, rendered, .. } = edge;
    let feed = Feed { engine, rendered, views, place, first: 0, next_look: Instant::now() };
    let events = stream::unfold(feed, |mut feed| async {
        let text = feed.next().await?;
        Some((Ok::<_, Infallible>(text), feed))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// The views that are asked for: `where` is of the `view` before it, `after` of them all.
fn asked(parameters: Vec<(String, String)>, last: Option<&str>) -> Result<Vec<Followed>, String> {
    let mut views: Vec<Followed> = Vec::new();
    let mut after = None;
    for (name, value) in parameters {
        match (name.as_str(), views.last_mut()) {
            ("view", _) => views.push(Followed { name: value, ..Followed::default() }),
            ("where", Some(view)) if view.condition.is_none() => view.condition = Some(value),
            ("where", _) => return Err("a where follows its view, one each".into()),
            ("after", _) => after = Some(value),
            _ => return Err(format!("{name:?} is unknown here: view, where or after")),
        }
    }
    if views.is_empty() || views.len() > VIEWS_MAX {
        return Err(format!("ask for 1 to {VIEWS_MAX} views, as in ?view=A&view=B"));
    }
    let tokens = last.map(str::to_string).or(after).unwrap_or_default();
    for (view, token) in views.iter_mut().zip(tokens.split(',')) {
        view.token = ResumeToken::parse(token);
    }
    Ok(views)
}

/// One view of a connection.
#[derive(Debug, Default)]
struct Followed {
    name: String,
    condition: Option<String>,
    /// Up to where the client has seen it.
    token: Option<ResumeToken>,
    following: Option<Following>,
    /// Why it is missing, as the client was told last.
    missing: Option<String>,
}

#[derive(Debug)]
struct Following {
    subscription: Subscription,
    filter: Option<RowFilter>,
    columns: String,
}

impl Followed {
    /// Follows the view where it is there; else the reason, when it is not the one told before.
    fn open(&mut self, engine: &Engine) -> Option<String> {
        let reason = match self.opened(engine) {
            Ok(following) if following.subscription.view().snapshot().is_some() => {
                (self.following, self.missing) = (Some(following), None);
                return None;
            }
            Ok(_) => "the view is catching up".to_string(),
            Err(reason) => reason,
        };
        let news = self.missing.as_ref() != Some(&reason);
        self.missing = Some(reason.clone());
        news.then_some(reason)
    }

    fn opened(&self, engine: &Engine) -> Result<Following, String> {
        let Some(view) = engine.view(&self.name) else {
            let starting = engine.status(&self.name).is_ok_and(|status| status.keeps_view);
            return Err(match starting {
                true => "the view is starting".into(),
                false => format!("materialized view {:?} does not exist", self.name),
            });
        };
        let filter = self.condition.as_ref().map(|text| RowFilter::parse(text, &view.schema));
        let filter = filter.transpose()?;
        let columns = render::json_columns(&view.schema);
        Ok(Following { subscription: Subscription::new(view, self.token), filter, columns })
    }
}

/// One connection's events as text.
struct Feed {
    engine: Engine,
    rendered: Rendered,
    views: Vec<Followed>,
    place: Place,
    /// Where the next look begins, so that a busy view does not keep the others waiting.
    first: usize,
    next_look: Instant,
}

/// What ended a wait.
enum Woken {
    Event(usize, Option<ViewEvent>),
    LookAgain,
    Silence,
}

impl Feed {
    /// The next piece of text; `None` when the server stops, or a value cannot be written.
    async fn next(&mut self) -> Option<String> {
        let mut text = String::new();
        tokio::select! {
            () = self.place.stopped() => return None,
            () = sleep_until(self.next_look) => {}
        }
        loop {
            self.open(&mut text);
            self.at_hand(&mut text).ok()?;
            if !text.is_empty() {
                self.next_look = Instant::now() + PACE;
                return Some(text);
            }
            match self.woken().await? {
                Woken::Event(at, event) => self.write(at, event, &mut text).ok()?,
                Woken::Silence => text.push_str(": alive\n\n"),
                Woken::LookAgain => {}
            }
        }
    }

    /// Looks for what is not followed yet, or no longer.
    fn open(&mut self, text: &mut String) {
        for (at, view) in self.views.iter_mut().enumerate() {
            if view.following.is_none()
                && let Some(reason) = view.open(&self.engine)
            {
                let data = json!({"at": at, "view": view.name, "reason": reason});
                text.push_str(&format!("event: missing\ndata: {data}\n\n"));
            }
        }
    }

    /// Writes what there is without waiting, up to the size of a piece.
    fn at_hand(&mut self, text: &mut String) -> Result<(), ArrowError> {
        for turn in 0..self.views.len() {
            let at = (self.first + turn) % self.views.len();
            while text.len() < PIECE_BYTES_MAX
                && let Some(following) = &mut self.views[at].following
                && let Some(event) = following.subscription.next().now_or_never()
            {
                self.write(at, event, text)?;
            }
        }
        self.first = (self.first + 1) % self.views.len();
        Ok(())
    }

    /// Waits until something is to be said or looked at; `None` when the server stops.
    async fn woken(&mut self) -> Option<Woken> {
        let missing = self.views.iter().any(|view| view.following.is_none());
        let nexts = self.views.iter_mut().enumerate().filter_map(|(at, view)| {
            let subscription = &mut view.following.as_mut()?.subscription;
            Some(Box::pin(subscription.next().map(move |event| Woken::Event(at, event))))
        });
        let nexts: Vec<_> = nexts.collect();
        let event = async {
            match nexts.is_empty() {
                true => pending().await,
                false => select_all(nexts).await.0,
            }
        };
        let look_again = async {
            match missing {
                true => sleep(LOOK_AGAIN).await,
                false => pending().await,
            }
        };
        tokio::select! {
            () = self.place.stopped() => None,
            () = look_again => Some(Woken::LookAgain),
            event = timeout(HEARTBEAT, event) => Some(event.unwrap_or(Woken::Silence)),
        }
    }

    /// Writes an event of the view `at`; without one the view was dropped or replaced.
    fn write(
        &mut self,
        at: usize,
        event: Option<ViewEvent>,
        text: &mut String,
    ) -> Result<(), ArrowError> {
        let view = &mut self.views[at];
        let (Some(following), Some(event)) = (&view.following, event) else {
            view.following = None;
            return Ok(());
        };
        let (name, data) = match event {
            // The reset that follows says it.
            ViewEvent::Behind => return Ok(()),
            ViewEvent::Reset => {
                view.token = None;
                ("reset", format!("{{\"at\":{at}}}"))
            }
            ViewEvent::Snapshot { rows, token, .. } => {
                view.token = token;
                let mut data = format!("{{\"at\":{at},\"last\":{},", token.is_some());
                data.push_str(&format!("\"columns\":{},\"rows\":[", following.columns));
                if let Some(rows) = rows {
                    render::json_rows(&following.passed(&rows)?, usize::MAX, &mut data)?;
                }
                data.push_str("]}");
                ("snapshot", data)
            }
            ViewEvent::Changes { changes, token } => {
                view.token = Some(token);
                let Some(lists) = following.lists(&changes, &self.rendered)? else {
                    return Ok(());
                };
                ("changes", format!("{{\"at\":{at},{lists}}}"))
            }
        };
        text.push_str(&framed(name, Some(&self.tokens()), &data));
        Ok(())
    }

    /// The tokens of all views in their order; nothing for one that was not seen whole.
    fn tokens(&self) -> String {
        let tokens = self.views.iter().map(|view| view.token.map(|token| token.to_string()));
        tokens.map(Option::unwrap_or_default).collect::<Vec<_>>().join(",")
    }
}

impl Following {
    /// What a tick has changed, as text; `None` where nothing of it passes.
    fn lists(
        &self,
        changes: &Arc<ViewChanges>,
        rendered: &Rendered,
    ) -> Result<Option<Arc<str>>, ArrowError> {
        let Some(filter) = &self.filter else {
            let nothing = changes.rows.iter().all(|rows| rows.num_rows() == 0);
            return if nothing { Ok(None) } else { rendered.of(changes).map(Some) };
        };
        let rows = changes.rows.iter().map(|rows| filter.apply(rows));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.iter().all(|rows| rows.num_rows() == 0) {
            return Ok(None);
        }
        let (deleted, inserted) = changed(&rows)?;
        Ok(Some(format!("\"delete\":[{deleted}],\"insert\":[{inserted}]").into()))
    }

    fn passed(
        &self,
        rows: &arrow::array::RecordBatch,
    ) -> Result<arrow::array::RecordBatch, ArrowError> {
        match &self.filter {
            Some(filter) => filter.apply(rows),
            None => Ok(rows.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pairs(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        parameters.iter().map(pair).collect()
    }

    #[test]
    fn conditions_and_tokens_find_their_views() {
        let asked_for =
            [("view", "a"), ("where", "x > 1"), ("view", "b"), ("after", "1-2,"), ("view", "c")];
        let views = asked(pairs(&asked_for), None).unwrap();
        let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(views[0].condition.as_deref(), Some("x > 1"));
        assert_eq!(views[0].token, ResumeToken::parse("1-2"));
        assert_eq!((views[1].token, views[2].token), (None, None));
        // What the browser says of itself is newer than the address.
        let views = asked(pairs(&asked_for), Some(",3-4,5-6")).unwrap();
        assert_eq!((views[0].token, views[2].token), (None, ResumeToken::parse("5-6")));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let refused = |parameters: &[(&str, &str)]| asked(pairs(parameters), None).unwrap_err();
        assert!(refused(&[]).contains("1 to 32"));
        assert!(refused(&[("view", "a"); VIEWS_MAX + 1]).contains("1 to 32"));
        assert!(refused(&[("where", "x")]).contains("follows its view"));
        assert!(refused(&[("veiw", "a")]).contains("veiw"));
    }
}
