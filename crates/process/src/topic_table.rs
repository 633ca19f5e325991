//! A declared topic as a table for queries: its records decoded by its columns, hidden columns last.
//!
//! Guarantees: a query sees every record that was readable when it began, and only the columns it
//! names are decoded. A record that cannot be decoded is left out and counted in the log; a
//! pipeline over the topic makes a dead letter of it.
//! Left out: conditions; computed columns, which are not in the schema.

use crate::stream::plan::with_hidden;
use crate::stream::source::{ReadColumn, ReadFrom, TopicRead, TopicReader, TopicSource};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tradewind_sql::{TableDefinition, TopicTable as TopicOptions};
use tradewind_types::connector::Positions;
use tradewind_types::{Log, PartitionId, Source, SystemClock};

/// Records decoded at once.
const CHUNK_RECORDS: usize = 8_192;

/// A declared topic.
pub struct TopicTable {
    definition: TableDefinition,
    topic: TopicOptions,
    log: Arc<dyn Log>,
    schema: SchemaRef,
}

impl TopicTable {
    /// The table of a definition, or `None` where that is no topic.
    pub fn new(definition: &TableDefinition, log: Arc<dyn Log>) -> Option<Self> {
        let topic = definition.topic()?.clone();
        let schema = with_hidden(&definition.schema());
        Some(Self { definition: definition.clone(), topic, log, schema })
    }

    fn read(&self, projected: &Schema) -> Result<TopicRead> {
        let visible = projected.fields().iter().filter(|field| {
            self.definition.columns.iter().any(|column| column.name == *field.name())
        });
        let column = |field: &Arc<arrow::datatypes::Field>| {
            let from = ReadFrom::of(&self.definition, field.name());
            let from = from.map_err(DataFusionError::Plan)?;
            Ok(ReadColumn { field: field.clone(), from })
        };
        Ok(TopicRead {
            table: self.definition.name.clone(),
            topic: self.topic.topic.clone(),
            format: self.topic.format,
            columns: visible.map(column).collect::<Result<_>>()?,
            prefilters: Vec::new(),
        })
    }
}

impl fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicTable({})", self.definition.name)
    }
}

#[async_trait]
impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let scan = Scan { read: self.read(&schema)?, log: self.log.clone(), schema };
        let schema = scan.schema.clone();
        let exec = StreamingTableExec::try_new(
            schema,
            vec![Arc::new(scan)],
            None,
            std::iter::empty(),
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

/// One query's look at a topic.
struct Scan {
    read: TopicRead,
    log: Arc<dyn Log>,
    schema: SchemaRef,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({})", self.read.topic)
    }
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let batches = futures::stream::once(open(self.read.clone(), self.log.clone()))
            .map_ok(|reading| futures::stream::try_unfold(reading, next))
            .try_flatten();
        let projected = schema.clone();
        let batches = batches.map(move |batch| project(&batch?, &projected));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// A topic being read up to an end that was fixed when the query began.
struct Reading {
    source: TopicSource,
    end: Positions,
    decoded: VecDeque<RecordBatch>,
}

async fn open(read: TopicRead, log: Arc<dyn Log>) -> Result<Reading> {
    let external = |error| DataFusionError::External(Box::new(error));
    let clock = Arc::new(SystemClock);
    let reader = TopicReader { log: log.clone(), clock, name: format!("query:{}", read.table) };
    let source = TopicSource::open(&read, reader).map_err(external)?;
    let end = source.positions().into_keys().map(|partition: PartitionId| {
        let marks = log.watermarks(&read.topic, partition);
        marks.map(|marks| (partition, marks.high_watermark))
    });
    let end = end.collect::<std::result::Result<Positions, _>>();
    let end = end.map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(Reading { source, end, decoded: VecDeque::new() })
}

async fn next(mut reading: Reading) -> Result<Option<(RecordBatch, Reading)>> {
    loop {
        if let Some(batch) = reading.decoded.pop_front() {
            return Ok(Some((batch, reading)));
        }
        let positions = reading.source.positions();
        let is_done = |(partition, end): (&PartitionId, &i64)| positions[partition] >= *end;
        if reading.end.iter().all(is_done) {
            return Ok(None);
        }
        let polled = reading.source.poll(CHUNK_RECORDS).await;
        for batch in polled.map_err(|error| DataFusionError::External(Box::new(error)))? {
            if !batch.rejected.is_empty() {
                let (partition, count) = (batch.partition, batch.rejected.len());
                tracing::warn!(partition, count, "records were left out that cannot be decoded");
            }
            reading.decoded.push_back(batch.batch);
        }
    }
}

/// A batch's columns by the names and the order of a schema.
fn project(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let indices = schema.fields().iter().map(|field| batch.schema().index_of(field.name()));
    Ok(batch.project(&indices.collect::<std::result::Result<Vec<_>, _>>()?)?)
}
