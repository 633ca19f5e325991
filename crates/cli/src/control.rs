//! Statements that change something, carried out over the catalogue, the lake, the log and the
//! engine.
//!
//! Guarantees: the catalogue has the last word: an object is there when the catalogue has it.
//! Left out: queries.

use crate::engine::table_spec;
use crate::follow::Follower;
use crate::pipeline_rows;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tradewind_analyze::{AnalyzeError, Asked, ChangeStream, Control, Dialect, PipelineRow};
use tradewind_lake::Lake;
use tradewind_process::stream::plan::Read;
use tradewind_process::stream::source::{
    ReadColumn, ReadFrom, TopicRead, TopicReader, TopicSource,
};
use tradewind_process::{Engine, PipelineRequest, PipelineState, ProcessError, writers};
use tradewind_sql::catalogue::Outcome;
use tradewind_sql::{
    Catalogue, CatalogueError, CreateTable, ObjectKind, Owner, Pipeline, PipelineStatement,
    StatementKind, TableDefinition,
};
use tradewind_types::event::{DEAD_LETTER_RETRIES_TOPIC, DEAD_LETTERS_TOPIC, EVENTS_TOPIC};
use tradewind_types::{Clock, Log, LogError, Source, TopicSpec};

/// Carries out statements.
pub(crate) struct Controller {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) lake: Lake,
    pub(crate) engine: Engine,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Partitions of a topic that is made because a table names it.
    pub(crate) topic_partitions: i32,
}

/// How long somebody who follows a view waits for it to be planned: milliseconds, even when many are
/// at a start.
const PLANNED_WITHIN: Duration = Duration::from_secs(10);
/// How often he looks.
const PLANNED_LOOK: Duration = Duration::from_millis(20);

fn catalogue_error(error: CatalogueError) -> AnalyzeError {
    AnalyzeError::user(error.to_string())
}

fn process_error(error: ProcessError) -> AnalyzeError {
    match error {
        ProcessError::Plan(error) => error.into(),
        other if other.is_transient() => AnalyzeError::environment(other.to_string()),
        other => AnalyzeError::user(other.to_string()),
    }
}

#[async_trait]
impl Control for Controller {
    async fn run(&self, asked: Asked<'_>) -> Result<String, AnalyzeError> {
        let dialect = asked.dialect;
        match &asked.statement.kind {
            StatementKind::CreateTable(table) => self.create_table(table).await,
            StatementKind::CreateView(view) => {
                let outcome = self.catalogue.create_view(view, dialect, &Owner::Sql);
                outcome.map_err(catalogue_error)?;
                Ok("CREATE VIEW".into())
            }
            StatementKind::Insert(insert) => {
                let request = PipelineRequest {
                    name: asked.pipeline_name.map(str::to_string),
                    statement: PipelineStatement::Insert(insert.as_ref().clone()),
                    dialect,
                    owner: Owner::Sql,
                };
                let status = self.engine.create(request).await.map_err(process_error)?;
                Ok(format!("CREATE PIPELINE {}", status.name))
            }
            StatementKind::CreateMaterializedView(view) => {
                let request = PipelineRequest {
                    name: None,
                    statement: PipelineStatement::View(view.as_ref().clone()),
                    dialect,
                    owner: Owner::Sql,
                };
                self.engine.create(request).await.map_err(process_error)?;
                Ok("CREATE MATERIALIZED VIEW".into())
            }
            StatementKind::Drop { kind, if_exists, name, .. } => {
                self.drop_object(*kind, name, *if_exists).await
            }
            StatementKind::AlterPipeline { name, pause } => {
                let changed = match pause {
                    true => self.engine.pause(name).await,
                    false => self.engine.resume(name).await,
                };
                changed.map_err(process_error)?;
                Ok("ALTER PIPELINE".into())
            }
            _ => Err(AnalyzeError::user("not supported: this statement")),
        }
    }

    async fn pipelines(&self) -> Vec<PipelineRow> {
        let (statuses, now) = (self.engine.overview().await, self.clock.now_us());
        statuses.into_iter().map(|status| pipeline_rows::row(status, now)).collect()
    }

    async fn subscribe(
        &self,
        view: &str,
        after: Option<&str>,
    ) -> Result<Box<dyn ChangeStream>, AnalyzeError> {
        let until = Instant::now() + PLANNED_WITHIN;
        loop {
            if let Some(view) = self.engine.view(view) {
                return Ok(Box::new(Follower::new(view, after)?));
            }
            let status = self.engine.status(view).map_err(process_error)?;
            if status.state != PipelineState::Starting || Instant::now() > until {
                return Err(self.does_not_answer(view));
            }
            sleep(PLANNED_LOOK).await;
        }
    }

