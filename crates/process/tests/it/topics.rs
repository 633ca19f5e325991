//! Pipelines that write topics: what their records are, when readers see them, what is refused.

use crate::support::{Fault, Topics, Written, hangs, materialized, put, shown, wait_for};
use std::collections::BTreeSet;
use tradewind_log::LogStore;
use tradewind_process::{Engine, PipelineState};
use tradewind_sql::{Dialect, StatementKind, parse_script};
use tradewind_types::log::Isolation;
use tradewind_types::{Log, Record, TopicSpec, partition_of};

const SOURCE: &str = "
    CREATE TABLE t (id BIGINT, name STRING, price DECIMAL(10, 2), at TIMESTAMP_LTZ(3),
        tags ARRAY<STRING>, store_id STRING, h MAP<STRING, BYTES>)
    WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";

/// A world whose pipelines commit when they are asked to, but for what topics want.
async fn world(tables: &str, topics: &[(&str, i32)]) -> (Topics, LogStore, Engine) {
    let world = Topics::new(7, &format!("{SOURCE}{tables}"));
    let log = world.log_with(&[("t", 1)]).await;
    for (topic, partitions) in topics {
        log.create_topic(&TopicSpec::new(*topic, *partitions)).await.unwrap();
    }
    let engine = world.engine(&log).await.unwrap();
    (world, log, engine)
}

