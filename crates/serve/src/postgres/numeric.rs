//! PostgreSQL's `numeric` and floats, without a digit lost.
//!
//! Guarantees: a decimal comes out with the digits and scale it has, of whatever size, in text and
//! in binary; what is read has exactly the digits that were sent. Floats are the shortest text
//! that reads back the same.
//! Left out: `NaN` and infinities as decimals, which our decimals do not have.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, i256};
use bytes::{Buf, BufMut, BytesMut};
use datafusion::common::ScalarValue;

/// Decimal digits in one digit of the binary form.
const GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;

/// Writes a decimal's text (`-12.50`) in binary.
pub(crate) fn write_binary(text: &str, out: &mut BytesMut) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut groups: Vec<i16> = Vec::with_capacity((whole.len() + fraction.len()) / GROUP + 2);
    let head = whole.len() % GROUP;
    if head > 0 {
        groups.push(number(&whole[..head], head));
    }
    let whole_groups = whole.len().div_ceil(GROUP);
    groups.extend(whole.as_bytes()[head..].chunks(GROUP).map(of_bytes));
    groups.extend(fraction.as_bytes().chunks(GROUP).map(of_bytes));
    let mut weight = whole_groups as i16 - 1;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= zeros as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.put_i16(groups.len() as i16);
    out.put_i16(weight);
    out.put_u16(if negative && !groups.is_empty() { NEGATIVE } else { 0 });
    out.put_u16(fraction.len() as u16);
    groups.into_iter().for_each(|group| out.put_i16(group));
}

/// Up to four digits as they stand before the point of a group.
fn of_bytes(digits: &[u8]) -> i16 {
    number(std::str::from_utf8(digits).unwrap_or_default(), GROUP)
}

/// The digits, filled up on the right to `width`.
fn number(digits: &str, width: usize) -> i16 {
    let missing = width.saturating_sub(digits.len()) as u32;
    digits.parse::<i16>().unwrap_or_default() * 10_i16.pow(missing)
}

