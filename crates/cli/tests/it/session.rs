//! Sessions over the whole server: what is set, what is shown, what statements become.

use crate::support::{Served, run, tradewind};
use std::process::Stdio;

const TOPIC: &str = "CREATE TABLE words_stream (a STRING) \
                     WITH ('connector' = 'kafka', 'topic' = 'words', 'format' = 'json');";
const TABLE: &str = "CREATE TABLE words (a STRING) WITH ('connector' = 'delta');";
const INSERT: &str = "INSERT INTO words SELECT a FROM words_stream";

#[test]
fn a_pipeline_is_called_as_the_session_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    let script = format!("{TOPIC} {TABLE} SET 'pipeline.name' = 'first'; {INSERT}; {INSERT};");
    let output = tradewind()
        .args(["sql", "--url", &server.url(), "--dialect", "flink", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = server.rows("SELECT name, target, topic FROM sys.pipelines WHERE target = 'words'");
    let named = |name: &str| vec![name.to_string(), "words".into(), "words".into()];
    server.wait_for(
        "SELECT count(*) FROM sys.pipelines WHERE target = 'words' AND topic = 'words'",
        &["2"],
    );
    let after = server
        .rows("SELECT name, target, topic FROM sys.pipelines WHERE target = 'words' ORDER BY name");
    assert_eq!(after.unwrap(), [named("first"), named("words")], "at first: {made:?}");
    let plan = server.rows(&format!("SET 'dialect' = 'flink'; EXPLAIN {INSERT}")).unwrap();
    assert!(plan[0][1].contains("words"), "{plan:?}");
    server.stop();
}

#[test]
fn settings_say_what_they_are_and_where_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tradewind.toml");
    std::fs::write(
        &file,
        "[collect]\nwrite_keys = [{ key = \"s3cret\", bearer_token = \"t0k\" }]\n",
    )
    .unwrap();
    let data = folder.path().join("data");
    let server = Served::start(&data, &["--config", file.to_str().unwrap()]);
    let rows = server.rows(
        "SELECT name, value, \"default\", source FROM sys.settings \
         WHERE name IN ('log.disk_reserve_bytes', 'sql.dialect') ORDER BY name",
    );
    let expected = [
        ["log.disk_reserve_bytes", "16 MiB", "1 GiB", "command line"],
        ["sql.dialect", "postgres", "postgres", "default"],
    ];
    assert_eq!(rows.unwrap(), expected);
    let keys =
        server.rows("SELECT value, place FROM sys.settings WHERE name = 'collect.write_keys'");
    let keys = keys.unwrap().remove(0);
    assert!(keys[0].contains("***") && keys[1].ends_with("tradewind.toml:2"), "{keys:?}");
    let all = server.answer("SELECT * FROM sys.settings").to_string();
    assert!(!all.contains("s3cret") && !all.contains("t0k"));
    server.stop();
    let local =
        run(&["sql", "--format", "csv", "-c", "SELECT count(DISTINCT source) FROM sys.settings"]);
    assert!(String::from_utf8_lossy(&local.stdout).ends_with("1\n"), "{local:?}");
}
