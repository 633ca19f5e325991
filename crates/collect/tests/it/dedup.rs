//! One event is kept once: within a request, across requests, in flight, across restarts.

use crate::support::{HOUR_US, Store, batch, event, post, send, track};
use serde_json::json;
use std::sync::Arc;
use tradewind_collect::{CollectError, Collector};
use tradewind_types::{Log, Record, TopicSpec};

#[test]
fn within_a_request_and_across_requests() {
    let store = Store::new();
    store.life(async |collector| {
        let events = [event("m1", "v"), event("m2", "v"), event("m1", "v")];
        let reply = send(&collector, post("/v1/batch", batch(&events))).await;
        assert_eq!(reply.counts(), (2, 1, 0));
        assert_eq!(track(&collector, "m2", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m3", "v").await.counts(), (1, 0, 0));
    });
    assert_eq!(store.message_ids(), ["m1", "m2", "m3"]);
}

#[test]
fn the_first_of_two_contents_wins_and_the_other_is_counted() {
    let store = Store::new();
    store.life(async |collector| {
        let mut other = event("m1", "v");
        track(&collector, "m1", "v").await.counts();
        other["properties"]["n"] = 2.into();
        let reply = send(&collector, post("/v1/track", other.to_string())).await;
        assert_eq!((reply.counts(), &reply.body["conflicts"]), ((0, 1, 0), &json!(1)));
        let mut resent = event("m1", "v");
        resent["sentAt"] = "2026-11-21T08:31:00Z".into();
        resent["context"] = json!({"network": "wifi"});
        let reply = send(&collector, post("/v1/track", resent.to_string())).await;
        assert_eq!((reply.counts(), reply.body.get("conflicts")), ((0, 1, 0), None));
    });
    assert_eq!(store.events()[0]["properties"]["n"], 1);
    assert_eq!(store.events().len(), 1);
}

#[test]
fn ids_of_different_stores_and_sources_are_different() {
    let mut store = Store::new();
    for (key, store_id, source) in [("a", "s1", "web"), ("b", "s1", "app"), ("c", "s2", "web")] {
        let (store_id, source) = (store_id.into(), source.into());
        let write_key = tradewind_collect::WriteKey { store_id, source, bearer_token: None };
        store.settings.write_keys.insert(key.into(), write_key);
    }
    store.life(async |collector| {
        for key in ["a", "b", "c"] {
            let mut event = event("m1", "v");
            event["writeKey"] = key.into();
            let reply = send(&collector, post("/v1/track", event.to_string())).await;
            assert_eq!(reply.counts(), (1, 0, 0));
        }
    });
    assert_eq!(store.message_ids(), ["m1", "m1", "m1"]);
}

#[test]
fn a_duplicate_of_an_event_in_flight_waits_for_its_fsync() {
    let store = Store::new();
    store.life(async |collector| {
        store.log.hold();
        let spawn = |collector: &Arc<Collector>| {
            let collector = collector.clone();
            tokio::spawn(async move { track(&collector, "m1", "v").await.counts() })
        };
        let first = spawn(&collector);
        while store.log.appends() == 0 {
            tokio::task::yield_now().await;
        }
        let second = spawn(&collector);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!first.is_finished() && !second.is_finished(), "answered before the fsync");
        store.log.let_pass(1);
        assert_eq!(first.await.unwrap(), (1, 0, 0));
        assert_eq!(second.await.unwrap(), (0, 1, 0));
    });
    assert_eq!(store.message_ids(), ["m1"]);
}

#[test]
fn requests_that_wait_share_one_append() {
    let mut store = Store::new();
    store.settings.event_partitions = 1;
    store.life(async |collector| {
        store.log.hold();
        let mut sending = Vec::new();
        for number in 0..50 {
            let collector = collector.clone();
            let id = format!("m{number}");
            sending.push(tokio::spawn(async move { track(&collector, &id, "v").await.counts() }));
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        store.log.let_pass(100);
        for one in sending {
            assert_eq!(one.await.unwrap(), (1, 0, 0));
        }
        assert!(store.log.appends() <= 2, "{} appends", store.log.appends());
    });
    assert_eq!(store.events().len(), 50);
}

#[test]
fn across_a_kill_the_log_is_read() {
    let store = Store::new();
    store.life(async |collector| {
        for number in 0..20 {
            track(&collector, &format!("m{number}"), &format!("v{number}")).await.counts();
        }
    });
    store.life(async |collector| {
        for number in 0..21 {
            let reply = track(&collector, &format!("m{number}"), &format!("v{number}")).await;
            assert_eq!(reply.counts(), if number < 20 { (0, 1, 0) } else { (1, 0, 0) });
        }
    });
    assert_eq!(store.events().len(), 21);
}

#[test]
fn across_a_clean_stop_the_snapshot_is_read_and_then_the_log() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        collector.close().await.unwrap();
        let reply = track(&collector, "m9", "v").await;
        assert_eq!(reply.status, 503, "a closed collector takes nothing");
    });
    // After the snapshot, killed.
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        track(&collector, "m2", "v").await.counts();
    });
    let mut changed = event("m1", "v");
    changed["properties"]["n"] = 2.into();
    store.life(async |collector| {
        assert_eq!(track(&collector, "m2", "v").await.counts(), (0, 1, 0));
        let reply = send(&collector, post("/v1/track", changed.to_string())).await;
        assert_eq!(reply.body["conflicts"], 1, "fingerprints survive");
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
}

#[test]
fn ids_live_for_a_day_and_no_longer_than_an_hour_more() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        for _ in 0..24 {
            store.clock.advance_us(HOUR_US);
            assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
            track(&collector, &format!("at {:?}", store.clock), "v").await.counts();
        }
        store.clock.advance_us(HOUR_US);
        assert_eq!(track(&collector, "m1", "v").await.counts(), (1, 0, 0));
    });
}

