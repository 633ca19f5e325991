//! Lines of CSV to Arrow columns, driven by the columns asked for.
//!
//! Guarantees: as Flink's `csv` format reads a line: fields by place, quotes doubled within quotes,
//! numbers trimmed. A line that breaks a type rejects itself alone, with the column at fault.
//! Left out: fields that go over several lines; arrays and rows in a field.

use super::json::{Decoded, Parsed, ScalarBuilder};
use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Fields};
use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use tradewind_sql::CsvFormat;

/// Longest field, in bytes: as long as the longest record that is taken.
const FIELD_BYTES_MAX: usize = 1 << 24;

/// Gathers the rows of one batch.
pub(super) struct CsvDecoder {
    reader: Reader,
    null_literal: Option<String>,
    comments: bool,
    /// For each field of a line the column it is read into.
    places: Vec<Option<usize>>,
    columns: Vec<(FieldRef, ScalarBuilder)>,
    /// The fields of one line, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvDecoder {
    pub(super) fn new(
        format: &CsvFormat,
        fields: &Fields,
        all_columns: &[String],
    ) -> Result<Self, String> {
        let reader = ReaderBuilder::new()
            .delimiter(format.delimiter)
            .quote(format.quote.unwrap_or_default())
            .quoting(format.quote.is_some())
            .build();
        let find = |name: &String| fields.iter().position(|field| field.name() == name);
        let columns = fields.iter().map(|field| {
            let builder = ScalarBuilder::new(field);
            let builder = builder.map_err(|_| {
                let name = tradewind_sql::type_name(field.data_type());
                format!("column {:?}: CSV has no {name}", field.name())
            });
            Ok((field.clone(), builder?))
        });
        Ok(Self {
            reader,
            null_literal: format.null_literal.clone(),
            comments: format.comments,
            places: all_columns.iter().map(find).collect(),
            columns: columns.collect::<Result<_, String>>()?,
            text: vec![0; 256],
            ends: Vec::new(),
        })
    }

    /// Takes one line in.
    pub(super) fn decode(&mut self, line: &[u8]) -> Decoded {
        if line.is_empty() || (self.comments && line.first() == Some(&b'#')) {
            return Decoded::Skipped;
        }
        if let Err(reason) = self.split(line) {
            return Decoded::Rejected(reason);
        }
        let count = self.ends.len();
        if count > self.places.len() {
            let reason = format!("it has {count} fields, the table {} columns", self.places.len());
            return Decoded::Rejected(reason);
        }
        self.append().map_or_else(Decoded::Rejected, |()| Decoded::Row)
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect()
    }

    /// Splits a line into `text` and `ends`.
    fn split(&mut self, line: &[u8]) -> Result<(), String> {
        self.reader.reset();
        self.ends.clear();
        let (mut input, mut used) = (line, 0);
        loop {
            let (result, read, wrote) = self.reader.read_field(input, &mut self.text[used..]);
            input = &input[read..];
            used += wrote;
            match result {
                ReadFieldResult::OutputFull if self.text.len() >= FIELD_BYTES_MAX => {
                    return Err(format!("it has more than {FIELD_BYTES_MAX} bytes"));
                }
                ReadFieldResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadFieldResult::Field { .. } => self.ends.push(used),
                // The line's end is the end of its last field: an empty input says so.
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::End => return Ok(()),
            }
        }
    }

    /// Adds the fields to their columns: all of them or none.
    fn append(&mut self) -> Result<(), String> {
        let Self { places, columns, text, ends, null_literal, .. } = self;
        let mut values: Vec<Option<Parsed<'_>>> = vec![None; columns.len()];
        let mut begin = 0;
        for (place, end) in places.iter().zip(ends.iter()) {
            let bytes = &text[begin..*end];
            begin = *end;
            let Some(column) = *place else { continue };
            let (field, builder) = &columns[column];
            let text = std::str::from_utf8(bytes)
                .map_err(|error| format!("{}: it is no text: {error}", field.name()))?;
            if null_literal.as_deref() == Some(text) {
                continue;
            }
            values[column] = Some(builder.parse(text).map_err(|reason| {
                let short: String = text.chars().take(40).collect();
                format!("{}: {short:?} {reason}", field.name())
            })?);
        }
        for ((field, _), value) in columns.iter().zip(&values) {
            if value.is_none() && !field.is_nullable() {
                return Err(format!("{}: it is NOT NULL and is missing", field.name()));
            }
        }
        for ((_, builder), value) in columns.iter_mut().zip(values) {
            match value {
                Some(value) => builder.append_parsed(value),
                None => builder.append_fillers(true, 1),
            }
        }
        Ok(())
    }
}