    fn explain(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<String, AnalyzeError> {
        self.engine.explain(statement, dialect).map_err(process_error)
    }

    fn view(&self, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>), AnalyzeError> {
        let snapshot = self.engine.view(name).and_then(|view| view.snapshot());
        let Some(snapshot) = snapshot else { return Err(self.does_not_answer(name)) };
        let chunks = snapshot.table.chunks.iter().map(|chunk| chunk.as_ref().clone());
        Ok((Arc::clone(&snapshot.table.schema), chunks.collect()))
    }

    fn open_topic(
        &self,
        definition: &TableDefinition,
        columns: &[&str],
    ) -> Result<Box<dyn Source>, AnalyzeError> {
        let Some(topic) = definition.topic() else {
            return Err(AnalyzeError::bug(format!("table \"{}\" is no topic", definition.name)));
        };
        if let Some(reason) = topic.unreadable() {
            let name = &definition.name;
            let message = format!("table \"{name}\" is written, not read: {reason}");
            return Err(
                AnalyzeError::user(message).hint(format!("SELECT * FROM topic('{}')", topic.topic))
            );
        }
        let wanted = definition
            .columns
            .iter()
            .filter(|column| !column.is_computed() && columns.contains(&column.name.as_str()));
        let mut columns = Vec::new();
        for column in wanted {
            let from = ReadFrom::of(definition, &column.name).map_err(|reason| {
                AnalyzeError::user(format!("column \"{}\": {reason}", column.name))
            })?;
            let field = Field::new(&column.name, column.data_type.clone(), column.nullable);
            columns.push(ReadColumn { field: Arc::new(field), from });
        }
        let read = TopicRead::of(definition, topic, Read { columns, prefilters: Vec::new() });
        let reader = TopicReader {
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            name: format!("query:{}", definition.name),
        };
        match TopicSource::open(&read, reader) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => Err(AnalyzeError::user(error.to_string())),
        }
    }
}

/// Why Kafka clients may not delete a topic; `None` where they may.
pub(crate) fn kept_topic(catalogue: &Catalogue, topic: &str) -> Option<String> {
    if [EVENTS_TOPIC, DEAD_LETTERS_TOPIC, DEAD_LETTER_RETRIES_TOPIC].contains(&topic) {
        return Some(format!("topic \"{topic}\" is the server's own"));
    }
    let relations = catalogue.relations();
    let reader = relations
        .iter()
        .filter_map(|relation| relation.table())
        .find(|table| table.topic().is_some_and(|declared| declared.topic == topic))?;
    Some(format!("table \"{0}\" reads topic \"{topic}\": DROP TABLE {0} first", reader.name))
}

impl Controller {
    /// Why a view has no rows yet.
    fn does_not_answer(&self, view: &str) -> AnalyzeError {
        let status = match self.engine.status(view) {
            Ok(status) => status,
            Err(error) => return process_error(error),
        };
        let reason = status.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        AnalyzeError::environment(format!(
            "materialized view \"{view}\" has not caught up since the server started ({}{reason})",
            status.state
        ))
    }

    async fn create_table(&self, table: &CreateTable) -> Result<String, AnalyzeError> {
        let definition = &table.definition;
        let outcome = self.catalogue.create_table(table, &Owner::Sql).map_err(catalogue_error)?;
        let made = match definition.topic() {
            Some(topic) => self.make_topic(&topic.topic).await,
            None if definition.is_lake() => {
                let made = self.catalogue.table(&definition.name);
                let spec = table_spec(made.as_ref().unwrap_or(definition));
                let made = self.lake.create_table(&spec).await;
                made.map(drop).map_err(|error| AnalyzeError::user(error.to_string()))
            }
            None => Ok(()),
        };
        if let Err(error) = made {
            if outcome == Outcome::Created {
                let undone = self.catalogue.drop_object(ObjectKind::Table, &definition.name, true);
                undone.map_err(catalogue_error)?;
            }
            return Err(error);
        }
        Ok("CREATE TABLE".into())
    }

    async fn make_topic(&self, topic: &str) -> Result<(), AnalyzeError> {
        if self.log.topic(topic).is_some() {
            return Ok(());
        }
        match self.log.create_topic(&TopicSpec::new(topic, self.topic_partitions)).await {
            Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
            Err(error @ LogError::Invalid(_)) => Err(AnalyzeError::user(error.to_string())),
            Err(error) => Err(AnalyzeError::environment(error.to_string())),
        }
    }

    async fn drop_object(
        &self,
        kind: ObjectKind,
        name: &str,
        if_exists: bool,
    ) -> Result<String, AnalyzeError> {
        let tag = format!("DROP {}", kind.name().to_uppercase());
        if matches!(kind, ObjectKind::Pipeline | ObjectKind::MaterializedView) {
            let pipeline = self.catalogue.pipeline(name);
            let dropped = match kind {
                ObjectKind::Pipeline => self.engine.drop_pipeline(name, if_exists).await,
                _ => self.engine.drop_view(name, if_exists).await,
            };
            dropped.map_err(process_error)?;
            if let Some(pipeline) = pipeline {
                self.forget_writers(&pipeline).await;
            }
            return Ok(tag);
        }
        let table = self.catalogue.table(name).filter(|table| table.is_lake());
        let folder = table.map(|table| table.folder).filter(|_| kind == ObjectKind::Table);
        let Some(folder) = folder.filter(|folder| self.lake.table(folder).is_some()) else {
            self.catalogue.drop_object(kind, name, if_exists).map_err(catalogue_error)?;
            return Ok(tag);
        };
        // From here on the catalogue decides, at the next start if need be, whether the rows stay.
        self.lake.unsettle(&folder).await?;
        let dropped = self.catalogue.drop_object(kind, name, if_exists);
        if dropped.is_ok() {
            self.lake.drop_table(&folder).await?;
        }
        self.lake.settle(&folder).await?;
        dropped.map_err(catalogue_error)?;
        Ok(tag)
    }

