//! What a pipeline could not read or compute, or came late, as rows of the tables `dead_letters`
//! and `late_events`.
//!
//! Guarantees: a dead letter is written under the same manifest as the rows beside it, so it is
//! there exactly once. The table may be the pack's or ours; columns are filled by name.
//! Left out: what collectors reject, which reaches the table through its own topic.

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;
use tradewind_dataflow::Hidden;
use tradewind_sql::{
    Catalogue, Column, ColumnKind, Connector, Dialect, Position, SqlError, TableDefinition,
};
use tradewind_types::DeadLetter;

/// The tables for what is no row of a target. Both have the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterTable {
    /// What could not be read or computed.
    DeadLetters,
    /// What came after its windows.
    LateEvents,
}

impl LetterTable {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::DeadLetters, Self::LateEvents];

    /// The sink's id in manifests, and the end of its writers' names.
    pub const fn sink(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::LateEvents => "late-events",
        }
    }

    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::LateEvents => "late_events",
        }
    }
}

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// The table letters go to: the catalogue's, or ours where it has none.
pub fn table(catalogue: &Catalogue, letters: LetterTable) -> TableDefinition {
    let found = catalogue.table(letters.name()).filter(TableDefinition::is_lake);
    found.unwrap_or_else(|| default_table(letters))
}

/// The table as the pack `ecommerce` defines it.
fn default_table(letters: LetterTable) -> TableDefinition {
    let instant = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("store_id", DataType::Utf8),
        ("event_date", DataType::Date32),
        ("received_at", instant),
        ("source", DataType::Utf8),
        ("reason", DataType::Utf8),
        ("raw", DataType::Binary),
        ("topic", DataType::Utf8),
        ("topic_partition", DataType::Int32),
        ("topic_offset", DataType::Int64),
    ];
    let columns = columns.map(|(name, data_type)| Column {
        name: name.to_string(),
        data_type,
        digits: None,
        nullable: true,
        comment: None,
        kind: ColumnKind::Physical,
    });
    TableDefinition {
        name: letters.name().to_string(),
        folder: letters.name().to_string(),
        columns: columns.to_vec(),
        primary_key: Vec::new(),
        watermark: None,
        partitioned_by: vec!["store_id".to_string(), "event_date".to_string()],
        options: [("connector".to_string(), "delta".to_string())].into(),
        comment: None,
        connector: Connector::Lake,
        dialect: Dialect::Flink,
        sql: String::new(),
    }
}

/// Whether every row can be given a value for each column that needs one.
pub(crate) fn check(table: &TableDefinition) -> Result<(), SqlError> {
    for field in table.schema().fields() {
        if !field.is_nullable() && column(field, &[]).is_none() {
            let message = format!(
                "column {:?} of {:?} is NOT NULL, and a dead letter has no such value",
                field.name(),
                table.name
            );
            return Err(SqlError::at(Position { line: 1, column: 1 }, message));
        }
    }
    Ok(())
}

/// Dead letters as rows of a table.
pub(crate) fn rows(
    table: &TableDefinition,
    letters: &[DeadLetter],
) -> Result<RecordBatch, ArrowError> {
    let schema = Hidden::ORIGIN.behind(&table.schema());
    let partitions = letters.iter().map(|letter| position(letter).map_or(-1, |place| place.1));
    let offsets = letters.iter().map(|letter| position(letter).map_or(-1, |place| place.2));
    let mut columns: Vec<ArrayRef> = table
        .schema()
        .fields()
        .iter()
        .map(|field| {
            column(field, letters)
                .unwrap_or_else(|| new_null_array(field.data_type(), letters.len()))
        })
        .collect();
    columns.push(Arc::new(partitions.collect::<Int32Array>()));
    columns.push(Arc::new(offsets.collect::<Int64Array>()));
    RecordBatch::try_new(SchemaRef::clone(&schema), columns)
}

fn position(letter: &DeadLetter) -> Option<(&str, i32, i64)> {
    letter.position.as_ref().map(|(topic, partition, offset)| (&**topic, *partition, *offset))
}

/// The values of a column that a dead letter knows, in the column's type.
fn column(field: &Field, letters: &[DeadLetter]) -> Option<ArrayRef> {
    let each = || letters.iter();
    let array: ArrayRef = match field.name().as_str() {
        "store_id" => Arc::new(StringArray::from_iter_values(each().map(|one| &one.store_id))),
        "source" => Arc::new(StringArray::from_iter_values(each().map(|one| &one.source))),
        "reason" => Arc::new(StringArray::from_iter_values(each().map(|one| &one.reason))),
        "raw" => Arc::new(BinaryArray::from_iter_values(each().map(|one| &one.raw))),
        "event_date" => Arc::new(Date32Array::from_iter_values(
            each().map(|one| one.received_at.div_euclid(DAY_US) as i32),
        )),
        "received_at" => Arc::new(
            TimestampMicrosecondArray::from_iter_values(each().map(|one| one.received_at))
                .with_timezone("UTC"),
        ),
        "topic" => {
            Arc::new(each().map(|one| position(one).map(|place| place.0)).collect::<StringArray>())
        }
        "topic_partition" => {
            Arc::new(each().map(|one| position(one).map(|place| place.1)).collect::<Int32Array>())
        }
        "topic_offset" => {
            Arc::new(each().map(|one| position(one).map(|place| place.2)).collect::<Int64Array>())
        }
        _ => return None,
    };
    (array.data_type() == field.data_type()).then_some(array)
}
