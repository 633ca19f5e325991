//! `POST /api/sql`.

use crate::support::{Edge, generous};
use std::time::Duration;
use tradewind_serve::{Limits, SqlLimits};

fn body(answer: &str) -> String {
    // Chunked bodies of small answers come in one chunk: size, text, end.
    let text = answer.split_once("\r\n\r\n").unwrap().1;
    let lines = text.split("\r\n").filter(|line| usize::from_str_radix(line, 16).is_err());
    lines.collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_its_columns_rows_and_end() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let answer = edge.ask("SELECT 1 AS n, 'x' AS t, NULL AS nothing, 2.50 AS amount").await;
    let json: serde_json::Value = serde_json::from_str(&body(&answer)).unwrap();
    assert_eq!(json["columns"][1]["name"], "t");
    assert_eq!(json["rows"], serde_json::json!([[1, "x", null, "2.50"]]));
    assert_eq!(json["row_count"], 1);
    assert_eq!(json["truncated"], false);
    let answer = edge.ask("SELECT 1 WHERE false").await;
    let json: serde_json::Value = serde_json::from_str(&body(&answer)).unwrap();
    assert_eq!(json["rows"], serde_json::json!([]));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_status_of_whose_fault_they_are() {
    let limits = SqlLimits { statement_timeout: Duration::from_millis(300), ..generous() };
    let edge = Edge::start(Limits::default(), limits).await;
    for (sql, status) in [
        ("SELEC 1", "400"),
        ("SELECT nope", "400"),
        ("", "400"),
        ("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b", "503"),
    ] {
        let answer = edge.ask(sql).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{sql}: {answer}");
        assert!(body(&answer).contains("\"message\""), "{answer}");
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_cut_by_rows_and_by_bytes_and_say_so() {
    for limits in
        [SqlLimits { rows_max: 1_000, ..generous() }, SqlLimits { bytes_max: 10_000, ..generous() }]
    {
        let edge = Edge::start(Limits::default(), limits).await;
        let answer = edge.ask("SELECT value FROM generate_series(1, 1000000)").await;
        assert!(answer.contains("\"truncated\":true"), "{}", &answer[answer.len() - 200..]);
        assert!(answer.len() < 100_000);
        // All rows fit exactly: nothing was cut.
        let answer = edge.ask("SELECT value FROM generate_series(1, 1000)").await;
        let cut = answer.contains("\"truncated\":true");
        assert_eq!(
            cut,
            limits.rows_max != 1_000 && limits.bytes_max < answer.len() / 2,
            "{limits:?}"
        );
        edge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_first_rows_stands_at_the_end() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let answer =
        edge.ask("SELECT 10 / (60000 - value) FROM generate_series(1, 100000) AS t(value)").await;
    assert!(answer.contains("division by zero"), "{}", &answer[answer.len().min(400)..]);
    edge.stop().await;
}
