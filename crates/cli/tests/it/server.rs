//! Events in, figures out, over stops and kills.

use crate::support::{Served, agent, order, run};

const ORDERS: &str = "SELECT count(*), sum(total), sum(revenue) FROM orders";
const LINES: &str = "SELECT count(*), sum(line_amount) FROM order_lines";

#[test]
fn orders_are_seen_once_across_repeats_stops_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::start(&data, &["--set", "lake.commit_interval_ms=1 s"]);
    let batch: Vec<_> = (0..100).map(order).collect();
    server.send(&batch);
    // A client that did not hear the answer sends again.
    server.send(&batch);
    server.wait_for(ORDERS, &["100", "3010.000000", "2505.000000"]);
    server.wait_for(LINES, &["200", "2510.000000"]);
    server.wait_for("SELECT count(*) FROM events", &["100"]);
    server.kill();

    let server = Served::start(&data, &[]);
    server.send(&batch[..10]);
    server.send(&[order(100)]);
    server.wait_for(ORDERS, &["101", "3040.100000", "2530.050000"]);
    server.wait_for("SELECT count(DISTINCT message_id), count(*) FROM events", &["101", "101"]);
    server.stop();

    let server = Served::start(&data, &[]);
    server.wait_for(ORDERS, &["101", "3040.100000", "2530.050000"]);
    server.wait_for("SELECT sum(records) FROM sys.topics WHERE name = 'events'", &["101"]);
    server.stop();

    // The folder can be asked without a server.
    let path = data.to_str().unwrap();
    let output = run(&["sql", "--data-dir", path, "--format", "csv", "-c", ORDERS]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().nth(1), Some("101,3040.100000,2530.050000"), "{:?}", output.stderr);
}

#[test]
fn unreadable_input_is_there_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("data"), &[]);
    let broken = agent()
        .post(format!("{}/v1/track", server.url()))
        .header("Authorization", "Basic ZGVtbzo=")
        .send("{\"event\":")
        .unwrap();
    assert_eq!(broken.status(), 400);
    server.wait_for("SELECT count(*) FROM dead_letters", &["1"]);
    let rows = server.rows("SELECT source, reason FROM dead_letters").unwrap();
    assert!(rows[0][0].starts_with("http"), "{rows:?}");
}

#[test]
fn the_edge_answers_health_metrics_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("data"), &[]);
    server.send(&[order(1)]);
    for (path, expected) in [("/healthz", "ok"), ("/metrics", "# TYPE"), ("/", "/api/sql")] {
        let mut response = agent().get(format!("{}{path}", server.url())).call().unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let text = response.body_mut().read_to_string().unwrap();
        assert!(text.contains(expected), "{path}: {text}");
    }
    assert!(server.kafka.starts_with("127.0.0.1:"));
}

#[test]
fn sql_over_http_bounds_explains_and_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--set", "sql.result_rows_max=10", "--set", "sql.statement_timeout_ms=2 s"];
    let server = Served::start(&folder.path().join("data"), &more);
    let answer = server.answer("SELECT value FROM generate_series(1, 100) AS t(value)");
    assert_eq!(answer["row_count"], 10);
    assert_eq!(answer["truncated"], true);
    let answer =
        server.answer("SELECT CAST(0.10 AS DECIMAL(10, 2)) AS amount, 9007199254740993 AS big");
    assert_eq!(answer["rows"], serde_json::json!([["0.10", "9007199254740993"]]));
    assert_eq!(answer["columns"][0]["name"], "amount");
    let answer = server.answer("SELECT totl FROM orders");
    assert_eq!(answer["error"]["hint"], "did you mean \"total\"?");
    let slow = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b";
    let answer = server.answer(slow);
    assert!(answer["error"]["message"].as_str().unwrap().contains("took longer"), "{answer}");
    // A page of another site may not ask.
    let refused = agent()
        .post(format!("{}/api/sql", server.url()))
        .header("Origin", "https://elsewhere.example")
        .send("SELECT 1")
        .unwrap();
    assert_eq!(refused.status(), 403);
    let mut csv = agent()
        .post(format!("{}/api/sql", server.url()))
        .header("Accept", "text/csv")
        .send("SELECT 1 AS one, 'a,b' AS two")
        .unwrap();
    assert_eq!(csv.body_mut().read_to_string().unwrap(), "one,two\n1,\"a,b\"\n");
}

#[test]
fn tables_and_pipelines_made_by_sql_run_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::start(&data, &[]);
    let url = server.url();
    let script = folder.path().join("setup.sql");
    std::fs::write(
        &script,
        "CREATE TABLE totals (order_id STRING, total DECIMAL(18, 6)) WITH ('connector' = 'delta');
         INSERT INTO totals SELECT properties.order_id AS order_id, properties.total AS total
         FROM order_events_stream WHERE event = 'Order Completed';",
    )
    .unwrap();
    let script = script.to_str().unwrap();
    let made = run(&["sql", "--url", &url, "--dialect", "flink", "-f", script]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.send(&[order(1), order(2)]);
    server.wait_for("SELECT count(*), sum(total) FROM totals", &["2", "60.200000"]);
    server.stop();
    let server = Served::start(&data, &[]);
    server.wait_for("SELECT count(*), sum(total) FROM totals", &["2", "60.200000"]);
    server.wait_for("SELECT state FROM sys.pipelines WHERE target = 'totals'", &["running"]);
}
