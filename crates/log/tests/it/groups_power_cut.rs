//! Power cuts while groups commit: what was acknowledged, or seen, is there afterwards, and a
//! committed offset never goes back. A seed is printed when that does not hold.
//! `TRADEWIND_SEED=n` runs one seed.

use crate::hooked::{Hooked, Hooks};
use crate::support::{DIR, small};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tradewind_disk::{Disk, SimDisk};
use tradewind_log::LogStore;
use tradewind_log::group::{GroupCoordinator, GroupError, GroupSettings};
use tradewind_types::{Clock, Log, ManualClock, TopicSpec};

const RUNS: u64 = 600;
/// The flaw is noticed long before so many runs.
const FLAWED_RUNS: u64 = 3_000;
const LIVES: u32 = 4;
const GROUPS: usize = 5;
const PARTITIONS: i32 = 2;

/// Whether the log's segments are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    NoSegmentSync,
}

impl Hooks for Flaw {
    fn syncs_file(&self, path: &Path) -> bool {
        *self == Self::None || !path.to_string_lossy().ends_with(".log")
    }
}

/// What is known of one group's offset in one partition.
#[derive(Debug, Default, Clone)]
struct Known {
    /// The newest offset that was acknowledged or seen.
    least: Option<i64>,
    /// The newest offset that was tried.
    tried: i64,
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    refused: u64,
    shared: u64,
    deleted: u64,
    killed: u64,
    survived_unacknowledged: u64,
}

struct Run {
    disk: Arc<SimDisk>,
    seen: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    random: StdRng,
    known: BTreeMap<(String, i32), Known>,
    tally: Tally,
}

#[test]
fn a_committed_offset_never_goes_back_whenever_the_power_fails() {
    let only = std::env::var("TRADEWIND_SEED").map(|seed| seed.parse::<u64>().unwrap());
    let seeds = only.map_or(0..RUNS, |seed| seed..seed + 1);
    let whole = seeds.end - seeds.start == RUNS;
    let mut all = Tally::default();
    for seed in seeds {
        let tally = run(seed, Flaw::None).unwrap_or_else(|broken| {
            panic!("TRADEWIND_SEED={seed}: {broken}");
        });
        all.acknowledged += tally.acknowledged;
        all.refused += tally.refused;
        all.shared += tally.shared;
        all.deleted += tally.deleted;
        all.killed += tally.killed;
        all.survived_unacknowledged += tally.survived_unacknowledged;
    }
    println!("{all:?}");
    if whole {
        assert!(all.acknowledged > 10 * RUNS && all.refused > RUNS / 2, "{all:?}");
        assert!(all.shared > RUNS && all.deleted > RUNS / 4 && all.killed > RUNS / 4, "{all:?}");
        assert!(all.survived_unacknowledged > RUNS / 50, "{all:?}");
    }
}

#[test]
fn an_offset_acknowledged_before_its_fsync_is_noticed() {
    let noticed = (0..FLAWED_RUNS).find(|seed| run(*seed, Flaw::NoSegmentSync).is_err());
    println!("noticed by the seed {noticed:?}");
    assert!(noticed.is_some());
}

/// Counts the syncs of segments.
#[derive(Debug, Default)]
struct Syncs(AtomicUsize);

impl Hooks for Syncs {
    fn syncs_file(&self, path: &Path) -> bool {
        let segment = path.to_string_lossy().ends_with(".log");
        self.0.fetch_add(usize::from(segment), Ordering::Relaxed);
        true
    }
}

#[tokio::test]
async fn groups_that_commit_at_once_share_their_fsyncs() {
    let syncs = Arc::new(Syncs::default());
    let disk = Arc::new(Hooked { disk: SimDisk::new(1), hooks: Arc::clone(&syncs) });
    let clock = Arc::new(ManualClock::at(1));
    let (store, _) = LogStore::open(disk, Path::new(DIR), small(), clock).unwrap();
    store.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    let groups = GroupCoordinator::new(store, GroupSettings::default());
    let coordinating = groups.clone();
    tokio::spawn(async move { coordinating.run().await });
    let partitions = GroupSettings::default().offsets_partitions as usize;
    // The topic is made at the first group.
    groups.offsets_partition_of("g0").await.unwrap();
    for round in 0..2 {
        let before = syncs.0.load(Ordering::Relaxed);
        let commit = async |number: usize| {
            let offsets = [("t".to_owned(), 0, round)];
            groups.reset_offsets(&format!("g{number}"), &offsets).await.unwrap();
        };
        join_all((0..200).map(commit)).await;
        let synced = syncs.0.load(Ordering::Relaxed) - before;
        // A few for each partition: commits come in waves, each of which shares one.
        assert!((1..=5 * partitions).contains(&synced), "{synced} syncs for 200 commits");
    }
}

