//! Killed and cut off at any operation of the disk, a pipeline from topic to topic writes every row
//! once for whoever reads what is committed, and leaves nothing open.

use crate::support::{Damage, Topics, hangs, materialized, put, shown};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;
use tradewind_log::LogStore;
use tradewind_sql::{Dialect, NewPipeline, Owner};
use tradewind_types::log::Isolation;

/// Runs of the simulation unless `TRADEWIND_CRASH_SEEDS` says otherwise; each has its own seed,
/// printed when it fails.
const SEEDS: u64 = 100;
/// Seeds that are tried to notice something broken.
const SEEDS_BROKEN: u64 = 60;
const RECORDS: i64 = 60;
const TABLES: &str = "
    CREATE TABLE t (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE copied (k BIGINT, id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'copied',
        'format' = 'json', 'key.format' = 'json', 'key.fields' = 'k');
    CREATE TABLE totals (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH (
        'connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json',
        'value.format' = 'json');";
/// A key's records are all in one partition of `t`, so that their order is known.
const COPIED: &str = "INSERT INTO copied SELECT CAST(id % 4 AS BIGINT), id FROM t";
/// A group whose rows are all taken back is gone: only those that have come an odd number of times.
const TOTALS: &str = "INSERT INTO totals
    SELECT CAST(id % 5 AS BIGINT) AS k, COUNT(*) AS n, SUM(id) AS total
    FROM t GROUP BY CAST(id % 5 AS BIGINT) HAVING COUNT(*) % 3 <> 0";

/// What happened in some runs: a test in which nothing happens proves nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// Records of `copied` and `totals` that readers of what is committed are not shown.
    aborted: usize,
    /// Records that readers are shown.
    committed: usize,
    tombstones: usize,
    /// Lives that ended with something open.
    left_open: usize,
    dropped: usize,
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// One life of the server: it takes in some records and ends by a kill, a power cut or in order.
fn life(world: &Topics, random: &mut StdRng, next: &mut i64, tally: &mut Tally) {
    let runtime = runtime();
    runtime.block_on(async {
        let Ok(log) = world.log() else { return };
        let Ok(engine) = world.engine(&log).await else { return };
        for _ in 0..random.random_range(1..8) {
            for _ in 0..random.random_range(0..6) {
                if *next < RECORDS {
                    let text = format!(r#"{{"id": {next}}}"#);
                    // One whose append fails may be there or not; it does not come again.
                    let _ = put(&log, "t", (*next % 2) as i32, &text).await;
                    *next += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
        }
        if random.random_bool(0.2) {
            // A disk without power stops nothing in order.
            let _ = engine.shutdown().await;
        }
        tally.left_open += usize::from(hangs(&log, "copied") || hangs(&log, "totals"));
    });
    // Whatever was in flight ends here.
    drop(runtime);
}

fn world(seed: u64, damage: Damage) -> Topics {
    let mut world = Topics::new(seed, TABLES);
    world.settings.commit_interval_ms = 10;
    world.damage = damage;
    for (name, sql) in [("copied", COPIED), ("totals", TOTALS)] {
        let pipeline = NewPipeline {
            name: name.into(),
            sql: sql.into(),
            dialect: Dialect::Flink,
            owner: Owner::Sql,
            columns: Vec::new(),
        };
        world.catalogue.create_pipeline(&pipeline).unwrap();
    }
    runtime().block_on(async {
        let log = world.log_with(&[("t", 2), ("copied", 3), ("totals", 2)]).await;
        log.close().await.unwrap();
    });
    world.disk.ignore_syncs(damage == Damage::Syncs);
    world
}

fn run(seed: u64, damage: Damage) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let world = world(seed, damage);
    let (mut next, mut tally) = (0, Tally::default());
    for _ in 0..6 {
        let cut = random.random_bool(0.7);
        if cut {
            world.disk.cut_power_after(random.random_range(0..250));
        }
        life(&world, &mut random, &mut next, &mut tally);
        // A kill alone loses nothing that was written; it is the memory that is gone. What was not
        // synced, the next power cut may still take.
        if cut && random.random_bool(0.6) {
            world.disk.power_on();
        } else {
            world.disk.restart();
        }
    }
    let drops = random.random_bool(0.5);
    runtime().block_on(finish(&world, seed, drops, &mut tally));
    tally
}

/// A last life without accidents, and what must be there then.
async fn finish(world: &Topics, seed: u64, drops: bool, tally: &mut Tally) {
    let log = world.log().unwrap();
    let engine = world.engine(&log).await.unwrap();
    for name in ["copied", "totals"] {
        world.drained(&engine, name).await;
    }
    engine.checkpoint_all().await.unwrap();
    if drops {
        for name in ["copied", "totals"] {
            engine.drop_pipeline(name, false).await.unwrap();
        }
        let ids = log.clone();
        let left = tradewind_types::Log::writer(&ids).unwrap().ids().await.unwrap();
        assert!(left.is_empty(), "seed {seed}: {left:?} are not forgotten");
        tally.dropped += 1;
    }
    engine.shutdown().await.unwrap();
    for topic in ["copied", "totals"] {
        assert!(!hangs(&log, topic), "seed {seed}: something is open in {topic}");
    }
    let input = ids(&log, "t", "id").await;
    let input: Vec<i64> = input.into_iter().map(|(_, id)| id).collect();
    check_copied(&log, seed, &input).await;
    check_totals(&log, seed, &input, tally).await;
    for topic in ["copied", "totals"] {
        let all = shown(&log, topic, Isolation::ReadUncommitted).await.len();
        let committed = shown(&log, topic, Isolation::ReadCommitted).await.len();
        tally.aborted += all - committed;
        tally.committed += committed;
    }
}

/// A number of each committed record of a topic, with its key, in the partitions' order.
async fn ids(log: &LogStore, topic: &str, field: &str) -> Vec<(Option<String>, i64)> {
    let written = shown(log, topic, Isolation::ReadCommitted).await;
    let id = |value: &str| serde_json::from_str::<serde_json::Value>(value).unwrap()[field].clone();
    written.into_iter().map(|one| (one.key, id(&one.value.unwrap()).as_i64().unwrap())).collect()
}

async fn check_copied(log: &LogStore, seed: u64, input: &[i64]) {
    let copied = ids(log, "copied", "id").await;
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, id) in copied {
        by_key.entry(key.unwrap()).or_default().push(id);
    }
    let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut input = input.to_vec();
    input.sort_unstable();
    for id in input {
        expected.entry(format!(r#"{{"k":{}}}"#, id % 4)).or_default().push(id);
    }
    assert_eq!(by_key, expected, "seed {seed}: the rows of each key in their order");
}

async fn check_totals(log: &LogStore, seed: u64, input: &[i64], tally: &mut Tally) {
    let written = shown(log, "totals", Isolation::ReadCommitted).await;
    tally.tombstones += written.iter().filter(|one| one.value.is_none()).count();
    let mut expected = BTreeMap::new();
    for k in 0..5 {
        let of: Vec<i64> = input.iter().copied().filter(|id| id % 5 == k).collect();
        if !of.len().is_multiple_of(3) {
            let row = format!(r#"{{"k":{k},"n":{},"total":{}}}"#, of.len(), of.iter().sum::<i64>());
            expected.insert(format!(r#"{{"k":{k}}}"#), row);
        }
    }
    assert_eq!(materialized(&written), expected, "seed {seed}: the totals by key");
}

#[test]
fn every_row_is_in_the_topic_once_through_kills_and_power_cuts() {
    let asked = std::env::var("TRADEWIND_CRASH_SEEDS").ok();
    let seeds = asked.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut all = Tally::default();
    for seed in 0..seeds {
        match std::panic::catch_unwind(|| run(seed, Damage::None)) {
            Ok(tally) => {
                all.aborted += tally.aborted;
                all.committed += tally.committed;
                all.tombstones += tally.tombstones;
                all.left_open += tally.left_open;
                all.dropped += tally.dropped;
            }
            Err(panic) => {
                eprintln!("the run with seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{seeds} runs: {all:?}");
    let seeds = usize::try_from(seeds).unwrap();
    if seeds >= 50 {
        assert!(all.aborted > seeds && all.committed > 20 * seeds, "{all:?}");
        assert!(all.tombstones > seeds && all.left_open > seeds / 2, "{all:?}");
        assert!(all.dropped > seeds / 4, "{all:?}");
    }
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for damage in [Damage::Syncs, Damage::CommitsAll, Damage::AbortsNothing, Damage::CommitsNothing]
    {
        let noticed =
            (0..SEEDS_BROKEN).any(|seed| std::panic::catch_unwind(|| run(seed, damage)).is_err());
        assert!(noticed, "{damage:?}");
    }
}
