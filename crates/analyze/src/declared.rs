//! A declared topic as a table of a query: its records, decoded as a pipeline decodes them.
//!
//! Guarantees: the range read is fixed when the query is planned; only the columns the query names
//! are decoded; the order of records within a partition is kept.
//! Left out: the decoder, which whoever implements [`Control`] brings; computed columns, and
//! records that cannot be decoded: the pipelines that read the topic put those in `dead_letters`.

use crate::control::Control;
use crate::scan::{Out, Part, Scan};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tradewind_sql::TableDefinition;
use tradewind_types::{Log, OFFSET_COLUMN, Offset, PARTITION_COLUMN, PartitionId, Source};

/// Records decoded at once.
const POLL_ROWS: usize = 8_192;

/// See the module.
pub(crate) struct DeclaredTopic {
    log: Arc<dyn Log>,
    control: Arc<dyn Control>,
    definition: Arc<TableDefinition>,
    topic: String,
    schema: SchemaRef,
}

impl fmt::Debug for DeclaredTopic {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "DeclaredTopic({})", self.definition.name)
    }
}

impl DeclaredTopic {
    /// The table that `definition` declares; `None` when it is no topic.
    pub(crate) fn new(
        log: &Arc<dyn Log>,
        control: &Arc<dyn Control>,
        definition: &TableDefinition,
    ) -> Option<Self> {
        let topic = definition.topic()?.topic.clone();
        let read = definition.columns.iter().filter(|column| !column.is_computed());
        let fields = read
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable))
            .chain([
                Field::new(PARTITION_COLUMN, DataType::Int32, false),
                Field::new(OFFSET_COLUMN, DataType::Int64, false),
            ]);
        Some(Self {
            log: Arc::clone(log),
            control: Arc::clone(control),
            topic,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            definition: Arc::new(definition.clone()),
        })
    }

    /// The end of each partition now.
    fn ends(&self) -> Result<BTreeMap<PartitionId, Offset>> {
        let partitions = self.log.topic(&self.topic).map_or(0, |topic| topic.partitions);
        let ends = (0..partitions).map(|partition| {
            let marks = self.log.watermarks(&self.topic, partition).map_err(external)?;
            Ok((partition, marks.last_stable))
        });
        ends.collect()
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Scan for DeclaredTopic {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn parts(&self, schema: &SchemaRef, _conditions: &[Expr]) -> Result<Vec<Part>> {
        let ends = self.ends()?;
        let name = format!("{} up to {ends:?}", self.topic);
        let (control, definition) = (Arc::clone(&self.control), Arc::clone(&self.definition));
        let schema = Arc::clone(schema);
        Ok(vec![Part::new(name, move |out| {
            let columns: Vec<&str> =
                schema.fields().iter().map(|field| field.name().as_str()).collect();
            let source = control.open_topic(&definition, &columns);
            let (ends, schema) = (ends.clone(), Arc::clone(&schema));
            async move { read(source?, ends, &schema, out).await }.boxed()
        })])
    }
}

/// Hands out the rows before `ends`.
async fn read(
    mut source: Box<dyn Source>,
    ends: BTreeMap<PartitionId, Offset>,
    schema: &SchemaRef,
    out: Out,
) -> Result<()> {
    let left = |source: &dyn Source| {
        let positions = source.positions();
        ends.iter().any(|(partition, end)| positions.get(partition).is_none_or(|at| at < end))
    };
    while left(source.as_ref()) {
        let before = source.positions();
        let polled = source.poll(POLL_ROWS).await.map_err(external)?;
        // A poll may only have passed over what readers are not shown.
        if polled.is_empty() && source.positions() == before {
            break;
        }
        for part in polled {
            let end = ends.get(&part.partition).copied().unwrap_or_default();
            let batch = shaped(&part.batch, end, schema)?;
            if batch.num_rows() > 0 && !out.send(batch).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The rows before `end`, in the columns of `schema`.
fn shaped(batch: &RecordBatch, end: Offset, schema: &SchemaRef) -> Result<RecordBatch> {
    let offsets = batch
        .column_by_name(OFFSET_COLUMN)
        .ok_or_else(|| DataFusionError::Internal("a topic's rows have no offset".into()))?;
    let before =
        offsets.as_primitive::<Int64Type>().values().iter().map(|offset| Some(*offset < end));
    let batch = filter_record_batch(batch, &BooleanArray::from_iter(before))?;
    let indices = schema.fields().iter().map(|field| batch.schema().index_of(field.name()));
    let indices = indices.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(batch.project(&indices)?)
}
