//! Values as PostgreSQL's clients read them, in text and in binary.
//!
//! Guarantees: decimals and integers keep every digit, instants every microsecond; a column's kind
//! is looked at once a batch, not once a value.
//! Left out: which type a column is shown as, which is `types`'.

use super::{civil, numeric, types};
use crate::render;
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, FixedSizeBinaryArray,
    LargeBinaryArray, OffsetSizeTrait, PrimitiveArray, RecordBatch,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, DurationMicrosecondType, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use std::sync::Arc;

/// How a column's values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Binary,
}

/// Writes one value without its length.
type Write<'a> = Box<dyn Fn(usize, &mut BytesMut) -> Result<(), ArrowError> + 'a>;

/// One column of a batch.
struct Column<'a> {
    array: &'a dyn Array,
    write: Write<'a>,
}

/// The rows of a batch, ready to be written.
pub(crate) struct Rows<'a> {
    columns: Vec<Column<'a>>,
}

/// The columns of a batch in the few kinds that are written: brought there once a batch.
pub(crate) fn brought(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    batch.columns().iter().map(bring).collect()
}

fn bring(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = match column.data_type() {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => DataType::Utf8View,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Dictionary(_, values) => {
            return bring(&cast(column, values)?);
        }
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::clone(item))
        }
        _ => return Ok(Arc::clone(column)),
    };
    match column.data_type() == &target {
        true => Ok(Arc::clone(column)),
        false => cast(column, &target),
    }
}

impl<'a> Rows<'a> {
    /// `forms` are one for each column; `zone` is where instants are shown.
    pub(crate) fn new(
        columns: &'a [ArrayRef],
        forms: &[Form],
        zone: &'a Tz,
    ) -> Result<Self, ArrowError> {
        let columns = columns.iter().enumerate().map(|(index, array)| {
            let form = forms.get(index).copied().unwrap_or_default();
            Ok(Column { array, write: writer(array, form, zone)? })
        });
        Ok(Self { columns: columns.collect::<Result<_, ArrowError>>()? })
    }

    /// Appends a row as a `DataRow` message.
    pub(crate) fn data_row(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        self.tuple(row, out)?;
        patch(out, start, out.len() - start)
    }

    /// Appends a row as its number of columns and their values behind their lengths.
    pub(crate) fn tuple(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        out.put_i16(self.columns.len() as i16);
        for column in &self.columns {
            value(column.array, &column.write, row, out)?;
        }
        Ok(())
    }

    /// Appends one value without its length; false where there is none.
    pub(crate) fn value(
        &self,
        column: usize,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<bool, ArrowError> {
        let column = &self.columns[column];
        if column.array.is_null(row) {
            return Ok(false);
        }
        (column.write)(row, out).map(|()| true)
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }
}

/// Appends a value behind its length, -1 for none.
fn value(
    array: &dyn Array,
    write: &Write<'_>,
    row: usize,
    out: &mut BytesMut,
) -> Result<(), ArrowError> {
    let start = out.len();
    if array.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    out.put_i32(0);
    write(row, out)?;
    patch(out, start, out.len() - start - 4)
}

fn patch(out: &mut BytesMut, at: usize, length: usize) -> Result<(), ArrowError> {
    let length = i32::try_from(length)
        .map_err(|_| ArrowError::InvalidArgumentError("a value of more than 2 GiB".into()))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn outside(reason: &'static str) -> ArrowError {
    ArrowError::CastError(reason.into())
}

fn writer<'a>(array: &'a dyn Array, form: Form, zone: &'a Tz) -> Result<Write<'a>, ArrowError> {
    let binary = form == Form::Binary;
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| {
                out.put_u8(match (values.value(row), binary) {
                    (on, true) => u8::from(on),
                    (true, false) => b't',
                    (false, false) => b'f',
                });
                Ok(())
            })
        }
        DataType::Int16 => primitive::<Int16Type>(array, form, |value, out| out.put_i16(value)),
        DataType::Int32 => primitive::<Int32Type>(array, form, |value, out| out.put_i32(value)),
        DataType::Int64 => primitive::<Int64Type>(array, form, |value, out| out.put_i64(value)),
        DataType::UInt64 => primitive::<UInt64Type>(array, form, |value, out| {
            numeric::write_binary(&value.to_string(), out);
        }),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| {
                let value = values.value(row);
                match binary {
                    true => out.put_f32(value),
                    false => numeric::write_float(value.into(), &format!("{value:e}"), 6, out),
                }
                Ok(())
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| {
                let value = values.value(row);
                match binary {
                    true => out.put_f64(value),
                    false => numeric::write_float(value, &format!("{value:e}"), 15, out),
                }
                Ok(())
            })
        }
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array, binary),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array, binary),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array, binary),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, binary),
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| {
                out.put_slice(values.value(row).as_bytes());
                Ok(())
            })
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => bytes(array, binary),
        DataType::List(_) => list::<i32>(array, form, zone)?,
        _ => moments(array, form, zone)?,
    })
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    form: Form,
    write: fn(T::Native, &mut BytesMut),
) -> Write<'a>
where
    T::Native: std::fmt::Display,
{
    let values: &PrimitiveArray<T> = array.as_primitive();
    match form {
        Form::Binary => Box::new(move |row, out| {
            write(values.value(row), out);
            Ok(())
        }),
        Form::Text => Box::new(move |row, out| {
            use std::fmt::Write;
            // Writing to a buffer that grows does not fail.
            let _ = write!(out, "{}", values.value(row));
            Ok(())
        }),
    }
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(array: &dyn Array, binary: bool) -> Write<'_> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    let (precision, scale) = match array.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (T::MAX_PRECISION, 0),
    };
    Box::new(move |row, out| {
        let text = T::format_decimal(values.value(row), precision, scale);
        match binary {
            true => numeric::write_binary(&text, out),
            false => out.put_slice(text.as_bytes()),
        }
        Ok(())
    })
}

