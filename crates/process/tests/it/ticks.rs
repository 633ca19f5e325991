//! The same records, in ticks of any size, leave the same rows.

use crate::support::World;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};

const SCRIPT: &str = "
    CREATE TABLE t (
        id BIGINT, kind STRING, price DECIMAL(18, 6),
        items ARRAY<ROW<sku STRING, quantity INT>>, day STRING
    ) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE lines (
        id BIGINT, sku STRING, amount DECIMAL(18, 6), day DATE
    ) WITH ('connector' = 'delta');
";
const INSERT: &str = "INSERT INTO lines
    SELECT id, item.sku, price * item.quantity, CAST(day AS DATE)
    FROM t CROSS JOIN UNNEST(items) AS item (sku, quantity)
    WHERE kind IN ('order', 'refund') AND item.quantity > 0";

fn record(id: i64) -> String {
    let kind = ["order", "refund", "view"][(id % 3) as usize];
    let items: Vec<String> = (0..id % 4)
        .map(|item| format!(r#"{{"quantity": {}, "other": [1, 2], "sku": "s{item}"}}"#, item - 1))
        .collect();
    let day = if id % 17 == 5 { "no day" } else { "2026-11-21" };
    let price = if id % 13 == 7 { "\"x\"".to_string() } else { format!("{id}.125") };
    format!(
        r#"{{"id": {id}, "kind": "{kind}", "price": {price}, "items": [{}], "day": "{day}", "more": {{"a": [1]}}}}"#,
        items.join(", ")
    )
}

/// Rows and dead letters after `count` records in ticks of at most `tick_rows_max`.
async fn run(tick_rows_max: usize, count: i64) -> (Vec<String>, Vec<String>) {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    let mut world = World::new(disk, "/data".as_ref(), SCRIPT).await;
    world.settings.tick_rows_max = tick_rows_max;
    for id in 0..count {
        world.put((id % 2) as i32, &record(id));
    }
    world.log.put("t", 0, None);
    let engine = world.engine().await.unwrap();
    world.create(&engine, "lines", INSERT).await;
    world.status(&engine, "lines", |status| status.records_in == count as u64 + 1).await;
    engine.shutdown().await.unwrap();
    let texts = |rows: Vec<crate::support::Row>| {
        rows.into_iter().map(|(text, p, o)| format!("{text}@{p}:{o}")).collect()
    };
    (texts(world.lake.committed("lines")), texts(world.lake.committed("dead_letters")))
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_tick_changes_nothing() {
    let (rows, dead) = run(1_000_000, 500).await;
    // By hand: record 14 is of kind "view", 15 is an order with items -1, 0 and 1 of s0, s1, s2.
    assert!(rows.contains(&"15|s2|15.125000|2026-11-21@1:7".to_string()), "{rows:?}");
    assert!(!rows.iter().any(|row| row.starts_with("14|")));
    assert!(dead.iter().any(|row| row.contains("price: \"x\" is no DECIMAL(18, 6)")), "{dead:?}");
    assert!(dead.iter().any(|row| row.contains("no day")), "{dead:?}");
    for tick_rows_max in [1, 3, 1_000] {
        assert_eq!(run(tick_rows_max, 500).await, (rows.clone(), dead.clone()), "{tick_rows_max}");
    }
}
