//! What kafka-python reads of a topic that a pipeline writes.
//!
//! A client that is not installed fails the test, unless `TRADEWIND_TESTS_SKIP_CLIENTS=1` says that
//! this is known.

use crate::support::{Fault, Topics, put, shown};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tradewind_log::LogStore;
use tradewind_log::group::GroupCoordinator;
use tradewind_log::wire::{WireLimits, serve};
use tradewind_types::log::Isolation;

/// How long a client may take, seconds, enforced by `timeout`.
const CALL_SECONDS_MAX: &str = "90";
const ROWS: usize = 500;
const TABLES: &str = "
    CREATE TABLE t (id BIGINT, name STRING, h MAP<STRING, BYTES>)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE o (id BIGINT, name STRING, source STRING, h MAP<STRING, BYTES> METADATA FROM 'headers')
        WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'key.format' = 'raw',
            'key.fields' = 'name');";

/// The Python of the tests' own environment, or `None` where it was asked to go without.
fn python() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python.sh");
    let made = Command::new(script).output().ok().filter(|output| output.status.success());
    let python = made.and_then(|output| String::from_utf8(output.stdout).ok());
    let skip = std::env::var("TRADEWIND_TESTS_SKIP_CLIENTS").is_ok_and(|value| value == "1");
    assert!(
        python.is_some() || skip,
        "there is no Python environment with kafka-python: run scripts/python.sh, or set \
         TRADEWIND_TESTS_SKIP_CLIENTS=1 to go without this test"
    );
    python.map(|path| PathBuf::from(path.trim_end()))
}

type Read = (i32, Option<i32>, Option<String>, Option<String>, Vec<String>);

/// What kafka-python reads of topic `o`.
async fn read(python: &Path, address: SocketAddr, isolation: &str) -> Vec<Read> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/read_topic.py");
    let mut command = Command::new("timeout");
    command.arg(CALL_SECONDS_MAX).arg(python).arg(script);
    command.args([&address.to_string(), "o", isolation]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// A port over the log, until the sender is dropped or sent to.
async fn port(log: &LogStore) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let limits = WireLimits::default();
    let groups = GroupCoordinator::new(log.clone(), limits.groups.clone());
    let advertised = ("127.0.0.1".to_owned(), 0);
    let shutdown = async { drop(stopped.await) };
    let served = serve(listener, (log.clone(), groups), limits, advertised, shutdown);
    (address, stop, tokio::spawn(served))
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_reads_what_is_committed_and_sees_what_was_aborted_if_it_asks() {
    let Some(python) = python() else { return };
    let world = Topics::new(3, TABLES);
    let log = world.log_with(&[("t", 2), ("o", 3)]).await;
    let lake = world.lake();
    // The first attempts write rows and fail behind them: they are aborted.
    lake.faults.lock().insert("dead_letters".into(), Fault::Panic);
    let engine = world.engine_with(&log, lake).await.unwrap();
    for id in 0..ROWS {
        let row = format!(r#"{{"id": {id}, "name": "n{}", "h": {{"trace": "AQ=="}}}}"#, id % 40);
        put(&log, "t", (id % 2) as i32, &row).await.unwrap();
    }
    put(&log, "t", 0, "no json").await.unwrap();
    let sql = "INSERT INTO o SELECT id, name, 'shop', h FROM t";
    world.create(&engine, "p", sql).await.unwrap();
    world.drained(&engine, "p").await;
    engine.checkpoint_all().await.unwrap();
    let (address, stop, served) = port(&log).await;

    let committed = read(&python, address, "read_committed").await;
    let mut ids: Vec<usize> = Vec::new();
    for (partition, belongs, key, value, headers) in &committed {
        assert_eq!(Some(*partition), *belongs, "{key:?}");
        assert_eq!(headers, &["trace"]);
        let value: serde_json::Value = serde_json::from_str(value.as_ref().unwrap()).unwrap();
        assert_eq!(
            (value["name"].as_str(), value["source"].as_str()),
            (key.as_deref(), Some("shop"))
        );
        ids.push(value["id"].as_u64().unwrap() as usize);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..ROWS).collect::<Vec<_>>());
    let ours = shown(&log, "o", Isolation::ReadCommitted).await;
    let ours: Vec<_> = ours.into_iter().map(|one| (one.partition, one.key, one.value)).collect();
    let theirs = committed.into_iter().map(|(partition, _, key, value, _)| (partition, key, value));
    assert_eq!(theirs.collect::<Vec<_>>(), ours);

    let all = read(&python, address, "read_uncommitted").await;
    assert!(all.len() > ROWS, "{} records, what was aborted among them", all.len());
    engine.shutdown().await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap();
}
