//! Other people's drivers: psycopg, SQLAlchemy and pandas, PostgreSQL's for Java.
//!
//! A client that is not installed fails its test, unless `TRADEWIND_TESTS_SKIP_CLIENTS=1` says
//! that this is known.

use super::Port;
use crate::support::PATIENCE;
use std::path::{Path, PathBuf};
use std::process::Command;
use tradewind_serve::PostgresLimits;

/// Says loudly that a client is missing; fails unless skipping was asked for.
pub(super) fn missing(client: &str, how: &str) {
    let skip = std::env::var("TRADEWIND_TESTS_SKIP_CLIENTS").is_ok_and(|value| value == "1");
    let message = format!("{client} is not installed: {how}");
    assert!(skip, "{message}; or set TRADEWIND_TESTS_SKIP_CLIENTS=1 to go without this test");
    eprintln!("\n*** SKIPPED: {message} ***\n");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Python of the tests' own environment, which `scripts/python.sh` makes when it is not there.
fn python() -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/python.sh")).output();
    let output = output.ok().filter(|output| output.status.success());
    let python = output.and_then(|output| String::from_utf8(output.stdout).ok());
    if python.is_none() {
        missing("a Python environment with psycopg", "run scripts/python.sh and see what it says");
    }
    python.map(|path| PathBuf::from(path.trim_end()))
}

async fn passes(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("PASSED\n"), "{said}\n{complained}");
}

async fn python_program(name: &str) {
    let Some(python) = python() else { return };
    let port = Port::start(PostgresLimits::default()).await;
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(python);
    command.arg(root().join("tests/clients/postgres").join(name));
    command.arg(port.address.port().to_string());
    passes(command).await;
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_does_its_work() {
    python_program("psycopg_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_does_its_work() {
    let script = root().join("tests/clients/postgres/jdbc.sh");
    let port = Port::start(PostgresLimits::default()).await;
    let mut command = Command::new("timeout");
    command.arg("300").arg(script).arg(port.address.port().to_string());
    passes(command).await;
    port.stop().await;
}
