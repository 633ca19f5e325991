//! Values as PostgreSQL's clients send them, in text and in binary.
//!
//! Guarantees: a value is read with every digit it has or refused with PostgreSQL's code; no
//! length in it is believed before the bytes are there.
//! Left out: which type a parameter has, which is settled when its statement is prepared.

use super::{civil, numeric, types};
use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use bytes::Buf;
use datafusion::common::ScalarValue;
use pgwire::api::Type;
use std::sync::Arc;
use tradewind_analyze::{AnalyzeError, ErrorClass};

/// Reads one parameter: `oid` is the type it is sent as, `target` the type it is used as, and
/// `zone` where texts without a zone of their own are meant to be.
///
/// # Errors
/// It is no value of its type.
pub(crate) fn parameter(
    bytes: Option<&[u8]>,
    binary: bool,
    oid: u32,
    target: &DataType,
    zone: &str,
) -> Result<ScalarValue, AnalyzeError> {
    let Some(bytes) = bytes else { return Ok(ScalarValue::try_new_null(target)?) };
    if binary {
        return read_binary(bytes, oid, target);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| {
        AnalyzeError::user("a parameter's text is not UTF-8").class(ErrorClass::InvalidText)
    })?;
    read_text(text, target, zone)
}

/// Reads a value's text.
///
/// # Errors
/// It is no value of its type.
pub(crate) fn read_text(
    text: &str,
    target: &DataType,
    zone: &str,
) -> Result<ScalarValue, AnalyzeError> {
    let wrong = || invalid(target, text);
    Ok(match target {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ScalarValue::from(text),
        DataType::Boolean => ScalarValue::Boolean(Some(boolean(text).ok_or_else(wrong)?)),
        DataType::Decimal128(..) | DataType::Decimal256(..) => numeric::read_text(text)
            .map_err(|reason| AnalyzeError::user(reason).class(ErrorClass::InvalidText))?,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            ScalarValue::Binary(Some(bytea(text).ok_or_else(wrong)?))
        }
        DataType::Float32 | DataType::Float64 => {
            let number = float(text.trim()).ok_or_else(wrong)?;
            ScalarValue::Float64(Some(number)).cast_to(target)?
        }
        DataType::List(item) => {
            let items = items(text).ok_or_else(wrong)?;
            let values = items.into_iter().map(|item_text| match item_text {
                None => Ok(ScalarValue::try_new_null(item.data_type())?),
                Some(text) => read_text(&text, item.data_type(), zone),
            });
            list(values.collect::<Result<_, _>>()?, item.data_type())?
        }
        DataType::Timestamp(unit, Some(_)) => {
            let there = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
            let read = ScalarValue::from(text.trim()).cast_to(&there).map_err(|_| wrong())?;
            read.cast_to(&DataType::Timestamp(*unit, Some("UTC".into())))?
        }
        DataType::Interval(_) if let Some(value) = interval_text(text) => {
            ScalarValue::IntervalMonthDayNano(Some(value)).cast_to(target)?
        }
        other => ScalarValue::from(text.trim()).cast_to(other).map_err(|_| wrong())?,
    })
}

/// `1 year 2 mons -3 days 04:05:06.7`, as drivers write it; `None` for other forms.
fn interval_text(text: &str) -> Option<IntervalMonthDayNano> {
    let (mut months, mut days, mut nanoseconds) = (0_i32, 0_i32, 0_i64);
    let mut words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            nanoseconds = nanoseconds.checked_add(clock(word)?)?;
            continue;
        }
        let unit = words.next()?.to_lowercase();
        let unit = unit.strip_suffix('s').unwrap_or(&unit);
        let whole = || word.parse::<i32>().ok();
        let of_seconds = |size: i64| seconds(word)?.checked_mul(size);
        match unit {
            "year" => months = months.checked_add(whole()?.checked_mul(12)?)?,
            "mon" | "month" => months = months.checked_add(whole()?)?,
            "week" => days = days.checked_add(whole()?.checked_mul(7)?)?,
            "day" => days = days.checked_add(whole()?)?,
            "hour" => nanoseconds = nanoseconds.checked_add(of_seconds(3_600)?)?,
            "min" | "minute" => nanoseconds = nanoseconds.checked_add(of_seconds(60)?)?,
            "sec" | "second" => nanoseconds = nanoseconds.checked_add(of_seconds(1)?)?,
            _ => return None,
        }
    }
    Some(IntervalMonthDayNano { months, days, nanoseconds })
}

/// `[-]4:05[:06.7]` in nanoseconds.
fn clock(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0_i64;
    let mut size = 3_600;
    for part in text.split(':') {
        if part.starts_with(['-', '+']) || size == 0 {
            return None;
        }
        total = total.checked_add(seconds(part)?.checked_mul(size)?)?;
        size /= 60;
    }
    Some(sign * total)
}

/// `[-]6.7` in billionths.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: i64 = format!("{fraction:0<9}").parse().ok()?;
    let part = if whole.starts_with('-') { -part } else { part };
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

