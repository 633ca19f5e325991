//! The model of the log's contract: producers, transactions, groups, compaction and retention in one
//! random history, with clients that crash, kills and power cuts. Each history comes from a seed that is
//! printed when the log does not keep its word.
//!
//! The word: a record that was acknowledged is there, once, where it was said to be, unless
//! retention or a client may have taken it or, of a compacted topic, a later one of its key is
//! there; records of a producer are in their order; what was removed by key does not come back. A
//! transaction that was committed is there whole, over all its partitions and its offsets, one that
//! was aborted or left is not seen at all, and one of which nobody knows is one or the other. A
//! committed offset never goes back; a member that another has replaced commits nothing. Who reads,
//! writes and commits his offsets in one transaction has each record's result exactly once.
//! `seeds` says how to run one or many.
#![allow(clippy::unwrap_used)]

mod committers;
mod flaws;
#[path = "../../tests/it/hooked.rs"]
mod hooked;
mod producers;
#[path = "../../tests/it/seeds.rs"]
mod seeds;
mod seen;
mod worker;

use crate::LogStore;
use crate::group::{GroupCoordinator, GroupSettings};
use crate::settings::{LogSettings, TopicDefaults};
use crate::transactions::{Coordinator, OFFSETS_TOPIC};
use committers::{Plain, Readers};
use flaws::{Flaw, LeftOut};
use futures::future::{join, join_all, join3};
use hooked::Hooked;
use producers::{Idempotent, Transactional};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use seen::Seen;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tradewind_disk::{Disk, Entry, SimDisk};
use tradewind_types::{Clock, Log, ManualClock, Offset, PartitionId, TopicSpec};
use worker::Worker;

const RUNS: u64 = 500;
/// The rarest flaw is noticed once in a few hundred runs.
const FLAWED_RUNS: u64 = 6_000;
const LIVES: u32 = 4;
/// Producers write to all of these but the last, which has what the worker makes of [`ORDERS`].
const PLACES: [(&str, PartitionId); 6] =
    [(ORDERS, 0), (ORDERS, 1), (ORDERS, 2), (PRICES, 0), (PRICES, 1), ("copies", 0)];
/// Retention takes its old records.
const ORDERS: &str = "orders";
/// Compacted.
const PRICES: &str = "prices";
const RETENTION_MS: i64 = 90_000;
const TOMBSTONES_MS: i64 = 20_000;

/// An index of [`PLACES`].
type Spot = usize;
/// What producers write to.
const WRITTEN: std::ops::Range<Spot> = 0..5;
/// The worker's.
const COPIES: Spot = 5;

fn compacted(spot: Spot) -> bool {
    PLACES[spot].0 == PRICES
}

#[test]
fn the_log_keeps_its_word() {
    let mut all = Tally::default();
    let each = seeds::each(RUNS, |seed| run(seed, Flaw::None), |tally| all.add(&tally));
    let Some(runs) = each else { return };
    println!("{all:?}");
    // The simulation is worth its name: each of these happens often.
    let often = |what: &str, times: u64| assert!(all.0[what] > times, "{what}: {all:?}");
    for (what, share) in [
        ("acknowledged", 10),
        ("committed", 1),
        ("copied", 1),
        ("plain commits", 1),
        ("members' commits", 1),
    ] {
        often(what, share * runs);
    }
    for (what, one_in) in [
        ("repeated", 5),
        ("aborted", 2),
        ("unknown", 50),
        ("killed", 10),
        ("cut", 2),
        ("compacted", 2),
        ("superseded", 2),
        ("retained", 10),
        ("files lost", 1),
        ("deleted", 10),
        ("zombies refused", 20),
        ("members refused", 10),
    ] {
        often(what, runs / one_in);
    }
}

#[test]
fn whatever_is_broken_is_noticed() {
    let only = std::env::var("TRADEWIND_FLAW").ok();
    for flaw in flaws::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{flaw:?}")) {
            continue;
        }
        let noticed = seeds::noticed(FLAWED_RUNS, 1, |seed| run(seed, flaw));
        println!("{flaw:?}: noticed by {noticed:?}");
        assert!(!noticed.is_empty(), "{flaw:?} was not noticed in {FLAWED_RUNS} runs");
    }
}

