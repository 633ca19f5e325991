//! `SUBSCRIBE` over the whole server: asked over HTTP and at the command line.

use crate::support::{PATIENCE, Served, agent, order, run, tradewind};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

/// Lines of an answer, as they come.
pub(crate) struct Changes {
    lines: std::io::Lines<BufReader<Box<dyn std::io::Read + Send + Sync>>>,
}

impl Changes {
    pub(crate) fn of(server: &Served, sql: &str) -> Self {
        Self::asked(server, &serde_json::json!({ "sql": sql }))
    }

    pub(crate) fn asked(server: &Served, request: &Value) -> Self {
        let response =
            agent().post(format!("{}/api/sql", server.url())).send_json(request).unwrap();
        assert_eq!(response.status(), 200);
        let reader: Box<dyn std::io::Read + Send + Sync> =
            Box::new(response.into_body().into_reader());
        let mut changes = Self { lines: BufReader::new(reader).lines() };
        assert!(changes.next().unwrap()["columns"].is_array());
        changes
    }

    pub(crate) fn next(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.lines.next()?.unwrap()).unwrap())
    }

    /// The rows up to the next progress line, and its token.
    pub(crate) fn until_progress(&mut self) -> (Vec<Value>, String) {
        let mut rows = Vec::new();
        loop {
            let line = self.next().unwrap();
            match line["progress"].as_str() {
                Some(token) => return (rows, token.to_string()),
                // The view does not answer yet.
                None if line.get("progress").is_some() => {}
                None => rows.push(line),
            }
        }
    }
}

const VIEW: &str = "CREATE MATERIALIZED VIEW by_user AS
    SELECT user_id, COUNT(*) AS orders FROM order_events_stream GROUP BY user_id";

fn served(folder: &std::path::Path) -> Served {
    let server = Served::start(folder, &[]);
    server.rows(&format!("SET 'dialect' = 'flink'; {VIEW}")).unwrap();
    server.send(&[order(1), order(2)]);
    server.wait_for("SELECT COALESCE(SUM(orders), 0) FROM by_user", &["2"]);
    server
}

fn row(kind: &str, user: &str, orders: i64) -> Value {
    let weight = if kind.starts_with('+') { 1 } else { -1 };
    serde_json::json!({"kind": kind, "weight": weight, "row": [user, orders]})
}

#[test]
fn changes_come_as_lines_and_go_on_behind_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path());
    let mut changes = Changes::of(&server, "SUBSCRIBE TO by_user");
    let (mut rows, first) = changes.until_progress();
    rows.sort_by_key(Value::to_string);
    assert_eq!(rows, [row("+I", "user-1", 1), row("+I", "user-2", 1)]);
    server.send(&[order(8)]);
    let update = [row("-U", "user-1", 1), row("+U", "user-1", 2)];
    let (rows, second) = changes.until_progress();
    assert_eq!(rows, update);
    drop(changes);
    // Whoever comes back with the first token is told the change again, and no more.
    let asked = format!("SUBSCRIBE by_user AFTER '{first}' LIMIT 2");
    let mut again = Changes::of(&server, &asked);
    assert_eq!([again.next().unwrap(), again.next().unwrap()], update);
    assert_eq!(again.next().unwrap()["end"], "limit");
    assert!(again.next().is_none());
    // With the second there is nothing to tell, until time is up.
    let request = serde_json::json!({
        "sql": format!("SUBSCRIBE by_user AFTER '{second}'"), "timeout_ms": 50,
    });
    let last = Changes::asked(&server, &request).next().unwrap();
    assert_eq!(last["end"], "timeout");
    // A token of nobody begins anew.
    let mut anew = Changes::of(&server, "SUBSCRIBE by_user AFTER '1-17'");
    assert_eq!(anew.next().unwrap()["reset"], true);
    assert_eq!(anew.until_progress().0.len(), 2);
    // A stop does not wait for those who follow, and tells them.
    server.stop();
    assert_eq!(anew.next().unwrap()["end"], "stopping");
}

#[test]
fn what_cannot_be_followed_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path());
    for (sql, message) in [
        ("SUBSCRIBE by_usr", "materialized view \"by_usr\" does not exist"),
        (
            "SUBSCRIBE orders",
            "\"orders\" is a table, and only materialized views tell their changes",
        ),
        ("SUBSCRIBE (SELECT 1)", "not supported: SUBSCRIBE to a query"),
        ("SUBSCRIBE by_user AFTER 'x'", "\"x\" is no resume token"),
        ("SUBSCRIBE by_user; SELECT 1", "SUBSCRIBE does not end"),
    ] {
        assert_eq!(server.rows(sql).unwrap_err(), message, "{sql}");
    }
    let mut changes = Changes::of(&server, "SUBSCRIBE by_user");
    changes.until_progress();
    server.rows("DROP MATERIALIZED VIEW by_user").unwrap();
    let last = changes.next().unwrap();
    let message = "materialized view \"by_user\" was dropped or replaced";
    assert_eq!(last["error"]["message"], message, "{last}");
    assert!(changes.next().is_none());
    server.stop();
}

#[test]
fn the_command_line_prints_changes_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path());
    let url = server.url();
    let ask = |format: &str, sql: &str| {
        let output = run(&["sql", "--url", &url, "--format", format, "-c", sql]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut json: Vec<Value> = ask("json", "SUBSCRIBE by_user LIMIT 2")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    json.sort_by_key(Value::to_string);
    let line =
        |user: &str| serde_json::json!({"_kind": "+I", "_weight": 1, "user_id": user, "orders": 1});
    assert_eq!(json, [line("user-1"), line("user-2")]);
    let csv = ask("csv", "SUBSCRIBE by_user LIMIT 2");
    assert!(csv.starts_with("_kind,_weight,_token,user_id,orders\n+I,1,,user-"), "{csv}");
    let table = ask("table", "SUBSCRIBE by_user LIMIT 2");
    let table: Vec<&str> = table.lines().collect();
    assert_eq!((table.len(), table[0]), (4, "    | user_id | orders"), "{table:?}");
    let timed = run(&["sql", "--url", &url, "--timeout", "0.2", "-c", "SUBSCRIBE by_user"]);
    assert!(timed.status.success() && timed.stdout.len() > 40, "{timed:?}");
    let refused = run(&["sql", "--url", &url, "-c", "SUBSCRIBE by_usr"]);
    assert!(!refused.status.success());
    // What changes while it runs is printed at once; an interrupt ends it in order.
    let mut child = tradewind()
        .args(["sql", "--url", &url, "--format", "json", "-c", "SUBSCRIBE by_user"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    while next().get("_progress").is_none() {}
    server.send(&[order(8)]);
    assert_eq!((next()["_kind"].clone(), next()["orders"].clone()), ("-U".into(), 2.into()));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "an interrupt did not end it");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    server.stop();
    let local = ["sql", "--data-dir", folder.path().to_str().unwrap(), "--format", "json"];
    let local = run(&[&local[..], &["-c", "SUBSCRIBE by_user LIMIT 2"]].concat());
    assert!(local.status.success(), "{}", String::from_utf8_lossy(&local.stderr));
    assert_eq!(String::from_utf8(local.stdout).unwrap().lines().count(), 2);
}
