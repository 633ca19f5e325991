//! Casting a column.
//!
//! Guarantees: as many rows come out as went in; a null stays a null.
//! Left out: deciding whether a cast is needed, which is [`super::Conversion`]'s.

use super::parse::{self, Decimal};
use super::{Rules, to_instant, to_local};
use crate::text::{self, Style};
use crate::typing::common::{is_number, is_text};
use crate::typing::wide;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64NanosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray,
    PrimitiveArray, StructArray, Time64NanosecondArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use datafusion::arrow::compute;
use std::fmt::Display;
use std::sync::Arc;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Whether Flink has a cast between these.
pub(super) fn is_castable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Interval, List, Map, Struct, Time64, Timestamp};
    match (from, to) {
        (a, b) if a == b => true,
        (a, b) if is_text(b) => !a.is_null(),
        (a, _) if is_text(a) => {
            is_number(to) || matches!(to, Boolean | Date32 | Timestamp(..) | Time64(_) | Binary)
        }
        (a, b) if is_number(a) || *a == Boolean => is_number(b) || *b == Boolean,
        (Date32, Timestamp(..)) | (Timestamp(..), Date32 | Timestamp(..) | Time64(_)) => true,
        (Interval(_), Interval(_)) => true,
        (List(a), List(b)) => is_castable(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| is_castable(a.data_type(), b.data_type()))
        }
        (Map(a, _), Map(b, _)) => is_castable(a.data_type(), b.data_type()),
        _ => false,
    }
}

/// Casts; the error is the reason alone.
pub(super) fn convert(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    let from = array.data_type();
    match to {
        DataType::Utf8 if is_text(from) => limit(&plain_text(array)?, rules),
        DataType::Utf8 => limit(&to_text(array, rules), rules),
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => nested(array, to, rules),
        _ if is_text(from) => from_text(&plain_text(array)?, to, rules),
        DataType::Boolean => to_boolean(array),
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => {
            to_time(array, to, rules)
        }
        _ => to_number(array, to, rules),
    }
}

fn arrow(array: &dyn Array, to: &DataType) -> Result<ArrayRef, String> {
    compute::cast(array, to).map_err(|error| error.to_string())
}

fn plain_text(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Utf8 => Ok(array.clone()),
        _ => arrow(array, &DataType::Utf8),
    }
}

fn to_text(array: &ArrayRef, rules: Rules) -> ArrayRef {
    let shown = match array.data_type() {
        // An instant is written in the session's zone.
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let local: TimestampMicrosecondArray = times.unary(|time| to_local(time, rules.zone));
            Arc::new(local.with_timezone_opt(None::<&str>)) as ArrayRef
        }
        _ => array.clone(),
    };
    let style = Style::Cast { precision: rules.from_precision };
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut buffer = String::new();
    for row in 0..shown.len() {
        if shown.is_null(row) {
            builder.append_null();
            continue;
        }
        buffer.clear();
        text::write_value(&mut buffer, shown.as_ref(), row, style);
        builder.append_value(&buffer);
    }
    Arc::new(builder.finish())
}

/// Cuts to `VARCHAR(n)`, cuts and pads to `CHAR(n)`.
fn limit(array: &ArrayRef, rules: Rules) -> Result<ArrayRef, String> {
    let Some((length, padded)) = rules.length else { return Ok(array.clone()) };
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * length.min(64));
    for value in array.as_string::<i32>() {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        let end = value.char_indices().nth(length).map_or(value.len(), |(end, _)| end);
        let missing = length.saturating_sub(value.chars().count());
        match padded && missing > 0 {
            true => builder.append_value(format!("{value}{:missing$}", "")),
            false => builder.append_value(&value[..end]),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn nested(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    let fail = |error: datafusion::arrow::error::ArrowError| error.to_string();
    match (array.data_type(), to) {
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = inner(list.values(), field.data_type(), rules)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls).map_err(fail)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let row = array.as_struct();
            let columns = row.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| inner(column, field.data_type(), rules));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let nulls = row.nulls().cloned();
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(fail)?))
        }
        (DataType::Map(..), DataType::Map(field, sorted)) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = inner(&entries, field.data_type(), rules)?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            let map = MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted);
            Ok(Arc::new(map.map_err(fail)?))
        }
        (from, to) => Err(format!("{from} is no {to}")),
    }
}

fn inner(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    if array.data_type() == to { Ok(array.clone()) } else { convert(array, to, rules) }
}

/// Reads every text with `read`, which says nothing where it cannot.
fn read<T, A: FromIterator<Option<T>> + Array + 'static>(
    array: &ArrayRef,
    rules: Rules,
    what: &dyn Display,
    read: impl Fn(&str) -> Option<T>,
) -> Result<ArrayRef, String> {
    let values = array.as_string::<i32>().iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match read(text) {
            None if !rules.fails_to_null => Err(format!("{text:?} is no {what}")),
            value => Ok(value),
        }
    });
    Ok(Arc::new(values.collect::<Result<A, String>>()?))
}

