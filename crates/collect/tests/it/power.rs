//! The power fails at any disk operation, of the log's or of the deduplication state's: every
//! event that was answered is in the log, once, and nothing needs help to start again.
//!
//! A failure names its seed.

use crate::support::{HOUR_US, Reply, batch, event, post, runtime, send};
use axum::http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tradewind_collect::{CollectError, CollectParts, CollectSettings, Collector};
use tradewind_disk::SimDisk;
use tradewind_log::{LogSettings, LogStore};
use tradewind_types::event::{EVENTS_TOPIC, iso8601};
use tradewind_types::{Log, ManualClock};

const PARTITIONS: i32 = 2;
/// Lives before the last one, in which everything is sent again.
const LIVES: usize = 6;

struct World {
    seed: u64,
    rng: StdRng,
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    /// Everything that was ever sent, and whether it was answered with success.
    sent: BTreeMap<String, bool>,
    next: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::at(iso8601::parse("2026-11-21T08:00:00Z").unwrap())),
            sent: BTreeMap::new(),
            next: 0,
        }
    }

    async fn open(&self) -> Result<(LogStore, Arc<Collector>), String> {
        let settings = LogSettings::default();
        let (log, _) =
            LogStore::open(self.disk.clone(), Path::new("/data/log"), settings, self.clock.clone())
                .map_err(|error| error.to_string())?;
        let parts = CollectParts {
            log: Arc::new(log.clone()),
            disk: self.disk.clone(),
            dir: "/data/collect".into(),
            clock: self.clock.clone(),
            settings: CollectSettings {
                event_partitions: PARTITIONS,
                dedup_window_ms: 31 * 24 * 3_600_000,
                // Small enough for many runs and snapshots, never reached.
                dedup_ids_max: 80_000,
                ..CollectSettings::default()
            },
        };
        let collector =
            Collector::open(parts).await.map_err(|error: CollectError| error.to_string())?;
        Ok((log, collector))
    }

    /// A few ids: new ones, ones that were sent before, one of them twice.
    fn pick(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            if self.sent.is_empty() || self.rng.random_bool(0.6) {
                self.next += 1;
                ids.push(format!("m{}", self.next));
            } else {
                let nth = self.rng.random_range(0..self.sent.len());
                ids.extend(self.sent.keys().nth(nth).cloned());
            }
        }
        if self.rng.random_bool(0.2) {
            ids.push(ids[0].clone());
        }
        ids
    }

    fn note(&mut self, ids: &[String], reply: &Reply) {
        for id in ids {
            *self.sent.entry(id.clone()).or_default() |= reply.status == StatusCode::OK;
        }
    }

    /// One life up to a power cut or a stop.
    async fn live(&mut self) {
        let Ok((_log, collector)) = self.open().await else { return };
        for _ in 0..self.rng.random_range(1..30) {
            let requests: Vec<_> = (0..self.rng.random_range(1..4)).map(|_| self.pick()).collect();
            let replies =
                futures::future::join_all(requests.iter().map(|ids| deliver(&collector, ids)));
            for (ids, reply) in requests.iter().zip(replies.await) {
                self.note(ids, &reply);
            }
            if self.rng.random_bool(0.15) {
                self.clock.advance_us(self.rng.random_range(0..3 * HOUR_US));
            }
        }
        if self.rng.random_bool(0.5) {
            let _ = collector.close().await;
        }
    }

    /// With the power on for good: the client sends everything again.
    async fn settle(&mut self) -> Vec<String> {
        let (log, collector) = self.open().await.expect("the server starts without help");
        let before: BTreeSet<String> = logged(&log).await.into_iter().collect();
        for (id, answered) in &self.sent {
            assert!(!answered || before.contains(id), "seed {}: {id} is lost", self.seed);
            let reply = deliver(&collector, std::slice::from_ref(id)).await;
            let expected = if before.contains(id) { (0, 1, 0) } else { (1, 0, 0) };
            assert_eq!(reply.counts(), expected, "seed {}: {id}", self.seed);
        }
        collector.close().await.unwrap();
        logged(&log).await
    }
}

async fn deliver(collector: &Arc<Collector>, ids: &[String]) -> Reply {
    // The visitor follows from the id: a retry is the same event.
    let visitor = |id: &str| format!("v{}", id.bytes().map(u32::from).sum::<u32>() % 7);
    let events: Vec<_> = ids.iter().map(|id| event(id, &visitor(id))).collect();
    send(collector, post("/v1/batch", batch(&events))).await
}

async fn logged(log: &LogStore) -> Vec<String> {
    let mut ids = Vec::new();
    for partition in 0..PARTITIONS {
        let mut next = 0;
        loop {
            let records = log.read(EVENTS_TOPIC, partition, next, 1 << 20).await.unwrap();
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            for record in &records {
                let value = record.record.value.as_ref().unwrap();
                let event: serde_json::Value = serde_json::from_slice(value).unwrap();
                ids.push(event["message_id"].as_str().unwrap().to_owned());
            }
        }
    }
    ids
}

fn run(seed: u64, lying_disk: bool) {
    let mut world = World::new(seed);
    world.disk.ignore_syncs(lying_disk);
    for _ in 0..LIVES {
        let cut_after = world.rng.random_range(1..250);
        world.disk.cut_power_after(cut_after);
        runtime().block_on(world.live());
        world.disk.power_on();
    }
    let mut ids = runtime().block_on(world.settle());
    ids.sort();
    for pair in ids.windows(2) {
        assert_ne!(pair[0], pair[1], "seed {seed}: twice in the log");
    }
    assert!(ids.iter().eq(world.sent.keys()), "seed {seed}: the log is not what was sent");
}

/// `TRADEWIND_SEED` alone, or `TRADEWIND_RUNS` (150) of them from 0.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("TRADEWIND_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRADEWIND_RUNS").unwrap_or(150),
    }
}

#[test]
fn every_answered_event_is_there_once_whenever_the_power_fails() {
    for seed in seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed, false)) {
            eprintln!("failed with TRADEWIND_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The test above can fail: on a disk whose syncs only pretend it does.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let noticed = |seed| std::panic::catch_unwind(|| run(seed, true)).is_err();
    assert!((0..20).any(noticed));
}
