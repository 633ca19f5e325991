//! What the session hands on: statements that change something, and what it shows of the answer.

use crate::support::{ask, columns, error};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tradewind_analyze::{
    AnalyzeError, Asked, Control, Dialect, PipelineRow, Platform, PlatformParts, Session,
    SettingRow,
};
use tradewind_sql::{PipelineStatement, StatementKind, TableDefinition};
use tradewind_types::Source;

/// Notes what pipelines are to be called; refuses those into table `refused`.
#[derive(Default)]
struct Noting(Mutex<Vec<Option<String>>>);

#[async_trait]
impl Control for Noting {
    async fn run(&self, asked: Asked<'_>) -> Result<String, AnalyzeError> {
        let StatementKind::Insert(insert) = &asked.statement.kind else {
            return Ok("DONE".into());
        };
        if insert.target == "refused" {
            return Err(AnalyzeError::user("refused"));
        }
        self.0.lock().unwrap().push(asked.pipeline_name.map(str::to_string));
        Ok("CREATE PIPELINE".into())
    }

    fn explain(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<String, AnalyzeError> {
        match statement {
            PipelineStatement::Insert(insert) => Ok(format!("{dialect}: {}", insert.query_sql)),
            PipelineStatement::View(view) => Ok(format!("{dialect}: {}", view.name)),
        }
    }

    fn view(&self, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>), AnalyzeError> {
        Err(AnalyzeError::user(format!("there is no view {name}")))
    }

    fn pipelines(&self) -> Vec<PipelineRow> {
        let row = PipelineRow {
            name: "p".into(),
            id: "p-1".into(),
            incarnation: 2,
            topic: "events".into(),
            target: "t".into(),
            state: "running".into(),
            reason: None,
            epoch: 3,
            positions: [("events".to_string(), [(0, 17), (1, 4)].into())].into(),
            committed: [("events".to_string(), [(0, 15)].into())].into(),
            lag: 5,
            records_in: 21,
            rows: 20,
            dead_letters: 1,
            late_events: 7,
            lost_records: 6,
            committed_at: Some(1_709_251_200_000_000),
            started_at: None,
            sql: "INSERT INTO t SELECT 1".into(),
        };
        vec![row]
    }

    fn open_topic(
        &self,
        _definition: &TableDefinition,
        _columns: &[&str],
    ) -> Result<Box<dyn Source>, AnalyzeError> {
        Err(AnalyzeError::user("there are no topics"))
    }
}

fn session() -> (Session, Arc<Noting>) {
    let noting = Arc::<Noting>::default();
    let setting = SettingRow {
        name: "log.flush".into(),
        value: "interval".into(),
        default: "always".into(),
        source: "file".into(),
        place: Some("tradewind.toml:3".into()),
        description: "When.".into(),
    };
    let parts = PlatformParts {
        control: Some(noting.clone()),
        configuration: vec![setting],
        ..PlatformParts::default()
    };
    (Platform::new(parts).unwrap().session(), noting)
}

#[tokio::test]
async fn a_name_set_in_a_session_never_reached_its_pipeline() {
    let (mut session, noting) = session();
    session.set_dialect(Dialect::Flink);
    let script = "SET 'pipeline.name' = 'mine'; INSERT INTO t SELECT 1; INSERT INTO t SELECT 2";
    ask(&mut session, script).await.unwrap();
    ask(&mut session, "SET 'pipeline.name' = 'kept'").await.unwrap();
    assert_eq!(error(&mut session, "INSERT INTO refused SELECT 1").await, "refused");
    ask(&mut session, "INSERT INTO t SELECT 3").await.unwrap();
    let names = noting.0.lock().unwrap().clone();
    assert_eq!(names, [Some("mine".into()), None, Some("kept".into())]);
    let said = error(&mut session, "SET 'pipeline.name' = ''").await;
    assert_eq!(said, "a pipeline's name is not empty");
}

#[tokio::test]
async fn how_an_insert_would_run_was_not_told() {
    let (mut session, noting) = session();
    let told = ask(&mut session, "EXPLAIN INSERT INTO t SELECT 1 AS a").await.unwrap();
    assert_eq!(told, "pipeline|postgres: SELECT 1 AS a");
    let said = error(&mut session, "EXPLAIN ANALYZE INSERT INTO t SELECT 1").await;
    assert!(said.starts_with("a pipeline does not end"), "{said}");
    assert!(noting.0.lock().unwrap().is_empty(), "it was run");
}

#[tokio::test]
async fn system_tables_left_out_half_of_what_is_known() {
    let (mut session, _) = session();
    let settings = ask(&mut session, "SELECT * FROM sys.settings").await.unwrap();
    assert_eq!(settings, "log.flush|interval|always|file|tradewind.toml:3|When.");
    let pipeline = ask(&mut session, "SELECT * FROM sys.pipelines").await.unwrap();
    assert_eq!(
        pipeline,
        "p|events|t|running||3|5|21|20|1|7|6|{\"events\":{\"0\":17,\"1\":4}}|{\"events\":{\"0\":15}}|\
         2024-03-01T00:00:00Z||p-1|2|INSERT INTO t SELECT 1"
    );
    let columns = columns(&mut session, "SELECT * FROM sys.pipelines").await;
    assert_eq!(columns.len(), 19);
    let next = "SELECT json_value(positions, '$.events[''1'']') FROM sys.pipelines";
    assert_eq!(ask(&mut session, next).await.unwrap(), "4");
}
