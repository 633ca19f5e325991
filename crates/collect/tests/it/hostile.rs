//! Bodies that lie, never end, are too deep or no text: nothing panics, nothing is lost unsaid.

use crate::support::{Store, event, post, raw_of, read, send, track};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use proptest::prelude::*;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use tradewind_collect::{Endpoint, Kind, RAW_BYTES_MAX, http, parse};

#[test]
fn a_zip_bomb_costs_no_more_than_a_batch() {
    let store = Store::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let megabyte = vec![b'['; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&megabyte).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100 * 1024, "the bomb itself is small: {}", bomb.len());
    store.life(async |collector| {
        let mut request = post("/v1/batch", bomb);
        request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        assert_eq!(send(&collector, request).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(collector.in_flight_bytes(), 0);
    });
    assert_eq!(raw_of(&store.dead_letters()[0]).len(), RAW_BYTES_MAX);
}

#[test]
fn what_is_no_json_is_kept_as_it_came() {
    let store = Store::new();
    let deep = "[".repeat(400_000);
    let deep_object =
        format!("{{\"event\":\"E\",\"userId\":\"u\",\"properties\":{}", "{\"a\":".repeat(5_000));
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        b"{".to_vec(),
        b"\xff\xfe{}".to_vec(),
        b"{\"event\":\"\xc3\x28\"}".to_vec(),
        deep.into_bytes(),
        deep_object.into_bytes(),
        b"{\"event\":\"a\nb\"}".to_vec(),
        b"{\"event\":\"E\",\"userId\":\"u\"} trailing".to_vec(),
        b"{\"n\":01}".to_vec(),
        b"{\"event\":\"\\ud8\"}".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"null null".to_vec(),
    ];
    store.life(async |collector| {
        for body in &bodies {
            let reply = send(&collector, post("/v1/track", body.clone())).await;
            let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{start}");
            assert_eq!(reply.body["kept"], !body.is_empty(), "{start}");
        }
    });
    let letters = store.dead_letters();
    assert_eq!(letters.len(), bodies.len());
    for (letter, body) in letters.iter().zip(&bodies) {
        assert_eq!(raw_of(letter), body[..body.len().min(RAW_BYTES_MAX)]);
    }
    assert!(letters[4]["reason"].as_str().unwrap().starts_with("nested deeper than 100 levels"));
    assert!(store.events().is_empty());
}

#[test]
fn half_a_surrogate_pair_costs_a_character_not_the_event() {
    let store = Store::new();
    store.life(async |collector| {
        let body = r#"{"event":"E\ud83d","userId":"\udc00u","properties":{"t":"cut \ud83d","ok":"\ud83d\ude00"}}"#;
        assert_eq!(send(&collector, post("/v1/track", body)).await.counts(), (1, 0, 0));
    });
    let event = &store.events()[0];
    assert_eq!(event["event"], "E\u{fffd}");
    assert_eq!(event["user_id"], "\u{fffd}u");
    assert_eq!(event["properties"]["t"], "cut \u{fffd}");
    assert_eq!(event["properties"]["ok"], "😀");
}

