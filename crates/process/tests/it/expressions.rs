//! What expressions come to, exactly, and what they fail with.

use crate::support::World;
use tradewind_disk::SimDisk;

const SCRIPT: &str = "
    CREATE TABLE t (
        i INT, big BIGINT, price DECIMAL(18, 6), wide DECIMAL(38, 0), s STRING, at TIMESTAMP_LTZ(6),
        r ROW<a ROW<b STRING>>, tags ARRAY<STRING>
    ) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE out (a STRING) WITH ('connector' = 'delta');
";
const RECORD: &str = r#"{"i": 2147483647, "big": 9223372036854775807, "price": 19.995,
    "wide": 99999999999999999999999999999999999999, "s": "Tea, 12%", "r": {"a": {"b": "deep"}},
    "at": "2026-11-21T23:30:00.000001-02:00", "tags": ["x", "y"]}"#;

/// The only row's text, or the only dead letter's reason.
async fn evaluate(expression: &str) -> Result<String, String> {
    let world = World::new(SimDisk::new(1), "/data".as_ref(), SCRIPT).await;
    let engine = world.engine().await.unwrap();
    let insert = format!("INSERT INTO out SELECT CAST({expression} AS STRING) FROM t");
    world.create(&engine, "p", &insert).await;
    world.put(0, RECORD);
    let status = world.status(&engine, "p", |status| status.records_in == 1).await;
    match status.dead_letters {
        0 => Ok(world.texts("out", 1).await.remove(0)),
        _ => {
            let letter = world.texts("dead_letters", 1).await.remove(0);
            Err(letter.split('|').nth(4).unwrap().to_string())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn values() {
    let mut wrong = Vec::new();
    for (expression, expected) in [
        ("price * 3", "59.985000"),
        ("price * price", "399.800025000000"),
        ("price + 0.0000001", "19.9950001"),
        ("-price", "-19.995000"),
        ("CAST(price AS DECIMAL(18, 2))", "20.00"),
        ("CAST(-price AS DECIMAL(18, 2))", "-20.00"),
        ("CAST('0.005' AS DECIMAL(10, 2))", "0.01"),
        ("price / 3", "6.66500000000000000"),
        ("2.0 / 3", "0.666666666667"),
        ("wide * 10", "NULL"),
        ("CAST(price AS DECIMAL(3, 2))", "NULL"),
        ("0.1 + 0.2", "0.3"),
        ("i / 2", "1073741823"),
        ("CAST(i AS BIGINT) + 1", "2147483648"),
        ("at", "2026-11-22 01:30:00.000001"),
        ("CAST(at AS DATE)", "2026-11-22"),
        ("r.a.b", "deep"),
        ("t.r.a.b || '!'", "deep!"),
        ("tags[2]", "y"),
        ("UPPER(s)", "TEA, 12%"),
        ("SPLIT_INDEX(s, ', ', 1)", "12%"),
        ("SPLIT_INDEX(s, ',', 9)", "NULL"),
        ("TO_BASE64(s)", "VGVhLCAxMiU="),
        ("FROM_BASE64('VGVh')", "Tea"),
        ("JSON_VALUE('{\"a\": [{\"b\": 1.10}]}', '$.a[0].b')", "1.10"),
        ("JSON_VALUE('{\"a\": {}}', '$.a')", "NULL"),
        ("JSON_QUERY('{\"a\": {\"b\": 1}}', '$.a')", "{\"b\":1}"),
        ("JSON_EXISTS('{\"a\": null}', '$.a')", "FALSE"),
        ("TRY_CAST(s AS INT)", "NULL"),
        ("CASE WHEN i > 0 THEN 'up' ELSE 'down' END", "up"),
        ("COALESCE(NULLIF(i, i), 7)", "7"),
        ("s LIKE 'Tea%'", "TRUE"),
    ] {
        let found = evaluate(expression).await;
        if found.as_deref() != Ok(expected) {
            wrong.push(format!("{expression} is {found:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn failures() {
    let mut wrong = Vec::new();
    for (expression, expected) in [
        ("i + i", "Overflow"),
        ("big + 1", "Overflow"),
        ("big * 2", "Overflow"),
        ("-(-big - 1)", "Overflow"),
        ("i / (i - i)", "division by zero"),
        ("CAST(s AS INT)", "is no INT"),
        ("CAST(big AS INT)", "9223372036854775807 does not fit INT"),
        ("FROM_BASE64(s)", "from_base64: "),
    ] {
        match evaluate(expression).await {
            Err(reason) if reason.contains(expected) && reason.ends_with("(project-1)") => {}
            found => wrong.push(format!("{expression} is {found:?}, not {expected}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
