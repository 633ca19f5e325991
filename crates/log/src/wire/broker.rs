//! What every connection of one Kafka port shares.
//!
//! Guarantees: one broker, node [`NODE_ID`], leads every partition in epoch [`LEADER_EPOCH`].
//! Left out: more than one node; a cluster is a Kafka cluster.

use super::budget::Budget;
use super::limits::WireLimits;
use super::quota::Quotas;
use crate::LogStore;
use crate::group::GroupCoordinator;
use crate::transactions::Coordinator;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tokio::sync::watch;

/// The only broker's id.
pub(crate) const NODE_ID: i32 = 1;
/// Leadership never moves, so its epoch never rises.
pub(crate) const LEADER_EPOCH: i32 = 0;
/// What clients are told the cluster is called.
pub(crate) const CLUSTER_ID: &str = "tradewind";

/// The log and the bounds a request is served within.
pub(crate) struct Broker {
    pub(crate) store: LogStore,
    pub(crate) groups: GroupCoordinator,
    pub(crate) transactions: Arc<Coordinator>,
    pub(crate) limits: WireLimits,
    /// Where clients are told to connect to.
    pub(crate) host: StrBytes,
    pub(crate) port: i32,
    /// Requests being read or worked on.
    pub(crate) requests: Budget,
    /// Answers being made or sent.
    pub(crate) answers: Budget,
    pub(crate) quotas: Quotas,
    /// True once the port is closing: waits end, nothing new is read.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Broker {
    pub(crate) fn new(
        store: LogStore,
        groups: GroupCoordinator,
        limits: WireLimits,
        (host, port): (String, u16),
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            transactions: store.transactions(),
            store,
            groups,
            host: StrBytes::from_string(host),
            port: i32::from(port),
            requests: Budget::new(limits.requests_in_flight_bytes_max),
            answers: Budget::new(limits.answers_in_flight_bytes_max),
            quotas: Quotas::new(limits.quotas),
            limits,
            closing,
        }
    }

    /// Returns once the port is closing.
    pub(crate) async fn closed(&self) {
        // An error means the port is gone, which is as closed as it gets.
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }
}
