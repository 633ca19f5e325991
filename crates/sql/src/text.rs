//! Values as text: the way Flink prints a row, and the way `CAST(… AS STRING)` writes a value.
//!
//! Guarantees: numbers, times and nested values read as Flink 2.3 (on Java) writes them; decimals
//! keep all digits of their scale.
//! Left out: quoting. As in Flink, a text that holds `, ` cannot be told from two columns.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::Write;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
const DAY: i64 = 86_400 * SECOND;

/// How a row changes a table, as the first letters of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// `+I`: new.
    Insert,
    /// `-U`: what is replaced.
    UpdateBefore,
    /// `+U`: what replaces it.
    UpdateAfter,
    /// `-D`: gone.
    Delete,
}

impl RowKind {
    /// `+I`, `-U`, `+U` or `-D`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }
}

/// Appends `+I[be, 1]`: the first `columns` columns of one row.
pub fn write_row(out: &mut String, kind: RowKind, batch: &RecordBatch, columns: usize, row: usize) {
    out.push_str(kind.text());
    out.push('[');
    for (index, column) in batch.columns().iter().take(columns).enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_value(out, column, row, Style::Print);
    }
    out.push(']');
}

/// The two ways Flink writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In a printed row: `2024-01-01T00:00`, `+I[1, a]`, `[104, 105]`.
    Print,
    /// By a cast: `2024-01-01 00:00:00.000`, `(1, a)`, `hi`; times with so many digits.
    Cast {
        /// Digits of a second.
        precision: u8,
    },
}

/// Appends one value; a null is `null`, in a cast `NULL`.
pub fn write_value(out: &mut String, array: &dyn Array, row: usize, style: Style) {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        out.push_str(if style == Style::Print { "null" } else { "NULL" });
        return;
    }
    match array.data_type() {
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Boolean => write_boolean(out, array.as_boolean().value(row), style),
        DataType::Int8 => number::<Int8Type>(out, array, row),
        DataType::Int16 => number::<Int16Type>(out, array, row),
        DataType::Int32 => number::<Int32Type>(out, array, row),
        DataType::Int64 => number::<Int64Type>(out, array, row),
        DataType::UInt64 => number::<UInt64Type>(out, array, row),
        DataType::Float32 => write_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write_double(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            match style {
                Style::Print => print_decimal(out, value, *scale),
                Style::Cast { .. } => write_decimal(out, value, *scale),
            }
        }
        DataType::Date32 => write_date(out, array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(unit, zone) => {
            write_timestamp(out, micros(array, *unit, row), zone.is_some(), style);
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            write_time(out, time_of_day(array, *unit, row), style);
        }
        DataType::Interval(_) => write_interval(out, array, row, style),
        DataType::Binary => write_bytes(out, array.as_binary::<i32>().value(row), style),
        DataType::LargeBinary => write_bytes(out, array.as_binary::<i64>().value(row), style),
        DataType::BinaryView => write_bytes(out, array.as_binary_view().value(row), style),
        _ => write_nested(out, array, row, style),
    }
}

fn number<T: ArrowPrimitiveType<Native: std::fmt::Display>>(
    out: &mut String,
    array: &dyn Array,
    row: usize,
) {
    // Writing to a String does not fail.
    let _ = write!(out, "{}", array.as_primitive::<T>().value(row));
}

fn write_boolean(out: &mut String, value: bool, style: Style) {
    out.push_str(match (value, style) {
        (true, Style::Print) => "true",
        (false, Style::Print) => "false",
        (true, Style::Cast { .. }) => "TRUE",
        (false, Style::Cast { .. }) => "FALSE",
    });
}

fn write_nested(out: &mut String, array: &dyn Array, row: usize, style: Style) {
    match array.data_type() {
        DataType::List(_) => write_list(out, array.as_list::<i32>().value(row).as_ref(), style),
        DataType::LargeList(_) => {
            write_list(out, array.as_list::<i64>().value(row).as_ref(), style);
        }
        DataType::Struct(_) => {
            let (open, close) = if style == Style::Print { ("+I[", ']') } else { ("(", ')') };
            out.push_str(open);
            for (index, column) in array.as_struct().columns().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, column, row, style);
            }
            out.push(close);
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    out.push_str(", ");
                }
                write_value(out, entries.column(0), entry, style);
                out.push('=');
                write_value(out, entries.column(1), entry, style);
            }
            out.push('}');
        }
        // No type of the language comes here; Arrow's own text is better than nothing.
        _ => {
            let text = datafusion::arrow::util::display::array_value_to_string(array, row);
            out.push_str(&text.unwrap_or_default());
        }
    }
}

