//! Whole numbers of up to 256 bits: what decimals of 38 digits need on the way to their result.
//!
//! Guarantees: nothing wraps; every rounding is half up, that is away from zero at the half.
//! Left out: the fast path is 128 bits, and most rows take it.

use datafusion::arrow::datatypes::i256;

/// 10^`digits`, up to 10^38.
pub(crate) const fn power_of_ten(digits: u8) -> u128 {
    10_u128.pow(digits as u32)
}

/// `value` with `by` more digits after the point, or fewer: then rounded half up.
pub(crate) fn rescale(value: i128, by: i8) -> Option<i128> {
    match by {
        0 => Some(value),
        1..=38 => value.checked_mul(power_of_ten(by.unsigned_abs()).cast_signed()),
        -38..=-1 => Some(round(value, power_of_ten(by.unsigned_abs()).cast_signed())),
        i8::MIN..=-39 => Some(0),
        _ => (value == 0).then_some(0),
    }
}

/// `value / divisor`, half up.
pub(crate) fn round(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// `a + b` at `scale`.
pub(crate) fn add(a: i128, a_scale: i8, b: i128, b_scale: i8, scale: i8) -> Option<i128> {
    let common = a_scale.max(b_scale);
    let narrow = rescale(a, common - a_scale)
        .zip(rescale(b, common - b_scale))
        .and_then(|(a, b)| a.checked_add(b));
    match narrow {
        Some(sum) => rescale(sum, scale - common),
        None => {
            let sum = up(i256::from_i128(a), common - a_scale)?
                .checked_add(up(i256::from_i128(b), common - b_scale)?)?;
            down(sum, common - scale)
        }
    }
}

/// `a * b` with `drop` digits less after the point.
pub(crate) fn multiply(a: i128, b: i128, drop: i8) -> Option<i128> {
    match a.checked_mul(b) {
        Some(product) => rescale(product, -drop),
        None => down(i256::from_i128(a).checked_mul(i256::from_i128(b))?, drop),
    }
}

/// `a / b` with `by` more digits after the point than `a` has over `b`.
pub(crate) fn divide(a: i128, b: i128, by: i8) -> Option<i128> {
    if let Some(scaled) = (by >= 0).then(|| rescale(a, by)).flatten() {
        return Some(round(scaled, b));
    }
    let (mut numerator, mut divisor) = (i256::from_i128(a), i256::from_i128(b));
    if by >= 0 {
        numerator = up(numerator, by)?;
    } else {
        divisor = up(divisor, -by)?;
    }
    round_wide(numerator, divisor)
}

/// The remainder at the larger of both scales, with the sign of `a`.
pub(crate) fn modulo(a: i128, a_scale: i8, b: i128, b_scale: i8) -> Option<i128> {
    let common = a_scale.max(b_scale);
    if let Some((a, b)) = rescale(a, common - a_scale).zip(rescale(b, common - b_scale)) {
        return Some(a % b);
    }
    let b = up(i256::from_i128(b), common - b_scale)?;
    up(i256::from_i128(a), common - a_scale)?.checked_rem(b)?.to_i128()
}

fn up(value: i256, by: i8) -> Option<i256> {
    value.checked_mul(i256::from_i128(10).checked_pow(u32::try_from(by).ok()?)?)
}

fn down(value: i256, by: i8) -> Option<i128> {
    match by {
        0.. => round_wide(value, i256::from_i128(10).checked_pow(u32::try_from(by).ok()?)?),
        _ => up(value, -by)?.to_i128(),
    }
}

fn round_wide(value: i256, divisor: i256) -> Option<i128> {
    let quotient = value.checked_div(divisor)?;
    let rest = value.checked_rem(divisor)?.wrapping_abs();
    let away = rest >= divisor.wrapping_abs().checked_sub(rest)?;
    let one = match (away, value.is_negative() == divisor.is_negative()) {
        (false, _) => i256::ZERO,
        (true, true) => i256::ONE,
        (true, false) => i256::MINUS_ONE,
    };
    quotient.checked_add(one)?.to_i128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_away_from_zero() {
        assert_eq!(rescale(125, -1), Some(13));
        assert_eq!(rescale(-125, -1), Some(-13));
        assert_eq!(rescale(124, -1), Some(12));
        assert_eq!(divide(1, 6, 6), Some(166_667));
        assert_eq!(divide(-1, 6, 6), Some(-166_667));
        assert_eq!(divide(5, 10, 0), Some(1));
    }

    #[test]
    fn large_values_take_the_wide_path() {
        let large = power_of_ten(37).cast_signed();
        assert_eq!(multiply(large, 10, 1), Some(large));
        assert_eq!(multiply(large, large, 37), Some(large));
        assert_eq!(multiply(large, large, 0), None);
        assert_eq!(divide(large, large, 20), Some(power_of_ten(20).cast_signed()));
        assert_eq!(add(large, 0, 1, 2, 0), Some(large));
        assert_eq!(modulo(large, 0, 7, 20), Some(6));
    }
}
