//! A stand-in for a server's `/v1/batch`: takes events once by `messageId`, and misbehaves on
//! request.
//!
//! Left out: everything about durability. What a sender does with the answers is under test here.

use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What the next request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// 503 with `Retry-After: 0`, nothing taken.
    Busy,
    /// The events are taken, then the connection ends without an answer.
    TakeAndHangUp,
    /// The connection ends before the body is read.
    HangUp,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Events by message id, as their JSON text.
    pub(crate) events: BTreeMap<String, String>,
    /// Message ids in order of arrival, repeats included.
    pub(crate) arrivals: Vec<String>,
    /// Requests answered.
    pub(crate) requests: u64,
    /// `Content-Encoding` and `Authorization` of the last request.
    pub(crate) headers: BTreeMap<String, String>,
    /// Taken from the end.
    pub(crate) tricks: Vec<Trick>,
    /// Message ids that are turned down.
    pub(crate) unwelcome: Vec<String>,
    /// Once this many requests were answered, every further one meets [`Trick::HangUp`].
    pub(crate) requests_max: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Stub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { url, seen }
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(headers) = read_headers(&mut reader) {
        let length: usize = headers["content-length"].parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let Some(answer) = answer(&headers, &body, &mut seen.lock()) else { return };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_headers(reader: &mut impl BufRead) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            return Some(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn answer(headers: &BTreeMap<String, String>, body: &[u8], seen: &mut Seen) -> Option<String> {
    let trick = seen.tricks.pop();
    if trick == Some(Trick::HangUp) || seen.requests_max.is_some_and(|most| seen.requests >= most) {
        return None;
    }
    if trick == Some(Trick::Busy) {
        return Some(http("503 Service Unavailable\r\nRetry-After: 0", r#"{"error":"busy"}"#));
    }
    seen.headers = headers.clone();
    let mut plain = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    let Ok(batch) = serde_json::from_slice::<Value>(&plain) else {
        return Some(http("400 Bad Request", r#"{"error":"not JSON"}"#));
    };
    let taken = take(&batch, seen);
    seen.requests += 1;
    if trick == Some(Trick::TakeAndHangUp) { None } else { Some(http("200 OK", &taken)) }
}

fn take(batch: &Value, seen: &mut Seen) -> String {
    let (mut accepted, mut duplicates, mut rejected) = (0, 0, Vec::new());
    for (index, event) in batch["batch"].as_array().unwrap().iter().enumerate() {
        let id = event["messageId"].as_str().unwrap_or_default().to_owned();
        let complete = (event["event"].is_string() || event["type"] == "page")
            && event["anonymousId"].is_string()
            || event["userId"].is_string();
        if seen.unwelcome.contains(&id) || !complete || event.to_string().len() > 32 * 1024 {
            rejected.push(format!(r#"{{"index":{index},"reason":"unwelcome","code":"no"}}"#));
            continue;
        }
        seen.arrivals.push(id.clone());
        match seen.events.insert(id, event.to_string()) {
            None => accepted += 1,
            Some(_) => duplicates += 1,
        }
    }
    let rejected = rejected.join(",");
    format!(
        r#"{{"success":true,"accepted":{accepted},"duplicates":{duplicates},"rejected":[{rejected}]}}"#
    )
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
