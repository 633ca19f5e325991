//! The power fails at random disk operations under the whole spine: log, deduplication, pipelines
//! and lake on one simulated disk, a client that sends again whatever was not acknowledged.
//!
//! One run is one seed: some lives that end in a power cut, a kill or an orderly stop, then a last
//! one in which the pipelines catch up. A kill leaves unsynced bytes to be read by the next life,
//! and a later power cut may still take them. What was acknowledged must be in the log once and in the
//! tables once, with tail and without, to the cent; every life must start without help.
//!
//! `TRADEWIND_POWER_CUT_RUNS` runs so many seeds, `TRADEWIND_POWER_CUT_SEED` repeats one or starts
//! there.
//!
//! Left out: the catalogue, which is fjall's own files and is made once; `kill` covers it.

use crate::shop::Ledger;
use crate::spine::{Spine, catalogue};
use crate::turns::Turns;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tradewind_disk::{Disk, SimDisk};
use tradewind_log::Flush;
use tradewind_sql::Catalogue;
use tradewind_types::event::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC, iso8601};
use tradewind_types::{Clock, ManualClock};

/// Seeds in an ordinary test run: about a minute and a half on two cores.
const RUNS: u64 = 60;
/// Seeds that are run twice to see that they repeat.
const REPEATED: usize = 3;
/// Events of one run: fewer than the deduplication may forget.
const EVENTS_MAX: usize = 160;
/// Where state does not fit: groups and windows and joins are nearly all on disk.
const STATE_BYTES_FEW: usize = 4 << 10;
/// How many times as many operations a life has then, about.
const EVICTING: u64 = 6;
/// How long a life may take by the runtime's clock, which jumps ahead whenever nothing is left to
/// do: this passes only when somebody waits for what never comes.
const LIFE_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// One run and all that outlives a power cut in it.
pub(crate) struct World {
    rng: StdRng,
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Whether one fsync serves a while, so that much else happens between a write and its fsync.
    flush: Flush,
    /// What operators may keep in memory.
    state_memory_bytes: usize,
    turns: Turns,
    ledger: Ledger,
    tally: Tally,
}

/// What happened in some runs: a test in which nothing happens proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    power_cuts: u64,
    kills: u64,
    stops: u64,
    /// Lives that ended before everything was open.
    starts_cut: u64,
    /// Events that were acknowledged.
    acknowledged: u64,
    /// Events that are there without having been acknowledged.
    unasked: u64,
    /// Segments of the log at the end.
    segments: u64,
    /// Versions of all tables at the end.
    commits: u64,
    /// What background work has done.
    pub(crate) compactions: u64,
    pub(crate) checkpoints: u64,
    pub(crate) vacuumed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.stops += other.stops;
        self.starts_cut += other.starts_cut;
        self.acknowledged += other.acknowledged;
        self.unasked += other.unasked;
        self.segments += other.segments;
        self.commits += other.commits;
        self.compactions += other.compactions;
        self.checkpoints += other.checkpoints;
        self.vacuumed += other.vacuumed;
    }
}

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// In the midst of things: the disk failed, or nobody waited for the end.
    Cut,
    /// In order.
    Stopped,
}

