//! Where a pipeline's rows come from.
//!
//! Guarantees: a source hands out Arrow rows with their partition and offset, and rejects a record
//! it cannot read without touching its neighbours.
//! Each connector is a file here; what a table says of it is `tradewind_sql`'s.

mod csv;
mod datagen;
mod decode;
mod file;
mod json;
mod lines;
mod socket;
mod topic;

pub use json::Prefilter;
pub use topic::{TopicReader, TopicSource};

use crate::ProcessError;
use crate::stream::plan::{Read, SourcePlan};
use tradewind_types::{Clock, Log, Source, SourceError};

use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use tradewind_sql::{ColumnKind, Connector, Format, TableDefinition, TopicTable};

/// The store a record says it belongs to.
pub(crate) fn store_of(record: &[u8]) -> Option<String> {
    json::text_field(record, "store_id")
}

/// What sources are opened with.
pub struct SourceEnvironment {
    /// Topics; `None` where there is no data folder.
    pub log: Option<Arc<dyn Log>>,
    /// For the time of dead letters.
    pub clock: Arc<dyn Clock>,
    /// `pipeline:<name>`, for dead letters.
    pub name: String,
}

/// Who reads what is no topic.
struct LineReader {
    clock: Arc<dyn Clock>,
    name: String,
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
    let definition = &plan.definition;
    let reader = LineReader { clock: environment.clock.clone(), name: environment.name.clone() };
    match &definition.connector {
        Connector::Topic(topic) => {
            let Some(log) = environment.log.clone() else {
                let source_name = definition.name.clone();
                let reason = "topics are in a data folder, and there is none here".to_string();
                return Err(SourceError::Decode { source_name, reason }.into());
            };
            let reader = TopicReader { log, clock: reader.clock, name: reader.name };
            let read = TopicRead::of(definition, topic, plan.read.clone());
            let mut source = TopicSource::open(&read, reader)?;
            if start_anew {
                source.seek_to(topic.startup).await?;
            }
            Ok(Box::new(source))
        }
        Connector::File(file) => Ok(Box::new(file::FileSource::open(file, plan, reader)?)),
        Connector::Socket(socket) => {
            Ok(Box::new(socket::SocketSource::open(socket, plan, reader).await?))
        }
        Connector::Datagen(datagen) => {
            Ok(Box::new(datagen::DatagenSource::open(datagen, plan, reader)?))
        }
        Connector::Lake | Connector::Print(_) | Connector::Blackhole => {
            let source_name = definition.name.clone();
            let reason = "it can be written, and a stream does not read it".to_string();
            Err(SourceError::Decode { source_name, reason }.into())
        }
    }
}

/// The names of a table's columns that its records' values hold, in order.
fn value_columns(definition: &TableDefinition) -> Vec<String> {
    definition.record_value().map(|column| column.name.clone()).collect()
}

/// What is read of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRead {
    /// The table's name, for messages.
    pub table: String,
    /// The topic's name.
    pub topic: String,
    /// How a value is read.
    pub format: Format,
    /// The names of all columns a value holds, in order: a format without names needs them.
    pub all_columns: Vec<String>,
    /// How a key is read, where columns are in the keys alone.
    pub key: Option<KeyRead>,
    /// Which columns and records.
    pub read: Read,
}

/// How a record's key is read.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRead {
    /// Its format.
    pub format: Format,
    /// The names of all columns it holds, in order.
    pub all_columns: Vec<String>,
    /// What those names begin with and the key's fields do not.
    pub prefix: String,
}

impl TopicRead {
    /// `read` of a table that is a topic.
    pub fn of(definition: &TableDefinition, topic: &TopicTable, read: Read) -> Self {
        let key = topic.key.as_ref().filter(|key| !key.in_value).map(|key| KeyRead {
            format: key.format.clone(),
            all_columns: definition.record_key().to_vec(),
            prefix: key.prefix.clone(),
        });
        Self {
            table: definition.name.clone(),
            topic: topic.topic.clone(),
            format: topic.format.clone(),
            all_columns: value_columns(definition),
            key,
            read,
        }
    }
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
    /// The same in the key.
    Key,
    /// The partition's number.
    Partition,
    /// The offset.
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// The topic's name.
    Topic,
    /// The headers; of several with one name the last counts.
    Headers,
}

fn is_headers(data_type: &DataType) -> bool {
    let DataType::Map(entries, _) = data_type else { return false };
    match entries.data_type() {
        DataType::Struct(fields) => {
            let types = fields.iter().map(|field| field.data_type());
            types.eq([&DataType::Utf8, &DataType::Binary])
        }
        _ => false,
    }
}

impl ReadFrom {
    /// Where a column of a table comes from; `Err` says what about its type does not fit.
    ///
    /// # Errors
    /// What is metadata has a type of its own.
    pub fn of(table: &TableDefinition, column: &str) -> Result<Self, String> {
        let column = table.columns.iter().find(|found| found.name == column);
        let Some(column) = column else { return Ok(Self::Value) };
        let ColumnKind::Metadata { key, .. } = &column.kind else {
            let in_value = table.record_value().any(|found| found.name == column.name);
            return Ok(if in_value { Self::Value } else { Self::Key });
        };
        let (from, fits) = match key.as_str() {
            "partition" => (Self::Partition, column.data_type == DataType::Int32),
            "offset" => (Self::Offset, column.data_type == DataType::Int64),
            "topic" => (Self::Topic, column.data_type == DataType::Utf8),
            "headers" => (Self::Headers, is_headers(&column.data_type)),
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
                    Self::Headers => "MAP<STRING, BYTES>",
                    _ => "TIMESTAMP_LTZ",
                }
            )),
        }
    }
}
