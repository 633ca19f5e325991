//! Power cuts at random operations, thousands of them, each from a seed that is printed when the
//! log does not keep its word.
//!
//! The word: what was acknowledged, or read, is there afterwards at the same offset, once; what
//! else survived is whole batches after it; the high watermark never goes back; a start needs no
//! help. `seeds` says how to run one or many.

use crate::hooked::{Hooked, Hooks};
use crate::seeds;
use crate::support::{DIR, number, record, small};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_log::{LogStore, RecoveryReport};
use tradewind_types::{Clock, Log, LogError, ManualClock, TopicSpec};

const RUNS: u64 = 3_000;
/// The rarest flaw is noticed once in 400 runs.
const FLAWED_RUNS: u64 = 10_000;
/// Lives of the store in one run: each ends with a power cut, and some recoveries too.
const LIVES: u32 = 3;
const TOPICS: [&str; 2] = ["carts", "orders"];
const PARTITIONS: i32 = 2;

#[test]
fn whatever_was_acknowledged_survives_a_power_cut() {
    let mut cuts = Tally::default();
    let each = seeds::each(RUNS, |seed| run(seed, Flaw::None), |tally| cuts.add(tally));
    let Some(runs) = each else { return };
    println!("{cuts:?}");
    // The simulation is worth its name: it acknowledges, tears, seals, removes.
    assert!(cuts.acknowledged > 10 * runs, "{cuts:?}");
    assert!(cuts.torn > runs / 20, "{cuts:?}");
    assert!(cuts.survived_unacknowledged > runs / 20, "{cuts:?}");
    assert!(cuts.sealed > runs && cuts.retained > runs / 20, "{cuts:?}");
    assert!(cuts.cut_in_recovery > runs / 20, "{cuts:?}");
    assert!(cuts.topics_deleted > runs / 20 && cuts.killed > runs / 20, "{cuts:?}");
    assert!(cuts.offline > runs / 20 && cuts.sync_failed_in_recovery > runs / 50, "{cuts:?}");
}

#[test]
fn every_fsync_that_is_left_out_is_noticed() {
    for flaw in [
        Flaw::NoSegmentSync,
        Flaw::NoRecoveryPointSync,
        Flaw::NoTopicFileSync,
        Flaw::NoPartitionFolderSync,
        Flaw::NoTopicFolderSync,
    ] {
        let noticed = seeds::noticed(FLAWED_RUNS, 3, |seed| run(seed, flaw));
        println!("{flaw:?}: noticed by the seeds {noticed:?}");
        assert_eq!(noticed.len(), 3, "{flaw:?} was not noticed in {FLAWED_RUNS} runs");
    }
}

/// A topic's files of which one kind or another is not durable when the process that makes it is
/// killed: the next one takes the topic over, and then what it acknowledges must stay.
#[tokio::test]
async fn a_topic_whose_maker_was_killed_keeps_what_it_acknowledges_later() {
    let (mut taken_over, mut operations) = (0_u64, 0);
    for seed in 0..1_000 {
        operations += 1;
        let disk = SimDisk::new(seed);
        let open = || {
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000_000));
            LogStore::open(disk.clone(), Path::new(DIR), small(), clock).unwrap().0
        };
        let store = open();
        disk.cut_power_after(operations);
        let made = store.create_topic(&TopicSpec::new("carts", PARTITIONS)).await.is_ok();
        operations = if made { 0 } else { operations };
        drop(store);
        disk.restart();
        let store = open();
        if store.topic("carts").is_none() {
            continue;
        }
        taken_over += u64::from(!made);
        store.append("carts", 0, vec![record(7, 20)]).await.unwrap();
        drop(store);
        disk.power_on();
        let store = open();
        assert!(store.topic("carts").is_some(), "seed {seed}: the topic is gone");
        let marks = store.watermarks("carts", 0).unwrap();
        assert_eq!(marks.high_watermark, 1, "seed {seed}");
    }
    assert!(taken_over > 40, "{taken_over}");
}

/// What is left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    NoSegmentSync,
    NoRecoveryPointSync,
    NoTopicFileSync,
    NoPartitionFolderSync,
    NoTopicFolderSync,
}

