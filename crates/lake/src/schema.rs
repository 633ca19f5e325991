//! What columns a table has, as Arrow, as Delta, and as batches that arrive.
//!
//! Guarantees: the hidden columns are always the last two; a batch either becomes exactly the
//! table's schema or is refused before a row of it is taken in.
//! Left out: changing a table's columns.

use crate::LakeError;
use crate::names;
use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use std::sync::Arc;
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// A table to make.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// The visible columns.
    pub schema: SchemaRef,
    /// Columns of it to partition files by: text, dates, integers or booleans.
    pub partition_columns: Vec<String>,
}

/// The two columns every lake table has after the visible ones.
pub fn hidden_fields() -> [FieldRef; 2] {
    [
        Arc::new(Field::new(PARTITION_COLUMN, DataType::Int32, false)),
        Arc::new(Field::new(OFFSET_COLUMN, DataType::Int64, false)),
    ]
}

impl TableSpec {
    /// The whole schema, in the types the lake keeps: instants in UTC, plain text and bytes.
    pub(crate) fn full_schema(&self) -> Result<SchemaRef, LakeError> {
        if !names::table_name_allowed(&self.name) {
            return Err(LakeError::TableName(self.name.clone()));
        }
        let mut fields = Vec::new();
        for field in self.schema.fields() {
            self.check_name(field, &fields)?;
            fields.push(Arc::new(self.kept(field)?));
        }
        if fields.is_empty() {
            return Err(LakeError::schema(&self.name, "a table has at least one column"));
        }
        for column in &self.partition_columns {
            self.check_partition_column(column)?;
        }
        fields.extend(hidden_fields());
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Delta compares names without regard to case.
    fn check_name(&self, field: &Field, before: &[FieldRef]) -> Result<(), LakeError> {
        let name = field.name();
        let taken = [PARTITION_COLUMN, OFFSET_COLUMN].contains(&name.as_str());
        if taken {
            return Err(LakeError::schema(&self.name, format!("column {name:?} is our own")));
        }
        if before.iter().any(|other| other.name().eq_ignore_ascii_case(name)) {
            return Err(LakeError::schema(&self.name, format!("two columns are called {name:?}")));
        }
        if name.is_empty() || name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
            let reason = format!("column name {name:?} has a character Delta does not allow");
            return Err(LakeError::schema(&self.name, reason));
        }
        Ok(())
    }

    fn check_partition_column(&self, column: &str) -> Result<(), LakeError> {
        let Ok(field) = self.schema.field_with_name(column) else {
            let reason = format!("partition column {column:?} is not among its columns");
            return Err(LakeError::schema(&self.name, reason));
        };
        match kept_type(field.data_type()) {
            Some(
                DataType::Utf8
                | DataType::Date32
                | DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Boolean,
            ) => Ok(()),
            _ => Err(LakeError::schema(
                &self.name,
                format!(
                    "partition column {column:?} is {}, use text, a date, an integer or a boolean",
                    field.data_type()
                ),
            )),
        }
    }

    fn kept(&self, field: &Field) -> Result<Field, LakeError> {
        let Some(kept) = kept_type(field.data_type()) else {
            let reason = format!(
                "column {:?} has type {}, which Delta has not",
                field.name(),
                field.data_type()
            );
            return Err(LakeError::schema(&self.name, reason));
        };
        Ok(Field::new(field.name(), kept, field.is_nullable()))
    }
}

/// The type the lake keeps values of `given` in; `None` when there is none without loss.
fn kept_type(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => given.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Nanosecond => {
            let zone = zone.as_ref().map(|_| Arc::from("UTC"));
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        DataType::List(item) | DataType::LargeList(item) => {
            let kept = kept_type(item.data_type())?;
            DataType::List(Arc::new(Field::new("element", kept, item.is_nullable())))
        }
        DataType::Struct(fields) => {
            let kept: Option<Fields> = fields
                .iter()
                .map(|f| Some(Field::new(f.name(), kept_type(f.data_type())?, f.is_nullable())))
                .collect();
            DataType::Struct(kept?)
        }
        _ => return None,
    })
}

/// The Delta schema of an Arrow one.
pub(crate) fn to_delta(table: &str, schema: &Schema) -> Result<StructType, LakeError> {
    schema.try_into_kernel().map_err(|error| LakeError::schema(table, error.to_string()))
}

/// The schema of data files: partition values are in the log, not in the files.
pub(crate) fn file_schema(full: &Schema, partition_columns: &[String]) -> SchemaRef {
    let kept = full.fields().iter().filter(|field| !partition_columns.contains(field.name()));
    Arc::new(Schema::new(kept.cloned().collect::<Vec<_>>()))
}

