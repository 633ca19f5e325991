//! The catalogue remembers, refuses what would hurt, and takes packs in once.

use std::path::Path;
use std::sync::Arc;
use tradewind_sql::{
    Catalogue, CatalogueError, Dialect, NewPipeline, ObjectKind, Owner, PackFile, StatementKind,
    parse_script,
};
use tradewind_types::ManualClock;

fn open(dir: &Path) -> Result<Catalogue, CatalogueError> {
    Catalogue::open(dir, Arc::new(ManualClock::at(7)))
}

fn run(catalogue: &Catalogue, script: &str) -> Result<(), CatalogueError> {
    for statement in parse_script(script, Dialect::Flink).unwrap() {
        match &statement.kind {
            StatementKind::CreateTable(table) => {
                catalogue.create_table(table, &Owner::Sql)?;
            }
            StatementKind::CreateView(view) => {
                catalogue.create_view(view, Dialect::Flink, &Owner::Sql)?;
            }
            StatementKind::Drop { kind, if_exists, name, .. } => {
                catalogue.drop_object(*kind, name, *if_exists)?;
            }
            StatementKind::Insert(insert) => {
                let new = NewPipeline {
                    name: insert.target.clone(),
                    sql: insert.sql.clone(),
                    dialect: Dialect::Flink,
                    owner: Owner::Sql,
                    columns: vec![("a".into(), "BIGINT".into())],
                };
                catalogue.create_pipeline(&new)?;
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

const SCRIPT: &str = "
    CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE VIEW v AS SELECT a FROM t;
    CREATE TABLE l (a BIGINT) WITH ('connector' = 'delta');
    INSERT INTO l SELECT a FROM v;
";

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    run(&first, SCRIPT).unwrap();
    let id = first.set_paused("l", true).unwrap().id.clone();
    drop(first);
    let second = open(dir.path()).unwrap();
    let names: Vec<String> = second.relations().iter().map(|one| one.name().to_string()).collect();
    assert_eq!(names, ["l", "t", "v"]);
    assert!(second.table("l").unwrap().is_lake());
    assert_eq!(second.relation("v").unwrap().sql(), "CREATE VIEW v AS SELECT a FROM t");
    let pipeline = second.pipeline("l").unwrap();
    assert_eq!((&pipeline.id, pipeline.incarnation, pipeline.paused), (&id, 1, true));
    assert_eq!((&*pipeline.target, pipeline.created_at), ("l", 7));
    assert_eq!(pipeline.columns, [("a".to_string(), "BIGINT".to_string())]);
    run(&second, "DROP VIEW IF EXISTS nothing").unwrap();
}

#[test]
fn a_folder_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, CatalogueError::Locked { .. }), "{error}");
}

#[test]
fn another_format_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    {
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let objects = database.keyspace("objects", Default::default).unwrap();
        objects.insert("format", r#"{"format_version": 3}"#).unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("has catalogue format 3, this version reads 2: use the version"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn what_is_in_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(dir.path()).unwrap();
    run(&catalogue, SCRIPT).unwrap();
    let error = |script: &str| run(&catalogue, script).unwrap_err().to_string();
    assert_eq!(error("DROP TABLE t"), "\"t\" is in use by view \"v\": drop that first");
    assert_eq!(error("DROP VIEW v"), "\"v\" is in use by pipeline \"l\": drop that first");
    assert_eq!(error("DROP TABLE l"), "\"l\" is in use by pipeline \"l\": drop that first");
    assert_eq!(error("DROP TABLE v"), "table \"v\" does not exist");
    assert_eq!(error("DROP PIPELINE k"), "pipeline \"k\" does not exist");
    assert_eq!(error("CREATE VIEW t AS SELECT 1"), "table \"t\" exists already");
    let replace = "CREATE OR REPLACE TABLE l (b BIGINT) WITH ('connector' = 'delta')";
    assert!(error(replace).contains("has rows in its present form"));
    run(&catalogue, "CREATE TABLE IF NOT EXISTS l (b BIGINT) WITH ('connector' = 'delta')")
        .unwrap();
    run(&catalogue, "CREATE OR REPLACE VIEW v AS SELECT  a  FROM t -- the same").unwrap();
    run(&catalogue, "DROP PIPELINE l; DROP VIEW v; DROP TABLE t; DROP TABLE l").unwrap();
    assert!(catalogue.relations().is_empty() && catalogue.pipelines().is_empty());
}

#[test]
fn names_are_resolved_by_dialect() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(dir.path()).unwrap();
    let table = |name: &str| format!("CREATE TABLE {name} (a INT) WITH ('connector' = 'delta');");
    run(&catalogue, &(table("Orders") + &table("both") + &table("BOTH"))).unwrap();
    let find = |name: &str, dialect| {
        catalogue.resolve(name, dialect).map(|found| found.map(|one| one.name().to_string()))
    };
    assert_eq!(find("orders", Dialect::Postgres).unwrap().as_deref(), Some("Orders"));
    assert_eq!(find("orders", Dialect::Flink).unwrap(), None);
    assert_eq!(find("both", Dialect::Postgres).unwrap().as_deref(), Some("both"));
    assert!(find("Both", Dialect::Postgres).is_err());
}

