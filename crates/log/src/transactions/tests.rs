//! The coordinator over a simulated disk, without the wire.
#![allow(clippy::unwrap_used)]

mod compaction;

use super::*;
use crate::batch;
use crate::group::{self, Commit, GroupCoordinator, GroupSettings, PartOf};
use crate::settings::{LogSettings, TopicDefaults};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use tradewind_disk::{Disk, SimDisk};
use tradewind_types::log::Isolation;
use tradewind_types::{Log, ManualClock, Record, TopicSpec};

struct Fixture {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    settings: LogSettings,
}

impl Fixture {
    fn new() -> Self {
        let topic = TopicDefaults { segment_bytes: 1024, ..TopicDefaults::default() };
        Self {
            disk: SimDisk::new(5),
            clock: Arc::new(ManualClock::at(1_000_000)),
            settings: LogSettings { disk_reserve_bytes: 0, topic, ..LogSettings::default() },
        }
    }

    fn open(&self) -> Arc<Coordinator> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let dir = Path::new("/log");
        let (store, report) = LogStore::open(disk, dir, self.settings.clone(), clock).unwrap();
        assert!(report.corruptions.is_empty(), "{report:?}");
        Coordinator::new(store)
    }

    async fn with_topic(&self) -> Arc<Coordinator> {
        let coordinator = self.open();
        coordinator.store.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
        coordinator
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = self.disk.list(Path::new("/log/t/0")).unwrap();
        let named = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path).filter(named).collect();
        paths.sort();
        paths
    }
}

