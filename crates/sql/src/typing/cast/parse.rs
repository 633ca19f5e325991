//! Texts as values, the way a cast reads them in Flink.
//!
//! Guarantees: spaces around are left away; nothing is guessed: what is not a value is `None`.
//! Left out: formats, which `TO_TIMESTAMP` and `TO_DATE` take.

use crate::text::days;
use crate::typing::wide;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Digits of an exponent that a decimal can have and still be a number we can hold.
const EXPONENT_MAX: i32 = 100;

/// An integer; digits after a point are read and left away.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = sign(text);
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    if digits.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    whole.bytes().try_fold(0_i64, |value, byte| {
        let digit = i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    })
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A floating number as Java writes and reads it.
pub(super) fn float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    let (_, unsigned) = sign(text);
    match unsigned {
        "NaN" => return "NaN".parse().ok(),
        "Infinity" => return text.parse().ok(),
        _ if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
        _ => {}
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

/// What came of reading a decimal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// It fits.
    Value(i128),
    /// A number, but too large.
    TooLarge,
    /// No number.
    Malformed,
}

/// The digits of a decimal's text at `scale`, rounded half away from zero; `None` where it is no
/// number or has more than `precision` digits.
pub fn decimal_of(text: &str, precision: u8, scale: i8) -> Option<i128> {
    match decimal(text, precision, scale) {
        Decimal::Value(value) => Some(value),
        Decimal::TooLarge | Decimal::Malformed => None,
    }
}

/// A decimal at `scale`, rounded half up.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Decimal {
    let Some((negative, digits, exponent)) = parts(text.trim()) else { return Decimal::Malformed };
    let Some(value) = scaled(&digits, exponent + i32::from(scale)) else {
        return Decimal::TooLarge;
    };
    if value.unsigned_abs() >= wide::power_of_ten(precision) {
        return Decimal::TooLarge;
    }
    Decimal::Value(if negative { -value } else { value })
}

/// Sign, digits without leading zeros, and the power of ten of the last digit.
fn parts(text: &str) -> Option<(bool, Vec<u8>, i32)> {
    let (negative, text) = sign(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes());
    let digits: Option<Vec<u8>> =
        digits.map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect();
    let digits = digits?.into_iter().skip_while(|digit| *digit == 0).collect();
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    Some((negative, digits, exponent))
}

/// The digits times ten to the `power`, rounded half up.
fn scaled(digits: &[u8], power: i32) -> Option<i128> {
    if digits.is_empty() || power < -EXPONENT_MAX - i32::try_from(digits.len()).ok()? {
        return Some(0);
    }
    let dropped = usize::try_from(-power).unwrap_or(0);
    let kept = digits.len().saturating_sub(dropped);
    let mut value = 0_i128;
    for digit in &digits[..kept] {
        value = value.checked_mul(10)?.checked_add(i128::from(*digit))?;
    }
    // The first digit that is dropped decides; before the first digit there are zeros.
    let rounds_up = dropped > 0 && dropped <= digits.len() && digits[digits.len() - dropped] >= 5;
    for _ in 0..power.max(0) {
        value = value.checked_mul(10)?;
    }
    value.checked_add(i128::from(rounds_up))
}

/// `true`, `t`, `yes`, `y`, `1` and their opposites, in any case, without spaces around.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is_one = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one(["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is_one(["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// `yyyy-M-d` or the date of a timestamp, as a day since the epoch.
pub(crate) fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    // What follows a space is not looked at, as in Flink.
    let date = text.split_once(' ').map_or(text, |(date, _)| date);
    i32::try_from(day(date)?).ok()
}

/// A year, and a month and a day where they are given.
fn day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| number(month, 2))?;
    let of_month = parts.next().map_or(Some(1), |day| number(day, 2))?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    ((1..=last).contains(&of_month) && parts.next().is_none()).then(|| days(year, month, of_month))
}

/// One to `most` digits.
fn number(text: &str, most: usize) -> Option<i64> {
    let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// `yyyy-M-d[ H:m:s[.f]]` as microseconds since the epoch; digits past the sixth are left away.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ').map_or((text, None), |(d, t)| (d, Some(t)));
    // A date alone, or a date and a whole time.
    if date.matches('-').count() != 2 || date.find('-') != Some(4) {
        return None;
    }
    let of_day = match time {
        None => 0,
        Some(time) if time.matches(':').count() == 2 => clock(time)?,
        Some(_) => return None,
    };
    Some(day(date)? * 86_400 * SECOND + of_day)
}

/// `H[:m[:s[.f]]]` as microseconds of the day.
pub(super) fn clock(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(c, f)| (c, Some(f)));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = parts.next().map_or(Some(0), |minute| number(minute, 2))?;
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    // The end of a day is the start of the next.
    let is_end = (hour, minute, second) == (24, 0, 0);
    if parts.next().is_some() || (hour > 23 && !is_end) || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        None | Some("") => 0,
        Some(digits) => {
            number(digits, 9)?;
            number(&digits[..digits.len().min(6)], 6)?
                * 10_i64.pow(6 - u32::try_from(digits.len().min(6)).ok()?)
        }
    };
    Some((hour * 3600 + minute * 60 + second) * SECOND + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each answer is Flink 2.3's.
    #[test]
    fn integers() {
        let cases = [
            ("1", Some(1)),
            (" 2 ", Some(2)),
            ("+4", Some(4)),
            ("-5.9", Some(-5)),
            ("5.", Some(5)),
            (".5", Some(0)),
            (".", Some(0)),
            ("", None),
            ("+", None),
            ("1e3", None),
            ("5.x", None),
            ("5.5.5", None),
            ("- 5", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn decimals_round_half_up_once() {
        use Decimal::{Malformed, TooLarge, Value};
        let cases = [
            ("1.005", Value(101)),
            ("-0.005", Value(-1)),
            ("0.0049", Value(0)),
            ("1e2", Value(10_000)),
            (".5", Value(50)),
            ("5.", Value(500)),
            ("99999.99", Value(9_999_999)),
            ("99999.995", TooLarge),
            ("1e999", TooLarge),
            ("1e-999", Value(0)),
            ("0e999", Value(0)),
            ("x", Malformed),
            ("", Malformed),
            (".", Malformed),
            ("1.2.3", Malformed),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text, 7, 2), expected, "{text:?}");
        }
    }

    #[test]
    fn floats_and_booleans() {
        assert_eq!(float::<f64>(" 3.25 "), Some(3.25));
        assert_eq!(float::<f64>("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(float::<f64>("1d"), Some(1.0));
        assert!(["nan", "inf", "", "x", "1_0"].iter().all(|text| float::<f64>(text).is_none()));
        assert_eq!(boolean("TRUE"), Some(true));
        assert_eq!((boolean("on"), boolean("true ")), (None, None));
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date("2024-2-9"), Some(19_762));
        assert_eq!(date("2023-02-29"), None);
        assert_eq!(date("2024-13-01"), None);
        assert_eq!(timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamp("1970-01-01 00:00:01.123456789"), Some(1_123_456));
        assert_eq!(timestamp("1970-01-02"), Some(86_400 * SECOND));
        for bad in ["", "x", "2024-01-01T10:00:00", "2024-01-01 25:00:00", "2024-01-01 1:60:0"] {
            assert_eq!(timestamp(bad), None, "{bad:?}");
        }
    }
}
