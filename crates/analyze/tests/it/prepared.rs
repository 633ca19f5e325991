//! Statements with parameters, settings of a connection, and transactions.

use crate::support::{ask, error, files_only, write};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use tradewind_analyze::{Answer, Dialect, Prepared, Session, TransactionStatus};

async fn prepare(session: &Session, sql: &str, types: &[Option<DataType>]) -> Prepared {
    let statement = session.parse(sql).unwrap().remove(0);
    session.prepare(&statement, types).await.unwrap()
}

async fn one(session: &mut Session, prepared: &Prepared, values: &[ScalarValue]) -> ScalarValue {
    let Answer::Rows(rows) = session.execute_prepared(prepared, values).await.unwrap() else {
        panic!("no rows");
    };
    let batches = rows.collect().await.unwrap();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
    ScalarValue::try_from_array(batch.column(0), 0).unwrap()
}

#[tokio::test]
async fn parameters_have_the_types_of_what_they_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "orders.csv", "id,price,at\n1,2.50,2024-01-02T03:04:05Z\n");
    let mut session = files_only();
    let typed = format!(
        "(SELECT CAST(id AS INT) AS id, CAST(price AS DECIMAL(12,2)) AS price FROM '{path}') AS o"
    );
    for (sql, types) in [
        (format!("SELECT * FROM {typed} WHERE id = $1"), vec![DataType::Int32]),
        (
            format!("SELECT * FROM {typed} WHERE price BETWEEN $1 AND $2 LIMIT $3"),
            vec![DataType::Decimal128(12, 2), DataType::Decimal128(12, 2), DataType::Int64],
        ),
        (format!("SELECT * FROM {typed} WHERE id IN ($2, $1)"), vec![DataType::Int32; 2]),
        ("SELECT $1::date, $2".into(), vec![DataType::Date32, DataType::Utf8]),
        ("SELECT $1 + 1".into(), vec![DataType::Int64]),
    ] {
        assert_eq!(prepare(&session, &sql, &[]).await.parameters, types, "{sql}");
    }
    let given = prepare(&session, "SELECT $1", &[Some(DataType::Int16)]).await;
    assert_eq!(given.parameters, [DataType::Int16]);
    assert_eq!(given.schema.as_ref().unwrap().field(0).data_type(), &DataType::Int16);
    let prepared =
        prepare(&session, &format!("SELECT price FROM {typed} WHERE price = $1"), &[]).await;
    let value = ScalarValue::Decimal128(Some(2_500_000), 7, 6);
    let found = one(&mut session, &prepared, &[value]).await;
    assert_eq!(found, ScalarValue::Decimal128(Some(250), 12, 2));
    let wrong = session.execute_prepared(&prepared, &[]).await.err().unwrap();
    assert_eq!(wrong.sqlstate(), "08P01");
}

#[tokio::test]
async fn values_keep_their_digits_and_nulls_their_types() {
    let mut session = files_only();
    let prepared = prepare(&session, "SELECT $1", &[Some(DataType::Decimal128(38, 10))]).await;
    let digits = 12_345_678_901_234_567_890_123_456_789_012_345_678_i128;
    let value = ScalarValue::Decimal128(Some(digits), 38, 3);
    assert_eq!(one(&mut session, &prepared, std::slice::from_ref(&value)).await, value);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let prepared = prepare(&session, "SELECT $1 IS NULL", &[Some(at.clone())]).await;
    let null = ScalarValue::try_new_null(&at).unwrap();
    assert_eq!(one(&mut session, &prepared, &[null]).await, ScalarValue::Boolean(Some(true)));
    let list = ScalarValue::List(ScalarValue::new_list_nullable(
        &[ScalarValue::Int64(Some(1)), ScalarValue::Int64(None)],
        &DataType::Int64,
    ));
    let prepared = prepare(&session, "SELECT array_length($1)", &[Some(list.data_type())]).await;
    assert_eq!(one(&mut session, &prepared, &[list]).await, ScalarValue::UInt64(Some(2)));
}

#[tokio::test]
async fn statements_without_rows_say_so() {
    let session = files_only();
    for sql in ["SET application_name = 'x'", "BEGIN", "COMMIT", "CREATE VIEW v AS SELECT 1"] {
        assert!(prepare(&session, sql, &[]).await.schema.is_none(), "{sql}");
    }
    for sql in ["SHOW application_name", "EXPLAIN SELECT $1", "SHOW CREATE TABLE x"] {
        let statement = session.parse(sql).unwrap().remove(0);
        match session.prepare(&statement, &[]).await {
            Ok(prepared) => assert!(prepared.schema.is_some(), "{sql}"),
            Err(error) => assert_eq!(error.sqlstate(), "42P01", "{sql}: {error}"),
        }
    }
    let statement = session.parse("SELECT $0").unwrap().remove(0);
    assert_eq!(session.prepare(&statement, &[]).await.unwrap_err().sqlstate(), "42P02");
}

