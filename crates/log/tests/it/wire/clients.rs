//! Real clients, unchanged: kcat (librdkafka), kafka-python and confluent-kafka.
//!
//! A client that is not installed fails its test, unless `TRADEWIND_TESTS_SKIP_CLIENTS=1` says
//! that this is known.

use super::harness::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tradewind_log::wire::WireLimits;
use tradewind_types::{Log, TopicSpec};

/// How long one call of a client may take, seconds, enforced by `timeout`.
const CALL_SECONDS_MAX: &str = "90";

/// Says loudly that a client is missing; fails unless skipping was asked for.
fn missing(client: &str, how: &str) {
    let skip = std::env::var("TRADEWIND_TESTS_SKIP_CLIENTS").is_ok_and(|value| value == "1");
    let message = format!("{client} is not installed: {how}");
    assert!(skip, "{message}; or set TRADEWIND_TESTS_SKIP_CLIENTS=1 to go without this test");
    eprintln!("\n*** SKIPPED: {message} ***\n");
}

fn has_kcat() -> bool {
    let found = Command::new("kcat").arg("-V").output().is_ok_and(|o| o.status.success());
    if !found {
        missing("kcat", "apt-get install kcat");
    }
    found
}

/// The Python of the tests' own environment, which `scripts/python.sh` makes when it is not there.
fn python() -> Option<PathBuf> {
    let made = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python.sh");
        let output = Command::new(script).output().ok().filter(|o| o.status.success())?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
    };
    let python = std::env::var_os("TRADEWIND_PYTHON").map(PathBuf::from).or_else(made);
    let usable = python.filter(|python| {
        let check = Command::new(python).args(["-c", "import kafka, confluent_kafka"]).output();
        check.is_ok_and(|output| output.status.success())
    });
    if usable.is_none() {
        let how = "run scripts/python.sh and see what it says";
        missing("a Python environment with kafka-python and confluent-kafka", how);
    }
    usable
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    said.into_owned()
}

/// Runs kcat to its end and answers what it printed.
async fn kcat(port: &Port, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("timeout");
    command.args([CALL_SECONDS_MAX, "kcat", "-b", &port.address.to_string()]).args(arguments);
    let input = input.as_bytes().to_vec();
    let output = tokio::task::spawn_blocking(move || run(command, &input)).await.unwrap();
    text(&output)
}

fn lines(count: usize) -> String {
    (0..count).map(|index| format!("line {index} of a text that compresses well\n")).collect()
}

/// The compressions of a topic's batches, as they lie in the log. A client may leave a batch of
/// few records uncompressed.
async fn stored_codecs(port: &Port, topic: &str) -> Vec<u8> {
    let read = port.store.read_raw(topic, 0, 0, usize::MAX).await.unwrap();
    let spans = tradewind_log::batch::parse_batches(&read.bytes).unwrap();
    spans.iter().map(|span| (span.header.attributes & 0b111) as u8).collect()
}

const CODECS: [(&str, u8); 5] = [("none", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)];

