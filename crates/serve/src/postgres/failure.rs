//! Failures as PostgreSQL's clients read them: code, message, hint and place.
//!
//! Guarantees: every failure has an SQLSTATE; a place is where the mistake stands in the text the
//! client sent, in characters.
//! Left out: which failures there are.

use super::WireError;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use std::time::Duration;
use tradewind_analyze::{AnalyzeError, ErrorClass, Fault, Notice, Position};

/// Why a statement was not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client is told, and the connection goes on.
    Statement(AnalyzeError),
    /// The connection is over.
    Connection(WireError),
}

impl From<AnalyzeError> for Failure {
    fn from(error: AnalyzeError) -> Self {
        Self::Statement(error)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Connection(error)
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Statement(datafusion::common::DataFusionError::from(error).into())
    }
}

/// That somebody asked for the statement to end.
pub(crate) fn cancelled() -> Failure {
    Failure::Statement(
        AnalyzeError::user("canceling statement due to user request").class(ErrorClass::Cancelled),
    )
}

/// That the statement's time is up.
pub(crate) fn timed_out(time: Duration) -> Failure {
    let message = "canceling statement due to statement timeout";
    Failure::Statement(
        AnalyzeError::user(message)
            .class(ErrorClass::Cancelled)
            .hint(format!("statement_timeout is {} ms", time.as_millis())),
    )
}

/// An error of the client's, by its kind.
pub(crate) fn refused(class: ErrorClass, message: impl Into<String>) -> AnalyzeError {
    AnalyzeError::user(message).class(class)
}

/// An error that leaves the connection open; `text` is what the client sent.
pub(crate) fn response(error: &AnalyzeError, text: &str) -> PgWireBackendMessage {
    if error.fault == Fault::Bug {
        tracing::error!(%error, "a statement failed for a reason of ours");
    }
    let mut fields = head("ERROR", error.sqlstate(), bare(error));
    if let Some(detail) = &error.detail {
        fields.push((b'D', detail.clone()));
    }
    if let Some(hint) = &error.hint {
        fields.push((b'H', hint.clone()));
    }
    if let Some(at) = error.place.and_then(|place| character(text, place)) {
        fields.push((b'P', at.to_string()));
    }
    PgWireBackendMessage::ErrorResponse(ErrorResponse::new(fields))
}

/// An error after which the connection is closed.
pub(crate) fn fatal(error: &WireError) -> Option<PgWireBackendMessage> {
    let class = match error {
        WireError::Cut | WireError::Socket(_) | WireError::Unwritable(_) => return None,
        WireError::Stalled | WireError::Idle => ErrorClass::Stopping,
        WireError::Busy => ErrorClass::TooMany,
        WireError::Stopping => {
            let text = "terminating connection due to administrator command";
            return Some(ends(ErrorClass::Stopping.sqlstate(), text));
        }
        _ => ErrorClass::Protocol,
    };
    Some(ends(class.sqlstate(), &error.to_string()))
}

/// The last words before a connection is closed.
pub(crate) fn ends(sqlstate: &str, message: &str) -> PgWireBackendMessage {
    PgWireBackendMessage::ErrorResponse(ErrorResponse::new(head("FATAL", sqlstate, message)))
}

/// Something to say beside an answer.
pub(crate) fn notice(notice: &Notice) -> PgWireBackendMessage {
    let fields = head(notice.severity, notice.sqlstate, &notice.message);
    PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields))
}

fn head(severity: &str, sqlstate: &str, message: &str) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_string()),
        (b'V', severity.to_string()),
        (b'C', sqlstate.to_string()),
        (b'M', message.to_string()),
    ]
}

/// The message without the place, which has a field of its own.
fn bare(error: &AnalyzeError) -> &str {
    let message = error.message.as_str();
    if error.place.is_none() {
        return message;
    }
    let is_place = |text: &str| {
        text.strip_prefix("line ")
            .or_else(|| text.strip_prefix("column "))
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || " ,column".contains(c)))
    };
    match message.split_once(": ") {
        Some((place, rest)) if is_place(place) => rest,
        _ => message,
    }
}

/// A place as the number of its character, from 1.
fn character(text: &str, place: Position) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?;
    let before: usize = text.split('\n').take(line).map(|line| line.chars().count() + 1).sum();
    (line < text.split('\n').count()).then_some(before + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_character_and_leaves_the_message() {
        let place = Some(Position { line: 2, column: 3 });
        let error = AnalyzeError::user("line 2, column 3: expected x: y").place(place);
        assert_eq!(bare(&error), "expected x: y");
        let PgWireBackendMessage::ErrorResponse(shown) = response(&error, "sül\n  x") else {
            panic!("no error");
        };
        assert!(shown.fields.contains(&(b'P', "7".into())), "{shown:?}");
        assert_eq!(character("one line", Position { line: 2, column: 1 }), None);
        let plain = AnalyzeError::user("column \"x\" does not exist").place(place);
        assert_eq!(bare(&plain), "column \"x\" does not exist");
    }
}
