//! Topics with offsets that readers are not shown: the markers of transactions and what was aborted.

use crate::support::World;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::Engine;

const SCRIPT: &str = "
    CREATE TABLE t (id BIGINT, name STRING)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";
const VIEW: &str = "CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n, SUM(id) AS s FROM t";

async fn world() -> World {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    World::new(disk, "/data".as_ref(), SCRIPT).await
}

fn put(world: &World, id: i64) {
    world.put(0, &format!(r#"{{"id": {id}, "name": "x"}}"#));
}

fn hide(world: &World, count: usize) {
    (0..count).for_each(|_| world.log.put_hidden("t", 0));
}

/// How many rows the view has counted, and their sum.
fn answer(engine: &Engine) -> Option<(i64, i64)> {
    let snapshot = engine.view("v")?.snapshot()?;
    let row = snapshot.table.chunks.iter().find(|chunk| chunk.num_rows() > 0)?;
    let number = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0);
    Some((number(0), number(1)))
}

async fn answers(engine: &Engine, expected: (i64, i64)) {
    let found = crate::support::wait_for(|| answer(engine).filter(|found| *found == expected));
    assert!(found.await.is_some(), "{:?} instead of {expected:?}", answer(engine));
}

#[tokio::test]
async fn a_view_passes_over_what_is_hidden_and_is_caught_up_behind_it() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    hide(&world, 2);
    put(&world, 1);
    hide(&world, 3);
    // It answers once it has caught up, which is behind what is hidden at the end.
    world.define(&engine, VIEW).await;
    answers(&engine, (1, 1)).await;
    world.status(&engine, "v", |status| status.lag == 0).await;
    put(&world, 2);
    hide(&world, 1);
    put(&world, 4);
    hide(&world, 1);
    answers(&engine, (3, 7)).await;
    world.status(&engine, "v", |status| status.lag == 0).await;
    hide(&world, 5);
    let status = world.status(&engine, "v", |status| status.lag == 0).await;
    drop(status);
    engine.checkpoint_all().await.unwrap();
    engine.shutdown().await.unwrap();
    let engine = world.engine().await.unwrap();
    put(&world, 8);
    answers(&engine, (4, 15)).await;
    engine.shutdown().await.unwrap();
}
