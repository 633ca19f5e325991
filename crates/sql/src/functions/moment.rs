//! Times from texts and numbers and back: `DATE_FORMAT`, `TO_DATE`, `TO_TIMESTAMP`,
//! `TO_TIMESTAMP_LTZ`, `UNIX_TIMESTAMP`, `FROM_UNIXTIME`, `CONVERT_TZ`.
//!
//! Guarantees: patterns are Java's; a text that is no time is null, but `UNIX_TIMESTAMP` gives the
//! smallest `BIGINT`, as in Flink; local times become instants by the rule of casts.
//! Left out: the present, which a replay would not see again.

use super::function::{BIGINT, Call, Function, Gives, Reader, TEXT, TIMESTAMP, Takes};
use super::pattern::Pattern;
use crate::typing::cast::{parse_date, parse_timestamp, to_instant, to_local};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, Date32Array, StringArray};
use arrow_schema::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::arrow::compute;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
const DAY: i64 = 86_400 * SECOND;
/// What is written and read where no pattern is given.
const USUAL: &str = "yyyy-MM-dd HH:mm:ss";

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("date_format", &[Takes::Time, Takes::Text], TEXT, |call| {
            let (times, patterns) = (call.local(0)?, Patterns::new(call, 1)?);
            call.texts(|row, out| match (times.get(row), patterns.get(row)?) {
                (Some(time), Some(pattern)) => {
                    pattern.write(time, out);
                    Ok(true)
                }
                _ => Ok(false),
            })
        })
        .shared(),
        to_date(),
        to_timestamp(),
        to_timestamp_ltz(),
        unix_timestamp(),
        from_unixtime(),
        convert_tz(),
    ]
}

/// The patterns of an argument, taken apart once where it is a constant.
struct Patterns<'a> {
    constant: Option<Pattern>,
    texts: Option<Reader<'a, StringArray>>,
}

impl<'a> Patterns<'a> {
    fn new(call: &'a Call<'_>, index: usize) -> Result<Self, String> {
        let texts = (call.len() > index).then(|| call.text(index));
        let constant = match texts {
            None => Some(Pattern::new(USUAL)?),
            Some(texts) => texts.constant().map(Pattern::new).transpose()?,
        };
        Ok(Self { constant, texts })
    }

    fn get(&self, row: usize) -> Result<Option<std::borrow::Cow<'_, Pattern>>, String> {
        use std::borrow::Cow;
        if let Some(constant) = &self.constant {
            return Ok(Some(Cow::Borrowed(constant)));
        }
        let text = self.texts.and_then(|texts| texts.get(row));
        text.map(|text| Pattern::new(text).map(Cow::Owned)).transpose()
    }
}

/// `TO_DATE(text [, pattern])`.
fn to_date() -> Arc<ScalarUDF> {
    let gives = Gives::Type(DataType::Date32);
    Function::new("to_date", &[Takes::Text; 2], gives, |call| {
        let (text, patterns) = (call.text(0), Patterns::new(call, 1)?);
        let usual = call.len() == 1;
        let date = |row: usize| -> Result<Option<i32>, String> {
            let Some(text) = text.get(row) else { return Ok(None) };
            if usual {
                return Ok(parse_date(text));
            }
            let micros = patterns.get(row)?.and_then(|pattern| pattern.read(text));
            Ok(micros.and_then(|micros| i32::try_from(micros.div_euclid(DAY)).ok()))
        };
        Ok(Arc::new((0..call.rows).map(date).collect::<Result<Date32Array, _>>()?))
    })
    .optional(1)
    .shared()
}

/// Reads one row's text by its pattern.
fn read(
    text: &str,
    usual: bool,
    patterns: &Patterns<'_>,
    row: usize,
) -> Result<Option<i64>, String> {
    match usual {
        true => Ok(parse_timestamp(text)),
        false => Ok(patterns.get(row)?.and_then(|pattern| pattern.read(text))),
    }
}

/// Keeps milliseconds: the result is a `TIMESTAMP(3)`.
fn to_millis(micros: i64) -> i64 {
    micros.div_euclid(1000) * 1000
}

fn to_timestamp() -> Arc<ScalarUDF> {
    Function::new("to_timestamp", &[Takes::Text; 2], TIMESTAMP, |call| {
        let (text, patterns, usual) = (call.text(0), Patterns::new(call, 1)?, call.len() == 1);
        call.times(|row| match text.get(row) {
            Some(text) => Ok(read(text, usual, &patterns, row)?.map(to_millis)),
            None => Ok(None),
        })
    })
    .optional(1)
    .digits(3)
    .shared()
}

