//! Dates, times and intervals as PostgreSQL writes them.
//!
//! Guarantees: microseconds are exact; finer ones are cut off, which PostgreSQL does not have;
//! years before 1 end in `BC`.
//! Left out: reading them, which Arrow does.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use std::fmt::Write;

/// Days from 1970 to 2000, where PostgreSQL counts from.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// A moment that no calendar of ours has.
pub(crate) const OUTSIDE: &str = "a date or time is out of range";

/// A count of `unit` in microseconds, rounded down.
pub(crate) fn micros(value: i64, unit: TimeUnit) -> Result<i64, &'static str> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000).ok_or(OUTSIDE),
        TimeUnit::Millisecond => value.checked_mul(1_000).ok_or(OUTSIDE),
        TimeUnit::Microsecond => Ok(value),
        TimeUnit::Nanosecond => Ok(value.div_euclid(1_000)),
    }
}

/// Writes days since 1970.
pub(crate) fn write_date(days: i32, out: &mut BytesMut) -> Result<(), &'static str> {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(days))))
        .ok_or(OUTSIDE)?;
    ymd(date, out);
    if date.year() <= 0 {
        out.put_slice(b" BC");
    }
    Ok(())
}

/// Writes microseconds since 1970, in a time zone where one is given.
pub(crate) fn write_timestamp(
    micros: i64,
    zone: Option<&Tz>,
    out: &mut BytesMut,
) -> Result<(), &'static str> {
    let utc = DateTime::from_timestamp_micros(micros).ok_or(OUTSIDE)?.naive_utc();
    let Some(zone) = zone else {
        civil(utc, out);
        if utc.year() <= 0 {
            out.put_slice(b" BC");
        }
        return Ok(());
    };
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    let there = utc.checked_add_signed(chrono::TimeDelta::seconds(i64::from(offset)));
    let there = there.ok_or(OUTSIDE)?;
    civil(there, out);
    let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    let (hours, minutes, seconds) = (size / 3_600, size / 60 % 60, size % 60);
    let mut text = format!("{sign}{hours:02}");
    if minutes > 0 || seconds > 0 {
        let _ = write!(text, ":{minutes:02}");
    }
    if seconds > 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    out.put_slice(text.as_bytes());
    if there.year() <= 0 {
        out.put_slice(b" BC");
    }
    Ok(())
}

fn civil(at: NaiveDateTime, out: &mut BytesMut) {
    ymd(at.date(), out);
    out.put_u8(b' ');
    let of_day = i64::from(at.num_seconds_from_midnight()) * 1_000_000
        + i64::from(at.and_utc().timestamp_subsec_micros());
    write_time(of_day, out);
}

fn ymd(date: NaiveDate, out: &mut BytesMut) {
    let year = if date.year() > 0 { date.year() } else { 1 - date.year() };
    out.put_slice(format!("{year:04}-{:02}-{:02}", date.month(), date.day()).as_bytes());
}

/// Writes microseconds since midnight.
pub(crate) fn write_time(micros: i64, out: &mut BytesMut) {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let text = format!("{hours:02}:{minutes:02}:{:02}{}", seconds % 60, fraction(micros));
    out.put_slice(text.as_bytes());
}

/// `.5`, or nothing.
fn fraction(micros: i64) -> String {
    match micros.unsigned_abs() % 1_000_000 {
        0 => String::new(),
        part => format!(".{part:06}").trim_end_matches('0').to_string(),
    }
}

/// Writes an interval as `1 year 2 mons 3 days 04:05:06.7`.
pub(crate) fn write_interval(months: i32, days: i32, micros: i64, out: &mut BytesMut) {
    let mut text = String::new();
    let mut before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let plus = if before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(text, "{space}{plus}{value} {unit}{plural}");
        before = value < 0;
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match () {
            () if micros < 0 => "-",
            () if before => "+",
            () => "",
        };
        let seconds = micros.unsigned_abs() / 1_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let rest = fraction(micros);
        let _ = write!(text, "{space}{sign}{hours:02}:{minutes:02}:{:02}{rest}", seconds % 60);
    }
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn moments_are_written_as_postgresql_writes_them() {
        let at = |micros, zone: Option<&str>| {
            let zone = zone.map(|zone| zone.parse().unwrap());
            text(|out| write_timestamp(micros, zone.as_ref(), out).unwrap())
        };
        assert_eq!(at(0, None), "1970-01-01 00:00:00");
        assert_eq!(at(-1, None), "1969-12-31 23:59:59.999999");
        assert_eq!(at(1_500_000, Some("UTC")), "1970-01-01 00:00:01.5+00");
        assert_eq!(at(0, Some("Asia/Kolkata")), "1970-01-01 05:30:00+05:30");
        assert_eq!(at(0, Some("-03:30")), "1969-12-31 20:30:00-03:30");
        assert_eq!(at(-62_198_755_200_000_000, None), "0002-01-01 00:00:00 BC");
        assert!(write_timestamp(i64::MAX, None, &mut BytesMut::new()).is_err());
        assert_eq!(text(|out| write_date(-719_529, out).unwrap()), "0002-12-31 BC");
        assert_eq!(text(|out| write_time(86_399_000_001, out)), "23:59:59.000001");
    }

    #[test]
    fn intervals_are_written_as_postgresql_writes_them() {
        let of = |months, days, micros| text(|out| write_interval(months, days, micros, out));
        assert_eq!(of(0, 0, 0), "00:00:00");
        assert_eq!(of(14, 3, 14_706_700_000), "1 year 2 mons 3 days 04:05:06.7");
        assert_eq!(of(-1, 1, -1_000_000), "-1 mons +1 day -00:00:01");
        assert_eq!(of(0, -1, 1_000_000), "-1 days +00:00:01");
    }
}
