//! Some columns of a row as the bytes of a key or a value.
//!
//! Guarantees: each format writes what its reader reads again; a type without a form is refused
//! when the sink is opened.
//! Left out: which columns those are.

use super::json;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::unary;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use bytes::Bytes;
use std::sync::Arc;
use tradewind_sql::{Column, CsvFormat, Format, JsonEncoding, type_name};

/// Writes some columns of rows.
#[derive(Debug)]
pub(super) struct Encoder {
    format: Format,
    json: JsonEncoding,
    fields: Vec<EncodedField>,
}

/// A column that is written.
#[derive(Debug)]
struct EncodedField {
    /// Its place in the batch.
    place: usize,
    /// Its name as written.
    name: String,
    /// Digits of a second it is cut to.
    digits: Option<u8>,
}

/// The columns of one batch, ready to be written.
pub(super) struct EncodedBatch<'a> {
    encoder: &'a Encoder,
    columns: Vec<(&'a str, ArrayRef)>,
}

impl Encoder {
    /// Writes `columns`, each with its place in a batch; their names without `prefix`.
    ///
    /// # Errors
    /// A column's type has no form in the format.
    pub(super) fn new<'a>(
        format: &Format,
        json: &JsonEncoding,
        columns: impl Iterator<Item = (usize, &'a Column)>,
        prefix: &str,
    ) -> Result<Self, String> {
        let mut fields = Vec::new();
        for (place, column) in columns {
            let fits = match format {
                Format::Json => json::has_form(&column.data_type),
                Format::Csv(_) => json::is_scalar(&column.data_type),
                Format::Raw => matches!(column.data_type, DataType::Utf8 | DataType::Binary),
            };
            if !fits {
                let (name, data_type) = (&column.name, type_name(&column.data_type));
                return Err(format!("column {name:?} is {data_type}, which has no such form"));
            }
            let name = column.name.strip_prefix(prefix).unwrap_or(&column.name).to_string();
            fields.push(EncodedField { place, name, digits: column.digits });
        }
        Ok(Self { format: format.clone(), json: json.clone(), fields })
    }

    /// Looks at a batch's columns.
    pub(super) fn batch<'a>(&'a self, batch: &RecordBatch) -> EncodedBatch<'a> {
        let column = |field: &'a EncodedField| {
            (field.name.as_str(), cut(batch.column(field.place), field.digits))
        };
        EncodedBatch { encoder: self, columns: self.fields.iter().map(column).collect() }
    }
}

/// Times with the digits their column has.
fn cut(column: &ArrayRef, digits: Option<u8>) -> ArrayRef {
    let (DataType::Timestamp(_, zone), Some(digits @ 0..=5)) = (column.data_type(), digits) else {
        return column.clone();
    };
    let unit = 10_i64.pow(6 - u32::from(digits));
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let times: TimestampMicrosecondArray = unary(times, |micros| micros - micros.rem_euclid(unit));
    Arc::new(times.with_timezone_opt(zone.clone()))
}

impl EncodedBatch<'_> {
    /// A row's bytes; `None` where the format has nothing for a null.
    ///
    /// # Errors
    /// Why it has no form.
    pub(super) fn row(&self, row: usize) -> Result<Option<Bytes>, String> {
        let mut out = String::with_capacity(64);
        match &self.encoder.format {
            Format::Json => {
                let columns = self.columns.iter().map(|(name, column)| (*name, column.as_ref()));
                json::write_object(&mut out, columns, row, &self.encoder.json)?;
            }
            Format::Csv(format) => {
                for (index, (_, column)) in self.columns.iter().enumerate() {
                    if index > 0 {
                        out.push(char::from(format.delimiter));
                    }
                    write_field(&mut out, format, column, row);
                }
            }
            Format::Raw => return Ok(self.columns.first().and_then(|(_, one)| raw(one, row))),
        }
        Ok(Some(out.into()))
    }
}

fn raw(column: &ArrayRef, row: usize) -> Option<Bytes> {
    if column.is_null(row) {
        return None;
    }
    let bytes = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).as_bytes(),
        _ => column.as_binary::<i32>().value(row),
    };
    Some(Bytes::copy_from_slice(bytes))
}

/// A field of a CSV line, in quotes where a reader would not find its end without.
fn write_field(out: &mut String, format: &CsvFormat, column: &ArrayRef, row: usize) {
    if column.is_null(row) {
        out.push_str(format.null_literal.as_deref().unwrap_or_default());
        return;
    }
    let start = out.len();
    json::write_scalar(out, column, row, false);
    let (Some(quote), text) = (format.quote.map(char::from), &out[start..]) else { return };
    let special = |one: char| {
        one == quote || one == char::from(format.delimiter) || one == '\n' || one == '\r'
    };
    // A text that looks like a null, or like a comment, is none.
    let ambiguous = text == format.null_literal.as_deref().unwrap_or_default()
        || (format.comments && text.starts_with('#'));
    if column.data_type() == &DataType::Utf8 && (text.contains(special) || ambiguous) {
        let doubled = text.replace(quote, &format!("{quote}{quote}"));
        out.truncate(start);
        out.push(quote);
        out.push_str(&doubled);
        out.push(quote);
    }
}