fn run(seed: u64, flaw: Flaw) -> Result<Tally, String> {
    let disk = SimDisk::new(seed);
    let mut run = Run {
        seen: Arc::new(Hooked { disk: disk.clone(), hooks: Arc::new(flaw) }),
        disk,
        clock: Arc::new(ManualClock::at(1_000_000)),
        random: StdRng::seed_from_u64(seed ^ 0x67_72_6f_75),
        known: BTreeMap::new(),
        tally: Tally::default(),
    };
    for life in 0..=LIVES {
        // A life's tasks end with it, as a process's would.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run.live(life))?;
        drop(runtime);
        if run.disk.powered() && run.random.random_bool(0.5) {
            run.tally.killed += 1;
            run.disk.restart();
        } else {
            run.disk.power_on();
        }
    }
    Ok(run.tally)
}

impl Run {
    async fn live(&mut self, life: u32) -> Result<(), String> {
        let (store, groups) = self.start()?;
        let coordinating = groups.clone();
        tokio::spawn(async move { coordinating.run().await });
        if store.topic("t").is_none() {
            store.create_topic(&TopicSpec::new("t", PARTITIONS)).await.map_err(said)?;
        }
        self.look(&groups).await?;
        if life == LIVES {
            return Ok(());
        }
        self.disk.cut_power_after(self.random.random_range(1..120));
        for _ in 0..25 {
            match self.random.random_range(0..100) {
                0..12 => self.look(&groups).await?,
                12..18 => self.delete(&groups).await?,
                _ => self.commit(&groups).await?,
            }
            self.clock.advance_us(1_000);
            if !self.disk.powered() {
                break;
            }
        }
        Ok(())
    }

    fn start(&self) -> Result<(LogStore, GroupCoordinator), String> {
        let mut settings = small();
        settings.tail_bytes_max = 0;
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (store, report) =
            LogStore::open(Arc::clone(&self.seen), Path::new(DIR), settings, clock)
                .map_err(said)?;
        if !report.corruptions.is_empty() {
            return Err(format!("corrupt: {:?}", report.corruptions));
        }
        let settings = GroupSettings { offsets_partitions: 2, ..GroupSettings::default() };
        Ok((store.clone(), GroupCoordinator::new(store, settings)))
    }

    /// Several groups commit at once, each further than before.
    async fn commit(&mut self, groups: &GroupCoordinator) -> Result<(), String> {
        let count = self.random.random_range(1..=GROUPS);
        let mut commits = Vec::new();
        for index in 0..count {
            let group = format!("g{index}");
            let partition = self.random.random_range(0..PARTITIONS);
            let known = self.known.entry((group.clone(), partition)).or_default();
            known.tried += self.random.random_range(1..10);
            commits.push((group, partition, known.tried));
        }
        let sent = commits.iter().map(async |(group, partition, offset)| {
            groups.reset_offsets(group, &[("t".to_owned(), *partition, *offset)]).await
        });
        self.tally.shared += u64::from(count > 1);
        for ((group, partition, offset), result) in commits.iter().zip(join_all(sent).await) {
            match result {
                Ok(()) => {
                    self.tally.acknowledged += 1;
                    let key = (group.clone(), *partition);
                    self.known.entry(key).or_default().least = Some(*offset);
                }
                Err(GroupError::NotAvailable | GroupError::Failed | GroupError::Loading) => {
                    self.tally.refused += 1;
                }
                Err(error) => return Err(format!("a commit is refused: {error}")),
            }
        }
        Ok(())
    }

    async fn delete(&mut self, groups: &GroupCoordinator) -> Result<(), String> {
        let group = format!("g{}", self.random.random_range(0..GROUPS));
        let result = groups.delete_group(&group).await;
        // Unless it failed before it was written, it may be gone after a restart.
        if !matches!(result, Err(GroupError::NotFound)) {
            for (_, known) in self.known.iter_mut().filter(|((name, _), _)| *name == group) {
                known.least = None;
            }
        }
        match result {
            Ok(()) => self.tally.deleted += 1,
            Err(GroupError::NotFound) => {}
            Err(GroupError::NotAvailable | GroupError::Failed | GroupError::Loading) => {}
            Err(error) => return Err(format!("a removal is refused: {error}")),
        }
        Ok(())
    }

    /// What is there is at least what was acknowledged or seen, and nothing nobody tried.
    async fn look(&mut self, groups: &GroupCoordinator) -> Result<(), String> {
        let views = match groups.groups().await {
            Ok(views) => views,
            Err(_) if !self.disk.powered() => return Ok(()),
            Err(error) => return Err(format!("groups are not loaded: {error}")),
        };
        let mut found = BTreeMap::new();
        for view in views {
            for offset in view.offsets {
                found.insert((view.group.clone(), offset.partition), offset.committed);
            }
        }
        for (key, known) in &mut self.known {
            let there = found.remove(key).flatten();
            if there < known.least || there.is_some_and(|there| there > known.tried) {
                return Err(format!("{key:?} is at {there:?}, known is {known:?}"));
            }
            self.tally.survived_unacknowledged += u64::from(there > known.least);
            known.least = there;
        }
        match found.pop_first() {
            None => Ok(()),
            Some(stranger) => Err(format!("nobody committed {stranger:?}")),
        }
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
