//! `POST /api/sql`.

use crate::support::{Edge, PATIENCE, generous, read_all};
use arrow::datatypes::DataType;
use arrow_ipc::reader::StreamReader;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Asks with a body, headers and an address of one's own; the whole answer.
async fn asked(edge: &Edge, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = edge.connect().await;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

async fn asked_json(edge: &Edge, request: serde_json::Value) -> serde_json::Value {
    let json = "Content-Type: application/json\r\n";
    let answer = asked(edge, "POST", "/api/sql", json, &request.to_string()).await;
    serde_json::from_str(&body(&answer)).unwrap_or_else(|_| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_values_by_their_places() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let request = serde_json::json!({
        "sql": "SELECT $1::DECIMAL(38, 2) AS amount, $2 AS text, $3 + 1 AS n, $4::DATE AS day",
        "parameters": [null, "it's", 41, "2026-02-28"],
    });
    // A float would not keep it.
    let request = request.to_string().replace("[null,", "[123456789012345678901.25,");
    let json = "Content-Type: application/json\r\n";
    let answer = asked(&edge, "POST", "/api/sql", json, &request).await;
    let answer: serde_json::Value = serde_json::from_str(&body(&answer)).unwrap();
    let row = serde_json::json!(["123456789012345678901.25", "it's", 42, "2026-02-28"]);
    assert_eq!(answer["rows"][0], row, "{answer}");
    // In the address, for a body of text.
    let path = "/api/sql?parameters=%5B%22x%22%5D&format=csv";
    let answer = asked(&edge, "POST", path, "", "SELECT $1 AS t").await;
    assert!(body(&answer).ends_with("t\nx\n"), "{answer}");
    for (parameters, said) in [
        (serde_json::json!([]), "1 parameters, and 0"),
        (serde_json::json!(["ten"]), "parameter $1"),
    ] {
        let request = serde_json::json!({"sql": "SELECT $1 + 1", "parameters": parameters});
        let answer = asked_json(&edge, request).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains(said), "{answer}");
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_a_code_and_a_place() {
    let edge = Edge::start(Limits::default(), generous()).await;
    for (sql, code) in
        [("SELECT 1 +", "42601"), ("SELECT nope", "42703"), ("SELECT * FROM nope", "42P01")]
    {
        let answer = asked_json(&edge, serde_json::json!({"sql": sql})).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let answer = asked_json(&edge, serde_json::json!({"sql": "SELECT 1\n  AS a b"})).await;
    assert_eq!(answer["error"]["position"]["line"], 2, "{answer}");
    edge.stop().await;
}

/// A chunked body's bytes.
fn dechunked(answer: &[u8]) -> Vec<u8> {
    let start = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (mut rest, mut bytes) = (&answer[start..], Vec::new());
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrow_answer_is_a_stream_that_is_whole_or_broken() {
    let limits = SqlLimits { rows_max: 1_000, bytes_max: 10_000, ..generous() };
    let edge = Edge::start(Limits::default(), limits).await;
    let request = |sql: &str| {
        format!(
            "POST /api/sql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Accept: application/vnd.apache.arrow.stream\r\nContent-Length: {}\r\n\r\n{sql}",
            sql.len()
        )
    };
    let read = async |sql: &str| {
        let mut stream = edge.connect().await;
        stream.write_all(request(sql).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        answer
    };
    let answer = read(
        "SELECT value, 1.25::DECIMAL(20, 2) AS amount, 'x' || value AS text \
         FROM generate_series(1, 100000) AS t(value)",
    )
    .await;
    let bytes = dechunked(&answer);
    let batches = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let batches: Vec<_> = batches.map(Result::unwrap).collect();
    let count: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    assert_eq!(count, 100_000, "limits of text are not Arrow's");
    let schema = batches[0].schema();
    assert_eq!(schema.field(1).data_type(), &DataType::Decimal128(20, 2));
    assert_eq!(schema.field(2).data_type(), &DataType::Utf8);
    let broken =
        read("SELECT 10 / (60000 - value) FROM generate_series(1, 100000) AS t(value)").await;
    assert!(!broken.ends_with(b"0\r\n\r\n"), "a part looks whole");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_row_once_and_the_last_can_be_had_again() {
    let edge = Edge::start(Limits::default(), generous()).await;
    let sql = "SELECT value FROM generate_series(1, 10) AS t(value)";
    let first = asked_json(&edge, serde_json::json!({"sql": sql, "page_rows": 4, "id": "a"})).await;
    assert_eq!(first["next"], "/api/sql/a/2");
    assert_eq!(first["rows"], serde_json::json!([[1], [2], [3], [4]]));
    let get = async |path: &str| {
        let answer = asked(&edge, "GET", path, "", "").await;
        let json = answer.split_once("\r\n\r\n").unwrap().1.to_string();
        (answer, serde_json::from_str::<serde_json::Value>(&json).unwrap())
    };
    let (_, second) = get("/api/sql/a/2").await;
    assert_eq!(second["rows"], serde_json::json!([[5], [6], [7], [8]]));
    assert_eq!(get("/api/sql/a/2").await.1["rows"], second["rows"]);
    let (answer, third) = get("/api/sql/a/3").await;
    assert_eq!(third["rows"], serde_json::json!([[9], [10]]));
    assert!(third["next"].is_null() && !answer.contains("link:"), "{answer}");
    assert!(get("/api/sql/a/1").await.0.starts_with("HTTP/1.1 410"));
    assert!(get("/api/sql/b/1").await.0.starts_with("HTTP/1.1 404"));
    // The only place for a query is free again: the last page was made.
    assert!(edge.ask("SELECT 1").await.starts_with("HTTP/1.1 200"));
    // One that is dropped gives its place back as well.
    let asked_for = serde_json::json!({"sql": sql, "page_rows": 4, "id": "c"});
    asked_json(&edge, asked_for).await;
    assert!(edge.ask("SELECT 1").await.starts_with("HTTP/1.1 503"));
    assert!(asked(&edge, "DELETE", "/api/sql/c", "", "").await.starts_with("HTTP/1.1 204"));
    free_again(&edge).await;
    assert!(get("/api/sql/c/2").await.0.starts_with("HTTP/1.1 404"));
    edge.stop().await;
}

async fn free_again(edge: &Edge) {
    let free = async {
        while !edge.ask("SELECT 1").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("a place was not given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_its_id_ends_a_statement() {
    let edge = Arc::new(Edge::start(Limits::default(), generous()).await);
    let sql = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let asking = Arc::clone(&edge);
    let running = tokio::spawn(async move {
        let path = "/api/sql?id=mine";
        asked(&asking, "POST", path, "", sql).await
    });
    let ended = async {
        while !asked(&edge, "DELETE", "/api/sql/mine", "", "").await.starts_with("HTTP/1.1 204") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the statement was never there");
    let answer = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("57014") && answer.contains("x-tradewind-query-id: mine"), "{answer}");
    free_again(&edge).await;
    for id in ["a/b", "", &"x".repeat(65)] {
        let request = serde_json::json!({"sql": "SELECT 1", "id": id});
        let answer = asked_json(&edge, request).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains("an id is"), "{answer}");
    }
    Arc::into_inner(edge).unwrap().stop().await;
}