/// How often what happened, so that it is known to have been tried.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.count(what, *times));
    }
}

fn run(seed: u64, flaw: Flaw) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    seeds::caught(&runtime, Run::new(seed, flaw).lives())
}

/// A server: the log and its coordinators.
struct Server {
    store: LogStore,
    coordinator: Arc<Coordinator>,
    groups: GroupCoordinator,
    /// Where the groups' coordinator is at work.
    coordinating: JoinHandle<()>,
    clock: Arc<ManualClock>,
    flaw: Flaw,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.coordinating.abort();
    }
}

struct Run {
    flaw: Flaw,
    disk: Arc<SimDisk>,
    seen_by_store: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    rng: StdRng,
    idempotent: Vec<Idempotent>,
    transactional: Vec<Transactional>,
    worker: Worker,
    plain: Plain,
    readers: Readers,
    /// Up to where clients had records deleted, or may have.
    deleted_to: BTreeMap<Spot, Offset>,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let disk = SimDisk::new(seed);
        let hooks = Arc::new(LeftOut::of(flaw));
        Self {
            flaw,
            seen_by_store: Arc::new(Hooked { disk: disk.clone(), hooks }),
            disk,
            clock: Arc::new(ManualClock::at(1_000_000)),
            rng: StdRng::seed_from_u64(seed ^ 0x7472_616e),
            idempotent: (0..2).map(|number| Idempotent::new(seed, number)).collect(),
            transactional: (0..2).map(|number| Transactional::new(seed, number)).collect(),
            worker: Worker::new(seed),
            plain: Plain::new(seed),
            readers: Readers::new(seed),
            deleted_to: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    async fn lives(mut self) -> Result<Tally, String> {
        for _ in 0..LIVES {
            let server = self.start().await?;
            self.verify(&server).await?;
            self.live(server).await?;
        }
        let server = self.start().await?;
        self.verify(&server).await?;
        // With nothing open any more, nothing is hidden or pending.
        for client in &mut self.transactional {
            client.begin(&server).await;
        }
        self.worker.begin_anew(&server).await;
        server.settle().await?;
        server.check_all_ended()?;
        self.verify(&server).await?;
        // Whatever compaction and retention do now, it shows the same.
        for _ in 0..3 {
            self.pass(TOMBSTONES_MS * 1_000);
            self.maintain(&server).await;
            self.verify(&server).await?;
        }
        self.count();
        Ok(self.tally)
    }

    fn count(&mut self) {
        let tally = &mut self.tally;
        self.idempotent.iter().for_each(|client| client.count(tally));
        self.transactional.iter().for_each(|client| client.count(tally));
        self.worker.count(tally);
        self.plain.count(tally);
        self.readers.count(tally);
    }

    fn settings(&mut self) -> LogSettings {
        let topic = TopicDefaults {
            segment_bytes: 1024,
            min_dirty_millionths: 0,
            delete_retention_ms: TOMBSTONES_MS,
            retention_ms: match self.flaw {
                Flaw::RetainedTooShort => Some(RETENTION_MS / 3),
                _ => Some(RETENTION_MS),
            },
            ..TopicDefaults::default()
        };
        LogSettings {
            disk_reserve_bytes: 0,
            tail_bytes_max: 0,
            producer_expiration_ms: match self.flaw {
                Flaw::StateNotRestored => 0,
                _ => 86_400_000,
            },
            // Fewer than there are: then a partition takes several rounds.
            compaction_keys_max: if self.rng.random_bool(0.3) { 3 } else { 100 },
            topic,
            ..LogSettings::default()
        }
    }

    /// Takes away what only spares a start the reading, as an administrator may.
    fn lose_what_can_be_made_anew(&mut self) {
        for (topic, partition) in PLACES.into_iter().chain([(OFFSETS_TOPIC, 0)]) {
            let folder = Path::new("/log").join(topic).join(partition.to_string());
            for Entry { path, .. } in self.disk.list(&folder).unwrap_or_default() {
                if path.extension().is_some_and(|kind| kind == "producers" || kind == "txnindex") {
                    self.disk.remove_file(&path).unwrap();
                    self.tally.count("files lost", 1);
                }
            }
        }
    }

    async fn start(&mut self) -> Result<Server, String> {
        self.disk.set_now_ms(self.clock.now_ms());
        if self.rng.random_bool(0.3) {
            self.lose_what_can_be_made_anew();
        }
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (disk, settings) = (self.seen_by_store.clone(), self.settings());
        let opened = LogStore::open(disk, Path::new("/log"), settings, clock);
        let (store, report) = opened.map_err(|error| format!("it does not start: {error}"))?;
        if !report.corruptions.is_empty() {
            return Err(format!("corrupt: {:?}", report.corruptions));
        }
        make_topics(&store).await?;
        let coordinator = store.transactions();
        let settings = GroupSettings {
            initial_rebalance_delay: Duration::from_millis(100),
            ..GroupSettings::default()
        };
        let groups = GroupCoordinator::new(store.clone(), settings);
        coordinator.listen(Arc::new(groups.clone()));
        let runs = groups.clone();
        let coordinating = tokio::spawn(async move { runs.run().await });
        let (clock, flaw) = (Arc::clone(&self.clock), self.flaw);
        let server = Server { store, coordinator, groups, coordinating, clock, flaw };
        server.groups.ready().await.map_err(|error| error.to_string())?;
        server.settle().await?;
        Ok(server)
    }

    /// Does this and that until the power fails or the life is over.
    async fn live(&mut self, server: Server) -> Result<(), String> {
        self.disk.cut_power_after(self.rng.random_range(20..600));
        let mut killed = false;
        for _ in 0..40 {
            match self.rng.random_range(0..100) {
                0..68 => self.clients(&server).await,
                68..78 => {
                    self.pass(30_000_000);
                    let _ = server.coordinator.sweep().await;
                }
                78..86 => self.maintain(&server).await,
                86..88 => tokio::task::yield_now().await,
                88..91 => self.delete(&server).await,
                94..97 => self.look(&server).await?,
                91..93 => {
                    killed = true;
                    break;
                }
                93..94 => {
                    let _ = server.store.close().await;
                    break;
                }
                _ => {}
            }
            if !self.disk.powered() {
                break;
            }
        }
        drop(server);
        self.disk.cut_power_after(0);
        self.wind_down().await;
        if killed || self.rng.random_bool(0.3) {
            self.tally.count("killed", 1);
            self.disk.restart();
        } else {
            self.tally.count("cut", 1);
            self.disk.power_on();
        }
        self.readers.broken()
    }

    /// Lets the tasks of a server that is gone come to their end: they find no disk.
    async fn wind_down(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Time passes, microseconds.
    fn pass(&mut self, most: i64) {
        self.clock.advance_us(self.rng.random_range(0..=most));
        self.disk.set_now_ms(self.clock.now_ms());
    }

    /// Holds the log against its word in the midst of a life, unless the power has failed.
    async fn look(&mut self, server: &Server) -> Result<(), String> {
        if server.settle().await.is_err() {
            return Ok(());
        }
        match self.verify(server).await {
            Err(broken) if self.disk.powered() => Err(broken),
            _ => Ok(()),
        }
    }

    async fn maintain(&mut self, server: &Server) {
        if let Ok(done) = server.store.maintain_once().await {
            self.tally.count("retained", done.segments);
            self.tally.count("compacted", done.compacted_segments);
        }
    }

    /// A client has the oldest orders of a partition deleted.
    async fn delete(&mut self, server: &Server) {
        let spot = self.rng.random_range(0..3);
        let (topic, partition) = PLACES[spot];
        let Ok(marks) = server.store.watermarks(topic, partition) else { return };
        let before = marks.log_start + (marks.last_stable - marks.log_start) / 4;
        let to = self.deleted_to.entry(spot).or_default();
        *to = before.max(*to);
        let deleted = server.store.delete_records(topic, partition, Some(before)).await;
        self.tally.count("deleted", u64::from(deleted.is_ok()));
    }

    /// Every client does its next thing, all at once.
    async fn clients(&mut self, server: &Server) {
        let idempotent = join_all(self.idempotent.iter_mut().map(|client| client.step(server)));
        let transactional =
            join_all(self.transactional.iter_mut().map(|client| client.step(server)));
        let plain = join(self.plain.step(server), self.readers.step(server));
        join3(join(idempotent, transactional), self.worker.step(server), plain).await;
    }

    async fn verify(&mut self, server: &Server) -> Result<(), String> {
        let mut seen = Seen::default();
        for spot in 0..PLACES.len() {
            server.read(spot, &mut seen).await?;
        }
        for client in &self.idempotent {
            client.tombstones(&mut seen);
        }
        for client in &self.transactional {
            client.tombstones(&mut seen);
        }
        seen.deleted_to = self.deleted_to.clone();
        seen.now_ms = self.clock.now_ms();
        self.idempotent.iter().try_for_each(|client| client.verify(&seen))?;
        self.transactional.iter().try_for_each(|client| client.verify(&seen))?;
        self.tally.count("superseded", seen.superseded.get());
        self.worker.verify(server, &seen)?;
        self.plain.verify(server)?;
        self.readers.verify(server)
    }
}

async fn make_topics(store: &LogStore) -> Result<(), String> {
    let compact = || ("cleanup.policy".to_owned(), "compact".to_owned());
    let kept = || ("retention.ms".to_owned(), "-1".to_owned());
    for (name, partitions, settings) in [
        (ORDERS, 3, BTreeMap::new()),
        (PRICES, 2, BTreeMap::from([compact()])),
        (PLACES[COPIES].0, 1, BTreeMap::from([kept()])),
        // With the small segments of all topics here, so that it is compacted.
        (OFFSETS_TOPIC, 1, BTreeMap::from([compact(), kept()])),
    ] {
        if store.topic(name).is_none() {
            let spec = TopicSpec { settings, ..TopicSpec::new(name, partitions) };
            store.create_topic(&spec).await.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

impl Server {
    /// Waits until everything that was decided is done.
    async fn settle(&self) -> Result<(), String> {
        for _ in 0..1_000 {
            self.coordinator.sweep().await.map_err(|error| error.to_string())?;
            let all = self.coordinator.list().await.map_err(|error| error.to_string())?;
            if all.iter().all(|(_, transaction)| !transaction.phase.prepared()) {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err("what was prepared is never complete".into())
    }

    /// Nothing is open, hidden or pending.
    fn check_all_ended(&self) -> Result<(), String> {
        for (topic, partition) in PLACES.into_iter().chain([(OFFSETS_TOPIC, 0)]) {
            let marks = self.store.watermarks(topic, partition);
            let marks = marks.map_err(|error| error.to_string())?;
            if marks.last_stable != marks.high_watermark {
                return Err(format!("{topic}-{partition}: something is open for ever, {marks:?}"));
            }
        }
        let pending = self.groups.look(|all| {
            let is_pending = |partition| {
                move |group: &crate::group::Group| group.offsets.is_pending(ORDERS, partition)
            };
            (0..3).any(|partition| all.iter().any(is_pending(partition)))
        });
        if pending { Err("an offset is pending for ever".into()) } else { Ok(()) }
    }

    /// What a group has committed of [`ORDERS`].
    fn committed(&self, group: &str, partition: PartitionId) -> Option<Offset> {
        self.groups.look(|all| {
            let known = all.get(group)?.offsets.get(ORDERS, partition)?;
            Some(known.offset)
        })
    }

    /// Whether an open transaction holds an offset of the group.
    fn pending(&self, group: &str, partition: PartitionId) -> bool {
        self.groups.look(|all| {
            all.get(group).is_some_and(|group| group.offsets.is_pending(ORDERS, partition))
        })
    }
}
