//! Power cuts and kills at random operations of a log that is compacted, altered and deleted from.
//!
//! The word: a reader from the start ends with the map that the acknowledged appends make, whatever
//! compaction was at when the power went; what is there stands at the offset it was given; no key
//! that was removed comes back; a change that was acknowledged holds. `seeds` says how to run
//! one or many.

use crate::compaction::{compacting, folded, keyed, read_all};
use crate::hooked::{Hooked, Hooks};
use crate::seeds;
use crate::support::{DIR, small};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_log::{LogStore, RecoveryReport};
use tradewind_types::{Clock, Log, LogError, LogRecord, ManualClock, TopicSpec};

const RUNS: u64 = 1_500;
const FLAWED_RUNS: u64 = 10_000;
const LIVES: u32 = 3;
const TOPIC: &str = "prices";
const HOUR_US: i64 = 3_600_000_000;

#[test]
fn a_compacted_log_keeps_its_word_through_power_cuts() {
    let mut all = Tally::default();
    let each = seeds::each(RUNS, |seed| run(seed, Flaw::None), |tally| all.add(&tally));
    let Some(runs) = each else { return };
    println!("{all:?}");
    assert!(all.acknowledged > 5 * runs && all.compacted > runs, "{all:?}");
    assert!(all.cut_in_compaction > runs / 10 && all.finished_swaps > runs / 50, "{all:?}");
    assert!(all.tombstones_gone > runs / 50 && all.cut_in_recovery > runs / 20, "{all:?}");
    assert!(all.deletions > runs / 10 && all.altered > runs / 10, "{all:?}");
}

#[test]
fn what_compaction_leaves_out_on_purpose_is_noticed() {
    for flaw in [Flaw::NoSegmentSync, Flaw::NoFolderSync, Flaw::NoTopicFileSync] {
        let noticed = seeds::noticed(FLAWED_RUNS, 3, |seed| run(seed, flaw));
        println!("{flaw:?}: noticed by the seeds {noticed:?}");
        assert_eq!(noticed.len(), 3, "{flaw:?} was not noticed in {FLAWED_RUNS} runs");
    }
}

/// What is left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The new segment is renamed before it is durable.
    NoSegmentSync,
    /// The folder is not synced between the steps of a swap.
    NoFolderSync,
    /// Settings are answered before they are durable.
    NoTopicFileSync,
}

impl Hooks for Flaw {
    fn syncs_file(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::NoSegmentSync => !name.ends_with(".compacting"),
            Self::NoTopicFileSync => !name.starts_with("topic.json"),
            _ => true,
        }
    }

    fn syncs_folder(&self, path: &Path) -> bool {
        *self != Self::NoFolderSync || !path.ends_with("0")
    }
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    compacted: u64,
    cut_in_compaction: u64,
    finished_swaps: u64,
    tombstones_gone: u64,
    cut_in_recovery: u64,
    deletions: u64,
    altered: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.compacted += other.compacted;
        self.cut_in_compaction += other.cut_in_compaction;
        self.finished_swaps += other.finished_swaps;
        self.tombstones_gone += other.tombstones_gone;
        self.cut_in_recovery += other.cut_in_recovery;
        self.deletions += other.deletions;
        self.altered += other.altered;
    }
}

fn run(seed: u64, flaw: Flaw) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    seeds::caught(&runtime, Run::new(seed, flaw).lives())
}