fn bytes(array: &dyn Array, binary: bool) -> Write<'_> {
    Box::new(move |row, out| {
        let any = array.as_any();
        let value = if let Some(values) = any.downcast_ref::<BinaryArray>() {
            values.value(row)
        } else if let Some(values) = any.downcast_ref::<LargeBinaryArray>() {
            values.value(row)
        } else if let Some(values) = any.downcast_ref::<FixedSizeBinaryArray>() {
            values.value(row)
        } else {
            array.as_binary_view().value(row)
        };
        if binary {
            out.put_slice(value);
            return Ok(());
        }
        out.put_slice(b"\\x");
        for byte in value {
            out.put_u8(HEX[usize::from(byte >> 4)]);
            out.put_u8(HEX[usize::from(byte & 15)]);
        }
        Ok(())
    })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn moments<'a>(array: &'a dyn Array, form: Form, zone: &'a Tz) -> Result<Write<'a>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(move |row, out| match form {
                Form::Text => civil::write_date(values.value(row), out).map_err(outside),
                Form::Binary => {
                    let days = values.value(row).checked_sub(civil::EPOCH_DAYS);
                    out.put_i32(days.ok_or_else(|| outside(civil::OUTSIDE))?);
                    Ok(())
                }
            })
        }
        DataType::Time64(_) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            Box::new(move |row, out| {
                match form {
                    Form::Text => civil::write_time(values.value(row), out),
                    Form::Binary => out.put_i64(values.value(row)),
                }
                Ok(())
            })
        }
        DataType::Timestamp(unit, of) => {
            let zone = of.as_ref().map(|_| zone);
            timestamps(array, *unit, form, zone)
        }
        DataType::Interval(unit) => intervals(array, *unit, form),
        DataType::Duration(_) => {
            let values = array.as_primitive::<DurationMicrosecondType>();
            Box::new(move |row, out| {
                interval(0, 0, values.value(row), form, out);
                Ok(())
            })
        }
        _ => json(array)?,
    })
}

fn timestamps<'a>(
    array: &'a dyn Array,
    unit: TimeUnit,
    form: Form,
    zone: Option<&'a Tz>,
) -> Write<'a> {
    Box::new(move |row, out| {
        let value = match unit {
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
            TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
            TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
        };
        let micros = civil::micros(value, unit).map_err(outside)?;
        match form {
            Form::Text => civil::write_timestamp(micros, zone, out).map_err(outside),
            Form::Binary => {
                let since = micros.checked_sub(civil::EPOCH_MICROS);
                out.put_i64(since.ok_or_else(|| outside(civil::OUTSIDE))?);
                Ok(())
            }
        }
    })
}

fn intervals(array: &dyn Array, unit: IntervalUnit, form: Form) -> Write<'_> {
    Box::new(move |row, out| {
        let (months, days, micros) = match unit {
            IntervalUnit::YearMonth => {
                (array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0)
            }
            IntervalUnit::DayTime => {
                let value = array.as_primitive::<IntervalDayTimeType>().value(row);
                (0, value.days, i64::from(value.milliseconds) * 1_000)
            }
            IntervalUnit::MonthDayNano => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                (value.months, value.days, value.nanoseconds.div_euclid(1_000))
            }
        };
        interval(months, days, micros, form, out);
        Ok(())
    })
}

fn interval(months: i32, days: i32, micros: i64, form: Form, out: &mut BytesMut) {
    match form {
        Form::Text => civil::write_interval(months, days, micros, out),
        Form::Binary => {
            out.put_i64(micros);
            out.put_i32(days);
            out.put_i32(months);
        }
    }
}

/// What PostgreSQL has no type for, as JSON: the same bytes in text and in binary.
fn json(array: &dyn Array) -> Result<Write<'_>, ArrowError> {
    let write = render::json_value(array)?;
    Ok(Box::new(move |row, out| {
        let mut text = String::new();
        write(row, &mut text)?;
        out.put_slice(text.as_bytes());
        Ok(())
    }))
}

