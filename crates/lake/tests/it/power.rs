//! Power cuts at random disk operations, over whole lives of a table.
//!
//! One run is one seed: random writes, stages, manifests, commits, compactions and vacuums until
//! the power fails somewhere; then the lake is opened again, the sink recovers from the manifest
//! that survived, and the rows must be those of the committed epochs, each once.

use crate::faults::{FaultyDisk, Without};
use crate::support::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_lake::{Lake, LakeSettings};
use tradewind_types::{ManualClock, Sink, Staged};

const WRITER: &str = "pipeline/1";
const MANIFEST: &str = "/data/manifest.json";

fn settings() -> LakeSettings {
    LakeSettings {
        compact_files_min: 3,
        checkpoint_commits: 3,
        vacuum_retention_hours: 1,
        log_retention_hours: 1,
        ..LakeSettings::default()
    }
}

/// What a pipeline keeps: the epoch's staged work and the offset its rows end at.
fn save(disk: &SimDisk, staged: &Staged, next: i64) -> io::Result<()> {
    let text = serde_json::to_vec(&(staged, next)).unwrap();
    disk.write_atomic(Path::new(MANIFEST), &text)
}

fn saved(disk: &SimDisk) -> Result<Option<(Staged, i64)>, String> {
    match disk.read(Path::new(MANIFEST)) {
        Ok(bytes) => {
            let manifest = serde_json::from_slice(&bytes);
            manifest.map(Some).map_err(|error| format!("torn manifest: {error}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

struct Life {
    lake: Lake,
    sink: Box<dyn Sink>,
    epoch: u64,
    next: i64,
}

/// Opens and recovers, as a start of the server does. An error is the power's, or a bug.
async fn start(
    disk: &Arc<SimDisk>,
    clock: &Arc<ManualClock>,
    without: Without,
) -> Result<Life, String> {
    let lake_disk = Arc::new(FaultyDisk::new(disk.clone(), without));
    let lake = Lake::open(lake_disk, Path::new("/data/lake"), settings(), clock.clone())
        .await
        .map_err(|error| error.to_string())?;
    lake.create_table(&orders()).await.map_err(|error| error.to_string())?;
    let mut sink = lake.sink("orders", WRITER).map_err(|error| error.to_string())?;
    let manifest = saved(disk)?;
    let last = manifest.as_ref().map(|(staged, _)| staged);
    sink.recover(last).await.map_err(|error| error.to_string())?;
    let (epoch, next) = manifest.map_or((0, 0), |(staged, next)| (staged.epoch, next));
    Ok(Life { lake, sink, epoch, next })
}

/// Works until the power fails. Returns the offset up to which rows were acknowledged as
/// committed.
async fn live(life: &mut Life, disk: &SimDisk, clock: &ManualClock, rng: &mut StdRng) -> i64 {
    let mut committed = life.next;
    loop {
        clock.advance_us(rng.random_range(0..HOUR_US / 2));
        disk.set_now_ms(tradewind_types::Clock::now_ms(clock));
        for _ in 0..rng.random_range(0..4) {
            let rows = rng.random_range(1..30);
            let batch = order_rows(life.next, life.next + rows);
            if life.sink.write(vec![batch]).await.is_err() {
                return committed;
            }
            life.next += rows;
        }
        let Ok(staged) = life.sink.stage(life.epoch + 1).await else { return committed };
        if save(disk, &staged, life.next).is_err() {
            return committed;
        }
        life.epoch += 1;
        if rng.random_ratio(1, 5)
            && life.lake.table("orders").unwrap().maintain_once().await.is_err()
        {
            return committed;
        }
        if life.sink.commit(&staged).await.is_err() {
            return committed;
        }
        committed = life.next;
        if rng.random_ratio(1, 4)
            && life.lake.table("orders").unwrap().maintain_once().await.is_err()
        {
            return committed;
        }
    }
}

/// What one seed's run found wrong.
async fn run(seed: u64, without: Without) -> Result<(), String> {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/data/lake")).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    let clock = clock();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut acknowledged = 0;
    for _ in 0..rng.random_range(1..4) {
        disk.cut_power_after(rng.random_range(1..250));
        let mut error = "an error while it worked".to_owned();
        match start(&disk, &clock, without).await {
            Ok(mut life) => {
                let committed = live(&mut life, &disk, &clock, &mut rng).await;
                acknowledged = committed.max(acknowledged);
            }
            Err(reason) => error = reason,
        }
        if disk.powered() {
            return Err(format!("without a power cut: {error}"));
        }
        disk.power_on();
    }
    let life = start(&disk, &clock, without).await?;
    if life.next < acknowledged {
        return Err(format!("the manifest ends at {}, {acknowledged} were committed", life.next));
    }
    let session = session(&life.lake.tables());
    let rows = async {
        let frame = session.sql("SELECT n FROM orders ORDER BY n").await?;
        frame.collect().await
    };
    let rows = rows.await.map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for batch in &rows {
        use arrow::array::AsArray;
        let column = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        found.extend_from_slice(column.values());
    }
    let lost: Vec<_> = (0..life.next).filter(|n| found.binary_search(n).is_err()).take(5).collect();
    let doubled: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).take(5).collect();
    if !found.iter().copied().eq(0..life.next) {
        return Err(format!(
            "{} rows, not {}: lost {lost:?}, doubled {doubled:?}",
            found.len(),
            life.next
        ));
    }
    life.lake.table("orders").unwrap().maintain_once().await.map_err(|error| error.to_string())?;
    Ok(())
}

fn runs(seeds: std::ops::Range<u64>, without: Without) -> Vec<(u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut wrong = Vec::new();
    for seed in seeds {
        if let Err(reason) = runtime.block_on(run(seed, without)) {
            wrong.push((seed, reason));
        }
    }
    wrong
}

/// Seeds to run: `TRADEWIND_SEED` alone, or `TRADEWIND_RUNS` of them from 0.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TRADEWIND_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRADEWIND_RUNS").unwrap_or(default),
    }
}

#[test]
fn rows_are_there_once_after_power_cuts() {
    let wrong = runs(seeds(150), Without::Nothing);
    let first: Vec<_> = wrong.iter().take(3).collect();
    assert!(
        wrong.is_empty(),
        "{} seeds failed, TRADEWIND_SEED= repeats one: {first:#?}",
        wrong.len()
    );
}

/// The test above can fail: it does when files or folders of the lake are not synced.
#[test]
fn a_sync_left_out_is_noticed() {
    for without in [Without::FileSyncs, Without::FolderSyncs] {
        let wrong = runs(0..60, without);
        println!("{without:?}: {} of 60 seeds fail, as {:?}", wrong.len(), wrong.first());
        assert!(wrong.len() > 5, "{without:?}: {}", wrong.len());
    }
}
