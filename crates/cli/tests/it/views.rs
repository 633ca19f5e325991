//! Materialized views over the whole server: made, read, followed, kept over a kill, dropped.

use crate::support::{PATIENCE, Served, agent, order, run, tradewind};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

/// Server-sent events, as they come.
struct Events {
    lines: std::io::Lines<BufReader<Box<dyn std::io::Read + Send + Sync>>>,
}

/// One event: its name, its id, its data.
type Event = (String, String, Value);

impl Events {
    fn of(server: &Served, view: &str, after: Option<&str>) -> Self {
        Self::at(server, &format!("/api/subscribe?view={view}"), after)
    }

    fn at(server: &Served, path: &str, after: Option<&str>) -> Self {
        let mut request = agent().get(format!("{}{path}", server.url()));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.call().unwrap();
        assert_eq!(response.status(), 200);
        let reader: Box<dyn std::io::Read + Send + Sync> =
            Box::new(response.into_body().into_reader());
        Self { lines: BufReader::new(reader).lines() }
    }

    fn next(&mut self) -> Event {
        let (mut name, mut id, mut data) = (String::new(), String::new(), String::new());
        loop {
            let line = self.lines.next().unwrap().unwrap();
            match line.split_once(": ") {
                Some(("event", text)) => name = text.to_string(),
                Some(("id", text)) => id = text.to_string(),
                Some(("data", text)) => data.push_str(text),
                _ if line.is_empty() && !name.is_empty() => {
                    return (name, id, serde_json::from_str(&data).unwrap());
                }
                _ => {}
            }
        }
    }
}

const GROSS: &str = "SELECT orders, gross, net FROM sales_per_day WHERE currency = 'EUR'";

#[test]
fn a_view_follows_the_stream_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    server.send(&[order(1), order(2)]);
    server.wait_for(GROSS, &["2", "60.200000", "60.200000"]);
    let mut events = Events::of(&server, "sales_per_day", None);
    let (name, first_id, snapshot) = events.next();
    assert_eq!(name, "snapshot");
    let gross = snapshot["columns"].as_array().unwrap();
    let gross = gross.iter().position(|column| column["name"] == "gross").unwrap();
    assert_eq!(snapshot["rows"][0][gross], "60.200000");
    server.send(&[order(3)]);
    let (name, id, changes) = events.next();
    assert_eq!(name, "changes");
    assert_eq!(changes["delete"][0][gross], "60.200000");
    assert_eq!(changes["insert"][0][gross], "90.300000");
    // Whoever comes back with the token before this change is sent the change again.
    let mut again = Events::of(&server, "sales_per_day", Some(&first_id));
    assert_eq!(again.next(), ("changes".to_string(), id.clone(), changes));
    server.kill();
    let server = Served::start(folder.path(), &[]);
    server.wait_for(GROSS, &["3", "90.300000", "90.300000"]);
    // What the earlier process kept of changes is gone with it: the client begins anew.
    let mut events = Events::of(&server, "sales_per_day", Some(&id));
    assert_eq!(events.next().0, "reset");
    assert_eq!(events.next().0, "snapshot");
    server.stop();
}

#[test]
fn several_views_are_followed_over_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    server.send(&[order(1), order(2)]);
    server.wait_for(GROSS, &["2", "60.200000", "60.200000"]);
    let path = "/api/live?view=sales_per_day&where=currency%20=%20'USD'&view=by_user\
                &view=sales_per_day&where=orders%20%3E=%203&view=product_sales&where=no_column%20=%201";
    let mut events = Events::at(&server, path, None);
    let first: Vec<Event> = (0..4).map(|_| events.next()).collect();
    let of = |at: u64| first.iter().find(|(_, _, data)| data["at"] == at).unwrap();
    // No order in dollars, no day of three orders; one view that is not there, one wrong condition.
    assert_eq!((of(0).0.as_str(), of(0).2["rows"].to_string()), ("snapshot", "[]".into()));
    assert_eq!((of(2).0.as_str(), of(2).2["last"].to_string()), ("snapshot", "true".into()));
    assert_eq!(of(2).2["rows"], serde_json::json!([]));
    assert!(of(1).2["reason"].to_string().contains("does not exist"), "{first:?}");
    assert!(of(3).2["reason"].to_string().contains("no_column"), "{first:?}");
    let before = first.last().unwrap().1.clone();
    let tokens: Vec<&str> = before.split(',').collect();
    assert!(tokens.len() == 4 && !tokens[0].is_empty() && tokens[1].is_empty(), "{before}");
    server.send(&[order(3)]);
    let (name, id, changes) = events.next();
    assert_eq!((name.as_str(), changes["at"].as_u64()), ("changes", Some(2)));
    assert_eq!(changes["delete"], serde_json::json!([]));
    assert!(changes["insert"].to_string().contains("90.300000"), "{changes}");
    // It comes to be, and is followed without asking again.
    let made = "CREATE MATERIALIZED VIEW by_user AS SELECT user_id, COUNT(*) AS orders FROM order_events_stream GROUP BY user_id";
    server.rows(&format!("SET 'dialect' = 'flink'; {made}")).unwrap_or_default();
    while events.next().2["at"] != 1 {}
    // Whoever comes back with the tokens before the change is sent the change alone.
    let mut again = Events::at(&server, path, Some(&before));
    let resent = loop {
        let event = again.next();
        assert_ne!((event.0.as_str(), event.2["at"].as_u64()), ("snapshot", Some(2)));
        if event.2["at"] == 2 {
            break event;
        }
    };
    assert_eq!((resent.0.as_str(), &resent.2), ("changes", &changes));
    server.kill();
    let server = Served::start(folder.path(), &[]);
    let mut events = Events::at(&server, path, Some(&id));
    let mut of_view = |wanted: u64| loop {
        let event = events.next();
        if event.2["at"] == wanted && event.0 != "missing" {
            return event;
        }
    };
    assert_eq!(of_view(2).0, "reset");
    let (name, _, snapshot) = of_view(2);
    assert_eq!(name, "snapshot");
    assert!(snapshot["rows"].to_string().contains("90.300000"), "{snapshot}");
    server.stop();
}

