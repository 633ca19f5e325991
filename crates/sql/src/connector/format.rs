//! How a record is read: `'format' = …`.

use super::options::Options;
use crate::{SqlError, did_you_mean};

/// How a record is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a record.
    Json,
    /// One line of separated fields a record.
    Csv(CsvFormat),
    /// The whole record as the table's only physical column.
    Raw,
}

/// How a line of CSV is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFormat {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields, doubled within them; `None` where a quote means nothing.
    pub quote: Option<u8>,
    /// The text that stands for null.
    pub null_literal: Option<String>,
    /// Lines that begin with `#` are no records.
    pub comments: bool,
}

const FORMATS: [&str; 3] = ["json", "csv", "raw"];

impl Format {
    /// `'format'` or `'value.format'` and what belongs to it.
    pub(super) fn from_options(
        options: &mut Options<'_>,
        default: Option<&str>,
    ) -> Result<Self, SqlError> {
        let (format, value_format) = (options.text("format"), options.text("value.format"));
        let format = format.or(value_format).or_else(|| default.map(str::to_string));
        match format.as_deref() {
            Some("json") => {
                // Times are read in either form; what is missing is null, and what cannot be read
                // is kept as a dead letter whether it is ignored or not.
                options.ignore("json.timestamp-format.standard");
                options.ignore("json.fail-on-missing-field");
                options.ignore("json.ignore-parse-errors");
                Ok(Self::Json)
            }
            Some("csv") => CsvFormat::from_options(options).map(Self::Csv),
            Some("raw") => {
                options.ignore("raw.charset");
                Ok(Self::Raw)
            }
            Some(other) => {
                let hint = did_you_mean(other, FORMATS);
                let hint = hint.unwrap_or_else(|| "json, csv or raw".into());
                Err(options.error("format", format!("there is no format {other:?}")).hint(hint))
            }
            None => Err(options
                .error("connector", "the table needs a 'format'")
                .hint("'format' = 'json', 'csv' or 'raw'")),
        }
    }
}

impl CsvFormat {
    fn from_options(options: &mut Options<'_>) -> Result<Self, SqlError> {
        options.ignore("csv.ignore-parse-errors");
        let delimiter = match options.text("csv.field-delimiter").as_deref() {
            None => b',',
            Some("\\t") => b'\t',
            Some(text) => byte(options, "csv.field-delimiter", text)?,
        };
        let quote = match options.text("csv.quote-character") {
            None => b'"',
            Some(text) => byte(options, "csv.quote-character", &text)?,
        };
        let unquoted = options.boolean("csv.disable-quote-character")?.unwrap_or(false);
        Ok(Self {
            delimiter,
            quote: (!unquoted).then_some(quote),
            null_literal: options.text("csv.null-literal"),
            comments: options.boolean("csv.allow-comments")?.unwrap_or(false),
        })
    }
}

fn byte(options: &Options<'_>, key: &str, text: &str) -> Result<u8, SqlError> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(options.error(key, format!("{key:?} is {text:?}, and not one ASCII character"))),
    }
}