#[test]
fn older_hours_are_on_disk_and_survive_a_kill() {
    let store = Store::new();
    let hours = 5;
    store.life(async |collector| {
        for hour in 0..hours {
            for number in 0..300 {
                track(&collector, &format!("{hour}-{number}"), &format!("v{number}"))
                    .await
                    .counts();
            }
            store.clock.advance_us(HOUR_US);
        }
    });
    let files = || -> usize {
        let dirs = std::fs::read_dir(store.dir.join("dedup")).unwrap();
        dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count() - 1).sum()
    };
    assert_eq!(files(), 2 * (hours - 1), "runs on disk");
    store.life(async |collector| {
        for hour in 0..hours {
            for number in 0..300 {
                let id = format!("{hour}-{number}");
                let reply = track(&collector, &id, &format!("v{number}")).await;
                assert_eq!(reply.counts(), (0, 1, 0), "{id}");
            }
        }
        store.clock.advance_us(30 * HOUR_US);
        track(&collector, "x", "v0").await.counts();
        track(&collector, "x", "v1").await.counts();
        collector.close().await.unwrap();
    });
    assert!(files() <= 2, "{} files left after everything expired", files());
}

#[test]
fn past_the_most_ids_the_oldest_are_forgotten() {
    let mut store = Store::new();
    store.settings.event_partitions = 1;
    store.settings.dedup_ids_max = 100;
    store.life(async |collector| {
        for number in 0..400 {
            track(&collector, &format!("m{number}"), "v").await.counts();
        }
        assert_eq!(track(&collector, "m399", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m330", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m10", "v").await.counts(), (1, 0, 0));
    });
}

#[test]
fn a_clock_that_goes_back_forgets_nothing() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        store.clock.advance_us(-48 * HOUR_US);
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        track(&collector, "m2", "v").await.counts();
    });
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m2", "v").await.counts(), (0, 1, 0));
    });
}

#[test]
fn damaged_state_is_rebuilt_from_the_log() {
    for damage in ["manifest.json", "run", "cut", "all"] {
        let store = Store::new();
        store.life(async |collector| {
            track(&collector, "m1", "v").await.counts();
            store.clock.advance_us(2 * HOUR_US);
            track(&collector, "m2", "v").await.counts();
            collector.close().await.unwrap();
        });
        for partition in ["0", "1"] {
            let dir = store.dir.join("dedup").join(partition);
            for file in std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()) {
                let is_run = file.extension().is_some_and(|extension| extension == "ids");
                match damage {
                    "run" if is_run => {
                        let mut bytes = std::fs::read(&file).unwrap();
                        bytes[30] ^= 1;
                        std::fs::write(&file, bytes).unwrap();
                    }
                    "cut" if is_run => std::fs::write(&file, b"TWDEDUP1").unwrap(),
                    "manifest.json" if !is_run => std::fs::write(&file, b"{\"format_").unwrap(),
                    "all" => std::fs::remove_file(&file).unwrap(),
                    _ => {}
                }
            }
        }
        store.life(async |collector| {
            assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0), "{damage}");
            assert_eq!(track(&collector, "m2", "v").await.counts(), (0, 1, 0), "{damage}");
        });
    }
}

#[test]
fn state_ahead_of_the_log_is_not_believed() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        track(&collector, "m2", "v").await.counts();
        collector.close().await.unwrap();
    });
    store.log.cut("events", 1);
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m2", "v").await.counts(), (1, 0, 0), "it is not in the log");
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
}

#[test]
fn state_of_a_topic_that_was_made_anew_is_not_believed() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        collector.close().await.unwrap();
        store.log.delete_topic("events").await.unwrap();
        // The new one is as long as the old one was: its length gives nothing away.
        store.log.create_topic(&TopicSpec::new("events", 2)).await.unwrap();
        for partition in 0..2 {
            let strange = Record { value: Some("{}".into()), ..Record::default() };
            store.log.append("events", partition, vec![strange]).await.unwrap();
        }
    });
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (1, 0, 0));
    });
}

#[test]
fn state_of_a_newer_format_is_refused() {
    let store = Store::new();
    store.life(async |collector| collector.close().await.unwrap());
    let path = store.dir.join("dedup/1/manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"format_version\": 1", "\"format_version\": 2")).unwrap();
    let error = crate::support::runtime().block_on(Collector::open(store.parts())).unwrap_err();
    assert!(matches!(error, CollectError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("dedup/1/manifest.json"), "{error}");
}

#[test]
fn records_of_other_writers_are_passed_over() {
    let store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
        for partition in 0..2 {
            let strange = Record { value: Some("no event".into()), ..Record::default() };
            store.log.append("events", partition, vec![strange]).await.unwrap();
        }
        track(&collector, "m2", "v").await.counts();
    });
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
        assert_eq!(track(&collector, "m2", "v").await.counts(), (0, 1, 0));
    });
}

#[test]
fn a_topic_that_is_there_keeps_its_partitions() {
    let mut store = Store::new();
    store.life(async |collector| {
        track(&collector, "m1", "v").await.counts();
    });
    store.settings.event_partitions = 7;
    store.life(async |collector| {
        assert_eq!(track(&collector, "m1", "v").await.counts(), (0, 1, 0));
    });
    assert_eq!(store.log.topic("events").unwrap().partitions, 2);
}
