//! Compaction, checkpoints and vacuum change files, never rows.

use crate::support::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings};
use tradewind_types::{ManualClock, Sink};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.join("orders")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn data(dir: &Path) -> usize {
    let of_log = |path: &&PathBuf| !path.to_string_lossy().contains("_delta_log");
    files(dir).iter().filter(of_log).count()
}

fn settings() -> LakeSettings {
    LakeSettings {
        compact_files_min: 3,
        checkpoint_commits: 4,
        vacuum_retention_hours: 2,
        log_retention_hours: 3,
        ..LakeSettings::default()
    }
}

async fn epochs(
    lake: &Lake,
    own: &mut Box<dyn Sink>,
    clock: &ManualClock,
    epochs: std::ops::Range<i64>,
) {
    for epoch in epochs {
        own.write(vec![order_rows(epoch * 10, epoch * 10 + 10)]).await.unwrap();
        let staged = own.stage(epoch as u64).await.unwrap();
        own.commit(&staged).await.unwrap();
        clock.advance_us(1_000);
    }
    assert!(lake.table("orders").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_large_ones_and_the_small_ones_go_after_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    let table = lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    epochs(&lake, &mut own, &clock, 1..6).await;
    let rows = "SELECT _partition, _offset, n, amount, event_time FROM orders ORDER BY n";
    let before = text(&lake, rows).await;
    assert_eq!((table.status().files, data(dir.path())), (10, 10));

    let done = table.maintain_once().await.unwrap();
    assert_eq!((done.compacted_from, done.compacted_to), (10, 2));
    assert!(done.checkpoint);
    assert_eq!((table.status().files, data(dir.path())), (2, 12), "the old ones are kept a while");
    assert_eq!(text(&lake, rows).await, before);
    let done = table.maintain_once().await.unwrap();
    assert_eq!(done, Default::default(), "nothing is due");

    clock.advance_us(2 * HOUR_US + 1_000_000);
    let done = table.maintain_once().await.unwrap();
    assert_eq!((done.data_files_removed, data(dir.path())), (10, 2));
    assert_eq!(text(&lake, rows).await, before);
    drop((own, table, lake));
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    assert_eq!(text(&lake, rows).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manifest_may_name_is_never_vacuumed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    epochs(&lake, &mut own, &clock, 1..2).await;
    own.write(vec![order_rows(100, 110)]).await.unwrap();
    let staged = own.stage(2).await.unwrap();
    drop((own, lake));
    // The server was off for long, and vacuums before the pipeline is started.
    clock.advance_us(1_000 * HOUR_US);
    let foreign = dir.path().join("orders/left-over.parquet");
    std::fs::write(&foreign, b"x").unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(&foreign).unwrap().set_modified(old).unwrap();
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    let table = lake.table("orders").unwrap();
    assert_eq!(table.maintain_once().await.unwrap().data_files_removed, 1);
    assert!(!foreign.exists());
    let mut own = lake.sink("orders", "p/1").unwrap();
    own.recover(Some(&staged)).await.unwrap();
    assert_eq!(numbers(&lake).await, (10..20).chain(100..110).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_cleaned_behind_a_checkpoint_and_epochs_are_still_known() {
    let dir = tempfile::tempdir().unwrap();
    // The disk's clock is the real one: by ours the files are old.
    let now = tradewind_types::Clock::now_us(&tradewind_types::SystemClock);
    let clock = Arc::new(ManualClock::at(now + 100 * HOUR_US));
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    let table = lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    epochs(&lake, &mut own, &clock, 1..9).await;
    let mut other = sink(&lake, "other/1").await;
    other.write(vec![order_rows(0, 10)]).await.unwrap();
    let of_other = other.stage(1).await.unwrap();
    other.commit(&of_other).await.unwrap();
    let mut removed = 0;
    for epoch in 9..30 {
        epochs(&lake, &mut own, &clock, epoch..epoch + 1).await;
        removed += table.maintain_once().await.unwrap().log_files_removed;
    }
    assert!(removed > 10, "{removed} removed");
    let first = dir.path().join("orders/_delta_log/00000000000000000000.json");
    assert!(!first.exists());
    assert_eq!(numbers(&lake).await, (0..300).collect::<Vec<_>>());
    epochs(&lake, &mut own, &clock, 30..32).await;
    drop((own, other, table, lake));
    // A writer whose only commit is in a checkpoint alone is still known.
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    let mut other = lake.sink("orders", "other/1").unwrap();
    other.recover(Some(&of_other)).await.unwrap();
    assert_eq!(numbers(&lake).await, (0..320).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_commit_is_taken_in_by_the_next_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    epochs(&lake, &mut own, &clock, 1..3).await;
    // A second process, as far as this one can tell.
    let second = open_on(Arc::new(OsDisk), dir.path(), settings(), clock.clone()).await;
    let mut theirs = sink(&second, "q/1").await;
    epochs(&second, &mut theirs, &clock, 3..4).await;
    epochs(&lake, &mut own, &clock, 4..5).await;
    let all: Vec<i64> = (10..50).collect();
    assert_eq!(numbers(&lake).await, all);
    // It compacts what we still see; our commit after it goes through.
    assert!(second.table("orders").unwrap().maintain_once().await.is_ok());
    epochs(&lake, &mut own, &clock, 5..6).await;
    assert_eq!(numbers(&lake).await, (10..60).collect::<Vec<_>>());
}
