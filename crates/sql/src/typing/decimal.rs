//! Flink's rules for the digits of decimal arithmetic.
//!
//! Guarantees: the digits of every result are Flink 2.3's, among them what is given up where more
//! than 38 would be needed.
//! Left out: computing, which is [`super::arithmetic`]'s.

use arrow_schema::DataType;

/// Digits a `DECIMAL` can have.
pub const DIGITS_MAX: u8 = 38;
/// Digits after the point that are kept where the result needs more than 38 digits.
const SCALE_KEPT_MIN: i16 = 6;

/// Digits in all and after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digits {
    /// In all, 1 to 38.
    pub precision: u8,
    /// After the point, 0 to `precision`.
    pub scale: i8,
}

impl Digits {
    /// What an exact type has: integers have as many as their largest value.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (precision, scale) = match data_type {
            DataType::Int8 => (3, 0),
            DataType::Int16 => (5, 0),
            DataType::Int32 => (10, 0),
            DataType::Int64 => (19, 0),
            DataType::UInt64 => (20, 0),
            DataType::Decimal128(precision, scale) => (*precision, *scale),
            _ => return None,
        };
        Some(Self { precision, scale })
    }

    /// The decimal of so many digits.
    pub const fn data_type(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }

    /// Of a sum or a difference.
    #[must_use]
    pub fn sum(self, other: Self) -> Self {
        let scale = self.wide_scale().max(other.wide_scale());
        adjust(self.whole().max(other.whole()) + scale + 1, scale)
    }

    /// Of a product.
    #[must_use]
    pub fn multiply(self, other: Self) -> Self {
        adjust(
            i16::from(self.precision) + i16::from(other.precision) + 1,
            self.wide_scale() + other.wide_scale(),
        )
    }

    /// Of a quotient.
    #[must_use]
    pub fn divide(self, other: Self) -> Self {
        let scale = (self.wide_scale() + i16::from(other.precision) + 1).max(SCALE_KEPT_MIN);
        adjust(self.whole() + other.wide_scale() + scale, scale)
    }

    /// Of a remainder.
    #[must_use]
    pub fn modulo(self, other: Self) -> Self {
        let scale = self.wide_scale().max(other.wide_scale());
        adjust(self.whole().min(other.whole()) + scale, scale)
    }

    /// Of a value that is one or the other, as in `CASE`: digits before the point come first.
    #[must_use]
    pub fn either(self, other: Self) -> Self {
        let most = i16::from(DIGITS_MAX);
        let whole = self.whole().max(other.whole()).min(most);
        let scale = self.wide_scale().max(other.wide_scale()).min(most - whole);
        digits(whole + scale, scale)
    }

    /// Digits before the point.
    fn whole(self) -> i16 {
        i16::from(self.precision) - i16::from(self.scale)
    }

    fn wide_scale(self) -> i16 {
        i16::from(self.scale)
    }
}

/// Gives up digits after the point, down to six, where there are more than 38 in all.
fn adjust(precision: i16, scale: i16) -> Digits {
    let most = i16::from(DIGITS_MAX);
    if precision <= most {
        return digits(precision, scale);
    }
    let kept = scale.min(SCALE_KEPT_MIN);
    digits(most, (most - (precision - scale)).max(kept))
}

fn digits(precision: i16, scale: i16) -> Digits {
    Digits {
        precision: u8::try_from(precision.max(1)).unwrap_or(DIGITS_MAX),
        scale: i8::try_from(scale).unwrap_or(DIGITS_MAX.cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn d(precision: u8, scale: i8) -> Digits {
        Digits { precision, scale }
    }

    // Each answer is Flink 2.3's.
    #[test]
    fn results_have_as_many_digits_as_in_flink() {
        let (money, long, int) = (d(10, 2), d(38, 10), d(10, 0));
        assert_eq!(money.sum(money), d(11, 2));
        assert_eq!(money.sum(int), d(13, 2));
        assert_eq!(long.sum(long), d(38, 9));
        assert_eq!(money.multiply(money), d(21, 4));
        assert_eq!(long.multiply(money), d(38, 6));
        assert_eq!(money.divide(money), d(23, 13));
        assert_eq!(money.divide(int), d(21, 13));
        assert_eq!(long.divide(money), d(38, 8));
        assert_eq!(money.divide(long), d(38, 20));
        assert_eq!(long.modulo(money), d(18, 10));
        assert_eq!(money.either(int), d(12, 2));
        assert_eq!(d(38, 0).either(d(38, 30)), d(38, 0));
    }
}