fn invalid(target: &DataType, text: &str) -> AnalyzeError {
    let class = match target {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => {
            ErrorClass::InvalidDatetime
        }
        _ => ErrorClass::InvalidText,
    };
    let name = types::of(target);
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    AnalyzeError::user(format!("invalid input syntax for type {}: \"{shown}\"", name.name()))
        .class(class)
}

/// Characters of a value that an error shows.
const SHOWN_MAX: usize = 100;

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn float(text: &str) -> Option<f64> {
    match text.to_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

/// `\x00ff`, or text with `\\` and `\012` in it.
pub(crate) fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
            _ => None,
        });
        return pairs.collect();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// The items of `{a,"b c",NULL}`.
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut characters = inner.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let (mut item, mut quoted) = (String::new(), false);
        match characters.next_if_eq(&'"') {
            Some(_) => {
                quoted = true;
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => item.push(characters.next()?),
                        other => item.push(other),
                    }
                }
                while characters.next_if(|c| c.is_whitespace()).is_some() {}
            }
            None => {
                while let Some(next) = characters.next_if(|c| *c != ',') {
                    match next {
                        '\\' => item.push(characters.next()?),
                        '{' | '}' | '"' => return None,
                        other => item.push(other),
                    }
                }
                item.truncate(item.trim_end().len());
            }
        }
        let null = !quoted && item.eq_ignore_ascii_case("null");
        if !quoted && item.is_empty() {
            return None;
        }
        items.push((!null).then_some(item));
        match characters.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// A list of values; decimals are brought to one scale.
fn list(values: Vec<ScalarValue>, item: &DataType) -> Result<ScalarValue, AnalyzeError> {
    let item = match item {
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let parts = values.iter().filter(|value| !value.is_null()).map(|value| {
                match value.data_type() {
                    DataType::Decimal128(precision, scale)
                    | DataType::Decimal256(precision, scale) => (precision, scale),
                    _ => (1, 0),
                }
            });
            let (whole, scale) = parts.fold((1, 0), |(whole, scale), (precision, of)| {
                (whole.max(precision as i8 - of), scale.max(of))
            });
            let precision = (whole + scale) as u8;
            match precision <= 38 {
                true => DataType::Decimal128(precision, scale),
                false => DataType::Decimal256(precision.min(76), scale),
            }
        }
        other => other.clone(),
    };
    let values: Result<Vec<_>, _> = values.iter().map(|value| value.cast_to(&item)).collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values?, &item)))
}

fn read_binary(bytes: &[u8], oid: u32, target: &DataType) -> Result<ScalarValue, AnalyzeError> {
    let wrong = || {
        let name = Type::from_oid(oid).map_or_else(|| oid.to_string(), |of| of.name().to_string());
        AnalyzeError::user(format!("incorrect binary data format for type {name}"))
            .class(ErrorClass::InvalidBinary)
    };
    let of = Type::from_oid(oid).unwrap_or(Type::TEXT);
    if types::item_of(&of).is_some() {
        return read_array(bytes, target).ok_or_else(wrong)?;
    }
    let value = scalar(bytes, &of).ok_or_else(wrong)?;
    // A client may send a type of its own choice for another: an `int2` for an `int8`.
    let same = match (&value.data_type(), target) {
        (DataType::Decimal128(..) | DataType::Decimal256(..), DataType::Decimal128(..)) => true,
        (of_value, target) => of_value == target,
    };
    Ok(if same { value } else { value.cast_to(target)? })
}

/// One value that is no array; `None` where the bytes are not its.
fn scalar(bytes: &[u8], of: &Type) -> Option<ScalarValue> {
    Some(match *of {
        Type::BOOL => ScalarValue::Boolean(Some(u8::from_be_bytes(bytes.try_into().ok()?) != 0)),
        Type::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(bytes.try_into().ok()?))),
        Type::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(bytes.try_into().ok()?))),
        Type::OID => ScalarValue::Int64(Some(u32::from_be_bytes(bytes.try_into().ok()?).into())),
        Type::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(bytes.try_into().ok()?))),
        Type::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(bytes.try_into().ok()?))),
        Type::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(bytes.try_into().ok()?))),
        Type::NUMERIC => numeric::read_text(&numeric::read_binary(bytes)?).ok()?,
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            ScalarValue::Date32(Some(days.checked_add(civil::EPOCH_DAYS)?))
        }
        Type::TIME => {
            ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(bytes.try_into().ok()?)))
        }
        Type::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(instant(bytes)?), None),
        Type::TIMESTAMPTZ => {
            ScalarValue::TimestampMicrosecond(Some(instant(bytes)?), Some("UTC".into()))
        }
        Type::INTERVAL => interval(bytes)?,
        Type::UUID => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if digits.len() != 32 {
                return None;
            }
            let parts =
                [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        // A byte before it says which version the JSON is in.
        Type::JSONB => match bytes {
            [1, json @ ..] => ScalarValue::from(std::str::from_utf8(json).ok()?),
            _ => return None,
        },
        _ => ScalarValue::from(std::str::from_utf8(bytes).ok()?),
    })
}

