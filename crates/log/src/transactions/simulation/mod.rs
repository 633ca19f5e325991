//! Producers, transactions, kills and power cuts at random, thousands of histories, each from a seed
//! that is printed when the log does not keep its word.
//!
//! The word: a record that was acknowledged is there, once, where it was said to be, and those of a
//! producer are in its order; a transaction that was committed is there whole, over all its
//! partitions, one that was aborted or left is not seen at all, and one of which nobody knows is
//! one or the other. `TRADEWIND_SEED=n` runs one seed, `TRADEWIND_RUNS=n` so many.
#![allow(clippy::unwrap_used)]

mod clients;
mod disk;

use super::Coordinator;
use crate::LogStore;
use crate::settings::{LogSettings, TopicDefaults};
use clients::{Idempotent, Transactional};
use disk::FlawedDisk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_types::log::Isolation;
use tradewind_types::{Clock, Log, ManualClock, Offset, PartitionId, TopicSpec};

const RUNS: u64 = 1_500;
/// The rarest flaw is noticed once in a few hundred runs.
const FLAWED_RUNS: u64 = 6_000;
const LIVES: u32 = 4;
const TOPIC: &str = "orders";
const PARTITIONS: PartitionId = 3;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Batches are not checked against what their producer sent before.
    SequencesUnchecked,
    /// A start knows no producers.
    StateNotRestored,
    /// A repeated batch is acknowledged before what it repeats is durable.
    RepeatNotDurable,
    /// Markers are not fsynced before the transaction is complete.
    MarkerNotSynced,
    /// The coordinator's decisions are not fsynced before they are answered.
    DecisionNotSynced,
    /// Readers are shown what is not decided.
    LastStableIgnored,
    /// Readers are shown what was aborted.
    AbortedShown,
}

#[test]
fn no_record_is_lost_or_doubled_and_transactions_are_whole() {
    if let Ok(seed) = std::env::var("TRADEWIND_SEED") {
        run(seed.parse().unwrap(), Flaw::None).unwrap();
        return;
    }
    let runs = std::env::var("TRADEWIND_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let mut all = Tally::default();
    for seed in 0..runs {
        match run(seed, Flaw::None) {
            Ok(tally) => all.add(&tally),
            Err(broken) => panic!("TRADEWIND_SEED={seed}: {broken}"),
        }
    }
    println!("{all:?}");
    // The simulation is worth its name: it repeats, commits, aborts, forgets, kills.
    assert!(all.acknowledged > 20 * runs && all.repeated > runs / 5, "{all:?}");
    assert!(all.committed > runs && all.aborted > runs / 2 && all.unknown > runs / 20, "{all:?}");
    assert!(all.killed > runs / 10 && all.cut > runs / 2, "{all:?}");
}

#[test]
fn whatever_is_broken_is_noticed() {
    for flaw in [
        Flaw::SequencesUnchecked,
        Flaw::StateNotRestored,
        Flaw::RepeatNotDurable,
        Flaw::MarkerNotSynced,
        Flaw::DecisionNotSynced,
        Flaw::LastStableIgnored,
        Flaw::AbortedShown,
    ] {
        let noticed: Vec<_> = (0..FLAWED_RUNS)
            .filter_map(|seed| run(seed, flaw).err().map(|broken| (seed, broken)))
            .take(3)
            .collect();
        println!("{flaw:?}: noticed by {noticed:?}");
        assert_eq!(noticed.len(), 3, "{flaw:?} was not noticed in {FLAWED_RUNS} runs");
    }
}

/// What happened in a run, so that it is known to have tried.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    repeated: u64,
    committed: u64,
    aborted: u64,
    unknown: u64,
    killed: u64,
    cut: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unknown += other.unknown;
        self.killed += other.killed;
        self.cut += other.cut;
    }
}

fn run(seed: u64, flaw: Flaw) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // A flawed log may also panic on its way; that is noticing, too.
    let result = std::panic::catch_unwind(|| runtime.block_on(Run::new(seed, flaw).lives()));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "it panicked".into()))
    })
}

/// A server: the log and its coordinator.
struct Server {
    store: LogStore,
    coordinator: Arc<Coordinator>,
    flaw: Flaw,
}

