//! Rows as JSON: arrays in the order of the columns, or one object a row.

use super::{formatter, is_null, weight};
use arrow::array::{Array, AsArray, BinaryArray, LargeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use std::fmt::Write;
use tradewind_analyze::{RowKind, type_name};

/// Integers up to this one are exact in every JSON reader.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// `[{"name":…,"type":…}, …]`
pub fn json_columns(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(
        |field| serde_json::json!({"name": field.name(), "type": type_name(field.data_type())}),
    );
    serde_json::Value::Array(columns.collect()).to_string()
}

/// Appends a batch's rows as arrays with commas between them, at most `rows_max` of them.
///
/// # Errors
/// A value that cannot be written, such as an instant outside the calendar.
pub fn json_rows(batch: &RecordBatch, rows_max: usize, to: &mut String) -> Result<(), ArrowError> {
    let writers = writers(batch)?;
    for row in 0..batch.num_rows().min(rows_max) {
        to.push_str(if row == 0 { "[" } else { ",\n[" });
        for (index, writer) in writers.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            writer.write(row, to)?;
        }
        to.push(']');
    }
    Ok(())
}

/// Appends changes, one a line: `{"kind":"+I","weight":1,"row":[…]}`.
///
/// # Errors
/// As [`json_rows`].
pub fn json_changes(
    batch: &RecordBatch,
    changes: &[(usize, RowKind)],
    to: &mut String,
) -> Result<(), ArrowError> {
    let writers = writers(batch)?;
    for (row, kind) in changes {
        let (kind, weight) = (kind.text(), weight(*kind));
        to.push_str(&format!("{{\"kind\":\"{kind}\",\"weight\":{weight},\"row\":["));
        for (index, writer) in writers.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            writer.write(*row, to)?;
        }
        to.push_str("]}\n");
    }
    Ok(())
}

/// Appends a batch's rows as one object a line.
///
/// # Errors
/// As [`json_rows`].
pub fn json_objects(batch: &RecordBatch, to: &mut String) -> Result<(), ArrowError> {
    let writers = writers(batch)?;
    let schema = batch.schema();
    for row in 0..batch.num_rows() {
        to.push('{');
        for (index, writer) in writers.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            string(schema.field(index).name(), to);
            to.push(':');
            writer.write(row, to)?;
        }
        to.push_str("}\n");
    }
    Ok(())
}

/// A value as text outside JSON: bytes in hexadecimal, lists and objects as JSON, else as written.
pub(super) fn plain(
    formatter: &ArrayFormatter<'_>,
    column: &dyn Array,
    row: usize,
) -> Result<String, ArrowError> {
    if column.data_type().is_nested() || is_binary(column.data_type()) {
        let mut text = String::new();
        Writer::of(column)?.write(row, &mut text)?;
        return Ok(match serde_json::from_str::<String>(&text) {
            Ok(bare) => bare,
            Err(_) => text,
        });
    }
    formatter.value(row).try_to_string()
}

/// Writes the values of one column, each as JSON, by its row.
///
/// # Errors
/// As [`json_rows`].
pub(crate) fn json_value<'a>(
    column: &'a dyn Array,
) -> Result<impl Fn(usize, &mut String) -> Result<(), ArrowError> + 'a, ArrowError> {
    let writer = Writer::of(column)?;
    Ok(move |row, to: &mut String| writer.write(row, to))
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn writers(batch: &RecordBatch) -> Result<Vec<Writer<'_>>, ArrowError> {
    batch.columns().iter().map(|column| Writer::of(column)).collect()
}

/// Writes the values of one column.
struct Writer<'a> {
    column: &'a dyn Array,
    form: Form<'a>,
}