    /// Removes what a dropped pipeline had staged and nothing will commit. The pipeline is gone
    /// whether or not this succeeds, so a failure is told to the operator alone.
    async fn forget_writers(&self, pipeline: &Pipeline) {
        for (table, writer) in writers(pipeline) {
            let named = self.catalogue.table(table);
            let folder = named.map_or_else(|| table.to_string(), |named| named.folder);
            if self.lake.table(&folder).is_none() {
                continue;
            }
            if let Err(error) = self.lake.forget_writer(&folder, &writer).await {
                let pipeline = pipeline.name.as_str();
                tracing::warn!(pipeline, table, writer, %error, "staged files were left behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{engine, settings};
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::Schema;
    use std::path::Path;
    use tradewind_disk::{Disk, OsDisk};
    use tradewind_lake::hidden_fields;
    use tradewind_log::LogStore;
    use tradewind_sql::parse_script;
    use tradewind_types::SystemClock;
    use tradewind_types::config::Config;

    async fn controller(dir: &Path) -> Controller {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let overrides = ["log.disk_reserve_bytes=16 MiB".to_string()];
        let config = &Config::resolve(None, [], &overrides).unwrap();
        let log = settings::log(config);
        let (log, _) = LogStore::open(disk.clone(), &dir.join("log"), log, clock.clone()).unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let (lake_dir, manifests) = (dir.join("lake"), dir.join("pipelines"));
        let lake = Lake::open(disk.clone(), &lake_dir, settings::lake(config), clock.clone());
        let lake = lake.await.unwrap();
        let catalogue = Catalogue::open(&dir.join("catalogue"), clock.clone()).unwrap();
        let catalogue = Arc::new(catalogue);
        let engine = engine::start(engine::Parts {
            catalogue: &catalogue,
            log: &log,
            lake: &lake,
            disk: &disk,
            clock: &clock,
            config,
            dir: &manifests,
        });
        let engine = engine.await.unwrap();
        Controller { catalogue, lake, engine, log, clock, topic_partitions: 1 }
    }

    async fn run(controller: &Controller, script: &str) {
        for statement in parse_script(script, Dialect::Flink).unwrap() {
            let dialect = Dialect::Flink;
            let asked = Asked { statement: &statement, dialect, pipeline_name: Some("p") };
            controller.run(asked).await.unwrap();
        }
    }

    const TABLES: &str = "
        CREATE TABLE words_stream (a STRING)
            WITH ('connector' = 'kafka', 'topic' = 'words', 'format' = 'json');
        CREATE TABLE words (a STRING) WITH ('connector' = 'delta');
        INSERT INTO words SELECT a FROM words_stream;";

    fn parquet_files(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.map(|path| match path.is_dir() {
            true => parquet_files(&path),
            false => usize::from(path.extension().is_some_and(|end| end == "parquet")),
        });
        files.sum()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn staged_files_of_a_dropped_pipeline_stayed_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let controller = controller(folder.path()).await;
        run(&controller, TABLES).await;
        run(&controller, "ALTER PIPELINE p PAUSE").await;
        let pipeline = controller.catalogue.pipeline("p").unwrap();
        let (table, writer) = writers(&pipeline)[0].clone();
        let mut sink = controller.lake.sink(table, &writer).unwrap();
        sink.recover(None).await.unwrap();
        let mut fields = vec![Arc::new(Field::new("a", arrow::datatypes::DataType::Utf8, true))];
        fields.extend(hidden_fields());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["x"])),
            Arc::new(Int32Array::from(vec![0])),
            Arc::new(Int64Array::from(vec![0])),
        ];
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        sink.write(vec![rows]).await.unwrap();
        sink.stage(1_000).await.unwrap();
        drop(sink);
        let lake = folder.path().join("lake");
        assert_eq!(parquet_files(&lake), 1, "nothing was staged");
        run(&controller, "DROP PIPELINE p").await;
        assert_eq!(parquet_files(&lake), 0);
        controller.engine.shutdown().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn topics_that_something_reads_could_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let controller = controller(folder.path()).await;
        run(&controller, TABLES).await;
        let kept = |topic: &str| kept_topic(&controller.catalogue, topic);
        assert_eq!(kept("events").unwrap(), "topic \"events\" is the server's own");
        assert!(kept("dead_letters").is_some());
        let reason = "table \"words_stream\" reads topic \"words\": DROP TABLE words_stream first";
        assert_eq!(kept("words").as_deref(), Some(reason));
        assert_eq!(kept("anything"), None);
        run(&controller, "DROP PIPELINE p; DROP TABLE words_stream").await;
        assert_eq!(kept("words"), None);
        controller.engine.shutdown().await.unwrap();
    }
}
