//! Queries beside writers: one instant of each table, always.

use crate::support::*;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings};

/// Count and sum of one scan, and the count of another in the same statement.
async fn look(lake: &Lake) -> (i64, i64, i64) {
    let sql = "SELECT count(*), coalesce(sum(n), 0), (SELECT count(n) FROM orders WHERE n >= 0) \
               FROM orders";
    let batches = query(lake, sql).await;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
    let at = |index: usize| batch.column(index).as_primitive::<Int64Type>().value(0);
    (at(0), at(1), at(2))
}

/// Rows of one write.
const STEP: i64 = 7;

/// Writes, stages, writes on and commits, epoch after epoch. Returns the rows written.
async fn keep_writing(lake: Lake, done: Arc<AtomicBool>) -> i64 {
    let mut own = sink(&lake, "p/1").await;
    let mut next = 0;
    for epoch in 1..=15 {
        for _ in 0..5 {
            let halves = [order_rows(next, next + 3), order_rows(next + 3, next + STEP)];
            own.write(halves.to_vec()).await.unwrap();
            next += STEP;
            tokio::task::yield_now().await;
        }
        let staged = own.stage(epoch).await.unwrap();
        own.write(vec![order_rows(next, next + STEP)]).await.unwrap();
        next += STEP;
        own.commit(&staged).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    next
}

/// Returns how many files were compacted, and how many removed.
async fn keep_house(lake: Lake, done: Arc<AtomicBool>) -> (usize, usize) {
    let (mut compacted, mut vacuumed) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        for (_, result) in lake.maintain_once().await {
            let result = result.unwrap();
            compacted += result.compacted_from;
            vacuumed += result.data_files_removed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (compacted, vacuumed)
}

async fn keep_reading(lake: Lake, done: Arc<AtomicBool>) {
    let mut before = 0;
    while !done.load(Ordering::SeqCst) {
        let (count, sum, again) = look(&lake).await;
        assert_eq!(count % STEP, 0, "a write is visible as a whole");
        assert_eq!(sum, count * (count - 1) / 2, "rows 0..{count}, each once");
        assert_eq!(count, again, "one statement, one snapshot");
        assert!(count >= before, "{count} rows after {before}");
        before = count;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_writes_and_never_less_than_before() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings {
        compact_files_min: 4,
        checkpoint_commits: 5,
        vacuum_retention_hours: 0,
        log_retention_hours: 0,
        ..LakeSettings::default()
    };
    let clock = Arc::new(tradewind_types::SystemClock);
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings, clock).await;
    lake.create_table(&orders()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(keep_writing(lake.clone(), done.clone()));
    let keeper = tokio::spawn(keep_house(lake.clone(), done.clone()));
    let readers = [0; 2].map(|_| tokio::spawn(keep_reading(lake.clone(), done.clone())));
    let total = writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    let (compacted, vacuumed) = keeper.await.unwrap();
    assert!(compacted > 0 && vacuumed > 0, "{compacted} compacted, {vacuumed} vacuumed");
    assert_eq!(look(&lake).await, (total, total * (total - 1) / 2, total));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_outlives_commits_compaction_and_vacuum() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        LakeSettings { compact_files_min: 2, vacuum_retention_hours: 0, ..LakeSettings::default() };
    let clock = clock();
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings, clock.clone()).await;
    let table = lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    for epoch in 1..=4 {
        own.write(vec![order_rows(epoch * 10, epoch * 10 + 10)]).await.unwrap();
        let staged = own.stage(epoch as u64).await.unwrap();
        own.commit(&staged).await.unwrap();
    }
    let old = session(&lake.tables());
    let plan = old.sql("SELECT sum(n) FROM orders").await.unwrap();
    let held = table.read_snapshot();
    let waiting = plan.create_physical_plan().await.unwrap();
    clock.advance_us(HOUR_US);
    own.write(vec![order_rows(1000, 1010)]).await.unwrap();
    let staged = own.stage(5).await.unwrap();
    own.commit(&staged).await.unwrap();
    clock.advance_us(HOUR_US);
    let done = table.maintain_once().await.unwrap();
    assert_eq!((done.compacted_from, done.data_files_removed), (8, 0), "held by the query");
    clock.advance_us(HOUR_US);
    let batches =
        datafusion::physical_plan::collect(waiting.clone(), old.task_ctx()).await.unwrap();
    assert_eq!(first_number(&batches), (10..50).sum::<i64>());
    assert_eq!(held.version(), 4);
    drop((batches, waiting, plan, old, held));
    // The engine's tasks end a moment after their query.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut removed = 0;
    while removed < 8 && Instant::now() < deadline {
        removed += table.maintain_once().await.unwrap().data_files_removed;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(removed, 8);
    assert_eq!(
        number(&lake, "SELECT sum(n) FROM orders").await,
        (10..50).chain(1000..1010).sum::<i64>()
    );
}

/// A table of `committed` orders in files and the rest up to `total` in the tail.
async fn half_and_half(dir: &std::path::Path, committed: i64, total: i64) -> Lake {
    let lake = open(dir).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    if committed > 0 {
        own.write(vec![order_rows(0, committed)]).await.unwrap();
        let staged = own.stage(1).await.unwrap();
        own.commit(&staged).await.unwrap();
    }
    if total > committed {
        own.write(vec![order_rows(committed, total)]).await.unwrap();
    }
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_extremes_and_filters_are_right_wherever_rows_are() {
    for (committed, total) in [(0, 3_500), (3_500, 3_500), (2_000, 3_500)] {
        let dir = tempfile::tempdir().unwrap();
        let lake = half_and_half(dir.path(), committed, total).await;
        let at = |n: i64| NOW_US + (n / 1000) * 24 * HOUR_US + n;
        let us = "arrow_cast(arrow_cast(max(event_time), 'Timestamp(Microsecond, None)'), 'Int64')";
        assert_eq!(number(&lake, "SELECT count(*) FROM orders").await, total);
        assert_eq!(number(&lake, "SELECT count(amount) FROM orders").await, total);
        assert_eq!(number(&lake, "SELECT max(n) FROM orders").await, total - 1);
        assert_eq!(number(&lake, &format!("SELECT {us} FROM orders")).await, at(total - 1));
        let tail_only = format!("SELECT count(*) FROM orders WHERE n >= {}", total - 5);
        assert_eq!(number(&lake, &tail_only).await, 5);
        let store = "SELECT count(*) FROM orders WHERE store_id = 'store 1'";
        assert_eq!(number(&lake, store).await, total / 2);
        for n in [0, 1_500, total - 1] {
            let price = format!("SELECT count(*) FROM orders WHERE amount = {n}.000001");
            assert_eq!(number(&lake, &price).await, 1);
        }
        let day = "SELECT count(*) FROM orders WHERE event_date = DATE '2024-03-02'";
        assert_eq!(number(&lake, day).await, 1000);
        let both = "SELECT sum(n) FROM orders WHERE event_date = DATE '2024-03-03' AND n < 2100 \
                    AND store_id = 'store 0'";
        assert_eq!(number(&lake, both).await, (2000..2100).step_by(2).sum::<i64>());
        let instant = "SELECT count(*) FROM orders WHERE event_time > \
                       TIMESTAMP '2024-03-01T00:00:00.000998Z' AND event_date = DATE '2024-03-01'";
        assert_eq!(number(&lake, instant).await, 1);
        let last = query(&lake, "SELECT n FROM orders ORDER BY event_time DESC LIMIT 3").await;
        let last: Vec<i64> = last
            .iter()
            .flat_map(|b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert_eq!(last, [total - 1, total - 2, total - 3]);
        let limited = query(&lake, "SELECT n FROM orders LIMIT 10").await;
        assert_eq!(limited.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
        let hidden = "SELECT count(*) FROM orders WHERE _offset = n AND _partition = n % 4";
        assert_eq!(number(&lake, hidden).await, total);
        let joined = "SELECT count(*) FROM orders a JOIN orders b ON a.n = b.n + 1";
        assert_eq!(number(&lake, joined).await, total - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_match_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let lake = half_and_half(dir.path(), 3_500, 3_500).await;
    let explain = |filter: &str| {
        let sql = format!("EXPLAIN ANALYZE SELECT sum(n) FROM orders WHERE {filter}");
        let lake = lake.clone();
        async move { text(&lake, &sql).await }
    };
    let all = explain("n >= 0").await;
    assert!(all.contains("count_files_scanned=8"), "{all}");
    for (filter, files) in [
        ("event_date = DATE '2024-03-02' AND store_id = 'store 0'", 1),
        // By the files' statistics; both stores have numbers around it.
        ("n = 1500", 2),
    ] {
        let some = explain(filter).await;
        assert!(some.contains(&format!("count_files_scanned={files}")), "{filter}: {some}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_tail_rows_in_tiny_writes_are_quick_to_query() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    let started = Instant::now();
    let whole = order_rows(0, 1_000_000);
    let mut row = 0;
    while row < whole.num_rows() {
        let rows = (1 + row % 400).min(whole.num_rows() - row);
        own.write(vec![whole.slice(row, rows)]).await.unwrap();
        row += rows;
    }
    let written = started.elapsed();
    assert_eq!(number(&lake, "SELECT count(DISTINCT n) FROM orders").await, 1_000_000);
    println!("written in {written:?}, queried in {:?}", started.elapsed() - written);
    let table = lake.table("orders").unwrap();
    assert_eq!(table.status().tail_rows, 1_000_000);
    assert!(table.read_snapshot().tail_batches() < 80, "{}", table.read_snapshot().tail_batches());
}