#[tokio::test]
async fn errors_have_their_codes_and_places() {
    let mut session = files_only();
    for (sql, code, place) in [
        ("SELECT 1,\n  nothing FROM (SELECT 1 AS a) AS t", "42703", Some((2, 3))),
        ("SELECT * FROM nothing", "42P01", None),
        ("SELCT 1", "42601", Some((1, 1))),
        ("SELECT nothing(1)", "42883", None),
        ("SELECT 1/0", "22012", None),
        ("SELECT CAST('x' AS INT)", "22P02", None),
        ("SELECT CAST('x' AS DATE)", "22007", None),
        ("SET nothing = 1", "42704", None),
        ("SHOW nothing", "42704", None),
        ("SELECT a FROM (SELECT 1 AS a) AS t, (SELECT 2 AS a) AS u", "42702", None),
        ("SELECT * FROM nowhere.t", "3F000", None),
        ("FETCH 1 FROM c", "0A000", None),
    ] {
        let failed = match session.execute(sql).await {
            Ok(Answer::Rows(rows)) => rows.collect().await.err(),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let failed = failed.unwrap_or_else(|| panic!("{sql} was answered"));
        assert_eq!(failed.sqlstate(), code, "{sql}: {failed}");
        if let Some((line, column)) = place {
            let place = failed.place.unwrap_or_else(|| panic!("{sql}: {failed} has no place"));
            assert_eq!((place.line, place.column), (line, column), "{sql}: {failed}");
        }
    }
}

#[tokio::test]
async fn settings_hold_and_are_taken_back() {
    let mut session = files_only();
    session.connect("ann", &[("application_name", "test"), ("timezone", "Europe/Berlin")]).unwrap();
    assert_eq!(ask(&mut session, "SHOW application_name").await.unwrap(), "test");
    assert_eq!(ask(&mut session, "SHOW session_authorization").await.unwrap(), "ann");
    assert_eq!(
        ask(&mut session, "SHOW TRANSACTION ISOLATION LEVEL").await.unwrap(),
        "read committed"
    );
    for sql in [
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET extra_float_digits = 3",
        "SET TIME ZONE 'UTC'",
        "SET search_path TO a, \"B\"",
        "set datestyle to 'iso, ymd'",
        "SET dialect = flink",
    ] {
        assert_eq!(ask(&mut session, sql).await.unwrap(), "SET", "{sql}");
    }
    assert_eq!(session.dialect(), Dialect::Flink);
    assert_eq!(session.setting("search_path"), Some("a, B"));
    assert_eq!(session.setting("transaction_isolation"), Some("serializable"));
    assert_eq!(ask(&mut session, "DISCARD ALL").await.unwrap(), "DISCARD ALL");
    assert_eq!(session.setting("timezone"), Some("Europe/Berlin"));
    assert_eq!(session.setting("application_name"), Some("test"));
    assert_eq!(session.dialect(), Dialect::Postgres);
    let refused = error(&mut session, "SET datestyle = 'SQL'").await;
    assert!(refused.contains("invalid value for parameter \"DateStyle\""), "{refused}");
}

#[tokio::test]
async fn blocks_begin_fail_and_end() {
    let mut session = files_only();
    ask(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.unwrap();
    assert_eq!(session.transaction_status(), TransactionStatus::InBlock);
    assert_eq!(session.setting("transaction_isolation"), Some("repeatable read"));
    ask(&mut session, "SET application_name = 'inside'; SET LOCAL jit = on; SAVEPOINT a")
        .await
        .unwrap();
    assert_eq!(session.setting("jit"), Some("on"));
    error(&mut session, "SELECT * FROM nothing").await;
    assert_eq!(session.transaction_status(), TransactionStatus::Failed);
    let refused = session.execute("SELECT 1").await.err().unwrap();
    assert_eq!(refused.sqlstate(), "25P02");
    assert_eq!(session.execute("ROLLBACK TO b").await.err().unwrap().sqlstate(), "3B001");
    ask(&mut session, "ROLLBACK TO SAVEPOINT a").await.unwrap();
    assert_eq!(ask(&mut session, "SELECT 1").await.unwrap(), "1");
    let refused = session.execute("CREATE VIEW v AS SELECT 1").await.err().unwrap();
    assert_eq!(refused.sqlstate(), "25006");
    assert_eq!(ask(&mut session, "COMMIT").await.unwrap(), "ROLLBACK");
    assert_eq!(session.setting("application_name"), Some(""));
    ask(&mut session, "BEGIN; SET application_name = 'kept'; SET LOCAL jit = on").await.unwrap();
    assert_eq!(ask(&mut session, "COMMIT").await.unwrap(), "COMMIT");
    assert_eq!(session.setting("application_name"), Some("kept"));
    assert_eq!(session.setting("jit"), Some("off"));
    assert!(session.take_notices().is_empty());
    ask(&mut session, "COMMIT").await.unwrap();
    assert_eq!(session.take_notices()[0].sqlstate, "25P01");
    ask(&mut session, "BEGIN; BEGIN").await.unwrap();
    assert_eq!(session.take_notices()[0].sqlstate, "25001");
    assert_eq!(session.execute("DISCARD ALL").await.err().unwrap().sqlstate(), "25001");
}
