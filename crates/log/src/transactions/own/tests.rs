//! Transactions of this process over a simulated disk.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::settings::LogSettings;
use bytes::Bytes;
use std::path::Path;
use tradewind_disk::{Disk, SimDisk};
use tradewind_types::log::Isolation;
use tradewind_types::{Clock, Log, ManualClock, TopicSpec};

const ID: &str = "tradewind-1.sink-1.0";

struct Fixture {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        Self { disk: SimDisk::new(3), clock: Arc::new(ManualClock::at(1_000_000)) }
    }

    fn open(&self) -> (LogStore, Arc<dyn TopicWriter>) {
        let settings = LogSettings { disk_reserve_bytes: 0, ..LogSettings::default() };
        let (disk, clock): (Arc<dyn Disk>, Arc<dyn Clock>) =
            (self.disk.clone(), self.clock.clone());
        let (store, _) = LogStore::open(disk, Path::new("/log"), settings, clock).unwrap();
        let writer = store.writer().unwrap();
        (store, writer)
    }

    async fn with_topic(&self) -> (LogStore, Arc<dyn TopicWriter>) {
        let (store, writer) = self.open();
        store.create_topic(&TopicSpec::new("t", 2)).await.unwrap();
        (store, writer)
    }

    fn reopen(&self, opened: (LogStore, Arc<dyn TopicWriter>)) -> (LogStore, Arc<dyn TopicWriter>) {
        drop(opened);
        self.disk.restart();
        self.open()
    }
}

async fn write(writer: &Arc<dyn TopicWriter>, producer: Producer, value: &'static str) {
    writer.span(ID, producer, "t", &[0].into()).await.unwrap();
    let record = Record { value: Some(Bytes::from_static(value.as_bytes())), ..Record::default() };
    let end = writer.append(Some(producer), "t", 0, vec![record]).await.unwrap();
    writer.synced_to("t", 0, end).await.unwrap();
}

async fn shown(store: &LogStore) -> Vec<String> {
    let (mut from, mut values) = (0, Vec::new());
    loop {
        let read = store.read_on("t", 0, from, 1 << 20, Isolation::ReadCommitted).await.unwrap();
        let texts = read.records.into_iter().filter_map(|found| found.record.value);
        values.extend(texts.map(|value| String::from_utf8(value.to_vec()).unwrap()));
        if read.next == from {
            return values;
        }
        from = read.next;
    }
}

fn stable(store: &LogStore) -> bool {
    let marks = store.watermarks("t", 0).unwrap();
    marks.last_stable == marks.high_watermark
}

#[tokio::test]
async fn what_is_staged_is_committed_after_any_time_and_restart_and_again() {
    let fixture = Fixture::new();
    let (store, writer) = fixture.with_topic().await;
    let producer = writer.begin(ID).await.unwrap();
    write(&writer, producer, "one").await;
    assert!(shown(&store).await.is_empty() && !stable(&store));
    let (store, writer) = fixture.reopen((store, writer));
    fixture.clock.advance_us(400 * 86_400 * 1_000_000);
    store.transactions().sweep().await.unwrap();
    assert!(!stable(&store), "no sweep ends it");
    let next = writer.commit(ID, producer).await.unwrap();
    assert_eq!((shown(&store).await, stable(&store)), (vec!["one".to_owned()], true));
    assert_eq!(writer.commit(ID, producer).await.unwrap(), next);
    // The next transaction has another producer: committing the first again is not meant for it.
    write(&writer, next, "two").await;
    assert_eq!(writer.commit(ID, producer).await.unwrap(), next);
    assert_eq!(shown(&store).await, ["one"]);
    let (store, writer) = fixture.reopen((store, writer));
    writer.abort(ID).await.unwrap();
    assert_eq!(writer.commit(ID, producer).await.unwrap().id, producer.id);
    assert_eq!((shown(&store).await, stable(&store)), (vec!["one".to_owned()], true));
    let refused = writer.commit(ID, next).await.unwrap_err().to_string();
    assert!(refused.contains("not in a state"), "{refused}");
}

