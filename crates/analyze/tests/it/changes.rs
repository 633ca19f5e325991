//! Statements that change tables: rows in, out and changed, tables made, renamed and dropped.

use crate::support::{ask, columns, error};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream;
use std::path::Path;
use std::sync::Arc;
use tradewind_analyze::{
    AnalyzeError, Asked, ChangeStream, Control, Dialect, PipelineRow, Platform, PlatformParts,
    Session,
};
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings, TableSpec};
use tradewind_sql::{
    Catalogue, ObjectKind, Owner, PipelineStatement, StatementKind, TableDefinition,
};
use tradewind_types::{Source, SystemClock};

/// What the binary does of it, without pipelines.
struct Hands {
    catalogue: Arc<Catalogue>,
    lake: Lake,
}

#[async_trait]
impl Control for Hands {
    async fn run(&self, asked: Asked<'_>) -> Result<String, AnalyzeError> {
        let user = |error: tradewind_sql::CatalogueError| AnalyzeError::user(error.to_string());
        match &asked.statement.kind {
            StatementKind::CreateTable(table) => {
                self.catalogue.create_table(table, &Owner::Sql).map_err(user)?;
                let made = self.catalogue.table(&table.definition.name).unwrap();
                if made.is_lake() {
                    self.lake.create_table(&spec(&made)).await.unwrap();
                }
                Ok("CREATE TABLE".into())
            }
            StatementKind::CreateView(view) => {
                self.catalogue.create_view(view, asked.dialect, &Owner::Sql).map_err(user)?;
                Ok("CREATE VIEW".into())
            }
            StatementKind::Drop { kind, name, if_exists, .. } => {
                let folder = self.catalogue.table(name).map(|table| table.folder);
                self.catalogue.drop_object(*kind, name, *if_exists).map_err(user)?;
                if let Some(folder) = folder.filter(|_| *kind == ObjectKind::Table) {
                    self.lake.drop_table(&folder).await.unwrap();
                }
                Ok(format!("DROP {}", kind.name().to_uppercase()))
            }
            StatementKind::Insert(_) => Ok("CREATE PIPELINE".into()),
            other => panic!("{other:?}"),
        }
    }

    fn explain(&self, _: &PipelineStatement, _: Dialect) -> Result<String, AnalyzeError> {
        Ok("a pipeline".into())
    }

    fn view(&self, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>), AnalyzeError> {
        Err(AnalyzeError::user(format!("there is no view {name}")))
    }

    async fn pipelines(&self) -> Vec<PipelineRow> {
        Vec::new()
    }

    async fn subscribe(
        &self,
        view: &str,
        _: Option<&str>,
    ) -> Result<Box<dyn ChangeStream>, AnalyzeError> {
        Err(AnalyzeError::user(format!("there is no view {view}")))
    }

    fn open_topic(&self, _: &TableDefinition, _: &[&str]) -> Result<Box<dyn Source>, AnalyzeError> {
        Err(AnalyzeError::user("there are no topics"))
    }
}

fn spec(table: &TableDefinition) -> TableSpec {
    TableSpec {
        name: table.folder.clone(),
        schema: table.schema(),
        partition_columns: table.partitioned_by.clone(),
    }
}

/// Opens a data folder as a start of the server does.
async fn open(dir: &Path) -> (Platform, Lake) {
    let (clock, folder) = (Arc::new(SystemClock), dir.join("lake"));
    let lake = Lake::open(
        Arc::new(OsDisk),
        &folder,
        LakeSettings::default(),
        Arc::clone(&clock) as Arc<dyn tradewind_types::Clock>,
    );
    let lake = lake.await.unwrap();
    let catalogue = Arc::new(Catalogue::open(&dir.join("catalogue"), clock).unwrap());
    let tables: Vec<_> =
        catalogue.relations().iter().filter_map(|relation| relation.table().cloned()).collect();
    let lakes = tables.iter().filter(|table| table.is_lake());
    lake.settle_all(&lakes.clone().map(|table| table.folder.clone()).collect()).await.unwrap();
    for table in lakes {
        lake.create_table(&spec(table)).await.unwrap();
    }
    let hands = Hands { catalogue: Arc::clone(&catalogue), lake: lake.clone() };
    let parts = PlatformParts {
        catalogue: Some(catalogue),
        lake: Some(lake.clone()),
        control: Some(Arc::new(hands)),
        ..PlatformParts::default()
    };
    (Platform::new(parts).unwrap(), lake)
}

async fn session(dir: &Path) -> Session {
    open(dir).await.0.session()
}