fn instant(bytes: &[u8]) -> Option<i64> {
    i64::from_be_bytes(bytes.try_into().ok()?).checked_add(civil::EPOCH_MICROS)
}

fn interval(mut bytes: &[u8]) -> Option<ScalarValue> {
    if bytes.len() != 16 {
        return None;
    }
    let nanoseconds = bytes.get_i64().checked_mul(1_000)?;
    let (days, months) = (bytes.get_i32(), bytes.get_i32());
    let value = IntervalMonthDayNano { months, days, nanoseconds };
    Some(ScalarValue::IntervalMonthDayNano(Some(value)))
}

/// An array of one dimension; `None` where the bytes are not one.
fn read_array(mut bytes: &[u8], target: &DataType) -> Option<Result<ScalarValue, AnalyzeError>> {
    if bytes.len() < 12 {
        return None;
    }
    let (dimensions, _nulls, oid) = (bytes.get_i32(), bytes.get_i32(), bytes.get_u32());
    let item = match target {
        DataType::List(item) => Arc::clone(item),
        _ => return None,
    };
    let mut values = Vec::new();
    if dimensions == 1 {
        if bytes.len() < 8 {
            return None;
        }
        let (count, _first) = (bytes.get_i32(), bytes.get_i32());
        for _ in 0..count {
            if bytes.len() < 4 {
                return None;
            }
            let length = bytes.get_i32();
            if length == -1 {
                values.push(ScalarValue::try_new_null(item.data_type()).ok()?);
                continue;
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
            let (value, rest) = bytes.split_at(length);
            bytes = rest;
            match read_binary(value, oid, item.data_type()) {
                Ok(value) => values.push(value),
                Err(error) => return Some(Err(error)),
            }
        }
    } else if dimensions != 0 {
        return None;
    }
    bytes.is_empty().then(|| list(values, item.data_type()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_as_their_types() {
        let read =
            |text: &str, target: &DataType| read_text(text, target, "Europe/Berlin").unwrap();
        assert_eq!(read("yes", &DataType::Boolean), ScalarValue::Boolean(Some(true)));
        assert_eq!(read(" 12 ", &DataType::Int64), ScalarValue::Int64(Some(12)));
        assert_eq!(read("\\x00Ff", &DataType::Binary), ScalarValue::Binary(Some(vec![0, 255])));
        assert_eq!(
            read("a\\\\\\001", &DataType::Binary),
            ScalarValue::Binary(Some(b"a\\\x01".into()))
        );
        let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let utc = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        assert_eq!(read("1970-01-01 01:00:00.5", &at), utc(500_000));
        assert_eq!(read("1970-01-01 01:00:00+05:30", &at), utc(-16_200_000_000));
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        let ScalarValue::List(found) = read(r#"{a, "b,\"" ,NULL,"null"}"#, &list) else {
            panic!("no list")
        };
        let found = arrow::util::display::array_value_to_string(found.as_ref(), 0).unwrap();
        assert_eq!(found, "[a, b,\", , null]");
        for (text, target) in [
            ("x", DataType::Int32),
            ("maybe", DataType::Boolean),
            ("2024-02-30", DataType::Date32),
            ("\\xfff", DataType::Binary),
            ("{a", list),
        ] {
            assert!(read_text(text, &target, "UTC").is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_are_read_as_drivers_write_them() {
        for (text, months, days, nanoseconds) in [
            ("-3 days, 4:00:00.000005", 0, -3, 14_400_000_005_000),
            ("1 year 2 mons 3 days 04:05:06.7", 14, 3, 14_706_700_000_000),
            ("0 years 0 mons 1 days 2 hours -3 mins 4.5 secs", 0, 1, 7_024_500_000_000),
            ("-00:00:01", 0, 0, -1_000_000_000),
        ] {
            let found = interval_text(text);
            assert_eq!(found, Some(IntervalMonthDayNano { months, days, nanoseconds }), "{text}");
        }
        for text in ["", "1", "1 fortnight", "1:2:3:4", "99999999999 days"] {
            assert_eq!(interval_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_decimal_keeps_the_scale_it_is_sent_with() {
        let mut bytes = bytes::BytesMut::new();
        numeric::write_binary("12345678901234567890.123450", &mut bytes);
        let oid = Type::NUMERIC.oid();
        let read =
            parameter(Some(&bytes), true, oid, &DataType::Decimal128(38, 10), "UTC").unwrap();
        assert_eq!(read, ScalarValue::Decimal128(Some(12_345_678_901_234_567_890_123_450), 26, 6));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(bytes: Vec<u8>, oid in proptest::sample::select(vec![
            16_u32, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950,
            3802, 1007, 1009, 1231,
        ]), binary: bool) {
            let target = types::parameter(oid).unwrap();
            let _ = parameter(Some(&bytes), binary, oid, &target, "UTC");
        }
    }
}
