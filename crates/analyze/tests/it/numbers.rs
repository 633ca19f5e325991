//! Arithmetic: what does not fit its type fails.

use crate::support::{ask, columns, error, files_only, write};
use tradewind_analyze::{Dialect, Session};

const MAX: &str = "9223372036854775807";

/// Two BIGINT columns of a file. Read as text first: a file's long numbers are decimals.
fn pairs(folder: &tempfile::TempDir, rows: &[(&str, &str)]) -> String {
    let lines: String = rows.iter().map(|(a, b)| format!("{a},{b}\n")).collect();
    let file = write(folder.path(), "pairs.csv", format!("a,b\n{lines}"));
    format!("(SELECT CAST(a AS BIGINT) AS a, CAST(b AS BIGINT) AS b FROM '{file}')")
}

fn session(dialect: Dialect) -> Session {
    let mut session = files_only();
    session.set_dialect(dialect);
    session
}

#[tokio::test]
async fn integer_arithmetic_fails_where_it_wrapped() {
    for dialect in [Dialect::Postgres, Dialect::Flink] {
        let session = &mut session(dialect);
        for sum in [
            format!("{MAX} + 1"),
            format!("-{MAX} - 2"),
            "3037000500 * 3037000500".to_string(),
            format!("-(-{MAX} - 1)"),
            "CAST(2147483647 AS INT) + CAST(1 AS INT)".to_string(),
            "CAST(300 AS SMALLINT) * CAST(300 AS SMALLINT)".to_string(),
        ] {
            let said = error(session, &format!("SELECT {sum}")).await;
            assert!(said.starts_with("number out of range: "), "{dialect:?} {sum}: {said}");
        }
    }
    let said = error(&mut session(Dialect::Postgres), &format!("SELECT {MAX} + 1")).await;
    assert_eq!(
        said,
        "number out of range: 9223372036854775807 + 1 \
         (cast to a wider type first: CAST(... AS DECIMAL(38, 0)))"
    );
}

#[tokio::test]
async fn columns_fail_where_they_wrapped() {
    let folder = tempfile::tempdir().unwrap();
    let table = pairs(&folder, &[("1", "2"), (MAX, "1")]);
    let session = &mut files_only();
    for query in [
        format!("SELECT a + b FROM {table} p"),
        format!("SELECT a * 2 FROM {table} p"),
        format!("SELECT -a - a FROM {table} p"),
        format!("SELECT count(*) FROM {table} p WHERE a + b > 0"),
        format!("SELECT a + b, count(*) FROM {table} p GROUP BY a + b"),
        format!("SELECT sum(a + b) FROM {table} p"),
        format!("SELECT a FROM {table} p ORDER BY a + b"),
        format!("SELECT count(*) FROM {table} x JOIN {table} y ON x.a + x.b = y.b"),
        format!("SELECT a FROM {table} p WHERE a IN (SELECT a + b FROM {table} q)"),
        format!("SELECT (SELECT max(y.a) FROM {table} y WHERE y.b = x.b) + x.a FROM {table} x"),
        format!(
            "SELECT 1 FROM {table} x WHERE EXISTS (SELECT 1 FROM {table} y WHERE y.a = x.a + x.b)"
        ),
        format!("SELECT sum(a * 2) OVER (ORDER BY b) FROM {table} p"),
    ] {
        let said = error(session, &query).await;
        assert!(said.starts_with("number out of range: "), "{query}: {said}");
    }
}

#[tokio::test]
async fn what_fits_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let table = pairs(&folder, &[("1", "2"), ("5", ""), ("7", "3")]);
    let session = &mut files_only();
    let query = format!("SELECT a + b, a - b AS less, -a, a * b * 2 FROM {table} p ORDER BY a + a");
    assert_eq!(ask(session, &query).await.unwrap(), "3|-1|-1|4\n||-5|\n10|4|-7|42");
    let names = columns(session, &format!("SELECT a + b, a - b AS less FROM {table} p")).await;
    assert_eq!(names, ["p.a + p.b", "less"]);
    let grouped = format!(
        "SELECT a + 1, count(*) * 2, sum(a + 1) FROM {table} p GROUP BY a + 1 HAVING a + 1 > 2 \
         ORDER BY a + 1"
    );
    assert_eq!(ask(session, &grouped).await.unwrap(), "6|2|6\n8|2|8");
    assert_eq!(
        ask(session, &format!("SELECT a FROM {table} p LIMIT 1 + 1")).await.unwrap(),
        "1\n5"
    );
    let unreached = format!("SELECT CASE WHEN a < 100 THEN a ELSE {MAX} + a END FROM {table} p");
    assert_eq!(ask(session, &unreached).await.unwrap(), "1\n5\n7");
    assert_eq!(ask(session, &format!("SELECT -{MAX} - 1")).await.unwrap(), "-9223372036854775808");
    let wide = format!("SELECT CAST({MAX} AS DECIMAL(38, 0)) + 1");
    assert_eq!(ask(session, &wide).await.unwrap(), "9223372036854775808");
    assert_eq!(ask(session, "SELECT 1.5 + 1, 0.5e0 * 2").await.unwrap(), "2.5|1.0");
}
