//! Statistics of a data file, as Delta keeps them.
//!
//! Guarantees: every minimum and maximum is a bound that no row of the file breaks, whatever the
//! reader does with it: instants are rounded outwards, long text loses its maximum, decimals are
//! exact text. (The library's own statistics cut instants' maxima down to the millisecond, which
//! readers that prune by them may not survive.)
//! Left out: columns inside of structs and lists.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Longer text is cut in a minimum and left out as a maximum.
const TEXT_BYTES_MAX: usize = 64;
/// Columns with statistics, hidden ones beside: a log entry stays short.
const COLUMNS_MAX: usize = 64;

/// One end of a column's values, in the order SQL compares them.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Integer(i64),
    Float(f64),
    Decimal(i128, i8),
    Date(i32),
    Instant(i64, bool),
    Text(String),
}

#[derive(Debug, Default, Clone)]
struct Column {
    ends: Option<(Bound, Bound)>,
    /// A value that no bound can stand for was met (NaN).
    unbounded: bool,
    nulls: usize,
}

/// Gathers the statistics of one file over its batches.
#[derive(Debug)]
pub(crate) struct FileStats {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

impl FileStats {
    /// Of no rows yet; `schema` is the file's.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let columns = vec![Column::default(); schema.fields().len()];
        Self { schema, columns, rows: 0 }
    }

    /// Takes in a batch of the file's schema.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows();
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.null_count();
            if array.null_count() == array.len() {
                continue;
            }
            match ends(array) {
                Some((low, high)) => column.widen(low, high),
                None => column.unbounded = true,
            }
        }
    }

    /// Rows taken in.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The text of Delta's `stats` field.
    pub(crate) fn to_json(&self) -> String {
        let mut lows = BTreeMap::new();
        let mut highs = BTreeMap::new();
        let mut nulls = BTreeMap::new();
        let hidden = self.columns.len().saturating_sub(2);
        for (index, (field, column)) in self.schema.fields().iter().zip(&self.columns).enumerate() {
            if (index >= COLUMNS_MAX && index < hidden) || field.data_type().is_nested() {
                continue;
            }
            nulls.insert(field.name(), column.nulls);
            if let (false, Some((low, high))) = (column.unbounded, &column.ends) {
                low.as_minimum().map(|text| lows.insert(field.name(), raw(text)));
                high.as_maximum().map(|text| highs.insert(field.name(), raw(text)));
            }
        }
        let stats = serde_json::json!({ "numRecords": self.rows, "nullCount": nulls });
        // The raw texts keep decimals exact, so they are put in beside the value tree.
        let tree = stats.to_string();
        let bounds = (serde_json::to_string(&lows), serde_json::to_string(&highs));
        let (Ok(lows), Ok(highs)) = bounds else { return tree };
        format!("{},\"minValues\":{lows},\"maxValues\":{highs}}}", &tree[..tree.len() - 1])
    }
}

fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("bounds are written as JSON")
}

impl Column {
    fn widen(&mut self, low: Bound, high: Bound) {
        self.ends = Some(match self.ends.take() {
            None => (low, high),
            Some((old_low, old_high)) => (
                if low < old_low { low } else { old_low },
                if high > old_high { high } else { old_high },
            ),
        });
    }
}

/// The least and the greatest value, `None` where there is none to write down.
fn ends(array: &ArrayRef) -> Option<(Bound, Bound)> {
    macro_rules! primitive {
        ($type:ty, $bound:expr) => {{
            let array = array.as_primitive::<$type>();
            let bound = $bound;
            Some((bound(compute::min(array)?), bound(compute::max(array)?)))
        }};
    }
    match array.data_type() {
        DataType::Int8 => primitive!(Int8Type, |v| Bound::Integer(i64::from(v))),
        DataType::Int16 => primitive!(Int16Type, |v| Bound::Integer(i64::from(v))),
        DataType::Int32 => primitive!(Int32Type, |v| Bound::Integer(i64::from(v))),
        DataType::Int64 => primitive!(Int64Type, Bound::Integer),
        DataType::Float32 => finite(primitive!(Float32Type, |v| Bound::Float(f64::from(v)))),
        DataType::Float64 => finite(primitive!(Float64Type, Bound::Float)),
        DataType::Date32 => primitive!(Date32Type, Bound::Date),
        DataType::Decimal128(_, scale) => {
            primitive!(Decimal128Type, |v| Bound::Decimal(v, *scale))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            primitive!(TimestampMicrosecondType, |v| Bound::Instant(v, zone.is_some()))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let (low, high) = (compute::min_string(array)?, compute::max_string(array)?);
            Some((Bound::Text(low.to_owned()), Bound::Text(high.to_owned())))
        }
        _ => None,
    }
}

