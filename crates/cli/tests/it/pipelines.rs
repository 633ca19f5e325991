//! Pipelines as people handle them: listed, looked at, paused over a kill, resumed, dropped.

use crate::subscriptions::Changes;
use crate::support::{Served, agent, error_of, order, run};
use serde_json::Value;

const MADE: [&str; 3] = [
    "CREATE TABLE big_orders (order_id STRING, user_id STRING) WITH ('connector' = 'delta')",
    "SET 'pipeline.name' = 'big';
     INSERT INTO big_orders SELECT properties.order_id, user_id FROM order_events_stream",
    "CREATE MATERIALIZED VIEW by_user AS
     SELECT user_id, COUNT(*) AS orders FROM order_events_stream GROUP BY user_id",
];

const ORDERS: &str = "SELECT COALESCE(SUM(orders), 0) FROM by_user";
const STATES: &str =
    "SELECT name, state FROM sys.pipelines WHERE name IN ('big', 'by_user') ORDER BY name";

fn state(server: &Served, name: &str) -> Vec<String> {
    let sql = format!("SELECT state, reason FROM sys.pipelines WHERE name = '{name}'");
    server.rows(&sql).unwrap().remove(0)
}

/// What the command prints.
fn pipeline(server: &Served, arguments: &[&str]) -> String {
    let url = server.url();
    let output = run(&[&["pipeline", "--url", &url], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap()
}

fn made(server: &Served) {
    for statement in MADE {
        server.rows(&format!("SET 'dialect' = 'flink'; {statement}")).unwrap();
    }
}

#[test]
fn what_is_paused_stays_so_over_a_kill_and_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    made(&server);
    server.send(&(0..4).map(order).collect::<Vec<_>>());
    server.wait_for(ORDERS, &["4"]);
    server.wait_for("SELECT COUNT(*) FROM big_orders", &["4"]);
    for name in ["big", "by_user"] {
        let said = json(&pipeline(&server, &["pause", name, "--format", "json"]));
        assert_eq!((&said["name"], &said["state"]), (&name.into(), &"paused".into()), "{said}");
    }
    server.send(&(4..6).map(order).collect::<Vec<_>>());
    // A pipeline that runs has seen them, those that stand still have not.
    server.wait_for("SELECT orders FROM sales_per_day WHERE currency = 'EUR'", &["6"]);
    assert_eq!(server.rows(ORDERS).unwrap(), [["4"]]);
    assert_eq!(server.rows("SELECT COUNT(*) FROM big_orders").unwrap(), [["4"]]);
    server.kill();

    let server = Served::start(folder.path(), &[]);
    server.wait_for("SELECT orders FROM sales_per_day WHERE currency = 'EUR'", &["6"]);
    // The view answers as it was, and says why it does not move.
    server.wait_for(ORDERS, &["4"]);
    assert_eq!(
        state(&server, "by_user"),
        ["paused", "paused by hand; the view answers as it was then"]
    );
    assert_eq!(state(&server, "big"), ["paused", "paused by hand"]);
    server
        .wait_for("SELECT COUNT(*) FROM sys.pipelines WHERE state = 'paused' AND lag > 0", &["2"]);
    let behind = server.rows(
        "SELECT SUM(lag), MIN(lag_seconds) >= 0 FROM sys.pipeline_sources WHERE pipeline = 'big'",
    );
    assert_eq!(behind.unwrap(), [["2", "true"]]);
    assert_eq!(server.rows("SELECT COUNT(*) FROM big_orders").unwrap(), [["4"]]);
    // Whoever follows the view keeps his place over the pause.
    let mut changes = Changes::of(&server, "SUBSCRIBE by_user");
    let (rows, _) = changes.until_progress();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for name in ["big", "by_user"] {
        pipeline(&server, &["resume", name]);
    }
    server.wait_for(ORDERS, &["6"]);
    server.wait_for("SELECT COUNT(*) FROM big_orders", &["6"]);
    let distinct = "SELECT COUNT(DISTINCT order_id) FROM big_orders";
    assert_eq!(server.rows(distinct).unwrap(), [["6"]]);
    let mut added = Vec::new();
    while added.len() < 2 {
        let (rows, _) = changes.until_progress();
        assert!(rows.iter().all(|row| row["kind"] == "+I"), "it began anew: {rows:?}");
        added.extend(rows);
    }
    drop(changes);
    assert_eq!(server.rows(STATES).unwrap(), [["big", "running"], ["by_user", "running"]]);
    server.stop();
}

#[test]
fn one_pipeline_is_shown_with_all_that_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    made(&server);
    server.send(&(0..9).map(order).collect::<Vec<_>>());
    server.wait_for(ORDERS, &["9"]);
    let list = pipeline(&server, &["list"]);
    assert!(
        list.lines().any(|line| line.contains("by_user") && line.contains("running")),
        "{list}"
    );
    let csv = pipeline(&server, &["list", "--format", "csv"]);
    assert!(csv.starts_with("name,kind,target,state,lag,lag_seconds,reason\n"), "{csv}");
    let page = pipeline(&server, &["show", "by_user"]);
    for part in [
        "\nstatement\n",
        "CREATE MATERIALIZED VIEW by_user",
        "\nsources\n",
        "\nplan\n",
        "aggregate-1 <- ",
        "\noperators\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    let shown = json(&pipeline(&server, &["show", "by_user", "--format", "json"]));
    assert_eq!(shown["pipeline"]["kind"], "materialized view");
    assert_eq!(
        (&shown["pipeline"]["lag"], &shown["pipeline"]["lag_seconds"]),
        (&0.into(), &0.into())
    );
    let operators = shown["operators"].as_array().unwrap();
    let of = |kind: &str| operators.iter().find(|one| one["kind"] == kind).unwrap();
    let aggregate = of("aggregate");
    assert_eq!(aggregate["rows_in"], 9);
    // Nine orders of seven users.
    assert_eq!(aggregate["state_rows"], 7);
    assert!(aggregate["state_bytes"].as_u64().unwrap() > 0);
    assert!(aggregate["description"].as_str().unwrap().contains("user_id"), "{aggregate}");
    assert!(aggregate["busy_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(of("source")["rows_out"], of("source")["rows_in"]);
    assert_eq!(of("materialize")["state_rows"], 7);
    let positions = shown["sources"].as_array().unwrap();
    let read: i64 = positions.iter().map(|one| one["position"].as_i64().unwrap()).sum();
    assert_eq!(read, 9);
    let misspelt = error_of(&["pipeline", "--url", &server.url(), "show", "by_usr"]);
    assert_eq!(misspelt, "pipeline \"by_usr\" does not exist (did you mean \"by_user\"?)");
    let misspelt = error_of(&["pipeline", "--url", &server.url(), "pause", "bigg"]);
    assert!(
        misspelt.contains("\"bigg\" does not exist") && misspelt.contains("did you mean"),
        "{misspelt}"
    );
    let of_pack = error_of(&["pipeline", "--url", &server.url(), "drop", "sales_per_day"]);
    assert!(of_pack.contains("ecommerce"), "{of_pack}");
    for name in ["by_user", "big"] {
        pipeline(&server, &["drop", name]);
        pipeline(&server, &["drop", name, "--if-exists"]);
        error_of(&["pipeline", "--url", &server.url(), "drop", name]);
    }
    assert!(server.rows(STATES).unwrap().is_empty());
    assert_eq!(server.rows("SELECT COUNT(*) FROM big_orders").unwrap(), [["9"]]);
    server.stop();
}

#[test]
fn sql_can_do_all_that_the_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    made(&server);
    server.rows("ALTER MATERIALIZED VIEW by_user PAUSE").unwrap();
    server.rows("ALTER PIPELINE big PAUSE; ALTER PIPELINE big PAUSE").unwrap();
    assert_eq!(server.rows(STATES).unwrap(), [["big", "paused"], ["by_user", "paused"]]);
    let shown = server.rows("SHOW PIPELINES").unwrap();
    assert!(shown.iter().any(|row| row[0] == "big" && row[1] == "insert" && row[3] == "paused"));
    let sql = server.rows("SHOW CREATE PIPELINE big").unwrap().concat().concat();
    assert!(sql.starts_with("INSERT INTO big_orders"), "{sql}");
    let misspelt = server.rows("SHOW CREATE PIPELINE bgi").unwrap_err();
    assert_eq!(misspelt, "pipeline \"bgi\" does not exist");
    server.rows("ALTER PIPELINE big RESUME; ALTER PIPELINE by_user RESUME").unwrap();
    server.send(&[order(1)]);
    server.wait_for(ORDERS, &["1"]);
    server.rows("DROP PIPELINE big; DROP MATERIALIZED VIEW by_user").unwrap();
    assert!(server.rows(STATES).unwrap().is_empty());
    server.stop();
}

#[test]
fn metrics_have_what_each_pipeline_and_operator_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    made(&server);
    server.send(&(0..3).map(order).collect::<Vec<_>>());
    server.wait_for(ORDERS, &["3"]);
    server.rows("ALTER PIPELINE by_user PAUSE").unwrap();
    server.send(&[order(4)]);
    server.wait_for("SELECT lag FROM sys.pipelines WHERE name = 'by_user'", &["1"]);
    let text = agent().get(format!("{}/metrics", server.url())).call().unwrap();
    let text = text.into_body().read_to_string().unwrap();
    for line in [
        r#"tradewind_pipeline_state{pipeline="by_user",state="paused"} 1"#,
        r#"tradewind_pipeline_state{pipeline="by_user",state="running"} 0"#,
        r#"tradewind_pipeline_lag_records{pipeline="by_user"} 1"#,
        r#"tradewind_operator_rows_in_total{pipeline="by_user",operator="aggregate-1"} 3"#,
        r#"tradewind_operator_state_rows{pipeline="by_user",operator="aggregate-1"} 3"#,
        "# TYPE tradewind_operator_busy_seconds_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    for series in [
        "tradewind_pipeline_checkpoint_seconds",
        "tradewind_pipeline_last_checkpoint_bytes",
        "tradewind_pipeline_ticks_total",
    ] {
        assert!(
            text.contains(&format!("{series}{{pipeline=\"by_user\"")),
            "{series} is not in {text}"
        );
    }
    server.rows("DROP MATERIALIZED VIEW by_user").unwrap();
    let text = agent().get(format!("{}/metrics", server.url())).call().unwrap();
    let text = text.into_body().read_to_string().unwrap();
    assert!(!text.contains(r#"tradewind_operator_rows_in_total{pipeline="by_user""#));
    server.stop();
}
