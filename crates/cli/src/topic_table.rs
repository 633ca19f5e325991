//! A declared topic as a table of a query: its records, decoded as a pipeline decodes them.
//!
//! Guarantees: the range read is fixed when the query is planned; only the columns the query names
//! are decoded; at most [`BATCHES_AHEAD`] batches wait for the engine.
//! Left out: computed columns, and records that cannot be decoded: the pipelines that read the
//! topic put those in `dead_letters`.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Fields, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tradewind_process::stream::source::{
    ReadColumn, ReadFrom, TopicRead, TopicReader, TopicSource,
};
use tradewind_sql::{ColumnKind, TableDefinition};
use tradewind_types::{Clock, Log, OFFSET_COLUMN, Offset, PartitionId, Source};

/// Decoded batches that may wait for the engine.
const BATCHES_AHEAD: usize = 2;
/// Records decoded at once.
const POLL_ROWS: usize = 8_192;

/// See the module.
pub(crate) struct DeclaredTopic {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    read: TopicRead,
    schema: SchemaRef,
}

impl fmt::Debug for DeclaredTopic {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "DeclaredTopic({})", self.read.table)
    }
}

impl DeclaredTopic {
    /// The table that `definition` declares; `None` when it is no topic.
    pub(crate) fn new(
        log: &Arc<dyn Log>,
        clock: &Arc<dyn Clock>,
        definition: &TableDefinition,
    ) -> Option<Self> {
        let topic = definition.topic()?;
        let columns = definition.columns.iter().filter(|column| !column.is_computed());
        let columns = columns.map(|column| ReadColumn {
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
        let schema = read.schema();
        Some(Self { log: Arc::clone(log), clock: Arc::clone(clock), read, schema })
    }

    /// What is read for some of the table's columns; the hidden ones always are.
    fn pruned(&self, wanted: &Schema) -> TopicRead {
        let mut read = self.read.clone();
        read.columns.retain(|column| wanted.field_with_name(column.field.name()).is_ok());
        read
    }

    /// The end of each partition now.
    fn ends(&self) -> Result<BTreeMap<PartitionId, Offset>> {
        let partitions = self.log.topic(&self.read.topic).map_or(0, |topic| topic.partitions);
        let ends = (0..partitions).map(|partition| {
            let marks = self.log.watermarks(&self.read.topic, partition).map_err(external)?;
            Ok((partition, marks.high_watermark))
        });
        ends.collect()
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

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl TableProvider for DeclaredTopic {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let part = Part {
            reader: TopicReader {
                log: Arc::clone(&self.log),
                clock: Arc::clone(&self.clock),
                name: format!("query:{}", self.read.table),
            },
            read: self.pruned(&schema),
            ends: self.ends()?,
            schema: Arc::clone(&schema),
        };
        let parts: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(part)];
        let exec =
            StreamingTableExec::try_new(schema, parts, None, std::iter::empty(), false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// The whole topic, up to its ends.
struct Part {
    reader: TopicReader,
    read: TopicRead,
    ends: BTreeMap<PartitionId, Offset>,
    schema: SchemaRef,
}

impl fmt::Debug for Part {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} up to {:?}", self.read.topic, self.ends)
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let out = builder.tx();
        let (reader, read) = (self.reader.clone(), self.read.clone());
        let (ends, schema) = (self.ends.clone(), Arc::clone(&self.schema));
        builder.spawn(async move {
            let mut source = TopicSource::open(&read, reader).map_err(external)?;
            let left = |source: &TopicSource| {
                let positions = source.positions();
                ends.iter()
                    .any(|(partition, end)| positions.get(partition).is_none_or(|at| at < end))
            };
            while left(&source) {
                let polled = source.poll(POLL_ROWS).await.map_err(external)?;
                if polled.is_empty() {
                    break;
                }
                for part in polled {
                    let end = ends.get(&part.partition).copied().unwrap_or_default();
                    let batch = shaped(&part.batch, end, &schema)?;
                    if batch.num_rows() > 0 && out.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        builder.build()
    }
}

/// The rows before `end`, in the columns of `schema`.
fn shaped(batch: &RecordBatch, end: Offset, schema: &SchemaRef) -> Result<RecordBatch> {
    let offsets = batch
        .column_by_name(OFFSET_COLUMN)
        .ok_or_else(|| DataFusionError::Internal("a topic's rows have no offset".into()))?;
    let before =
        offsets.as_primitive::<Int64Type>().values().iter().map(|offset| Some(*offset < end));
    let batch = filter_record_batch(batch, &BooleanArray::from_iter(before))?;
    let fields: &Fields = schema.fields();
    let indices = fields.iter().map(|field| batch.schema().index_of(field.name()));
    let indices = indices.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(batch.project(&indices)?)
}
