//! `GET /healthz`: 200 when requests can be served, else 503 with the reasons.
//!
//! Guarantees: nothing is reported healthy before [`Health::ready`] was called; checks run at each
//! request, so an answer is never older than its question.
//! Left out: how well it runs, which is at `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A look at one part: nothing, or why it does not work.
type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Whether the server can serve. Clones share it.
#[derive(Clone, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    ready: AtomicBool,
    checks: Mutex<Vec<Check>>,
}

impl Health {
    /// Everything has started.
    pub fn ready(&self) {
        self.inner.ready.store(true, Ordering::Release);
    }

    /// A stop was asked for: load balancers should look elsewhere.
    pub fn stopping(&self) {
        self.inner.ready.store(false, Ordering::Release);
    }

    /// Asks `check` at each request from now on.
    pub fn add(&self, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.checks().push(Box::new(check));
    }

    /// Why requests cannot be served; empty when they can.
    pub fn reasons(&self) -> Vec<String> {
        if !self.inner.ready.load(Ordering::Acquire) {
            return vec!["the server is starting or stopping".into()];
        }
        self.checks().iter().filter_map(|check| check()).collect()
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<Check>> {
        // The list is whole whatever happened: a check that panicked left it as it was.
        self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The route.
    pub fn router(&self) -> Router {
        Router::new().route("/healthz", get(healthz)).with_state(self.clone())
    }
}

async fn healthz(State(health): State<Health>) -> Response {
    let reasons = health.reasons();
    match reasons.is_empty() {
        true => Json(json!({"status": "ok"})).into_response(),
        false => {
            let body = Json(json!({"status": "unavailable", "reasons": reasons}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}
