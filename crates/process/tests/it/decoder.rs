//! The JSON decoder against serde_json, and against integer arithmetic.

use crate::support::{MemoryLog, World, catalogue, insert_of, start_time_us};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Decimal128Type, Int64Type};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_disk::SimDisk;
use tradewind_process::stream::plan::plan_insert;
use tradewind_process::stream::source::{SourceEnvironment, open_source};
use tradewind_sql::Dialect;
use tradewind_types::{DeadLetter, Log, ManualClock, TopicSpec};

const TABLES: &str = "
    CREATE TABLE t (
        i BIGINT, s STRING, b BOOLEAN, d DECIMAL(18, 6), f DOUBLE, day DATE, at TIMESTAMP(6),
        r ROW<x INT, y ROW<z STRING>>, l ARRAY<INT>, rs ARRAY<ROW<n STRING, m BIGINT>>,
        m MAP<STRING, BIGINT>, raw BYTES
    ) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE strict (i BIGINT NOT NULL, r ROW<x INT NOT NULL>, l ARRAY<INT NOT NULL>)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE all_of_it (
        i BIGINT, s STRING, b BOOLEAN, d DECIMAL(18, 6), f DOUBLE, day DATE, at TIMESTAMP(6),
        r ROW<x INT, y ROW<z STRING>>, l ARRAY<INT>, rs ARRAY<ROW<n STRING, m BIGINT>>,
        m MAP<STRING, BIGINT>, raw BYTES
    ) WITH ('connector' = 'delta');
    CREATE TABLE strict_copy (i BIGINT NOT NULL, r ROW<x INT NOT NULL>, l ARRAY<INT NOT NULL>)
        WITH ('connector' = 'delta');
    CREATE TABLE one (i BIGINT) WITH ('connector' = 'delta');
    CREATE TABLE texts (s STRING) WITH ('connector' = 'delta');
";

/// Decodes records by what an insert reads.
fn decode(insert: &str, records: &[impl AsRef<[u8]>]) -> (RecordBatch, Vec<DeadLetter>) {
    let (catalogue, _dir) = catalogue(TABLES);
    let plan = plan_insert(&insert_of(insert), Dialect::Flink, &catalogue).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(MemoryLog::new());
        log.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
        for record in records {
            log.put("t", 0, Some(record.as_ref()));
        }
        let clock = Arc::new(ManualClock::at(start_time_us()));
        let environment = SourceEnvironment { log: Some(log), clock, name: "pipeline:p".into() };
        let mut source = open_source(&environment, &plan.sources[0], true).await.unwrap();
        let (mut rows, mut rejected, mut next_offset) = (Vec::new(), Vec::new(), 0);
        while next_offset < records.len() as i64 {
            for batch in source.poll(usize::MAX).await.unwrap() {
                rows.push(batch.batch);
                rejected.extend(batch.rejected);
                next_offset = batch.next_offset;
            }
        }
        assert_eq!(next_offset, records.len() as i64);
        (concat_batches(&source.schema(), &rows).unwrap(), rejected)
    })
}

const ALL: &str = "INSERT INTO all_of_it SELECT * FROM t";

/// A row as JSON, for comparison.
fn row(batch: &RecordBatch, row: usize) -> Value {
    let mut writer = arrow::json::writer::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(&batch.slice(row, 1)).unwrap();
    writer.finish().unwrap();
    serde_json::from_slice(&writer.into_inner()).unwrap()
}

