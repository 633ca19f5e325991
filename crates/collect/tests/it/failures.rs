//! Appends that fail, queues that are full, clients that leave.

use crate::support::memory_log::Fate;
use crate::support::{HOUR_US, Store, batch, event, post, send, track};
use axum::http::StatusCode;
use std::sync::Arc;
use tradewind_collect::{CollectError, Collector};
use tradewind_disk::SimDisk;

#[test]
fn a_refused_append_forgets_its_ids_so_that_a_retry_is_taken() {
    for (fate, status) in [
        (Fate::DiskReserve, StatusCode::SERVICE_UNAVAILABLE),
        (Fate::Busy, StatusCode::TOO_MANY_REQUESTS),
    ] {
        let store = Store::new();
        store.life(async |collector| {
            store.log.next_fate(fate);
            let reply = track(&collector, "m1", "v").await;
            assert_eq!(reply.status, status);
            assert!(reply.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
            assert_eq!(track(&collector, "m1", "v").await.counts(), (1, 0, 0));
        });
        assert_eq!(store.message_ids(), ["m1"]);
    }
}

#[test]
fn after_an_unknown_outcome_a_restart_decides_and_the_retry_is_stored_once() {
    for fate in [Fate::FailedButKept, Fate::FailedAndLost] {
        let mut store = Store::new();
        store.settings.event_partitions = 1;
        store.life(async |collector| {
            track(&collector, "m0", "v").await.counts();
            store.log.next_fate(fate);
            let reply = track(&collector, "m1", "v").await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(
                reply.body["error"].as_str().unwrap().contains("until the server is restarted")
            );
            for id in ["m1", "m0", "m2"] {
                let reply = track(&collector, id, "v").await;
                assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{id} was answered");
            }
            collector.close().await.unwrap();
        });
        store.log.restart();
        store.life(async |collector| {
            let expected = if fate == Fate::FailedButKept { (0, 1, 0) } else { (1, 0, 0) };
            assert_eq!(track(&collector, "m1", "v").await.counts(), expected);
            assert_eq!(track(&collector, "m0", "v").await.counts(), (0, 1, 0));
        });
        assert_eq!(store.message_ids(), ["m0", "m1"], "{fate:?}");
    }
}

#[test]
fn one_partition_offline_leaves_the_others_alone() {
    let mut store = Store::new();
    store.settings.event_partitions = 8;
    store.life(async |collector| {
        store.log.next_fate(Fate::FailedAndLost);
        track(&collector, "m", "v0").await;
        let mut taken = 0;
        for visitor in 0..50 {
            let reply = track(&collector, "m", &format!("w{visitor}")).await;
            taken += usize::from(reply.status == StatusCode::OK);
        }
        assert!((25..50).contains(&taken), "{taken} of 50");
    });
}

#[test]
fn rejected_events_are_not_answered_before_they_are_dead_letters() {
    let store = Store::new();
    store.life(async |collector| {
        store.log.next_fate(Fate::DiskReserve);
        let reply = send(&collector, post("/v1/track", "{\"event\":\"E\"}")).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        store.log.next_fate(Fate::FailedAndLost);
        let reply = send(&collector, post("/v1/track", "{\"event\":")).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        let reply = send(&collector, post("/v1/track", "{\"event\":")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    });
    assert_eq!(store.dead_letters().len(), 1);
}

/// Sends `count` requests at once while the log stands still; the answers once it goes on.
async fn pile_up(store: &Store, collector: &Arc<Collector>, count: usize) -> Vec<StatusCode> {
    store.log.hold();
    let mut sending = Vec::new();
    for number in 0..count {
        let collector = collector.clone();
        let mut event = event(&format!("m{number}"), "v");
        event["properties"]["pad"] = "x".repeat(4_000).into();
        let request = post("/v1/batch", batch(&[event]));
        sending.push(tokio::spawn(async move { send(&collector, request).await.status }));
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    store.log.let_pass(1_000);
    let mut statuses = Vec::new();
    for one in sending {
        statuses.push(one.await.unwrap());
    }
    statuses
}

fn check_pile(store: &Store, statuses: &[StatusCode]) {
    let taken = statuses.iter().filter(|status| **status == StatusCode::OK).count();
    let refused =
        statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!(taken + refused, statuses.len(), "{statuses:?}");
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    assert_eq!(store.events().len(), taken);
}

#[test]
fn bytes_under_way_are_bounded() {
    let mut store = Store::new();
    store.settings.in_flight_bytes_max = 64 * 1024;
    store.life(async |collector| {
        let statuses = pile_up(&store, &collector, 60).await;
        check_pile(&store, &statuses);
        assert_eq!(collector.in_flight_bytes(), 0, "all room came back");
        assert_eq!(track(&collector, "later", "v").await.counts(), (1, 0, 0));
    });
}

#[test]
fn bytes_waiting_for_a_partition_are_bounded() {
    let mut store = Store::new();
    store.settings.queue_bytes_max = 32 * 1024;
    store.life(async |collector| {
        let statuses = pile_up(&store, &collector, 60).await;
        check_pile(&store, &statuses);
    });
}

#[test]
fn a_client_that_leaves_neither_loses_nor_leaks() {
    let store = Store::new();
    store.life(async |collector| {
        store.log.hold();
        let sending = {
            let collector = collector.clone();
            tokio::spawn(async move { track(&collector, "m1", "v").await })
        };
        while store.log.appends() == 0 {
            tokio::task::yield_now().await;
        }
        sending.abort();
        let _ = sending.await;
        store.log.let_pass(10);
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        assert_eq!(collector.in_flight_bytes(), 0);
    });
    assert_eq!(store.message_ids(), ["m1"]);
}

#[test]
fn a_batch_cannot_repeat_a_large_context_without_end() {
    let store = Store::new();
    store.life(async |collector| {
        let events: Vec<_> = (0..2_500).map(|number| event(&number.to_string(), "v")).collect();
        let body = serde_json::json!({"batch": events, "context": {"pad": "x".repeat(30_000)}});
        let reply = send(&collector, post("/v1/batch", body.to_string())).await;
        let (accepted, _, rejected) = reply.counts();
        assert_eq!(accepted as usize + rejected, 2_500);
        assert!((200..300).contains(&accepted), "{accepted} accepted");
        assert_eq!(reply.body["rejected"][0]["code"], "request_too_large");
    });
    assert_eq!(store.dead_letters().len() + store.events().len(), 2_500);
}

/// A store whose deduplication state lies on a disk of its own, which can lose power.
fn with_sim_disk(dedup_ids_max: u64) -> (Store, Arc<SimDisk>) {
    let mut store = Store::new();
    let disk = SimDisk::new(1);
    store.disk = disk.clone();
    store.dir = "/collect".into();
    store.settings.event_partitions = 1;
    store.settings.dedup_ids_max = dedup_ids_max;
    (store, disk)
}

#[test]
fn without_its_disk_deduplication_goes_on_in_memory() {
    let (store, disk) = with_sim_disk(1_000);
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        disk.cut_power_after(1);
        for hour in 0..3 {
            store.clock.advance_us(HOUR_US);
            assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
            assert_eq!(track(&collector, &format!("h{hour}"), "v").await.counts(), (1, 0, 0));
        }
        collector.close().await.unwrap();
    });
    disk.power_on();
    store.life(async |collector| {
        for id in ["m1", "h0", "h1", "h2"] {
            assert_eq!(track(&collector, id, "v").await.counts(), (0, 1, 0), "{id}");
        }
    });
}

#[test]
fn ids_that_cannot_be_written_down_are_bounded() {
    let (store, disk) = with_sim_disk(40);
    store.life(async |collector| {
        disk.cut_power_after(1);
        let mut taken = 0;
        while track(&collector, &format!("m{taken}"), "v").await.status == StatusCode::OK {
            taken += 1;
            assert!(taken < 100, "memory has no bound");
        }
        assert_eq!(taken, 40);
        let reply = track(&collector, "m40", "v").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        disk.power_on();
        assert_eq!(track(&collector, "m40", "v").await.counts(), (1, 0, 0));
        assert_eq!(track(&collector, "m40", "v").await.counts(), (0, 1, 0));
    });
    assert_eq!(store.events().len(), 41);
}

#[test]
fn a_panic_in_an_appender_ends_one_partition() {
    let mut store = Store::new();
    store.settings.event_partitions = 8;
    store.life(async |collector| {
        store.log.next_fate(Fate::Panic);
        let reply = track(&collector, "m", "v0").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        let reply = track(&collector, "m", "v0").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        let mut taken = 0;
        for visitor in 0..50 {
            let reply = track(&collector, "m", &format!("w{visitor}")).await;
            taken += usize::from(reply.status == StatusCode::OK);
        }
        assert!((25..50).contains(&taken), "{taken} of 50");
        let error = collector.close().await.unwrap_err();
        assert!(matches!(error, CollectError::Panicked { .. }), "{error}");
    });
}