impl World {
    fn new(seed: u64, catalogue: Arc<Catalogue>) -> Self {
        let start = iso8601::parse("2026-11-21T08:00:00Z").unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let flush = match rng.random_range(0..4) {
            0 | 1 => Flush::Always,
            2 => Flush::IntervalMs(20),
            // Longer than a pipeline waits to commit: what reads records that are not durable
            // yet has built on them by the time the power fails.
            _ => Flush::IntervalMs(900),
        };
        let world = Self {
            rng,
            flush,
            // Workers write what is evicted beside each other, in no order that repeats.
            state_memory_bytes: if repeats(seed) { 1 << 30 } else { STATE_BYTES_FEW },
            turns: if repeats(seed) { Turns::in_order() } else { Turns::free() },
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::at(start)),
            catalogue,
            ledger: Ledger::default(),
            tally: Tally::default(),
        };
        world.disk.create_dir_all(Path::new("/data")).unwrap();
        world
    }

    fn pass_time(&mut self) {
        let seconds = match self.rng.random_range(0..10) {
            0 => self.rng.random_range(0..3 * 3_600),
            1..=4 => self.rng.random_range(0..120),
            _ => 0,
        };
        self.clock.advance_us(seconds * 1_000_000 + 1_000);
        self.disk.set_now_ms(self.clock.now_ms());
    }

    /// One life, up to a power cut or an orderly stop; a power cut may come while it stops.
    async fn live(&mut self) -> Result<End, String> {
        let spine = match self.start().await {
            Ok(spine) => spine,
            Err(_) if !self.disk.powered() => {
                self.tally.starts_cut += 1;
                return Ok(End::Cut);
            }
            Err(error) => return Err(format!("the server does not start: {error}")),
        };
        for _ in 0..self.rng.random_range(1..30) {
            self.converse(&spine).await?;
            self.pass_time();
            if self.rng.random_bool(0.15) {
                spine.maintain(&mut self.tally).await;
            }
            if self.rng.random_bool(0.3) {
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(1..2_000))).await;
            }
            if !self.disk.powered() {
                return Ok(End::Cut);
            }
            if let Some(reason) = spine.failed_pipeline() {
                return Err(reason);
            }
        }
        if self.rng.random_bool(0.3) {
            let stopped = spine.stop().await;
            if self.disk.powered() {
                stopped.map_err(|error| format!("the server does not stop: {error}"))?;
                return Ok(End::Stopped);
            }
        }
        Ok(End::Cut)
    }

    async fn start(&mut self) -> Result<Spine, String> {
        let (flush, memory) = (self.flush, self.state_memory_bytes);
        Spine::start(&self.disk, &self.clock, &self.catalogue, flush, memory, &self.turns).await
    }

    /// A few requests at once, each noted with its answer.
    async fn converse(&mut self, spine: &Spine) -> Result<(), String> {
        let now_us = self.clock.now_us();
        let requests: Vec<Vec<usize>> = (0..self.rng.random_range(1..4))
            .map(|_| self.ledger.pick(&mut self.rng, now_us, EVENTS_MAX))
            .collect();
        let bodies = requests.iter().map(|numbers| self.ledger.body(numbers));
        let answers = futures::future::join_all(bodies.map(|body| spine.send(body)));
        for (numbers, status) in requests.iter().zip(answers.await) {
            if status == 200 {
                self.ledger.acknowledge(numbers);
            } else if self.disk.powered() {
                return Err(format!("a request is answered {status} while the power is on"));
            }
        }
        Ok(())
    }

    /// The last life: the power stays on. The client may or may not send again what it still
    /// waits for; the pipelines catch up, and log and tables are judged.
    async fn settle(&mut self) -> Result<(), String> {
        let spine =
            self.start().await.map_err(|error| format!("the server does not start: {error}"))?;
        let before = spine.logged(EVENTS_TOPIC).await;
        let before = self.ledger.check_ids("the log after the last power cut", &ids(&before))?;
        let acknowledged = self.ledger.acknowledged();
        self.tally.acknowledged += acknowledged as u64;
        self.tally.unasked += (before.len() - acknowledged) as u64;
        if self.rng.random_bool(0.5) {
            let waiting = self.ledger.waiting();
            for numbers in waiting.chunks(20) {
                let status = spine.send(self.ledger.body(numbers)).await;
                if status != 200 {
                    return Err(format!("the client's retry is answered {status}"));
                }
                self.ledger.acknowledge(numbers);
            }
        }
        let logged = spine.logged(EVENTS_TOPIC).await;
        let letters = spine.logged(DEAD_LETTERS_TOPIC).await;
        let present = self.ledger.check_ids("the log", &ids(&logged))?;
        if letters.len() < self.ledger.letters_min() {
            return Err(format!(
                "{} dead letters for {}",
                letters.len(),
                self.ledger.letters_min()
            ));
        }
        spine.drained().await?;
        self.judge(&spine, &present, &logged, &letters)
            .await
            .map_err(|e| format!("with tail: {e}"))?;
        spine.checkpoint().await?;
        self.judge(&spine, &present, &logged, &letters)
            .await
            .map_err(|e| format!("after the checkpoint: {e}"))?;
        self.tally.segments += spine.segments();
        self.tally.commits += spine.commits();
        spine.stop().await?;
        let lake = crate::spine::open_lake(&self.disk, &self.clock, &self.turns).await?;
        let tables = crate::spine::Tables::new(&lake, &self.turns);
        judge(&self.ledger, &tables, &present, &logged, &letters)
            .await
            .map_err(|error| format!("in Delta alone: {error}"))
    }

    async fn judge(
        &self,
        spine: &Spine,
        present: &BTreeSet<String>,
        logged: &[Place],
        letters: &[Place],
    ) -> Result<(), String> {
        judge(&self.ledger, &spine.tables(), present, logged, letters).await?;
        let (views, mut answers) = (spine.views()?, Vec::new());
        for question in crate::shop::VIEW_QUESTIONS {
            answers.push(views.ask(question).await?);
        }
        self.ledger.check_views(present, &answers)
    }
}

/// Whether a seed decides its run to the last operation. In every fourth run calls of the lake
/// overlap as they like, and state does not fit into memory.
fn repeats(seed: u64) -> bool {
    seed % 4 != 3
}

/// A record of the log: its message id (or nothing), partition and offset.
pub(crate) type Place = (String, i32, i64);

fn ids(logged: &[Place]) -> Vec<String> {
    logged.iter().map(|(id, _, _)| id.clone()).collect()
}

/// Compares the tables with what was sent and with the log, offsets included.
async fn judge(
    ledger: &Ledger,
    tables: &crate::spine::Tables,
    present: &BTreeSet<String>,
    logged: &[Place],
    letters: &[Place],
) -> Result<(), String> {
    let mut answers = Vec::new();
    for question in crate::shop::QUESTIONS {
        answers.push(tables.ask(question).await?);
    }
    ledger.check(present, &answers)?;
    for (table, places) in [("events", logged), ("dead_letters", letters)] {
        let rows = tables.ask(&format!("SELECT _partition, _offset FROM {table}")).await?;
        let mut found: Vec<(String, String)> =
            rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        let mut expected: Vec<(String, String)> = places
            .iter()
            .map(|(_, partition, offset)| (partition.to_string(), offset.to_string()))
            .collect();
        found.sort();
        expected.sort();
        if found != expected {
            return Err(format!("table {table} holds offsets {found:?}, its topic {expected:?}"));
        }
    }
    Ok(())
}

