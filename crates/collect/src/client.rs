//! The sending side of the tracking API: batches over a few kept-alive connections.
//!
//! Guarantees: a batch counts as sent only when the server answered it with 200; whatever may pass
//! (no connection, 408, 429, 5xx) is tried again with backoff, honouring `Retry-After`, for a
//! bounded time. Trying again is safe because the server drops a `messageId` it has seen.
//! Left out: TLS, and batches of different connections keep no order among themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use serde::Deserialize;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::settings::BATCH_EVENTS_MAX;

mod pool;
pub use pool::{Done, Pool};

/// Bytes of one batch request: below the tracking API's 500 KB, whichever way its reader rounds.
pub const BATCH_BYTES_MAX: usize = 480_000;
/// Bytes read of one answer: 2,500 reasons of a few hundred bytes fit.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest an answer may take: a group fsync on a slow disk is far below it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause before trying again; it doubles from there.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest pause of our own making: a server that has come back waits no longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The longest pause a server may ask for; a wrong `Retry-After` must not park a replay for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How often a pause looks whether it should end early.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The server, as `http://host:port`.
    pub url: String,
    /// The write key; the server derives store and source from it.
    pub write_key: String,
    /// Connections used at a time. With one, batches arrive in the order they were made.
    pub connections: usize,
    /// Compress request bodies with gzip: worth it over a network, not over loopback.
    pub gzip: bool,
    /// How long one batch is tried again before giving up.
    pub retry_for: Duration,
}

impl ClientSettings {
    /// Four connections, no compression, one minute of patience.
    pub fn new(url: impl Into<String>, write_key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            write_key: write_key.into(),
            connections: 4,
            gzip: false,
            retry_for: Duration::from_secs(60),
        }
    }
}

/// Why a batch was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The URL is not one we can send to.
    #[error("url {url:?}: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server read the batch and will not have it; trying again would not help.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// The endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// Tried until the patience ran out.
    #[error("{url}: gave up after {seconds} s and {attempts} attempts: {reason}")]
    GaveUp {
        /// The endpoint.
        url: String,
        /// Seconds spent on this batch.
        seconds: u64,
        /// Requests made for this batch.
        attempts: u64,
        /// What went wrong last.
        reason: String,
    },
    /// The caller asked to stop before the batch was accepted.
    #[error("stopped before the batch was accepted")]
    Stopped,
}

/// What the server said about a batch it answered with 200.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Events that are new and durable now.
    pub accepted: u64,
    /// Events the server already had.
    pub duplicates: u64,
    /// Of the duplicates, events whose content differs from what the server has.
    #[serde(default)]
    pub conflicts: u64,
    /// Events it would not take; they are in its dead letters.
    pub rejected: Vec<Rejection>,
}

/// Events of a batch that were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rejection {
    /// The first one's place in the batch, from 0.
    pub index: usize,
    /// How many in a row; the answer leaves out one.
    #[serde(default = "one")]
    pub count: usize,
    /// What was wrong with them.
    pub reason: String,
}

fn one() -> usize {
    1
}

/// The body of one batch request, filled with events already rendered as JSON.
#[derive(Debug, Default)]
pub struct BatchBody {
    bytes: Vec<u8>,
    events: usize,
}

impl BatchBody {
    const HEAD: &'static [u8] = br#"{"batch":["#;
    const TAIL: &'static [u8] = b"]}";

    /// Whether one more event of `event_bytes` would still fit the API's limits.
    pub fn fits(&self, event_bytes: usize) -> bool {
        let after = self.bytes.len() + event_bytes + 1 + Self::TAIL.len();
        self.events == 0 || (after <= BATCH_BYTES_MAX && self.events < BATCH_EVENTS_MAX)
    }

    /// Adds one event, a JSON object.
    pub fn push(&mut self, event: &[u8]) {
        self.bytes.extend_from_slice(if self.events == 0 { Self::HEAD } else { b"," });
        self.bytes.extend_from_slice(event);
        self.events += 1;
    }

    /// Events in it.
    pub fn events(&self) -> usize {
        self.events
    }

    /// The finished request body; the next batch starts empty.
    pub fn take(&mut self) -> Vec<u8> {
        self.events = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(Self::TAIL);
        bytes
    }
}

