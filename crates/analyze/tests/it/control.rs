//! What the session hands on: statements that change something, and what it shows of the answer.

use crate::support::{ask, columns, error};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tradewind_analyze::{
    AnalyzeError, Answer, Asked, Change, ChangeStream, Control, Dialect, OperatorRow, PipelineRow,
    Platform, PlatformParts, Session, SettingRow, SourceRow,
};
use tradewind_sql::text::RowKind;
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

    async fn pipelines(&self) -> Vec<PipelineRow> {
        let source = |partition, position, committed| SourceRow {
            topic: "events".into(),
            partition,
            position,
            committed,
            end: Some(position + 5),
            lag_seconds: Some(1.5),
        };
        let operator = |id: &str, watermark| OperatorRow {
            id: id.into(),
            kind: "aggregate".into(),
            inputs: vec!["source-1".into(), "source-2".into()],
            description: "COUNT(*) by a".into(),
            workers: 2,
            rows_in: 21,
            rows_out: 20,
            late_rows: 7,
            state_rows: 3,
            state_bytes: 400,
            watermark,
            busy_seconds: 0.25,
        };
        let row = PipelineRow {
            name: "p".into(),
            id: "p-1".into(),
            incarnation: 2,
            kind: "insert".into(),
            owner: "sql".into(),
            topic: "events".into(),
            sources: vec![source(0, 17, Some(15)), source(1, 4, None)],
            operators: vec![
                operator("aggregate-1", Some(1_709_251_200_000_000)),
                operator("aggregate-2", None),
            ],
            target: "t".into(),
            state: "running".into(),
            reason: None,
            last_error: Some("it rained".into()),
            failed_at: Some(1_709_251_200_000_000),
            epoch: 3,
            lag: 5,
            lag_seconds: 1.5,
            ticks: 8,
            busy_seconds: 0.5,
            records_in: 21,
            rows: 20,
            dead_letters: 1,
            late_events: 7,
            lost_records: 6,
            committed_at: Some(1_709_251_200_000_000),
            checkpoint_age_seconds: Some(2.5),
            checkpoint_seconds: 0.125,
            checkpoint_bytes: 900,
            started_at: None,
            sql: "INSERT INTO t SELECT 1".into(),
        };
        vec![row]
    }

    async fn subscribe(
        &self,
        view: &str,
        after: Option<&str>,
    ) -> Result<Box<dyn ChangeStream>, AnalyzeError> {
        match after {
            Some(token) => Err(AnalyzeError::user(format!("{token} is no token of {view}"))),
            None => Ok(Box::new(Counting(0))),
        }
    }

    fn open_topic(
        &self,
        _definition: &TableDefinition,
        _columns: &[&str],
    ) -> Result<Box<dyn Source>, AnalyzeError> {
        Err(AnalyzeError::user("there are no topics"))
    }
}

/// Three rows, and where that is, again and again.
struct Counting(usize);

#[async_trait]
impl ChangeStream for Counting {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    async fn next(&mut self) -> Result<Change, AnalyzeError> {
        self.0 += 1;
        if self.0.is_multiple_of(2) {
            let (token, positions) = (format!("1-{}", self.0), BTreeMap::new());
            return Ok(Change::Progress { token, positions });
        }
        let numbers = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_new(self.schema(), vec![numbers]).unwrap();
        let kinds = vec![(0, RowKind::Insert), (0, RowKind::Insert), (1, RowKind::Delete)];
        Ok(Change::Rows { batch, kinds })
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
        "p|insert|events|t|running||5|1.5|2024-03-01T00:00:00Z|21|20|1|7|6|\
         {\"events\":{\"0\":17,\"1\":4}}|{\"events\":{\"0\":15}}|3|2024-03-01T00:00:00Z|2.5|0.125|900|\
         6|800|8|0.5||it rained|2024-03-01T00:00:00Z|sql|p-1|2|INSERT INTO t SELECT 1"
    );
    let columns = columns(&mut session, "SELECT * FROM sys.pipelines").await;
    assert_eq!(columns.len(), 32);
    let next = "SELECT json_value(positions, '$.events[''1'']') FROM sys.pipelines";
    assert_eq!(ask(&mut session, next).await.unwrap(), "4");
    let sources = ask(&mut session, "SELECT * FROM sys.pipeline_sources").await.unwrap();
    assert_eq!(sources, "p|events|0|17|15|22|5|1.5\np|events|1|4||9|5|1.5");
    let operators = "SELECT * FROM sys.operators WHERE operator = 'aggregate-1'";
    assert_eq!(
        ask(&mut session, operators).await.unwrap(),
        "p|aggregate-1|aggregate|source-1, source-2|COUNT(*) by a|2|21|20|7|3|400|\
         2024-03-01T00:00:00Z|0.25"
    );
}

#[tokio::test]
async fn a_subscription_ends_with_the_row_that_was_asked_for_last() {
    let (mut session, _) = session();
    let Answer::Changes(mut changes) = session.execute("SUBSCRIBE v LIMIT 5").await.unwrap() else {
        panic!("a subscription gives changes");
    };
    let mut told = Vec::new();
    while let Some(change) = changes.next().await.unwrap() {
        told.push(match change {
            Change::Rows { kinds, .. } => kinds.len().to_string(),
            Change::Progress { token, .. } => token,
            Change::Reset => "reset".to_string(),
        });
    }
    assert_eq!(told, ["3", "1-2", "2"]);
    let said = error(&mut session, "SUBSCRIBE v AFTER 'x'").await;
    assert_eq!(said, "x is no token of v");
    let said = error(&mut session, "SUBSCRIBE v; SELECT 1").await;
    assert!(said.starts_with("SUBSCRIBE does not end"), "{said}");
    let said = error(&mut session, "SUBSCRIBE (SELECT 1)").await;
    assert!(said.contains("CREATE MATERIALIZED VIEW"), "{said}");
}
