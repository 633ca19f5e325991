//! CSV and TSV to Arrow.
//!
//! Guarantees: the delimiter and whether the first row is a header come from the file's first row;
//! an empty field is a null; a row with too many or too few fields is an error naming its line.
//! Left out: splitting one file among readers, since a quoted field may hold line breaks.

use super::column::{Column, Number};
use super::infer::{Seen, Shape};
use super::input::{Input, ReadFault};
use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use std::io::Read;

/// What separates fields, most likely first.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// The first row must be found within this many bytes.
const FIRST_ROW_BYTES_MAX: u64 = 1 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    delimiter: u8,
    header: bool,
}

impl Form {
    /// Decides from the file's first row; also gives the columns' names.
    pub(super) fn of(input: &Input) -> Result<(Self, Vec<String>), ReadFault> {
        let mut start = Vec::new();
        input.open()?.take(FIRST_ROW_BYTES_MAX).read_to_end(&mut start)?;
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |delimiter: u8| memchr::memchr_iter(delimiter, line).count();
        let delimiter = DELIMITERS.into_iter().rev().max_by_key(|each| count(*each));
        let delimiter = delimiter.unwrap_or(b',');
        let mut first = ByteRecord::new();
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .from_reader(start.as_slice());
        reader.read_byte_record(&mut first).map_err(fault)?;
        let names = first.iter().map(|name| text(name).map(|text| text.trim().to_string()));
        let names = names.collect::<Result<Vec<_>, _>>().map_err(|reason| at(0, reason))?;
        let header = is_header(&names);
        let names = match header {
            true => names,
            false => (1..=names.len()).map(|number| format!("column{number}")).collect(),
        };
        Ok((Self { delimiter, header }, names))
    }

    /// The file's rows.
    pub(super) fn rows(self, input: &Input) -> Result<Rows, ReadFault> {
        let reader = ReaderBuilder::new()
            .has_headers(self.header)
            .delimiter(self.delimiter)
            .from_reader(input.open()?);
        Ok(Rows { reader, record: ByteRecord::new() })
    }
}

/// Names, all different, none of them a number.
fn is_header(names: &[String]) -> bool {
    let mut seen = std::collections::HashSet::new();
    names
        .iter()
        .all(|name| !name.is_empty() && Number::parse(name).is_none() && seen.insert(name.as_str()))
}

/// A CSV file row by row.
pub(super) struct Rows {
    reader: Reader<Box<dyn Read + Send>>,
    record: ByteRecord,
}

impl Rows {
    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&ByteRecord>, ReadFault> {
        match self.reader.read_byte_record(&mut self.record).map_err(fault)? {
            true => Ok(Some(&self.record)),
            false => Ok(None),
        }
    }
}

/// Adds a row's values to what its columns have been so far.
pub(super) fn infer(
    row: &ByteRecord,
    names: &[String],
    shape: &mut Shape,
) -> Result<(), ReadFault> {
    for (name, value) in names.iter().zip(row) {
        let value = text(value).map_err(|reason| at(byte_of(row), reason))?;
        shape.field(name).add(kind_of(value));
    }
    Ok(())
}

fn kind_of(value: &str) -> Seen {
    match value {
        "" => Seen::Nothing,
        "true" | "false" | "TRUE" | "FALSE" | "True" | "False" => Seen::Boolean,
        // 0042 is an article number, not forty-two.
        _ if value.len() > 1 && value.starts_with('0') && !value.starts_with("0.") => Seen::Text,
        _ => match Number::parse(value) {
            Some(_) => Seen::number(value),
            None => Seen::Text,
        },
    }
}

/// Appends the wanted fields of a row: `wanted[i]` is the field that goes to `columns[i]`.
pub(super) fn decode(
    row: &ByteRecord,
    wanted: &[(usize, String)],
    columns: &mut [Column],
) -> Result<(), ReadFault> {
    for ((field, name), column) in wanted.iter().zip(columns) {
        let value = row.get(*field).unwrap_or_default();
        if value.is_empty() {
            column.null();
            continue;
        }
        let pushed = text(value).and_then(|value| column.text(value));
        pushed.map_err(|reason| at(byte_of(row), format!("column \"{name}\": {reason}")))?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_string())
}

fn byte_of(row: &ByteRecord) -> u64 {
    row.position().map_or(0, Position::byte)
}

fn at(position: u64, reason: String) -> ReadFault {
    ReadFault::Content { position, reason }
}

fn fault(error: csv::Error) -> ReadFault {
    let position = error.position().map_or(0, Position::byte);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => ReadFault::Io(error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            at(position, format!("{len} fields where the first row has {expected_len}"))
        }
        other => at(position, format!("{other:?}")),
    }
}
