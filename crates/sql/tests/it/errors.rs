//! A mistake is answered with its place, a reason, and where we know it what was meant.

use tradewind_sql::{Dialect, parse_script};

/// A script, and the whole answer to it.
const CASES: &[(&str, &str)] = &[
    (
        "SELEC 1",
        "line 1, column 1: expected an SQL statement, found SELEC (did you mean \"SELECT\"?)",
    ),
    (
        "SHOW TABLES;\n CRATE TABLE t (a INT)",
        "line 2, column 2: expected an SQL statement, found CRATE (did you mean \"CREATE\"?)",
    ),
    ("SELECT a FROM", "line 1, column 14: expected identifier, found EOF"),
    (
        "CREATE TABLE t (a STRNG)",
        "line 1, column 19: there is no type STRNG (did you mean \"STRING\"?)",
    ),
    (
        "CREATE TABLE t (a TIME)",
        "line 1, column 19: columns of type TIME are not supported (STRING keeps the value as text)",
    ),
    (
        "CREATE TABLE t (a DECIMAL(40, 2))",
        "line 1, column 26: DECIMAL(40, 2) cannot be: 1 to 38 digits, of which at most all are after the point",
    ),
    (
        "CREATE TABLE t (a TIMESTAMP(9))",
        "line 1, column 28: TIMESTAMP(9) is finer than microseconds (TIMESTAMP(6) is the finest)",
    ),
    (
        "CREATE TABLE t (a INT",
        "line 1, column 22: expected ',' or ')', found the end of the statement",
    ),
    (
        "CREATE TABLE t (a INT)",
        "line 1, column 14: the table names no 'connector' (WITH ('connector' = 'kafka', 'topic' = '…') or WITH ('connector' = 'delta'))",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafak')",
        "line 1, column 30: there is no connector \"kafak\" (did you mean \"kafka\"?)",
    ),
    (
        "CREATE TABLE t (a INT)\nWITH ('connector' = 'kafka', 'topik' = 'x')",
        "line 2, column 30: there is no option \"topik\" (did you mean \"topic\"?)",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x')",
        "line 1, column 30: the table needs a 'format' ('format' = 'json', 'csv' or 'raw')",
    ),
    (
        "CREATE TABLE t (a INT, b INT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'raw')",
        "line 1, column 14: format 'raw' needs exactly one column, of type STRING or BYTES",
    ),
    (
        "DROP TALBE t",
        "line 1, column 6: expected TABLE, VIEW, MATERIALIZED VIEW, PIPELINE or SCHEMA, found TALBE",
    ),
    ("DESCRIBE t u", "line 1, column 12: expected the end of the statement, found u"),
    ("SELECT 'abc", "line 1, column 8: unterminated string literal"),
];

#[test]
fn mistakes_have_places_and_hints() {
    for (text, expected) in CASES {
        assert_eq!(parse_script(text, Dialect::Flink).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn a_tables_parts_fit_together() {
    let with = "WITH ('connector' = 'delta')";
    let of_table = [
        ("a INT, a STRING", "column \"a\" is there twice"),
        (
            "abc INT, PRIMARY KEY (acb) NOT ENFORCED",
            "column \"acb\" does not exist, did you mean \"abc\"?",
        ),
        ("a INT, _offset BIGINT", "column \"_offset\" is ours: every table has it, hidden"),
        (
            "a INT, b AS a + 1",
            "column \"b\" is computed, and a lake table holds what is written to it",
        ),
    ];
    for (columns, expected) in of_table {
        let text = format!("CREATE TABLE t ({columns}) {with}");
        let error = parse_script(&text, Dialect::Flink).unwrap_err();
        assert_eq!((error.line, error.column, &*error.message), (1, 14, expected));
    }
    let key = format!("CREATE TABLE t (a INT, PRIMARY KEY (a)) {with}");
    let error = parse_script(&key, Dialect::Flink).unwrap_err().to_string();
    assert_eq!(
        error,
        "line 1, column 39: expected NOT ENFORCED, found ) (no table here checks its key)"
    );
}

#[test]
fn a_script_may_not_be_endless_or_bottomless() {
    let long = "-".repeat((1 << 20) + 1);
    assert!(parse_script(&long, Dialect::Flink).unwrap_err().message.contains("at most 1048576"));
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(parse_script(&deep, Dialect::Flink).unwrap_err().message.contains("nested too deeply"));
    let types = format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(50), ">".repeat(50));
    assert!(parse_script(&types, Dialect::Flink).unwrap_err().message.contains("16 levels"));
}
