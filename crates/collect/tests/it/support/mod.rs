//! What the tests stand on: a log in memory that can fail, and a collector on top of it.

pub(crate) mod memory_log;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use memory_log::MemoryLog;
use serde_json::Value;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use tower::ServiceExt;
use tradewind_collect::{CollectParts, CollectSettings, Collector, http};
use tradewind_disk::{Disk, OsDisk};
use tradewind_types::ManualClock;
use tradewind_types::event::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC, iso8601};

pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// A store's collector that can be killed and started again.
pub(crate) struct Store {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: CollectSettings,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            log: MemoryLog::new(),
            disk: Arc::new(OsDisk),
            dir: folder.path().to_owned(),
            clock: Arc::new(ManualClock::at(iso8601::parse("2026-11-21T08:30:00Z").unwrap())),
            settings: CollectSettings { event_partitions: 2, ..CollectSettings::default() },
            _folder: folder,
        }
    }

    pub(crate) fn parts(&self) -> CollectParts {
        CollectParts {
            log: self.log.clone(),
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
        }
    }

    /// Runs one life of the collector; at its end everything it has not finished is dropped, as
    /// by a kill.
    pub(crate) fn life<F: Future<Output = T>, T>(
        &self,
        run: impl FnOnce(Arc<Collector>) -> F,
    ) -> T {
        runtime().block_on(async {
            let collector = Collector::open(self.parts()).await.unwrap();
            run(collector).await
        })
    }

    /// The events in the log, by partition and offset.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.log.values(EVENTS_TOPIC)
    }

    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        self.log.values(DEAD_LETTERS_TOPIC)
    }

    /// The message ids in the log, sorted.
    pub(crate) fn message_ids(&self) -> Vec<String> {
        let text = |event: &Value| event["message_id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = self.events().iter().map(text).collect();
        ids.sort();
        ids
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An answer with its body read.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn counts(&self) -> (u64, u64, usize) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.body["success"], true);
        let number = |name: &str| self.body[name].as_u64().unwrap();
        (number("accepted"), number("duplicates"), self.body["rejected"].as_array().unwrap().len())
    }
}

pub(crate) async fn send(collector: &Arc<Collector>, request: Request<Body>) -> Reply {
    read(http::router(collector.clone()).oneshot(request).await.unwrap()).await
}

pub(crate) async fn read(response: Response<Body>) -> Reply {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Reply { status, headers, body }
}

/// A POST of JSON text.
pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

pub(crate) async fn track(collector: &Arc<Collector>, message_id: &str, visitor: &str) -> Reply {
    send(collector, post("/v1/track", event(message_id, visitor).to_string())).await
}

pub(crate) fn event(message_id: &str, visitor: &str) -> Value {
    serde_json::json!({
        "type": "track", "event": "Seen", "messageId": message_id, "anonymousId": visitor,
        "properties": {"n": 1},
    })
}

pub(crate) fn batch(events: &[Value]) -> String {
    serde_json::json!({ "batch": events }).to_string()
}

pub(crate) fn raw_of(dead_letter: &Value) -> Vec<u8> {
    let text = dead_letter["raw_base64"].as_str().unwrap();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