fn write_list(out: &mut String, values: &dyn Array, style: Style) {
    out.push('[');
    for index in 0..values.len() {
        if index > 0 {
            out.push_str(", ");
        }
        write_value(out, values, index, style);
    }
    out.push(']');
}

/// Java prints bytes as signed numbers; a cast reads them as UTF-8.
fn write_bytes(out: &mut String, bytes: &[u8], style: Style) {
    if style != Style::Print {
        out.push_str(&String::from_utf8_lossy(bytes));
        return;
    }
    out.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        let _ = write!(out, "{separator}{}", byte.cast_signed());
    }
    out.push(']');
}

/// A double as `Double.toString` of Java: `1.0`, `1.0E10`, `NaN`.
pub fn write_double(out: &mut String, value: f64) {
    if value.is_finite() && value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        scientific(out, &format!("{value:e}"));
    } else {
        plain(out, value.is_nan(), value.is_infinite(), value < 0.0, &value);
    }
}

/// A float as `Float.toString` of Java.
pub fn write_float(out: &mut String, value: f32) {
    if value.is_finite() && value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        scientific(out, &format!("{value:e}"));
    } else {
        plain(out, value.is_nan(), value.is_infinite(), value < 0.0, &value);
    }
}

fn plain(
    out: &mut String,
    nan: bool,
    infinite: bool,
    negative: bool,
    value: &dyn std::fmt::Display,
) {
    if nan {
        out.push_str("NaN");
    } else if infinite {
        out.push_str(if negative { "-Infinity" } else { "Infinity" });
    } else {
        let start = out.len();
        let _ = write!(out, "{value}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    }
}

/// `1.5e10` as `1.5E10`, `1e10` as `1.0E10`.
fn scientific(out: &mut String, text: &str) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    out.push_str(mantissa);
    if !mantissa.contains('.') {
        out.push_str(".0");
    }
    out.push('E');
    out.push_str(exponent);
}

/// A decimal as `BigDecimal.toString` of Java: `0E-10`, `1.5E-7` where the first digit is more than
/// six places behind the point.
fn print_decimal(out: &mut String, value: i128, scale: i8) {
    let digits = value.unsigned_abs().to_string();
    let exponent = i16::try_from(digits.len()).unwrap_or(39) - 1 - i16::from(scale);
    if scale <= 0 || exponent >= -6 {
        return write_decimal(out, value, scale);
    }
    let sign = if value < 0 { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    // Writing to a String does not fail.
    let _ = write!(out, "{sign}{first}{point}{rest}E{exponent}");
}

/// A decimal with all digits of its scale.
pub fn write_decimal(out: &mut String, value: i128, scale: i8) {
    let (digits, scale) = (value.unsigned_abs(), usize::from(scale.max(0).unsigned_abs()));
    if value < 0 {
        out.push('-');
    }
    if scale == 0 {
        let _ = write!(out, "{digits}");
        return;
    }
    let unit = 10_u128.pow(u32::try_from(scale).unwrap_or(38));
    let _ = write!(out, "{}.{:0scale$}", digits / unit, digits % unit);
}

/// `2024-02-29`; years before 0 and after 9999 with their sign, as Java writes them.
pub fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil(days);
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        10_000.. => write!(out, "+{year}-{month:02}-{day:02}"),
        _ => write!(out, "-{:04}-{month:02}-{day:02}", -year),
    };
}

/// Microseconds since the epoch: printed as `2024-02-29T10:20`, with seconds and fraction where
/// there are any (an instant always with seconds and `Z`); cast to `2024-02-29 10:20:30.123`.
pub fn write_timestamp(out: &mut String, micros: i64, instant: bool, style: Style) {
    write_date(out, micros.div_euclid(DAY));
    let of_day = micros.rem_euclid(DAY);
    match style {
        Style::Cast { precision } => {
            out.push(' ');
            write_clock(out, of_day, Some(precision), true);
        }
        Style::Print => {
            out.push('T');
            write_clock(out, of_day, None, instant);
            if instant {
                out.push('Z');
            }
        }
    }
}

