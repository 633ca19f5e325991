//! Replay and the simulated shop against the collector itself, over sockets.

use crate::support::Store;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tradewind_collect::client::ClientSettings;
use tradewind_collect::demo::{DemoSettings, Shop, Traffic};
use tradewind_collect::replay::{Mapping, ReplaySettings, inputs, replay};
use tradewind_collect::{Collector, http};

/// Before the collector's clock, so that no event is from the future.
const START_US: i64 = 1_790_000_000_000_000;

async fn serve(collector: Arc<Collector>, address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    axum::serve(listener, http::router(collector)).await.unwrap();
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_replay_through_kills_arrives_once() {
    const ROWS: u64 = 3_000;
    let store = Store::new();
    let folder = tempfile::tempdir().unwrap();
    let mut text = "sku,quantity\n".to_owned();
    for row in 0..ROWS {
        // The same few lines over and over: real lines repeat too, and all count.
        writeln!(text, "sku-{},{}", row % 7, row % 3).unwrap();
    }
    fs::write(folder.path().join("orders.csv"), text).unwrap();
    let path = folder.path().join("orders.csv").display().to_string();
    let address = free_address();
    let mut client = ClientSettings::new(format!("http://{address}"), "key");
    client.retry_for = Duration::from_secs(60);
    let mut settings = ReplaySettings::new(client, Mapping::every_column("Order Completed"));
    settings.batch_events = 20;
    settings.state_dir = folder.path().to_owned();

    let acknowledged = Arc::new(AtomicU64::new(0));
    let told = acknowledged.clone();
    let sender = std::thread::spawn(move || {
        let (inputs, _) = inputs(&path, None).unwrap();
        replay(&inputs, &settings, &AtomicBool::new(false), &mut |progress| {
            told.store(progress.rows_acknowledged, Ordering::Relaxed);
        })
        .unwrap()
    });
    let mut lives = 0;
    while !sender.is_finished() {
        lives += 1;
        store.life(|collector| async move {
            let life = Duration::from_millis(15 + lives * 7 % 40);
            // Dropped when the time is up, in the middle of whatever it does.
            let _ = tokio::time::timeout(life, serve(collector, address)).await;
        });
    }
    let summary = sender.join().unwrap();
    assert_eq!(summary.progress.rows_acknowledged, ROWS);
    let mut expected: Vec<_> = (2..ROWS + 2).map(|line| format!("orders.csv:{line}")).collect();
    expected.sort();
    assert_eq!(store.message_ids(), expected);
    assert!(lives > 1, "nothing was killed");
}

#[test]
fn the_shop_and_the_collector_agree() {
    let store = Store::new();
    let address = free_address();
    let settings = DemoSettings {
        events_per_second: 50_000,
        broken_per_mille: 20,
        ..DemoSettings::new(5, START_US)
    };
    let done = Arc::new(AtomicBool::new(false));
    let ended = done.clone();
    let sender = std::thread::spawn(move || {
        let client = ClientSettings::new(format!("http://{address}"), "key");
        let traffic = Traffic::new(Shop::new(settings), &client).unwrap();
        let totals = traffic.run(Some(150), &AtomicBool::new(false), &mut |_| {});
        ended.store(true, Ordering::Relaxed);
        totals.unwrap()
    });
    store.life(|collector| async move {
        let ended = async {
            while !done.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = serve(collector, address) => {}
            () = ended => {}
        }
    });
    let totals = sender.join().unwrap();
    assert_eq!(totals.surprises, 0, "{totals:?}");
    assert!(totals.facts.orders > 10 && totals.refused > 5, "{totals:?}");
    assert_eq!(store.events().len() as u64, totals.facts.events);
    assert_eq!(store.dead_letters().len() as u64, totals.facts.broken);
}
