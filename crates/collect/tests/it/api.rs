//! The rules of the tracking API, one by one.

use crate::support::{Reply, Store, batch, event, post, raw_of, send};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use base64::Engine;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tradewind_collect::{
    BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Collector, EVENT_BYTES_MAX, RAW_BYTES_MAX, WriteKey,
};
use tradewind_types::Event;

async fn json_to(collector: &Arc<Collector>, path: &str, body: Value) -> Reply {
    send(collector, post(path, body.to_string())).await
}

fn with_key(store: &mut Store, key: &str, bearer_token: Option<&str>) {
    let write_key = WriteKey {
        store_id: "shop".into(),
        source: "web".into(),
        bearer_token: bearer_token.map(str::to_owned),
    };
    store.settings.write_keys.insert(key.into(), write_key);
}

fn authorized(value: &str, body: Value) -> Request<Body> {
    let mut request = post("/v1/track", body.to_string());
    request.headers_mut().insert("authorization", value.parse().unwrap());
    request
}

fn basic(user: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(path: &str, body: Vec<u8>) -> Request<Body> {
    let mut request = post(path, body);
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    request
}

#[test]
fn every_kind_of_call_is_taken_under_both_of_its_paths() {
    let store = Store::new();
    store.life(async |collector| {
        for name in ["track", "page", "identify", "group", "screen", "alias"] {
            for path in [format!("/v1/{name}"), format!("/v1/{}", &name[..1])] {
                let body = json!({"userId": "u", "event": "E", "name": "N", "messageId": path});
                assert_eq!(json_to(&collector, &path, body).await.counts(), (1, 0, 0), "{path}");
            }
        }
        let events = vec![json!({"type": "group", "groupId": "g", "userId": "u"})];
        assert_eq!(send(&collector, post("/v1/b", batch(&events))).await.counts(), (1, 0, 0));
    });
    let mut kinds: Vec<_> =
        store.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["alias", "group", "identify", "page", "screen", "track"]);
}

