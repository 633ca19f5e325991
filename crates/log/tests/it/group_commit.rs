//! Many appenders, few fsyncs; and no more waiting than was agreed.

use crate::hooked::{Hooked, Hooks};
use crate::support::{TOPIC, number, numbers, record};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tradewind_disk::OsDisk;
use tradewind_log::{LogSettings, LogStore};
use tradewind_types::{Log, LogError, SystemClock, TopicSpec};

/// Counts fsyncs, each of which takes a while, as on a real disk; holds writes when told to.
#[derive(Debug, Default)]
struct Slow {
    syncs: AtomicU64,
    gate_closed: AtomicBool,
    at_gate: AtomicU64,
}

impl Hooks for Slow {
    fn syncs_file(&self, _: &Path) -> bool {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
        true
    }

    fn before_write(&self, path: &Path, _: &[u8]) {
        if path.extension().is_some_and(|kind| kind == "log") {
            self.at_gate.fetch_add(1, Ordering::Relaxed);
            while self.gate_closed.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn open(dir: &Path, settings: LogSettings) -> (LogStore, Arc<Slow>) {
    let hooks = Arc::new(Slow::default());
    let disk = Hooked { disk: Arc::new(OsDisk), hooks: hooks.clone() };
    let settings = LogSettings { disk_reserve_bytes: 0, ..settings };
    let (store, _) = LogStore::open(Arc::new(disk), dir, settings, Arc::new(SystemClock)).unwrap();
    (store, hooks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_appenders_share_fsyncs() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hooks) = open(dir.path(), LogSettings::default());
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    let before = hooks.syncs.load(Ordering::Relaxed);
    let mut appenders = tokio::task::JoinSet::new();
    for appender in 0..100_u64 {
        let store = store.clone();
        appenders.spawn(async move {
            for n in 0..10 {
                store.append(TOPIC, 0, vec![record(appender * 10 + n, 50)]).await.unwrap();
            }
        });
    }
    while let Some(done) = appenders.join_next().await {
        done.unwrap();
    }
    let syncs = hooks.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs < 300, "{syncs} fsyncs for 1000 appends");
    let mut found = numbers(&store).await;
    // Each appender's records are in its order.
    for appender in 0..100 {
        let of = found.iter().filter(|n| *n / 10 == appender).collect::<Vec<_>>();
        assert!(of.is_sorted(), "{of:?}");
    }
    found.sort_unstable();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_beyond_what_may_be_in_flight_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings { append_bytes_in_flight_max: 1000, ..LogSettings::default() };
    let (store, hooks) = open(dir.path(), settings);
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    hooks.gate_closed.store(true, Ordering::Relaxed);
    // Alone one passes, though it is larger than the bound.
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.append(TOPIC, 0, vec![record(0, 2000)]).await }
    });
    while hooks.at_gate.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = store.append(TOPIC, 0, vec![record(1, 100)]).await.unwrap_err();
    assert!(
        matches!(&refused, LogError::Busy(text) if text.contains("append_bytes_in_flight_max"))
    );
    hooks.gate_closed.store(false, Ordering::Relaxed);
    first.await.unwrap().unwrap();
    store.append(TOPIC, 0, vec![record(2, 100)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_readers_and_retention_get_along() {
    const APPENDERS: u64 = 6;
    const APPENDS: u64 = 150;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = LogSettings { tail_bytes_max: 20_000, ..LogSettings::default() };
    settings.segments_open_max = 2;
    settings.topic.segment_bytes = 8192;
    settings.topic.retention_bytes = Some(60_000);
    let (store, _) = open(dir.path(), settings);
    store.create_topic(&TopicSpec::new(TOPIC, 2)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..4 {
        let (store, done) = (store.clone(), done.clone());
        readers.spawn(async move { read_to_the_end(&store, reader % 2, &done).await });
    }
    let keeper = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            while !done.load(Ordering::Relaxed) {
                store.maintain_once().await.unwrap();
                let name = "passing";
                store.create_topic(&TopicSpec::new(name, 1)).await.unwrap();
                store.append(name, 0, vec![record(0, 10)]).await.unwrap();
                store.delete_topic(name).await.unwrap();
            }
        }
    });
    let mut appenders = tokio::task::JoinSet::new();
    for appender in 0..APPENDERS {
        let store = store.clone();
        appenders.spawn(async move {
            for n in 0..APPENDS {
                let records = vec![record(appender * APPENDS + n, 300)];
                store.append(TOPIC, (appender % 2) as i32, records).await.unwrap();
            }
        });
    }
    while let Some(ended) = appenders.join_next().await {
        ended.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    store.append(TOPIC, 0, vec![record(1_000_000, 1)]).await.unwrap();
    store.append(TOPIC, 1, vec![record(1_000_000, 1)]).await.unwrap();
    keeper.await.unwrap();
    while let Some(ended) = readers.join_next().await {
        assert!(ended.unwrap() > 0);
    }
    store.maintain_once().await.unwrap();
    assert!(store.stats().iter().all(|partition| partition.watermarks.log_start > 0));
    store.close().await.unwrap();
}

/// Follows a partition until the record that is the last; returns how many it has read.
async fn read_to_the_end(store: &LogStore, partition: i32, done: &AtomicBool) -> u64 {
    let (mut from, mut read) = (0, 0);
    loop {
        let mut seen = [i64::MAX; 2];
        seen[partition as usize] = from;
        store.wait(TOPIC, &seen).await.unwrap();
        match store.read(TOPIC, partition, from, 4000).await {
            Ok(records) => {
                for found in records {
                    assert_eq!(found.offset, from);
                    from += 1;
                    read += 1;
                    if number(&found.record) == 1_000_000 {
                        assert!(done.load(Ordering::Relaxed));
                        return read;
                    }
                }
            }
            Err(LogError::OutOfRange { log_start, .. }) => from = log_start,
            Err(other) => panic!("{other}"),
        }
    }
}