#[test]
fn views_are_made_explained_listed_and_dropped_in_sql() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(folder.path(), &[]);
    let flink = |sql: &str| server.rows(&format!("SET 'dialect' = 'flink'; {sql}"));
    server.send(&[order(1), order(2)]);
    flink("CREATE MATERIALIZED VIEW by_user AS SELECT user_id, COUNT(*) AS orders FROM order_events_stream GROUP BY user_id").unwrap_or_default();
    server.wait_for("SELECT SUM(orders) FROM by_user", &["2"]);
    let plan =
        flink("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n FROM events_stream");
    let plan = plan.unwrap().concat().concat();
    assert!(plan.contains("aggregate-1") && plan.contains("materialize-1"), "{plan}");
    let shown = flink("SHOW MATERIALIZED VIEWS").unwrap().concat();
    assert!(shown.contains(&"by_user".to_string()), "{shown:?}");
    let columns =
        "SELECT name, data_type FROM sys.columns WHERE table_name = 'by_user' ORDER BY position";
    assert_eq!(server.rows(columns).unwrap(), [["user_id", "STRING"], ["orders", "BIGINT"]]);
    let taken = server.rows("DROP PIPELINE by_user").unwrap_err();
    assert!(taken.contains("DROP MATERIALIZED VIEW"), "{taken}");
    let _ = server.rows("DROP MATERIALIZED VIEW by_user");
    let gone = server.rows("SELECT * FROM by_user").unwrap_err();
    assert!(gone.contains("does not exist"), "{gone}");
    server.stop();
}

#[test]
fn words_of_a_socket_are_counted_as_flink_counts_them() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/flink_word_count/query.sql"
    ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("query.sql");
    std::fs::write(&file, script.unwrap().replace("'8888'", &format!("'{port}'"))).unwrap();
    let mut child =
        tradewind().args(["run", file.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut table = std::collections::BTreeMap::new();
    for (line, words) in [("to be or not to be", 4), ("to be is to do", 4)] {
        use std::io::Write;
        writeln!(connection, "{line}").unwrap();
        // What a line changes is printed before the next one is sent.
        let mut seen = std::collections::BTreeSet::new();
        let deadline = Instant::now() + PATIENCE;
        while seen.len() < words {
            assert!(Instant::now() < deadline, "{table:?}");
            let text = printed.next().unwrap().unwrap();
            let (kind, row) = text.split_at(2);
            let (word, count) = row[1..row.len() - 1].split_once(", ").unwrap();
            match kind {
                "+I" | "+U" => {
                    seen.insert(word.to_string());
                    table.insert(word.to_string(), count.to_string());
                }
                _ => assert_eq!(table.remove(word).as_deref(), Some(count), "{text}"),
            }
        }
    }
    drop(connection);
    assert!(child.wait().unwrap().success());
    let expected = [("be", "3"), ("do", "1"), ("is", "1"), ("not", "1"), ("or", "1"), ("to", "4")];
    let expected = expected.map(|(word, count)| (word.to_string(), count.to_string()));
    assert_eq!(table, expected.into());
}

#[test]
fn a_script_runs_to_the_end_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("in.json"),
        "{\"w\":\"be\"}\n{\"w\":\"to\"}\n{\"w\":\"be\"}\n",
    )
    .unwrap();
    let script = format!(
        "CREATE TABLE t (w STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
         SELECT w, COUNT(*) AS n FROM t GROUP BY w;",
        folder.path().join("in.json").display()
    );
    let file = folder.path().join("s.sql");
    std::fs::write(&file, script).unwrap();
    let output = run(&["run", file.to_str().unwrap(), "--stats"]);
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect();
    lines.sort();
    assert_eq!(lines, ["+I[be, 2]", "+I[to, 1]"]);
    let stats = String::from_utf8(output.stderr).unwrap();
    assert!(stats.starts_with("3 rows in, 2 out, "), "{stats}");
    std::fs::write(&file, "SELECT 1;\nSELECT missing FROM nothing;").unwrap();
    let output = run(&["run", file.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("s.sql:"), "{error}");
}
