//! A newcomer's mistakes: each is one line that says what is wrong and what to do.

use crate::support::{Served, error_of};
use std::net::TcpListener;

fn serve<'a>(data_dir: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["serve", "--data-dir", data_dir, "--http-listen", "127.0.0.1:0"];
    arguments.extend(["--kafka-listen", "127.0.0.1:0", "--postgres-listen", "127.0.0.1:0"]);
    arguments.extend(["--set", "server.flight_listen=127.0.0.1:0"]);
    arguments.extend(more);
    arguments
}

#[test]
fn a_busy_port() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    let message =
        error_of(&["serve", "--data-dir", data.to_str().unwrap(), "--http-listen", &address]);
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
    assert!(message.contains("server.http_listen"), "{message}");
    assert!(!data.exists(), "a folder was made for a server that cannot start");
}

#[test]
fn a_bad_key_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let file = folder.path().join("tradewind.toml");
    std::fs::write(&file, "[log]\nsegment_bytes = \"64 MB\"\nretension_ms = \"7 d\"\n").unwrap();
    let message = error_of(&serve(data, &["--config", file.to_str().unwrap()]));
    assert!(message.contains("tradewind.toml:3"), "{message}");
    assert!(message.contains("retension_ms") && message.contains("retention_ms"), "{message}");
    let message = error_of(&serve(data, &["--set", "log.segment_bytes=many"]));
    assert!(message.contains("log.segment_bytes"), "{message}");
    let message = error_of(&serve(data, &["--config", "/nowhere/tradewind.toml"]));
    assert!(message.contains("/nowhere/tradewind.toml"), "{message}");
}

#[test]
fn a_folder_that_is_not_ours_or_of_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
    let message = error_of(&serve(path, &[]));
    assert!(message.contains("thesis.txt") && message.contains("empty"), "{message}");
    std::fs::remove_file(folder.path().join("thesis.txt")).unwrap();
    std::fs::write(folder.path().join("FORMAT"), r#"{"format_version":99,"created_by":"x"}"#)
        .unwrap();
    let message = error_of(&serve(path, &[]));
    assert!(message.contains("format 99") && message.contains("version"), "{message}");
    let file = folder.path().join("FORMAT");
    let message = error_of(&serve(file.to_str().unwrap(), &[]));
    assert!(message.contains("is a file"), "{message}");
}

#[test]
fn a_folder_that_cannot_be_written() {
    // Whoever runs this, the kernel's own folders take no files.
    let message = error_of(&serve("/sys/tradewind-data", &[]));
    assert!(message.contains("/sys/tradewind-data cannot be written"), "{message}");
}

#[test]
fn a_folder_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::start(&data, &[]);
    let path = data.to_str().unwrap();
    let message = error_of(&serve(path, &[]));
    assert!(message.contains("in use by another process"), "{message}");
    let message = error_of(&["sql", "--data-dir", path, "-c", "SELECT 1"]);
    assert!(message.contains("in use by another process"), "{message}");
    server.stop();
}

#[test]
fn a_full_disk_refuses_events_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Served::start(&data, &[]).stop();
    // No disk has this much left.
    let server = Served::start(&data, &["--set", "log.disk_reserve_bytes=1 TiB"]);
    let event = serde_json::json!({"event": "e", "userId": "u", "writeKey": "demo"});
    let response = crate::support::agent()
        .post(format!("{}/v1/track", server.url()))
        .send_json(&event)
        .unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(server.rows("SELECT 1").unwrap(), [["1"]]);
}

#[test]
fn statements_and_servers_that_are_not_there() {
    let message = error_of(&["sql", "-c", "SELECT * FROM 'nothing.json'"]);
    assert!(message.contains("nothing.json"), "{message}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = error_of(&["sql", "--url", &format!("http://{free}"), "-c", "SELECT 1"]);
    assert!(message.contains("cannot be asked"), "{message}");
    let message = error_of(&["sql", "--data-dir", "/nowhere/data", "-c", "SELECT 1"]);
    assert!(message.contains("/nowhere/data does not exist"), "{message}");
    let message = error_of(&["doctor", "/nowhere/data"]);
    assert!(message.contains("/nowhere/data"), "{message}");
}