fn from_text(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    let whole = |text: &str| parse::integer(text);
    let name = crate::type_name(to);
    match to {
        DataType::Int8 => read::<_, Int8Array>(array, rules, &name, |text| {
            whole(text).and_then(|value| value.try_into().ok())
        }),
        DataType::Int16 => read::<_, Int16Array>(array, rules, &name, |text| {
            whole(text).and_then(|value| value.try_into().ok())
        }),
        DataType::Int32 => read::<_, Int32Array>(array, rules, &name, |text| {
            whole(text).and_then(|value| value.try_into().ok())
        }),
        DataType::Int64 => read::<_, Int64Array>(array, rules, &name, whole),
        DataType::Float32 => read::<_, Float32Array>(array, rules, &name, parse::float),
        DataType::Float64 => read::<_, Float64Array>(array, rules, &name, parse::float),
        DataType::Decimal128(precision, scale) => decimals(array, *precision, *scale, rules),
        DataType::Boolean => read::<_, BooleanArray>(array, rules, &name, parse::boolean),
        DataType::Date32 => read::<_, Date32Array>(array, rules, &name, parse::date),
        DataType::Time64(_) => read::<_, Time64NanosecondArray>(array, rules, &name, |text| {
            parse::clock(text.trim()).map(|micros| micros * 1000)
        }),
        DataType::Timestamp(_, zone) => {
            let instant = zone.is_some();
            let times = read::<_, TimestampMicrosecondArray>(array, rules, &name, |text| {
                let micros = truncate(parse::timestamp(text)?, rules);
                Some(if instant { to_instant(micros, rules.zone) } else { micros })
            })?;
            let times = times.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(times.with_timezone_opt(zone.clone())))
        }
        DataType::Binary => {
            let texts = array.as_string::<i32>().iter();
            Ok(Arc::new(texts.map(|text| text.map(str::as_bytes)).collect::<BinaryArray>()))
        }
        other => Err(format!("there is no cast from STRING to {other}")),
    }
}

fn decimals(array: &ArrayRef, precision: u8, scale: i8, rules: Rules) -> Result<ArrayRef, String> {
    let values = array.as_string::<i32>().iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match parse::decimal(text, precision, scale) {
            Decimal::Value(value) => Ok(Some(value)),
            Decimal::TooLarge | Decimal::Malformed if rules.fails_to_null => Ok(None),
            Decimal::TooLarge | Decimal::Malformed => {
                Err(format!("{text:?} is no DECIMAL({precision}, {scale})"))
            }
        }
    });
    decimal_array(values.collect::<Result<_, _>>()?, precision, scale)
}

fn decimal_array(array: Decimal128Array, precision: u8, scale: i8) -> Result<ArrayRef, String> {
    let array = array.with_precision_and_scale(precision, scale);
    Ok(Arc::new(array.map_err(|error| error.to_string())?))
}

fn to_boolean(array: &ArrayRef) -> Result<ArrayRef, String> {
    Ok(match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let array = arrow(array, &DataType::Float64)?;
            let values = array.as_primitive::<Float64Type>().iter();
            Arc::new(values.map(|value| value.map(|value| value != 0.0)).collect::<BooleanArray>())
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().iter();
            Arc::new(values.map(|value| value.map(|value| value != 0)).collect::<BooleanArray>())
        }
        _ => {
            let array = arrow(array, &DataType::Int64)?;
            let values = array.as_primitive::<Int64Type>().iter();
            Arc::new(values.map(|value| value.map(|value| value != 0)).collect::<BooleanArray>())
        }
    })
}

/// Numbers and booleans as numbers.
fn to_number(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    match to {
        DataType::Decimal128(precision, scale) => to_decimal(array, *precision, *scale),
        DataType::Float32 | DataType::Float64 => arrow(array, to),
        _ => to_integer(array, to, rules),
    }
}

fn to_decimal(array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef, String> {
    let limit = wide::power_of_ten(precision);
    let fits = |value: i128| value.unsigned_abs() < limit;
    let rescaled = |values: &Decimal128Array, by: i8| -> Decimal128Array {
        values.iter().map(|v| v.and_then(|v| wide::rescale(v, by)).filter(|v| fits(*v))).collect()
    };
    let values = match array.data_type() {
        DataType::Decimal128(_, from) => {
            rescaled(array.as_primitive::<Decimal128Type>(), scale - from)
        }
        DataType::Float32 => {
            float_decimals(array.as_primitive::<Float32Type>().iter(), precision, scale)?
        }
        DataType::Float64 => {
            float_decimals(array.as_primitive::<Float64Type>().iter(), precision, scale)?
        }
        _ => {
            let whole = arrow(array, &DataType::Int64)?;
            let whole: Decimal128Array =
                whole.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from)).collect();
            rescaled(&whole, scale)
        }
    };
    decimal_array(values, precision, scale)
}

