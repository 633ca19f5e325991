//! Views whose state is forgotten, or does not fit, over restarts.

use crate::support::World;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::{Engine, PipelineState};

const SCRIPT: &str = "
    CREATE TABLE t (k BIGINT, v BIGINT)
    WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
";
const VIEW: &str =
    "CREATE MATERIALIZED VIEW w AS SELECT k, COUNT(*) AS c, SUM(v) AS s FROM t GROUP BY k";

async fn world() -> World {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    let mut world = World::new(disk, "/data".as_ref(), SCRIPT).await;
    world.settings.commit_interval_ms = 10;
    world
}

/// Adds records and waits until they are read and durable; what the view shows then.
async fn add(world: &World, engine: &Engine, rows: &[(i64, i64)], total: &mut u64) -> Vec<String> {
    for (k, v) in rows {
        world.put(0, &format!(r#"{{"k": {k}, "v": {v}}}"#));
    }
    *total += rows.len() as u64;
    let read = *total as i64;
    world
        .status(engine, "w", |status| {
            status.sources.first().is_some_and(|source| source.positions.get(&0) == Some(&read))
        })
        .await;
    engine.checkpoint("w").await.unwrap();
    let snapshot = engine.view("w").unwrap().snapshot().unwrap();
    let options = FormatOptions::new();
    let mut lines = Vec::new();
    for chunk in &snapshot.table.chunks {
        let columns: Vec<_> = chunk
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        lines.extend((0..chunk.num_rows()).map(|row| {
            columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ")
        }));
    }
    lines.sort();
    lines
}

#[tokio::test(start_paused = true)]
async fn state_is_forgotten_after_its_time_over_restarts_too() {
    for memory in [1 << 30, 0] {
        let mut world = world().await;
        world.settings.state_ttl_ms = 1_000;
        world.settings.state_memory_bytes = memory;
        let mut total = 0;
        let engine = world.engine().await.unwrap();
        world.define(&engine, VIEW).await;
        assert_eq!(add(&world, &engine, &[(1, 5), (2, 5)], &mut total).await, ["1 1 5", "2 1 5"]);
        world.clock.advance_us(600_000);
        assert_eq!(add(&world, &engine, &[(1, 6)], &mut total).await, ["1 2 11", "2 1 5"]);
        engine.shutdown().await.unwrap();
        world.clock.advance_us(600_000);
        world.restart();
        // 1 was written 600 ms ago and goes on, 2 was 1,200 ms ago and begins anew.
        let engine = world.engine().await.unwrap();
        let rows = [(1, 7), (2, 7)];
        assert_eq!(add(&world, &engine, &rows, &mut total).await, ["1 3 18", "2 1 7"]);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_larger_than_its_bound_stands_still_with_the_reason() {
    let mut world = world().await;
    world.settings.view_memory_bytes = 20_000;
    let engine = world.engine().await.unwrap();
    world.define(&engine, VIEW).await;
    let mut total = 0;
    assert_eq!(add(&world, &engine, &[(1, 1)], &mut total).await, ["1 1 1"]);
    for k in 0..2_000 {
        world.put(0, &format!(r#"{{"k": {k}, "v": 1}}"#));
    }
    let status = world.status(&engine, "w", |status| status.state == PipelineState::Failed).await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("process.view_memory_bytes is 20000"), "{reason}");
    assert!(reason.contains("RESUME"), "{reason}");
    engine.shutdown().await.unwrap();
}

/// The folder of evicted state is there while state does not fit, and gone after a start with
/// enough memory.
#[tokio::test(start_paused = true)]
async fn evicted_state_is_in_every_checkpoint() {
    let mut world = world().await;
    world.settings.state_memory_bytes = 0;
    let engine = world.engine().await.unwrap();
    world.define(&engine, VIEW).await;
    let mut total = 0;
    let rows: Vec<(i64, i64)> = (0..300).map(|k| (k, 1)).collect();
    assert_eq!(add(&world, &engine, &rows, &mut total).await.len(), 300);
    let id = engine.status("w").unwrap().id;
    let dir = world.dir.join("pipelines").join(id).join("evicted-1");
    assert!(world.disk.list(&dir).unwrap().len() > 100);
    engine.shutdown().await.unwrap();
    world.restart();
    world.settings.state_memory_bytes = 1 << 30;
    let engine = world.engine().await.unwrap();
    let shown = add(&world, &engine, &[(7, 1)], &mut total).await;
    assert_eq!(shown.len(), 300);
    assert!(shown.contains(&"7 2 2".to_string()) && shown.contains(&"8 1 1".to_string()));
    assert!(world.disk.list(&dir).is_err());
    engine.shutdown().await.unwrap();
}
