//! What is asked of `/api/sql`: as a JSON body, or as text with the rest in the address.

use super::failure::Failure;
use crate::render::ARROW_STREAM;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tradewind_analyze::AnalyzeError;

/// The longest id that a client may give.
const ID_BYTES_MAX: usize = 64;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) sql: String,
    pub(super) dialect: Option<String>,
    format: Option<String>,
    /// How long it may take, if that is less than the server allows; when a `SUBSCRIBE` ends.
    pub(super) timeout_ms: Option<u64>,
    /// Values of `$1`, `$2` …, as they are written.
    pub(super) parameters: Option<Vec<Box<RawValue>>>,
    /// Rows of a page; without it the answer comes whole.
    pub(super) page_rows: Option<usize>,
    /// What the client calls it, so that it can cancel it before it has heard of it.
    pub(super) id: Option<String>,
}

/// The same in an address, for a body that is text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    dialect: Option<String>,
    format: Option<String>,
    timeout_ms: Option<u64>,
    /// A JSON array.
    parameters: Option<String>,
    page_rows: Option<usize>,
    id: Option<String>,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Arrow,
}

impl Format {
    /// Its media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => ARROW_STREAM,
        }
    }
}

impl Request {
    /// Reads a request.
    pub(super) fn read(
        address: Address,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, Failure> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let mut asked = match kind {
            "application/json" => serde_json::from_slice(body)
                .map_err(|error| user(format!("the body is not {{\"sql\": ...}}: {error}")))?,
            // What `curl -d` says unless told otherwise; a browser's form comes with an origin.
            "" | "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => {
                Self::of_text(address, body)?
            }
            other => {
                let reason =
                    format!("{other:?} is no way to send SQL: send application/json or text/plain");
                let error = AnalyzeError::user(reason);
                return Err(Failure::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
            }
        };
        asked.sql = asked.sql.trim().to_string();
        if asked.sql.is_empty() {
            return Err(user("there is no statement"));
        }
        if asked.page_rows == Some(0) {
            return Err(user("page_rows is at least 1"));
        }
        if asked.id.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(user(format!(
                "an id is 1 to {ID_BYTES_MAX} letters, digits, \".\", \"_\" and \"-\""
            )));
        }
        Ok(asked)
    }

    fn of_text(address: Address, body: &Bytes) -> Result<Self, Failure> {
        let parameters = address.parameters.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            sql: String::from_utf8(body.to_vec()).map_err(|_| user("the body is not UTF-8"))?,
            dialect: address.dialect,
            format: address.format,
            timeout_ms: address.timeout_ms,
            parameters: parameters
                .map_err(|error| user(format!("parameters is not a JSON array: {error}")))?,
            page_rows: address.page_rows,
            id: address.id,
        })
    }

    /// How the answer is to be written.
    pub(super) fn format(&self, headers: &HeaderMap) -> Result<Format, Failure> {
        let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let accepted = accepted.unwrap_or_default();
        match self.format.as_deref() {
            Some("json") => Ok(Format::Json),
            Some("csv") => Ok(Format::Csv),
            Some("arrow") => Ok(Format::Arrow),
            Some(other) => {
                let error = AnalyzeError::user(format!("{other:?} is no format"));
                Err(error.hint("json, csv or arrow").into())
            }
            None if accepted.starts_with("text/csv") => Ok(Format::Csv),
            None if accepted.starts_with(ARROW_STREAM) => Ok(Format::Arrow),
            None => Ok(Format::Json),
        }
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

fn user(message: impl Into<String>) -> Failure {
    AnalyzeError::user(message).into()
}
