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
pub(super) use scalar::ScalarBuilder;
use sonic_rs::{JsonValueTrait, LazyValue, to_object_iter};
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
    prefilters: Vec<Prefilter>,
    row: RowBuilder,
    /// One bit for each row gathered: whether it was rejected half way.
    kept: BooleanBufferBuilder,
    rejected: usize,
}

impl JsonDecoder {
    /// A decoder for these columns. `Err` names a type that JSON has no form for.
    pub(super) fn new(fields: &Fields, prefilters: Vec<Prefilter>) -> Result<Self, String> {
        let row = RowBuilder::new(fields)?;
        Ok(Self { prefilters, row, kept: BooleanBufferBuilder::new(0), rejected: 0 })
    }

    /// Takes one record in.
    pub(super) fn decode(&mut self, record: &[u8]) -> Decoded {
        match self.is_wanted(record) {
            Ok(true) => {}
            Ok(false) => return Decoded::Skipped,
            Err(reason) => return Decoded::Rejected(reason),
        }
        let mut error = None;
        self.row.append_record(to_object_iter(record), &Path::Root, &mut error);
        // The iterator ends at the closing brace; what follows must be nothing.
        if error.is_none() && record.trim_ascii_end().last() != Some(&b'}') {
            error = Some("it is no JSON object: there is text after it".to_string());
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

    fn is_wanted(&self, record: &[u8]) -> Result<bool, String> {
        self.prefilters
            .iter()
            .try_fold(true, |wanted, prefilter| Ok(wanted && prefilter.wants(record)?))
    }
}

impl Prefilter {
    fn wants(&self, record: &[u8]) -> Result<bool, String> {
        for entry in to_object_iter(record) {
            let (key, value) = entry.map_err(|error| malformed(&error))?;
            if key == self.field {
                return Ok(self.matches(&value));
            }
        }
        Ok(false)
    }

    fn matches(&self, value: &LazyValue<'_>) -> bool {
        if value.is_null() {
            return false;
        }
        // The text a STRING column would have: a text without its quotes, else the JSON itself.
        let text = value.as_str().unwrap_or_else(|| scalar::raw(value));
        self.values.iter().any(|wanted| wanted == text)
    }
}

/// What the parser says, in one line without the text it points into.
fn malformed(error: &sonic_rs::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("it is no JSON object: {}", first.trim_end_matches(['.', ':']))
}

/// The text of a top-level field, for whoever cannot decode the rest.
pub(super) fn text_field(record: &[u8], field: &str) -> Option<String> {
    to_object_iter(record)
        .map_while(Result::ok)
        .find(|(key, _)| key == field)
        .and_then(|(_, value)| value.as_str().map(str::to_string))
}
