//! Dead letters that are tried again: once, whole, and whatever the power does.

use crate::support::memory_log::Fate;
use crate::support::{Store, batch, event, post, runtime, send};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tradewind_collect::{
    CollectParts, CollectSettings, Collector, Retried, Retries, RetryError, RetryRequest, WriteKey,
};
use tradewind_disk::SimDisk;
use tradewind_log::{LogSettings, LogStore};
use tradewind_types::event::{EVENTS_TOPIC, iso8601};
use tradewind_types::{Log, ManualClock};

fn again(letter: i64) -> RetryRequest {
    RetryRequest { letter, body: None, source: None }
}

fn corrected(letter: i64, body: &Value) -> RetryRequest {
    RetryRequest { letter, body: Some(body.to_string()), source: None }
}

/// An event that nobody did, as a batch's only one.
fn nobodys(message_id: &str) -> Value {
    json!({"type": "track", "event": "Seen", "messageId": message_id})
}

#[test]
fn a_letter_is_taken_in_once_when_it_is_fit_and_stays_when_it_is_not() {
    let store = Store::new();
    store.life(async |collector| {
        let body = batch(&[event("m1", "v"), nobodys("m2")]);
        assert_eq!(send(&collector, post("/v1/batch", body)).await.counts(), (1, 0, 1));
        let retries = Retries::open(&store.parts(), collector.clone()).await.unwrap();
        let unfit = retries.retry(&again(0)).await.unwrap_err();
        assert_eq!(unfit.to_string(), "\"userId\" or \"anonymousId\" is required");
        let mended = corrected(0, &event("m2", "v"));
        let taken = Retried { letter: 0, accepted: 1, duplicates: 0 };
        assert_eq!(retries.retry(&mended).await.unwrap(), taken);
        for request in [mended, again(0)] {
            let before = retries.retry(&request).await.unwrap_err();
            assert!(before.to_string().contains("was taken in at"), "{before}");
        }
        let gone = retries.retry(&again(7)).await.unwrap_err();
        assert!(matches!(gone, RetryError::Gone { letter: 7 }));
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
    // It is remembered over a restart, too.
    store.life(async |collector| {
        let retries = Retries::open(&store.parts(), collector).await.unwrap();
        let before = retries.retry(&again(0)).await.unwrap_err();
        assert!(matches!(before, RetryError::Before { .. }), "{before}");
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
}

#[test]
fn events_keep_the_time_of_the_letter_and_get_ids_that_follow_from_it() {
    let store = Store::new();
    store.life(async |collector| {
        let reply =
            send(&collector, post("/v1/track", r#"{"event":"Seen","anonymousId":"v""#)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let retries = Retries::open(&store.parts(), collector.clone()).await.unwrap();
        store.clock.advance_us(3_600_000_000);
        let sent = "2026-11-21T08:30:05Z";
        let happened = "2026-11-21T08:30:02Z";
        let body =
            json!({"event": "Seen", "anonymousId": "v", "sentAt": sent, "timestamp": happened});
        retries.retry(&corrected(0, &body)).await.unwrap();
    });
    let events = store.events();
    assert_eq!(events[0]["message_id"], "letter-0-0");
    // Three seconds before it came, by the clock that took it then.
    assert_eq!(events[0]["event_time"], "2026-11-21T08:29:57.000000Z");
    assert_eq!(events[0]["received_at"], "2026-11-21T09:30:00.000000Z");
}

#[test]
fn a_batch_is_taken_in_whole_or_not_at_all_and_pipelines_letters_are_not_ours() {
    let store = Store::new();
    store.life(async |collector| {
        send(&collector, post("/v1/batch", "{\"batch\":[")).await;
        let position = Some(("orders".to_owned(), 0, 3));
        let letter = tradewind_types::DeadLetter {
            store_id: "default".into(),
            source: "pipeline:orders".into(),
            reason: "no number".into(),
            raw: "{}".into(),
            received_at: 0,
            position,
        };
        collector.dead_letter(letter).await.unwrap();
        let retries = Retries::open(&store.parts(), collector.clone()).await.unwrap();
        let half = json!({"batch": [event("m1", "v"), nobodys("m2")]});
        let unfit = retries.retry(&corrected(0, &half)).await.unwrap_err().to_string();
        assert!(unfit.starts_with("event 1: "), "{unfit}");
        let whole = json!({"batch": [event("m1", "v"), event("m2", "w")]});
        assert_eq!(retries.retry(&corrected(0, &whole)).await.unwrap().accepted, 2);
        let other = retries.retry(&again(1)).await.unwrap_err().to_string();
        assert!(other.contains("a pipeline could not read it"), "{other}");
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
}

#[test]
fn a_store_with_several_sources_is_asked_which() {
    let mut store = Store::new();
    for (key, source) in [("a", "web"), ("b", "app")] {
        let owner =
            WriteKey { store_id: "default".into(), source: source.into(), bearer_token: None };
        store.settings.write_keys.insert(key.into(), owner);
    }
    store.life(async |collector| {
        let body = json!({"writeKey": "a", "event": "Seen", "messageId": "m"}).to_string();
        send(&collector, post("/v1/track", body)).await;
        let retries = Retries::open(&store.parts(), collector.clone()).await.unwrap();
        let mended = corrected(0, &event("m", "v"));
        let unfit = retries.retry(&mended).await.unwrap_err().to_string();
        assert!(unfit.contains("app, web"), "{unfit}");
        retries.retry(&RetryRequest { source: Some("web".into()), ..mended }).await.unwrap();
    });
    assert_eq!(store.events()[0]["source"], "web");
}

async fn until(it_is: impl Fn() -> bool) {
    while !it_is() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_was_begun_and_refused_is_finished_by_the_same_bytes() {
    for fate in [Fate::DiskReserve, Fate::Busy] {
        let store = Store::new();
        store.life(async |collector| {
            send(&collector, post("/v1/batch", batch(&[nobodys("m1")]))).await;
            let retries = Arc::new(Retries::open(&store.parts(), collector.clone()).await.unwrap());
            // The note that it is begun passes; the append after it meets its fate.
            store.log.hold();
            let task = tokio::spawn({
                let retries = retries.clone();
                async move { retries.retry(&corrected(0, &event("m1", "v"))).await }
            });
            let appends = store.log.appends();
            until(|| store.log.appends() == appends + 1).await;
            let busy = retries.retry(&again(0)).await.unwrap_err().to_string();
            assert!(busy.contains("is being taken in"), "{busy}");
            store.log.let_pass(1);
            until(|| store.log.appends() == appends + 2).await;
            store.log.next_fate(fate);
            store.log.let_pass(1_000);
            let refused = task.await.unwrap().unwrap_err();
            assert!(matches!(refused, RetryError::Refused(_)), "{refused}");
            // Another body is not taken in its place: its events may be in the log.
            let other = corrected(0, &event("other", "v"));
            assert_eq!(retries.retry(&other).await.unwrap().accepted, 1);
        });
        assert_eq!(store.message_ids(), ["m1"], "{fate:?}");
    }
}

/// A life of a collector over a disk that may lose power in it.
async fn life(
    disk: &Arc<SimDisk>,
    clock: &Arc<ManualClock>,
) -> Option<(LogStore, Arc<Collector>, Retries)> {
    let log =
        LogStore::open(disk.clone(), Path::new("/data/log"), LogSettings::default(), clock.clone());
    let (log, _) = log.ok()?;
    let parts = CollectParts {
        log: Arc::new(log.clone()),
        disk: disk.clone(),
        dir: "/data/collect".into(),
        clock: clock.clone(),
        settings: CollectSettings { event_partitions: 1, ..CollectSettings::default() },
    };
    let collector = Collector::open(parts.clone()).await.ok()?;
    let retries = Retries::open(&parts, collector.clone()).await.ok()?;
    Some((log, collector, retries))
}

#[test]
fn a_letter_is_there_once_whenever_the_power_fails() {
    let (mut finished_by_a_start, mut cut) = (0, 0);
    for after in 1..60 {
        let disk = SimDisk::new(after);
        let clock = Arc::new(ManualClock::at(iso8601::parse("2026-11-21T08:00:00Z").unwrap()));
        runtime().block_on(async {
            let (_, collector, retries) = life(&disk, &clock).await.unwrap();
            send(&collector, post("/v1/batch", batch(&[nobodys("m1")]))).await;
            disk.cut_power_after(after);
            let answered = retries.retry(&corrected(0, &event("m1", "v"))).await.is_ok();
            let _ = collector.close().await;
            cut += u64::from(!disk.powered());
            assert!(answered || !disk.powered(), "cut after {after}");
        });
        disk.power_on();
        let ids = runtime().block_on(async {
            let (log, _collector, retries) = life(&disk, &clock).await.unwrap();
            match retries.retry(&corrected(0, &event("m1", "v"))).await {
                Ok(retried) => assert_eq!(retried.accepted, 1, "cut after {after}"),
                Err(RetryError::Before { .. }) => finished_by_a_start += 1,
                Err(error) => panic!("cut after {after}: {error}"),
            }
            log.read(EVENTS_TOPIC, 0, 0, 1 << 20).await.unwrap().len()
        });
        assert_eq!(ids, 1, "cut after {after}");
    }
    assert!(cut > 3 && finished_by_a_start > 3, "{cut} cuts, {finished_by_a_start} finished");
}

#[test]
fn what_was_begun_too_long_ago_is_in_doubt_and_says_so() {
    let disk = SimDisk::new(3);
    let clock = Arc::new(ManualClock::at(iso8601::parse("2026-11-21T08:00:00Z").unwrap()));
    let mut doubts = 0;
    // The disk is full from somewhere in the retry on, for two days.
    runtime().block_on(async {
        let (log, collector, retries) = life(&disk, &clock).await.unwrap();
        send(&collector, post("/v1/batch", batch(&[nobodys("m1")]))).await;
        let begun = json!({"letter": 0, "state": "begun", "tried_at": "2026-11-21T08:00:00.000000Z",
            "store_id": "default", "source": "http", "endpoint": "batch",
            "letter_received_at": "2026-11-21T08:00:00.000000Z", "body_base64": "e30="});
        let record = tradewind_types::Record {
            timestamp_ms: 0,
            key: Some("0".into()),
            value: Some(begun.to_string().into()),
            headers: Vec::new(),
        };
        log.append("dead_letter_retries", 0, vec![record]).await.unwrap();
        drop(retries);
        collector.close().await.unwrap();
    });
    clock.advance_us(48 * 3_600_000_000);
    for _ in 0..2 {
        runtime().block_on(async {
            let (_, _collector, retries) = life(&disk, &clock).await.unwrap();
            let error = retries.retry(&again(0)).await.unwrap_err().to_string();
            doubts += i32::from(error.contains("nobody can tell"));
        });
    }
    assert_eq!(doubts, 2);
}
