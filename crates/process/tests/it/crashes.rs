//! Killed and cut off at any operation of the disk, a pipeline still counts every record once.

use crate::support::{World, view_of, wait_for};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::Engine;

/// Runs of the simulation unless `TRADEWIND_CRASH_SEEDS` says otherwise; each has its own seed,
/// printed when it fails.
const SEEDS: u64 = 100;
const RECORDS: i64 = 40;
const SCRIPT: &str = "
    CREATE TABLE t (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE a (id BIGINT) WITH ('connector' = 'delta');
";
/// Its state is in checkpoints.
const VIEW: &str = "CREATE MATERIALIZED VIEW thirds AS
    SELECT CAST(id % 3 AS BIGINT) AS third, COUNT(*) AS n, SUM(id) AS total
    FROM t GROUP BY id % 3";

/// One life of the server: it takes in some records and ends by a kill or a power cut.
fn life(world: &World, random: &mut StdRng, next: &mut i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        // A disk that fails at once keeps even the engine from starting.
        let Ok(engine) = world.engine().await else { return };
        for _ in 0..random.random_range(1..6) {
            for _ in 0..random.random_range(0..5) {
                if *next < RECORDS {
                    // Every seventh is no JSON, and must be there once as a dead letter.
                    let text = if *next % 7 == 3 {
                        format!("no {next}")
                    } else {
                        format!(r#"{{"id": {next}}}"#)
                    };
                    world.put((*next % 2) as i32, &text);
                    *next += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
        }
        if random.random_bool(0.3) {
            engine.shutdown().await.unwrap();
        }
    });
    // Whatever was in flight ends here.
    drop(runtime);
}

/// What is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The disk says it has synced and has not.
    Syncs,
    /// The lake commits before the manifest is written.
    Order,
}

fn run(seed: u64, broken: Broken) {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = SimDisk::new(seed);
    disk.ignore_syncs(broken == Broken::Syncs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let data: Arc<dyn Disk> = disk.clone();
    let mut world = runtime.block_on(World::new(data, "/data".as_ref(), SCRIPT));
    world.settings.commit_interval_ms = 10;
    world.lake = Arc::new(crate::support::FileLake::new(disk.clone(), "/data/lake".as_ref()));
    let pipeline = tradewind_sql::NewPipeline {
        name: "a".into(),
        sql: "INSERT INTO a SELECT id FROM t".into(),
        dialect: tradewind_sql::Dialect::Flink,
        owner: tradewind_sql::Owner::Sql,
        columns: Vec::new(),
    };
    world.catalogue.create_pipeline(&pipeline).unwrap();
    let view = view_of(VIEW);
    let owner = tradewind_sql::Owner::Sql;
    world.catalogue.create_materialized_view(&view, pipeline.dialect, &owner, vec![]).unwrap();
    let mut next = 0;
    for _ in 0..8 {
        let cut = random.random_bool(0.8);
        if cut {
            disk.cut_power_after(random.random_range(0..80));
        }
        life(&world, &mut random, &mut next);
        // A kill alone loses nothing that was written; it is the memory that is gone. What was not
        // synced, the next power cut may still take.
        if cut && random.random_bool(0.6) {
            disk.power_on();
        } else {
            disk.restart();
        }
        world.restart();
        Arc::get_mut(&mut world.lake).unwrap().commits_early = broken == Broken::Order;
    }
    finish(&world, seed, next);
}

/// A last life without accidents, and what must be there then.
fn finish(world: &World, seed: u64, next: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = world.engine().await.unwrap();
        let end = [(0, next / 2 + next % 2), (1, next / 2)].into();
        world
            .status(&engine, "a", |status| {
                status.sources.first().is_some_and(|source| source.positions == end)
            })
            .await;
        let expected = thirds(next);
        let shown = wait_for(|| shown(&engine).filter(|rows| *rows == expected)).await;
        assert!(
            shown.is_some(),
            "seed {seed}: {:?} in place of {expected:?}",
            self::shown(&engine)
        );
        engine.shutdown().await.unwrap();
    });
    let ids: Vec<i64> =
        world.lake.committed("a").iter().map(|row| row.0.parse().unwrap()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    let expected: Vec<i64> = (0..next).filter(|id| id % 7 != 3).collect();
    assert_eq!(sorted, expected, "seed {seed}: rows");
    let dead = world.lake.committed("dead_letters");
    let mut places: Vec<i64> =
        dead.iter().map(|(_, partition, offset)| offset * 2 + i64::from(*partition)).collect();
    places.sort_unstable();
    // One letter of each pipeline.
    let expected: Vec<i64> = (0..next).filter(|id| id % 7 == 3).flat_map(|id| [id, id]).collect();
    assert_eq!(places, expected, "seed {seed}: dead letters");
}

/// What the view must say of the first `next` records.
fn thirds(next: i64) -> Vec<Vec<i64>> {
    let of = |third: i64| (0..next).filter(move |id| id % 7 != 3 && id % 3 == third);
    let row = |third| vec![third, of(third).count() as i64, of(third).sum()];
    (0..3).map(row).filter(|row| row[1] > 0).collect()
}

/// What the view says, if it says anything.
fn shown(engine: &Engine) -> Option<Vec<Vec<i64>>> {
    let snapshot = engine.view("thirds")?.snapshot()?;
    let mut rows = Vec::new();
    for chunk in &snapshot.table.chunks {
        for row in 0..chunk.num_rows() {
            let column = |index: usize| chunk.column(index).as_primitive::<Int64Type>().value(row);
            rows.push((0..3).map(column).collect());
        }
    }
    rows.sort();
    Some(rows)
}

#[test]
fn every_record_counts_once_through_kills_and_power_cuts() {
    let asked = std::env::var("TRADEWIND_CRASH_SEEDS").ok();
    for seed in 0..asked.map_or(SEEDS, |seeds| seeds.parse().unwrap()) {
        let result = std::panic::catch_unwind(|| run(seed, Broken::Nothing));
        if let Err(panic) = result {
            eprintln!("the run with seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_broken_sync_and_a_broken_order_are_noticed() {
    for broken in [Broken::Syncs, Broken::Order] {
        let noticed =
            (0..SEEDS).any(|seed| std::panic::catch_unwind(|| run(seed, broken)).is_err());
        assert!(noticed, "{broken:?}");
    }
}