enum Form<'a> {
    /// As its text, which is JSON.
    Bare(ArrayFormatter<'a>),
    /// As a string of its text.
    Quoted(ArrayFormatter<'a>),
    /// An integer that may be beyond what a double holds.
    Wide,
    Float,
    Bytes,
    List(Vec<std::ops::Range<usize>>, Box<Writer<'a>>),
    Object(Vec<(&'a str, Writer<'a>)>),
}

impl<'a> Writer<'a> {
    fn of(column: &'a dyn Array) -> Result<Self, ArrowError> {
        let form = match column.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Form::Bare(formatter(column)?),
            DataType::Int64 | DataType::UInt64 => Form::Wide,
            DataType::Float32 | DataType::Float64 => Form::Float,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Form::Bytes,
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                let ranges = list.value_offsets().windows(2);
                let ranges = ranges.map(|pair| pair[0] as usize..pair[1] as usize).collect();
                Form::List(ranges, Box::new(Self::of(list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = column.as_struct().columns();
                let parts = fields.iter().zip(columns);
                let parts = parts.map(|(field, part)| Ok((field.name().as_str(), Self::of(part)?)));
                Form::Object(parts.collect::<Result<_, ArrowError>>()?)
            }
            _ => Form::Quoted(formatter(column)?),
        };
        Ok(Self { column, form })
    }

    fn write(&self, row: usize, to: &mut String) -> Result<(), ArrowError> {
        if is_null(self.column, row) {
            to.push_str("null");
            return Ok(());
        }
        match &self.form {
            Form::Bare(formatter) => formatter.value(row).write(to)?,
            Form::Quoted(formatter) => string(&formatter.value(row).try_to_string()?, to),
            Form::Wide => self.wide(row, to),
            Form::Float => self.float(row, to),
            Form::Bytes => bytes(self.column, row, to),
            Form::List(ranges, items) => {
                to.push('[');
                for (index, item) in ranges[row].clone().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    items.write(item, to)?;
                }
                to.push(']');
            }
            Form::Object(parts) => {
                to.push('{');
                for (index, (name, part)) in parts.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    string(name, to);
                    to.push(':');
                    part.write(row, to)?;
                }
                to.push('}');
            }
        }
        Ok(())
    }

    fn wide(&self, row: usize, to: &mut String) {
        let (text, size) = match self.column.as_primitive_opt::<Int64Type>() {
            Some(values) => (values.value(row).to_string(), values.value(row).unsigned_abs()),
            None => {
                let value = self.column.as_primitive::<UInt64Type>().value(row);
                (value.to_string(), value)
            }
        };
        match size <= EXACT_INTEGER_MAX {
            true => to.push_str(&text),
            false => string(&text, to),
        }
    }

    fn float(&self, row: usize, to: &mut String) {
        let (value, text) = match self.column.as_primitive_opt::<Float64Type>() {
            Some(values) => (values.value(row), values.value(row).to_string()),
            None => {
                let value = self.column.as_primitive::<Float32Type>().value(row);
                (f64::from(value), value.to_string())
            }
        };
        match value.is_finite() {
            true => to.push_str(&text),
            false => string(&text, to),
        }
    }
}

fn bytes(column: &dyn Array, row: usize, to: &mut String) {
    let value = match column.data_type() {
        DataType::Binary => {
            column.as_any().downcast_ref::<BinaryArray>().map(|values| values.value(row))
        }
        DataType::LargeBinary => {
            column.as_any().downcast_ref::<LargeBinaryArray>().map(|values| values.value(row))
        }
        _ => column.as_binary_view_opt().map(|values| values.value(row)),
    };
    to.push_str("\"\\\\x");
    for byte in value.unwrap_or_default() {
        let _ = write!(to, "{byte:02x}");
    }
    to.push('"');
}

fn string(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    #[test]
    fn values_keep_their_digits() {
        let amounts = Decimal128Array::from(vec![Some(123_456_789_012_345_678_901), None]);
        let batch = RecordBatch::try_from_iter([
            ("amount", Arc::new(amounts.with_precision_and_scale(38, 2).unwrap()) as ArrayRef),
            ("id", Arc::new(Int64Array::from(vec![(1 << 53) + 1, 7]))),
            ("ratio", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("UTC"))),
            ("text", Arc::new(StringArray::from(vec!["a\"\n", ""]))),
            ("bytes", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff", b""]))),
        ])
        .unwrap();
        let mut text = String::new();
        json_rows(&batch, 10, &mut text).unwrap();
        assert_eq!(
            text,
            "[\"1234567890123456789.01\",\"9007199254740993\",0.1,\"1970-01-01T00:00:00Z\",\
             \"a\\\"\\n\",\"\\\\x00ff\"],\n\
             [null,7,\"NaN\",\"1970-01-01T00:00:00.000001Z\",\"\",\"\\\\x\"]"
        );
        let mut csv = String::new();
        super::super::csv_rows(&batch, 10, &mut csv).unwrap();
        assert_eq!(
            csv,
            "1234567890123456789.01,9007199254740993,0.1,1970-01-01T00:00:00Z,\"a\"\"\n\",\\x00ff\n\
             ,7,NaN,1970-01-01T00:00:00.000001Z,\"\",\\x\n"
        );
    }
}