/// As in Flink by way of the shortest text, so that 0.1 is a tenth.
fn float_decimals<T: Display>(
    values: impl Iterator<Item = Option<T>>,
    precision: u8,
    scale: i8,
) -> Result<Decimal128Array, String> {
    use std::fmt::Write;
    let mut buffer = String::new();
    let decimals = values.map(|value| {
        let Some(value) = value else { return Ok(None) };
        buffer.clear();
        // Writing to a String does not fail.
        let _ = write!(buffer, "{value}");
        match parse::decimal(&buffer, precision, scale) {
            Decimal::Value(value) => Ok(Some(value)),
            Decimal::TooLarge => Ok(None),
            Decimal::Malformed => Err(format!("{buffer} is no DECIMAL")),
        }
    });
    decimals.collect()
}

/// Floats are cut at the ends of `INT` and `BIGINT`, as in Java; what else does not fit fails.
#[allow(clippy::cast_possible_truncation)] // `as` cuts floats at the ends
fn to_integer(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    let longs: Int64Array = match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let floats = arrow(array, &DataType::Float64)?;
            let floats = floats.as_primitive::<Float64Type>();
            match to {
                DataType::Int64 => floats.unary(|value| value as i64),
                _ => floats.unary(|value| i64::from(value as i32)),
            }
        }
        DataType::Decimal128(_, scale) => {
            let unit = wide::power_of_ten(scale.unsigned_abs()).cast_signed();
            let values = array.as_primitive::<Decimal128Type>();
            let shown = |value: i128| {
                let mut text = String::new();
                text::write_decimal(&mut text, value, *scale);
                text
            };
            narrowed(values, to, rules, |value| (value / unit).try_into().ok(), shown)?
        }
        _ => arrow(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
    };
    Ok(match to {
        DataType::Int8 => {
            let narrow = |value: i64| value.try_into().ok();
            Arc::new(narrowed::<_, Int8Type>(&longs, to, rules, narrow, |value| value.to_string())?)
        }
        DataType::Int16 => {
            let narrow = |value: i64| value.try_into().ok();
            Arc::new(narrowed::<_, Int16Type>(&longs, to, rules, narrow, |value| {
                value.to_string()
            })?)
        }
        DataType::Int32 => {
            let narrow = |value: i64| value.try_into().ok();
            Arc::new(narrowed::<_, Int32Type>(&longs, to, rules, narrow, |value| {
                value.to_string()
            })?)
        }
        _ => Arc::new(longs),
    })
}

/// The same numbers in a narrower type.
fn narrowed<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    values: &PrimitiveArray<F>,
    to: &DataType,
    rules: Rules,
    narrow: impl Fn(F::Native) -> Option<T::Native>,
    shown: impl Fn(F::Native) -> String,
) -> Result<PrimitiveArray<T>, String> {
    if rules.fails_to_null {
        return Ok(values.unary_opt(narrow));
    }
    values.try_unary(|value| {
        narrow(value)
            .ok_or_else(|| format!("{} does not fit {}", shown(value), crate::type_name(to)))
    })
}

/// Keeps so many digits of a second.
fn truncate(micros: i64, rules: Rules) -> i64 {
    match rules.to_precision {
        Some(digits @ 0..=5) => {
            let unit = 10_i64.pow(6 - u32::from(digits));
            micros.div_euclid(unit) * unit
        }
        _ => micros,
    }
}

/// Dates and timestamps as each other.
fn to_time(array: &ArrayRef, to: &DataType, rules: Rules) -> Result<ArrayRef, String> {
    let local: TimestampMicrosecondArray = match array.data_type() {
        DataType::Date32 => array.as_primitive::<Date32Type>().unary(|day| i64::from(day) * DAY),
        DataType::Timestamp(_, zone) => {
            let to = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            let times = arrow(array, &to)?.as_primitive::<TimestampMicrosecondType>().clone();
            match zone {
                None => times,
                Some(_) => times.unary(|time| to_local(time, rules.zone)),
            }
        }
        other => return Err(format!("{other} is no time")),
    };
    let is_instant = |one: &DataType| matches!(one, DataType::Timestamp(_, zone) if zone.is_some());
    Ok(match to {
        DataType::Date32 => Arc::new(local.unary::<_, Date32Type>(|time| {
            i32::try_from(time.div_euclid(DAY)).unwrap_or(i32::MAX)
        })),
        DataType::Time64(_) => Arc::new(local.unary::<_, Time64NanosecondType>(|time| {
            // TIME has no digits of a second unless it says so.
            time.rem_euclid(DAY) / 1_000_000 * 1_000_000_000
        })),
        // Instant to instant: by way of local time an hour that happens twice would be lost.
        DataType::Timestamp(_, zone) if is_instant(array.data_type()) && zone.is_some() => {
            let times = arrow(array, to)?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let cut: TimestampMicrosecondArray = times.unary(|time| truncate(time, rules));
            Arc::new(cut.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(_, Some(zone)) => {
            let times: TimestampMicrosecondArray =
                local.unary(|time| to_instant(truncate(time, rules), rules.zone));
            Arc::new(times.with_timezone(zone.clone()))
        }
        _ => Arc::new(
            local
                .unary::<_, TimestampMicrosecondType>(|time| truncate(time, rules))
                .with_timezone_opt(None::<&str>),
        ),
    })
}