/// Reads the binary form as text.
pub(crate) fn read_binary(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let count = usize::from(bytes.get_u16());
    let weight = i32::from(bytes.get_i16());
    let sign = bytes.get_u16();
    let scale = usize::from(bytes.get_u16());
    if bytes.len() != count * 2 || ![0, NEGATIVE].contains(&sign) {
        return None;
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9_999) || weight.unsigned_abs() > 32_767 {
        return None;
    }
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::from(if sign == NEGATIVE { "-" } else { "" });
    // A decimal of ours has fewer digits than this; more is no number of ours anyway.
    if weight > DIGITS_MAX || scale > DIGITS_MAX as usize * GROUP {
        return None;
    }
    match weight {
        0.. => (0..=weight).rev().for_each(|place| text.push_str(&format!("{:04}", group(place)))),
        _ => text.push('0'),
    }
    if scale > 0 {
        let groups = scale.div_ceil(GROUP) as i32;
        let fraction: String = (1..=groups).map(|place| format!("{:04}", group(-place))).collect();
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Some(text)
}

/// Groups before the point that are looked at.
const DIGITS_MAX: i32 = 64;

/// A decimal's text as a value with just the digits and the scale it is written with.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_text(text: &str) -> Result<ScalarValue, String> {
    let invalid = || format!("invalid input syntax for type numeric: \"{text}\"");
    let trimmed = text.trim();
    let (mantissa, exponent) = match trimmed.find(['e', 'E']) {
        Some(at) => (&trimmed[..at], trimmed[at + 1..].parse::<i32>().map_err(|_| invalid())?),
        None => (trimmed, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !only_digits(whole) || !only_digits(fraction) {
        return Err(invalid());
    }
    let too_long = || format!("the number has more than {DECIMAL256_MAX_PRECISION} digits");
    let most = i32::from(DECIMAL256_MAX_PRECISION);
    let mut scale = i32::try_from(fraction.len()).map_err(|_| too_long())?.saturating_sub(exponent);
    let mut all = format!("{whole}{fraction}").trim_start_matches('0').to_string();
    if all.is_empty() {
        scale = scale.clamp(0, most);
    }
    if scale < 0 && scale >= -most {
        all.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        scale = 0;
    }
    let precision = (all.len() as i32).max(scale).max(1);
    if scale < 0 || precision > most {
        return Err(too_long());
    }
    let signed =
        format!("{}{}", if negative { "-" } else { "" }, if all.is_empty() { "0" } else { &all });
    let (precision, scale) = (precision as u8, scale as i8);
    if precision <= DECIMAL128_MAX_PRECISION {
        let value = signed.parse::<i128>().map_err(|_| invalid())?;
        return Ok(ScalarValue::Decimal128(Some(value), precision, scale));
    }
    let value = i256::from_string(&signed).ok_or_else(too_long)?;
    Ok(ScalarValue::Decimal256(Some(value), precision, scale))
}

/// Writes a float's shortest text as PostgreSQL does: with an exponent from `10^limit` on and
/// below `10^-4`.
pub(crate) fn write_float(value: f64, scientific: &str, limit: i32, out: &mut BytesMut) {
    if !value.is_finite() {
        let text = match value {
            _ if value.is_nan() => "NaN",
            _ if value > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        out.put_slice(text.as_bytes());
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let text = if !(-4..limit).contains(&exponent) {
        let mark = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{mantissa}e{mark}{:02}", exponent.abs())
    } else if exponent < 0 {
        format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1))
    } else {
        let whole = exponent as usize + 1;
        match digits.len() > whole {
            true => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
            false => format!("{sign}{digits}{}", "0".repeat(whole - digits.len())),
        }
    };
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(text: &str) -> String {
        let mut bytes = BytesMut::new();
        write_binary(text, &mut bytes);
        let read = read_binary(&bytes).unwrap();
        let (sign, digits) = read.strip_prefix('-').map_or(("", &*read), |rest| ("-", rest));
        let digits = digits.trim_start_matches('0');
        let zero = if digits.is_empty() || digits.starts_with('.') { "0" } else { "" };
        format!("{sign}{zero}{digits}")
    }

    #[test]
    fn numbers_of_every_size_keep_their_digits() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "12.50",
            "-0.0001",
            "0.00001000",
            "9999.9999",
            "12345678901234567890123456789012345678",
            "-0.00000000000000000000000000000000000001",
            "99999999999999999999999999999999999999999999999999999999999999999999.99",
        ] {
            assert_eq!(there_and_back(text), text);
        }
    }

    #[test]
    fn the_binary_form_is_postgresqls() {
        let mut bytes = BytesMut::new();
        write_binary("-12345.678", &mut bytes);
        // Groups 1, 2345, 6780; the first stands at 10000^1.
        assert_eq!(&bytes[..], [0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 9, 0x29, 0x1a, 0x7c]);
    }

    #[test]
    fn texts_are_read_with_their_scale() {
        let read = |text| read_text(text).unwrap();
        assert_eq!(read("12.50"), ScalarValue::Decimal128(Some(1250), 4, 2));
        assert_eq!(read("-.5"), ScalarValue::Decimal128(Some(-5), 1, 1));
        assert_eq!(read("1.5E+2"), ScalarValue::Decimal128(Some(150), 3, 0));
        assert_eq!(read("25e-4"), ScalarValue::Decimal128(Some(25), 4, 4));
        assert_eq!(read("0.00"), ScalarValue::Decimal128(Some(0), 2, 2));
        for wrong in ["", "-", "1.2.3", "NaN", "1e", "0x1", "1e99999", "1e-99999"] {
            assert!(read_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn floats_are_written_as_postgresql_writes_them() {
        for (value, text) in [
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5, "-2.5"),
            (-0.0, "-0"),
            (3.0, "3"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1.5e300, "1.5e+300"),
        ] {
            let mut out = BytesMut::new();
            write_float(value, &format!("{value:e}"), 15, &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn any_decimal_goes_there_and_back(value: i128, scale in 0_usize..38) {
            let digits = format!("{:0>39}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let whole = whole.trim_start_matches('0');
            let sign = if value < 0 { "-" } else { "" };
            let whole = if whole.is_empty() { "0" } else { whole };
            let text = match scale {
                0 => format!("{sign}{whole}"),
                _ => format!("{sign}{whole}.{fraction}"),
            };
            prop_assert_eq!(there_and_back(&text), text);
        }

        #[test]
        fn garbage_is_no_number(bytes: Vec<u8>) {
            let _ = read_binary(&bytes);
        }
    }
}
