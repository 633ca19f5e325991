//! A decimal number with six digits after the point.
//!
//! Guarantees: reading is exact; digits past the sixth round half away from zero, as PostgreSQL's
//! `numeric` does; printing is plain (no exponent) without trailing zeros, and reads back as the
//! same number.
//! Left out: division, which needs a rule per SQL dialect.

use super::{MoneyError, shown};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An exact number of millionths between ±999,999,999,999.999999, the range of Arrow's
/// `Decimal128(18, 6)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i64);

/// Digits after the point.
const SCALE: i32 = 6;
/// Millionths in one.
const ONE: i64 = 1_000_000;
/// Eighteen nines: the largest `Decimal128(18, _)`.
const UNITS_MAX: i64 = 999_999_999_999_999_999;
/// Exponents past this say the same as this one: zero or out of range. Keeps the arithmetic on
/// positions small whatever a client sends.
const EXPONENT_MAX: i32 = 1_000_000;

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Arrow's precision for this type.
    pub const PRECISION: u8 = 18;
    /// Arrow's scale for this type: digits after the point.
    pub const SCALE: i8 = SCALE as i8;

    /// `units` millionths.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] past eighteen digits.
    pub fn from_units(units: i64) -> Result<Self, MoneyError> {
        Self::from_wide(i128::from(units), || format!("{units} millionths"))
    }

    /// The number in millionths.
    pub fn units(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        let sum = i128::from(self.0) + i128::from(other.0);
        Self::from_wide(sum, || format!("{self} + {other}"))
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let difference = i128::from(self.0) - i128::from(other.0);
        Self::from_wide(difference, || format!("{self} - {other}"))
    }

    /// The product, rounded half away from zero to six digits.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_mul(self, other: Self) -> Result<Self, MoneyError> {
        let product = i128::from(self.0) * i128::from(other.0);
        let half = i128::from(ONE / 2) * product.signum();
        Self::from_wide((product + half) / i128::from(ONE), || format!("{self} * {other}"))
    }

    fn from_wide(units: i128, what: impl FnOnce() -> String) -> Result<Self, MoneyError> {
        match i64::try_from(units) {
            Ok(units) if units.unsigned_abs() <= UNITS_MAX as u64 => Ok(Self(units)),
            _ => Err(MoneyError::OutOfRange { what: what() }),
        }
    }
}

impl From<i32> for Decimal {
    fn from(whole: i32) -> Self {
        Self(i64::from(whole) * ONE)
    }
}

/// A number's text, taken apart: sign, digits without the point, and where the point stood.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

impl FromStr for Decimal {
    type Err = MoneyError;

    /// Reads `-12.5`, `+3`, `.5`, `1.25e3`. No spaces, no thousands separators, no `NaN`.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let parts = split(text).ok_or_else(|| MoneyError::NotANumber { text: shown(text) })?;
        let units = units_of(&parts).ok_or_else(|| MoneyError::OutOfRange { what: shown(text) })?;
        Ok(Self(if parts.negative { -units } else { units }))
    }
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&rest[..at], exponent_of(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits =
        whole.len() + fraction.len() > 0 && whole.iter().chain(fraction).all(u8::is_ascii_digit);
    digits.then_some(Parts { negative, whole, fraction, exponent })
}

fn exponent_of(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i32, |value, digit| {
        (value.saturating_mul(10).saturating_add(i32::from(digit - b'0'))).min(EXPONENT_MAX)
    });
    Some(sign * value)
}

/// The magnitude in millionths, or `None` past [`UNITS_MAX`].
fn units_of(parts: &Parts<'_>) -> Option<i64> {
    // The power of ten of the digit at hand; it falls by one with each digit.
    let whole_digits = i32::try_from(parts.whole.len()).ok()?;
    let mut power = whole_digits.checked_add(parts.exponent)?;
    let mut units = 0_i64;
    for digit in parts.whole.iter().chain(parts.fraction) {
        power -= 1;
        let value = i64::from(digit - b'0');
        if power >= -SCALE {
            units = within(units.checked_mul(10)?.checked_add(value)?)?;
        } else if power == -SCALE - 1 {
            // The first digit that is cut decides; `within` sees a carry past the last nine.
            return within(units + i64::from(value >= 5));
        } else {
            return Some(units);
        }
    }
    // Zeros that the text left out: `5` is five million millionths, `1e3` a thousand times that.
    while power > -SCALE && units != 0 {
        units = within(units.checked_mul(10)?)?;
        power -= 1;
    }
    Some(units)
}