/// Runs a life on a runtime of its own.
fn alive<T>(life: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(LIFE_TIMEOUT, life).await });
    ended.unwrap_or_else(|_| Err("something is waited for that never comes".to_owned()))
}

/// What one seed's run did, or found wrong. `lying_disk`: syncs only pretend.
fn run(seed: u64, catalogue: &Arc<Catalogue>, lying_disk: bool) -> Result<Tally, String> {
    let mut world = World::new(seed, catalogue.clone());
    world.disk.ignore_syncs(lying_disk);
    world.run()?;
    Ok(world.tally)
}

impl World {
    /// Some lives, then the one in which everything is judged.
    fn run(&mut self) -> Result<(), String> {
        for life in 0..self.rng.random_range(2..6) {
            let operations = match self.rng.random_range(0..3) {
                0 => self.rng.random_range(1..100),
                1 => self.rng.random_range(1..600),
                _ => self.rng.random_range(1..2_500),
            };
            // Most operations are on scratch files where state does not fit.
            let evicts = self.state_memory_bytes == STATE_BYTES_FEW;
            self.disk.cut_power_after(if evicts { operations * EVICTING } else { operations });
            // The runtime goes with everything on it, as a process does.
            let end = alive(self.live());
            let end = end.map_err(|error| format!("in life {life}: {error}"))?;
            match end {
                End::Stopped => self.tally.stops += 1,
                // The process alone is gone.
                End::Cut if self.rng.random_bool(0.4) => {
                    self.tally.kills += 1;
                    self.disk.restart();
                }
                End::Cut => {
                    self.tally.power_cuts += 1;
                    self.disk.power_on();
                }
            }
        }
        self.disk.power_on();
        alive(self.settle()).map_err(|error| format!("at the end: {error}"))
    }
}

/// Runs seeds on every core; returns what was wrong, by seed, and what happened in the others.
fn runs(seeds: Range<u64>, lying_disk: bool) -> (Vec<(u64, String)>, Tally) {
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new((Vec::new(), Tally::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                let catalogue = catalogue(folder.path());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let result =
                        catch_unwind(AssertUnwindSafe(|| run(seed, &catalogue, lying_disk)));
                    let result = result.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
                    let mut results = results.lock().unwrap();
                    match result {
                        Ok(tally) => results.1 += tally,
                        Err(reason) => {
                            eprintln!("TRADEWIND_POWER_CUT_SEED={seed}: {reason}");
                            results.0.push((seed, reason));
                        }
                    }
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (first, count) = (number("TRADEWIND_POWER_CUT_SEED"), number("TRADEWIND_POWER_CUT_RUNS"));
    let count = count.unwrap_or(if first.is_some() { 1 } else { RUNS });
    let first = first.unwrap_or(0);
    first..first + count
}

#[test]
fn every_acknowledged_event_is_there_once_whenever_the_power_fails() {
    let seeds = seeds();
    let started = Instant::now();
    let (wrong, tally) = runs(seeds.clone(), false);
    let count = seeds.end - seeds.start;
    eprintln!("{count} runs in {:?}: {tally:?}", started.elapsed());
    let first: Vec<_> = wrong.iter().take(3).collect();
    assert!(wrong.is_empty(), "{} seeds failed: {first:#?}", wrong.len());
    if count >= RUNS {
        assert!(tally.power_cuts > count && tally.kills > count / 2, "{tally:?}");
        assert!(tally.stops > count / 10 && tally.starts_cut > count / 10, "{tally:?}");
        assert!(tally.unasked > count / 20 && tally.acknowledged > 10 * count, "{tally:?}");
        assert!(tally.segments > 4 * count && tally.commits > 20 * count, "{tally:?}");
        assert!(tally.compactions > count / 2 && tally.checkpoints > count / 2, "{tally:?}");
        assert!(tally.vacuumed > count / 10, "{tally:?}");
    }
}

/// The test above can fail: on a disk whose syncs only pretend it does.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    assert!(!runs(0..8, true).0.is_empty());
}

/// Everything a run does to the disk is decided by its seed, or a seed that failed once would be
/// no help.
#[test]
fn a_seed_repeats_to_the_last_operation() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue(folder.path());
    for seed in (0..).filter(|seed| repeats(*seed)).take(REPEATED) {
        let recorded = || {
            let mut world = World::new(seed, catalogue.clone());
            world.disk.record();
            let ended = world.run();
            (world.disk.recorded(), ended)
        };
        let ((first, ended), (second, ended_again)) = (recorded(), recorded());
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed}, operation {at}: {} and then {}", first[at], second[at]);
        }
        assert_eq!((first.len(), ended), (second.len(), ended_again), "seed {seed}");
    }
}
