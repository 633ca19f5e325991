//! The listening socket: takes connections within their limits and sees them out.
//!
//! Guarantees: no more than `connections_max` connections, `connections_per_ip_max` of them from
//! one address; one over is closed at once. When `shutdown` resolves, requests under way have
//! `drain_timeout` to be answered.
//! Left out: what a connection says.

use super::broker::Broker;
use super::limits::WireLimits;
use super::{connection, open_files};
use crate::LogStore;
use crate::group::GroupCoordinator;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves the Kafka protocol on `listener` until `shutdown` resolves. `advertised` is the host
/// and port clients are told to use; port 0 stands for the listener's own. The coordinator of
/// groups, at which others may look too, is run here.
pub async fn serve(
    listener: TcpListener,
    (store, groups): (LogStore, GroupCoordinator),
    limits: WireLimits,
    advertised: (String, u16),
    shutdown: impl Future<Output = ()>,
) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let advertised = if advertised.1 == 0 { (advertised.0, port) } else { advertised };
    let (close, closing) = watch::channel(false);
    let drain = limits.drain_timeout;
    let seats = Seats::new(&limits);
    let broker = Arc::new(Broker::new(store, groups.clone(), limits, advertised, closing));
    let mut connections = JoinSet::new();
    broker.transactions.listen(Arc::new(groups.clone()));
    let coordinating = tokio::spawn(async move { groups.run().await });
    let transactions = tokio::spawn(Arc::clone(&broker.transactions).run());
    accept(&listener, &broker, &seats, &mut connections, shutdown).await;
    drop(listener);
    close.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, finished).await.is_err() {
        tracing::warn!("kafka connections were cut that did not finish in time");
    }
    coordinating.abort();
    transactions.abort();
}

async fn accept(
    listener: &TcpListener,
    broker: &Arc<Broker>,
    seats: &Arc<Seats>,
    connections: &mut JoinSet<()>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match seats.take(peer.ip()) {
                    Some(seat) => {
                        let peer = peer.ip().to_canonical();
                        connections.spawn(attend(stream, peer, Arc::clone(broker), seat));
                    }
                    None => metrics::counter!("tradewind_kafka_connections_refused_total")
                        .increment(1),
                },
                Err(error) => {
                    tracing::warn!(%error, "a kafka connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
}

async fn attend(stream: TcpStream, peer: IpAddr, broker: Arc<Broker>, seat: Seat) {
    // Without it small answers wait for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    if let Err(error) = connection::run(stream, peer, broker).await {
        tracing::debug!(peer = %seat.ip, %error, "kafka connection cut");
        metrics::counter!("tradewind_kafka_connections_cut_total").increment(1);
    }
}

/// Who is connected, counted.
#[derive(Debug)]
struct Seats {
    all_max: usize,
    per_ip_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    per_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
struct Seat {
    ip: IpAddr,
    seats: Arc<Seats>,
}

impl Seats {
    fn new(limits: &WireLimits) -> Arc<Self> {
        let all_max = limits.connections_max.min(open_files::sockets_max());
        if all_max < limits.connections_max {
            tracing::info!(
                connections_max = all_max,
                "the limit on open files allows fewer kafka connections than configured"
            );
        }
        let per_ip_max = limits.connections_per_ip_max;
        Arc::new(Self { all_max, per_ip_max, taken: Mutex::default() })
    }

    fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let ip = holder(ip);
        let mut taken = self.taken.lock();
        if taken.all >= self.all_max {
            return None;
        }
        let from_ip = taken.per_ip.entry(ip).or_insert(0);
        if *from_ip >= self.per_ip_max {
            return None;
        }
        *from_ip += 1;
        taken.all += 1;
        metrics::gauge!("tradewind_kafka_connections").set(taken.all as f64);
        Some(Seat { ip, seats: Arc::clone(self) })
    }
}

/// Whom an address is counted for: of version 6, the network of 64 bits one subscriber gets.
fn holder(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.all -= 1;
        metrics::gauge!("tradewind_kafka_connections").set(taken.all as f64);
        if let Some(from_ip) = taken.per_ip.get_mut(&self.ip) {
            *from_ip -= 1;
            if *from_ip == 0 {
                taken.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_bounded_per_address_and_in_all_and_come_back() {
        let limits =
            WireLimits { connections_max: 3, connections_per_ip_max: 2, ..WireLimits::default() };
        let seats = Seats::new(&limits);
        let (one, two) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = seats.take(one).unwrap();
        let _second = seats.take(one).unwrap();
        assert!(seats.take(one).is_none(), "two from one address");
        let _third = seats.take(two).unwrap();
        assert!(seats.take(two).is_none(), "three in all");
        drop(first);
        assert!(seats.take(two).is_some());
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let ip = |text: &str| holder(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }
}