async fn committed(log: &LogStore, topic: &str, count: usize) -> Vec<Written> {
    for _ in 0..15_000 {
        let written = shown(log, topic, Isolation::ReadCommitted).await;
        if written.len() >= count {
            return written;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!(
        "{count} records were expected in {topic}, there are {:?}",
        shown(log, topic, Isolation::ReadUncommitted).await
    );
}

fn values(written: &[Written]) -> Vec<&str> {
    written.iter().map(|one| one.value.as_deref().unwrap_or("-")).collect()
}

#[tokio::test]
async fn a_row_is_a_record_with_key_headers_and_time() {
    let tables = "CREATE TABLE o (id BIGINT, name STRING, price DECIMAL(10, 2), at TIMESTAMP_LTZ(3),
            tags ARRAY<STRING>, sent TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
            place BIGINT METADATA FROM 'offset' VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers')
        WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'key.format' = 'json',
            'key.fields' = 'name; id', 'json.timestamp-format.standard' = 'ISO-8601');";
    let (world, log, engine) = world(tables, &[("o", 5)]).await;
    let sql = "INSERT INTO o SELECT id, name, price, at, tags, at, h FROM t";
    world.create(&engine, "p", sql).await.unwrap();
    let full = r#"{"id": 1, "name": "a\"é", "price": 12345678.90, "at": "2026-11-21T08:26:00.5Z", "tags": ["x", null], "h": {"source": "YcOp", "none": null}}"#;
    put(&log, "t", 0, full).await.unwrap();
    put(&log, "t", 0, r#"{"id": 2}"#).await.unwrap();
    let mut written = committed(&log, "o", 2).await;
    written.sort_by_key(|one| one.value.clone());
    assert_eq!(
        values(&written),
        [
            r#"{"id":1,"name":"a\"é","price":12345678.90,"at":"2026-11-21T08:26:00.5Z","tags":["x",null]}"#,
            r#"{"id":2,"name":null,"price":null,"at":null,"tags":null}"#,
        ]
    );
    let keys: Vec<_> = written.iter().map(|one| one.key.clone().unwrap()).collect();
    assert_eq!(keys, [r#"{"name":"a\"é","id":1}"#, r#"{"name":null,"id":2}"#]);
    for one in &written {
        assert_eq!(one.partition, partition_of(one.key.as_ref().unwrap().as_bytes(), 5));
    }
    assert_eq!(written[0].record.timestamp_ms, 1_795_249_560_500);
    // Without a time of its own it has the server's.
    assert_eq!(written[1].record.timestamp_ms, 1_795_249_560_000);
    let headers = &written[0].record.headers;
    let header = |name: &'static str, value: Option<&'static str>| {
        (bytes::Bytes::from(name), value.map(bytes::Bytes::from))
    };
    assert_eq!(*headers, [header("source", Some("aé")), header("none", None)]);
    assert!(written[1].record.headers.is_empty());
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_key_alone_has_its_columns_and_their_names_lose_a_prefix() {
    let tables = "
        CREATE TABLE o (k_id BIGINT, k_name STRING, price DECIMAL(10, 2))
        WITH ('connector' = 'kafka', 'topic' = 'o', 'value.format' = 'csv', 'key.format' = 'json',
            'key.fields' = 'k_id;k_name', 'key.fields-prefix' = 'k_',
            'value.fields-include' = 'EXCEPT_KEY', 'csv.null-literal' = 'n/a');
        CREATE TABLE raw (name STRING)
        WITH ('connector' = 'kafka', 'topic' = 'raw', 'format' = 'raw');
        CREATE TABLE lines (name STRING, id BIGINT, at TIMESTAMP_LTZ(3))
        WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'csv', 'sink.partitioner' = 'fixed');";
    let (world, log, engine) = world(tables, &[("o", 1), ("raw", 1), ("lines", 2)]).await;
    for (name, sql) in [
        ("o", "INSERT INTO o SELECT id, name, price FROM t"),
        ("raw", "INSERT INTO raw SELECT name FROM t"),
        ("lines", "INSERT INTO lines SELECT name, id, at FROM t"),
    ] {
        world.create(&engine, name, sql).await.unwrap();
    }
    let first = r#"{"id": 1, "name": "a,\"b", "price": 0.50, "at": "2026-11-21T08:26:00Z"}"#;
    put(&log, "t", 0, first).await.unwrap();
    put(&log, "t", 0, r#"{"id": 2}"#).await.unwrap();
    let written = committed(&log, "o", 2).await;
    assert_eq!(values(&written), ["0.50", "n/a"]);
    assert_eq!(written[0].key.as_deref(), Some(r#"{"id":1,"name":"a,\"b"}"#));
    assert_eq!(values(&committed(&log, "raw", 2).await), ["a,\"b", "-"]);
    let lines = committed(&log, "lines", 2).await;
    assert_eq!(values(&lines), ["\"a,\"\"b\",1,2026-11-21 08:26:00Z", ",2,"]);
    assert!(lines.iter().all(|one| one.partition == 0));
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_changing_result_is_one_record_a_key_and_tick_and_a_tombstone_at_last() {
    let tables = "CREATE TABLE counts (name STRING, n BIGINT, total DECIMAL(38, 2),
            PRIMARY KEY (name) NOT ENFORCED)
        WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'raw',
            'value.format' = 'json');";
    let (world, log, engine) = world(tables, &[("counts", 4)]).await;
    let sql = "INSERT INTO counts SELECT name, COUNT(*), SUM(price) FROM t
        GROUP BY name HAVING COUNT(*) < 3";
    world.create(&engine, "counts", sql).await.unwrap();
    let row = |name: &str| format!(r#"{{"id": 1, "name": "{name}", "price": 0.10}}"#);
    put(&log, "t", 0, &row("a")).await.unwrap();
    put(&log, "t", 0, &row("b")).await.unwrap();
    committed(&log, "counts", 2).await;
    put(&log, "t", 0, &row("a")).await.unwrap();
    committed(&log, "counts", 3).await;
    put(&log, "t", 0, &row("a")).await.unwrap();
    let written = committed(&log, "counts", 4).await;
    let of_a: Vec<Written> =
        written.iter().filter(|one| one.key.as_deref() == Some("a")).cloned().collect();
    assert_eq!(
        values(&of_a),
        [r#"{"name":"a","n":1,"total":0.10}"#, r#"{"name":"a","n":2,"total":0.20}"#, "-",]
    );
    let partitions: BTreeSet<_> = of_a.iter().map(|one| one.partition).collect();
    assert_eq!(partitions, [partition_of(b"a", 4)].into());
    let left = materialized(&written);
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        [("b".to_string(), r#"{"name":"b","n":1,"total":0.10}"#.to_string())]
    );
    engine.shutdown().await.unwrap();
}

/// What is written by key, value, headers and time is read back as the same rows.
#[tokio::test]
async fn keys_and_headers_are_read_as_they_were_written() {
    let columns = "k_id BIGINT, k_name STRING, price DECIMAL(10, 2), sent TIMESTAMP_LTZ(3)
        METADATA FROM 'timestamp', h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let tables = format!(
        "CREATE TABLE o ({columns}) WITH ('connector' = 'kafka', 'topic' = 'o',
            'value.format' = 'json', 'key.format' = 'json', 'key.fields' = 'k_id;k_name',
            'key.fields-prefix' = 'k_', 'value.fields-include' = 'EXCEPT_KEY');
        CREATE TABLE again (k_id BIGINT, k_name STRING, price DECIMAL(10, 2),
            sent TIMESTAMP_LTZ(3), h MAP<STRING, BYTES>)
            WITH ('connector' = 'kafka', 'topic' = 'again', 'format' = 'json');"
    );
    let (world, log, engine) = world(&tables, &[("o", 1), ("again", 1)]).await;
    let there = "INSERT INTO o SELECT id, name, price, at, h FROM t";
    world.create(&engine, "o", there).await.unwrap();
    let back = "INSERT INTO again SELECT k_id, k_name, price, sent, h FROM o";
    world.create(&engine, "again", back).await.unwrap();
    for id in 0..3 {
        let row = format!(
            r#"{{"id": {id}, "name": "n{id}", "price": "0.1{id}", "at": "2026-11-21T08:26:00.00{id}Z", "h": {{"trace": "bjA="}}}}"#
        );
        put(&log, "t", 0, &row).await.unwrap();
    }
    let read = committed(&log, "again", 3).await;
    let expected: Vec<String> = (0..3)
        .map(|id| {
            let fraction = if id == 0 { String::new() } else { format!(".00{id}") };
            format!(
                r#"{{"k_id":{id},"k_name":"n{id}","price":0.1{id},"sent":"2026-11-21 08:26:00{fraction}Z","h":{{"trace":"bjA="}}}}"#
            )
        })
        .collect();
    assert_eq!(values(&read), expected);
    // What others write may have no key, or none that can be read, or no value that can.
    put(&log, "o", 0, r#"{"price": 5}"#).await.unwrap();
    for (key, value) in [("{", r#"{"price": 6}"#), (r#"{"id": 7}"#, "no"), (r#"{"id": 8}"#, "{}")] {
        let record = Record {
            timestamp_ms: 1_795_249_560_000,
            key: Some(key.into()),
            value: Some(value.into()),
            ..Record::default()
        };
        log.append("o", 0, vec![record]).await.unwrap();
    }
    let read = committed(&log, "again", 5).await;
    assert_eq!(
        values(&read[3..]),
        [
            r#"{"k_id":null,"k_name":null,"price":5.00,"sent":"2026-11-21 08:26:00Z","h":{}}"#,
            r#"{"k_id":8,"k_name":null,"price":null,"sent":"2026-11-21 08:26:00Z","h":{}}"#,
        ]
    );
    engine.checkpoint_all().await.unwrap();
    let dead = world.lake().committed("dead_letters");
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert!(dead.iter().any(|(text, _, _)| text.contains("its key: ")), "{dead:?}");
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn at_least_once_is_seen_before_any_checkpoint() {
    let tables = "CREATE TABLE o (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'o',
        'format' = 'json', 'sink.delivery-guarantee' = 'at-least-once');";
    let (world, log, engine) = world(tables, &[("o", 1)]).await;
    world.create(&engine, "p", "INSERT INTO o SELECT id FROM t").await.unwrap();
    let before = engine.status("p").unwrap().epoch;
    put(&log, "t", 0, r#"{"id": 1}"#).await.unwrap();
    assert_eq!(values(&committed(&log, "o", 1).await), [r#"{"id":1}"#]);
    assert!(engine.status("p").unwrap().epoch <= before.max(1));
    assert!(log.writer().unwrap().ids().await.unwrap().is_empty());
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_row_that_fits_into_no_batch_is_a_dead_letter() {
    let tables = "CREATE TABLE o (id BIGINT, name STRING) WITH ('connector' = 'kafka',
        'topic' = 'o', 'format' = 'json');";
    let (world, log, engine) = world(tables, &[]).await;
    let settings = [("max.message.bytes".to_string(), "300".to_string())].into();
    log.create_topic(&TopicSpec { settings, ..TopicSpec::new("o", 1) }).await.unwrap();
    world.create(&engine, "p", "INSERT INTO o SELECT id, name FROM t").await.unwrap();
    let row = |id, length| {
        format!(r#"{{"id": {id}, "name": "{}", "store_id": "s"}}"#, "x".repeat(length))
    };
    for (id, length) in [(1, 10), (2, 400), (3, 20), (4, 190), (5, 205), (6, 220)] {
        put(&log, "t", 0, &row(id, length)).await.unwrap();
    }
    world.drained(&engine, "p").await;
    engine.checkpoint_all().await.unwrap();
    let written = shown(&log, "o", Isolation::ReadCommitted).await;
    let ids: Vec<&str> = values(&written).iter().map(|value| &value[6..7]).collect();
    let dead = world.lake().committed("dead_letters");
    assert_eq!(ids.len() + dead.len(), 6, "{ids:?} {dead:?}");
    assert_eq!((&ids[..3], dead.len()), (&["1", "3", "4"][..], 6 - ids.len()));
    let large = dead.iter().find(|(_, _, offset)| *offset == 1).unwrap();
    let reason = "bytes, and topic \"o\" takes 300 (`max.message.bytes`)";
    assert!(large.0.contains(reason) && large.0.contains("pipeline:p"), "{large:?}");
    let status = engine.status("p").unwrap();
    assert_eq!((status.dead_letters, status.rows_out), (dead.len() as u64, 6));
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_pipeline_that_stands_still_leaves_nothing_open() {
    let tables = "CREATE TABLE o (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'o',
        'format' = 'json');";
    let mut world = Topics::new(7, &format!("{SOURCE}{tables}"));
    world.settings.retry_attempts_max = 1;
    let log = world.log_with(&[("t", 1), ("o", 1)]).await;
    let lake = world.lake();
    let engine = world.engine_with(&log, lake.clone()).await.unwrap();
    for fault in [Fault::Panic, Fault::Write(9)] {
        lake.faults.lock().insert("dead_letters".into(), fault);
        let name = "p";
        if engine.status(name).is_err() {
            world.create(&engine, name, "INSERT INTO o SELECT id FROM t").await.unwrap();
        }
        // The row is written, and then the letter of the other one fails.
        put(&log, "t", 0, r#"{"id": 1}"#).await.unwrap();
        put(&log, "t", 0, "none").await.unwrap();
        let failed = || engine.status(name).ok().filter(|one| one.state == PipelineState::Failed);
        assert!(wait_for(failed).await.is_some(), "{:?}", engine.status(name));
        assert!(!hangs(&log, "o"), "{fault:?}");
        lake.faults.lock().clear();
        engine.resume(name).await.unwrap();
        world.drained(&engine, name).await;
        engine.checkpoint_all().await.unwrap();
    }
    assert_eq!(shown(&log, "o", Isolation::ReadCommitted).await.len(), 2);
    let all = shown(&log, "o", Isolation::ReadUncommitted).await.len();
    assert!(all > 2, "something was aborted: {all}");
    engine.drop_pipeline("p", false).await.unwrap();
    assert!(log.writer().unwrap().ids().await.unwrap().is_empty());
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_waited_for() {
    let tables = "CREATE TABLE o (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'o',
        'format' = 'json');";
    let (world, log, engine) = world(tables, &[]).await;
    world.create(&engine, "p", "INSERT INTO o SELECT id FROM t").await.unwrap();
    put(&log, "t", 0, r#"{"id": 1}"#).await.unwrap();
    let waits = || engine.status("p").ok().filter(|one| one.state == PipelineState::Waiting);
    let status = wait_for(waits).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("topic \"o\" does not exist"));
    log.create_topic(&TopicSpec::new("o", 1)).await.unwrap();
    assert_eq!(committed(&log, "o", 1).await.len(), 1);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_topic_cannot_take_is_refused() {
    let tables = "
        CREATE TABLE grows (name STRING, n BIGINT)
            WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
        CREATE TABLE counts (name STRING, n BIGINT, PRIMARY KEY (name) NOT ENFORCED)
            WITH ('connector' = 'upsert-kafka', 'topic' = 'o', 'key.format' = 'json',
                'value.format' = 'json');
        CREATE TABLE placed (name STRING, place BIGINT METADATA FROM 'offset')
            WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
        CREATE TABLE headed (name STRING, h MAP<STRING, STRING> METADATA FROM 'headers')
            WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');";
    let (world, _, engine) = world(tables, &[("o", 1)]).await;
    for (sql, expected) in [
        (
            "INSERT INTO grows SELECT name, COUNT(*) FROM t GROUP BY name",
            "rows of this query change, and \"grows\" only grows (use 'connector' = 'upsert-kafka' with a PRIMARY KEY, or GROUP BY windows of event time)",
        ),
        (
            "INSERT INTO placed SELECT name, id FROM t",
            "column \"place\" of \"placed\" is metadata \"offset\", which is read and not written (declare it METADATA VIRTUAL)",
        ),
        (
            "INSERT INTO headed SELECT name, h FROM t",
            "column \"h\" of \"headed\": metadata \"headers\" is MAP<STRING, BYTES>",
        ),
        (
            "INSERT INTO grows SELECT name, n FROM counts",
            "\"counts\" is written, not read: its records replace each other by key (declare the topic once more to read its records, with 'connector' = 'kafka')",
        ),
    ] {
        let error = world.create(&engine, "p", sql).await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{sql}: {error}");
    }
    engine.shutdown().await.unwrap();
}

#[test]
fn what_a_table_says_of_keys_and_delivery_is_checked() {
    let table = |columns: &str, options: &str| {
        let text = format!("CREATE TABLE o ({columns}) WITH ('topic' = 'o', {options})");
        parse_script(&text, Dialect::Flink).map(|mut all| match all.remove(0).kind {
            StatementKind::CreateTable(table) => table.definition,
            other => panic!("{other:?}"),
        })
    };
    for (columns, options, expected) in [
        (
            "a INT",
            "'connector' = 'upsert-kafka', 'key.format' = 'json', 'value.format' = 'json'",
            "an 'upsert-kafka' table needs a PRIMARY KEY (…) NOT ENFORCED",
        ),
        (
            "a INT, PRIMARY KEY (a) NOT ENFORCED",
            "'connector' = 'upsert-kafka', 'value.format' = 'json'",
            "an 'upsert-kafka' table needs a 'key.format'",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'key.fields' = 'a'",
            "'key.fields' needs a 'key.format'",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'key.format' = 'json'",
            "'key.format' needs 'key.fields'",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'b'",
            "column \"b\" does not exist",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'key.format' = 'raw', 'key.fields' = 'a'",
            "'key.format' = 'raw' needs a key of exactly one column, of type STRING or BYTES",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'a', 'key.fields-prefix' = 'k_'",
            "a prefix of the key's fields is for values without them",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'sink.delivery-guarantee' = 'exactly-onc'",
            "there is no delivery guarantee \"exactly-onc\" (did you mean \"exactly-once\"?)",
        ),
        (
            "a INT",
            "'connector' = 'kafka', 'format' = 'json', 'json.timestamp-format.standard' = 'RFC'",
            "\"json.timestamp-format.standard\" is \"RFC\" (SQL or ISO-8601)",
        ),
    ] {
        let error = table(columns, options).unwrap_err().to_string();
        assert!(error.contains(expected), "{options}: {error}");
    }
    let options = "'connector' = 'kafka', 'format' = 'json', 'properties.acks' = 'all',
        'properties.transaction.timeout.ms' = '900000', 'sink.parallelism' = '4',
        'sink.transactional-id-prefix' = 'shop', 'sink.delivery-guarantee' = 'none'";
    let definition = table("a INT", options).unwrap();
    let prefix = definition.topic().unwrap().writing.transactional_id_prefix.clone();
    assert_eq!(prefix.as_deref(), Some("shop"));
}

/// The statements of the page on SQL, over a stream of orders.
#[tokio::test]
async fn the_example_of_the_documentation_runs() {
    let page = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md"),
    );
    let page = page.unwrap();
    let section = page.split("### Writing topics").nth(1).unwrap();
    let script = section.split("```sql flink").nth(1).unwrap().split("```").next().unwrap();
    let is_table = |part: &&str| part.trim_start().starts_with("CREATE TABLE");
    let parts: Vec<&str> = script.split(';').filter(|part| !part.trim().is_empty()).collect();
    let tables: Vec<&str> = parts.iter().copied().filter(is_table).collect();
    let world = Topics::new(7, &format!("{};", tables.join(";")));
    let log = world.log_with(&[("shop_orders", 1), ("paid_orders", 2), ("revenue", 2)]).await;
    let engine = world.engine(&log).await.unwrap();
    for (name, sql) in ["paid_orders", "revenue"].iter().zip(parts.iter().filter(|p| !is_table(p)))
    {
        world.create(&engine, name, sql.trim()).await.unwrap();
    }
    for (id, country, paid) in [(1, "de", true), (2, "de", false), (3, "fr", true)] {
        let row = format!(
            r#"{{"order_id": "o{id}", "country": "{country}", "total": {id}.50, "at": "2026-11-21T08:26:00Z", "paid": {paid}}}"#
        );
        put(&log, "shop_orders", 0, &row).await.unwrap();
    }
    for name in ["paid_orders", "revenue"] {
        world.drained(&engine, name).await;
    }
    engine.checkpoint_all().await.unwrap();
    let paid = shown(&log, "paid_orders", Isolation::ReadCommitted).await;
    let mut keys: Vec<_> = paid.iter().map(|one| one.key.as_deref().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["o1", "o3"]);
    let revenue = materialized(&shown(&log, "revenue", Isolation::ReadCommitted).await);
    let revenue: Vec<&str> = revenue.values().map(String::as_str).collect();
    assert_eq!(
        revenue,
        [
            r#"{"country":"de","orders":2,"total":4.00}"#,
            r#"{"country":"fr","orders":1,"total":3.50}"#
        ]
    );
    engine.shutdown().await.unwrap();
}