#[tokio::test]
async fn who_takes_over_shuts_out_who_was_there() {
    let fixture = Fixture::new();
    let (store, writer) = fixture.with_topic().await;
    let old = writer.begin(ID).await.unwrap();
    write(&writer, old, "old").await;
    let new = writer.begin(ID).await.unwrap();
    assert!(stable(&store), "what was open is aborted");
    assert!(writer.span(ID, old, "t", &[0].into()).await.is_err());
    let late = writer.append(Some(old), "t", 0, vec![Record::default()]).await;
    assert!(late.is_err() && stable(&store), "it opens nothing behind the abort");
    write(&writer, new, "new").await;
    writer.commit(ID, new).await.unwrap();
    assert_eq!(shown(&store).await, ["new"]);
}

#[tokio::test]
async fn clients_cannot_use_its_ids_and_no_sweep_forgets_them() {
    let fixture = Fixture::new();
    let (store, writer) = fixture.with_topic().await;
    let coordinator = store.transactions();
    let producer = writer.begin(ID).await.unwrap();
    let client = identity(producer);
    assert_eq!(coordinator.init(ID, 60_000, None).await, Err(TransactionError::Reserved));
    let places: BTreeSet<_> = [("t".to_owned(), 0)].into();
    let added = coordinator.add_partitions(ID, client, places, 0).await;
    assert_eq!(added, Err(TransactionError::Reserved));
    write(&writer, producer, "one").await;
    let ending = Ending { identity: client, commit: false, bumps: false };
    assert_eq!(coordinator.end(ID, ending).await, Err(TransactionError::Reserved));
    assert!(matches!(
        coordinator.init("mine", OWN_TIMEOUT_MS, None).await,
        Err(TransactionError::Timeout { .. })
    ));
    writer.commit(ID, producer).await.unwrap();
    fixture.clock.advance_us(400 * 86_400 * 1_000_000);
    coordinator.sweep().await.unwrap();
    assert_eq!(writer.ids().await.unwrap(), [ID]);
    writer.forget(ID).await.unwrap();
    writer.forget(ID).await.unwrap();
    assert!(writer.ids().await.unwrap().is_empty());
    coordinator.init(ID, 60_000, None).await.unwrap();
}

#[tokio::test]
async fn epochs_are_never_used_up() {
    let fixture = Fixture::new();
    let (store, writer) = fixture.with_topic().await;
    let mut producer = writer.begin(ID).await.unwrap();
    let first = producer;
    {
        let coordinator = store.transactions();
        let entry = coordinator.known(ID).unwrap();
        entry.state.lock().transaction.epoch = i16::MAX - 2;
        producer.epoch = i16::MAX - 2;
    }
    for value in ["one", "two", "three"] {
        write(&writer, producer, value).await;
        producer = writer.commit(ID, producer).await.unwrap();
    }
    assert!(producer.id != first.id && producer.epoch < 10, "{producer:?}");
    assert_eq!(shown(&store).await, ["one", "two", "three"]);
}

/// The power fails at each operation of a commit in turn: it is committed by the next life.
#[tokio::test(start_paused = true)]
async fn a_commit_that_the_power_cuts_short_is_finished_by_the_next_life() {
    let mut cuts = 0;
    for cut in 0..30 {
        let fixture = Fixture::new();
        let (store, writer) = fixture.with_topic().await;
        let producer = writer.begin(ID).await.unwrap();
        write(&writer, producer, "one").await;
        fixture.disk.cut_power_after(cut);
        let committed = writer.commit(ID, producer).await;
        cuts += u64::from(committed.is_err());
        fixture.disk.power_on();
        drop((store, writer));
        let (store, writer) = fixture.open();
        writer.commit(ID, producer).await.unwrap();
        assert_eq!((shown(&store).await, stable(&store)), (vec!["one".to_owned()], true), "{cut}");
    }
    assert!((3..30).contains(&cuts), "{cuts} commits were cut short");
}
