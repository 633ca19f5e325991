//! Sessions of the `flink` dialect give Flink's answers; those of `postgres` have none of it.

use crate::support::{ask, error, files_only, write};
use tradewind_analyze::{Dialect, Session};

fn flink() -> Session {
    let mut session = files_only();
    session.set_dialect(Dialect::Flink);
    session
}

/// `id`, `shop`, `amount`, `quantity`.
fn orders(folder: &tempfile::TempDir) -> String {
    let rows = "1,a,12.50,2\n2,b,8.00,1\n3,a,16.00,2\n4,b,6.25,\n5,,,3\n";
    let file = write(folder.path(), "orders.csv", format!("id,shop,amount,quantity\n{rows}"));
    format!(
        "(SELECT CAST(id AS INT) AS id, shop, CAST(amount AS DECIMAL(10, 2)) AS amount, \
         CAST(quantity AS INT) AS quantity FROM '{file}')"
    )
}

#[tokio::test]
async fn arithmetic_and_casts_are_flinks() {
    let session = &mut flink();
    for (expression, expected) in [
        ("CAST(10 AS DECIMAL(10, 2)) / 3", "3.3333333333333"),
        ("CAST(1 AS DECIMAL(10, 0)) / CAST(6 AS DECIMAL(10, 0))", "0.16666666667"),
        ("7 / 2", "3"),
        ("CAST(1.5 AS STRING)", "1.5"),
        ("CAST(1e10 AS STRING)", "1.0E10"),
        ("CAST(TRUE AS STRING)", "TRUE"),
        ("CAST(TIMESTAMP '2024-01-01 10:20:30.500' AS STRING)", "2024-01-01 10:20:30.500"),
        ("CAST(' 5.9 ' AS INT)", "5"),
        ("TRY_CAST('x' AS INT)", ""),
        ("TRY_CAST(300 AS TINYINT)", ""),
        ("SPLIT('a,b', ',')[2]", "b"),
        ("EXTRACT(DOW FROM DATE '2024-02-29')", "5"),
        ("DATE_FORMAT(TIMESTAMP '2024-02-29 10:20:30', 'dd.MM.yyyy')", "29.02.2024"),
    ] {
        let found = ask(session, &format!("SELECT {expression} AS v")).await;
        assert_eq!(found.unwrap(), expected, "{expression}");
    }
    for expression in ["CAST(300 AS TINYINT)", "CAST('x' AS INT)", "'a' + 1"] {
        error(session, &format!("SELECT {expression}")).await;
    }
}

#[tokio::test]
async fn aggregates_are_flinks() {
    let folder = tempfile::tempdir().unwrap();
    let orders = orders(&folder);
    let session = &mut flink();
    let query = format!(
        "SELECT shop, SUM(quantity), AVG(quantity), SUM(amount), AVG(amount), COUNT(*), \
         SUM(DISTINCT quantity) \
         FROM {orders} AS o GROUP BY shop ORDER BY shop"
    );
    assert_eq!(
        ask(session, &query).await.unwrap(),
        "a|4|2|28.50|14.250000|2|2\nb|1|1|14.25|7.125000|2|1\n|3|3|||1|3"
    );
    let types = format!(
        "SELECT arrow_typeof(SUM(quantity)), arrow_typeof(AVG(quantity)), \
         arrow_typeof(SUM(amount)), arrow_typeof(AVG(amount)) FROM {orders} AS o"
    );
    assert_eq!(
        ask(session, &types).await.unwrap(),
        "Int32|Int32|Decimal128(38, 2)|Decimal128(38, 6)"
    );
    // An average of integers is cut: 8 / 4; the sums of both shops stand beside it.
    let over = format!(
        "SELECT id, SUM(quantity) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) \
         FROM {orders} AS o ORDER BY id"
    );
    assert_eq!(ask(session, &over).await.unwrap(), "1|2\n2|3\n3|3\n4|2\n5|3");
    let said =
        error(session, &format!("SELECT SUM(CAST(2147483647 AS INT)) FROM {orders} AS o")).await;
    assert!(said.contains("SUM does not fit INT"), "{said}");
}

#[tokio::test]
async fn the_zone_is_the_sessions() {
    let session = &mut flink();
    ask(session, "SET 'table.local-time-zone' = 'Europe/Berlin'").await.unwrap();
    let instant = "TO_TIMESTAMP_LTZ('2024-07-01 12:00:00')";
    let query = format!("SELECT CAST({instant} AS STRING), EXTRACT(HOUR FROM {instant})");
    let found = ask(session, &query).await.unwrap();
    assert!(found.starts_with("2024-07-01 14:00:00") && found.ends_with("|14"), "{found}");
}

#[tokio::test]
async fn postgres_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let orders = orders(&folder);
    let session = &mut files_only();
    let query = format!("SELECT AVG(quantity), 7 / 2, CAST(TRUE AS VARCHAR) FROM {orders} AS o");
    assert_eq!(ask(session, &query).await.unwrap(), "2.0|3|true");
    error(session, "SELECT SPLIT('a,b', ',')").await;
    // A pattern that means nothing to it.
    let formatted = "SELECT DATE_FORMAT(TIMESTAMP '2024-02-29 10:20:30', 'dd.MM.yyyy')";
    assert_eq!(ask(session, formatted).await.unwrap(), "dd.MM.yyyy");
}
