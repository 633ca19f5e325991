//! Rows exactly once, wherever a process ends between stage, manifest and commit.

use crate::faults::{FaultyDisk, Without};
use crate::support::*;
use std::sync::Arc;
use tradewind_disk::{OsDisk, SimDisk};
use tradewind_lake::{Lake, LakeSettings};
use tradewind_types::{Sink, SinkError, Staged};

async fn fresh(dir: &std::path::Path) -> Lake {
    let lake = open(dir).await;
    lake.create_table(&orders()).await.unwrap();
    lake
}

/// A new table and its first writer.
async fn begun(dir: &std::path::Path) -> (Lake, Box<dyn Sink>) {
    let lake = fresh(dir).await;
    let first = sink(&lake, "p/1").await;
    (lake, first)
}

/// Writes the rows `from..to` and stages them.
async fn stage(sink: &mut Box<dyn Sink>, epoch: u64, from: i64, to: i64) -> Staged {
    sink.write(vec![order_rows(from, to)]).await.unwrap();
    sink.stage(epoch).await.unwrap()
}

/// Writes the rows `from..to`, stages and commits them.
async fn commit(sink: &mut Box<dyn Sink>, epoch: u64, from: i64, to: i64) -> Staged {
    let staged = stage(sink, epoch, from, to).await;
    sink.commit(&staged).await.unwrap();
    staged
}

async fn reopened(dir: &std::path::Path, last: Option<&Staged>) -> (Lake, Box<dyn Sink>) {
    let lake = open(dir).await;
    let mut sink = lake.sink("orders", "p/1").unwrap();
    sink.recover(last).await.unwrap();
    (lake, sink)
}

