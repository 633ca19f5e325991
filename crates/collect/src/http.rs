//! The tracking API over HTTP: Segment's paths, keys, limits and answers.
//!
//! Guarantees: 200 only when everything the answer counts is durable; a request costs at most its
//! reserved bytes, whatever its headers claim; each way of failing has one answer (see `answer`).
//! Left out: TLS, connection limits and header timeouts, which belong to the server.

mod answer;
mod body;

use crate::arrival::{Answer, Arrival, Credentials};
use crate::collector::{Collector, IN_FLIGHT};
use crate::refusal::Refusal;
use crate::request::{Endpoint, Kind};
use crate::settings::BATCH_BYTES_MAX;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, header::ORIGIN};
use axum::response::Response;
use axum::routing::{MethodRouter, options};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use body::Body;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Longest `User-Agent` kept, in characters: browsers' have about 120.
const USER_AGENT_CHARS_MAX: usize = 512;

/// The routes of the tracking API. With `into_make_service_with_connect_info::<SocketAddr>()` the
/// client's address is known; without it `context.ip` is not filled in.
///
/// Beside `/v1/track` and its sisters there are the one-letter paths (`/v1/t`, `/v1/b`) that
/// Segment's browser library sends to.
pub fn router(collector: Arc<Collector>) -> Router {
    let mut router = Router::new();
    for kind in Kind::ALL {
        let name = kind.name();
        let endpoint = Endpoint::One(kind);
        router = router
            .route(&format!("/v1/{name}"), routes(endpoint))
            .route(&format!("/v1/{}", &name[..1]), routes(endpoint));
    }
    router
        .route("/v1/batch", routes(Endpoint::Batch))
        .route("/v1/b", routes(Endpoint::Batch))
        .with_state(collector)
}

fn routes(endpoint: Endpoint) -> MethodRouter<Arc<Collector>> {
    options(answer::preflight).post(
        move |State(collector): State<Arc<Collector>>, request: Request| async move {
            post(&collector, endpoint, request).await
        },
    )
}

async fn post(collector: &Collector, endpoint: Endpoint, request: Request) -> Response {
    let started = Instant::now();
    let origin = request.headers().get(ORIGIN).cloned();
    let result = take(collector, endpoint, request).await;
    let response = answer::response(result, origin);
    let status = response.status().as_u16().to_string();
    metrics::histogram!(
        "tradewind_collect_request_seconds",
        "endpoint" => endpoint.name(),
        "status" => status
    )
    .record(started.elapsed().as_secs_f64());
    metrics::gauge!("tradewind_collect_in_flight_bytes").set(collector.in_flight_bytes() as f64);
    response
}

async fn take(
    collector: &Collector,
    endpoint: Endpoint,
    request: Request,
) -> Result<Answer, answer::Failure> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let mut arrival = Arrival {
        endpoint,
        body: Vec::new(),
        credentials: credentials(&parts.headers)?,
        ip: client_ip(&parts.headers, peer, collector.settings().trust_forwarded_for),
        user_agent: user_agent(&parts.headers),
    };
    collector.admit(&arrival.credentials)?;
    let encoding = body::encoding(parts.headers.get(CONTENT_ENCODING))?;
    let reservation = collector.reservation();
    let timeout_ms = collector.settings().body_timeout_ms;
    let sent = body::read(body, &reservation, timeout_ms).await?;
    let inflated = match sent {
        Body::Whole(sent) if encoding == body::Encoding::Gzip => body::inflate(sent),
        other => other,
    };
    let (raw, reason, cut) = match inflated {
        Body::Whole(whole) => {
            if encoding == body::Encoding::Gzip && !reservation.grow(whole.len()) {
                return Err(IN_FLIGHT.into());
            }
            arrival.body = whole;
            return Ok(collector.collect_reserved(arrival, reservation).await?);
        }
        Body::TooLarge(start) => {
            (start, format!("the body has more than {BATCH_BYTES_MAX} bytes"), true)
        }
        Body::Unreadable(raw, reason) => (raw, reason, false),
    };
    Ok(collector.unreadable_input(&arrival, &raw, reason, cut).await?)
}

/// What `Authorization` says. A scheme nobody knows says nothing: the body may hold the key.
fn credentials(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let mut credentials = Credentials::default();
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(credentials) };
    let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return Ok(credentials);
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        credentials.bearer_token = Some(rest.trim().to_owned());
    } else if scheme.eq_ignore_ascii_case("basic") {
        credentials.write_key = Some(basic_write_key(rest.trim())?);
    }
    Ok(credentials)
}

/// The user name of Basic authentication; whatever stands for a password is not looked at.
fn basic_write_key(encoded: &str) -> Result<String, Refusal> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or(Refusal::Unauthorized {
        reason: "Authorization: Basic is not base64 of \"<write key>:\"",
    })?;
    let (key, _) = decoded.split_once(':').ok_or(Refusal::Unauthorized {
        reason: "Authorization: Basic needs a colon after the write key",
    })?;
    Ok(key.to_owned())
}

/// The address of whoever sent the request, as far as it can be told.
fn client_ip(headers: &HeaderMap, peer: Option<SocketAddr>, forwarded: bool) -> Option<String> {
    if forwarded
        && let Some(value) = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok())
        && let Some(first) = value.split(',').next()
        && let Ok(ip) = first.trim().parse::<std::net::IpAddr>()
    {
        return Some(ip.to_string());
    }
    peer.map(|peer| peer.ip().to_canonical().to_string())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT).map(HeaderValue::as_bytes).map(String::from_utf8_lossy)?;
    let text: String = text.chars().take(USER_AGENT_CHARS_MAX).collect();
    (!text.is_empty()).then_some(text)
}
