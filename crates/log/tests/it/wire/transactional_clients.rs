//! Idempotent and transactional producers of real clients, over connections that hold and over some
//! that are cut when a batch was written and its answer is on the way.

use super::clients::python_script_at;
use super::harness::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tradewind_log::wire::WireLimits;
use tradewind_types::Log;

/// Every so many answers to a produce request, one is lost with its connection.
const LOST_EVERY: u64 = 4;
/// Then the connections hold, so that every client comes to its end.
const LOST_MAX: u64 = 60;

async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.ok()?;
    let mut frame = length.to_vec();
    frame.resize(4 + i32::from_be_bytes(length) as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

/// Passes bytes on, and loses answers.
#[derive(Default)]
struct Proxy {
    answers: AtomicU64,
    lost: AtomicU64,
}

impl Proxy {
    async fn start(listener: TcpListener, upstream: SocketAddr) -> Arc<Self> {
        let proxy = Arc::new(Self::default());
        let this = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&this).pass(client, upstream));
            }
        });
        proxy
    }

    async fn pass(self: Arc<Self>, client: TcpStream, upstream: SocketAddr) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let produces = Mutex::default();
        // Whichever ends first takes the other with it.
        tokio::select! {
            () = requests(from_client, to_server, &produces) => {}
            () = self.answers(from_server, to_client, &produces) => {}
        }
    }

    async fn answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        produces: &Mutex<BTreeSet<[u8; 4]>>,
    ) {
        while let Some(frame) = frame(&mut from).await {
            let correlation: [u8; 4] = frame[4..8].try_into().unwrap();
            if produces.lock().unwrap().remove(&correlation) {
                let answers = self.answers.fetch_add(1, Ordering::Relaxed);
                let lost = self.lost.load(Ordering::Relaxed);
                if answers % LOST_EVERY == 1 && lost < LOST_MAX {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            if to.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    produces: &Mutex<BTreeSet<[u8; 4]>>,
) {
    while let Some(frame) = frame(&mut from).await {
        if frame[4..6] == [0, 0] {
            produces.lock().unwrap().insert(frame[8..12].try_into().unwrap());
        }
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn over_lossy_connections(script: &str) -> (Port, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port::told_as(address.port()).await;
    let proxy = Proxy::start(listener, port.address).await;
    python_script_at(script, address).await;
    (port, proxy.lost.load(Ordering::Relaxed))
}

async fn values(port: &Port, topic: &str) -> Vec<String> {
    let read = port.store.read(topic, 0, 0, usize::MAX).await.unwrap();
    let text = |record: tradewind_types::LogRecord| {
        String::from_utf8(record.record.value.unwrap().to_vec()).unwrap()
    };
    read.into_iter().map(text).collect()
}

fn due(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("value {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka_sends_again_and_nothing_is_stored_twice() {
    let (port, lost) = over_lossy_connections("lossy_confluent.py").await;
    if port.store.topic("idempotent").is_none() {
        return; // The client is not installed, which was said.
    }
    assert!(lost > 10, "{lost} answers were lost");
    assert_eq!(values(&port, "idempotent").await, due(300));
    assert_eq!(values(&port, "transactional").await, due(300));
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_sends_again_and_nothing_is_stored_twice() {
    let (port, lost) = over_lossy_connections("lossy_kafka_python.py").await;
    if port.store.topic("idempotent").is_none() {
        return; // The client is not installed, which was said.
    }
    assert!(lost > 10, "{lost} answers were lost");
    assert_eq!(values(&port, "idempotent").await, due(100));
    assert_eq!(values(&port, "transactional").await, due(100));
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka_commits_aborts_and_is_fenced() {
    let port = Port::start(WireLimits::default()).await;
    python_script_at("transactions_confluent.py", port.address).await;
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_commits_aborts_and_is_fenced() {
    let port = Port::start(WireLimits::default()).await;
    python_script_at("transactions_kafka_python.py", port.address).await;
    port.stop().await;
}
