//! JSON objects to Arrow columns, one record at a time, driven by the columns asked for.
//!
//! Guarantees: a field that no column names is skipped, not parsed; a record that breaks a type
//! rejects itself alone, with the path of the field at fault. Of fields with one name the first
//! counts. Numbers reach integers and decimals from their text.
//! Left out: JSON other than one object a record.

mod number;
mod scalar;
mod time;
mod values;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder};
use arrow::compute::filter;
use arrow::datatypes::Fields;
pub(super) use scalar::{Parsed, ScalarBuilder};
use std::fmt::Display;
use tradewind_json::{Cursor, Fault, Keys};
use values::{Path, RowBuilder};

/// A record is of interest only when this top-level text field has one of these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefilter {
    /// The field's name.
    pub field: String,
    /// Any of them will do.
    pub values: Vec<String>,
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// It is a row.
    Row,
    /// A prefilter does not want it; nothing after the field that says so was looked at.
    Skipped,
    /// It is no row, for this reason.
    Rejected(String),
}

/// Gathers the rows of one batch.
pub(super) struct JsonDecoder {
    wanted: Vec<Wanted>,
    row: RowBuilder,
    /// One bit for each row gathered: whether it was rejected half way.
    kept: BooleanBufferBuilder,
    rejected: usize,
}

/// A prefilter at work.
struct Wanted {
    keys: Keys,
    values: Vec<String>,
}

impl JsonDecoder {
    /// A decoder for these columns. `Err` names a type that JSON has no form for.
    pub(super) fn new(fields: &Fields, prefilters: Vec<Prefilter>) -> Result<Self, String> {
        let row = RowBuilder::new(fields)?;
        let wanted = |prefilter: Prefilter| Wanted {
            keys: Keys::new([prefilter.field.as_str()]),
            values: prefilter.values,
        };
        let wanted = prefilters.into_iter().map(wanted).collect();
        Ok(Self { wanted, row, kept: BooleanBufferBuilder::new(0), rejected: 0 })
    }

    /// Makes room for rows that are about to come.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.kept.reserve(rows);
        self.row.reserve(rows);
    }

    /// Takes one record in.
    pub(super) fn decode(&mut self, record: &[u8]) -> Decoded {
        let Ok(text) = simdutf8::basic::from_utf8(record) else {
            let valid =
                std::str::from_utf8(record).map_or_else(|error| error.valid_up_to(), str::len);
            return Decoded::Rejected(malformed("it is no UTF-8", valid));
        };
        for wanted in &mut self.wanted {
            match wanted.takes(text) {
                Ok(true) => {}
                Ok(false) => return Decoded::Skipped,
                Err(reason) => return Decoded::Rejected(reason),
            }
        }
        let mut error = None;
        let mut cursor = Cursor::new(text);
        let read = self.row.append_object(&mut cursor, &Path::Root, &mut error);
        if read.is_ok() && cursor.end().is_err() {
            error.get_or_insert_with(|| "it is no JSON object: there is text after it".to_string());
        }
        self.kept.append(error.is_none());
        match error {
            None => Decoded::Row,
            Some(reason) => {
                self.rejected += 1;
                Decoded::Rejected(reason)
            }
        }
    }

    /// The columns of the rows gathered, and begins anew.
    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let columns = self.row.finish_columns();
        let kept = BooleanArray::new(self.kept.finish(), None);
        if std::mem::take(&mut self.rejected) == 0 {
            return columns;
        }
        let filter = |column: &ArrayRef| {
            filter(column, &kept).expect("every column has one value for each record")
        };
        columns.iter().map(filter).collect()
    }
}

impl Wanted {
    /// Whether a record has one of the values; nothing behind its field is looked at.
    fn takes(&mut self, record: &str) -> Result<bool, String> {
        let mut cursor = Cursor::new(record);
        self.find(&mut cursor).map_err(|fault| malformed(fault, cursor.at()))
    }

    fn find(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
        let mut more = cursor.enter(b'{', b'}')?;
        let mut place = 0;
        while more {
            if self.keys.next(cursor, &mut place)?.is_some() {
                return self.matches(cursor);
            }
            cursor.skip()?;
            more = cursor.another(b'}')?;
        }
        Ok(false)
    }

    /// Whether the value is wanted, by the text a STRING column would have: a text without its
    /// quotes, else the JSON itself.
    fn matches(&self, cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
        let is = |text: &str| self.values.iter().any(|wanted| wanted == text);
        Ok(match cursor.peek() {
            b'"' => {
                let text = cursor.string()?;
                text.characters().map_or_else(|_| is(text.written()), |text| is(&text))
            }
            b'n' => {
                cursor.skip()?;
                false
            }
            _ => is(cursor.value()?),
        })
    }
}

/// What is wrong with a record that is no object.
#[cold]
fn malformed(fault: impl Display, at: usize) -> String {
    format!("it is no JSON object: {fault} at byte {at}")
}

/// The text of a top-level field, for whoever cannot decode the rest.
pub(super) fn text_field(record: &[u8], field: &str) -> Option<String> {
    // What is no text further on does not matter to what comes before.
    let text = match std::str::from_utf8(record) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&record[..error.valid_up_to()]).ok()?,
    };
    let (mut cursor, mut keys, mut place) = (Cursor::new(text), Keys::new([field]), 0);
    let mut more = cursor.enter(b'{', b'}').ok()?;
    while more {
        if keys.next(&mut cursor, &mut place).ok()?.is_some() {
            return cursor.string().ok()?.characters().ok().map(String::from);
        }
        cursor.skip().ok()?;
        more = cursor.another(b'}').ok()?;
    }
    None
}