fn pack(text: &str) -> Vec<PackFile> {
    vec![PackFile { name: "a.sql".into(), text: text.into() }]
}

#[test]
fn a_pack_is_taken_in_once_and_changes_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(dir.path()).unwrap();
    let first = catalogue.apply_pack("p", &pack(SCRIPT)).unwrap();
    assert_eq!(first.created, ["table \"t\"", "view \"v\"", "table \"l\"", "pipeline \"l\""]);
    let layout = SCRIPT.replace("SELECT a", "SELECT   a /* the same */");
    let second = catalogue.apply_pack("p", &pack(&layout)).unwrap();
    assert_eq!((second.unchanged.len(), second.changed.len()), (4, 0));
    let incarnation = || catalogue.pipeline("l").unwrap().incarnation;
    assert_eq!(incarnation(), 1);
    let query = SCRIPT.replace("INTO l SELECT a", "INTO l SELECT a + 1");
    let third = catalogue.apply_pack("p", &pack(&query)).unwrap();
    assert!(third.changed[0].starts_with("pipeline \"l\" is incarnation 2 now"), "{third:?}");
    let source = query.replace("t (a BIGINT)", "t (a BIGINT, b STRING)");
    let fourth = catalogue.apply_pack("p", &pack(&source)).unwrap();
    assert_eq!(fourth.changed.len(), 2, "{fourth:?}");
    assert_eq!(incarnation(), 3);
    let lake = source.replace("l (a BIGINT)", "l (a BIGINT, b STRING)");
    let fifth = catalogue.apply_pack("p", &pack(&lake)).unwrap();
    assert!(fifth.refused[0].contains("table \"l\""), "{fifth:?}");
    let empty = catalogue.apply_pack("p", &pack("")).unwrap();
    assert_eq!(empty.left_behind.len(), 4);
    assert!(catalogue.drop_object(ObjectKind::Pipeline, "l", false).is_err());
}

#[test]
fn a_pack_with_a_mistake_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(dir.path()).unwrap();
    let error = catalogue.apply_pack("p", &pack(&format!("{SCRIPT}; SELECT 1"))).unwrap_err();
    assert!(error.to_string().contains("a.sql: line 6, column 3: a pack only creates"), "{error}");
    assert!(catalogue.relations().is_empty());
    let twice = "CREATE TABLE l (a INT) WITH ('connector' = 'delta'); \
        INSERT INTO l SELECT 1; INSERT INTO l SELECT 2; SET 'pipeline.name' = 'x'; INSERT INTO l SELECT 3";
    catalogue.apply_pack("p", &pack(twice)).unwrap();
    let names: Vec<_> = catalogue.pipelines().iter().map(|one| one.name.clone()).collect();
    assert_eq!(names, ["l", "l_2", "x"]);
}
