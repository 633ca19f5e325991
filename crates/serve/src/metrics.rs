//! `GET /metrics`: every counter, gauge and histogram of the process as Prometheus text, and the
//! figures of pipelines as they are when they are asked for.
//!
//! Guarantees: one recorder a process, whoever asks first installs it.
//! Left out: which metrics there are; each crate records its own.

use crate::{ServeError, figures};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewind_process::Engine;

/// How often histograms are drained: unread samples take memory until then.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the process's recorder, or finds it.
///
/// # Errors
/// Somebody else's recorder is in place.
pub fn install() -> Result<PrometheusHandle, ServeError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| ServeError::Metrics(error.to_string()))?;
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Drains histograms until dropped.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        handle.run_upkeep();
    }
}

/// Figures that are taken when they are asked for, as Prometheus text.
pub type Figures = Arc<dyn Fn() -> String + Send + Sync>;

/// The route; `also` are figures besides the recorder's and the pipelines'.
pub fn router(handle: PrometheusHandle, engine: Engine, also: Figures) -> Router {
    let answer = move || {
        let (handle, engine, also) = (handle.clone(), engine.clone(), Arc::clone(&also));
        async move {
            let text = handle.render() + &figures::text(&engine.overview().await) + &also();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
        }
    };
    Router::new().route("/metrics", get(answer))
}
