//! JSON records to Arrow: only the fields that a query names are decoded.
//!
//! Guarantees: a record is checked to its end even where nothing of it is wanted, so a broken
//! line is an error that names it; a field that occurs twice in an object counts once, the first.
//! Left out: finding the records in the file.

use super::column::{Column, FieldColumns};
use super::infer::{DEPTH_MAX, Seen, Shape};
use sonic_rs::{LazyValue, to_array_iter, to_object_iter};
use std::borrow::Cow;

/// Adds what one record has to `shape`.
pub(super) fn infer(record: &[u8], shape: &mut Shape) -> Result<(), String> {
    let text = utf8(record)?;
    match infer_object(text, 0)? {
        Seen::Object(found) => {
            let mut both = Seen::Object(std::mem::take(shape));
            both.add(Seen::Object(found));
            match both {
                Seen::Object(merged) => *shape = merged,
                _ => return Err("the rows have more than a thousand different fields".into()),
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Appends one record's fields to `columns`; blank lines are no rows. `row` is the row's number.
pub(super) fn decode(record: &[u8], columns: &mut FieldColumns, row: usize) -> Result<(), String> {
    object(utf8(record)?, columns, row)?;
    columns.fill_to(row + 1);
    Ok(())
}

/// Whether a line is a whole object: the layout of the file is decided by its first line.
pub(super) fn is_object(line: &[u8]) -> bool {
    utf8(line)
        .is_ok_and(|text| object(text, &mut FieldColumns::new(&Default::default()), 0).is_ok())
}

fn utf8(record: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(record)
        .map_err(|error| format!("byte {} of the record is not UTF-8", error.valid_up_to()))
}

fn object(text: &str, columns: &mut FieldColumns, row: usize) -> Result<(), String> {
    let mut guess = 0;
    let mut end = 0;
    for entry in to_object_iter(text) {
        let (name, value) = entry.map_err(|error| broken(&error))?;
        let raw = value.as_raw_str();
        end = offset_in(text, raw) + raw.len();
        if let Some(at) = columns.find(&name, guess) {
            guess = at + 1;
            if columns.len_of(at) == row {
                push(raw, columns.column(at))
                    .map_err(|reason| format!("field \"{}\": {reason}", columns.name(at)))?;
            }
        }
    }
    closed(text, end)
}

/// What follows the last value must close the object and be the end of the record: sonic-rs stops
/// at the bracket, and a second object on the line must not be lost in silence.
fn closed(text: &str, end: usize) -> Result<(), String> {
    let rest = text[end..].trim();
    let rest = match end {
        0 => rest.strip_prefix('{').map(str::trim_start),
        _ => Some(rest),
    };
    match rest {
        Some("}") => Ok(()),
        _ => Err("an object is expected, and nothing behind it on its line".into()),
    }
}

/// Where `part`, a slice of `whole`, starts in it.
fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

/// Appends a JSON value to a column.
fn push(raw: &str, column: &mut Column) -> Result<(), String> {
    match raw.as_bytes().first() {
        Some(b'n') => column.null(),
        Some(b'"') => column.text(&text_of(raw)?)?,
        Some(b'{') => match column {
            Column::Struct { columns, valid, .. } => {
                let row = valid.len();
                object(raw, columns, row)?;
                columns.fill_to(row + 1);
                valid.push(true);
            }
            other => other.text(raw)?,
        },
        Some(b'[') => match column {
            Column::List { lengths, valid, items, .. } => {
                let mut length = 0;
                for item in to_array_iter(raw) {
                    push(item.map_err(|error| broken(&error))?.as_raw_str(), items)?;
                    length += 1;
                }
                lengths.push(length);
                valid.push(true);
            }
            other => other.text(raw)?,
        },
        _ => column.text(raw)?,
    }
    Ok(())
}

/// A JSON string's characters.
fn text_of(raw: &str) -> Result<Cow<'_, str>, String> {
    match memchr::memchr(b'\\', raw.as_bytes()) {
        None => Ok(Cow::Borrowed(&raw[1..raw.len() - 1])),
        Some(_) => {
            sonic_rs::from_str::<String>(raw).map(Cow::Owned).map_err(|error| broken(&error))
        }
    }
}

fn infer_object(text: &str, depth: usize) -> Result<Seen, String> {
    let mut shape = Shape::default();
    let mut end = 0;
    for entry in to_object_iter(text) {
        let (name, value) = entry.map_err(|error| broken(&error))?;
        let raw = value.as_raw_str();
        end = offset_in(text, raw) + raw.len();
        shape.field(&name).add(infer_value(&value, depth)?);
    }
    closed(text, end)?;
    Ok(Seen::Object(shape))
}

fn infer_value(value: &LazyValue<'_>, depth: usize) -> Result<Seen, String> {
    let raw = value.as_raw_str();
    Ok(match raw.as_bytes().first() {
        Some(b'n') => Seen::Nothing,
        Some(b't' | b'f') => Seen::Boolean,
        Some(b'{') if depth < DEPTH_MAX => infer_object(raw, depth + 1)?,
        Some(b'[') if depth < DEPTH_MAX => {
            let mut items = Seen::Nothing;
            for item in to_array_iter(raw) {
                items.add(infer_value(&item.map_err(|error| broken(&error))?, depth + 1)?);
            }
            Seen::List(Box::new(items))
        }
        Some(b'-' | b'0'..=b'9') => Seen::number(raw),
        _ => Seen::Text,
    })
}

fn broken(error: &sonic_rs::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or("it cannot be read");
    format!("not JSON: {}", first.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Array, StructArray};

    fn read(lines: &[&str]) -> Result<StructArray, String> {
        let mut shape = Shape::default();
        for line in lines {
            infer(line.as_bytes(), &mut shape)?;
        }
        let fields = shape.columns();
        let mut columns = FieldColumns::new(&fields);
        for (row, line) in lines.iter().enumerate() {
            decode(line.as_bytes(), &mut columns, row)?;
        }
        Ok(StructArray::new(fields, columns.finish(), None))
    }

    #[test]
    fn nested_values_missing_fields_and_another_order_are_read() {
        let rows = read(&[
            r#"{"id":1,"amount":10.5,"tags":["a","b"],"at":{"x":1}}"#,
            r#"{"amount":0.25,"id":2,"tags":null}"#,
            r#"{"id":3,"at":{"y":"\u00e9\n"},"tags":[]}"#,
        ])
        .unwrap();
        let text = format!(
            "{:?}",
            arrow::util::pretty::pretty_format_columns(
                "row",
                &[std::sync::Arc::new(rows) as arrow::array::ArrayRef]
            )
            .unwrap()
            .to_string()
        );
        assert!(text.contains("amount: 10.50"), "{text}");
        assert!(text.contains("tags: [a, b]"), "{text}");
        assert!(text.contains("y: é"), "{text}");
    }

    #[test]
    fn a_field_twice_counts_once() {
        let rows = read(&[r#"{"a":1,"a":2}"#, r#"{"a":3}"#]).unwrap();
        assert_eq!(rows.column(0).len(), 2);
        assert_eq!(format!("{:?}", rows.column(0)).matches("  1,").count(), 1);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for line in [
            r#"{"a":1"#,
            r#"{"a":1}{"a":2}"#,
            r#"[1]"#,
            "7",
            "{\"a\":1} x",
            "{} {}",
            "{,}",
            "{\"a\" 1}",
        ] {
            let mut columns = FieldColumns::new(&Default::default());
            assert!(decode(line.as_bytes(), &mut columns, 0).is_err(), "{line} was taken");
        }
        let mut columns = FieldColumns::new(&Default::default());
        assert!(decode(b"{ }", &mut columns, 0).is_ok());
    }
}