fn write_time(out: &mut String, micros: i64, style: Style) {
    match style {
        Style::Print => write_clock(out, micros, None, false),
        // A TIME has no digits of a second unless it says so, and none of ours does.
        Style::Cast { .. } if micros % SECOND == 0 => write_clock(out, micros, Some(0), true),
        Style::Cast { precision } => write_clock(out, micros, Some(precision), true),
    }
}

/// The time of day. Without `digits` as Java does: 3 or 6 digits, as few as keep all.
fn write_clock(out: &mut String, of_day: i64, digits: Option<u8>, seconds: bool) {
    let (second, fraction) = (of_day / SECOND, of_day % SECOND);
    let _ = write!(out, "{:02}:{:02}", second / 3600, second / 60 % 60);
    if seconds || second % 60 != 0 || fraction != 0 {
        let _ = write!(out, ":{:02}", second % 60);
    }
    let digits = digits.unwrap_or(match fraction {
        0 => 0,
        _ if fraction % 1000 == 0 => 3,
        _ => 6,
    });
    if digits > 0 {
        let width = usize::from(digits.min(6));
        let shown = fraction / 10_i64.pow(6 - u32::from(digits.min(6)));
        let _ = write!(out, ".{shown:0width$}");
        out.extend(std::iter::repeat_n('0', usize::from(digits) - width));
    }
}

/// Days and time as `+1 10:20:30.500`, months as `+1-02`; printed as Java's Duration and Period.
fn write_interval(out: &mut String, array: &dyn Array, row: usize, style: Style) {
    let Some(array) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else { return };
    let value = array.value(row);
    let micros = i64::from(value.days) * DAY + value.nanoseconds / 1000;
    let sign = if value.months < 0 || micros < 0 { '-' } else { '+' };
    let (months, micros) = (value.months.unsigned_abs(), micros.unsigned_abs());
    let _ = match (style, value.months) {
        (Style::Cast { .. }, 0) => {
            let day = DAY.unsigned_abs();
            let _ = write!(out, "{sign}{} ", micros / day);
            write_clock(out, (micros % day).cast_signed(), Some(3), true);
            Ok(())
        }
        (Style::Cast { .. }, _) => write!(out, "{sign}{}-{:02}", months / 12, months % 12),
        (Style::Print, 0) => write!(out, "{}", JavaDuration(value.days, value.nanoseconds)),
        (Style::Print, months) => write!(out, "P{months}M"),
    };
}

/// `PT26H3M4.5S`.
struct JavaDuration(i32, i64);

impl std::fmt::Display for JavaDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = i64::from(self.0) * DAY + self.1 / 1000;
        let (hours, minutes) = (micros / (3600 * SECOND), micros / (60 * SECOND) % 60);
        let rest = micros % (60 * SECOND);
        f.write_str("PT")?;
        if hours != 0 {
            write!(f, "{hours}H")?;
        }
        if minutes != 0 {
            write!(f, "{minutes}M")?;
        }
        if rest % SECOND != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            let digits = format!("{:06}", (rest % SECOND).abs());
            write!(f, "{sign}{}.{}S", (rest / SECOND).abs(), digits.trim_end_matches('0'))?;
        } else if rest != 0 || micros == 0 {
            write!(f, "{}S", rest / SECOND)?;
        }
        Ok(())
    }
}

fn micros(array: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row) * SECOND,
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row) * 1000,
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => {
            array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)
        }
    }
}

fn time_of_day(array: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => i64::from(array.as_primitive::<Time32SecondType>().value(row)) * SECOND,
        TimeUnit::Millisecond => {
            i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1000
        }
        TimeUnit::Microsecond => array.as_primitive::<Time64MicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<Time64NanosecondType>().value(row) / 1000,
    }
}