struct Run {
    disk: Arc<SimDisk>,
    seen_by_store: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    rng: StdRng,
    /// Every record that was acknowledged or shown, by offset: key and value.
    known: BTreeMap<i64, (Bytes, Option<Bytes>)>,
    /// Appended, and not known to be there.
    offered: Vec<(Bytes, Option<Bytes>)>,
    high_watermark: i64,
    log_start: i64,
    /// The log start that a deletion under way may have reached.
    may_start: i64,
    /// `retention.ms` as it was acknowledged, and as it was asked for since.
    setting: Option<String>,
    may_set: Option<String>,
    next_value: u64,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            seen_by_store: Arc::new(Hooked { disk: disk.clone(), hooks: Arc::new(flaw) }),
            disk,
            clock: Arc::new(ManualClock::at(1_000_000_000_000)),
            rng: StdRng::seed_from_u64(seed ^ 0x636f_6d70),
            known: BTreeMap::new(),
            offered: Vec::new(),
            high_watermark: 0,
            log_start: 0,
            may_start: 0,
            setting: None,
            may_set: None,
            next_value: 0,
            tally: Tally::default(),
        }
    }

    async fn lives(mut self) -> Result<Tally, String> {
        // The topic is there, durably, before anything goes wrong.
        let (store, _) = self.open().map_err(|error| error.to_string())?;
        store.create_topic(&TopicSpec::new(TOPIC, 1)).await.map_err(|error| error.to_string())?;
        drop(store);
        for _ in 0..LIVES {
            let store = self.start()?;
            self.verify(&store).await?;
            self.live(store).await?;
        }
        let store = self.start()?;
        self.verify(&store).await?;
        Ok(self.tally)
    }

    fn open(&self) -> Result<(LogStore, RecoveryReport), LogError> {
        let mut settings = small();
        compacting(&mut settings);
        settings.topic.cleanup.delete = true;
        settings.topic.retention_ms = None;
        settings.topic.segment_bytes = 1024;
        settings.topic.delete_retention_ms = 3 * 3_600_000;
        settings.compaction_keys_max = 6;
        let clock: Arc<dyn Clock> = self.clock.clone();
        LogStore::open(self.seen_by_store.clone(), Path::new(DIR), settings, clock)
    }

    fn start(&mut self) -> Result<LogStore, String> {
        let swaps = self.swaps();
        if self.rng.random_bool(0.4) {
            self.disk.cut_power_after(self.rng.random_range(1..15));
            drop(self.open());
            self.tally.cut_in_recovery += u64::from(!self.disk.powered());
            self.end();
        }
        if self.rng.random_bool(0.1) {
            self.fail_a_sync();
        }
        let (store, report) =
            self.open().or_else(|_| self.open()).map_err(|e| format!("it does not start: {e}"))?;
        if !report.corruptions.is_empty() {
            return Err(format!("corrupt: {:?}", report.corruptions));
        }
        self.tally.finished_swaps += swaps;
        if self.swaps() > 0 {
            return Err("a swap was left over".into());
        }
        Ok(store)
    }

    /// How many swaps are unfinished.
    fn swaps(&self) -> u64 {
        let folder = Path::new(DIR).join(TOPIC).join("0");
        let entries = self.disk.list(&folder).unwrap_or_default();
        let is_one = |entry: &tradewind_disk::Entry| {
            entry.path.extension().is_some_and(|kind| kind == "swap" || kind == "swap-again")
        };
        entries.iter().filter(|entry| is_one(entry)).count() as u64
    }

    fn fail_a_sync(&mut self) {
        let of = ["", ".log", "recovery-point", ".compacting", "/0", "/0", "topic.json"];
        self.disk.fail_next_sync(of[self.rng.random_range(0..of.len())]);
    }

    fn end(&mut self) {
        if self.rng.random_bool(0.4) { self.disk.restart() } else { self.disk.power_on() }
    }

    async fn live(&mut self, store: LogStore) -> Result<(), String> {
        self.disk.cut_power_after(self.rng.random_range(20..400));
        for _ in 0..90 {
            match self.rng.random_range(0..100) {
                0..18 => self.compact(&store).await,
                18..24 => self.verify(&store).await?,
                24..26 => self.fail_a_sync(),
                26..28 => self.delete_records(&store).await,
                28..30 => self.alter(&store).await,
                30..31 => {
                    let _ = store.close().await;
                    break;
                }
                _ => self.append(&store).await?,
            }
            if !self.disk.powered() {
                break;
            }
        }
        drop(store);
        self.end();
        Ok(())
    }

    async fn append(&mut self, store: &LogStore) -> Result<(), String> {
        let mut records = Vec::new();
        for _ in 0..self.rng.random_range(1..4) {
            self.next_value += 1;
            let value = (!self.rng.random_bool(0.15)).then_some(self.next_value);
            records.push(keyed(self.rng.random_range(0..8), value));
        }
        let made: Vec<_> =
            records.iter().map(|r| (r.key.clone().unwrap(), r.value.clone())).collect();
        match store.append(TOPIC, 0, records).await {
            Ok(appended) => {
                for (offset, record) in (appended.base_offset..).zip(made) {
                    if self.known.insert(offset, record).is_some() {
                        return Err(format!("offset {offset} was given twice"));
                    }
                    self.tally.acknowledged += 1;
                }
            }
            Err(_) => self.offered.extend(made),
        }
        Ok(())
    }

    async fn compact(&mut self, store: &LogStore) {
        self.clock.advance_us(self.rng.random_range(0..2 * HOUR_US));
        self.disk.set_now_ms(self.clock.now_ms());
        match store.maintain_once().await {
            Ok(done) => self.tally.compacted += done.compacted_segments,
            Err(_) => self.tally.cut_in_compaction += 1,
        }
    }

    async fn delete_records(&mut self, store: &LogStore) {
        let Ok(marks) = store.watermarks(TOPIC, 0) else { return };
        let before = self.rng.random_range(marks.log_start..=marks.high_watermark);
        let before = marks.log_start + (before - marks.log_start) / 4;
        match store.delete_records(TOPIC, 0, Some(before)).await {
            Ok(start) => {
                self.log_start = self.log_start.max(start);
                self.tally.deletions += 1;
            }
            Err(_) => self.may_start = self.may_start.max(before),
        }
    }

    async fn alter(&mut self, store: &LogStore) {
        let value = self.rng.random_range(1_000_000_000_000..2_000_000_000_000_i64).to_string();
        match store.set_topic_setting(TOPIC, "retention.ms", Some(&value)).await {
            Ok(()) => {
                self.setting = Some(value);
                self.tally.altered += 1;
            }
            Err(_) => self.may_set = Some(value),
        }
    }

    /// Holds the log against what is known, and learns what it shows.
    async fn verify(&mut self, store: &LogStore) -> Result<(), String> {
        let info = store.topic(TOPIC).ok_or("the topic is gone")?;
        let setting = info.settings.get("retention.ms");
        if setting != self.setting.as_ref() && setting != self.may_set.as_ref() {
            return Err(format!("retention.ms is {setting:?}, not {:?}", self.setting));
        }
        (self.setting, self.may_set) = (setting.cloned(), None);
        let marks = store.watermarks(TOPIC, 0).map_err(|error| error.to_string())?;
        if marks.high_watermark < self.high_watermark {
            return Err(format!("{marks:?} is behind {}", self.high_watermark));
        }
        if !(self.log_start..=self.log_start.max(self.may_start)).contains(&marks.log_start) {
            return Err(format!("{marks:?} begins elsewhere than {}", self.log_start));
        }
        (self.log_start, self.may_start) = (marks.log_start, marks.log_start);
        self.high_watermark = marks.high_watermark;
        self.known = self.known.split_off(&marks.log_start);
        let read = read_all(store, TOPIC).await.map_err(|error| error.to_string())?;
        self.learn(&read)?;
        let expected = self.fold();
        let found = folded(&read);
        if found != expected {
            return Err(format!("a reader ends with {found:?}, not {expected:?}"));
        }
        let gone = |record: &&(Bytes, Option<Bytes>)| record.1.is_none();
        let tombstones = self.known.values().filter(gone).count();
        let left = read.iter().filter(|record| record.record.value.is_none()).count();
        self.tally.tombstones_gone += tombstones.saturating_sub(left) as u64;
        Ok(())
    }

    /// Records nobody knew of must be among those that were offered.
    fn learn(&mut self, read: &[LogRecord]) -> Result<(), String> {
        for LogRecord { offset, record } in read {
            let found = (record.key.clone().unwrap(), record.value.clone());
            match self.known.get(offset) {
                Some(due) if *due == found => {}
                Some(due) => return Err(format!("{found:?} at {offset}, not {due:?}")),
                None => {
                    if !self.offered.contains(&found) {
                        return Err(format!("{found:?} at {offset} was never appended"));
                    }
                    self.known.insert(*offset, found);
                }
            }
        }
        Ok(())
    }

    fn fold(&self) -> BTreeMap<Bytes, Bytes> {
        let mut map = BTreeMap::new();
        for (key, value) in self.known.values() {
            match value {
                Some(value) => drop(map.insert(key.clone(), value.clone())),
                None => drop(map.remove(key)),
            }
        }
        map
    }
}
