//! Rows as Arrow, in types that every Arrow reader knows.
//!
//! Guarantees: no value changes: views of text and bytes and dictionaries become plain text, bytes
//! and values, at any depth; decimals, instants and their zones stay what they are.
//! Left out: compression, which local readers would pay for twice.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::writer::StreamWriter;
use std::sync::Arc;

/// The media type of a stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// The same columns in plain types.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    match plain_type(field.data_type()) {
        Some(plain) => Arc::new(field.as_ref().clone().with_data_type(plain)),
        None => Arc::clone(field),
    }
}

/// What a type becomes; `None`: it stays.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    let changed = |field: &FieldRef| {
        let plain = plain_field(field);
        (plain != *field).then_some(plain)
    };
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        DataType::Dictionary(_, values) => {
            Some(plain_type(values).unwrap_or_else(|| values.as_ref().clone()))
        }
        DataType::List(item) => changed(item).map(DataType::List),
        DataType::LargeList(item) => changed(item).map(DataType::LargeList),
        DataType::FixedSizeList(item, size) => {
            changed(item).map(|item| DataType::FixedSizeList(item, *size))
        }
        DataType::Map(entries, sorted) => {
            changed(entries).map(|entries| DataType::Map(entries, *sorted))
        }
        DataType::Struct(fields) => {
            let plain: Fields = fields.iter().map(plain_field).collect();
            (plain != *fields).then_some(DataType::Struct(plain))
        }
        _ => None,
    }
}

/// The same rows in plain types, of the schema that [`plain_schema`] gave.
///
/// # Errors
/// More than 2 GiB of text in one batch, which nothing here makes.
pub fn plain_rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| plain_column(column, field));
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn plain_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast(column, field.data_type()),
    }
}

/// Writes rows as an Arrow IPC stream, piece by piece.
pub struct ArrowStream {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    /// A stream of rows of these columns.
    ///
    /// # Errors
    /// A type that IPC does not know.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let schema = plain_schema(schema);
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Self { schema, writer })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// As [`plain_rows`].
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer.write(&plain_rows(batch, &self.schema)?)
    }

    /// Adds the end: a stream without it is known to have been cut.
    ///
    /// # Errors
    /// None in memory.
    pub fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()
    }

    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        self.writer.get_ref().len()
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{
        Array, AsArray, Decimal128Array, DictionaryArray, ListArray, StringViewArray, StructArray,
        TimestampMicrosecondArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Decimal128Type, Int32Type};
    use arrow_ipc::reader::StreamReader;

    #[test]
    fn views_and_dictionaries_become_plain_at_any_depth_and_numbers_stay() {
        let long = "longer than what a view holds in itself";
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some(long), None]));
        let part = Arc::new(Field::new("part", DataType::Utf8View, true));
        let inner: ArrayRef = Arc::new(StructArray::from(vec![(part, Arc::clone(&texts))]));
        let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), inner, None);
        let amounts = Decimal128Array::from(vec![Some(123_456_789_012_345_678_901), None]);
        let words: DictionaryArray<Int32Type> = vec!["a", "a"].into_iter().collect();
        let batch = RecordBatch::try_from_iter([
            ("text", texts),
            ("list", Arc::new(lists)),
            ("amount", Arc::new(amounts.with_precision_and_scale(38, 2).unwrap())),
            ("word", Arc::new(words)),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("+02:00"))),
        ])
        .unwrap();
        let mut stream = ArrowStream::new(&batch.schema()).unwrap();
        stream.write(&batch).unwrap();
        let mut bytes = stream.take();
        assert!(stream.take().is_empty());
        stream.finish().unwrap();
        bytes.extend(stream.take());
        let read: Vec<_> =
            StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
        let read = &read[0];
        assert_eq!(read.column(0).as_string::<i32>().value(0), long);
        assert!(read.column(0).is_null(1));
        let first = read.column(1).as_list::<i32>().value(0);
        assert_eq!(first.as_struct().column(0).as_string::<i32>().value(0), long);
        let amount = read.column(2).as_primitive::<Decimal128Type>();
        assert_eq!(amount.value(0), 123_456_789_012_345_678_901);
        assert_eq!(read.schema().field(2).data_type(), &DataType::Decimal128(38, 2));
        assert_eq!(read.column(3).as_string::<i32>().value(1), "a");
        assert_eq!(read.schema().field(4).data_type(), batch.schema().field(4).data_type());
    }
}