async fn begin(coordinator: &Arc<Coordinator>, id: &str) -> Identity {
    loop {
        match coordinator.init(id, 60_000, None).await {
            Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

async fn add(coordinator: &Arc<Coordinator>, id: &str, client: Identity, topic: &str) {
    loop {
        let places = [(topic.to_owned(), 0)].into();
        match coordinator.add_partitions(id, client, places, 0).await {
            Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

/// One transaction of one record.
async fn transaction(
    coordinator: &Arc<Coordinator>,
    id: &str,
    client: Identity,
    sequence: i32,
    commit: bool,
) {
    add(coordinator, id, client, "t").await;
    send(coordinator, client, sequence).await;
    end(coordinator, id, client, commit).await;
}

async fn send(coordinator: &Arc<Coordinator>, client: Identity, sequence: i32) {
    let value = Some(Bytes::from(format!("{sequence:0>300}")));
    let records = [Record { value, ..Record::default() }];
    let batch = batch::numbered(&records, client, sequence, true);
    let guard = coordinator.store.transaction_guard("t", 0, client).unwrap();
    coordinator.store.append_verified("t", 0, batch, true, guard).await.unwrap();
}

async fn end(coordinator: &Arc<Coordinator>, id: &str, client: Identity, commit: bool) {
    let ending = Ending { identity: client, commit, bumps: false };
    coordinator.end(id, ending).await.unwrap();
    settle(coordinator).await;
}

async fn settle(coordinator: &Arc<Coordinator>) {
    for _ in 0..1_000 {
        let all = coordinator.list().await.unwrap();
        if all.iter().all(|(_, transaction)| !transaction.phase.prepared()) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("what was prepared is never complete");
}

/// The sequence numbers a reader of what is committed is shown.
async fn shown(coordinator: &Arc<Coordinator>) -> Vec<i32> {
    let store = &coordinator.store;
    let mut from = store.watermarks("t", 0).unwrap().log_start;
    let mut numbers = Vec::new();
    loop {
        let read = store.read_on("t", 0, from, 500, Isolation::ReadCommitted).await.unwrap();
        let number = |value: &Bytes| String::from_utf8(value.to_vec()).unwrap().parse::<i32>();
        let values = read.records.iter().map(|found| found.record.value.as_ref().unwrap());
        numbers.extend(values.map(|value| number(value).unwrap()));
        if read.next == from {
            assert_eq!(from, store.watermarks("t", 0).unwrap().last_stable);
            return numbers;
        }
        from = read.next;
    }
}

fn restarted(fixture: &Fixture, coordinator: Arc<Coordinator>) -> Arc<Coordinator> {
    drop(coordinator);
    fixture.disk.restart();
    fixture.open()
}

#[tokio::test]
async fn aborted_transactions_stay_hidden_over_segments_and_restarts() {
    let fixture = Fixture::new();
    let mut coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "id").await;
    for sequence in 0..20 {
        transaction(&coordinator, "id", client, sequence, sequence % 3 == 0).await;
    }
    let due: Vec<i32> = (0..20).filter(|sequence| sequence % 3 == 0).collect();
    assert_eq!(shown(&coordinator).await, due);
    assert!(fixture.files("txnindex").len() > 3, "sealed segments have indexes");
    coordinator = restarted(&fixture, coordinator);
    assert_eq!(shown(&coordinator).await, due, "after a kill");
    coordinator.store.close().await.unwrap();
    coordinator = restarted(&fixture, coordinator);
    assert_eq!(shown(&coordinator).await, due, "after a close");
    for harm in 0..3 {
        for (number, path) in fixture.files("txnindex").iter().enumerate() {
            match (harm, number % 2) {
                (0, 0) | (1, _) => fixture.disk.remove_file(path).unwrap(),
                (2, _) => {
                    let file = fixture.disk.open(path, tradewind_disk::Create::No).unwrap();
                    file.write_all_at(&[9], 30).unwrap();
                }
                _ => {}
            }
        }
        coordinator = restarted(&fixture, coordinator);
        assert_eq!(shown(&coordinator).await, due, "indexes are made anew, harm {harm}");
    }
    for path in fixture.files("producers").into_iter().chain(fixture.files("txnindex")) {
        fixture.disk.remove_file(&path).unwrap();
    }
    coordinator = restarted(&fixture, coordinator);
    assert_eq!(shown(&coordinator).await, due, "without any of the files");
}

#[tokio::test]
async fn a_long_transaction_over_segments_is_hidden_whole_and_holds_retention() {
    let mut fixture = Fixture::new();
    fixture.settings.topic.retention_bytes = Some(1);
    let coordinator = fixture.with_topic().await;
    let (long, short) = (begin(&coordinator, "long").await, begin(&coordinator, "short").await);
    add(&coordinator, "long", long, "t").await;
    send(&coordinator, long, 0).await;
    for sequence in 0..12 {
        transaction(&coordinator, "short", short, sequence, false).await;
        send(&coordinator, long, sequence + 1).await;
    }
    coordinator.store.maintain_once().await.unwrap();
    assert_eq!(coordinator.store.watermarks("t", 0).unwrap().log_start, 0, "it is still open");
    assert!(shown(&coordinator).await.is_empty());
    let coordinator = restarted(&fixture, coordinator);
    settle(&coordinator).await;
    end(&coordinator, "long", long, true).await;
    assert_eq!(shown(&coordinator).await, (0..13).collect::<Vec<_>>());
    coordinator.store.maintain_once().await.unwrap();
    let start = coordinator.store.watermarks("t", 0).unwrap().log_start;
    assert!(start > 0, "now its segments may go");
    assert!(fixture.files("txnindex").len() < 3, "and their indexes with them");
}

#[tokio::test]
async fn the_state_topic_stays_small_and_loses_nothing() {
    let fixture = Fixture::new();
    let coordinator = fixture.with_topic().await;
    let keeps = begin(&coordinator, "keeps").await;
    add(&coordinator, "keeps", keeps, "t").await;
    let client = begin(&coordinator, "busy").await;
    for _ in 0..12 {
        // As much as many transactions would have written.
        coordinator.written_bytes.store(1 << 30, std::sync::atomic::Ordering::Relaxed);
        let many = (0..20_000).map(|partition| ("t".to_owned(), partition)).collect();
        let mut wide = coordinator.describe("busy").await.unwrap();
        wide.partitions = many;
        wide.phase = Phase::Ongoing;
        for _ in 0..4 {
            coordinator.write("busy", Some(&wide)).await.unwrap();
        }
        coordinator.sweep().await.unwrap();
    }
    let marks = coordinator.store.watermarks(STATE_TOPIC, 0).unwrap();
    assert!(marks.log_start > 0, "{marks:?}");
    let stats = coordinator.store.stats();
    let state = stats.iter().find(|partition| partition.topic == STATE_TOPIC).unwrap();
    assert!(state.bytes < 4 << 20, "{} bytes", state.bytes);
    let coordinator = restarted(&fixture, coordinator);
    let kept = coordinator.describe("keeps").await.unwrap();
    assert_eq!((kept.identity(), kept.phase), (keeps, Phase::Ongoing));
    assert_eq!(coordinator.describe("busy").await.unwrap().identity(), client);
}

#[tokio::test]
async fn ids_expire_and_are_bounded() {
    let mut fixture = Fixture::new();
    fixture.settings.transactions.ids_max = 2;
    let coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "open").await;
    add(&coordinator, "open", client, "t").await;
    begin(&coordinator, "idle").await;
    let third = coordinator.init("third", 60_000, None).await;
    assert_eq!(third, Err(TransactionError::TooMany { max: 2 }));
    // The sweep aborts what is overdue; a week later that has been idle for a week.
    fixture.clock.advance_us(60_001 * 1_000);
    coordinator.sweep().await.unwrap();
    settle(&coordinator).await;
    let week_ms = fixture.settings.transactions.id_expiration_ms;
    fixture.clock.advance_us((week_ms - 60_001) * 1_000);
    coordinator.sweep().await.unwrap();
    assert_eq!(coordinator.describe("idle").await, Err(TransactionError::UnknownProducer));
    assert_eq!(coordinator.describe("open").await.unwrap().phase, Phase::CompleteAbort);
    let coordinator = restarted(&fixture, coordinator);
    assert_eq!(coordinator.list().await.unwrap().len(), 1, "it is forgotten durably");
    begin(&coordinator, "third").await;
}

/// Producer, epoch, whether it was committed, partition.
type Told = (i64, i16, bool, PartitionId);

#[derive(Default)]
struct Heard(Mutex<Vec<Told>>);

#[async_trait]
impl TransactionListener for Heard {
    async fn transaction_ended(&self, partition: PartitionId, id: i64, epoch: i16, commit: bool) {
        self.0.lock().push((id, epoch, commit, partition));
    }
}

#[tokio::test]
async fn listeners_hear_of_transactions_with_offsets_once_the_marker_is_durable() {
    let fixture = Fixture::new();
    let coordinator = fixture.with_topic().await;
    coordinator.store.create_topic(&TopicSpec::new(OFFSETS_TOPIC, 1)).await.unwrap();
    let heard = Arc::new(Heard::default());
    coordinator.listen(heard.clone());
    let client = begin(&coordinator, "id").await;
    transaction(&coordinator, "id", client, 0, true).await;
    assert!(heard.0.lock().is_empty(), "without offsets there is nothing to tell");
    for commit in [true, false] {
        add(&coordinator, "id", client, OFFSETS_TOPIC).await;
        end(&coordinator, "id", client, commit).await;
        let told = heard.0.lock().pop();
        assert_eq!(told, Some((client.0, client.1, commit, 0)));
    }
    let marks = coordinator.store.watermarks(OFFSETS_TOPIC, 0).unwrap();
    assert_eq!(marks.high_watermark, 2);
}

#[tokio::test]
async fn a_topic_that_is_removed_does_not_hold_up_the_end() {
    let fixture = Fixture::new();
    let coordinator = fixture.with_topic().await;
    let client = begin(&coordinator, "id").await;
    add(&coordinator, "id", client, "t").await;
    coordinator.store.delete_topic("t").await.unwrap();
    end(&coordinator, "id", client, true).await;
    assert_eq!(coordinator.describe("id").await.unwrap().phase, Phase::CompleteCommit);
}

/// What a producer is told while the decision on the next one's transaction is being written.
#[tokio::test]
async fn who_was_fenced_is_told_so_while_the_next_transaction_completes() {
    let fixture = Fixture::new();
    let coordinator = fixture.with_topic().await;
    let fenced = begin(&coordinator, "id").await;
    // Two epochs on, so that it is not the one whose answer may have been lost either.
    begin(&coordinator, "id").await;
    let heir = begin(&coordinator, "id").await;
    add(&coordinator, "id", heir, "t").await;
    let held = coordinator.writing.write().await;
    let this = Arc::clone(&coordinator);
    let ending = Ending { identity: heir, commit: true, bumps: true };
    let ends = tokio::spawn(async move { this.end("id", ending).await });
    let entry = coordinator.entry("id").await.unwrap();
    while !entry.state.lock().pending {
        tokio::task::yield_now().await;
    }
    let place = ("t".to_owned(), 0);
    for (client, due) in [(fenced, TransactionError::Fenced), (heir, TransactionError::Concurrent)]
    {
        let added = coordinator.add_partitions("id", client, [("t".to_owned(), 1)].into(), 0).await;
        assert_eq!(added, Err(due.clone()));
        for bumps in [true, false] {
            let ending = Ending { identity: client, commit: true, bumps };
            assert_eq!(coordinator.end("id", ending).await, Err(due.clone()), "bumps {bumps}");
        }
    }
    let verified = coordinator.verify("id", fenced, &place).await;
    assert_eq!(verified, Err(TransactionError::Fenced));
    assert_eq!(coordinator.verify("id", heir, &place).await, Ok(()), "it is still open");
    drop(held);
    assert_eq!(ends.await.unwrap(), Ok((heir.0, heir.1 + 1)));
}

#[tokio::test]
async fn offsets_of_a_transaction_are_open_in_their_partition_whoever_commits_beside() {
    let fixture = Fixture::new();
    let coordinator = fixture.with_topic().await;
    let store = &coordinator.store;
    let groups = GroupCoordinator::new(store.clone(), GroupSettings::default());
    let runs = groups.clone();
    tokio::spawn(async move { runs.run().await });
    let at = groups.offsets_partition_of("g").await.unwrap();
    let client = begin(&coordinator, "id").await;
    let places = [(OFFSETS_TOPIC.to_owned(), at)].into();
    coordinator.add_partitions("id", client, places, 0).await.unwrap();
    let guard = || store.transaction_guard(OFFSETS_TOPIC, at, client).unwrap();
    let part_of = Some(PartOf { producer: client, verified: guard() });
    let commit = |partition, part_of| {
        let who = group::Identity { member_id: "".into(), instance: None, generation: -1 };
        let offset = group::Committed {
            offset: 7,
            leader_epoch: -1,
            metadata: "".into(),
            committed_at_ms: 0,
            expires_at_ms: None,
            record: 0,
        };
        let offsets = vec![(("t".into(), partition), offset)];
        groups.commit(Commit { group: "g".into(), who, part_of, offsets, retention_ms: None })
    };
    // Queued together, so that they could be written together.
    let (plain, of_transaction) = futures::join!(commit(0, None), commit(1, part_of));
    assert_eq!((plain, of_transaction), (Ok(vec![Ok(())]), Ok(vec![Ok(())])));
    assert_eq!(guard(), None, "the partition knows that it is open");
    let marks = store.watermarks(OFFSETS_TOPIC, at).unwrap();
    assert_eq!((marks.last_stable, marks.high_watermark), (1, 2));
}
