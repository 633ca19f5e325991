//! Dates and times from ISO 8601 text.
//!
//! Guarantees: microseconds; finer digits are cut. `T` or a blank may stand between date and time,
//! which may lack seconds; a zone is `Z` or an offset.
//! Left out: weeks, ordinals, and every other calendar.

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;

/// Days since 1970-01-01, of `2026-11-21`.
pub(super) fn date(text: &str) -> Option<i32> {
    let (days, rest) = days(text.as_bytes())?;
    rest.is_empty().then_some(days)
}

/// Microseconds since 1970-01-01T00:00:00Z. Text without a zone is taken as UTC.
pub(super) fn instant(text: &str) -> Option<i64> {
    let (days, rest) = days(text.as_bytes())?;
    let (time, rest) = match rest {
        [] => (0, rest),
        [b'T' | b't' | b' ', rest @ ..] => time_of_day(rest)?,
        _ => return None,
    };
    Some(i64::from(days) * DAY_US + time - zone(rest)?)
}

/// `YYYY-MM-DD` and what follows.
fn days(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (year, rest) = number::<4>(bytes)?;
    let (month, rest) = number::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = number::<2>(rest.strip_prefix(b"-")?)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    (1..=length).contains(&day).then(|| (days_from_civil(year, month, day), rest))
}

/// Days since 1970-01-01 of a day in the Gregorian calendar, years 0 to 9999.
fn days_from_civil(year: i64, month: i64, day: i64) -> i32 {
    // The year starts in March here, so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01; five months from March have 153 days.
    (365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468) as i32
}

/// `HH:MM[:SS[.fraction]]` in microseconds, and what follows.
fn time_of_day(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = number::<2>(bytes)?;
    let (minute, rest) = number::<2>(rest.strip_prefix(b":")?)?;
    let (mut second, mut rest, mut micros) = (0, rest, 0);
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = number::<2>(after)?;
        if let Some(after) = rest.strip_prefix(b".") {
            (micros, rest) = fraction(after)?;
        }
    }
    (hour < 24 && minute < 60 && second < 60)
        .then(|| (((hour * 60 + minute) * 60 + second) * SECOND_US + micros, rest))
}

fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (digits, rest) = bytes.split_at(count);
    let (mut micros, mut unit) = (0, SECOND_US / 10);
    for digit in digits.iter().take(6) {
        micros += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some((micros, rest))
}

/// A zone's offset in microseconds; nothing is UTC.
fn zone(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number::<2>(rest)?;
    let (minutes, rest) = match rest {
        [] => (0, rest),
        [b':', rest @ ..] => number::<2>(rest)?,
        rest => number::<2>(rest)?,
    };
    (rest.is_empty() && hours < 24 && minutes < 60)
        .then_some(sign * (hours * 60 + minutes) * 60 * SECOND_US)
}

fn number<const DIGITS: usize>(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (figures, rest) = bytes.split_first_chunk::<DIGITS>()?;
    let mut value = 0;
    for figure in figures {
        if !figure.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(figure - b'0');
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn instants_are_read_with_any_zone() {
        let expected = 1_795_249_560_123_456;
        for text in [
            "2026-11-21T08:26:00.123456Z",
            "2026-11-21T08:26:00.123456789Z",
            "2026-11-21 08:26:00.123456",
            "2026-11-21T10:26:00.123456+02:00",
            "2026-11-21T10:26:00.123456+0200",
            "2026-11-21T07:26:00.123456-01",
        ] {
            assert_eq!(instant(text), Some(expected), "{text}");
        }
        assert_eq!(instant("2026-11-21"), Some(1_795_219_200_000_000));
        assert_eq!(instant("2026-11-21T00:00"), Some(1_795_219_200_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:26:00.Z",
            "2026-11-21T08:26:00ZZ",
            "2026-11-21x",
            "21.11.2026",
            "2026-11-21T08:26:00+25:00",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_is_one_after_the_day_before() {
        let mut expected = date("1899-12-31").unwrap();
        for year in 1900..2105 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = date(&format!("{year:04}-{month:02}-{day:02}")) {
                        expected += 1;
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                    }
                }
            }
        }
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-02-29"), Some(11_016));
    }
}
