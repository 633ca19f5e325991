//! Statements are read as they are meant, each with its own text and place.

use tradewind_sql::{
    ColumnKind, Connector, Dialect, Format, ObjectKind, StartupMode, StatementKind, Subscribed,
    TableDefinition, field_type_name, parse_script, type_name,
};

fn kinds(text: &str) -> Vec<StatementKind> {
    parse_script(text, Dialect::Flink).unwrap().into_iter().map(|one| one.kind).collect()
}

fn table(text: &str) -> TableDefinition {
    match kinds(text).remove(0) {
        StatementKind::CreateTable(table) => table.definition,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_is_read_with_all_its_parts() {
    let found = table(
        "CREATE TABLE IF NOT EXISTS `Orders` ( -- ours
            id BIGINT NOT NULL COMMENT 'the key', `order` STRING, price DECIMAL(18, 6),
            lines ARRAY<ROW<sku STRING, price DECIMAL(10,2) NOT NULL, tags ARRAY<STRING>>>,
            attributes MAP<STRING, ROW<a INT>>, at TIMESTAMP_LTZ(3), local TIMESTAMP(3),
            total AS price * 2, part INT METADATA FROM 'partition' VIRTUAL,
            PRIMARY KEY (id) NOT ENFORCED,
            WATERMARK FOR at AS at - INTERVAL '5' SECOND
        ) COMMENT 'orders' PARTITIONED BY (`order`)
        WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'scan.startup.mode' = 'latest-offset')",
    );
    assert_eq!(found.name, "Orders");
    assert_eq!(
        (&found.primary_key, &found.partitioned_by),
        (&vec!["id".into()], &vec!["order".into()])
    );
    assert_eq!(found.comment.as_deref(), Some("orders"));
    let watermark = found.watermark.as_ref().unwrap();
    assert_eq!((&*watermark.column, &*watermark.expression), ("at", "at - INTERVAL '5' SECOND"));
    let topic = found.topic().unwrap();
    assert_eq!(
        (&*topic.topic, topic.format.clone(), topic.startup),
        ("o", Format::Json, StartupMode::Latest)
    );
    assert_eq!(found.columns[7].kind, ColumnKind::Computed("price * 2".into()));
    let partition = ColumnKind::Metadata { key: "partition".into(), read_only: true };
    assert_eq!(found.columns[8].kind, partition);
    let types: Vec<String> =
        found.schema().fields().iter().map(|field| field_type_name(field)).collect();
    assert_eq!(
        types,
        [
            "BIGINT NOT NULL",
            "STRING",
            "DECIMAL(18, 6)",
            "ARRAY<ROW<`sku` STRING, `price` DECIMAL(10, 2) NOT NULL, `tags` ARRAY<STRING>>>",
            "MAP<STRING, ROW<`a` INT>>",
            "TIMESTAMP_LTZ(6)",
            "TIMESTAMP(6)",
            "INT",
        ]
    );
}