async fn script(session: &mut Session, statements: &[(&str, &str)]) {
    for (sql, expected) in statements {
        let answer = ask(session, sql).await;
        assert_eq!(answer.unwrap_or_else(|error| format!("error: {error}")), *expected, "{sql}");
    }
}

#[tokio::test]
async fn rows_are_inserted_as_postgresql_assigns_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    let all = "SELECT * FROM t ORDER BY id";
    let steps = [
        (
            "CREATE TABLE t (id INT NOT NULL, price NUMERIC(6, 2), day DATE, at TIMESTAMP, ok BOOLEAN, note TEXT)",
            "CREATE TABLE",
        ),
        (
            "INSERT INTO t VALUES (1, 1.005, '2024-02-29', '2024-02-29 10:00:00', 't', 'a'), (2, NULL, NULL, DEFAULT, false, DEFAULT)",
            "INSERT 0 2",
        ),
        ("INSERT INTO t (note, id) VALUES ('b', '3')", "INSERT 0 1"),
        ("INSERT INTO t SELECT id + 10, price * 2 FROM t WHERE id = 1", "INSERT 0 1"),
        ("INSERT INTO t (id, note) SELECT id + 20, id FROM t WHERE id < 3", "INSERT 0 2"),
        (
            all,
            "1|1.01|2024-02-29|2024-02-29T10:00:00|true|a\n2|||  |false|\n3|||||b\n11|2.02||||\n21|||||1\n22|||||2",
        ),
    ];
    let (last, before) = steps.split_last().unwrap();
    script(&mut session, before).await;
    let answer = ask(&mut session, last.0).await.unwrap();
    assert_eq!(answer, last.1.replace("  ", ""));
    let refused = [
        (
            "INSERT INTO t (id, price) VALUES (4, 1.5), (5, 12345.678)",
            "number out of range: 12345.678 does not fit column \"price\" DECIMAL(6, 2), row 2",
        ),
        (
            "INSERT INTO t (price) VALUES (1)",
            "column \"id\" of table \"t\" is NOT NULL and gets no value",
        ),
        (
            "INSERT INTO t (id) VALUES (6), (NULL)",
            "null value in column \"id\" of table \"t\", row 2: it is NOT NULL",
        ),
        (
            "INSERT INTO t (id, day) VALUES (7, 'tomorrow')",
            "invalid input for column \"day\" DATE, row 1: \"tomorrow\"",
        ),
        (
            "INSERT INTO t (id, day) SELECT 1, note FROM t",
            "column \"day\" is of type DATE, and the value is STRING (CAST(... AS DATE))",
        ),
        ("INSERT INTO t (id) VALUES (1, 2)", "there are more values (2) than columns of \"t\" (1)"),
        (
            "INSERT INTO t (id, prise) VALUES (1, 2)",
            "column \"prise\" of table \"t\" does not exist (did you mean \"price\"?)",
        ),
        ("INSERT INTO t (id, id) VALUES (1, 2)", "column \"id\" is named twice"),
    ];
    for (sql, expected) in refused {
        assert_eq!(error(&mut session, sql).await, expected, "{sql}");
    }
    assert_eq!(ask(&mut session, "SELECT count(*) FROM t").await.unwrap(), "6");
}

#[tokio::test]
async fn an_insert_that_reads_a_stream_is_a_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    script(
        &mut session,
        &[
            (
                "CREATE TABLE clicks (a TEXT) WITH ('connector' = 'kafka', 'topic' = 'c', 'format' = 'json')",
                "CREATE TABLE",
            ),
            ("CREATE TABLE t (a TEXT)", "CREATE TABLE"),
            ("INSERT INTO t VALUES ('x')", "INSERT 0 1"),
            ("INSERT INTO t SELECT a FROM t UNION ALL SELECT 'y'", "INSERT 0 2"),
            ("INSERT INTO t SELECT a FROM clicks", "CREATE PIPELINE"),
            ("INSERT INTO t SELECT a FROM (SELECT a FROM public.clicks) AS c", "CREATE PIPELINE"),
            ("INSERT INTO t SELECT a FROM t WHERE a IN (SELECT a FROM Clicks)", "CREATE PIPELINE"),
            ("INSERT INTO clicks SELECT a FROM t", "CREATE PIPELINE"),
            ("EXPLAIN INSERT INTO t SELECT a FROM clicks", "pipeline|a pipeline"),
        ],
    )
    .await;
    let plan = ask(&mut session, "EXPLAIN INSERT INTO t SELECT a FROM t").await.unwrap();
    assert!(plan.contains("tail: rows=0"), "{plan}");
    let said = error(&mut session, "CREATE TABLE u AS SELECT a FROM clicks").await;
    assert!(said.starts_with("\"clicks\" has no end"), "{said}");
}

