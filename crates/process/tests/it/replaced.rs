//! Views that are defined anew while they are read.

use crate::support::World;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::{Engine, PipelineState, Subscription, ViewEvent};
use tradewind_types::{Log, TopicSpec};

const SCRIPT: &str = "
    CREATE TABLE t (id BIGINT, name STRING)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE u (id BIGINT)
        WITH ('connector' = 'kafka', 'topic' = 'u', 'format' = 'json');";
const OLD: &str = "CREATE MATERIALIZED VIEW v AS SELECT SUM(id) AS n FROM t";
/// It cannot catch up before there is a topic `u`.
const NEW: &str = "CREATE OR REPLACE MATERIALIZED VIEW v AS
    SELECT SUM(id) * 100 AS n FROM t WHERE id NOT IN (SELECT id FROM u)";
const NEWER: &str = "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT SUM(id) * 7 AS n FROM t";

async fn world() -> World {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    World::new(disk, "/data".as_ref(), SCRIPT).await
}

fn put(world: &World, id: i64) {
    world.put(0, &format!(r#"{{"id": {id}, "name": "x"}}"#));
}

/// The one number the view answers with.
fn answer(engine: &Engine) -> Option<i64> {
    let snapshot = engine.view("v")?.snapshot()?;
    let row = snapshot.table.chunks.iter().find(|chunk| chunk.num_rows() > 0)?;
    Some(row.column(0).as_primitive::<Int64Type>().value(0))
}

async fn answers(engine: &Engine, expected: i64) {
    let found = crate::support::wait_for(|| answer(engine).filter(|found| *found == expected));
    assert!(found.await.is_some(), "{:?} instead of {expected}", answer(engine));
}

#[tokio::test]
async fn the_old_definition_follows_the_stream_until_the_new_one_has_caught_up() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, OLD).await;
    put(&world, 1);
    answers(&engine, 1).await;
    let mut reader = Subscription::new(engine.view("v").unwrap(), None);
    let Some(ViewEvent::Snapshot { .. }) = reader.next().await else { panic!() };
    world.define(&engine, NEW).await;
    world.status(&engine, "v", |status| status.state == PipelineState::Waiting).await;
    put(&world, 2);
    let Some(ViewEvent::Changes { token, .. }) = reader.next().await else { panic!() };
    answers(&engine, 3).await;
    engine.checkpoint_all().await.unwrap();
    put(&world, 4);
    let Some(ViewEvent::Changes { .. }) = reader.next().await else { panic!() };
    answers(&engine, 7).await;
    world.log.create_topic(&TopicSpec::new("u", 1)).await.unwrap();
    answers(&engine, 700).await;
    put(&world, 8);
    answers(&engine, 1_500).await;
    assert!(reader.next().await.is_none());
    // Whoever comes back begins anew.
    let mut again = Subscription::new(engine.view("v").unwrap(), Some(token));
    assert!(matches!(again.next().await, Some(ViewEvent::Reset)));
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_definition_that_never_answered_is_forgotten_for_the_next_one() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, OLD).await;
    put(&world, 1);
    answers(&engine, 1).await;
    world.define(&engine, NEW).await;
    world.status(&engine, "v", |status| status.state == PipelineState::Waiting).await;
    world.define(&engine, NEWER).await;
    answers(&engine, 7).await;
    put(&world, 2);
    answers(&engine, 21).await;
    assert!(engine.status("v").unwrap().reason.is_none());
    assert!(engine.drop_view("v", false).await.unwrap());
    assert!(engine.view("v").is_none());
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_old_definition_that_is_paused_answers_as_it_was() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.define(&engine, OLD).await;
    put(&world, 1);
    answers(&engine, 1).await;
    engine.pause("v").await.unwrap();
    put(&world, 2);
    world.define(&engine, NEW).await;
    engine.resume("v").await.unwrap();
    world.status(&engine, "v", |status| status.state == PipelineState::Waiting).await;
    assert_eq!(answer(&engine), Some(1));
    world.log.create_topic(&TopicSpec::new("u", 1)).await.unwrap();
    answers(&engine, 300).await;
    engine.shutdown().await.unwrap();
}
