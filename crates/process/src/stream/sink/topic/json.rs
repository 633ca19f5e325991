//! Rows as JSON, as Flink's format writes them.
//!
//! Guarantees: columns in the table's order; decimals are their digits and never pass through a
//! float; times are written to the microsecond they have and with no zero behind it; what has no
//! form in JSON fails the row.
//! Left out: reading, and Avro's and Debezium's ways of writing JSON.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use tradewind_sql::text::{write_date, write_decimal, write_double, write_float};
use tradewind_sql::{JsonEncoding, NullKeys};

/// Microseconds.
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Whether values of a type can be written, and so read again.
pub(super) fn has_form(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field) => has_form(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_form(field.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                fields[0].data_type() == &DataType::Utf8 && has_form(fields[1].data_type())
            }
            _ => false,
        },
        other => is_scalar(other),
    }
}

/// Whether a value of a type has no parts.
pub(super) fn is_scalar(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Null
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::Binary
    )
}

/// Writes a value, or the reason why it has no form.
pub(super) fn write_value(
    out: &mut String,
    array: &dyn Array,
    row: usize,
    encoding: &JsonEncoding,
) -> Result<(), String> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(_) => write_list(out, &array.as_list::<i32>().value(row), encoding),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let parts = fields.iter().map(|field| field.name().as_str()).zip(columns);
            write_object(out, parts.map(|(name, column)| (name, column.as_ref())), row, encoding)
        }
        DataType::Map(..) => write_map(out, array, row, encoding),
        DataType::Utf8 => {
            write_text(out, array.as_string::<i32>().value(row));
            Ok(())
        }
        data_type => {
            let quoted = is_quoted(data_type) || is_no_number(array, row);
            let quote = if quoted { "\"" } else { "" };
            out.push_str(quote);
            write_scalar(out, array, row, encoding.iso_times);
            out.push_str(quote);
            Ok(())
        }
    }
}

/// Writes the columns of a row as an object.
pub(super) fn write_object<'a>(
    out: &mut String,
    columns: impl Iterator<Item = (&'a str, &'a dyn Array)>,
    row: usize,
    encoding: &JsonEncoding,
) -> Result<(), String> {
    out.push('{');
    let mut separator = "";
    for (name, column) in columns {
        if encoding.skips_nulls && column.is_null(row) {
            continue;
        }
        out.push_str(separator);
        write_text(out, name);
        out.push(':');
        write_value(out, column, row, encoding)?;
        separator = ",";
    }
    out.push('}');
    Ok(())
}

fn write_list(out: &mut String, values: &dyn Array, encoding: &JsonEncoding) -> Result<(), String> {
    out.push('[');
    for index in 0..values.len() {
        if index > 0 {
            out.push(',');
        }
        write_value(out, values, index, encoding)?;
    }
    out.push(']');
    Ok(())
}

fn write_map(
    out: &mut String,
    array: &dyn Array,
    row: usize,
    encoding: &JsonEncoding,
) -> Result<(), String> {
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
    out.push('{');
    let mut separator = "";
    for entry in 0..entries.len() {
        let key = match (keys.is_valid(entry), &encoding.null_keys) {
            (true, _) => keys.value(entry),
            (false, NullKeys::Literal(text)) => text,
            (false, NullKeys::Drop) => continue,
            (false, NullKeys::Fail) => return Err("a map's key is null".into()),
        };
        out.push_str(separator);
        write_text(out, key);
        out.push(':');
        write_value(out, values, entry, encoding)?;
        separator = ",";
    }
    out.push('}');
    Ok(())
}

fn is_quoted(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..) | DataType::Binary)
}

/// Whether it is a float that JSON has no number for: Jackson writes its name as a text.
fn is_no_number(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        DataType::Float32 => !array.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => !array.as_primitive::<Float64Type>().value(row).is_finite(),
        _ => false,
    }
}