fn data_files(dir: &std::path::Path) -> usize {
    let mut count = 0;
    let mut folders = vec![dir.join("orders")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("_delta_log") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                count += 1;
            }
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_stage_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    first.write(vec![order_rows(0, 10)]).await.unwrap();
    assert_eq!(numbers(&lake).await, (0..10).collect::<Vec<_>>());
    drop((lake, first));
    let (lake, mut again) = reopened(dir.path(), None).await;
    assert_eq!(number(&lake, "SELECT count(*) FROM orders").await, 0);
    again.write(vec![order_rows(0, 10)]).await.unwrap();
    assert_eq!(numbers(&lake).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_stage_before_the_manifest_the_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    stage(&mut first, 1, 0, 10).await;
    assert_eq!(data_files(dir.path()), 2);
    drop((lake, first));
    let (lake, mut again) = reopened(dir.path(), None).await;
    assert_eq!(data_files(dir.path()), 0);
    // The rows come again, in the same epoch, perhaps not the same ones.
    commit(&mut again, 1, 0, 12).await;
    assert_eq!(numbers(&lake).await, (0..12).collect::<Vec<_>>());
    assert_eq!(lake.table("orders").unwrap().status().tail_rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_manifest_the_epoch_is_committed_at_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    commit(&mut first, 1, 0, 10).await;
    let staged = stage(&mut first, 2, 10, 20).await;
    stage(&mut first, 3, 20, 30).await;
    assert_eq!(numbers(&lake).await, (0..30).collect::<Vec<_>>());
    // The manifest is text on a disk.
    let manifest = serde_json::to_string(&staged).unwrap();
    let staged: Staged = serde_json::from_str(&manifest).unwrap();
    drop((lake, first));
    let (lake, mut again) = reopened(dir.path(), Some(&staged)).await;
    assert_eq!(numbers(&lake).await, (0..20).collect::<Vec<_>>());
    assert_eq!(data_files(dir.path()), 4, "the third epoch's files are gone");
    commit(&mut again, 3, 20, 30).await;
    assert_eq!(numbers(&lake).await, (0..30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_commit_it_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    let staged = commit(&mut first, 1, 0, 10).await;
    let version = lake.table("orders").unwrap().status().version;
    first.commit(&staged).await.unwrap();
    drop((lake, first));
    for _ in 0..2 {
        let (lake, mut again) = reopened(dir.path(), Some(&staged)).await;
        again.commit(&staged).await.unwrap();
        assert_eq!(numbers(&lake).await, (0..10).collect::<Vec<_>>());
        assert_eq!(lake.table("orders").unwrap().status().version, version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_without_rows_makes_no_commit_and_restarts_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    let empty = first.stage(1).await.unwrap();
    assert_eq!(empty.rows, 0);
    first.commit(&empty).await.unwrap();
    assert_eq!(lake.table("orders").unwrap().status().version, 0);
    commit(&mut first, 2, 0, 5).await;
    let empty = first.stage(3).await.unwrap();
    first.commit(&empty).await.unwrap();
    drop((lake, first));
    let (lake, mut again) = reopened(dir.path(), Some(&empty)).await;
    commit(&mut again, 4, 5, 9).await;
    assert_eq!(numbers(&lake).await, (0..9).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_and_a_table_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, mut first) = begun(dir.path()).await;
    let mut staged = Vec::new();
    for epoch in 1..=3 {
        first.write(vec![order_rows(epoch * 10, epoch * 10 + 10)]).await.unwrap();
        staged.push(first.stage(epoch as u64).await.unwrap());
        if epoch < 3 {
            first.commit(staged.last().unwrap()).await.unwrap();
        }
    }
    drop(first);
    // The pipeline's folder is older than the lake.
    for last in [None, Some(&staged[0])] {
        let mut again = lake.sink("orders", "p/1").unwrap();
        let error = again.recover(last).await.unwrap_err();
        assert!(matches!(error, SinkError::Permanent { .. }), "{error}");
        assert!(error.to_string().contains("older than the lake"), "{error}");
    }
    // The lake is older than the pipeline's folder: its second commit is lost.
    let lost = dir.path().join("orders/_delta_log/00000000000000000002.json");
    std::fs::remove_file(lost).unwrap();
    drop(lake);
    let lake = open(dir.path()).await;
    let mut again = lake.sink("orders", "p/1").unwrap();
    let error = again.recover(Some(&staged[2])).await.unwrap_err();
    assert!(error.to_string().contains("older than the pipeline's manifest"), "{error}");
    // Somebody else's epoch.
    let mut other = lake.sink("orders", "p/2").unwrap();
    assert!(matches!(other.recover(Some(&staged[2])).await, Err(SinkError::Permanent { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_file_that_is_damaged_is_not_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (_lake, mut first) = begun(dir.path()).await;
    let staged = stage(&mut first, 1, 0, 1).await;
    let path = staged.work["files"][0]["path"].as_str().unwrap();
    std::fs::write(dir.path().join("orders").join(path), b"short").unwrap();
    let error = first.commit(&staged).await.unwrap_err();
    assert!(error.to_string().contains("has 5 bytes"), "{error}");
    assert!(matches!(error, SinkError::Permanent { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_of_one_table_commit_their_own_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fresh(dir.path()).await;
    let writers = 4;
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let lake = lake.clone();
        tasks.push(tokio::spawn(async move {
            let mut own = sink(&lake, &format!("pipeline-{writer}/1")).await;
            for epoch in 0..5 {
                let from = (epoch * writers + writer) * 10;
                commit(&mut own, epoch as u64 + 1, from, from + 10).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let all: Vec<i64> = (0..writers * 50).collect();
    assert_eq!(numbers(&lake).await, all);
    let status = lake.table("orders").unwrap().status();
    assert_eq!((status.version, status.tail_rows), (20, 0));
    drop(lake);
    assert_eq!(numbers(&open(dir.path()).await).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tail_refuses_and_takes_nothing_until_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings { tail_bytes_max: 4_000, ..LakeSettings::default() };
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings, clock()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    // Larger than the bound, and alone: it could not come in parts.
    own.write(vec![order_rows(0, 100)]).await.unwrap();
    let error = own.write(vec![order_rows(100, 101)]).await.unwrap_err();
    assert!(matches!(error, SinkError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("lake.tail_bytes_max is 4000"), "{error}");
    assert_eq!(number(&lake, "SELECT count(*) FROM orders").await, 100);
    let staged = own.stage(1).await.unwrap();
    assert!(own.write(vec![order_rows(100, 101)]).await.is_err(), "staged rows count too");
    own.commit(&staged).await.unwrap();
    own.write(vec![order_rows(100, 101)]).await.unwrap();
    assert_eq!(numbers(&lake).await, (0..101).collect::<Vec<_>>());
    assert!(lake.tail_bytes() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_writer_leaves_what_it_committed() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fresh(dir.path()).await;
    let (mut gone, mut stays) = (sink(&lake, "p/1").await, sink(&lake, "p/2").await);
    commit(&mut gone, 1, 0, 10).await;
    stage(&mut gone, 2, 10, 20).await;
    gone.write(vec![order_rows(20, 30)]).await.unwrap();
    stage(&mut stays, 1, 30, 40).await;
    lake.forget_writer("orders", "p/1").await.unwrap();
    assert_eq!(numbers(&lake).await, (0..10).chain(30..40).collect::<Vec<_>>());
    assert_eq!(data_files(dir.path()), 4, "committed ones, and those of the other writer");
}

#[tokio::test]
async fn a_commit_whose_last_sync_fails_is_found_again() {
    for maintained in [false, true] {
        let disk = Arc::new(FaultyDisk::new(SimDisk::new(1), Without::Nothing));
        let settings = LakeSettings { compact_files_min: 2, ..LakeSettings::default() };
        let lake = open_on(disk.clone(), "/lake".as_ref(), settings, clock()).await;
        let table = lake.create_table(&orders()).await.unwrap();
        let mut own = sink(&lake, "p/1").await;
        for epoch in 1..=3 {
            let staged = stage(&mut own, epoch as u64, epoch * 10, epoch * 10 + 10).await;
            if epoch < 3 {
                own.commit(&staged).await.unwrap();
                continue;
            }
            disk.fail_log_folder_sync();
            let error = own.commit(&staged).await.unwrap_err();
            assert!(matches!(error, SinkError::Transient { .. }), "{error}");
            assert!(table.status().commit_error.unwrap().contains("the disk failed"));
            let all: Vec<i64> = (10..40).collect();
            assert_eq!(numbers(&lake).await, all);
            if maintained {
                // It builds on the commit that is there; its rows leave the tail.
                assert!(table.maintain_once().await.unwrap().compacted_from >= 4);
                assert_eq!(numbers(&lake).await, all);
            }
            own.commit(&staged).await.unwrap();
            assert_eq!(numbers(&lake).await, all);
            let status = table.status();
            assert_eq!((status.tail_rows, status.commit_error), (0, None));
            assert_eq!(status.version, if maintained { 4 } else { 3 });
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_row() {
    let disk = SimDisk::new(1);
    let lake = open_on(disk.clone(), "/lake".as_ref(), LakeSettings::default(), clock()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    own.write(vec![order_rows(0, 1_000)]).await.unwrap();
    disk.set_available_bytes(100);
    assert!(matches!(own.stage(1).await, Err(SinkError::Transient { .. })));
    disk.set_available_bytes(1 << 20);
    let staged = own.stage(1).await.unwrap();
    disk.set_available_bytes(0);
    assert!(matches!(own.commit(&staged).await, Err(SinkError::Transient { .. })));
    assert_eq!(number(&lake, "SELECT count(DISTINCT n) FROM orders").await, 1_000);
    disk.set_available_bytes(1 << 20);
    own.commit(&staged).await.unwrap();
    assert_eq!(numbers(&lake).await, (0..1_000).collect::<Vec<_>>());
}