/// One kept-alive connection to the tracking API. Cheap to make, one for each thread.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    endpoint: String,
    authorization: String,
    gzip: bool,
    retry_for: Duration,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Client {
    /// A client that gives up early once `stop` is set. Connects on first use.
    pub fn new(settings: &ClientSettings, stop: Arc<AtomicBool>) -> Result<Self, ClientError> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_per_call(Some(ANSWER_TIMEOUT))
            .max_redirects(0)
            .proxy(None)
            .user_agent("tradewind")
            .build();
        Ok(Self {
            agent: config.into(),
            endpoint: format!("{}/v1/batch", checked_url(&settings.url)?),
            authorization: format!("Basic {}", BASE64.encode(format!("{}:", settings.write_key))),
            gzip: settings.gzip,
            retry_for: settings.retry_for,
            stop,
            trouble: Arc::default(),
        })
    }

    /// What went wrong last, while a batch is being tried again; `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Sends one batch and waits until it is durable, refused, or the patience runs out.
    pub fn send(&self, body: &[u8]) -> Result<Answer, ClientError> {
        let packed = if self.gzip { Some(gzipped(body)) } else { None };
        let body = packed.as_deref().unwrap_or(body);
        let started = Instant::now();
        let mut backoff = BACKOFF_FIRST;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (reason, asked) = match self.attempt(body)? {
                Attempt::Accepted(answer) => {
                    *self.trouble.lock() = None;
                    return Ok(answer);
                }
                Attempt::Later { reason, asked } => (reason, asked),
            };
            if started.elapsed() >= self.retry_for {
                let seconds = started.elapsed().as_secs();
                let url = self.endpoint.clone();
                return Err(ClientError::GaveUp { url, seconds, attempts, reason });
            }
            *self.trouble.lock() = Some(reason);
            self.pause(asked.unwrap_or(backoff))?;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Sends one body once, whatever the server makes of it: for traffic that is meant to be
    /// refused. Returns the HTTP status.
    pub fn send_once(&self, body: &[u8]) -> Result<u16, String> {
        let sent = self.request().send(body).map_err(|error| error.to_string())?;
        Ok(sent.status().as_u16())
    }

    fn request(&self) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        self.agent
            .post(&self.endpoint)
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
    }

    fn attempt(&self, body: &[u8]) -> Result<Attempt, ClientError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ClientError::Stopped);
        }
        let mut request = self.request();
        if self.gzip {
            request = request.header("Content-Encoding", "gzip");
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::later(error.to_string(), None)),
        };
        let status = response.status().as_u16();
        let asked = retry_after(response.headers());
        let text = match response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec() {
            Ok(text) => text,
            Err(error) => return Ok(Attempt::later(format!("answer cut short: {error}"), None)),
        };
        self.judge(status, asked, &text)
    }

    fn judge(
        &self,
        status: u16,
        asked: Option<Duration>,
        text: &[u8],
    ) -> Result<Attempt, ClientError> {
        let message = || excerpt(text);
        match status {
            200 => match serde_json::from_slice(text) {
                Ok(answer) => Ok(Attempt::Accepted(answer)),
                Err(error) => Err(ClientError::Refused {
                    url: self.endpoint.clone(),
                    status,
                    message: format!("an answer that is not ours ({error}): {}", message()),
                }),
            },
            408 | 429 | 500..=599 => {
                Ok(Attempt::later(format!("answered {status}: {}", message()), asked))
            }
            _ => {
                let url = self.endpoint.clone();
                Err(ClientError::Refused { url, status, message: message() })
            }
        }
    }

    fn pause(&self, pause: Duration) -> Result<(), ClientError> {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(ClientError::Stopped);
            }
            std::thread::sleep(left.min(STOP_CHECK));
        }
        Ok(())
    }
}

enum Attempt {
    Accepted(Answer),
    Later { reason: String, asked: Option<Duration> },
}

impl Attempt {
    fn later(reason: String, asked: Option<Duration>) -> Self {
        Self::Later { reason, asked }
    }
}

fn checked_url(url: &str) -> Result<&str, ClientError> {
    let bad = |reason: &str| ClientError::Url { url: url.to_owned(), reason: reason.to_owned() };
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(bad("must start with http://, as in http://127.0.0.1:8080"));
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.is_empty() || host.contains(['/', ' ', '?', '#']) {
        return Err(bad("must be a host and port alone, as in http://127.0.0.1:8080"));
    }
    Ok(url.strip_suffix('/').unwrap_or(url))
}

/// `Retry-After` in seconds, bounded; the date form is not used by our servers and is ignored.
fn retry_after(headers: &ureq::http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// The first line of an answer, short enough for an error message.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().next().unwrap_or("").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_batch_stops_at_the_apis_limits() {
        let mut body = BatchBody::default();
        while body.fits(10) {
            body.push(b"{\"a\":1234}");
        }
        assert_eq!(body.events(), BATCH_EVENTS_MAX);
        let text = body.take();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["batch"].as_array().unwrap().len(), BATCH_EVENTS_MAX);

        let wide = vec![b' '; 30_000];
        while body.fits(wide.len()) {
            body.push(&wide);
        }
        assert_eq!(body.events(), 15);
        assert!(body.take().len() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn urls_are_a_host_and_a_port() {
        assert_eq!(checked_url("http://h:1/").unwrap(), "http://h:1");
        for bad in ["h:1", "https://h:1", "http://", "http://h:1/v1/batch"] {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_ours_or_it_is_not_believed() {
        let ours =
            r#"{"success":true,"accepted":2,"duplicates":0,"rejected":[{"index":3,"reason":"r"}]}"#;
        let answer: Answer = serde_json::from_str(ours).unwrap();
        assert_eq!((answer.accepted, answer.rejected[0].count), (2, 1));
        assert!(serde_json::from_str::<Answer>(r#"{"success":true}"#).is_err());
    }
}