/// Writes a value of a type that [`is_scalar`], not null, without quotes.
pub(super) fn write_scalar(out: &mut String, array: &dyn Array, row: usize, iso_times: bool) {
    match array.data_type() {
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Int8 => integer(out, array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => integer(out, array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => integer(out, array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => integer(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => write_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write_double(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            write_decimal(out, array.as_primitive::<Decimal128Type>().value(row), *scale);
        }
        DataType::Date32 => {
            let days = array.as_primitive::<arrow::datatypes::Date32Type>().value(row);
            write_date(out, days.into());
        }
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            write_time(out, micros, zone.is_some(), iso_times);
        }
        DataType::Binary => STANDARD.encode_string(array.as_binary::<i32>().value(row), out),
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        // A sink of any other type is not opened.
        _ => {}
    }
}

fn integer(out: &mut String, value: i64) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value}");
}

/// `2026-11-21 08:26:00.5`, with `T` in between, with `Z` where it is an instant.
fn write_time(out: &mut String, micros: i64, instant: bool, iso: bool) {
    write_date(out, micros.div_euclid(DAY));
    let of_day = micros.rem_euclid(DAY);
    let (second, fraction) = (of_day / SECOND, of_day % SECOND);
    let between = if iso { 'T' } else { ' ' };
    // Writing to a String does not fail.
    let _ =
        write!(out, "{between}{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    if fraction > 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
    if instant {
        out.push('Z');
    }
}

/// A text in quotes. Control characters are escaped as Jackson does; what is not ASCII stays.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[from..index]);
        from = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            // Writing to a String does not fail.
            _ => drop(write!(out, "\\u{byte:04X}")),
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::builder::{Int64Builder, MapBuilder, StringBuilder};
    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, Float64Array, ListArray, StringArray,
        StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;
    use std::sync::Arc;

    fn text(array: &dyn Array) -> String {
        written(array, &JsonEncoding::default())
    }

    fn written(array: &dyn Array, encoding: &JsonEncoding) -> String {
        let mut out = String::new();
        write_value(&mut out, array, 0, encoding).unwrap();
        out
    }

    #[test]
    fn decimals_are_their_digits() {
        let decimal = |value: i128, scale| {
            Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap()
        };
        let large = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        assert_eq!(text(&decimal(large, 2)), "999999999999999999999999999999999999.99");
        assert_eq!(text(&decimal(-5, 2)), "-0.05");
        assert_eq!(text(&decimal(1_000, 10)), "0.0000001000");
        assert_eq!(text(&decimal(7, 0)), "7");
    }

    #[test]
    fn times_are_as_the_standard_asked_for() {
        let iso = JsonEncoding { iso_times: true, ..JsonEncoding::default() };
        let time = |micros| TimestampMicrosecondArray::from(vec![micros]);
        let cases = [
            (1_795_249_560_000_000, "\"2026-11-21 08:26:00\""),
            (1_795_249_560_120_000, "\"2026-11-21 08:26:00.12\""),
            (1_795_249_560_123_456, "\"2026-11-21 08:26:00.123456\""),
            (-1, "\"1969-12-31 23:59:59.999999\""),
        ];
        for (micros, expected) in cases {
            assert_eq!(text(&time(micros)), expected);
            assert_eq!(written(&time(micros), &iso), expected.replace(' ', "T"));
            let instant = time(micros).with_timezone("UTC");
            let zoned = format!("{}Z\"", expected.trim_end_matches('"'));
            assert_eq!(text(&instant), zoned);
            assert_eq!(written(&instant, &iso), zoned.replace(' ', "T"));
        }
        assert_eq!(text(&Date32Array::from(vec![19_782])), "\"2024-02-29\"");
    }

    #[test]
    fn texts_are_escaped_and_floats_are_javas() {
        let array = StringArray::from(vec!["a\"b\\c\n\u{1}\u{1f}é/\u{7f}"]);
        assert_eq!(text(&array), "\"a\\\"b\\\\c\\n\\u0001\\u001Fé/\u{7f}\"");
        assert_eq!(text(&Float64Array::from(vec![1.0])), "1.0");
        assert_eq!(text(&Float64Array::from(vec![1e10])), "1.0E10");
        assert_eq!(text(&Float64Array::from(vec![f64::NAN])), "\"NaN\"");
        assert_eq!(text(&BinaryArray::from(vec![&[0_u8, 255][..]])), "\"AP8=\"");
    }

    #[test]
    fn rows_arrays_and_maps_nest_and_nulls_stay_or_go() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        let row = StructArray::from(vec![
            (
                Arc::new(Field::new("l", list.data_type().clone(), true)),
                Arc::new(list) as Arc<dyn Array>,
            ),
            (
                Arc::new(Field::new("n", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![None::<&str>])) as Arc<dyn Array>,
            ),
        ]);
        assert!(has_form(row.data_type()));
        assert_eq!(text(&row), r#"{"l":[1,null],"n":null}"#);
        let skipping = JsonEncoding { skips_nulls: true, ..JsonEncoding::default() };
        assert_eq!(written(&row, &skipping), r#"{"l":[1,null]}"#);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("a");
        map.values().append_value(1);
        map.keys().append_value("b");
        map.values().append_null();
        map.append(true).unwrap();
        assert_eq!(text(&map.finish()), r#"{"a":1,"b":null}"#);
    }

    #[test]
    fn what_is_written_is_what_serde_reads() {
        let mut all = String::new();
        (0..=0xff_u32).filter_map(char::from_u32).for_each(|one| all.push(one));
        let read: String =
            serde_json::from_str(&text(&StringArray::from(vec![all.as_str()]))).unwrap();
        assert_eq!(read, all);
    }
}
