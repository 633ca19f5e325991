//! A writer that ends in the midst of an append: nobody is told that nothing was kept.

use crate::hooked::{Hooked, Hooks};
use crate::support::{TOPIC, numbers, record};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tradewind_disk::OsDisk;
use tradewind_log::{LogSettings, LogStore};
use tradewind_types::{Log, LogError, SystemClock, TopicSpec};

/// Holds writes to segments when told to, and panics after one.
#[derive(Debug, Default)]
struct Panics {
    gate_closed: AtomicBool,
    writes: AtomicU64,
    /// The write that ends in a panic, counted from 1; 0 is none.
    panics_after: AtomicU64,
}

impl Hooks for Panics {
    fn before_write(&self, path: &Path, _: &[u8]) {
        if path.extension().is_some_and(|kind| kind == "log") {
            self.writes.fetch_add(1, Ordering::Relaxed);
            while self.gate_closed.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn after_write(&self, path: &Path) {
        let is_log = path.extension().is_some_and(|kind| kind == "log");
        let write = self.writes.load(Ordering::Relaxed);
        assert!(!is_log || write != self.panics_after.load(Ordering::Relaxed), "on purpose");
    }
}

fn open(dir: &Path) -> (LogStore, Arc<Panics>) {
    let hooks = Arc::new(Panics::default());
    let disk = Hooked { disk: Arc::new(OsDisk), hooks: hooks.clone() };
    let settings = LogSettings { disk_reserve_bytes: 0, ..LogSettings::default() };
    let (store, _) = LogStore::open(Arc::new(disk), dir, settings, Arc::new(SystemClock)).unwrap();
    (store, hooks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_append_whose_writer_panicked_after_the_write_is_not_said_to_be_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hooks) = open(dir.path());
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    hooks.gate_closed.store(true, Ordering::Relaxed);
    let append = |n: u64| {
        let store = store.clone();
        tokio::spawn(async move { store.append(TOPIC, 0, vec![record(n, 50)]).await })
    };
    let first = append(0);
    while hooks.writes.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // These wait for the first and are written together by one of them, which panics.
    let mut others = vec![append(1), append(2), append(3)];
    tokio::time::sleep(Duration::from_millis(50)).await;
    hooks.panics_after.store(2, Ordering::Relaxed);
    hooks.gate_closed.store(false, Ordering::Relaxed);
    // It is written; whether it is durable before the panic stops everything is a race.
    if let Err(error) = first.await.unwrap() {
        assert!(matches!(error, LogError::Offline { .. }), "{error}");
    }
    let mut panics = 0;
    for other in others.drain(..) {
        match other.await {
            Err(error) => panics += u64::from(error.is_panic()),
            Ok(answer) => {
                let error = answer.unwrap_err();
                assert!(matches!(error, LogError::Offline { .. }), "{error}");
            }
        }
    }
    assert_eq!(panics, 1);
    let later = store.append(TOPIC, 0, vec![record(4, 50)]).await.unwrap_err();
    assert!(matches!(later, LogError::Offline { .. }), "{later}");
    assert!(store.stats()[0].offline.as_deref().is_some_and(|why| why.contains("writer ended")));
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(numbers(&store).await[0], 0);
    store.append(TOPIC, 0, vec![record(5, 50)]).await.unwrap();
}
