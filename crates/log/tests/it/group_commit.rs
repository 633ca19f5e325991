//! Many appenders, few fsyncs.

use crate::support::{Fixture, TOPIC, append, numbers, record, small};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tradewind_disk::OsDisk;
use tradewind_log::LogStore;
use tradewind_types::{Log, SystemClock, TopicSpec};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_appenders_share_fsyncs() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Counting::default());
    let (store, _) =
        LogStore::open(disk.clone(), dir.path(), Default::default(), Arc::new(SystemClock))
            .unwrap();
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    let before = disk.syncs.load(Ordering::Relaxed);
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
    let syncs = disk.syncs.load(Ordering::Relaxed) - before;
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

#[tokio::test]
async fn appends_beyond_what_may_be_in_flight_are_refused() {
    let mut fixture = Fixture::new(1);
    fixture.settings = small();
    fixture.settings.append_bytes_in_flight_max = 1000;
    let store = fixture.with_topic().await;
    // Alone it passes, though it is larger than the bound.
    append(&store, 0..10).await.unwrap();
    let both = futures::future::join(append(&store, 10..20), append(&store, 20..30)).await;
    // Inline disk calls end before the second begins, so nothing is refused here.
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(numbers(&store).await.len(), 30);
}

/// The real disk, counting its fsyncs; each takes a while, as on a real one.
#[derive(Debug, Default)]
struct Counting {
    disk: OsDisk,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn tradewind_disk::DiskFile>,
    syncs: Arc<AtomicU64>,
}

impl tradewind_disk::Disk for Counting {
    fn open(
        &self,
        path: &std::path::Path,
        create: tradewind_disk::Create,
    ) -> std::io::Result<Arc<dyn tradewind_disk::DiskFile>> {
        let file = self.disk.open(path, create)?;
        Ok(Arc::new(CountingFile { file, syncs: self.syncs.clone() }))
    }

    fn create_dir_all(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }

    fn hard_link(&self, from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn remove_file(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn list(&self, path: &std::path::Path) -> std::io::Result<Vec<tradewind_disk::Entry>> {
        self.disk.list(path)
    }

    fn metadata(&self, path: &std::path::Path) -> std::io::Result<tradewind_disk::Entry> {
        self.disk.metadata(path)
    }

    fn available_bytes(&self, path: &std::path::Path) -> std::io::Result<u64> {
        self.disk.available_bytes(path)
    }
}

impl tradewind_disk::DiskFile for CountingFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> std::io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(2));
        self.file.sync()
    }

    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }

    fn try_lock(&self) -> std::io::Result<()> {
        self.file.try_lock()
    }
}