#[tokio::test]
async fn a_copy_is_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    ask(&mut session, "CREATE TABLE t (n BIGINT, price NUMERIC(6, 2), s TEXT)").await.unwrap();
    let batch = |numbers: Vec<i64>, prices: Vec<&str>| {
        let numbers = Arc::new(Int64Array::from(numbers)) as arrow::array::ArrayRef;
        let prices = Arc::new(StringArray::from(prices)) as arrow::array::ArrayRef;
        RecordBatch::try_from_iter([("n", numbers), ("p", prices)]).unwrap()
    };
    let named = ["n".to_string(), "price".to_string()];
    let fields = session.insert_fields("t", &named).unwrap();
    assert_eq!(fields.field(1).data_type(), &arrow::datatypes::DataType::Decimal128(6, 2));
    let rows =
        stream::iter([Ok(batch(vec![1, 2], vec!["1.5", "2"])), Ok(batch(vec![3], vec!["1e-1"]))]);
    assert_eq!(session.insert_batches("t", &named, rows).await.unwrap(), 3);
    let bad = stream::iter([Ok(batch(vec![4], vec!["1"])), Ok(batch(vec![5], vec!["x"]))]);
    let said = session.insert_batches("t", &named, bad).await.unwrap_err().to_string();
    assert_eq!(said, "invalid input for column \"price\" DECIMAL(6, 2), row 2: \"x\"");
    let broken = stream::iter([Ok(batch(vec![6], vec!["1"])), Err(AnalyzeError::user("cut off"))]);
    assert_eq!(session.insert_batches("t", &named, broken).await.unwrap_err().message, "cut off");
    let rows = ask(&mut session, "SELECT * FROM t ORDER BY n").await.unwrap();
    assert_eq!(rows, "1|1.50|\n2|2.00|\n3|0.10|");
}

#[tokio::test]
async fn tables_are_made_of_queries_in_schemas_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, lake) = open(dir.path()).await;
    let mut session = platform.session();
    script(
        &mut session,
        &[
            ("CREATE SCHEMA IF NOT EXISTS shop", "CREATE SCHEMA"),
            ("CREATE TABLE shop.orders AS SELECT 1 AS id, 2.50 AS total, 'a' AS note", "SELECT 1"),
            (
                "INSERT INTO \"tradewind\".\"shop\".\"orders\" VALUES (2, 3.75, 'b')",
                "INSERT 0 1",
            ),
            ("SELECT sum(total) FROM shop.orders", "6.25"),
            ("SELECT o.note FROM shop.orders AS o WHERE o.id = 2", "b"),
            ("CREATE TABLE IF NOT EXISTS shop.orders AS SELECT 9 AS id", "CREATE TABLE AS"),
            (
                "CREATE TABLE orders (day, n) AS SELECT DATE '2024-01-01', count(*) FROM shop.orders",
                "SELECT 1",
            ),
            ("SELECT * FROM orders", "2024-01-01|2"),
            ("CREATE VIEW shop.big AS SELECT * FROM shop.orders WHERE total > 3", "CREATE VIEW"),
            ("SELECT id FROM shop.big", "2"),
            ("CREATE TABLE empty AS SELECT * FROM shop.orders WITH NO DATA", "SELECT 0"),
            ("SELECT count(*) FROM empty", "0"),
            ("CREATE OR REPLACE TABLE empty AS SELECT 7 AS seven", "SELECT 1"),
            ("SELECT * FROM empty", "7"),
            ("COMMENT ON TABLE shop.orders IS 'what was sold'", "COMMENT"),
            ("COMMENT ON COLUMN shop.orders.total IS $q$it's money$q$", "COMMENT"),
        ],
    )
    .await;
    assert_eq!(
        error(&mut session, "CREATE TABLE x AS SELECT 1 / 0 AS a").await,
        "division by zero"
    );
    // What failed half-way is taken away.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop((session, platform, lake));
    let (platform, lake) = open(dir.path()).await;
    let mut session = platform.session();
    script(
        &mut session,
        &[
            ("SELECT id, total, note FROM shop.big", "2|3.75|b"),
            ("SELECT * FROM empty", "7"),
            ("SELECT name FROM sys.tables ORDER BY name", "empty\norders\nshop.big\nshop.orders"),
        ],
    )
    .await;
    let folders: Vec<_> = lake.tables().iter().map(|table| table.name().to_owned()).collect();
    assert_eq!(folders, ["empty-2", "orders", "shop.orders"]);
    let catalogue = Catalogue::open(&dir.path().join("catalogue"), Arc::new(SystemClock));
    assert!(catalogue.is_err(), "it is open once");
}

