//! Numbers from their text, exactly.
//!
//! Guarantees: no number passes through a float on its way to an integer or a decimal; a decimal
//! with too many digits after the point is rounded half up (away from zero), one with too many
//! before it is an error.
//! Left out: floats, which the standard library parses.

/// Digits an `i128` holds whatever they are.
const DIGITS_MAX: i64 = 38;
/// Exponents are cut off here: beyond it a number is zero or too large, whatever its digits.
const EXPONENT_MAX: i64 = 100_000;

/// Why a text is not the number asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberError {
    /// It is no number.
    Syntax,
    /// It does not fit.
    Range,
    /// It has a fraction and may not.
    Fraction,
}

/// The parts of a number's text.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// The number times 10^`scale`, rounded half up, with at most `precision` digits.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, NumberError> {
    let parts = parts(text)?;
    let (value, _) = scaled(&parts, i64::from(scale), i64::from(precision))?;
    Ok(value)
}

/// A whole number; `1.0` and `1e2` are whole numbers too.
pub(super) fn integer(text: &str) -> Result<i64, NumberError> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    let (value, exact) = scaled(&parts(text)?, 0, DIGITS_MAX)?;
    if !exact {
        return Err(NumberError::Fraction);
    }
    i64::try_from(value).map_err(|_| NumberError::Range)
}

fn parts(text: &str) -> Result<Parts<'_>, NumberError> {
    let bytes = text.as_bytes();
    let (negative, rest) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let (integer, rest) = digits(rest);
    let (fraction, rest) = match rest.first() {
        Some(b'.') => digits(&rest[1..]),
        _ => (&rest[..0], rest),
    };
    if integer.is_empty() && fraction.is_empty() {
        return Err(NumberError::Syntax);
    }
    let exponent = match rest.first() {
        None => 0,
        Some(b'e' | b'E') => exponent(&rest[1..])?,
        Some(_) => return Err(NumberError::Syntax),
    };
    Ok(Parts { negative, integer, fraction, exponent })
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len()))
}

fn exponent(bytes: &[u8]) -> Result<i64, NumberError> {
    let (negative, rest) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let (figures, rest) = digits(rest);
    if figures.is_empty() || !rest.is_empty() {
        return Err(NumberError::Syntax);
    }
    let value = figures
        .iter()
        .fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Ok(if negative { -value } else { value })
}

/// The number times 10^`scale` and whether that is exact.
fn scaled(parts: &Parts<'_>, scale: i64, precision: i64) -> Result<(i128, bool), NumberError> {
    let all = || parts.integer.iter().chain(parts.fraction).skip_while(|digit| **digit == b'0');
    let count = all().count() as i64;
    if count == 0 {
        return Ok((0, true));
    }
    // How many of the digits stand before the point of the scaled number.
    let kept = count + scale + parts.exponent - parts.fraction.len() as i64;
    if kept > precision.min(DIGITS_MAX) {
        return Err(NumberError::Range);
    }
    let taken = kept.clamp(0, count);
    let mut value = all()
        .take(taken as usize)
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    value *= 10_i128.pow((kept - taken).max(0) as u32);
    let mut dropped = all().skip(taken as usize);
    let first = dropped.next().copied().unwrap_or(b'0');
    let exact = first == b'0' && dropped.all(|digit| *digit == b'0');
    // Below half a unit in every case when the first digit stands further down.
    if kept >= 0 && first >= b'5' {
        value += 1;
    }
    if value >= 10_i128.pow(precision.min(DIGITS_MAX) as u32) {
        return Err(NumberError::Range);
    }
    Ok((if parts.negative { -value } else { value }, exact))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn decimals_are_exact_and_round_half_up() {
        let cases = [
            ("12.34", 12_340_000),
            ("-0.0000005", -1),
            ("0.00000049", 0),
            ("1e3", 1_000_000_000),
            ("1.5E-6", 2),
            ("0.1234567", 123_457),
            ("-2.5e-7", 0),
            ("000.10", 100_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("0e99999999999", 0),
            ("1e-99999999999", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text, 18, 6), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert_eq!(decimal("999999999999.9999994", 18, 6), Ok(999_999_999_999_999_999));
        assert_eq!(decimal("999999999999.9999995", 18, 6), Err(NumberError::Range));
        assert_eq!(decimal("1000000000000", 18, 6), Err(NumberError::Range));
        assert_eq!(decimal("1e400", 38, 0), Err(NumberError::Range));
        for text in ["", "-", ".", "1e", "1.2.3", "abc", "1 ", "0x1", "1e+"] {
            assert_eq!(decimal(text, 18, 6), Err(NumberError::Syntax), "{text}");
        }
    }

    #[test]
    fn integers_may_be_written_as_decimals_but_not_have_a_fraction() {
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer("9223372036854775808"), Err(NumberError::Range));
        assert_eq!(integer("12.0"), Ok(12));
        assert_eq!(integer("1.2e1"), Ok(12));
        assert_eq!(integer("1.5"), Err(NumberError::Fraction));
        assert_eq!(integer("1e-1"), Err(NumberError::Fraction));
    }
}