#[tokio::test(flavor = "multi_thread")]
async fn kcat_lists_writes_and_reads_with_every_compression() {
    if !has_kcat() {
        return;
    }
    let port = Port::start(WireLimits::default()).await;
    let sent = lines(1_000);
    for (codec, number) in CODECS {
        port.topic(codec, 1).await;
        kcat(&port, &["-P", "-t", codec, "-z", codec], &sent).await;
        let stored = stored_codecs(&port, codec).await;
        assert!(stored.contains(&number), "{codec} is stored as sent: {stored:?}");
        let read = kcat(&port, &["-C", "-t", codec, "-o", "beginning", "-e", "-q"], "").await;
        assert_eq!(read, sent, "{codec}");
        let ours = port.store.read(codec, 0, 0, usize::MAX).await.unwrap();
        assert_eq!(ours.len(), 1_000, "{codec} is read in process too");
    }
    let listed = kcat(&port, &["-L", "-J"], "").await;
    for (codec, _) in CODECS {
        assert!(listed.contains(&format!("\"topic\":\"{codec}\"")), "{listed}");
    }
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_makes_topics_keeps_keys_headers_and_nulls_and_seeks() {
    if !has_kcat() {
        return;
    }
    let limits = WireLimits { auto_create_partitions: 4, ..WireLimits::default() };
    let port = Port::start(limits).await;
    let arguments = ["-P", "-t", "made", "-K", ":", "-Z", "-H", "shop=de", "-p", "2"];
    kcat(&port, &arguments, "a:1\nb:2\nc:\n").await;
    assert_eq!(port.store.topic("made").unwrap().partitions, 4);
    let read = |from: &'static str| ["-C", "-t", "made", "-p", "2", "-o", from, "-e", "-q", "-Z"];
    let format = ["-f", "%o %k=%s %h\n"];
    let all = kcat(&port, &[&read("beginning")[..], &format].concat(), "").await;
    assert_eq!(all, "0 a=1 shop=de\n1 b=2 shop=de\n2 c=NULL shop=de\n");
    let last = kcat(&port, &[&read("-1")[..], &format].concat(), "").await;
    assert_eq!(last, "2 c=NULL shop=de\n");
    let asked = kcat(&port, &["-Q", "-t", "made:2:1"], "").await;
    assert!(asked.contains("made [2] offset 0"), "{asked}");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_produces_with_any_acks_and_idempotently() {
    if !has_kcat() {
        return;
    }
    let port = Port::with_topic(1).await;
    for property in ["acks=0", "acks=1", "acks=all", "enable.idempotence=true"] {
        kcat(&port, &["-P", "-t", "t", "-X", property], &lines(100)).await;
    }
    let read = kcat(&port, &["-C", "-t", "t", "-o", "beginning", "-e", "-q"], "").await;
    assert_eq!(read, lines(100).repeat(4));
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_as_if_against_an_old_broker_sends_message_sets() {
    if !has_kcat() {
        return;
    }
    let port = Port::with_topic(1).await;
    let mut expected = String::new();
    for (version, codecs) in
        [("0.9.0.1", ["none", "gzip", "snappy"]), ("0.10.0.0", ["none", "gzip", "snappy"])]
    {
        for codec in codecs {
            let fallback = format!("broker.version.fallback={version}");
            let old = ["-X", "api.version.request=false", "-X", &fallback];
            let write = ["-P", "-t", "t", "-z", codec];
            kcat(&port, &[&write[..], &old].concat(), &lines(50)).await;
            expected += &lines(50);
        }
    }
    let read = kcat(&port, &["-C", "-t", "t", "-o", "beginning", "-e", "-q"], "").await;
    assert_eq!(read, expected);
    port.stop().await;
}

/// Runs one of `tests/clients/*.py` against a port; it asserts for itself.
async fn python_script(script: &str) {
    let port = Port::start(WireLimits::default()).await;
    python_script_at(script, port.address).await;
    port.stop().await;
}

/// As [`python_script`], against what listens at `address`.
pub(super) async fn python_script_at(script: &str, address: std::net::SocketAddr) {
    let Some(python) = python() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut command = Command::new("timeout");
    command.arg(CALL_SECONDS_MAX).arg(python).arg(path).arg(address.to_string());
    let output = tokio::task::spawn_blocking(move || run(command, b"")).await.unwrap();
    let said = text(&output);
    assert!(said.trim_end().ends_with("all well"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_produces_consumes_and_administers() {
    python_script("kafka_python.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka_produces_consumes_and_administers() {
    python_script("confluent.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_shares_out_work_in_groups() {
    python_script("kafka_python_groups.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka_shares_out_work_in_groups() {
    python_script("confluent_groups.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_reads_as_a_group_and_goes_on_where_it_was() {
    if !has_kcat() {
        return;
    }
    let port = Port::with_topic(3).await;
    for (partition, value) in [("0", "a\n"), ("1", "b\n"), ("2", "c\n")] {
        kcat(&port, &["-P", "-t", "t", "-p", partition], value).await;
    }
    let read = async || {
        let earliest = ["-X", "auto.offset.reset=earliest", "-q", "-e"];
        let said = kcat(&port, &[&["-G", "readers"][..], &earliest, &["t"]].concat(), "").await;
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(read().await, ["a", "b", "c"]);
    kcat(&port, &["-P", "-t", "t", "-p", "1"], "d\n").await;
    assert_eq!(read().await, ["d"]);
    let groups = port.groups.groups().await.unwrap();
    let lags: Vec<_> = groups[0].offsets.iter().map(|offset| offset.lag).collect();
    assert_eq!((groups[0].group.as_str(), lags), ("readers", vec![Some(0); 3]));
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_pythons_admin_client_finds_what_it_asks_for() {
    python_script("admin_kafka_python.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafkas_admin_client_finds_what_it_asks_for() {
    python_script("admin_confluent.py").await;
}

/// A compacted topic as clients read it: batches with gaps, and the last value of each key.
#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_read_by_every_client() {
    if !has_kcat() {
        return;
    }
    let port = Port::start(WireLimits::default()).await;
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "1024")];
    for (codec, _) in CODECS {
        let spec = TopicSpec {
            settings: settings.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..TopicSpec::new(codec, 1)
        };
        port.store.create_topic(&spec).await.unwrap();
        for round in 0..6 {
            let lines: String = (0..40)
                .map(|key| format!("{}:round {round} of {key}\n", (key * 7 + round) % 60))
                .collect();
            kcat(
                &port,
                &["-P", "-t", codec, "-z", codec, "-K", ":", "-X", "linger.ms=200"],
                &lines,
            )
            .await;
        }
        let read = async || -> BTreeMap<String, String> {
            let args = ["-C", "-t", codec, "-o", "beginning", "-e", "-q", "-K", ":"];
            let said = kcat(&port, &args, "").await;
            said.lines()
                .map(|l| l.split_once(':').map(|(k, v)| (k.into(), v.into())).unwrap())
                .collect()
        };
        let before = read().await;
        let bytes =
            |port: &Port| port.store.stats().iter().find(|s| s.topic == codec).unwrap().bytes;
        let large = bytes(&port);
        port.store.maintain_once().await.unwrap();
        assert!(bytes(&port) < large, "{codec}: {} of {large}", bytes(&port));
        assert_eq!(read().await, before, "{codec}");
    }
    let Some(python) = python() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/compacted.py");
    let mut command = Command::new("timeout");
    command.arg(CALL_SECONDS_MAX).arg(python).arg(path).arg(port.address.to_string());
    let output = tokio::task::spawn_blocking(move || run(command, b"")).await.unwrap();
    let said = text(&output);
    assert!(said.trim_end().ends_with("all well"), "{said}");
    port.stop().await;
}

/// What `kcat -Q` asks: offsets by time.
#[tokio::test(flavor = "multi_thread")]
async fn kcat_asks_for_offsets_by_time() {
    if !has_kcat() {
        return;
    }
    let port = Port::with_topic(1).await;
    for time in [1_000, 2_000, 3_000] {
        let record = tradewind_types::Record { timestamp_ms: time, ..Default::default() };
        port.store.append("t", 0, vec![record]).await.unwrap();
    }
    for (time, offset) in [("-2", 0), ("-1", 3), ("1500", 1), ("3000", 2), ("3001", -1)] {
        let said = kcat(&port, &["-Q", "-t", &format!("t:0:{time}")], "").await;
        assert!(said.contains(&format!("offset {offset}")), "{time}: {said}");
    }
    port.store.delete_records("t", 0, Some(2)).await.unwrap();
    let said = kcat(&port, &["-Q", "-t", "t:0:-2"], "").await;
    assert!(said.contains("offset 2"), "{said}");
    port.stop().await;
}