#[tokio::test]
async fn what_cannot_be_made_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    let made = "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 1 AS id; \
                CREATE TABLE orders AS SELECT 1 AS id; \
                CREATE VIEW shop.big AS SELECT id FROM shop.orders";
    ask(&mut session, made).await.unwrap();
    let refused = [
        ("CREATE TABLE shop.orders AS SELECT 1 AS a", "table \"shop.orders\" exists already"),
        (
            "CREATE TABLE x AS SELECT 1 AS a, 2 AS \"A\"",
            "two columns are named \"A\" (give one another name: … AS name)",
        ),
        (
            "CREATE TABLE x AS SELECT count(*) FROM orders",
            "column \"count(*)\" needs a name of its own (… AS name)",
        ),
        ("CREATE TABLE nowhere.x AS SELECT 1 AS a", "schema \"nowhere\" does not exist"),
        ("CREATE TABLE sys.x (a INT)", "schema \"sys\" is always there"),
        ("SELECT * FROM shopp.orders", "schema \"shopp\" does not exist (did you mean \"shop\"?)"),
        (
            "DROP SCHEMA shop",
            "schema \"shop\" is not empty: it has view \"shop.big\", drop that first or say CASCADE",
        ),
    ];
    for (sql, expected) in refused {
        assert_eq!(error(&mut session, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_table_takes_the_place_of_another_as_dbt_does_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    ask(&mut session, "CREATE SCHEMA d; CREATE TABLE d.t AS SELECT 0 AS run").await.unwrap();
    ask(&mut session, "CREATE VIEW d.v AS SELECT run FROM d.t").await.unwrap();
    for run in 1..4 {
        let make = format!("CREATE TABLE \"tradewind\".\"d\".\"t__tmp\" AS (SELECT {run} AS run)");
        script(
            &mut session,
            &[
                (&make, "SELECT 1"),
                ("ALTER TABLE \"tradewind\".\"d\".\"t\" RENAME TO \"t__backup\"", "ALTER TABLE"),
                ("ALTER TABLE \"tradewind\".\"d\".\"t__tmp\" RENAME TO \"t\"", "ALTER TABLE"),
                ("DROP TABLE IF EXISTS \"tradewind\".\"d\".\"t__backup\" CASCADE", "DROP TABLE"),
                ("SELECT run FROM d.v", &run.to_string()),
            ],
        )
        .await;
    }
    drop(session);
    let (platform, lake) = open(dir.path()).await;
    assert_eq!(lake.tables().len(), 1);
    let mut session = platform.session();
    script(
        &mut session,
        &[
            ("SELECT run FROM d.t", "3"),
            (
                "SHOW CREATE TABLE d.t",
                "CREATE TABLE `d`.`t` (`run` BIGINT) WITH ('connector' = 'delta')",
            ),
            ("ALTER VIEW d.v RENAME TO w", "ALTER VIEW"),
            ("SELECT run FROM d.w", "3"),
            ("CREATE VIEW x AS SELECT run FROM d.w", "CREATE VIEW"),
            ("DROP TABLE d.t CASCADE", "DROP TABLE"),
            ("SELECT name FROM sys.tables", ""),
            ("DROP SCHEMA d", "DROP SCHEMA"),
            ("DROP SCHEMA IF EXISTS d CASCADE", "DROP SCHEMA"),
        ],
    )
    .await;
    let said = error(&mut session, "ALTER TABLE nothing RENAME TO something").await;
    assert!(said.starts_with("table \"nothing\" does not exist"), "{said}");
}

#[tokio::test]
async fn rows_are_deleted_and_updated() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    script(
        &mut session,
        &[
            ("CREATE TABLE t (id INT, price NUMERIC(6, 2), note TEXT)", "CREATE TABLE"),
            (
                "INSERT INTO t SELECT value, value * 1.5, CASE WHEN value % 2 = 0 THEN 'even' END FROM generate_series(1, 100)",
                "INSERT 0 100",
            ),
            ("CREATE TABLE s AS SELECT 3 AS id, 9.99 AS price UNION ALL SELECT 4, 8.88 UNION ALL SELECT 4, 8.88", "SELECT 3"),
            ("DELETE FROM t WHERE id > 90", "DELETE 10"),
            ("DELETE FROM t WHERE id NOT IN (SELECT id FROM t WHERE id <= 50)", "DELETE 40"),
            ("DELETE FROM t WHERE note = 'odd' OR note IS NULL AND id > 40", "DELETE 5"),
            ("UPDATE t SET note = 'cheap', price = price - 0.5 WHERE price < 4", "UPDATE 2"),
            ("SELECT * FROM t WHERE id < 4 ORDER BY id", "1|1.00|cheap\n2|2.50|cheap\n3|4.50|"),
            ("UPDATE t AS x SET price = s.price FROM s WHERE s.id = x.id", "UPDATE 2"),
            ("SELECT price FROM t WHERE id IN (3, 4) ORDER BY id", "9.99\n8.88"),
            ("DELETE FROM public.t USING s WHERE t.id = s.id AND s.id = 4", "DELETE 1"),
            ("DELETE FROM t AS x WHERE x.id = 1000", "DELETE 0"),
            ("SELECT count(*), count(DISTINCT id), sum(id) FROM t", "44|44|1046"),
            ("UPDATE t SET note = DEFAULT WHERE id = 2", "UPDATE 1"),
            ("SELECT note FROM t WHERE id = 2", ""),
            ("TRUNCATE TABLE s", "TRUNCATE TABLE"),
            ("SELECT count(*) FROM s", "0"),
            ("DELETE FROM t", "DELETE 44"),
            ("SELECT count(*) FROM t", "0"),
        ],
    )
    .await;
    let refused = [
        ("DELETE FROM t WHERE nothing = 1", "column \"nothing\" does not exist"),
        ("UPDATE t SET id = 'x' WHERE id = 1 RETURNING id", "not supported: UPDATE with RETURNING"),
        ("UPDATE t SET id = 1, id = 2", "column \"id\" is set twice"),
        ("DELETE FROM sys.tables", "table \"sys.tables\" does not exist"),
    ];
    for (sql, expected) in refused {
        let said = error(&mut session, sql).await;
        assert!(said.starts_with(expected), "{sql}: {said}");
    }
}

#[tokio::test]
async fn nulls_in_not_in_delete_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    script(
        &mut session,
        &[
            ("CREATE TABLE t AS SELECT 1 AS id UNION ALL SELECT 2", "SELECT 2"),
            ("DELETE FROM t WHERE id NOT IN (SELECT NULL::BIGINT UNION ALL SELECT 1)", "DELETE 0"),
            ("DELETE FROM t WHERE NULL", "DELETE 0"),
            ("SELECT count(*) FROM t", "2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn temporary_tables_are_the_sessions_own() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, _lake) = open(dir.path()).await;
    let (mut one, mut other) = (platform.session(), platform.session());
    script(
        &mut one,
        &[
            ("CREATE TABLE t AS SELECT 1 AS id", "SELECT 1"),
            ("CREATE TEMPORARY TABLE t AS SELECT 2 AS id UNION ALL SELECT 3", "SELECT 2"),
            ("CREATE TEMP TABLE u (id INT NOT NULL, at TIMESTAMP)", "CREATE TABLE"),
            ("INSERT INTO u VALUES (5, '2024-01-01')", "INSERT 0 1"),
            ("SELECT sum(t.id), max(u.id) FROM t CROSS JOIN u", "5|5"),
        ],
    )
    .await;
    assert_eq!(ask(&mut other, "SELECT count(*) FROM t").await.unwrap(), "1");
    assert!(error(&mut other, "SELECT * FROM u").await.starts_with("table \"u\" does not exist"));
    let said = error(&mut one, "INSERT INTO u (at) VALUES (NULL)").await;
    assert!(said.contains("NOT NULL"), "{said}");
    let said = error(&mut one, "CREATE VIEW v AS SELECT * FROM u").await;
    assert!(said.starts_with("table \"u\" does not exist"), "{said}");
    script(&mut one, &[("DROP TABLE t", "DROP TABLE"), ("SELECT count(*) FROM t", "1")]).await;
}

#[tokio::test]
async fn what_is_not_done_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path()).await;
    ask(&mut session, "CREATE TABLE t (a INT)").await.unwrap();
    let refused = [
        ("GRANT SELECT ON t TO bi", "not supported: GRANT"),
        ("CREATE INDEX i ON t (a)", "not supported: CREATE INDEX"),
        ("MERGE INTO t USING t AS s ON true WHEN MATCHED THEN DELETE", "not supported: MERGE"),
        ("ALTER TABLE t ADD COLUMN b INT", "expected RENAME TO, found ADD"),
        ("CREATE TABLE u (a INT DEFAULT 1)", "expected ',' or ')', found DEFAULT"),
    ];
    for (sql, expected) in refused {
        let said = error(&mut session, sql).await;
        assert!(said.contains(expected) && said.ends_with(')'), "{sql}: {said}");
    }
    assert_eq!(columns(&mut session, "SELECT * FROM t").await, ["a"]);
}
