//! Pipelines that stand still: what they keep, what they answer, where they go on.

use crate::support::World;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::stream::manifest::decode;
use tradewind_process::{Engine, PipelineState, ResumeToken, Subscription, ViewEvent};

const SCRIPT: &str = "
    CREATE TABLE t (id BIGINT, name STRING)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";
const COUNTS: &str =
    "CREATE MATERIALIZED VIEW counts AS SELECT name, COUNT(*) AS n FROM t GROUP BY name";

async fn world() -> World {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    World::new(disk, "/data".as_ref(), SCRIPT).await
}

fn put(world: &World, names: &[&str]) {
    for name in names {
        world.put(0, &format!(r#"{{"id": 1, "name": "{name}"}}"#));
    }
}

/// `be 2` for each row, taken back ones with a minus.
fn texts<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in batches {
        let (names, counts) = (batch.column(0).as_string::<i32>(), batch.column(1));
        for row in 0..batch.num_rows() {
            let taken_back = batch.num_columns() > 2
                && batch.column(2).as_primitive::<Int64Type>().value(row) < 0;
            let sign = if taken_back { "-" } else { "" };
            let count = counts.as_primitive::<Int64Type>().value(row);
            texts.push(format!("{sign}{} {count}", names.value(row)));
        }
    }
    texts.sort();
    texts
}

fn shown(engine: &Engine) -> Option<Vec<String>> {
    let snapshot = engine.view("counts")?.snapshot()?;
    Some(texts(snapshot.table.chunks.iter().map(|chunk| chunk.as_ref())))
}

async fn shows(engine: &Engine, expected: &[&str]) {
    let found =
        crate::support::wait_for(|| shown(engine).filter(|shown| shown.iter().eq(expected.iter())));
    assert!(found.await.is_some(), "{:?} instead of {expected:?}", shown(engine));
}

#[tokio::test]
async fn a_view_that_is_paused_goes_on_for_those_who_follow_it() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, COUNTS).await;
    put(&world, &["be", "to", "be"]);
    shows(&engine, &["be 2", "to 1"]).await;
    let mut follower = Subscription::new(engine.view("counts").unwrap(), None);
    while !matches!(follower.next().await, Some(ViewEvent::Snapshot { token: Some(_), .. })) {}
    engine.pause("counts").await.unwrap();
    let status = engine.status("counts").unwrap();
    assert_eq!(status.state, PipelineState::Paused);
    assert!(status.reason.unwrap().contains("the view answers as it was then"));
    put(&world, &["be", "or"]);
    assert_eq!(engine.status("counts").unwrap().lag, 2);
    assert_eq!(shown(&engine).unwrap(), ["be 2", "to 1"]);
    engine.pause("counts").await.unwrap();
    engine.resume("counts").await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        match follower.next().await {
            Some(ViewEvent::Changes { changes, .. }) => told.extend(texts(&changes.rows)),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    assert_eq!(told, ["-be 2", "be 3", "or 1"]);
    shows(&engine, &["be 3", "or 1", "to 1"]).await;
}

