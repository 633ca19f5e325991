//! The programs in `examples/`, run as their pages say, and the requests of `docs/tracking.md`.

use crate::support::{Served, tradewind};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn check(name: &str) {
    let folder = folder(name);
    let output = tradewind()
        .args(["sql", "-f", "query.sql", "--format", "csv"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {stderr}");
    let expected = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{name}");
}

#[test]
fn the_spark_job_over_a_folder_of_orders() {
    check("spark_total_sales");
}

#[test]
fn the_mapreduce_job_over_lines() {
    check("mapreduce_lines");
}

/// The `curl` commands of a page with the answers that stand beneath them.
fn requests(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```").skip(1).step_by(2);
    let curls =
        blocks.filter_map(|block| block.strip_prefix("\n").filter(|it| it.starts_with("curl")));
    let parts = curls.filter_map(|block| block.split_once("\n{\""));
    parts.map(|(command, answer)| (command.to_owned(), format!("{{\"{}", answer.trim()))).collect()
}

#[test]
fn the_requests_of_the_page_on_tracking_are_answered_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    let refused = serde_json::json!({"type": "track", "event": "Seen"});
    let body = serde_json::json!({"batch": [refused]}).to_string();
    let url = format!("{}/v1/batch", server.url());
    let sent =
        Command::new("curl").args(["-s", "-u", "demo:", &url, "-d", &body]).output().unwrap();
    assert!(String::from_utf8_lossy(&sent.stdout).contains("is required"), "{sent:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tracking.md");
    let requests = requests(&std::fs::read_to_string(page).unwrap());
    assert_eq!(requests.len(), 2);
    for (command, expected) in requests {
        let command =
            command.replacen("curl", "curl -s", 1).replace("localhost:8080", &server.http);
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{command}");
    }
    server.wait_for("SELECT count(*) FROM dead_letter_retries WHERE state = 'done'", &["1"]);
    server.wait_for("SELECT topic, topic_offset FROM dead_letters", &["dead_letters", "0"]);
}
