//! Files as a source: every line once, with its byte as its offset, however they are read.

use crate::support::{catalogue, insert_of, start_time_us};
use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use std::path::Path;
use std::sync::Arc;
use tradewind_process::stream::plan::{StreamPlan, plan_insert};
use tradewind_process::stream::source::{SourceEnvironment, open_source};
use tradewind_sql::Dialect;
use tradewind_types::{ManualClock, Source};

/// A line handed out: its file's number, its offset, its value.
type Row = (i32, i64, i64);

fn plan(path: &Path, options: &str) -> (StreamPlan, tempfile::TempDir) {
    let path = path.display();
    let tables = format!(
        "CREATE TABLE t (n BIGINT) WITH
            ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json' {options});
         CREATE TABLE copy (n BIGINT) WITH ('connector' = 'delta');"
    );
    let (catalogue, dir) = catalogue(&tables);
    let insert = insert_of("INSERT INTO copy SELECT n FROM t");
    (plan_insert(&insert, Dialect::Flink, &catalogue).unwrap(), dir)
}

async fn open(plan: &StreamPlan) -> Box<dyn Source> {
    let clock = Arc::new(ManualClock::at(start_time_us()));
    let environment = SourceEnvironment { log: None, clock, name: "pipeline:p".into() };
    open_source(&environment, &plan.sources[0], true).await.unwrap()
}

/// What one poll gives; lines that are no rows have the value -1.
async fn poll(source: &mut Box<dyn Source>, rows_max: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in source.poll(rows_max).await.unwrap() {
        let numbers = batch.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        let files = batch.batch.column(1).as_primitive::<Int32Type>().values().to_vec();
        let offsets = batch.batch.column(2).as_primitive::<Int64Type>().values().to_vec();
        let mut found: Vec<Row> =
            (files.iter().zip(offsets).zip(numbers)).map(|((f, o), n)| (*f, o, n)).collect();
        for letter in batch.rejected {
            let (_, partition, offset) = letter.position.unwrap();
            found.push((partition, offset, -1));
        }
        found.sort();
        rows.extend(found);
    }
    rows
}

/// Lines of all lengths, some empty, some broken, the last without an end: the text, and the rows.
fn lines(file: i32, count: i64, long: usize) -> (String, Vec<Row>) {
    let (mut text, mut rows) = (String::new(), Vec::new());
    for n in 0..count {
        let at = text.len() as i64;
        let pad = "x".repeat((n * 7_919 % 601) as usize);
        match n % 97 {
            13 => text.push_str("  "),
            17 => text.push_str("{\"n\":"),
            _ => text.push_str(&format!("{{\"pad\":\"{pad}\",\"n\":{n}}}")),
        }
        match n % 97 {
            13 => {}
            17 => rows.push((file, at, -1)),
            _ => rows.push((file, at, n)),
        }
        if n == count / 2 {
            rows.push((file, text.len() as i64 + 1, -2));
            text.push_str(&format!("\n{{\"n\":-2,\"pad\":\"{}\"}}", "y".repeat(long)));
        }
        if n + 1 < count {
            text.push_str(if n % 3 == 0 { "\r\n" } else { "\n" });
        }
    }
    (text, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_blocks_is_read_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    // Blocks are 4 MiB: one line is longer than that.
    let (text, expected) = lines(0, 40_000, 5 << 20);
    assert!(text.len() > 16 << 20);
    std::fs::write(dir.path().join("a.json"), &text).unwrap();
    let (plan, _dir) = plan(&dir.path().join("a.json"), "");
    for rows_max in [usize::MAX, 9_000, 1_111] {
        let mut source = open(&plan).await;
        let mut rows = Vec::new();
        while !source.ended() {
            source.ready().await.unwrap();
            rows.extend(poll(&mut source, rows_max).await);
        }
        assert!(rows == expected, "rows differ where {rows_max} are asked for");
        assert_eq!(source.positions()[&0], text.len() as i64);
        assert_eq!(source.progress(), expected.len() as i64);
    }
}

#[tokio::test]
async fn a_source_goes_on_where_another_stood() {
    let dir = tempfile::tempdir().unwrap();
    let (text, expected) = lines(0, 20_000, 100);
    std::fs::write(dir.path().join("a.json"), &text).unwrap();
    let (plan, _dir) = plan(&dir.path().join("a.json"), "");
    let mut rows = Vec::new();
    let mut source = open(&plan).await;
    let mut polls = 0;
    while !source.ended() {
        rows.extend(poll(&mut source, 700).await);
        polls += 1;
        let positions = source.positions();
        source = open(&plan).await;
        source.seek(&positions).unwrap();
        // Nothing has been read yet: whether that was the end shows when more is asked for.
        if positions[&0] == text.len() as i64 {
            rows.extend(poll(&mut source, 700).await);
        }
    }
    assert!(rows == expected);
    assert!(polls > 20);
}

#[tokio::test]
async fn a_folder_is_read_in_the_order_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for file in 0..40 {
        let (text, rows) = lines(file, i64::from(file * 3 % 50), 10);
        std::fs::write(dir.path().join(format!("{file:03}.json")), text).unwrap();
        expected.extend(rows);
    }
    let (plan, _dir) = plan(dir.path(), "");
    for rows_max in [usize::MAX, 100, 3] {
        let mut source = open(&plan).await;
        let mut rows = Vec::new();
        while !source.ended() {
            rows.extend(poll(&mut source, rows_max).await);
        }
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn what_is_appended_to_a_watched_file_is_read_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let mut text = String::new();
    std::fs::write(&path, &text).unwrap();
    let (plan, _dir) = plan(dir.path(), ", 'source.monitor-interval' = '1 ms'");
    let mut source = open(&plan).await;
    let mut rows = poll(&mut source, 100).await;
    assert_eq!(rows, []);
    for piece in ["{\"n\":1}\n{\"n\"", ":2}\n{\"n\":3}\n", "{\"n\":", "4}\n"] {
        text.push_str(piece);
        std::fs::write(&path, &text).unwrap();
        source.ready().await.unwrap();
        rows.extend(poll(&mut source, 1).await);
        rows.extend(poll(&mut source, 100).await);
        let whole = text.rfind('\n').unwrap() + 1;
        assert_eq!(source.positions()[&0], whole as i64);
    }
    assert_eq!(rows, [(0, 0, 1), (0, 8, 2), (0, 16, 3), (0, 24, 4)]);
    assert!(!source.ended());
}