fn within(units: i64) -> Option<i64> {
    (units <= UNITS_MAX).then_some(units)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / ONE as u64, magnitude % ONE as u64);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:06}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Decimal {
    /// A JSON number with exactly our digits. Only `serde_json` can be asked for that.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    /// A JSON number or a JSON string holding one, by its text. Only `serde_json` hands that out.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        let text: Cow<'_, str> = if raw.get().starts_with('"') {
            serde_json::from_str::<String>(raw.get()).map_err(D::Error::custom)?.into()
        } else {
            raw.get().into()
        };
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> i64 {
        text.parse::<Decimal>().unwrap_or_else(|error| panic!("{text}: {error}")).units()
    }

    #[test]
    fn reads_every_form_a_client_sends() {
        assert_eq!(units("0"), 0);
        assert_eq!(units("-0.0"), 0);
        assert_eq!(units("27.50"), 27_500_000);
        assert_eq!(units("+3"), 3_000_000);
        assert_eq!(units(".5"), 500_000);
        assert_eq!(units("5."), 5_000_000);
        assert_eq!(units("1.25e3"), 1_250_000_000);
        assert_eq!(units("125E-2"), 1_250_000);
        assert_eq!(units("0.0000001e3"), 100);
        assert_eq!(units("000000000000000000000000000012.5"), 12_500_000);
        assert_eq!(units("0e999999999999"), 0);
        assert_eq!(units("1e-999999999999"), 0);
    }

    #[test]
    fn what_a_float_would_spoil_stays_exact() {
        assert_eq!(units("0.1") * 3, units("0.3"));
        assert_eq!(units("999999999999.999999"), UNITS_MAX);
        assert_eq!(
            "9007199254.740993".parse::<Decimal>().unwrap().to_string(),
            "9007199254.740993"
        );
    }

    #[test]
    fn rounds_half_away_from_zero_past_the_sixth_digit() {
        assert_eq!(units("0.0000005"), 1);
        assert_eq!(units("0.00000049999"), 0);
        assert_eq!(units("-0.0000005"), -1);
        assert_eq!(units("1.9999995"), 2_000_000);
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", "-", ".", "1,5", "1 ", "NaN", "inf", "0x1", "1e", "1e+", "1.2.3", "１"] {
            let error = text.parse::<Decimal>().unwrap_err();
            assert!(matches!(error, MoneyError::NotANumber { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    fn refuses_what_does_not_fit_and_never_wraps() {
        for text in ["1e12", "-1000000000000", "1e999999999999", "999999999999.9999995"] {
            let error = text.parse::<Decimal>().unwrap_err();
            assert!(matches!(error, MoneyError::OutOfRange { .. }), "{text:?}: {error}");
        }
        let max = Decimal::from_units(UNITS_MAX).unwrap();
        assert!(max.checked_add(Decimal::from_units(1).unwrap()).is_err());
        assert!(max.checked_mul(2.into()).is_err());
        assert!(Decimal::from_units(i64::MIN).is_err());
    }

    #[test]
    fn multiplies_quantity_by_price() {
        let line = Decimal::from(6).checked_mul("2.55".parse().unwrap()).unwrap();
        assert_eq!(line.to_string(), "15.3");
        let tiny = "0.0005".parse::<Decimal>().unwrap();
        assert_eq!(tiny.checked_mul("-0.001".parse().unwrap()).unwrap().units(), -1);
    }

    #[test]
    fn json_numbers_and_strings_are_read_by_their_text() {
        let read = |text: &str| serde_json::from_str::<Decimal>(text);
        assert_eq!(read("123456789.123457").unwrap().units(), 123_456_789_123_457);
        assert_eq!(read(r#""19.99""#).unwrap().units(), 19_990_000);
        assert!(read("true").is_err());
        assert!(read(r#""""#).is_err());
        assert_eq!(serde_json::to_string(&Decimal::from(30)).unwrap(), "30");
    }

    proptest! {
        #[test]
        fn text_and_number_are_the_same_thing(value in -UNITS_MAX..=UNITS_MAX) {
            let decimal = Decimal::from_units(value).unwrap();
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
            let json = serde_json::to_string(&decimal).unwrap();
            prop_assert_eq!(serde_json::from_str::<Decimal>(&json).unwrap(), decimal);
        }

        #[test]
        fn an_exponent_moves_the_point(value in -999_999_i64..=999_999, shift in 0_u32..6) {
            let text = format!("{value}e-{shift}");
            let expected = value * 10_i64.pow(6 - shift);
            prop_assert_eq!(text.parse::<Decimal>().unwrap().units(), expected);
        }

        #[test]
        fn hostile_text_is_an_error_not_a_panic(text in "[-+0-9.eE ]{0,40}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
