//! Reading a request's body: within a size, a time and the bytes there is room for.
//!
//! Guarantees: memory grows with what has arrived, never with what a header claims; a gzip body
//! is inflated no further than the limit. Of a body that is too large the first bytes are kept.
//! Left out: encodings other than gzip, which are refused.

use super::answer::Failure;
use crate::budget::Reservation;
use crate::collector::IN_FLIGHT;
use crate::settings::{BATCH_BYTES_MAX, RAW_BYTES_MAX};
use axum::http::HeaderValue;
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use std::io::Read;
use std::time::Duration;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// A body as far as it was read.
#[derive(Debug)]
pub(super) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// Its first bytes, as many as a dead letter holds: it is larger than any request may be.
    TooLarge(Vec<u8>),
    /// Its bytes, and why they cannot be inflated.
    Unreadable(Vec<u8>, String),
}

pub(super) fn encoding(header: Option<&HeaderValue>) -> Result<Encoding, Failure> {
    let Some(header) = header else { return Ok(Encoding::Plain) };
    match header.to_str().unwrap_or("").trim() {
        text if text.is_empty() || text.eq_ignore_ascii_case("identity") => Ok(Encoding::Plain),
        text if text.eq_ignore_ascii_case("gzip") || text.eq_ignore_ascii_case("x-gzip") => {
            Ok(Encoding::Gzip)
        }
        _ => Err(Failure::Encoding),
    }
}

/// Reads a body, taking room for its bytes as they arrive.
pub(super) async fn read(
    body: axum::body::Body,
    reservation: &Reservation,
    timeout_ms: u64,
) -> Result<Body, Failure> {
    let reading = read_all(body, reservation);
    match tokio::time::timeout(Duration::from_millis(timeout_ms), reading).await {
        Ok(result) => result,
        Err(_) => Err(Failure::TooSlow),
    }
}

async fn read_all(body: axum::body::Body, reservation: &Reservation) -> Result<Body, Failure> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Failure::CutOff)?;
        if bytes.len() + chunk.len() > BATCH_BYTES_MAX {
            let room = RAW_BYTES_MAX.saturating_sub(bytes.len()).min(chunk.len());
            bytes.extend_from_slice(&chunk[..room]);
            bytes.truncate(RAW_BYTES_MAX);
            return Ok(Body::TooLarge(bytes));
        }
        if !reservation.grow(chunk.len()) {
            return Err(IN_FLIGHT.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body::Whole(bytes))
}

/// Inflates a gzip body of any number of members.
pub(super) fn inflate(sent: Vec<u8>) -> Body {
    let mut inflated = Vec::new();
    let mut limited = MultiGzDecoder::new(sent.as_slice()).take(BATCH_BYTES_MAX as u64 + 1);
    match limited.read_to_end(&mut inflated) {
        Ok(_) if inflated.len() > BATCH_BYTES_MAX => {
            inflated.truncate(RAW_BYTES_MAX);
            Body::TooLarge(inflated)
        }
        Ok(_) => Body::Whole(inflated),
        Err(error) => Body::Unreadable(sent, format!("the body is not gzip: {error}")),
    }
}
