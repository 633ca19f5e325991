//! What a sender is told, and with which status.
//!
//! | status | when | what the sender does |
//! |---|---|---|
//! | 200 | everything read; rejected events are listed | nothing |
//! | 400 | bad JSON, too large, not gzip | sends something else |
//! | 401 | no or an unknown write key | asks for one |
//! | 408 | the body did not arrive in time | sends again |
//! | 415 | a content encoding other than gzip | sends it plain |
//! | 429 | more under way than there is room for | waits, then sends again |
//! | 503 | nothing can be made durable now | waits longer, then sends again |
//!
//! Guarantees: every answer has CORS headers, so that a page sees why it failed.

use crate::arrival::Answer;
use crate::refusal::Refusal;
use crate::settings::{RETRY_AFTER_BUSY_S, RETRY_AFTER_UNAVAILABLE_S};
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, CONNECTION, CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// Segment's name for what `Retry-After` says.
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Headers a page may send when it does not ask for others.
const HEADERS_ALLOWED: HeaderValue =
    HeaderValue::from_static("authorization, content-encoding, content-type");
/// Seconds a browser may remember a preflight's answer: a day.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// Why a request got no 200.
#[derive(Debug)]
pub(super) enum Failure {
    /// The collector refused it.
    Refused(Refusal),
    /// An encoding nobody decodes.
    Encoding,
    /// The body took too long.
    TooSlow,
    /// The connection ended within the body.
    CutOff,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

#[derive(Serialize)]
struct Taken<'a> {
    success: bool,
    accepted: usize,
    duplicates: usize,
    #[serde(skip_serializing_if = "is_zero")]
    conflicts: usize,
    rejected: Vec<Rejected<'a>>,
}

#[derive(Serialize)]
struct Rejected<'a> {
    index: usize,
    #[serde(skip_serializing_if = "is_one")]
    count: usize,
    reason: String,
    code: &'a str,
}

#[derive(Serialize)]
struct Refused<'a> {
    success: bool,
    error: &'a str,
    /// Whether the input is in `dead_letters`; absent where that is no question.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

pub(super) fn response(result: Result<Answer, Failure>, origin: Option<HeaderValue>) -> Response {
    let mut response = match result {
        Ok(answer) => taken(&answer),
        Err(failure) => failed(&failure),
    };
    allow_origin(response.headers_mut(), origin);
    response
}

fn taken(answer: &Answer) -> Response {
    let rejected = answer.rejected.iter().map(|rejection| Rejected {
        index: rejection.index,
        count: rejection.count,
        reason: rejection.reason.to_string(),
        code: rejection.reason.code(),
    });
    json(
        StatusCode::OK,
        &Taken {
            success: true,
            accepted: answer.accepted,
            duplicates: answer.duplicates,
            conflicts: answer.conflicts,
            rejected: rejected.collect(),
        },
    )
}

fn failed(failure: &Failure) -> Response {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::Encoding => closing(refusal_json(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding is none of gzip, identity",
            None,
        )),
        Failure::TooSlow => closing(refusal_json(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
            None,
        )),
        Failure::CutOff => {
            closing(refusal_json(StatusCode::BAD_REQUEST, "the body was cut off", None))
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unauthorized { .. } => {
            let mut response = refusal_json(StatusCode::UNAUTHORIZED, &text, None);
            let basic = HeaderValue::from_static("Basic realm=\"tradewind\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, basic);
            response
        }
        Refusal::Unreadable { kept_bytes, .. } => {
            refusal_json(StatusCode::BAD_REQUEST, &text, Some(*kept_bytes > 0))
        }
        Refusal::Busy { .. } => retry(StatusCode::TOO_MANY_REQUESTS, &text, RETRY_AFTER_BUSY_S),
        Refusal::Unavailable { .. } => {
            retry(StatusCode::SERVICE_UNAVAILABLE, &text, RETRY_AFTER_UNAVAILABLE_S)
        }
    }
}

fn retry(status: StatusCode, text: &str, seconds: u32) -> Response {
    let mut response = refusal_json(status, text, None);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(RATE_LIMIT_RESET, HeaderValue::from(seconds));
    response
}

/// Asks for the connection to be closed: what is left of the body is not read.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refusal_json(status: StatusCode, error: &str, kept: Option<bool>) -> Response {
    json(status, &Refused { success: false, error, kept })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("structs of numbers and texts always serialise");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Write keys are no secrets and there are no cookies: any page may send, and `sendBeacon` sends
/// with credentials, which browsers allow only to an origin that is named.
fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let exposed = HeaderValue::from_static("retry-after, x-ratelimit-reset");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// The answer to a browser that asks whether it may send.
pub(super) async fn preflight(asked: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_origin(headers, asked.get(ORIGIN).cloned());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(HEADERS_ALLOWED);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    response
}
