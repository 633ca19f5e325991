//! Consumer groups as people handle them: listed, looked at, moved; over a kill.

use crate::support::{Served, agent, error_of, order, run};
use serde_json::Value;

const LAG: &str = "SELECT sum(committed), sum(log_end), sum(lag) FROM sys.consumer_groups \
                   WHERE group_id = 'readers' AND topic = 'events'";

/// What the command prints, an object a line.
fn group(server: &Served, arguments: &[&str]) -> Vec<Value> {
    let url = server.url();
    let output = run(&[&["group", "--url", &url, "--format", "json"], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused(server: &Served, arguments: &[&str]) -> String {
    error_of(&[&["group", "--url", &server.url()], arguments].concat())
}

#[test]
fn a_group_is_moved_shown_and_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    server.send(&(0..10).map(order).collect::<Vec<_>>());
    server.wait_for("SELECT sum(records) FROM sys.topics WHERE name = 'events'", &["10"]);
    assert!(group(&server, &["list"]).is_empty());

    let to = |place: &'static str| ["reset", "readers", "--topic", "events", "--to", place];
    let said = group(&server, &[&to("earliest")[..], &["--dry-run"]].concat());
    assert!(said.iter().all(|row| row["before"].is_null() && row["after"] == 0), "{said:?}");
    assert!(group(&server, &["list"]).is_empty(), "it was only asked");
    group(&server, &to("earliest"));
    assert_eq!(server.rows(LAG).unwrap(), [["0", "10", "10"]]);
    group(&server, &to("latest"));
    server.kill();

    let server = Served::start(folder.path(), &[]);
    assert_eq!(server.rows(LAG).unwrap(), [["10", "10", "0"]]);
    let said = group(&server, &to("2000-01-01T00:00:00Z"));
    assert!(said.iter().all(|row| row["after"] == 0), "{said:?}");
    // Past the end is the end.
    group(&server, &to("999"));
    assert_eq!(server.rows(LAG).unwrap(), [["10", "10", "0"]]);
    group(&server, &[&to("earliest")[..], &["--partition", "0"]].concat());
    let listed = group(&server, &["list"]);
    assert_eq!((&listed[0]["group_id"], &listed[0]["state"]), (&"readers".into(), &"Empty".into()));
    let described = group(&server, &["describe", "readers"]);
    assert_eq!(described[0]["committed"], 0);
    assert!(described[0]["committed_at"].is_string() && described[0]["member_id"].is_null());
    server.stop();

    // The folder can be asked without a server.
    let path = folder.path().to_str().unwrap();
    let sql = "SELECT count(*) > 0 FROM sys.consumer_groups WHERE group_id = 'readers'";
    let output = run(&["sql", "--data-dir", path, "--format", "csv", "-c", sql]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().nth(1), Some("true"));
}

#[test]
fn what_cannot_be_moved_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    let said = refused(&server, &["reset", "g", "--topic", "evnets", "--to", "latest"]);
    assert!(said.contains("topic \"evnets\" does not exist (did you mean \"events\"?)"), "{said}");
    let said = refused(&server, &["reset", "g", "--topic", "events", "--to", "yesterday"]);
    assert!(said.contains("\"yesterday\" is no place in a topic (earliest, latest,"), "{said}");
    let asked = ["reset", "g", "--topic", "events", "--to", "0", "--partition", "99"];
    let said = refused(&server, &asked);
    assert!(said.contains("topic \"events\" has no partition 99"), "{said}");
    let said = refused(&server, &["describe", "nobody"]);
    assert!(said.contains("group \"nobody\" does not exist"), "{said}");
    // Another site's page has no say.
    let foreign = agent()
        .post(format!("{}/api/groups/reset", server.url()))
        .header("Origin", "https://shop.example")
        .send_json(serde_json::json!({"group": "g", "topic": "events", "to": "latest"}));
    assert_eq!(foreign.unwrap().status(), 403);
    assert!(group(&server, &["list"]).is_empty());
}
