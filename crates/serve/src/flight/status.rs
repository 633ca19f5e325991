//! Errors as gRPC says them.
//!
//! Guarantees: the status says whose fault it is, the message what is wrong and, after it in
//! brackets, what to do.

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use tonic::{Code, Status};
use tradewind_analyze::{AnalyzeError, Fault};

/// An error of a statement.
pub(super) fn of(error: AnalyzeError) -> Status {
    let code = match error.fault {
        Fault::User => Code::InvalidArgument,
        Fault::Environment => Code::Unavailable,
        Fault::Bug => {
            tracing::error!(%error, "a statement failed for a reason of ours");
            Code::Internal
        }
    };
    Status::new(code, error.to_string())
}

/// A message that is not what its place needs.
pub(super) fn garbled(what: &str, error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{what} cannot be read: {error}"))
}

/// Rows of a client that cannot be read.
pub(super) fn of_rows(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => garbled("the rows", other),
    }
}

/// Our own rows that cannot be written.
pub(super) fn of_arrow(error: ArrowError) -> Status {
    Status::internal(error.to_string())
}

/// A handle that nothing stands behind, or no longer.
pub(super) fn not_found(what: &str) -> Status {
    Status::not_found(format!("there is no such {what}, or no longer (make a new one)"))
}

/// No room for one more.
pub(super) fn too_many(what: &str, max: usize) -> Status {
    Status::resource_exhausted(format!(
        "{max} of this kind are kept already: {what} (close those that are done, or try again later)"
    ))
}

/// What this server does not do.
pub(super) fn unsupported(what: &str) -> Status {
    Status::unimplemented(format!("not supported: {what}"))
}

/// A statement that somebody ended.
pub(super) fn cancelled() -> Status {
    Status::cancelled("the statement was cancelled")
}