/// Arrow orders NaN above and below every number, so it is at an end when it is there at all.
fn finite(ends: Option<(Bound, Bound)>) -> Option<(Bound, Bound)> {
    let is_finite = |bound: &Bound| matches!(bound, Bound::Float(value) if value.is_finite());
    ends.filter(|(low, high)| is_finite(low) && is_finite(high))
}

impl Bound {
    fn as_minimum(&self) -> Option<String> {
        match self {
            Self::Text(text) => text_json(cut(text)),
            Self::Instant(us, zoned) => instant(us.div_euclid(1_000), *zoned),
            other => other.exact(),
        }
    }

    fn as_maximum(&self) -> Option<String> {
        match self {
            Self::Text(text) if text.len() > TEXT_BYTES_MAX => None,
            Self::Text(text) => text_json(text),
            Self::Instant(us, zoned) => {
                instant(us.div_euclid(1_000) + i64::from(us.rem_euclid(1_000) != 0), *zoned)
            }
            other => other.exact(),
        }
    }

    fn exact(&self) -> Option<String> {
        match self {
            Self::Integer(value) => Some(value.to_string()),
            Self::Float(value) => serde_json::to_string(value).ok(),
            Self::Decimal(value, scale) => Some(decimal(*value, *scale)),
            Self::Date(days) => {
                let date = NaiveDate::from_epoch_days(*days)?;
                four_digit_year(date).then(|| format!("\"{}\"", date.format("%Y-%m-%d")))
            }
            Self::Instant(..) | Self::Text(_) => None,
        }
    }
}

fn text_json(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn instant(ms: i64, zoned: bool) -> Option<String> {
    let at = DateTime::from_timestamp_millis(ms)?;
    let format = if zoned { "\"%Y-%m-%dT%H:%M:%S%.3fZ\"" } else { "\"%Y-%m-%dT%H:%M:%S%.3f\"" };
    four_digit_year(at.date_naive()).then(|| at.format(format).to_string())
}

/// Other years have no agreed text.
fn four_digit_year(date: NaiveDate) -> bool {
    use chrono::Datelike;
    (0..=9999).contains(&date.year())
}

fn decimal(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or_default();
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn stats(columns: Vec<(&str, ArrayRef)>) -> serde_json::Value {
        let fields: Vec<_> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch =
            RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, a)| a).collect());
        let mut stats = FileStats::new(schema);
        stats.add(&batch.unwrap());
        let text = stats.to_json();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn bounds_are_outside_of_the_rows() {
        let long = "é".repeat(100);
        let json = stats(vec![
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![1_500, -1, 2_001]).with_timezone("UTC"),
                ),
            ),
            ("text", Arc::new(StringArray::from(vec![Some("b"), None, Some(long.as_str())]))),
            ("nan", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 0.0]))),
            ("none", Arc::new(Int64Array::from(vec![None, None, None]))),
        ]);
        assert_eq!(json["numRecords"], 3);
        assert_eq!(json["minValues"]["at"], "1969-12-31T23:59:59.999Z");
        assert_eq!(json["maxValues"]["at"], "1970-01-01T00:00:00.003Z");
        assert_eq!(json["minValues"]["text"], "b");
        assert_eq!(json["maxValues"].get("text"), None);
        assert_eq!(json["minValues"].get("nan"), None);
        assert_eq!(json["nullCount"]["text"], 1);
        assert_eq!(json["nullCount"]["none"], 3);
        assert_eq!(json["minValues"].get("none"), None);
    }

    #[test]
    fn a_value_without_bounds_in_one_batch_leaves_none_for_the_file() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
        let mut stats = FileStats::new(schema.clone());
        for values in [vec![1.0], vec![f64::NAN], vec![2.0]] {
            let column = Arc::new(Float64Array::from(values));
            stats.add(&RecordBatch::try_new(schema.clone(), vec![column]).unwrap());
        }
        assert!(!stats.to_json().contains("\"x\":1.0"), "{}", stats.to_json());
    }

    #[test]
    fn decimals_are_exact() {
        for (value, text) in [
            (0, "0.000000"),
            (-1, "-0.000001"),
            (123_456_789, "123.456789"),
            (999_999_999_999_999_999, "999999999999.999999"),
        ] {
            assert_eq!(decimal(value, 6), text);
        }
        assert_eq!(decimal(42, 0), "42");
    }
}
