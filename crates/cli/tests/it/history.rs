//! A view made after retention has taken the records it wants.

use crate::support::{Served, order};

/// What the log keeps is gone soon, and is small from the beginning.
const SHORT: [&str; 8] = [
    "--set",
    "log.segment_bytes=64 KiB",
    "--set",
    "log.retention_ms=1 s",
    "--set",
    "lake.commit_interval_ms=200 ms",
    "--set",
    "log.segment_ms=1 s",
];
const VIEW: &str = "SET 'dialect' = 'flink';
    CREATE MATERIALIZED VIEW by_product AS
    SELECT line.product_id, COUNT(*) AS n, SUM(line.price * line.quantity) AS amount
    FROM order_events_stream AS o CROSS JOIN UNNEST(o.properties.products)
        AS line (product_id, sku, name, category, brand, variant, coupon, price, quantity)
    GROUP BY line.product_id";
const ASKED: &str = "SELECT n, amount FROM by_product WHERE product_id = 'p1'";
/// Whether retention has begun.
const BEGINS: &str = "SELECT max(log_start) > 0 FROM sys.topics WHERE name = 'events'";

#[test]
fn a_view_made_late_reads_in_the_lake_what_the_log_no_longer_has() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &SHORT);
    let orders: Vec<_> = (0..700).map(order).collect();
    orders.chunks(100).for_each(|some| server.send(some));
    server.wait_for("SELECT count(*) FROM orders", &["700"]);
    server.wait_for(BEGINS, &["true"]);
    let kept = server.rows("SELECT count(*) FROM topic('events')").unwrap();
    assert!(kept[0][0].parse::<usize>().unwrap() < 700, "{kept:?}");
    server.rows(VIEW).unwrap_or_default();
    server.wait_for(ASKED, &["700", "14070.000000000000"]);
    // It goes on where the lake ends, and over a kill.
    server.send(&[order(1_000), order(1_001)]);
    server.wait_for(ASKED, &["702", "14110.200000000000"]);
    server.kill();
    let server = Served::start(folder.path(), &SHORT);
    server.wait_for(ASKED, &["702", "14110.200000000000"]);
    server.stop();
}
