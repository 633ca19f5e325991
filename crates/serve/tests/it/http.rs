//! What one connection may cost.

use crate::support::{Edge, generous, read_all, request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tradewind_serve::Limits;

fn short() -> Limits {
    let half = Duration::from_millis(500);
    Limits { header_timeout: half, body_timeout: half, idle_timeout: half, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_leave_room_for_work() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(edge.connect().await);
    }
    assert!(edge.ask("SELECT 1").await.contains("[1]"));
    // A stop does not wait for those that say nothing.
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_half_a_head_and_half_a_body_end_the_connection() {
    let edge = Edge::start(short(), generous()).await;
    for first in [
        "",
        "POST /api/sql HTTP/1.1\r\nHost: x\r\nX: ",
        "POST /api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nSELECT",
        // Answered, then idle.
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stream = edge.connect().await;
        stream.write_all(first.as_bytes()).await.unwrap();
        read_all(&mut stream).await;
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_is_not_waited_for() {
    let edge = Edge::start(short(), generous()).await;
    let (mut read, mut write) = edge.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        let head = "GET / HTTP/1.1\r\nX: ".to_string() + &"a".repeat(10_000);
        for byte in head.bytes() {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(crate::support::PATIENCE, read.read_to_end(&mut answer));
    let _ = ended.await.expect("each byte bought more time");
    trickle.abort();
    edge.stop().await;
}

const ENDLESS: &str =
    "SELECT a.value, b.value FROM generate_series(1, 100000) a, generate_series(1, 100000) b";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_or_goes_away_ends_its_query() {
    let edge = Edge::start(short(), generous()).await;
    let mut deaf = edge.connect().await;
    deaf.write_all(request(ENDLESS).as_bytes()).await.unwrap();
    let mut first = [0; 16];
    deaf.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"), "{first:?}");
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    loop {
        // The one place for a query is taken until the connection is cut.
        let answer = edge.ask("SELECT 1").await;
        if answer.contains("[1]") {
            break;
        }
        assert!(answer.contains("queries are running"), "{answer}");
        assert!(tokio::time::Instant::now() < deadline, "the query outlived its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut gone = edge.connect().await;
    gone.write_all(request(ENDLESS).as_bytes()).await.unwrap();
    gone.read_exact(&mut first).await.unwrap();
    drop(gone);
    loop {
        if edge.ask("SELECT 1").await.contains("[1]") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the query outlived its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_request_under_way_finish() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let mut stream = edge.connect().await;
    let sql = "SELECT count(*) AS n FROM generate_series(1, 3000) a, generate_series(1, 3000) b";
    stream.write_all(request(sql).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    edge.stop().await;
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("[9000000]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_why_not() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let ask = async |edge: &Edge| {
        let mut stream = edge.connect().await;
        let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    };
    assert!(ask(&edge).await.starts_with("HTTP/1.1 503"));
    edge.health.ready();
    assert!(ask(&edge).await.starts_with("HTTP/1.1 200"));
    edge.health.add(|| Some("events-0 is offline".into()));
    let answer = ask(&edge).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("events-0 is offline"),
        "{answer}"
    );
    edge.stop().await;
}
