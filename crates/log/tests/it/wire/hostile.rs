//! Peers that lie, stall or ramble: each costs its own connection. What they cost in memory is
//! measured in `memory`.

use super::harness::*;
use bytes::BufMut;
use kafka_protocol::messages::ApiVersionsRequest;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tradewind_log::wire::{WireLimits, versions};
use tradewind_types::Log;

/// The port still serves others.
pub(super) async fn assert_well(port: &Port) {
    let mut client = port.client().await;
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).await.error_code, 0);
}

pub(super) fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(1);
    bytes.put_i16(-1);
    bytes
}

pub(super) async fn send_body(port: &Port, body: &[u8]) -> Client {
    let mut client = port.client().await;
    client.stream.write_all(&(body.len() as i32).to_be_bytes()).await.unwrap();
    // The port may close before it has read everything.
    let _ = client.stream.write_all(body).await;
    client
}

#[tokio::test]
async fn lengths_that_lie_cost_the_connection_and_no_memory() {
    let port = Port::with_topic(1).await;
    for claimed in [i32::MAX, -1, i32::MIN, 0, 7, 200 << 20] {
        let mut client = port.client().await;
        client.stream.write_all(&claimed.to_be_bytes()).await.unwrap();
        client.stream.write_all(&header(0, 9)[..4]).await.unwrap();
        client.expect_closed().await;
    }
    let mut small_kinds = port.client().await;
    small_kinds.stream.write_all(&(50_i32 << 20).to_be_bytes()).await.unwrap();
    small_kinds.stream.write_all(&header(3, 9)[..4]).await.unwrap();
    small_kinds.expect_closed().await;
    assert_well(&port).await;
    port.stop().await;
}

#[tokio::test]
async fn garbage_costs_the_connection_it_came_on() {
    let port = Port::with_topic(1).await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let apis: Vec<_> = versions().collect();
    for _ in 0..2_000 {
        let mut body: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
        if random.random() {
            let (_, key, min, max) = apis[random.random_range(0..apis.len())];
            let mut known = header(key, random.random_range(min..=max));
            known.append(&mut body);
            body = known;
        }
        let mut client = send_body(&port, &body).await;
        client.stream.shutdown().await.unwrap();
        // An answer or not; then the end.
        while client.receive_frame().await.is_some() {}
    }
    assert_well(&port).await;
    assert_eq!(port.store.watermarks("t", 0).unwrap().high_watermark, 0, "nothing was stored");
    port.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let limits = WireLimits { idle_timeout: Duration::from_secs(1), ..WireLimits::default() };
    let port = Port::start(limits).await;
    let (mut idle, mut busy) = (port.client().await, port.client().await);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(busy.call(0, &ApiVersionsRequest::default()).await.error_code, 0);
    }
    idle.expect_closed().await;
    port.stop().await;
}

#[tokio::test]
async fn connections_past_the_limit_are_closed_at_once_and_places_come_back() {
    let limits = WireLimits { connections_per_ip_max: 3, ..WireLimits::default() };
    let port = Port::start(limits).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        let mut client = port.client().await;
        client.call(0, &ApiVersionsRequest::default()).await;
        taken.push(client);
    }
    port.client().await.expect_closed().await;
    drop(taken.pop());
    let served = async {
        loop {
            let mut client = port.client().await;
            client.send(0, &ApiVersionsRequest::default()).await;
            if client.receive_frame().await.is_some() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    port.stop().await;
}
