//! Statements that change something, carried out over the catalogue, the lake, the log and the
//! engine.
//!
//! Guarantees: the catalogue has the last word: an object is there when the catalogue has it.
//! Left out: queries.

use crate::engine::table_spec;
use arrow::datatypes::Field;
use async_trait::async_trait;
use std::sync::Arc;
use tradewind_analyze::{AnalyzeError, Asked, Control, Dialect, PipelineRow};
use tradewind_lake::Lake;
use tradewind_process::stream::source::{
    ReadColumn, ReadFrom, TopicRead, TopicReader, TopicSource,
};
use tradewind_process::{Engine, PipelineRequest, PipelineStatus, ProcessError};
use tradewind_sql::catalogue::Outcome;
use tradewind_sql::{
    Catalogue, CatalogueError, ColumnKind, CreateTable, Insert, ObjectKind, Owner,
    StatementKind, TableDefinition,
};
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
                    insert: insert.as_ref().clone(),
                    dialect,
                    owner: Owner::Sql,
                };
                let status = self.engine.create(request).await.map_err(process_error)?;
                Ok(format!("CREATE PIPELINE {}", status.name))
            }
            StatementKind::Drop { kind, if_exists, name } => {
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

    fn pipelines(&self) -> Vec<PipelineRow> {
        self.engine.pipelines().into_iter().map(row).collect()
    }

    fn explain(&self, insert: &Insert, dialect: Dialect) -> Result<String, AnalyzeError> {
        self.engine.explain(insert, dialect).map_err(process_error)
    }

    fn open_topic(
        &self,
        definition: &TableDefinition,
        columns: &[&str],
    ) -> Result<Box<dyn Source>, AnalyzeError> {
        let Some(topic) = definition.topic() else {
            return Err(AnalyzeError::bug(format!("table \"{}\" is no topic", definition.name)));
        };
        let wanted = definition
            .columns
            .iter()
            .filter(|column| !column.is_computed() && columns.contains(&column.name.as_str()));
        let columns = wanted.map(|column| ReadColumn {
            field: Arc::new(Field::new(&column.name, column.data_type.clone(), column.nullable)),
            from: read_from(&column.kind),
        });
        let read = TopicRead {
            table: definition.name.clone(),
            topic: topic.topic.clone(),
            format: topic.format,
            columns: columns.collect(),
            prefilters: Vec::new(),
        };
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

fn read_from(kind: &ColumnKind) -> ReadFrom {
    match kind {
        ColumnKind::Metadata { key } => match key.as_str() {
            "partition" => ReadFrom::Partition,
            "offset" => ReadFrom::Offset,
            "topic" => ReadFrom::Topic,
            _ => ReadFrom::Timestamp,
        },
        _ => ReadFrom::Value,
    }
}

fn row(status: PipelineStatus) -> PipelineRow {
    PipelineRow {
        name: status.name,
        id: status.id,
        incarnation: status.incarnation,
        topic: status.topic,
        target: status.target,
        state: status.state.to_string(),
        reason: status.reason,
        epoch: status.epoch,
        positions: status.positions,
        committed: status.committed,
        lag: status.lag,
        records_in: status.records_in,
        rows: status.rows_out,
        dead_letters: status.dead_letters,
        lost_records: status.lost_records,
        committed_at: status.committed_at,
        started_at: status.started_at,
        sql: status.sql,
    }
}

impl Controller {
    async fn create_table(&self, table: &CreateTable) -> Result<String, AnalyzeError> {
        let definition = &table.definition;
        let outcome = self.catalogue.create_table(table, &Owner::Sql).map_err(catalogue_error)?;
        let made = match definition.topic() {
            Some(topic) => self.make_topic(&topic.topic).await,
            None => {
                let made = self.lake.create_table(&table_spec(definition)).await;
                made.map(drop).map_err(|error| AnalyzeError::user(error.to_string()))
            }
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
        if kind == ObjectKind::Pipeline {
            self.engine.drop_pipeline(name, if_exists).await.map_err(process_error)?;
            return Ok(tag);
        }
        let lake_table = self.catalogue.table(name).is_some_and(|table| table.is_lake());
        self.catalogue.drop_object(kind, name, if_exists).map_err(catalogue_error)?;
        if lake_table && self.lake.table(name).is_some() {
            let dropped = self.lake.drop_table(name).await;
            dropped.map_err(|error| AnalyzeError::environment(error.to_string()))?;
        }
        Ok(tag)
    }
}
