//! Errors as `/api/sql` says them.
//!
//! Guarantees: every error is `{"error": {"code", "message", "detail", "hint", "position"}}`, with a
//! status that says whose fault it is.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;
use tradewind_analyze::{AnalyzeError, ErrorClass, Fault};

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: AnalyzeError,
}

impl From<AnalyzeError> for Failure {
    fn from(error: AnalyzeError) -> Self {
        let status = match error.fault {
            // Somebody asked for it.
            Fault::User if error.class == ErrorClass::Cancelled => StatusCode::CONFLICT,
            Fault::User => StatusCode::BAD_REQUEST,
            Fault::Environment => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error }
    }
}

impl Failure {
    /// With a status of its own.
    pub(super) fn with(status: StatusCode, error: AnalyzeError) -> Self {
        Self { status, error }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.error.fault == Fault::Bug {
            tracing::error!(error = %self.error, "a statement failed for a reason of ours");
        }
        (self.status, Json(json!({"error": error_json(&self.error)}))).into_response()
    }
}

/// An error's body.
pub(crate) fn error_json(error: &AnalyzeError) -> serde_json::Value {
    let position = error.place.map(|place| json!({"line": place.line, "column": place.column}));
    json!({
        "code": error.sqlstate(),
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
        "position": position,
    })
}

/// A statement that was cancelled.
pub(super) fn cancelled() -> AnalyzeError {
    AnalyzeError::user("the statement was cancelled").class(ErrorClass::Cancelled)
}