/// Year, month and day of a day since the epoch, in the Gregorian calendar without an end.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since the epoch. Source: as [`civil`], `days_from_civil`.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, ListArray,
        StringArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow_schema::Field;
    use std::sync::Arc;

    fn print(array: &dyn Array, row: usize) -> String {
        let mut out = String::new();
        write_value(&mut out, array, row, Style::Print);
        out
    }

    fn cast(array: &dyn Array, row: usize) -> String {
        let mut out = String::new();
        write_value(&mut out, array, row, Style::Cast { precision: 3 });
        out
    }

    // Each text is what Flink 2.3 printed for that value.
    #[test]
    fn doubles_are_javas() {
        let cases = [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.001, "0.001"),
            (0.002, "0.002"),
            (1e-5, "1.0E-5"),
            (123_456.789, "123456.789"),
            (1_000_000.0, "1000000.0"),
            (1e7, "1.0E7"),
            (1e10, "1.0E10"),
            (2.225_073_858_507_201_4e-308, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            let mut out = String::new();
            write_double(&mut out, value);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        write_float(&mut out, 16_777_216.0);
        assert_eq!(out, "1.6777216E7");
    }

    #[test]
    fn timestamps_leave_out_what_is_zero() {
        let stamps = |zone: Option<&str>| {
            TimestampMicrosecondArray::from(vec![
                1_704_067_200_000_000,
                1_704_067_201_000_000,
                1_704_067_201_500_000,
                1_704_067_200_000_001,
                -1_000,
            ])
            .with_timezone_opt(zone)
        };
        let expected = [
            ("2024-01-01T00:00", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00.000"),
            ("2024-01-01T00:00:01", "2024-01-01T00:00:01Z", "2024-01-01 00:00:01.000"),
            ("2024-01-01T00:00:01.500", "2024-01-01T00:00:01.500Z", "2024-01-01 00:00:01.500"),
            (
                "2024-01-01T00:00:00.000001",
                "2024-01-01T00:00:00.000001Z",
                "2024-01-01 00:00:00.000",
            ),
            ("1969-12-31T23:59:59.999", "1969-12-31T23:59:59.999Z", "1969-12-31 23:59:59.999"),
        ];
        for (row, (plain, instant, text)) in expected.into_iter().enumerate() {
            assert_eq!(print(&stamps(None), row), plain);
            assert_eq!(print(&stamps(Some("UTC")), row), instant);
            assert_eq!(cast(&stamps(None), row), text);
        }
    }

    #[test]
    fn small_decimals_print_with_an_exponent_and_are_cast_without() {
        let cases =
            [(0, 10, "0E-10"), (-1, 19, "-1E-19"), (1000, 10, "1.000E-7"), (0, 6, "0.000000")];
        for (value, scale, expected) in cases {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale);
            assert_eq!(print(&array.unwrap(), 0), expected);
        }
        let array = Decimal128Array::from(vec![1000]).with_precision_and_scale(38, 10).unwrap();
        assert_eq!(cast(&array, 0), "0.0000001000");
    }

    #[test]
    fn nested_values_print_as_rows_lists_and_maps() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        assert_eq!((print(&list, 0), print(&list, 1)), ("[1, null]".into(), "null".into()));
        assert_eq!(cast(&list, 0), "[1, NULL]");
        let row = StructArray::from(vec![
            (
                Arc::new(Field::new("a", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])) as Arc<dyn Array>,
            ),
            (
                Arc::new(Field::new("b", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![Some("x")])) as Arc<dyn Array>,
            ),
        ]);
        assert_eq!((print(&row, 0), cast(&row, 0)), ("+I[1, x]".into(), "(1, x)".into()));
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(7);
        map.append(true).unwrap();
        assert_eq!(print(&map.finish(), 0), "{k=7}");
        assert_eq!(print(&BinaryArray::from(vec![&[1_u8, 255][..]]), 0), "[1, -1]");
    }

    #[test]
    fn a_row_is_its_columns_without_the_hidden_ones() {
        let decimals = Decimal128Array::from(vec![-5]).with_precision_and_scale(10, 2).unwrap();
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(decimals) as Arc<dyn Array>),
            ("b", Arc::new(BooleanArray::from(vec![true])) as _),
            ("c", Arc::new(Date32Array::from(vec![19_782])) as _),
            ("d", Arc::new(StringArray::from(vec![None::<&str>])) as _),
            ("_offset", Arc::new(Int32Array::from(vec![9])) as _),
        ]);
        let mut out = String::new();
        write_row(&mut out, RowKind::UpdateAfter, &batch.unwrap(), 4, 0);
        assert_eq!(out, "+U[-0.05, true, 2024-02-29, null]");
    }

    #[test]
    fn every_day_has_one_date() {
        for day in (-1_000_000..3_000_000).step_by(17) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
        }
        assert_eq!(civil(0), (1970, 1, 1));
        let mut out = String::new();
        write_date(&mut out, days(12_024, 1, 1));
        assert_eq!(out, "+12024-01-01");
    }
}
