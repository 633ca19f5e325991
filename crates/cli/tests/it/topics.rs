//! Topics as people handle them: made, looked at, changed, written, read, removed; what system
//! tables and `/metrics` say of them; kept over a kill.

use crate::support::{Served, agent, error_of, tradewind};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

/// What the command prints, given `input`.
fn topic(server: &Served, arguments: &[&str], input: &str) -> String {
    let mut child = tradewind()
        .args(["topic", "--kafka", &server.kafka])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The line of a topic that is refused.
fn refused(server: &Served, arguments: &[&str]) -> String {
    error_of(&[&["topic", "--kafka", &server.kafka], arguments].concat())
}

fn described(server: &Served, name: &str) -> Value {
    serde_json::from_str(&topic(server, &["describe", name, "--format", "json"], "")).unwrap()
}

fn setting(server: &Served, name: &str, setting: &str) -> (String, bool) {
    let described = described(server, name);
    let found = described["settings"].as_array().unwrap();
    let found = found.iter().find(|one| one["name"] == setting).unwrap();
    (found["value"].as_str().unwrap().to_string(), found["own"].as_bool().unwrap())
}

#[test]
fn topics_are_made_changed_written_read_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    topic(&server, &["create", "stock", "--partitions", "2", "--set", "retention.ms=1000000"], "");
    topic(&server, &["create", "stock", "--if-not-exists"], "");
    assert!(refused(&server, &["create", "stock"]).contains("exists"));
    assert!(refused(&server, &["create", "other", "--set", "nonsense=1"]).contains("nonsense"));
    let listed = topic(&server, &["list", "--format", "csv"], "");
    assert!(listed.contains("\nstock,2\n") && listed.contains("events,"), "{listed}");

    let lines: String = (0..2_500).map(|n| format!("sku {}:stock {n}\n", n % 50)).collect();
    topic(&server, &["produce", "stock", "-K", ":"], &lines);
    let read = topic(&server, &["consume", "stock", "--keys"], "");
    let mut read: Vec<&str> = read.lines().collect();
    assert_eq!(read.len(), 2_500);
    let mut sent: Vec<String> = lines.lines().map(|line| line.replacen(':', "\t", 1)).collect();
    sent.sort();
    read.sort();
    assert_eq!(read, sent);
    let some = topic(
        &server,
        &[
            "consume",
            "stock",
            "--partition",
            "0",
            "--from",
            "3",
            "--count",
            "2",
            "--format",
            "json",
        ],
        "",
    );
    let some: Vec<Value> = some.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((some.len(), &some[0]["offset"], &some[1]["offset"]), (2, &3.into(), &4.into()));
    assert_eq!(topic(&server, &["consume", "stock", "--from", "end"], ""), "");

    alter_and_refuse(&server);
    look(&server);

    // A kill takes nothing back.
    server.kill();
    let server = Served::start(folder.path(), &[]);
    assert_eq!(setting(&server, "stock", "segment.ms"), ("5000".into(), true));
    assert_eq!(topic(&server, &["consume", "stock"], "").lines().count(), 2_500);
    topic(&server, &["delete", "stock"], "");
    topic(&server, &["delete", "stock", "--if-exists"], "");
    assert!(refused(&server, &["delete", "stock"]).contains("does not exist"));
    server.stop();
}

fn alter_and_refuse(server: &Served) {
    topic(server, &["alter", "stock", "--set", "segment.ms=5000", "--partitions", "3"], "");
    topic(server, &["alter", "stock", "--unset", "retention.ms"], "");
    assert_eq!(setting(server, "stock", "segment.ms"), ("5000".into(), true));
    assert!(!setting(server, "stock", "retention.ms").1);
    assert_eq!(described(server, "stock")["partitions"].as_array().unwrap().len(), 3);
    assert!(refused(server, &["alter", "stock"]).contains("--set"));
    assert!(refused(server, &["alter", "stock", "--partitions", "1"]).contains("3 partitions"));
    assert!(refused(server, &["describe", "stck"]).contains("did you mean \"stock\"?"));

    // What the server needs stays as it is.
    assert!(refused(server, &["delete", "events"]).contains("server's own"));
    assert!(refused(server, &["alter", "events", "--partitions", "50"]).contains("server's own"));
    let compact = ["alter", "events", "--set", "cleanup.policy=compact"];
    assert!(refused(server, &compact).contains("server's own"));
}

fn look(server: &Served) {
    let sql = "SELECT count(*), sum(records), sum(bytes) > 20000, min(offline) FROM sys.partitions
               WHERE topic = 'stock'";
    assert_eq!(server.rows(sql).unwrap(), [["3", "2500", "true", "null"]]);
    let sql = "SELECT DISTINCT settings FROM sys.topics WHERE name = 'stock'";
    assert_eq!(server.rows(sql).unwrap(), [["segment.ms=5000"]]);
    let mut response = agent().get(format!("{}/metrics", server.url())).call().unwrap();
    let figures = response.body_mut().read_to_string().unwrap();
    for line in ["kafka_topic_partitions{topic=\"stock\"} 3\n", "# TYPE kafka_log_log_size gauge\n"]
    {
        assert!(figures.contains(line), "{line} in {figures}");
    }
}
