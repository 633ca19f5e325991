//! JSON records to Arrow: only the fields that a query names are decoded.
//!
//! Guarantees: a record is checked to its end even where nothing of it is wanted, so a broken
//! line is an error that names it; a field that occurs twice in an object counts once, the first.
//! Left out: finding the records in the file.

use super::column::{Column, FieldColumns};
use super::infer::{DEPTH_MAX, Seen, Shape};
use tradewind_json::{Cursor, Fault};

/// Adds what one record has to `shape`; of a broken record it may have added a part.
pub(super) fn infer(record: &[u8], shape: &mut Shape) -> Result<(), String> {
    let mut cursor = Cursor::new(utf8(record)?);
    whole(&mut cursor, |cursor| infer_object(cursor, shape, 0))?;
    match shape.is_map() {
        true => Err("the rows have more than a thousand different fields".into()),
        false => Ok(()),
    }
}

/// Appends one record's fields to `columns`. `row` is the row's number.
pub(super) fn decode(record: &[u8], columns: &mut FieldColumns, row: usize) -> Result<(), String> {
    let mut cursor = Cursor::new(utf8(record)?);
    whole(&mut cursor, |cursor| object(cursor, columns, row))
}

/// Whether a line is a whole object: the layout of the file is decided by its first line.
pub(super) fn is_object(line: &[u8]) -> bool {
    decode(line, &mut FieldColumns::new(&Default::default()), 0).is_ok()
}

fn utf8(record: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(record)
        .map_err(|error| format!("byte {} of the record is not UTF-8", error.valid_up_to()))
}

/// What stopped the decoding of a record.
enum Stop {
    /// The text is not JSON where the cursor stands.
    Broken(Fault),
    /// The text is JSON, but nothing for its column.
    Misfit(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Misfit(reason)
    }
}

/// Runs `read` over the one value that the cursor's text is.
#[inline(always)]
fn whole<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Stop>,
) -> Result<T, String> {
    let read = read(cursor).and_then(|value| Ok(cursor.end().map(|()| value)?));
    read.map_err(|stop| match stop {
        Stop::Broken(fault) => format!("not JSON: {fault} at byte {} of the record", cursor.at()),
        Stop::Misfit(reason) => reason,
    })
}

fn object(cursor: &mut Cursor<'_>, columns: &mut FieldColumns, row: usize) -> Result<(), Stop> {
    let mut more = cursor.enter(b'{', b'}')?;
    let mut place = 0;
    while more {
        match columns.keys.next(cursor, &mut place)? {
            Some(at) if columns.len_of(at) == row => {
                push(cursor, columns.column(at))
                    .map_err(|stop| in_field(stop, columns.name(at)))?;
            }
            _ => cursor.skip()?,
        }
        more = cursor.another(b'}')?;
    }
    columns.fill_to(row + 1);
    Ok(())
}

#[cold]
fn in_field(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::Misfit(reason) => Stop::Misfit(format!("field \"{name}\": {reason}")),
        broken => broken,
    }
}

/// Appends the value at the cursor to a column.
fn push(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Stop> {
    match (cursor.peek(), column) {
        (b'n', column) => {
            cursor.skip()?;
            column.null();
        }
        (b'"', column) => column.text(&cursor.string()?.characters()?)?,
        (b'{', Column::Struct { columns, valid, .. }) => {
            object(cursor, columns, valid.len())?;
            valid.push(true);
        }
        (b'[', Column::List { lengths, valid, items, .. }) => {
            let mut length = 0;
            let mut more = cursor.enter(b'[', b']')?;
            while more {
                push(cursor, items)?;
                length += 1;
                more = cursor.another(b']')?;
            }
            lengths.push(length);
            valid.push(true);
        }
        (_, column) => column.text(cursor.value()?)?,
    }
    Ok(())
}

fn infer_object(cursor: &mut Cursor<'_>, shape: &mut Shape, depth: usize) -> Result<(), Stop> {
    let mut more = cursor.enter(b'{', b'}')?;
    while more {
        let name = cursor.string()?.characters()?;
        cursor.colon()?;
        infer_value(cursor, shape.field(&name), depth)?;
        more = cursor.another(b'}')?;
    }
    Ok(())
}

/// Adds the value at the cursor to what its column has been so far.
fn infer_value(cursor: &mut Cursor<'_>, seen: &mut Seen, depth: usize) -> Result<(), Stop> {
    let first = cursor.peek();
    if matches!(seen, Seen::Nothing) && depth < DEPTH_MAX {
        match first {
            b'{' => *seen = Seen::Object(Shape::default()),
            b'[' => *seen = Seen::List(Box::default()),
            _ => {}
        }
    }
    match (first, &mut *seen) {
        (b'{', Seen::Object(shape)) => {
            infer_object(cursor, shape, depth + 1)?;
            if shape.is_map() {
                *seen = Seen::Text;
            }
        }
        (b'[', Seen::List(items)) => {
            let mut more = cursor.enter(b'[', b']')?;
            while more {
                infer_value(cursor, items, depth + 1)?;
                more = cursor.another(b']')?;
            }
        }
        _ => {
            let value = cursor.value()?;
            seen.add(match first {
                b'n' => Seen::Nothing,
                b't' | b'f' => Seen::Boolean,
                b'-' | b'0'..=b'9' => Seen::number(value),
                // Also an object or a list where there were others before, or too deep.
                _ => Seen::Text,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::StructArray;
    use arrow::datatypes::{DataType, Field};

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
    fn objects_that_are_maps_or_meet_other_kinds_are_text() {
        let many = (0..1_001).map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(",");
        let map =
            format!("{{\"m\":{{{many}}},\"o\":{{\"a\":1}},\"l\":[1,null,{{}}],\"n\":[null]}}");
        let mut shape = Shape::default();
        for line in [map.as_str(), r#"{"m":{"x":1},"o":7,"l":[],"n":[2.5]}"#] {
            infer(line.as_bytes(), &mut shape).unwrap();
        }
        let types: Vec<_> = shape.columns().iter().map(|f| f.data_type().clone()).collect();
        let list = |item| DataType::new_list(item, true);
        let decimals = list(DataType::Decimal128(18, 1));
        assert_eq!(types, [DataType::Utf8, DataType::Utf8, list(DataType::Utf8), decimals]);
        assert!(infer(format!("{{{many}}}").as_bytes(), &mut shape).is_err());
    }

    #[test]
    fn what_is_wrong_says_where() {
        let mut columns = FieldColumns::new(&Default::default());
        assert_eq!(
            decode(br#"{"a":1,"b":x}"#, &mut columns, 0),
            Err("not JSON: a value is expected at byte 11 of the record".into())
        );
        let record = b"{\"a\":\"\xff\"}";
        let reason = decode(record, &mut columns, 0).unwrap_err();
        assert!(reason.contains("byte 6 of the record is not UTF-8"), "{reason}");
        let mut columns = FieldColumns::new(&vec![Field::new("n", DataType::Int64, true)].into());
        let reason = decode(br#"{"a":1,"n":"x"}"#, &mut columns, 0).unwrap_err();
        assert!(reason.starts_with("field \"n\": \"x\" is not a whole number"), "{reason}");
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