impl Hooks for Flaw {
    fn syncs_file(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::NoSegmentSync => !name.ends_with(".log"),
            Self::NoRecoveryPointSync => name != "recovery-point",
            Self::NoTopicFileSync => !name.starts_with("topic.json"),
            _ => true,
        }
    }

    fn syncs_folder(&self, path: &Path) -> bool {
        let depth = path.strip_prefix(DIR).map_or(0, |below| below.components().count());
        match self {
            Self::NoPartitionFolderSync => depth != 2,
            Self::NoTopicFolderSync => depth != 1,
            _ => true,
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    survived_unacknowledged: u64,
    torn: u64,
    sealed: u64,
    retained: u64,
    cut_in_recovery: u64,
    topics_deleted: u64,
    killed: u64,
    offline: u64,
    sync_failed_in_recovery: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.survived_unacknowledged += other.survived_unacknowledged;
        self.torn += other.torn;
        self.sealed += other.sealed;
        self.retained += other.retained;
        self.cut_in_recovery += other.cut_in_recovery;
        self.topics_deleted += other.topics_deleted;
        self.killed += other.killed;
        self.offline += other.offline;
        self.sync_failed_in_recovery += other.sync_failed_in_recovery;
    }
}

fn run(seed: u64, flaw: Flaw) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    seeds::caught(&runtime, Run::new(seed, flaw).lives())
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Known {
    /// Records that were acknowledged, or read below the high watermark, by offset.
    kept: BTreeMap<i64, u64>,
    high_watermark: i64,
    log_start: i64,
    /// Retention was at work when the power went.
    may_retain: bool,
}

/// What is known of a topic.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    /// Making or removing it was not acknowledged.
    Either,
}

