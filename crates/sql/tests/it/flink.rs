//! Expressions of the `flink` dialect against what Apache Flink 2.3 answered.
//!
//! Each file of `tests/flink` holds `expression  =>  TYPE  value` lines; `from` says over which
//! row, `zone` in which zone. `departures.txt` holds our answers where they are not Flink's, each
//! with the reason.

use crate::plan::{Answer, Session};
use std::path::Path;

/// What one line asks and expects.
struct Line<'a> {
    number: usize,
    from: &'a str,
    zone: &'a str,
    expression: &'a str,
    expected: &'a str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let (mut from, mut zone) = ("(VALUES (1)) AS t(one)", "UTC");
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("from ") {
            from = rest;
        } else if let Some(rest) = line.strip_prefix("zone ") {
            zone = rest;
        } else if let Some((expression, expected)) = line.split_once("  =>  ") {
            lines.push(Line { number: index + 1, from, zone, expression, expected });
        }
    }
    lines
}

async fn judge(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flink").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = lines(&text);
    assert!(lines.len() > 8, "{} has too few lines", path.display());
    let mut wrong = Vec::new();
    for line in &lines {
        let session = Session::new(line.zone);
        let sql = format!("SELECT {} FROM {}", line.expression, line.from);
        let got = match session.query(&sql).await {
            Ok(Answer { types, rows }) => {
                let row = rows.first().map_or("no row", |row| &row[3..row.len() - 1]);
                format!("{}  {row}", types[0])
            }
            Err(error) => {
                if line.expected == "error" {
                    continue;
                }
                format!("error {}", error.lines().next().unwrap_or_default())
            }
        };
        // The recorder cut spaces at the end.
        if got.trim_end() != line.expected.trim_end() {
            wrong.push(format!(
                "{file}:{}: {}\n    Flink: {}\n    ours:  {got}",
                line.number, line.expression, line.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[tokio::test]
async fn arithmetic_and_conditions() {
    judge("arithmetic.txt").await;
}

#[tokio::test]
async fn casts() {
    judge("cast.txt").await;
}

#[tokio::test]
async fn functions() {
    judge("functions.txt").await;
}

#[tokio::test]
async fn times() {
    judge("time.txt").await;
}

#[tokio::test]
async fn edges() {
    judge("more.txt").await;
}

#[tokio::test]
async fn departures_are_those_that_are_written_down() {
    judge("departures.txt").await;
}
