//! Quotas over the wire: told in the answer, and the connection muted meanwhile.

use super::harness::*;
use super::versions::range;
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};
use std::time::{Duration, Instant};
use tradewind_log::wire::{QuotaLimits, WireLimits};
use tradewind_types::Log;

async fn port(quotas: QuotaLimits) -> Port {
    let port = Port::start(WireLimits { quotas, ..WireLimits::default() }).await;
    port.topic("t", 1).await;
    port
}

/// The answer says how long, in every version that has a place for it; nothing is lost.
#[tokio::test]
async fn producers_are_told_to_wait_in_every_version() {
    let quotas = QuotaLimits { produce_bytes_per_second: Some(1 << 19), ..QuotaLimits::default() };
    let port = port(quotas).await;
    let topic = ("t", port.topic_id("t"));
    let large = one(&vec![b'x'; 3 << 20]);
    let mut sent = 0;
    // Ten seconds' worth are let pass at once. Connections of their own: one that is muted would
    // have to be waited for.
    for _ in 0..4 {
        let request = produce_request(9, -1, topic, 0, large.clone());
        port.client().await.call(9, &request).await;
        sent += 1;
    }
    for version in range("Produce").filter(|version| *version >= 3) {
        let mut client = port.client().await;
        let request = produce_request(version, -1, topic, 0, one(b"small"));
        let response = client.call(version, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        assert!(response.throttle_time_ms > 500, "version {version}: {response:?}");
        sent += 1;
    }
    assert_eq!(port.store.watermarks("t", 0).unwrap().high_watermark, sent);
    // Whoever does not produce is not held up, and other clients are not either.
    let response = port.client().await.call(0, &DescribeClusterRequest::default()).await;
    assert_eq!(response.throttle_time_ms, 0);
    port.stop().await;
}

#[tokio::test]
async fn fetches_and_requests_have_quotas_and_muted_connections_wait() {
    let quotas = QuotaLimits {
        fetch_bytes_per_second: Some(1 << 20),
        requests_per_second: Some(1),
        ..QuotaLimits::default()
    };
    let port = port(quotas).await;
    let topic = ("t", port.topic_id("t"));
    let large =
        tradewind_types::Record { value: Some(vec![b'x'; 3 << 20].into()), ..Default::default() };
    tradewind_types::Log::append(&port.store, "t", 0, vec![large]).await.unwrap();
    let mut client = port.client().await;
    let want = Want { max_bytes: 4 << 20, partition_max_bytes: 4 << 20, ..Want::default() };
    let mut throttle = 0;
    for _ in 0..4 {
        let response = client.call(12, &fetch_request(12, topic, &[(0, 0)], want)).await;
        assert_eq!(fetched(&response).len(), 1, "it is told to wait, not refused");
        throttle = response.throttle_time_ms;
    }
    assert!(throttle > 500, "{throttle}");
    // Nothing is read from this connection until then.
    let began = Instant::now();
    client.call(12, &MetadataRequest::default().with_topics(None)).await;
    assert!(began.elapsed() >= Duration::from_millis(throttle as u64 - 100), "{throttle}");
    // Requests of any kind, by anybody of the same name, in every version that can say so.
    for version in range("Metadata").filter(|version| *version >= 3) {
        let response =
            port.client().await.call(version, &MetadataRequest::default().with_topics(None)).await;
        assert_eq!(response.topics.len(), 1, "version {version}");
        if version >= 11 {
            assert!(response.throttle_time_ms > 0, "version {version}");
        }
    }
    port.stop().await;
}
