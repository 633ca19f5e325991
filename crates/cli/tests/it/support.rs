//! The binary as a child process, and what a client says to it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tradewind() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradewind"));
    command.env_remove("TRADEWIND_LOG").current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    tradewind().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// `TRADEWIND_PYTHON`, or the one the project's script makes.
fn python(root: &Path) -> PathBuf {
    if let Some(python) = std::env::var_os("TRADEWIND_PYTHON") {
        return python.into();
    }
    let output = Command::new(root.join("scripts/python.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Runs a script of `tests/acceptance` on the binary; what it said.
pub(crate) fn acceptance(script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(python(&root))
        .arg(root.join("tests/acceptance").join(script))
        .args(["--binary", env!("CARGO_BIN_EXE_tradewind")])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The one line that a failing command says.
pub(crate) fn error_of(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded; stderr: {stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{arguments:?} said more than one line: {stderr}");
    lines[0].strip_prefix("error: ").unwrap_or(lines[0]).to_string()
}

/// A server as a child process; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) http: String,
    pub(crate) kafka: String,
    pub(crate) postgres: String,
}

impl Served {
    /// Starts the server on free ports and waits until it is ready.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Self {
        let mut child = tradewind()
            .args(["serve", "--data-dir", data_dir.to_str().unwrap()])
            .args(["--http-listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"])
            .args(["--postgres-listen", "127.0.0.1:0"])
            .args(["--set", "log.disk_reserve_bytes=16 MiB"])
            .args(["--set", "server.flight_listen=127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read to its end whatever happens: a full pipe would stop the server.
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (mut http, mut kafka, mut postgres) = (String::new(), String::new(), String::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.split_once(' ') {
                Some(("http", address)) => http = address.trim().to_string(),
                Some(("kafka", address)) => kafka = address.trim().to_string(),
                Some(("postgres", address)) => postgres = address.trim().to_string(),
                _ if line == "ready" => return Self { child, http, kafka, postgres },
                _ => {}
            }
        }
        panic!("the server ended before it was ready: {}", said.join().unwrap());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server stopped with {status}");
    }

    /// Takes it away without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a batch of events; the server accepted all.
    pub(crate) fn send(&self, batch: &[Value]) {
        let body = serde_json::json!({ "batch": batch, "writeKey": "demo" });
        let response = agent().post(format!("{}/v1/batch", self.url())).send_json(&body).unwrap();
        assert_eq!(response.status(), 200);
    }

    /// Rows of a query, each value as text.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let answer = self.try_answer(sql).map_err(|error| error.to_string())?;
        if let Some(error) = answer.get("error") {
            return Err(error["message"].as_str().unwrap_or_default().to_string());
        }
        let rows = answer["rows"].as_array().unwrap().iter().map(|row| {
            let cells = row.as_array().unwrap().iter().map(|cell| match cell {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            cells.collect()
        });
        Ok(rows.collect())
    }

    /// The whole answer to a query.
    pub(crate) fn answer(&self, sql: &str) -> Value {
        self.try_answer(sql).unwrap()
    }

    fn try_answer(&self, sql: &str) -> Result<Value, ureq::Error> {
        let body = serde_json::json!({ "sql": sql });
        agent().post(format!("{}/api/sql", self.url())).send_json(&body)?.body_mut().read_json()
    }

    /// Asks until the first row is `expected`.
    pub(crate) fn wait_for(&self, sql: &str, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.rows(sql);
            if rows.as_ref().is_ok_and(|rows| rows.first().is_some_and(|row| row == expected)) {
                return;
            }
            assert!(Instant::now() < deadline, "{sql}: {rows:?} instead of {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// A completed order of two lines.
pub(crate) fn order(number: usize) -> Value {
    serde_json::json!({
        "type": "track", "event": "Order Completed", "messageId": format!("order-{number}"),
        "userId": format!("user-{}", number % 7), "timestamp": "2026-03-29T01:30:00.000Z",
        "properties": {
            "order_id": format!("o{number}"), "currency": "EUR", "total": 30.10, "revenue": 25.05,
            "products": [
                {"product_id": "p1", "sku": "a", "price": 10.05, "quantity": 2},
                {"product_id": "p2", "sku": "b", "price": 5, "quantity": 1}
            ]
        }
    })
}
