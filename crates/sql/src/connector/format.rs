//! How a record is read and written: `'format' = …`.

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

/// How rows become JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonEncoding {
    /// `2026-11-21T08:26:00` in place of `2026-11-21 08:26:00`.
    pub iso_times: bool,
    /// A null is left out.
    pub skips_nulls: bool,
    /// What becomes of a null that is a map's key.
    pub null_keys: NullKeys,
}

/// What becomes of a null that is a map's key, which JSON has no form for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NullKeys {
    /// The row fails.
    #[default]
    Fail,
    /// The entry is left out.
    Drop,
    /// The key is this text.
    Literal(String),
}

/// How a line of CSV is read and written.
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
        Self::named(options, "format", format.as_deref())
    }

    /// `'key.format'` and what belongs to it; `None` where it is not said.
    pub(super) fn of_key(options: &mut Options<'_>) -> Result<Option<Self>, SqlError> {
        match options.text("key.format") {
            Some(format) => Self::named(options, "key.format", Some(&format)).map(Some),
            None => Ok(None),
        }
    }

    fn named(options: &mut Options<'_>, key: &str, format: Option<&str>) -> Result<Self, SqlError> {
        match format {
            Some("json") => {
                // What is missing is null, and what cannot be read is kept as a dead letter whether
                // it is ignored or not.
                for prefix in ["", "key.", "value."] {
                    options.ignore(&format!("{prefix}json.fail-on-missing-field"));
                    options.ignore(&format!("{prefix}json.ignore-parse-errors"));
                }
                // Times are read in either form: whoever writes asks for the form.
                JsonEncoding::from_options(options, "").map(|_| Self::Json)
            }
            Some("csv") => CsvFormat::from_options(options).map(Self::Csv),
            Some("raw") => {
                options.ignore("raw.charset");
                Ok(Self::Raw)
            }
            Some(other) => {
                let hint = did_you_mean(other, FORMATS);
                let hint = hint.unwrap_or_else(|| "json, csv or raw".into());
                Err(options.error(key, format!("there is no format {other:?}")).hint(hint))
            }
            None => Err(options
                .error("connector", "the table needs a 'format'")
                .hint("'format' = 'json', 'csv' or 'raw'")),
        }
    }
}

impl JsonEncoding {
    /// What is said of JSON, with `prefix` (`key.` or `value.`) before it or without.
    pub(super) fn from_options(options: &mut Options<'_>, prefix: &str) -> Result<Self, SqlError> {
        let mut iso_times = false;
        if let Some((key, text)) = said(options, prefix, "json.timestamp-format.standard") {
            iso_times = match text.as_str() {
                "SQL" => false,
                "ISO-8601" => true,
                _ => return Err(unknown(options, &key, &text, "SQL or ISO-8601")),
            };
        }
        let skips_nulls = match said(options, prefix, "json.encode.ignore-null-fields") {
            Some((key, _)) => options.boolean(&key)?.unwrap_or(false),
            None => false,
        };
        // Digits never come with an exponent here.
        said(options, prefix, "json.encode.decimal-as-plain-number");
        let literal = said(options, prefix, "json.map-null-key.literal");
        let null_keys = match said(options, prefix, "json.map-null-key.mode") {
            None => NullKeys::Fail,
            Some((key, text)) => match text.to_ascii_uppercase().as_str() {
                "FAIL" => NullKeys::Fail,
                "DROP" => NullKeys::Drop,
                "LITERAL" => {
                    NullKeys::Literal(literal.map_or_else(|| "null".into(), |said| said.1))
                }
                _ => return Err(unknown(options, &key, &text, "FAIL, DROP or LITERAL")),
            },
        };
        Ok(Self { iso_times, skips_nulls, null_keys })
    }
}

/// An option's key and value, with a prefix or without.
fn said(options: &mut Options<'_>, prefix: &str, key: &str) -> Option<(String, String)> {
    let prefixed = format!("{prefix}{key}");
    let found = [prefixed, key.to_string()].map(|key| Some((options.text(&key)?, key)));
    found.into_iter().flatten().next().map(|(value, key)| (key, value))
}

fn unknown(options: &Options<'_>, key: &str, text: &str, known: &str) -> SqlError {
    options.error(key, format!("{key:?} is {text:?}")).hint(known)
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