struct Run {
    disk: Arc<SimDisk>,
    seen_by_store: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    rng: StdRng,
    topics: BTreeMap<&'static str, Presence>,
    known: BTreeMap<(&'static str, i32), Known>,
    next_number: u64,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            seen_by_store: Arc::new(Hooked { disk: disk.clone(), hooks: Arc::new(flaw) }),
            disk,
            clock: Arc::new(ManualClock::at(1_000_000)),
            rng: StdRng::seed_from_u64(seed ^ 0x7261_6e64),
            topics: TOPICS.iter().map(|name| (*name, Presence::Absent)).collect(),
            known: BTreeMap::new(),
            next_number: 0,
            tally: Tally::default(),
        }
    }

    async fn lives(mut self) -> Result<Tally, String> {
        for _ in 0..LIVES {
            let store = self.start().await?;
            self.verify(&store).await?;
            self.live(store).await?;
        }
        let store = self.start().await?;
        self.verify(&store).await?;
        Ok(self.tally)
    }

    fn open(&self) -> Result<(LogStore, RecoveryReport), LogError> {
        let mut settings = small();
        settings.topic.segment_bytes = 1024;
        settings.topic.retention_ms = Some(60_000);
        // Readers must find it on disk, not in memory only.
        settings.tail_bytes_max = 0;
        let clock: Arc<dyn Clock> = self.clock.clone();
        LogStore::open(self.seen_by_store.clone(), Path::new(DIR), settings, clock)
    }

    /// Starts the store; the power, or a sync, may fail meanwhile.
    async fn start(&mut self) -> Result<LogStore, String> {
        if self.rng.random_bool(0.3) {
            self.disk.cut_power_after(self.rng.random_range(1..12));
            drop(self.open());
            // What is still to come is called off, so that the checks can read.
            self.tally.cut_in_recovery += u64::from(!self.disk.powered());
            self.end();
        }
        if self.rng.random_bool(0.1) {
            self.fail_a_sync();
        }
        // A sync that was told to fail may fail here, once.
        let opened = self.open().or_else(|_| {
            self.tally.sync_failed_in_recovery += 1;
            self.open()
        });
        let (store, report) = opened.map_err(|error| format!("it does not start: {error}"))?;
        self.tally.torn += report.torn_tails.len() as u64;
        if !report.corruptions.is_empty() {
            return Err(format!("corrupt: {:?}", report.corruptions));
        }
        Ok(store)
    }

    async fn verify(&mut self, store: &LogStore) -> Result<(), String> {
        let mut numbers = BTreeSet::new();
        for topic in TOPICS {
            let there = store.topic(topic).is_some();
            match self.topics[topic] {
                Presence::Present if !there => return Err(format!("topic {topic} is gone")),
                Presence::Absent if there => return Err(format!("topic {topic} is back")),
                _ => {}
            }
            let presence = if there { Presence::Present } else { Presence::Absent };
            self.topics.insert(topic, presence);
            for partition in 0..PARTITIONS {
                let known = self.known.entry((topic, partition)).or_default();
                if !there {
                    *known = Known::default();
                    continue;
                }
                let extra = verify_partition(store, topic, partition, known, &mut numbers).await?;
                self.tally.survived_unacknowledged += extra;
            }
        }
        Ok(())
    }

    /// Lets the next sync of some kind of file or folder fail.
    fn fail_a_sync(&mut self) {
        let of = ["", ".log", "recovery-point", "topic.json", "/0", "/data/log"];
        self.disk.fail_next_sync(of[self.rng.random_range(0..of.len())]);
    }

    /// Does this and that until the power fails or the life is over.
    async fn live(&mut self, store: LogStore) -> Result<(), String> {
        self.disk.cut_power_after(self.rng.random_range(1..150));
        for _ in 0..60 {
            match self.rng.random_range(0..100) {
                0..8 => self.create_topic(&store).await,
                8..10 => self.delete_topic(&store).await,
                10..16 => self.retain(&store).await,
                16..26 => self.look(&store).await?,
                26..28 => {
                    let _ = store.close().await;
                    break;
                }
                // Killed: the page cache stays.
                28..30 => {
                    drop(store);
                    self.tally.killed += 1;
                    self.disk.restart();
                    return Ok(());
                }
                30..32 => self.fail_a_sync(),
                _ => self.append(&store).await?,
            }
            if !self.disk.powered() {
                break;
            }
        }
        self.tally.offline +=
            store.stats().iter().filter(|partition| partition.offline.is_some()).count() as u64;
        drop(store);
        self.end();
        Ok(())
    }

    /// Ends a life: in the dark, or by a kill, after which what was not synced can be read and can
    /// still be lost.
    fn end(&mut self) {
        if self.rng.random_bool(0.3) {
            self.tally.killed += 1;
            self.disk.restart();
        } else {
            self.disk.power_on();
        }
    }

    fn any_topic(&mut self) -> &'static str {
        TOPICS[self.rng.random_range(0..TOPICS.len())]
    }

    async fn create_topic(&mut self, store: &LogStore) {
        let topic = self.any_topic();
        if self.topics[topic] != Presence::Absent {
            return;
        }
        let made = store.create_topic(&TopicSpec::new(topic, PARTITIONS)).await;
        let presence = if made.is_ok() { Presence::Present } else { Presence::Either };
        self.topics.insert(topic, presence);
    }

    async fn delete_topic(&mut self, store: &LogStore) {
        let topic = self.any_topic();
        if self.topics[topic] != Presence::Present {
            return;
        }
        let gone = store.delete_topic(topic).await.is_ok();
        self.tally.topics_deleted += u64::from(gone);
        self.topics.insert(topic, if gone { Presence::Absent } else { Presence::Either });
        if gone {
            for partition in 0..PARTITIONS {
                self.known.insert((topic, partition), Known::default());
            }
        }
    }

    async fn retain(&mut self, store: &LogStore) {
        let passed_ms = self.rng.random_range(0..130_000);
        self.clock.advance_us(passed_ms * 1000);
        self.disk.set_now_ms(self.clock.now_ms());
        self.known.values_mut().for_each(|known| known.may_retain = true);
        if let Ok(done) = store.maintain_once().await {
            self.tally.retained += done.segments;
            for ((topic, partition), known) in &mut self.known {
                if let Ok(marks) = store.watermarks(topic, *partition) {
                    known.log_start = marks.log_start;
                    known.may_retain = false;
                }
            }
        }
    }

    /// Reads everything: what was shown must stay.
    async fn look(&mut self, store: &LogStore) -> Result<(), String> {
        let mut numbers = BTreeSet::new();
        for topic in TOPICS {
            if self.topics[topic] != Presence::Present {
                continue;
            }
            for partition in 0..PARTITIONS {
                let known = self.known.entry((topic, partition)).or_default();
                verify_partition(store, topic, partition, known, &mut numbers).await?;
            }
        }
        Ok(())
    }

    /// A few appends at once, to one or more partitions.
    async fn append(&mut self, store: &LogStore) -> Result<(), String> {
        let topic = self.any_topic();
        if self.topics[topic] != Presence::Present {
            return Ok(());
        }
        let segments = |store: &LogStore| -> usize {
            store.stats().iter().map(|partition| partition.segments).sum()
        };
        let before = segments(store);
        let mut appends = Vec::new();
        for _ in 0..self.rng.random_range(1..5) {
            let partition = self.rng.random_range(0..PARTITIONS);
            let first = self.next_number;
            let count = self.rng.random_range(1..4);
            self.next_number += count;
            let bytes = self.rng.random_range(10..200);
            let durable = self.rng.random_bool(0.9);
            appends.push(async move {
                let records = (first..first + count).map(|n| record(n, bytes)).collect::<Vec<_>>();
                let result = append_one(store, topic, partition, records, durable).await;
                (partition, first..first + count, durable, result)
            });
        }
        for (partition, numbers, durable, result) in futures::future::join_all(appends).await {
            let Ok(base) = result else { continue };
            if !durable {
                continue;
            }
            let known = self.known.entry((topic, partition)).or_default();
            for (offset, number) in (base..).zip(numbers) {
                if let Some(other) = known.kept.insert(offset, number) {
                    return Err(format!("offset {offset} was given to {other} and {number}"));
                }
                self.tally.acknowledged += 1;
            }
        }
        self.tally.sealed += segments(store).saturating_sub(before) as u64;
        Ok(())
    }
}