#[test]
fn repeated_members_and_huge_numbers_are_taken() {
    let store = Store::new();
    store.life(async |collector| {
        let digits = "9".repeat(20_000);
        let body = format!(
            r#"{{"event":"A","event":"B","userId":"u","userId":7,"properties":{{"n":{digits},"n":-1e-99999}}}}"#
        );
        assert_eq!(send(&collector, post("/v1/track", body)).await.counts(), (1, 0, 0));
        let twice = r#"{"batch":[{"type":"page","userId":"u"}],"batch":[{"type":"page","userId":"u"},5]}"#;
        assert_eq!(send(&collector, post("/v1/batch", twice)).await.counts(), (2, 0, 1));
    });
    let records = store.log.records("events");
    let mut texts =
        records.iter().map(|it| String::from_utf8(it.value.clone().unwrap().to_vec()).unwrap());
    let first = texts.find(|text| text.contains("\"track\"")).unwrap();
    assert!(first.contains(r#""event":"B""#) && first.contains(r#""user_id":"7""#));
    assert!(first.contains(&"9".repeat(20_000)) && first.contains("-1e-99999"));
}

#[test]
fn a_body_that_never_ends_is_cut() {
    let store = Store::new();
    store.life(async |collector| {
        let chunk = Bytes::from(vec![b' '; 10_000]);
        let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        let request = Request::post("/v1/batch").body(Body::from_stream(endless)).unwrap();
        let reply = send(&collector, request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(collector.in_flight_bytes(), 0);
    });
    assert_eq!(store.dead_letters()[0]["raw_truncated"], true);
}

#[test]
fn a_body_that_breaks_off_is_answered_or_dropped_and_frees_its_room() {
    let store = Store::new();
    store.life(async |collector| {
        let parts = vec![Ok(Bytes::from("{\"event\"")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(parts));
        let reply = send(&collector, Request::post("/v1/track").body(body).unwrap()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(collector.in_flight_bytes(), 0);
    });
    assert!(store.dead_letters().is_empty(), "half a body is the client's to send again");
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let mut store = Store::new();
    store.settings.body_timeout_ms = 20;
    store.life(async |collector| {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::post("/v1/track").body(body).unwrap();
        let response = http::router(collector).oneshot(request).await.unwrap();
        assert_eq!(read(response).await.status, StatusCode::REQUEST_TIMEOUT);
    });
}

/// Sends bytes over a real connection and reads whatever comes back until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let _ = connection.write_all(bytes).await;
    let _ = connection.shutdown().await;
    let mut answer = Vec::new();
    let reading = connection.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn lying_lengths_and_garbage_cost_one_connection() {
    let store = Store::new();
    store.life(async |collector| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            http::router(collector.clone()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let body = event("m1", "v").to_string();
        let with_length = |length: &str| {
            format!("POST /v1/track HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        talk(address, with_length("100000").as_bytes()).await;
        talk(address, with_length("18446744073709551615").as_bytes()).await;
        talk(address, with_length("-5").as_bytes()).await;
        talk(address, &[0xff; 4096]).await;
        talk(
            address,
            b"POST /v1/track HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        )
        .await;
        assert!(store.events().is_empty(), "nothing half sent was taken");
        let whole = talk(address, with_length(&body.len().to_string()).as_bytes()).await;
        assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
        // A length too small: the rest is the next, broken request.
        let short = with_length(&(body.len() - 3).to_string());
        assert!(talk(address, short.as_bytes()).await.starts_with("HTTP/1.1 400"));
        assert_eq!(track(&collector, "m2", "v").await.counts(), (1, 0, 0));
        assert_eq!(collector.in_flight_bytes(), 0);
    });
    assert_eq!(store.events()[0]["context"]["ip"], "127.0.0.1");
}

#[test]
fn unknown_senders_fill_no_disk_with_garbage() {
    let mut store = Store::new();
    let key = tradewind_collect::WriteKey {
        store_id: "s".into(),
        source: "w".into(),
        bearer_token: None,
    };
    store.settings.write_keys.insert("k".into(), key);
    store.life(async |collector| {
        let mut kept = 0;
        for _ in 0..100 {
            let reply = send(&collector, post("/v1/batch", "x".repeat(50_000))).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
            kept += usize::from(reply.body["kept"] == true);
        }
        assert_eq!(kept, 20, "a megabyte a minute");
        let mut known = post("/v1/batch", "x".repeat(50_000));
        known.headers_mut().insert("authorization", "Basic azo=".parse().unwrap());
        assert_eq!(send(&collector, known).await.body["kept"], true);
    });
    assert_eq!(store.dead_letters().len(), 21);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes, it is either events, or dead letters, or both; the server lives.
    #[test]
    fn any_bytes_are_answered_and_kept(bodies in prop::collection::vec(any_body(), 1..6)) {
        let store = Store::new();
        store.life(async |collector| {
            for (path, body) in &bodies {
                let reply = send(&collector, post(path, body.clone())).await;
                prop_assert!(matches!(reply.status.as_u16(), 200 | 400), "{:?}", reply);
            }
            prop_assert_eq!(collector.in_flight_bytes(), 0);
            Ok(())
        })?;
        for event in store.log.records("events") {
            let text = event.value.unwrap();
            let read = serde_json::from_slice::<tradewind_types::Event<'_>>(&text);
            prop_assert!(read.is_ok(), "{:?}: {:?}", read, text);
        }
    }

    #[test]
    fn parsing_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, Endpoint::Batch);
        let _ = parse(&bytes, Endpoint::One(Kind::Track));
    }
}

fn any_body() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let path = prop::sample::select(vec!["/v1/track", "/v1/batch", "/v1/identify", "/v1/page"]);
    let text = r#"(\{|\}|\[|\]|,|:|"(batch|type|track|event|userId|context|traits|messageId|timestamp|\\ud83d|\\u0000|x)"|null|1e9|-0|true| ){0,30}"#;
    let valid = prop::collection::vec((any::<String>(), any::<String>()), 0..4).prop_map(|pairs| {
        let object: serde_json::Map<_, _> =
            pairs.into_iter().map(|(name, value)| (name, value.into())).collect();
        let event = serde_json::json!({"type": "track", "event": "E", "userId": "u",
            "properties": object, "context": object});
        serde_json::json!({"batch": [event, object], "userId": "u", "event": "F"})
            .to_string()
            .into_bytes()
    });
    let body = prop_oneof![
        text.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..64),
        valid,
    ];
    (path, body)
}
