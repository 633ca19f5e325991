//! psql, unchanged.

use super::Port;
use super::clients::missing;
use crate::support::PATIENCE;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tradewind_serve::PostgresLimits;

fn psql(port: &Port, more: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args([&PATIENCE.as_secs().to_string(), "psql", "-X", "-h", "127.0.0.1"]);
    command.args(["-p", &port.address.port().to_string(), "-U", "ann", "-d", "shop"]);
    command
        .args(["-v", "ON_ERROR_STOP=1"])
        .args(more)
        .env_remove("PGOPTIONS")
        .env("PGSSLMODE", "prefer");
    command
}

async fn run(mut command: Command, input: &str) -> Output {
    let input = input.to_string();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    running.await.unwrap()
}

async fn said(port: &Port, more: &[&str], input: &str) -> String {
    let output = run(psql(port, more), input).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{input}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn has_psql() -> bool {
    let found = Command::new("psql").arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        missing("psql", "apt-get install postgresql-client");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_asks_and_is_answered() {
    if !has_psql() {
        return;
    }
    let port = Port::start(PostgresLimits::default()).await;
    let plain = &["-A", "-t"][..];
    let answer = said(
        &port,
        plain,
        "SET timezone = 'Europe/Berlin';
         SELECT 1, 2.50, 1e20::double, true, NULL, 'it''s', DATE '2024-02-29',
             TIMESTAMP '2024-02-29 12:34:56.789', INTERVAL '1 year 2 days 3 hours 4 minutes 5 seconds',
             ARRAY[1, 2], named_struct('a', 1.10);",
    )
    .await;
    assert_eq!(
        answer,
        "SET\n1|2.50|1e+20|t||it's|2024-02-29|2024-02-29 12:34:56.789|1 year 2 days 03:04:05|{1,2}|{\"a\":\"1.10\"}\n"
    );
    // A cursor behind the scenes.
    let counted = "\\set FETCH_COUNT 1000\nSELECT value FROM generate_series(1, 12345);";
    assert_eq!(said(&port, plain, counted).await.lines().count(), 12_345);
    let output = run(psql(&port, &[]), "SELECT 1,\n  nothing\nFROM (SELECT 1 AS a) AS t;").await;
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("ERROR:  column \"nothing\" does not exist"), "{complaint}");
    assert!(complaint.contains("LINE 2:   nothing\n          ^"), "{complaint}");
    let answer = said(&port, plain, "BEGIN;\nSELECT 1;\nCOMMIT;").await;
    assert_eq!(answer, "BEGIN\n1\nCOMMIT\n");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_copies_out() {
    if !has_psql() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.csv");
    let port = Port::start(PostgresLimits::default()).await;
    let copy = format!(
        "\\copy (SELECT value, value * 1.5 AS half FROM generate_series(1, 50000) ORDER BY value) TO '{}' CSV HEADER",
        file.display()
    );
    assert_eq!(said(&port, &[], &copy).await.trim(), "COPY 50000");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("value,half\n1,1.5\n2,3.0\n"), "{}", &text[..60]);
    assert!(text.ends_with("50000,75000.0\n"));
    // And what was written is read: as a file here.
    let sum = format!("SELECT sum(half) FROM '{}'", file.display());
    assert_eq!(said(&port, &["-A", "-t"], &sum).await.trim(), "1875037500.0");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_statement() {
    if !has_psql() {
        return;
    }
    let port = Port::start(PostgresLimits::default()).await;
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let mut command = psql(&port, &["-c", endless, "-c", "SELECT 'still here'"]);
    command.env("PGAPPNAME", "cancelled");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // `timeout` hands the signal on to what it runs.
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("canceling statement due to user request"), "{complaint}");
    port.stop().await;
}