/// `TO_TIMESTAMP_LTZ(number [, digits])` or `TO_TIMESTAMP_LTZ(text [, pattern [, zone]])`; texts
/// are in UTC where no zone is given.
fn to_timestamp_ltz() -> Arc<ScalarUDF> {
    let gives = Gives::Type(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    Function::new("to_timestamp_ltz", &[Takes::Any, Takes::Any, Takes::Text], gives, |call| {
        match call.column(0).data_type() {
            DataType::Utf8 => instants_of_texts(call),
            _ => instants_of_numbers(call),
        }
    })
    .optional(2)
    .digits(3)
    .shared()
}

fn instants_of_texts(call: &Call<'_>) -> Result<arrow_array::ArrayRef, String> {
    let (text, patterns, usual) = (call.text(0), Patterns::new(call, 1)?, call.len() == 1);
    let zones = (call.len() > 2).then(|| call.text(2));
    call.times(|row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let zone = match zones.map(|zones| zones.get(row)) {
            None => Tz::UTC,
            Some(None) => return Ok(None),
            Some(Some(name)) => zone(name)?,
        };
        let local = read(text, usual, &patterns, row)?;
        Ok(local.map(|local| to_instant(to_millis(local), zone)))
    })
}

fn instants_of_numbers(call: &Call<'_>) -> Result<arrow_array::ArrayRef, String> {
    let digits = if call.len() > 1 {
        let given = compute::cast(call.column(1), &DataType::Int64);
        given.map_err(|error| error.to_string())?.as_primitive::<Int64Type>().value(0)
    } else {
        3
    };
    let unit = match digits {
        0 => SECOND,
        3 => 1000,
        6 => 1,
        _ => return Err(format!("numbers of seconds have 0, 3 or 6 digits more, not {digits}")),
    };
    let column = call.column(0);
    if column.data_type().is_integer() {
        let whole = compute::cast(column, &DataType::Int64).map_err(|error| error.to_string())?;
        let whole = whole.as_primitive::<Int64Type>();
        return call.times(|row| {
            let at = call.row_of(0, row);
            Ok(whole.is_valid(at).then(|| whole.value(at)).and_then(|n| n.checked_mul(unit)))
        });
    }
    let numbers = compute::cast(column, &DataType::Float64).map_err(|error| error.to_string())?;
    let numbers = numbers.as_primitive::<Float64Type>();
    // As in Flink what is after the point does not count.
    #[allow(clippy::cast_possible_truncation)]
    call.times(|row| {
        let at = call.row_of(0, row);
        Ok(numbers.is_valid(at).then(|| numbers.value(at) as i64).and_then(|n| n.checked_mul(unit)))
    })
}

/// `UNIX_TIMESTAMP(text [, pattern])`: seconds, of a time in the session's zone.
fn unix_timestamp() -> Arc<ScalarUDF> {
    Function::new("unix_timestamp", &[Takes::Text; 2], BIGINT, |call| {
        let (text, patterns, usual) = (call.text(0), Patterns::new(call, 1)?, call.len() == 1);
        call.longs(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let local = read(text, usual, &patterns, row)?;
            Ok(Some(
                local.map_or(i64::MIN, |local| to_instant(local, call.zone).div_euclid(SECOND)),
            ))
        })
    })
    .optional(1)
    .shared()
}

/// `FROM_UNIXTIME(seconds [, pattern])`, in the session's zone.
fn from_unixtime() -> Arc<ScalarUDF> {
    Function::new("from_unixtime", &[Takes::Whole, Takes::Text], TEXT, |call| {
        let (seconds, patterns) = (call.whole(0), Patterns::new(call, 1)?);
        call.texts(|row, out| {
            let micros = seconds.get(row).and_then(|seconds| seconds.checked_mul(SECOND));
            match (micros, patterns.get(row)?) {
                (Some(micros), Some(pattern)) => {
                    pattern.write(to_local(micros, call.zone), out);
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    })
    .optional(1)
    .shared()
}

/// `CONVERT_TZ(text, from, to)`: the same moment as another zone's clocks show it.
fn convert_tz() -> Arc<ScalarUDF> {
    Function::new("convert_tz", &[Takes::Text; 3], TEXT, |call| {
        let (text, from, to) = (call.text(0), call.text(1), call.text(2));
        let pattern = Pattern::new(USUAL)?;
        call.texts(|row, out| {
            let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row))
            else {
                return Ok(false);
            };
            let Some(local) = parse_timestamp(text) else { return Ok(false) };
            pattern.write(to_local(to_instant(local, zone(from)?), zone(to)?), out);
            Ok(true)
        })
    })
    .shared()
}

fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| format!("there is no time zone {name:?}"))
}
