//! `'connector' = 'datagen'`.

use super::options::Options;
use crate::SqlError;
use std::collections::BTreeMap;

/// Rows a second where the table does not say.
const ROWS_PER_SECOND: u64 = 10_000;
/// Letters of a text where the table does not say.
const TEXT_LENGTH: usize = 100;

/// Rows to make up.
#[derive(Debug, Clone, PartialEq)]
pub struct DatagenTable {
    /// At most so many.
    pub rows_per_second: u64,
    /// Where it ends, if it does.
    pub number_of_rows: Option<i64>,
    /// What is said of a column, by its name.
    pub fields: BTreeMap<String, DatagenField>,
}

/// How a column is made up.
#[derive(Debug, Clone, PartialEq)]
pub struct DatagenField {
    /// Which values.
    pub kind: DatagenKind,
    /// Characters of a random text.
    pub length: usize,
    /// How far back a random time may lie, in microseconds.
    pub max_past_us: u64,
    /// Which share of values is null, from 0 to 1.
    pub null_rate: f64,
}

/// Which values a column gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DatagenKind {
    /// Any.
    Random {
        /// The least; that of the type where it is not given.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
    },
    /// One after the other.
    Sequence {
        /// The first.
        start: i64,
        /// The last; the source ends with it.
        end: i64,
    },
}

impl Default for DatagenField {
    fn default() -> Self {
        let kind = DatagenKind::Random { min: None, max: None };
        Self { kind, length: TEXT_LENGTH, max_past_us: 0, null_rate: 0.0 }
    }
}

impl DatagenTable {
    pub(super) fn from_options(options: &mut Options<'_>) -> Result<Self, SqlError> {
        let mut fields = BTreeMap::new();
        for key in options.keys_with("fields.") {
            let inner = key.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.'));
            let Some((column, _)) = inner else { continue };
            if !fields.contains_key(column) {
                fields.insert(column.to_string(), DatagenField::from_options(options, column)?);
            }
        }
        Ok(Self {
            rows_per_second: options.number("rows-per-second")?.unwrap_or(ROWS_PER_SECOND),
            number_of_rows: options.number("number-of-rows")?,
            fields,
        })
    }
}

impl DatagenField {
    fn from_options(options: &mut Options<'_>, column: &str) -> Result<Self, SqlError> {
        let key = |what: &str| format!("fields.{column}.{what}");
        let kind = match options.text(&key("kind")).as_deref() {
            None | Some("random") => DatagenKind::Random {
                min: options.number(&key("min"))?,
                max: options.number(&key("max"))?,
            },
            Some("sequence") => DatagenKind::Sequence {
                start: options.required_number(&key("start"))?,
                end: options.required_number(&key("end"))?,
            },
            Some(other) => {
                let message = format!("{other:?} is neither random nor sequence");
                return Err(options.error(&key("kind"), message));
            }
        };
        let default = Self::default();
        Ok(Self {
            kind,
            length: options.number(&key("length"))?.unwrap_or(default.length),
            max_past_us: options.milliseconds(&key("max-past"))?.unwrap_or(0) * 1_000,
            null_rate: options.number(&key("null-rate"))?.unwrap_or(default.null_rate),
        })
    }
}