struct Run {
    flaw: Flaw,
    disk: Arc<SimDisk>,
    seen_by_store: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    rng: StdRng,
    idempotent: Vec<Idempotent>,
    transactional: Vec<Transactional>,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            flaw,
            seen_by_store: Arc::new(FlawedDisk::new(disk.clone(), flaw)),
            disk,
            clock: Arc::new(ManualClock::at(1_000_000)),
            rng: StdRng::seed_from_u64(seed ^ 0x7472_616e),
            idempotent: (0..2).map(|number| Idempotent::new(seed, number)).collect(),
            transactional: (0..2).map(|number| Transactional::new(seed, number)).collect(),
            tally: Tally::default(),
        }
    }

    async fn lives(mut self) -> Result<Tally, String> {
        for _ in 0..LIVES {
            let server = self.start().await?;
            self.verify(&server).await?;
            self.live(server).await;
        }
        let server = self.start().await?;
        self.verify(&server).await?;
        // With nothing open any more, nothing is hidden.
        for client in &mut self.transactional {
            client.begin(&server).await;
        }
        server.settle().await?;
        for partition in 0..PARTITIONS {
            let marks = server.store.watermarks(TOPIC, partition);
            let marks = marks.map_err(|error| error.to_string())?;
            if marks.last_stable != marks.high_watermark {
                return Err(format!("{partition}: something is open for ever, {marks:?}"));
            }
        }
        self.verify(&server).await?;
        for client in &self.idempotent {
            client.count(&mut self.tally);
        }
        for client in &self.transactional {
            client.count(&mut self.tally);
        }
        Ok(self.tally)
    }

    async fn start(&mut self) -> Result<Server, String> {
        let topic = TopicDefaults { segment_bytes: 1024, ..TopicDefaults::default() };
        let settings = LogSettings {
            disk_reserve_bytes: 0,
            tail_bytes_max: 0,
            producer_expiration_ms: match self.flaw {
                Flaw::StateNotRestored => 0,
                _ => 86_400_000,
            },
            topic,
            ..LogSettings::default()
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let opened = LogStore::open(self.seen_by_store.clone(), Path::new("/log"), settings, clock);
        let (store, report) = opened.map_err(|error| format!("it does not start: {error}"))?;
        if !report.corruptions.is_empty() {
            return Err(format!("corrupt: {:?}", report.corruptions));
        }
        if store.topic(TOPIC).is_none() {
            let made = store.create_topic(&TopicSpec::new(TOPIC, PARTITIONS)).await;
            made.map_err(|error| error.to_string())?;
        }
        let coordinator = Coordinator::new(store.clone());
        let server = Server { store, coordinator, flaw: self.flaw };
        server.settle().await?;
        Ok(server)
    }

    /// Does this and that until the power fails or the life is over.
    async fn live(&mut self, server: Server) {
        self.disk.cut_power_after(self.rng.random_range(20..400));
        let mut killed = false;
        for _ in 0..40 {
            match self.rng.random_range(0..100) {
                0..70 => self.clients(&server).await,
                70..80 => {
                    self.clock.advance_us(self.rng.random_range(0..30_000_000));
                    let _ = server.coordinator.sweep().await;
                }
                80..86 => drop(server.store.maintain_once().await),
                86..90 => tokio::task::yield_now().await,
                90..92 => {
                    killed = true;
                    break;
                }
                92..93 => {
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
        if killed || self.rng.random_bool(0.3) {
            self.tally.killed += 1;
            self.disk.cut_power_after(0);
            self.wind_down().await;
            self.disk.restart();
        } else {
            self.tally.cut += 1;
            self.disk.cut_power_after(0);
            self.wind_down().await;
            self.disk.power_on();
        }
    }

    /// Lets the tasks of a server that is gone come to their end: they find no disk.
    async fn wind_down(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Every client does its next thing, all at once.
    async fn clients(&mut self, server: &Server) {
        let idempotent = self.idempotent.iter_mut().map(|client| client.step(server));
        let transactional = self.transactional.iter_mut().map(|client| client.step(server));
        let (idempotent, transactional) =
            (futures::future::join_all(idempotent), futures::future::join_all(transactional));
        futures::future::join(idempotent, transactional).await;
    }

    async fn verify(&self, server: &Server) -> Result<(), String> {
        let mut seen = Seen::default();
        for partition in 0..PARTITIONS {
            server.read(partition, &mut seen).await?;
        }
        self.idempotent.iter().try_for_each(|client| client.verify(&seen))?;
        self.transactional.iter().try_for_each(|client| client.verify(&seen))
    }
}

/// What readers see: by record number, its partition and offset.
#[derive(Debug, Default)]
struct Seen {
    places: BTreeMap<u64, (PartitionId, Offset)>,
    /// Up to where readers are shown anything, by partition.
    ends: BTreeMap<PartitionId, Offset>,
}

impl Seen {
    /// Whether a record at `place` lies behind an open transaction: it is there, and not shown yet.
    fn hides(&self, (partition, offset): (PartitionId, Offset)) -> bool {
        self.ends.get(&partition).is_some_and(|end| offset >= *end)
    }
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

    async fn read(&self, partition: PartitionId, seen: &mut Seen) -> Result<(), String> {
        let isolation = match self.flaw {
            Flaw::LastStableIgnored | Flaw::AbortedShown => Isolation::ReadUncommitted,
            _ => Isolation::ReadCommitted,
        };
        let marks = self.store.watermarks(TOPIC, partition).map_err(|error| error.to_string())?;
        let end = match self.flaw {
            Flaw::LastStableIgnored => marks.high_watermark,
            _ => marks.last_stable,
        };
        seen.ends.insert(partition, end);
        let mut from = marks.log_start;
        while from < end {
            let read = self.store.read_on(TOPIC, partition, from, 700, isolation).await;
            let read = read.map_err(|error| format!("{partition} at {from}: {error}"))?;
            if read.next <= from {
                return Err(format!("{partition}: a reader at {from} does not get on, {marks:?}"));
            }
            for found in read.records.into_iter().filter(|found| found.offset < end) {
                let value = found.record.value.unwrap();
                let number = u64::from_be_bytes(value[..8].try_into().unwrap());
                if found.offset < from {
                    return Err(format!("{partition}: {} comes after {from}", found.offset));
                }
                from = found.offset + 1;
                if let Some(before) = seen.places.insert(number, (partition, found.offset)) {
                    return Err(format!(
                        "record {number} is at {before:?} and at {:?}",
                        (partition, found.offset)
                    ));
                }
            }
            from = from.max(read.next);
        }
        Ok(())
    }
}