#[tokio::test]
async fn a_view_that_is_paused_answers_after_a_restart_and_goes_on_from_there() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, COUNTS).await;
    put(&world, &["be", "to", "be"]);
    shows(&engine, &["be 2", "to 1"]).await;
    engine.pause("counts").await.unwrap();
    put(&world, &["or"]);
    engine.shutdown().await.unwrap();
    world.restart();
    let engine = world.engine().await.unwrap();
    shows(&engine, &["be 2", "to 1"]).await;
    let status = engine.status("counts").unwrap();
    assert_eq!((status.state, status.lag), (PipelineState::Paused, 1));
    assert_eq!(status.sources[0].positions, status.sources[0].committed);
    // Retention must leave what it has not read.
    assert_eq!(world.log.held("pipeline counts", "t", 0), Some(3));
    let mut follower = Subscription::new(engine.view("counts").unwrap(), None);
    let Some(ViewEvent::Snapshot { token: Some(token), .. }) = follower.next().await else {
        panic!("two rows are one piece");
    };
    engine.resume("counts").await.unwrap();
    let Some(ViewEvent::Changes { changes, .. }) = follower.next().await else { panic!() };
    assert_eq!(texts(&changes.rows), ["or 1"]);
    // A token of before the pause still counts, one of another process begins anew.
    let view = engine.view("counts").unwrap();
    let again = Subscription::new(view.clone(), Some(token)).next().await;
    assert!(matches!(again, Some(ViewEvent::Changes { .. })), "{again:?}");
    let old = ResumeToken { epoch: token.epoch - 1, ..token };
    let anew = Subscription::new(view, Some(old)).next().await;
    assert!(matches!(anew, Some(ViewEvent::Reset)), "{anew:?}");
    assert_eq!(engine.status("counts").unwrap().state, PipelineState::Running);
}

#[tokio::test]
async fn a_paused_pipeline_that_cannot_be_opened_says_so_and_stays_paused() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, COUNTS).await;
    put(&world, &["be"]);
    shows(&engine, &["be 1"]).await;
    engine.pause("counts").await.unwrap();
    engine.shutdown().await.unwrap();
    let folder = world.dir.join("pipelines").join(engine.status("counts").unwrap().id);
    for entry in world.disk.list(&folder).unwrap() {
        if entry.path.display().to_string().contains("manifest-") {
            world.disk.write_atomic(&entry.path, b"nonsense").unwrap();
        }
    }
    world.restart();
    let engine = world.engine().await.unwrap();
    let status = world.status(&engine, "counts", |status| status.last_error.is_some()).await;
    assert_eq!(status.state, PipelineState::Paused);
    assert!(status.reason.unwrap().contains("it cannot be opened"));
    engine.resume("counts").await.unwrap();
    world.status(&engine, "counts", |status| status.state == PipelineState::Failed).await;
}

/// The state files that the manifests in a folder name, and those that are there.
fn state_files(disk: &dyn Disk, folder: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut named, mut there) = (BTreeSet::new(), BTreeSet::new());
    for entry in disk.list(folder).unwrap() {
        let name = entry.path.file_name().unwrap().to_str().unwrap().to_string();
        if name.starts_with("manifest-") {
            let manifest = decode(&disk.read(&entry.path).unwrap()).unwrap();
            let files = manifest.state.into_iter().flat_map(|state| state.files);
            named.extend(files.map(|file| file.name));
        } else {
            there.insert(name);
        }
    }
    (named, there)
}

#[tokio::test]
async fn the_state_files_of_both_kept_manifests_are_there_and_no_others() {
    let mut world = world().await;
    let mut engine = world.engine().await.unwrap();
    world.define(&engine, COUNTS).await;
    let folder = world.dir.join("pipelines").join(engine.status("counts").unwrap().id);
    // Changes are folded into whole files on the way, and files of before a restart are taken over.
    for round in 0..40_i64 {
        put(&world, &["be", "to"]);
        let read = (round + 1) * 2;
        world
            .status(&engine, "counts", |status| {
                status.sources.first().is_some_and(|source| source.positions.get(&0) == Some(&read))
            })
            .await;
        engine.checkpoint("counts").await.unwrap();
        let (named, there) = state_files(world.disk.as_ref(), &folder);
        assert_eq!(named, there, "round {round}");
        assert!(!there.is_empty());
        if round % 15 == 14 {
            engine.shutdown().await.unwrap();
            world.restart();
            engine = world.engine().await.unwrap();
        }
    }
    let status = engine.status("counts").unwrap();
    assert!(status.checkpoint_bytes > 0 && status.ticks > 0);
    let aggregate = status.operators.iter().find(|one| one.kind == "aggregate").unwrap();
    assert_eq!(aggregate.work.state_rows, 2);
    assert!(aggregate.what.contains("by name"), "{}", aggregate.what);
}