/// Makes `batch` exactly `full`, column by column in their order; the names must be the same.
/// Casts that would change a value are refused.
pub(crate) fn conform(
    table: &str,
    full: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch, LakeError> {
    let given = batch.schema_ref();
    if given.fields().len() != full.fields().len() {
        let reason = format!(
            "rows have {} columns, the table {}",
            given.fields().len(),
            full.fields().len()
        );
        return Err(LakeError::schema(table, reason));
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let mut columns = Vec::with_capacity(full.fields().len());
    for ((field, given), column) in full.fields().iter().zip(given.fields()).zip(batch.columns()) {
        if field.name() != given.name() {
            let reason = format!(
                "rows have column {:?} where the table has {:?}",
                given.name(),
                field.name()
            );
            return Err(LakeError::schema(table, reason));
        }
        if field.data_type() == given.data_type() {
            columns.push(column.clone());
            continue;
        }
        if kept_type(given.data_type()).as_ref() != Some(field.data_type()) {
            let reason = format!(
                "column {:?} is {} in the rows and {} in the table",
                field.name(),
                given.data_type(),
                field.data_type()
            );
            return Err(LakeError::schema(table, reason));
        }
        let cast = cast_with_options(column, field.data_type(), &exact);
        columns.push(cast.map_err(|error| LakeError::schema(table, error.to_string()))?);
    }
    // Refuses nulls in columns that have none.
    RecordBatch::try_new(full.clone(), columns)
        .map_err(|error| LakeError::schema(table, error.to_string()))
}

/// The first way two schemas differ, for the message.
pub(crate) fn difference(
    wanted: &Schema,
    wanted_partitions: &[String],
    there: &Schema,
    there_partitions: &[String],
) -> Option<String> {
    for (index, field) in wanted.fields().iter().enumerate() {
        match there.fields().get(index) {
            Some(other) if same(field, other) => {}
            Some(other) => {
                return Some(format!("column {index} is {other} there, {field} here"));
            }
            None => return Some(format!("it has no column {:?}", field.name())),
        }
    }
    if let Some(extra) = there.fields().get(wanted.fields().len()) {
        return Some(format!("it has a column {:?}", extra.name()));
    }
    (wanted_partitions != there_partitions)
        .then(|| format!("it is partitioned by {there_partitions:?}, not {wanted_partitions:?}"))
}

fn same(a: &Field, b: &Field) -> bool {
    a.name() == b.name()
        && a.is_nullable() == b.is_nullable()
        && a.data_type().equals_datatype(b.data_type())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Int32Array, Int64Array, StringArray, StringViewArray};

    fn spec(fields: Vec<Field>, partition_columns: &[&str]) -> TableSpec {
        TableSpec {
            name: "t".to_owned(),
            schema: Arc::new(Schema::new(fields)),
            partition_columns: partition_columns.iter().map(|&c| c.to_owned()).collect(),
        }
    }

    #[test]
    fn refuses_what_a_table_cannot_have() {
        let text = || Field::new("a", DataType::Utf8, true);
        let bad = [
            spec(vec![], &[]),
            spec(vec![text(), Field::new("A", DataType::Utf8, true)], &[]),
            spec(vec![Field::new("_offset", DataType::Int64, false)], &[]),
            spec(vec![Field::new("a b", DataType::Int64, false)], &[]),
            spec(vec![Field::new("a", DataType::UInt64, false)], &[]),
            spec(vec![text()], &["b"]),
            spec(vec![Field::new("a", DataType::Float64, true)], &["a"]),
        ];
        for spec in bad {
            assert!(spec.full_schema().is_err(), "{spec:?}");
        }
    }

    #[test]
    fn rows_are_made_to_fit_or_refused() {
        let full = spec(vec![Field::new("a", DataType::Utf8, false)], &[]).full_schema().unwrap();
        let hidden = || {
            let [partition, offset] = hidden_fields();
            (partition, offset)
        };
        let with = |field: Field, column: arrow::array::ArrayRef| {
            let (partition, offset) = hidden();
            let schema = Schema::new(vec![Arc::new(field), partition, offset]);
            RecordBatch::try_new(
                Arc::new(schema),
                vec![
                    column,
                    Arc::new(Int32Array::from(vec![0])),
                    Arc::new(Int64Array::from(vec![7])),
                ],
            )
            .unwrap()
        };
        let view = with(
            Field::new("a", DataType::Utf8View, true),
            Arc::new(StringViewArray::from(vec!["x"])),
        );
        let fitted = conform("t", &full, &view).unwrap();
        assert_eq!(fitted.schema(), full);
        let null = with(
            Field::new("a", DataType::Utf8, true),
            Arc::new(StringArray::from(vec![None::<&str>])),
        );
        assert!(conform("t", &full, &null).is_err());
        let number =
            with(Field::new("a", DataType::Int64, true), Arc::new(Int64Array::from(vec![1])));
        assert!(conform("t", &full, &number).unwrap_err().to_string().contains("Int64"));
    }
}