async fn append_one(
    store: &LogStore,
    topic: &str,
    partition: i32,
    records: Vec<tradewind_types::Record>,
    durable: bool,
) -> Result<i64, LogError> {
    if durable {
        return Ok(store.append(topic, partition, records).await?.base_offset);
    }
    let batch = produced(&records);
    Ok(store.append_raw(topic, partition, batch.into(), false).await?.base_offset)
}

/// The records as a batch of another producer: kafka-protocol's encoder.
pub(crate) fn produced(records: &[tradewind_types::Record]) -> Vec<u8> {
    use kafka_protocol::records::{
        Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };
    let records: Vec<Record> = (0_i64..)
        .zip(records)
        .map(|(index, record)| Record {
            transactional: false,
            control: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: index,
            sequence: index as i32,
            timestamp: record.timestamp_ms,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: Default::default(),
            delete_horizon: false,
        })
        .collect();
    let mut out = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.to_vec()
}

/// Holds a partition against what is known of it, and learns what it shows. Returns how many
/// records are there that nobody knew of.
async fn verify_partition(
    store: &LogStore,
    topic: &str,
    partition: i32,
    known: &mut Known,
    numbers: &mut BTreeSet<u64>,
) -> Result<u64, String> {
    let place = format!("{topic}-{partition}");
    let marks = store.watermarks(topic, partition).map_err(|error| error.to_string())?;
    if marks.high_watermark < known.high_watermark {
        return Err(format!("{place}: {marks:?} is behind {}", known.high_watermark));
    }
    if marks.log_start != known.log_start && !known.may_retain {
        return Err(format!("{place}: {marks:?} begins elsewhere than {}", known.log_start));
    }
    known.may_retain = false;
    known.log_start = marks.log_start;
    known.high_watermark = marks.high_watermark;
    known.kept = known.kept.split_off(&marks.log_start);
    if let Some((last, _)) = known.kept.last_key_value()
        && *last >= marks.high_watermark
    {
        return Err(format!("{place}: offset {last} is gone, {marks:?}"));
    }
    let mut unknown = 0;
    let mut from = marks.log_start;
    while from < marks.high_watermark {
        let read = store.read(topic, partition, from, 700).await;
        let read = read.map_err(|error| format!("{place} at {from}: {error}"))?;
        if read.is_empty() {
            return Err(format!("{place}: nothing at {from}, {marks:?}"));
        }
        for found in read {
            let found_number = number(&found.record);
            if found.offset != from {
                return Err(format!("{place}: offset {} where {from} is due", found.offset));
            }
            if !numbers.insert(found_number) {
                return Err(format!("{place}: record {found_number} is there twice"));
            }
            match known.kept.insert(from, found_number) {
                None => unknown += 1,
                Some(due) if due == found_number => {}
                Some(due) => return Err(format!("{place}: {found_number} at {from}, not {due}")),
            }
            from += 1;
        }
    }
    Ok(unknown)
}
