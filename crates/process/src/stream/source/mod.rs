//! Where a pipeline's rows come from.
//!
//! Guarantees: a source hands out Arrow rows with their partition and offset, and rejects a record
//! it cannot read without touching its neighbours.
//! Left out: files and sockets.

mod json;
mod topic;

pub use json::Prefilter;
pub use topic::{TopicReader, TopicSource};

use crate::ProcessError;
use crate::stream::plan::SourcePlan;
use tradewind_types::{Clock, Log, Source, SourceError};

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use std::sync::Arc;
use tradewind_sql::{ColumnKind, Format, TableDefinition};
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// The store a record says it belongs to.
pub(crate) fn store_of(record: &[u8]) -> Option<String> {
    json::text_field(record, "store_id")
}

/// The two hidden columns, as every batch of a pipeline ends.
pub(crate) fn hidden_fields() -> [Field; 2] {
    [
        Field::new(PARTITION_COLUMN, DataType::Int32, false),
        Field::new(OFFSET_COLUMN, DataType::Int64, false),
    ]
}

/// What sources are opened with.
pub struct SourceEnvironment {
    /// Topics.
    pub log: Arc<dyn Log>,
    /// For the time of dead letters.
    pub clock: Arc<dyn Clock>,
    /// `pipeline:<name>`, for dead letters.
    pub name: String,
}

/// Opens a source at its beginning or, with `start_anew`, where its table says that a pipeline
/// without a checkpoint starts.
///
/// # Errors
/// There is no such topic or file, or a type that its format has no form for.
pub async fn open_source(
    environment: &SourceEnvironment,
    plan: &SourcePlan,
    start_anew: bool,
) -> Result<Box<dyn Source>, ProcessError> {
    let Some(topic) = plan.definition.topic() else {
        let source_name = plan.definition.name.clone();
        let reason = "nothing reads this connector".to_string();
        return Err(SourceError::Decode { source_name, reason }.into());
    };
    let read = TopicRead {
        table: plan.definition.name.clone(),
        topic: topic.topic.clone(),
        format: topic.format,
        columns: plan.read.columns.clone(),
        prefilters: plan.read.prefilters.clone(),
    };
    let reader = TopicReader {
        log: environment.log.clone(),
        clock: environment.clock.clone(),
        name: environment.name.clone(),
    };
    let mut source = TopicSource::open(&read, reader)?;
    if start_anew {
        source.seek_to(topic.startup).await?;
    }
    Ok(Box::new(source))
}

/// What is read of a topic: only these columns, only these records.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRead {
    /// The table's name, for messages.
    pub table: String,
    /// The topic's name.
    pub topic: String,
    /// How a value is read.
    pub format: Format,
    /// The columns, each pruned to what is asked for, with where it comes from.
    pub columns: Vec<ReadColumn>,
    /// Records that fail one of these are of no interest.
    pub prefilters: Vec<Prefilter>,
}

/// A column to read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadColumn {
    /// Name, type, and whether it may be null.
    pub field: Arc<Field>,
    /// The record's value or something about the record.
    pub from: ReadFrom,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// The field of that name in the value, or with `raw` the value.
    Value,
    /// The partition's number.
    Partition,
    /// The offset.
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// The topic's name.
    Topic,
}

impl ReadFrom {
    /// Where a column of a table comes from; `Err` says what about its type does not fit.
    pub(crate) fn of(table: &TableDefinition, column: &str) -> Result<Self, String> {
        let column = table.columns.iter().find(|found| found.name == column);
        let Some(column) = column else { return Ok(Self::Value) };
        let ColumnKind::Metadata { key } = &column.kind else { return Ok(Self::Value) };
        let (from, fits) = match key.as_str() {
            "partition" => (Self::Partition, column.data_type == DataType::Int32),
            "offset" => (Self::Offset, column.data_type == DataType::Int64),
            "topic" => (Self::Topic, column.data_type == DataType::Utf8),
            _ => (Self::Timestamp, matches!(&column.data_type, DataType::Timestamp(_, Some(_)))),
        };
        match fits {
            true => Ok(from),
            false => Err(format!(
                "metadata \"{key}\" is {}",
                match from {
                    Self::Partition => "INT",
                    Self::Offset => "BIGINT",
                    Self::Topic => "STRING",
                    _ => "TIMESTAMP_LTZ",
                }
            )),
        }
    }
}

impl TopicRead {
    /// The rows' schema, the two hidden columns last.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| column.field.clone());
        let hidden = hidden_fields().into_iter().map(Arc::new);
        Arc::new(arrow::datatypes::Schema::new(fields.chain(hidden).collect::<Fields>()))
    }
}
