//! `POST /api/dead_letters/retry`: a dead letter, as it came or corrected, once more through the
//! collector's rules.
//!
//! Guarantees: answers 200 once its events are durable; a page of another site cannot ask for it.
//! Left out: what is tried and how often, which is the collector's.

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde_json::json;
use std::sync::Arc;
use tradewind_collect::{Refusal, Retries, RetryError, RetryRequest};

/// A corrected batch of 500 KB, its quotes escaped.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The route.
pub(crate) fn router(retries: Arc<Retries>) -> Router {
    Router::new()
        .route("/api/dead_letters/retry", post(retry))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(retries)
}

async fn retry(
    State(retries): State<Arc<Retries>>,
    headers: HeaderMap,
    asked: Result<Json<RetryRequest>, JsonRejection>,
) -> Response {
    if let Some(reason) = tradewind_serve::origin_refusal(&headers) {
        return failure(StatusCode::FORBIDDEN, reason);
    }
    let Json(asked) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return failure(rejection.status(), &rejection.body_text()),
    };
    // A page that goes away does not leave a letter half taken in.
    let outcome = tokio::spawn(async move { retries.retry(&asked).await }).await;
    match outcome {
        Ok(Ok(retried)) => Json(retried).into_response(),
        Ok(Err(error)) => failure(status(&error), &error.to_string()),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn status(error: &RetryError) -> StatusCode {
    match error {
        RetryError::Gone { .. } => StatusCode::NOT_FOUND,
        RetryError::Before { .. } => StatusCode::CONFLICT,
        RetryError::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        RetryError::Refused(Refusal::Busy { .. }) => StatusCode::TOO_MANY_REQUESTS,
        RetryError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": {"message": message}}))).into_response()
}