#[test]
fn what_was_sent_is_what_is_kept() {
    let store = Store::new();
    store.life(async |collector| {
        let body = r#"{"event":"Product Viewed","messageId":"m1","userId":42,"anonymousId":"a\u00e9",
            "timestamp":"2026-11-21T08:29:00.5Z","properties":{"price": 19.990, "n":1e400, "s":"\ud83d\ude00"},
            "context":{"consent":{"ads":false},"ip":"1.2.3.4","page":{"url":"x"}},
            "integrations":{"All":true},"category":"c","version":2}"#;
        assert_eq!(send(&collector, post("/v1/track", body)).await.counts(), (1, 0, 0));
    });
    let records = store.log.records("events");
    let event: Event<'_> = serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((&*event.message_id, &*event.store_id, &*event.source), ("m1", "default", "http"));
    assert_eq!((&*event.kind, event.event.as_deref()), ("track", Some("Product Viewed")));
    assert_eq!((&*event.visitor_id, event.user_id.as_deref()), ("aé", Some("42")));
    assert_eq!(event.anonymous_id.as_deref(), Some("aé"));
    let properties = r#"{"price": 19.990, "n":1e400, "s":"\ud83d\ude00"}"#;
    assert_eq!(event.properties.unwrap().get(), properties);
    assert_eq!(event.consent.unwrap().get(), r#"{"ads":false}"#);
    assert_eq!(event.integrations.unwrap().get(), r#"{"All":true}"#);
    assert_eq!(event.extra.unwrap().get(), r#"{"category":"c","version":2}"#);
    let context = r#"{"consent":{"ads":false},"ip":"1.2.3.4","page":{"url":"x"}}"#;
    assert_eq!(event.context.unwrap().get(), context);
    assert_eq!(event.received_at - event.event_time, 59_500_000);
    assert!(!event.clock_clamped);
    assert_eq!(records[0].key.as_ref().unwrap(), "aé".as_bytes());
    assert_eq!(records[0].timestamp_ms, event.received_at / 1_000);
    let headers =
        records[0].headers.iter().map(|(name, value)| (&name[..], value.as_ref().unwrap().len()));
    assert_eq!(headers.collect::<Vec<_>>(), [(&b"id"[..], 16), (&b"fp"[..], 8)]);
}

#[test]
fn an_event_needs_an_id_of_somebody_and_a_track_call_a_name() {
    let store = Store::new();
    store.life(async |collector| {
        for (body, reason) in [
            (json!({"event": "E"}), "no_identity"),
            (json!({"event": "E", "userId": "", "anonymousId": null}), "no_identity"),
            (json!({"userId": "u"}), "no_event_name"),
            (json!({"userId": "u", "event": ""}), "no_event_name"),
            (json!({"userId": "u", "event": 5}), "wrong_type"),
            (json!({"userId": {}, "event": "E"}), "wrong_type"),
            (json!({"userId": "u", "event": "E", "properties": [1]}), "wrong_type"),
            (json!({"userId": "u", "event": "E", "context": "c"}), "wrong_type"),
            (json!({"userId": "u", "event": "E", "timestamp": "noon"}), "timestamp"),
            (
                json!({"userId": "u", "event": "E", "messageId": "é".repeat(101)}),
                "message_id_too_long",
            ),
            (json!(17), "not_an_object"),
        ] {
            let reply = json_to(&collector, "/v1/track", body.clone()).await;
            assert_eq!(reply.counts(), (0, 0, 1), "{body}");
            assert_eq!(reply.body["rejected"][0]["code"], reason, "{body}");
        }
        let body = json!({"userId": "u", "event": "E", "messageId": "é".repeat(100)});
        assert_eq!(json_to(&collector, "/v1/track", body).await.counts(), (1, 0, 0));
    });
    let letters = store.dead_letters();
    assert_eq!(letters.len(), 11);
    assert_eq!(raw_of(&letters[0]), br#"{"event":"E"}"#);
    assert_eq!(letters[0]["source"], "http:track");
    assert_eq!(letters[0]["reason"], "\"userId\" or \"anonymousId\" is required");
}

#[test]
fn a_batch_says_which_of_its_events_failed() {
    let store = Store::new();
    store.life(async |collector| {
        let events = vec![
            event("m1", "v1"),
            json!({"type": "track", "userId": "u"}),
            json!({"type": "shout", "userId": "u"}),
            json!({"userId": "u"}),
            json!("text"),
            event("m2", "v2"),
            event("m1", "v1"),
        ];
        let reply = send(&collector, post("/v1/batch", batch(&events))).await;
        assert_eq!(reply.counts(), (2, 1, 4));
        let indexes = reply.body["rejected"].as_array().unwrap().iter();
        let indexes: Vec<_> = indexes.map(|it| it["index"].as_u64().unwrap()).collect();
        assert_eq!(indexes, [1, 2, 3, 4]);
        assert_eq!(reply.body["rejected"][0]["reason"], "a track call requires \"event\"");
    });
    assert_eq!(store.message_ids(), ["m1", "m2"]);
    assert_eq!(store.dead_letters().len(), 4);
    assert_eq!(raw_of(&store.dead_letters()[3]), b"\"text\"");
}

#[test]
fn a_batchs_context_and_integrations_are_merged_into_its_events() {
    let store = Store::new();
    store.life(async |collector| {
        let body = json!({
            "context": {"library": "l", "device": {"t": 1}, "consent": {"a": 1}},
            "integrations": {"All": false},
            "batch": [
                {"type": "page", "userId": "u", "messageId": "1"},
                {"type": "page", "userId": "u", "messageId": "2", "context": {"device": {"t": 2}},
                 "integrations": {"All": true, "X": false}},
                {"type": "page", "userId": "u", "messageId": "3", "context": {}},
            ],
        });
        assert_eq!(json_to(&collector, "/v1/batch", body).await.counts(), (3, 0, 0));
        let body =
            json!({"batch": [{"type": "page", "userId": "u", "messageId": "4"}], "context": 5});
        let reply = json_to(&collector, "/v1/batch", body).await;
        assert_eq!(reply.counts(), (0, 0, 1));
        assert_eq!(reply.body["rejected"][0]["reason"], "\"context\" must be an object");
    });
    let mut events = store.events();
    events.sort_by_key(|event| event["message_id"].to_string());
    let shared = json!({"library": "l", "device": {"t": 1}, "consent": {"a": 1}});
    assert_eq!(events[0]["context"], shared);
    assert_eq!(events[0]["consent"], json!({"a": 1}));
    assert_eq!(events[0]["integrations"], json!({"All": false}));
    let merged = json!({"library": "l", "device": {"t": 2}, "consent": {"a": 1}});
    assert_eq!(events[1]["context"], merged);
    assert_eq!(events[1]["integrations"], json!({"All": true, "X": false}));
    assert_eq!(events[2]["context"], shared);
}

#[test]
fn the_request_fills_in_what_the_context_does_not_say() {
    let mut store = Store::new();
    store.settings.trust_forwarded_for = true;
    let request = |id: &str, context: Value| {
        let mut request = post(
            "/v1/track",
            json!({"event": "E", "userId": "u", "messageId": id, "context": context}).to_string(),
        );
        request.headers_mut().insert("user-agent", "Mozilla \"x\"".parse().unwrap());
        let peer: SocketAddr = "[::ffff:9.9.9.9]:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    store.life(async |collector| {
        send(&collector, request("1", Value::Null)).await.counts();
        send(&collector, request("2", json!({"ip": "0.0.0.0", "userAgent": "mine"})))
            .await
            .counts();
        let mut forwarded = request("3", json!({"a": 1}));
        forwarded.headers_mut().insert("x-forwarded-for", "7.7.7.7, 8.8.8.8".parse().unwrap());
        send(&collector, forwarded).await.counts();
    });
    let mut events = store.events();
    events.sort_by_key(|event| event["message_id"].to_string());
    assert_eq!(events[0]["context"], json!({"ip": "9.9.9.9", "userAgent": "Mozilla \"x\""}));
    assert_eq!(events[1]["context"], json!({"ip": "0.0.0.0", "userAgent": "mine"}));
    assert_eq!(
        events[2]["context"],
        json!({"a": 1, "ip": "7.7.7.7", "userAgent": "Mozilla \"x\""})
    );
}

#[test]
fn write_keys_are_taken_from_basic_and_from_the_body() {
    let mut store = Store::new();
    with_key(&mut store, "k1", None);
    with_key(&mut store, "k2", Some("token"));
    store.life(async |collector| {
        let body = |id: &str| json!({"event": "E", "userId": "u", "messageId": id});
        let keyed = |id: &str, key: &str| {
            json!({"event": "E", "userId": "u", "messageId": id, "writeKey": key})
        };
        let unauthorized = [
            post("/v1/track", body("0").to_string()),
            post("/v1/track", keyed("0", "nobody").to_string()),
            authorized(&basic("nobody:"), keyed("0", "k1")),
            authorized(&basic("k1"), body("0")),
            authorized("Basic %%%", body("0")),
            authorized("Bearer token", body("0")),
            authorized("Bearer wrong", keyed("0", "k2")),
            post("/v1/track", keyed("0", "k2").to_string()),
        ];
        for request in unauthorized {
            let description = format!("{request:?}");
            let reply = send(&collector, request).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{description}");
            assert_eq!(reply.body["success"], false);
        }
        send(&collector, authorized(&basic("k1:"), body("1"))).await.counts();
        send(&collector, authorized(&basic("k1:pw"), body("2"))).await.counts();
        send(&collector, post("/v1/track", keyed("3", "k1").to_string())).await.counts();
        send(&collector, authorized("Bearer token", keyed("4", "k2"))).await.counts();
        let in_batch = json!({"batch": [event("5", "v")], "writeKey": "k1"});
        json_to(&collector, "/v1/batch", in_batch).await.counts();
    });
    assert_eq!(store.message_ids(), ["1", "2", "3", "4", "5"]);
    assert!(store.events().iter().all(|it| it["store_id"] == "shop" && it["source"] == "web"));
    assert!(store.events().iter().all(|it| !it.to_string().contains("k1")), "a key was kept");
    assert!(store.dead_letters().is_empty());
}

#[test]
fn text_plain_and_gzip_are_taken() {
    let store = Store::new();
    store.life(async |collector| {
        let text = event("m1", "v").to_string();
        let beacon = Request::post("/v1/track").header("content-type", "text/plain;charset=UTF-8");
        let reply = send(&collector, beacon.body(text.clone().into()).unwrap()).await;
        assert_eq!(reply.counts(), (1, 0, 0));
        let bare = Request::post("/v1/track").body(event("m2", "v").to_string().into()).unwrap();
        assert_eq!(send(&collector, bare).await.counts(), (1, 0, 0));
        let zipped = gzip(event("m3", "v").to_string().as_bytes());
        assert_eq!(send(&collector, gzipped("/v1/track", zipped)).await.counts(), (1, 0, 0));
        let not_gzip = send(&collector, gzipped("/v1/track", b"{}".to_vec())).await;
        assert_eq!(not_gzip.status, StatusCode::BAD_REQUEST);
        let mut brotli = post("/v1/track", text);
        brotli.headers_mut().insert("content-encoding", "br".parse().unwrap());
        let reply = send(&collector, brotli).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    });
    assert_eq!(store.message_ids(), ["m1", "m2", "m3"]);
    assert_eq!(raw_of(&store.dead_letters()[0]), b"{}");
}

#[test]
fn any_page_may_ask_and_send() {
    let store = Store::new();
    store.life(async |collector| {
        let preflight = Request::options("/v1/batch")
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type, x-custom")
            .body(Body::empty())
            .unwrap();
        let reply = send(&collector, preflight).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        let header = |reply: &Reply, name: &str| reply.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header(&reply, "access-control-allow-origin"), "https://shop.example");
        assert_eq!(header(&reply, "access-control-allow-headers"), "content-type, x-custom");
        assert_eq!(header(&reply, "access-control-allow-methods"), "POST, OPTIONS");
        let mut request = post("/v1/track", "{");
        request.headers_mut().insert("origin", "https://shop.example".parse().unwrap());
        let reply = send(&collector, request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(header(&reply, "access-control-allow-origin"), "https://shop.example");
        let plain = send(&collector, post("/v1/track", "{")).await;
        assert_eq!(header(&plain, "access-control-allow-origin"), "*");
        let get = Request::get("/v1/track").body(Body::empty()).unwrap();
        assert_eq!(send(&collector, get).await.status, StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn sizes_are_segments() {
    let store = Store::new();
    let padded = |id: &str, bytes: usize| {
        let mut event = event(id, "v");
        event["properties"]["pad"] = "".into();
        let pad = bytes - event.to_string().len();
        event["properties"]["pad"] = "x".repeat(pad).into();
        event
    };
    store.life(async |collector| {
        let largest = padded("m1", EVENT_BYTES_MAX);
        assert_eq!(json_to(&collector, "/v1/track", largest).await.counts(), (1, 0, 0));
        let reply = json_to(&collector, "/v1/track", padded("m2", EVENT_BYTES_MAX + 1)).await;
        assert_eq!((reply.status, &reply.body["kept"]), (StatusCode::BAD_REQUEST, &json!(true)));
        let events = [event("m3", "v"), padded("m4", EVENT_BYTES_MAX + 1)];
        let reply = send(&collector, post("/v1/batch", batch(&events))).await;
        assert_eq!(reply.counts(), (1, 0, 1));
        assert_eq!(reply.body["rejected"][0]["code"], "event_too_large");
        let mut full = batch(&[event("m5", "v")]);
        full.push_str(&" ".repeat(BATCH_BYTES_MAX - full.len()));
        assert_eq!(send(&collector, post("/v1/batch", full.clone())).await.counts(), (1, 0, 0));
        full.push(' ');
        let zipped = send(&collector, gzipped("/v1/batch", gzip(full.as_bytes()))).await;
        let plain = send(&collector, post("/v1/batch", full)).await;
        for reply in [plain, zipped] {
            assert_eq!(
                (reply.status, &reply.body["kept"]),
                (StatusCode::BAD_REQUEST, &json!(true))
            );
        }
    });
    assert_eq!(store.message_ids(), ["m1", "m3", "m5"]);
    let letters = store.dead_letters();
    assert_eq!(raw_of(&letters[0]).len(), EVENT_BYTES_MAX + 1);
    assert_eq!(raw_of(&letters[1]).len(), EVENT_BYTES_MAX + 1);
    for cut in &letters[2..4] {
        assert_eq!((raw_of(cut).len(), &cut["raw_truncated"]), (RAW_BYTES_MAX, &json!(true)));
    }
}

#[test]
fn events_past_the_limit_of_a_batch_are_rejected_and_kept() {
    let store = Store::new();
    let small = |number: usize| json!({"type": "page", "userId": "u", "messageId": number});
    let events: Vec<_> = (0..BATCH_EVENTS_MAX + 3).map(small).collect();
    store.life(async |collector| {
        let reply = send(&collector, post("/v1/batch", batch(&events))).await;
        assert_eq!(reply.counts(), (BATCH_EVENTS_MAX as u64, 0, 1));
        let rejected = &reply.body["rejected"][0];
        assert_eq!((&rejected["index"], &rejected["count"]), (&json!(BATCH_EVENTS_MAX), &json!(3)));
    });
    assert_eq!(store.events().len(), BATCH_EVENTS_MAX);
    let raw = String::from_utf8(raw_of(&store.dead_letters()[0])).unwrap();
    let kept: Vec<Value> = serde_json::from_str(&format!("[{raw}]")).unwrap();
    assert_eq!(kept, events[BATCH_EVENTS_MAX..]);
}

#[test]
fn old_names_become_the_names_of_version_2() {
    let store = Store::new();
    store.life(async |collector| {
        for (id, name) in [("1", "Completed Order"), ("2", "Order Completed"), ("3", "Something")] {
            let body = json!({"event": name, "userId": "u", "messageId": id});
            json_to(&collector, "/v1/track", body).await.counts();
        }
    });
    let mut events = store.events();
    events.sort_by_key(|event| event["message_id"].to_string());
    assert_eq!(events[0]["event"], "Order Completed");
    assert_eq!(events[0]["original_event"], "Completed Order");
    assert_eq!(events[1]["event"], "Order Completed");
    assert_eq!(events[1].get("original_event"), None);
    assert_eq!(events[2]["event"], "Something");
}

#[test]
fn an_event_without_an_id_gets_one() {
    let store = Store::new();
    store.life(async |collector| {
        for _ in 0..2 {
            let body = json!({"event": "E", "userId": "u"});
            assert_eq!(json_to(&collector, "/v1/track", body).await.counts(), (1, 0, 0));
        }
    });
    let ids = store.message_ids();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 36));
}

#[test]
fn times_are_corrected_by_when_the_client_sent() {
    let store = Store::new();
    store.life(async |collector| {
        let events = json!({"sentAt": "2026-11-21T05:30:00Z", "batch": [
            {"type": "page", "userId": "u", "messageId": "1", "timestamp": "2026-11-21T05:29:00Z"},
            {"type": "page", "userId": "u", "messageId": "2", "sentAt": "2026-11-21T08:30:00Z",
             "timestamp": "2026-11-21T05:29:00Z"},
            {"type": "page", "userId": "u", "messageId": "3", "timestamp": "2026-11-20T05:00:00Z",
             "originalTimestamp": "2026-11-21T05:29:00Z"},
            {"type": "page", "userId": "u", "messageId": "4"},
        ]});
        json_to(&collector, "/v1/batch", events).await.counts();
        let ahead =
            json!({"userId": "u", "messageId": "5", "timestamp": "2026-11-22T08:30:00.000001Z"});
        json_to(&collector, "/v1/page", ahead).await.counts();
    });
    let mut events = store.events();
    events.sort_by_key(|event| event["message_id"].to_string());
    let times: Vec<_> = events.iter().map(|event| event["event_time"].as_str().unwrap()).collect();
    assert_eq!(
        times,
        [
            "2026-11-21T08:29:00.000000Z",
            "2026-11-21T05:29:00.000000Z",
            "2026-11-21T08:29:00.000000Z",
            "2026-11-21T08:30:00.000000Z",
            "2026-11-21T08:30:00.000000Z",
        ]
    );
    assert_eq!(events[4]["clock_clamped"], true);
    assert_eq!(events[0].get("clock_clamped"), None);
}