#[test]
fn a_types_name_reads_back_as_the_type() {
    for name in [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "STRING",
        "BYTES",
        "DATE",
        "TIMESTAMP(6)",
        "TIMESTAMP_LTZ(6)",
        "DECIMAL(38, 10)",
        "ARRAY<INT NOT NULL>",
        "MAP<STRING, DOUBLE>",
        "ROW<`a b` ROW<`c` ARRAY<ROW<`d` INT>>>>",
    ] {
        let found = table(&format!("CREATE TABLE t (c {name}) WITH ('connector' = 'delta')"));
        assert_eq!(type_name(&found.columns[0].data_type), name);
    }
    let same = [
        ("VARCHAR(10)", "STRING"),
        ("CHAR", "STRING"),
        ("VARBINARY(3)", "BYTES"),
        ("INTEGER", "INT"),
        ("NUMERIC(5)", "DECIMAL(5, 0)"),
        ("DECIMAL", "DECIMAL(10, 0)"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("TIMESTAMP(3) WITHOUT TIME ZONE", "TIMESTAMP(6)"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(6)"),
        ("ROW(a INT 'a comment', b STRING)", "ROW<`a` INT, `b` STRING>"),
    ];
    for (written, name) in same {
        let found = table(&format!("CREATE TABLE t (c {written}) WITH ('connector' = 'delta')"));
        assert_eq!(type_name(&found.columns[0].data_type), name, "{written}");
    }
}

#[test]
fn a_stored_statement_reads_back_as_the_same_table() {
    let first = table(
        "  create table t (a int, b row<c bigint>) with ('connector' = 'delta') ;\n-- the end",
    );
    assert_eq!(first.sql, "create table t (a int, b row<c bigint>) with ('connector' = 'delta')");
    assert_eq!(table(&first.sql), first);
    assert_eq!(first.connector, Connector::Lake);
}

#[test]
fn every_other_statement_is_known() {
    let script = "
        INSERT INTO t (a, `b c`) SELECT 1, ';' FROM u;;
        CREATE OR REPLACE VIEW v (x) AS SELECT a FROM t WHERE b > 1;
        DROP TABLE IF EXISTS t; DROP VIEW v; drop pipeline p;
        SHOW TABLES; SHOW VIEWS; SHOW PIPELINES; SHOW CREATE TABLE t;
        DESCRIBE t; DESC v; EXPLAIN INSERT INTO t SELECT 1; EXPLAIN PLAN FOR SELECT 1;
        SET 'pipeline.name' = 'orders'; ALTER PIPELINE p PAUSE; ALTER PIPELINE p RESUME;
        SELECT 1";
    let found = kinds(script);
    assert_eq!(found.len(), 17);
    assert!(matches!(&found[0], StatementKind::Insert(insert)
        if insert.target == "t" && insert.columns == ["a", "b c"] && insert.query_sql == "SELECT 1, ';' FROM u"));
    assert!(matches!(&found[1], StatementKind::CreateView(view)
        if view.or_replace && view.columns == ["x"] && view.query_sql == "SELECT a FROM t WHERE b > 1"));
    assert!(matches!(
        &found[2],
        StatementKind::Drop { kind: ObjectKind::Table, if_exists: true, .. }
    ));
    assert!(matches!(
        &found[4],
        StatementKind::Drop { kind: ObjectKind::Pipeline, if_exists: false, .. }
    ));
    assert!(matches!(found[7], StatementKind::Show(ObjectKind::Pipeline)));
    assert!(
        matches!(&found[8], StatementKind::ShowCreate { kind: ObjectKind::Table, name } if name == "t")
    );
    assert!(matches!(&found[11], StatementKind::Explain { statement, .. }
        if statement.text == "INSERT INTO t SELECT 1"));
    assert!(
        matches!(&found[13], StatementKind::Set { key, value } if key == "pipeline.name" && value == "orders")
    );
    assert!(matches!(&found[14], StatementKind::AlterPipeline { pause: true, .. }));
    assert!(matches!(&found[16], StatementKind::Other(_)));
}

#[test]
fn statements_know_their_text_and_place() {
    let script = "-- first\nSHOW TABLES;\n\n  SELECT 'ü;' ,\n 2 ; ";
    let found = parse_script(script, Dialect::Flink).unwrap();
    assert_eq!(found[0].text, "SHOW TABLES");
    assert_eq!(found[1].text, "SELECT 'ü;' ,\n 2");
    let span = found[1].span;
    assert_eq!((span.start.line, span.start.column, span.end.line, span.end.column), (4, 3, 5, 3));
    assert!(parse_script(" \n-- nothing\n;;", Dialect::Flink).unwrap().is_empty());
}

#[test]
fn postgres_folds_and_flink_keeps() {
    let name = |text: &str, dialect| match parse_script(text, dialect).unwrap().remove(0).kind {
        StatementKind::Describe(name) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name("DESCRIBE Orders", Dialect::Postgres), "orders");
    assert_eq!(name("DESCRIBE \"Orders\"", Dialect::Postgres), "Orders");
    assert_eq!(name("DESCRIBE Orders", Dialect::Flink), "Orders");
    assert_eq!(name("DESCRIBE `Orders`", Dialect::Flink), "Orders");
}

#[test]
fn a_table_among_arguments_is_read_and_places_stay() {
    let text = "SELECT *\nFROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)), TABLE(HOP(DATA => TABLE u)) WHERE nothing(";
    let error = parse_script(text, Dialect::Flink).unwrap_err();
    assert_eq!((error.line, error.column), (2, 109), "{error}");
    for text in [
        "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM TABLE(TUMBLE(TABLE (SELECT 1), DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS w",
        "SELECT * FROM TABLE(TUMBLE((SELECT 1), DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM TABLE(HOP(DATA => TABLE `t`, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '1' MINUTE, SIZE => INTERVAL '5' MINUTES))",
    ] {
        let found = parse_script(text, Dialect::Flink).unwrap();
        assert_eq!(found[0].text, text);
    }
}

#[test]
fn subscriptions_are_to_views_and_queries() {
    let found = kinds(
        "SUBSCRIBE v; SUBSCRIBE TO `v`; SUBSCRIBE v AFTER '1-2' LIMIT 10; \
         SUBSCRIBE (SELECT 1 FROM t LIMIT 2) LIMIT 3; \
         SUBSCRIBE TO (WITH a AS (SELECT 1) SELECT * FROM a)",
    );
    let asked = found.into_iter().map(|kind| match kind {
        StatementKind::Subscribe(subscribe) => {
            let view = match subscribe.to {
                Subscribed::View(name) => Some(name),
                Subscribed::Query(_) => None,
            };
            (view, subscribe.after, subscribe.limit)
        }
        other => panic!("{other:?}"),
    });
    let of_v =
        |after: Option<&str>, limit| (Some("v".to_string()), after.map(str::to_string), limit);
    assert_eq!(
        asked.collect::<Vec<_>>(),
        [
            of_v(None, None),
            of_v(None, None),
            of_v(Some("1-2"), Some(10)),
            (None, None, Some(3)),
            (None, None, None),
        ]
    );
    for wrong in [
        "SUBSCRIBE (SELECT 1",
        "SUBSCRIBE TO SELECT 1",
        "SUBSCRIBE v AFTER 1",
        "SUBSCRIBE v LIMIT all",
        "SUBSCRIBE v LIMIT 1 AFTER '1-2'",
    ] {
        assert!(parse_script(wrong, Dialect::Flink).is_err(), "{wrong}");
    }
}

#[test]
fn a_statement_set_is_its_inserts() {
    let inserts = "INSERT INTO a SELECT 1;\n INSERT INTO b SELECT 2;";
    for text in [
        format!("EXECUTE STATEMENT SET BEGIN {inserts} END; SHOW TABLES"),
        format!("BEGIN STATEMENT SET; {inserts} END; SHOW TABLES;"),
        format!("execute statement set begin\n{inserts}\nend;SHOW TABLES;"),
    ] {
        let found = kinds(&text);
        assert!(matches!(&found[0], StatementKind::Insert(insert) if insert.target == "a"));
        assert!(matches!(&found[1], StatementKind::Insert(insert) if insert.target == "b"));
        assert!(matches!(found[2], StatementKind::Show(_)), "{text}");
    }
    for wrong in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;",
        "EXECUTE STATEMENT SET BEGIN SELECT 1; END;",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; EXECUTE STATEMENT SET BEGIN END;",
    ] {
        assert!(parse_script(wrong, Dialect::Flink).is_err(), "{wrong}");
    }
}

#[test]
fn a_dialect_that_is_set_holds_for_the_statements_after_it() {
    let script = "SET 'dialect' = 'flink';\n-- ö\nCREATE TABLE `T` (a INT, b AS a + 1)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');\nSET 'dialect' = 'postgres'; SELECT 'it''s', $$`$$";
    let found = parse_script(script, Dialect::Postgres).unwrap();
    let StatementKind::CreateTable(table) = &found[1].kind else { panic!("{found:?}") };
    assert_eq!((&*table.definition.name, table.definition.dialect), ("T", Dialect::Flink));
    assert_eq!(found[1].span.start.line, 3);
    assert!(found[3].is_query(), "{found:?}");
    let wrong = "SELECT 1;\nSET 'dialect' = 'flink';\nSELECT 'no end";
    assert_eq!(parse_script(wrong, Dialect::Postgres).unwrap_err().line, 3);
    let many = "SET 'dialect' = 'flink'; SET 'dialect' = 'postgres';".repeat(100);
    let refused = parse_script(&many, Dialect::Postgres).unwrap_err().to_string();
    assert!(refused.contains("changes of the dialect"), "{refused}");
}

/// It was as in Flink in every dialect, which took the cents of what PostgreSQL's clients wrote.
#[test]
fn a_decimal_without_digits_lost_its_cents() {
    let statements = parse_script("CREATE TABLE t (a NUMERIC, b NUMERIC(5))", Dialect::Postgres);
    let StatementKind::CreateTable(table) = statements.unwrap().remove(0).kind else { panic!() };
    let types = table.definition.columns.iter().map(|column| type_name(&column.data_type));
    assert_eq!(types.collect::<Vec<_>>(), ["DECIMAL(38, 10)", "DECIMAL(5, 0)"]);
}