#[test]
fn every_type_is_read() {
    let record = json!({
        "i": 42, "s": "a \"b\" \u{1F600}\n", "b": true, "d": "12.3456785", "f": 1.5,
        "day": "2026-11-21", "at": "2026-11-21T08:26:00.123456", "r": {"y": {"z": "deep"}, "x": -1},
        "l": [1, null, 3], "rs": [{"n": "a", "m": 1}, {"m": "2"}], "m": {"k": 1, "j": 2},
        "raw": "aGVsbG8=", "unknown": {"never": ["looked", "at"]},
    });
    let (batch, rejected) = decode(ALL, &[record.to_string()]);
    assert!(rejected.is_empty(), "{rejected:?}");
    let found = row(&batch, 0);
    for (name, expected) in [
        ("i", json!(42)),
        ("s", json!("a \"b\" \u{1F600}\n")),
        ("b", json!(true)),
        ("f", json!(1.5)),
        ("day", json!("2026-11-21")),
        ("at", json!("2026-11-21T08:26:00.123456")),
        ("r", json!({"x": -1, "y": {"z": "deep"}})),
        ("l", json!([1, null, 3])),
        ("rs", json!([{"n": "a", "m": 1}, {"n": null, "m": 2}])),
        ("m", json!({"k": 1, "j": 2})),
        ("raw", json!("68656c6c6f")),
        ("_partition", json!(0)),
        ("_offset", json!(0)),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    let decimals = batch.column_by_name("d").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(decimals.value(0), 12_345_679);
}

#[test]
fn a_text_column_over_anything_else_holds_the_json_as_sent() {
    let records = [
        r#"{"s": {"price":  1.10, "a":[ 1 ]}}"#,
        r#"{"s": 1.10}"#,
        r#"{"s": true}"#,
        r#"{"s": null}"#,
        r#"{}"#,
        r#"{"s": "first", "s": "second"}"#,
    ];
    let (batch, rejected) = decode("INSERT INTO texts SELECT s FROM t", &records);
    assert!(rejected.is_empty());
    let texts: Vec<_> = batch.column(0).as_string::<i32>().iter().collect();
    let expected = [
        Some(r#"{"price":  1.10, "a":[ 1 ]}"#),
        Some("1.10"),
        Some("true"),
        None,
        None,
        Some("first"),
    ];
    assert_eq!(texts, expected);
}

#[test]
fn a_bad_record_is_rejected_alone_with_its_path_and_position() {
    let cases = [
        (r#"{"i": "abc"}"#, "i: \"abc\" is no BIGINT"),
        (r#"{"i": 1.5}"#, "i: 1.5 has a fraction, and BIGINT has none"),
        (r#"{"i": 99999999999999999999}"#, "i: 99999999999999999999 does not fit BIGINT"),
        (r#"{"d": "1e30"}"#, "d: \"1e30\" does not fit DECIMAL(18, 6)"),
        (r#"{"day": "2026-02-30"}"#, "day: \"2026-02-30\" is no DATE such as \"2026-11-21\""),
        (r#"{"b": "maybe"}"#, "b: \"maybe\" is no BOOLEAN"),
        (r#"{"r": {"x": 1, "y": 7}}"#, "r.y: 7 is no object"),
        (r#"{"r": {"x": 1e10}}"#, "r.x: 1e10 does not fit INT"),
        (r#"{"rs": [{"m": 1}, {"m": []}]}"#, "rs[1].m: [] is no BIGINT"),
        (r#"{"l": {}}"#, "l: {} is no array"),
        (r#"{"raw": "***"}"#, "raw: \"***\" is no base64"),
        (r#"{"m": {"k": "x"}}"#, "m.k: \"x\" is no BIGINT"),
        ("[1]", "it is no JSON object"),
        ("", "it is no JSON object"),
        (r#"{"i": 1"#, "it is no JSON object"),
        (r#"{"i": 1} x"#, "it is no JSON object: there is text after it"),
    ];
    let mut records = Vec::new();
    for (text, _) in cases {
        records.push(text.to_string());
        records
            .push(r#"{"i": 7, "l": [1], "rs": [{"m": 1}], "m": {"a": 1}, "r": {"x": 1}}"#.into());
    }
    records.push("\u{0}".into());
    let mut records: Vec<Vec<u8>> = records.into_iter().map(String::into_bytes).collect();
    records.push(b"{\"s\": \"\xff\"}".to_vec());
    let (batch, rejected) = decode(ALL, &records);
    assert_eq!(batch.num_rows(), cases.len());
    let all = batch.column(0).as_primitive::<Int64Type>();
    assert!(all.iter().all(|value| value == Some(7)));
    assert_eq!(rejected.len(), cases.len() + 2);
    for ((text, reason), letter) in cases.iter().zip(&rejected) {
        assert!(letter.reason.starts_with(reason), "{text}: {} is not {reason}", letter.reason);
        assert_eq!(&letter.raw[..], text.as_bytes());
    }
    let places: Vec<_> = rejected.iter().map(|letter| letter.position.clone().unwrap().2).collect();
    let expected: Vec<i64> = (0..=cases.len() as i64).map(|place| place * 2).chain([33]).collect();
    assert_eq!(places, expected);
}

/// Every byte of a record replaced by every byte that means something: what serde_json refuses is a
/// dead letter that says so, and of what it takes the values are the same.
#[test]
fn serde_json_agrees_on_every_changed_byte() {
    let record = r#"{"noise": [true,false,null,{"x":-0.5e+7,"y":"\u00e9\\"}],"i":-1025,"d":12.5,"s":"l\u00e9 \"t\" é \\","m":{"k":1}, "l":[1,null],"r":{"x":7,"y":{"z":"deep"}}}"#;
    let mut changed = Vec::new();
    for at in 0..record.len() {
        for byte in b"\0\t\n\x1f \"\\/,:{}[]+-.0159aefnrtuE\x7f\xff" {
            let mut bytes = record.as_bytes().to_vec();
            bytes[at] = *byte;
            changed.push(bytes);
        }
    }
    let (batch, rejected) = decode(ALL, &changed);
    let offsets = batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>();
    let rows: BTreeMap<i64, usize> = offsets.values().iter().copied().zip(0..).collect();
    let letters: BTreeMap<i64, &DeadLetter> =
        rejected.iter().map(|letter| (letter.position.clone().unwrap().2, letter)).collect();
    assert_eq!(rows.len() + letters.len(), changed.len());
    let (mut taken, mut refused) = (0, 0);
    for (offset, bytes) in changed.iter().enumerate() {
        let text = String::from_utf8_lossy(bytes);
        let theirs = serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object);
        let letter = letters.get(&(offset as i64));
        // What is wrong first is said: a value that is none for its column, or broken text.
        let is_broken = letter.is_some_and(|one| one.reason.starts_with("it is no JSON object"));
        match &theirs {
            None => assert!(letter.is_some(), "{text} was taken"),
            Some(_) => assert!(!is_broken, "{text}: {}", letter.unwrap().reason),
        }
        *(if theirs.is_none() { &mut refused } else { &mut taken }) += 1;
        let (Some(theirs), Some(index)) = (theirs, rows.get(&(offset as i64))) else { continue };
        let ours = row(&batch, *index);
        // `-10e5` is a float to the one and a whole number to the other.
        assert_eq!(ours["i"].as_f64(), theirs.get("i").and_then(Value::as_f64), "{text}");
        if theirs.get("s").is_none_or(Value::is_string) {
            assert_eq!(ours["s"], theirs.get("s").cloned().unwrap_or_default(), "{text}");
        }
    }
    assert!(taken > 500 && refused > 2_000, "{taken} taken, {refused} refused");
}

#[test]
fn a_filter_sees_records_that_are_broken_before_its_field_alone() {
    let records = [
        r#"{"s": "no", "i": broken"#,
        r#"{"i": broken, "s": "no"}"#,
        r#"{"s": "yes", "i": broken}"#,
        r#"{"s": "yes", "i": 1} {}"#,
        r#"{"s": null, "i": 2}"#,
        r#"{"n": {"s": "yes"}, "i": 3}"#,
        r#"{"s": "yes", "s": "no", "i": 4}"#,
    ];
    let insert = "INSERT INTO one SELECT i FROM t WHERE s = 'yes'";
    let (batch, rejected) = decode(insert, &records);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [4]);
    let reasons: Vec<_> = rejected.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "it is no JSON object: a value is expected at byte 6",
            "it is no JSON object: a value is expected at byte 18",
            "it is no JSON object: there is text after it",
        ]
    );
}

#[test]
fn brackets_without_end_are_a_dead_letter() {
    for open in ["[", "{\"a\":"] {
        let record = format!("{{\"i\": 1, \"unknown\": {}", open.repeat(100_000));
        let (batch, rejected) = decode(ALL, &[record]);
        assert_eq!((batch.num_rows(), rejected.len()), (0, 1));
        assert!(
            rejected[0].reason.contains("too many brackets are open"),
            "{}",
            rejected[0].reason
        );
    }
}

#[test]
fn what_may_not_be_null_is_missed() {
    let records = [
        r#"{"i": 1, "r": {"x": 1}, "l": [1]}"#,
        r#"{"r": {"x": 1}}"#,
        r#"{"i": 1, "r": {}}"#,
        r#"{"i": 1, "l": [1, null]}"#,
        r#"{"i": 2}"#,
    ];
    let (batch, rejected) = decode("INSERT INTO strict_copy SELECT i, r, l FROM strict", &records);
    assert_eq!(batch.num_rows(), 2);
    let reasons: Vec<_> = rejected.iter().map(|letter| letter.reason.as_str()).collect();
    let missing = |path: &str| format!("{path}: it is NOT NULL and is missing");
    assert_eq!(reasons, [missing("i"), missing("r.x"), missing("l[1]")]);
}

#[test]
fn a_filter_keeps_the_decoder_from_what_it_would_throw_away() {
    // The second record's `i` is never looked at, so it is no dead letter.
    let records = [
        r#"{"s": "yes", "i": 1}"#,
        r#"{"i": "broken", "s": "no"}"#,
        r#"{"i": 2}"#,
        r#"{"s": "\u0079es", "i": 3}"#,
        r#"{"i": 4, "s": "maybe"}"#,
    ];
    let insert = "INSERT INTO one SELECT i FROM t WHERE s = 'yes' OR s = 'maybe'";
    let (batch, rejected) = decode(insert, &records);
    assert!(rejected.is_empty());
    let numbers: Vec<_> = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(numbers, [1, 3, 4]);
}

#[tokio::test]
async fn a_tombstone_is_passed_over_and_counted() {
    let world = World::new(SimDisk::new(1), "/data".as_ref(), TABLES).await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "one", "INSERT INTO one SELECT i FROM t").await;
    world.log.put("t", 0, None);
    world.put(0, r#"{"i": 1}"#);
    world.texts("one", 1).await;
    assert_eq!(engine.status("one").unwrap().sources[0].positions[&0], 2);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z\"\\\\/\n]{0,12}"]
}

/// A record whose fields fit the table, any of them absent, in any order.
fn any_record() -> impl Strategy<Value = Value> {
    let fields = (
        proptest::option::of(any::<i64>()),
        proptest::option::of(any_text()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(proptest::option::of((any::<Option<i32>>(), any_text()))),
        proptest::option::of(proptest::collection::vec(any::<Option<i32>>(), 0..4)),
        proptest::option::of(proptest::collection::vec((any_text(), any::<i64>()), 0..4)),
        any_text(),
    );
    fields.prop_map(|(i, s, b, r, l, rs, noise)| {
        let mut object = serde_json::Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(name.to_string(), value);
            }
        };
        put("rs", rs.map(|rs| rs.into_iter().map(|(n, m)| json!({"n": n, "m": m})).collect()));
        put("i", i.map(|i| json!(i)));
        put("noise", Some(json!([noise, {"i": [1, 2, {"s": noise}]}])));
        put("s", s.map(|s| json!(s)));
        put("b", b.map(|b| json!(b)));
        put("r", r.map(|r| r.map_or(Value::Null, |(x, z)| json!({"x": x, "y": {"z": z}}))));
        put("l", l.map(|l| json!(l)));
        Value::Object(object)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_what_serde_json_sees(
        records in proptest::collection::vec(any_record(), 1..20),
        pretty in any::<bool>(),
    ) {
        let text = |record: &Value| match pretty {
            true => serde_json::to_string_pretty(record).unwrap(),
            false => record.to_string(),
        };
        let texts: Vec<String> = records.iter().map(text).collect();
        let (batch, rejected) = decode(ALL, &texts);
        prop_assert!(rejected.is_empty());
        prop_assert_eq!(batch.num_rows(), records.len());
        for (index, record) in records.iter().enumerate() {
            let found = row(&batch, index);
            for name in ["i", "s", "b", "r", "l", "rs"] {
                let expected = record.get(name).cloned().unwrap_or(Value::Null);
                prop_assert_eq!(&found[name], &expected, "{} of {}", name, record);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_row_or_a_dead_letter(
        records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20)
    ) {
        let (batch, rejected) = decode(ALL, &records);
        prop_assert_eq!(batch.num_rows() + rejected.len(), records.len());
    }

    #[test]
    fn a_cut_record_is_a_dead_letter(record in any_record(), at in any::<prop::sample::Index>()) {
        let text = record.to_string();
        let cut = &text.as_bytes()[..at.index(text.len())];
        let (batch, rejected) = decode(ALL, &[cut]);
        prop_assert_eq!((batch.num_rows(), rejected.len()), (0, 1));
    }

    #[test]
    fn decimals_round_half_up_exactly(mantissa in -999_999_999_999_i64..999_999_999_999, scale in 0_u32..12) {
        let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let sign = if mantissa < 0 { "-" } else { "" };
        let point = if scale == 0 { "" } else { "." };
        let text = format!(r#"{{"d": {sign}{whole}{point}{fraction}}}"#);
        let (batch, rejected) = decode(ALL, &[text]);
        prop_assert!(rejected.is_empty());
        let found = batch.column_by_name("d").unwrap().as_primitive::<Decimal128Type>().value(0);
        let wide = i128::from(mantissa.abs()) * 1_000_000;
        let unit = 10_i128.pow(scale);
        let rounded = (2 * wide + unit) / (2 * unit);
        prop_assert_eq!(found, if mantissa < 0 { -rounded } else { rounded });
    }
}