fn list<'a, O: OffsetSizeTrait>(
    array: &'a dyn Array,
    form: Form,
    zone: &'a Tz,
) -> Result<Write<'a>, ArrowError> {
    let Some(item) = types::item_of(&types::of(array.data_type())) else { return json(array) };
    let lists = array.as_list::<O>();
    let items = bring(lists.values())?;
    let offsets: Vec<usize> =
        lists.value_offsets().iter().map(|offset| offset.as_usize()).collect();
    let zone = *zone;
    Ok(Box::new(move |row, out| {
        let items: &dyn Array = &items;
        let write = writer(items, form, &zone)?;
        let range = offsets[row]..offsets[row + 1];
        match form {
            Form::Binary => binary_list(items, &write, range, &item, out),
            Form::Text => text_list(items, &write, range, out),
        }
    }))
}

fn binary_list(
    items: &dyn Array,
    write: &Write<'_>,
    range: std::ops::Range<usize>,
    item: &Type,
    out: &mut BytesMut,
) -> Result<(), ArrowError> {
    let nulls = range.clone().any(|row| items.is_null(row));
    out.put_i32(if range.is_empty() { 0 } else { 1 });
    out.put_i32(i32::from(nulls));
    out.put_u32(item.oid());
    if range.is_empty() {
        return Ok(());
    }
    out.put_i32(range.len() as i32);
    out.put_i32(1);
    range.into_iter().try_for_each(|row| value(items, write, row, out))
}

fn text_list(
    items: &dyn Array,
    write: &Write<'_>,
    range: std::ops::Range<usize>,
    out: &mut BytesMut,
) -> Result<(), ArrowError> {
    out.put_u8(b'{');
    let first = range.start;
    for row in range {
        if row > first {
            out.put_u8(b',');
        }
        if items.is_null(row) {
            out.put_slice(b"NULL");
            continue;
        }
        let start = out.len();
        write(row, out)?;
        quote_item(out, start);
    }
    out.put_u8(b'}');
    Ok(())
}

/// Puts quotes around the array's item from `start` on, where it needs them.
fn quote_item(out: &mut BytesMut, start: usize) {
    let item = &out[start..];
    let special = |byte: &u8| b"{},\"\\ \t\n\r\x0b\x0c".contains(byte);
    let plain =
        !item.is_empty() && !item.iter().any(special) && !item.eq_ignore_ascii_case(b"null");
    if plain {
        return;
    }
    let item = out.split_off(start);
    out.put_u8(b'"');
    for byte in item {
        if byte == b'"' || byte == b'\\' {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{
        Int32Builder, ListBuilder, StringArray, StringBuilder, StructArray, UInt64Array,
    };
    use arrow::datatypes::Field;

    fn text(array: ArrayRef) -> Vec<String> {
        let columns = [bring(&array).unwrap()];
        let zone = "UTC".parse().unwrap();
        let rows = Rows::new(&columns, &[Form::Text], &zone).unwrap();
        (0..array.len())
            .map(|row| {
                let mut out = BytesMut::new();
                match rows.value(0, row, &mut out).unwrap() {
                    true => String::from_utf8(out.to_vec()).unwrap(),
                    false => "<null>".into(),
                }
            })
            .collect()
    }

    #[test]
    fn lists_are_quoted_as_postgresql_quotes_them() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for item in [Some("a"), Some("b c"), Some(""), Some("nULL"), None, Some("\"\\{},")] {
            lists.values().append_option(item);
        }
        lists.append(true);
        lists.append(true);
        lists.append(false);
        let found = text(Arc::new(lists.finish()));
        assert_eq!(found, [r#"{a,"b c","","nULL",NULL,"\"\\{},"}"#, "{}", "<null>"]);
    }

    #[test]
    fn lists_in_binary_have_their_head() {
        let mut lists = ListBuilder::new(Int32Builder::new());
        lists.append_value([Some(7), None]);
        let array: ArrayRef = Arc::new(lists.finish());
        let columns = [bring(&array).unwrap()];
        let zone = "UTC".parse().unwrap();
        let rows = Rows::new(&columns, &[Form::Binary], &zone).unwrap();
        let mut out = BytesMut::new();
        assert!(rows.value(0, 0, &mut out).unwrap());
        let words: Vec<i32> =
            out.chunks(4).map(|word| i32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [1, 1, 23, 2, 1, 4, 7, -1]);
    }

    #[test]
    fn objects_are_json_and_wide_numbers_whole() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a\"b"]));
        let field = Arc::new(Field::new("name", DataType::Utf8, true));
        let objects: ArrayRef = Arc::new(StructArray::from(vec![(field, names)]));
        assert_eq!(text(objects), [r#"{"name":"a\"b"}"#]);
        assert_eq!(text(Arc::new(UInt64Array::from(vec![u64::MAX]))), ["18446744073709551615"]);
    }
}
