//! When an event happened: reading clients' timestamps, correcting their clocks, writing ISO 8601.
//!
//! Guarantees: the correction is Segment's, `received_at - (sentAt - timestamp)`; a result more
//! than 24 h ahead of ours becomes `received_at` and is marked. Finer than microseconds is cut.
//! Left out: the past. A store's history may be as old as it likes.

use crate::settings::CLOCK_AHEAD_US_MAX;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use tradewind_types::TimestampMicros;

/// An event's time and whether the client's clock was overruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTime {
    pub(crate) at: TimestampMicros,
    pub(crate) clamped: bool,
}

/// The time of an event that says it happened at `happened` in a request that says it was sent at
/// `sent`, both by the client's clock.
pub(crate) fn event_time(
    happened: Option<TimestampMicros>,
    sent: Option<TimestampMicros>,
    received: TimestampMicros,
) -> EventTime {
    let at = match (happened, sent) {
        (Some(happened), Some(sent)) => received.saturating_sub(sent.saturating_sub(happened)),
        (Some(happened), None) => happened,
        (None, _) => received,
    };
    let ahead = at > received.saturating_add(CLOCK_AHEAD_US_MAX);
    if ahead || !writable(at) {
        return EventTime { at: received, clamped: true };
    }
    EventTime { at, clamped: false }
}

/// Years 0 to 9999 are what ISO 8601 text with four digits can say.
fn writable(at: TimestampMicros) -> bool {
    (-62_167_219_200_000_000..253_402_300_800_000_000).contains(&at)
}

/// Reads ISO 8601 as clients write it: RFC 3339 with any offset; a space for the `T`; no zone
/// (then UTC); no seconds; a date alone; one-digit months and days.
pub(crate) fn parse(text: &str) -> Option<TimestampMicros> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let text = text.trim();
    for format in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return Some(time.timestamp_micros());
        }
    }
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

/// Bytes [`push`] appends.
const TEXT_BYTES: usize = "2026-11-21T08:26:00.000000Z".len();

/// Appends `2026-11-21T08:26:00.000000Z`; `at` lies in the years 0 to 9999.
pub(crate) fn push(out: &mut Vec<u8>, at: TimestampMicros) {
    let (year, month, day) = civil(at.div_euclid(86_400_000_000));
    let in_day = at.rem_euclid(86_400_000_000);
    let seconds = in_day / 1_000_000;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], seconds / 3_600);
    put(&mut text[14..16], seconds / 60 % 60);
    put(&mut text[17..19], seconds % 60);
    put(&mut text[20..26], in_day % 1_000_000);
    debug_assert_eq!(text.len(), TEXT_BYTES);
    out.extend_from_slice(&text);
}

fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar:
/// 400 years are 146,097 days, and a year that begins in March has its leap day at the end.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let in_era = days.rem_euclid(146_097);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use tradewind_types::event::iso8601;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn timestamps_as_clients_write_them() {
        let at = iso8601::parse("2015-02-02T00:30:08.276Z").unwrap();
        for text in [
            "2015-02-02T00:30:08.276Z",
            "2015-02-02T01:30:08.276+01:00",
            "2015-2-02T00:30:08.276Z",
            "2015-02-02 00:30:08.276",
            "2015-02-02T00:30:08.2760009Z",
            "2015-02-02T00:30:08.276",
            "2015-02-02T01:30:08.276+0100",
            " 2015-02-02T00:30:08.276Z",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert_eq!(parse("2015-02-02"), iso8601::parse("2015-02-02T00:00:00Z").ok());
        for text in ["", "yesterday", "1422837008", "2015-02-30T00:00:00Z", "2015-02-02T25:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_skewed_clock_is_corrected_by_when_it_sent() {
        // Its clock is 3 h behind; the event happened a minute before it was sent.
        let received = 100 * HOUR_US;
        let sent = received - 3 * HOUR_US;
        let minute = 60_000_000;
        assert_eq!(
            event_time(Some(sent - minute), Some(sent), received),
            EventTime { at: received - minute, clamped: false }
        );
    }

    #[test]
    fn a_clock_a_day_ahead_is_overruled_and_marked() {
        let received = 1_000 * HOUR_US;
        let edge = received + 24 * HOUR_US;
        assert!(!event_time(Some(edge), None, received).clamped);
        let clamped = EventTime { at: received, clamped: true };
        assert_eq!(event_time(Some(edge + 1), None, received), clamped);
        assert_eq!(event_time(Some(i64::MAX), Some(i64::MIN), received), clamped);
        assert_eq!(event_time(Some(i64::MIN), Some(i64::MAX), received), clamped);
        assert_eq!(event_time(None, Some(5), received), EventTime { at: received, clamped: false });
    }

    proptest! {
        #[test]
        fn writes_what_chrono_writes(at in -62_167_219_200_000_000i64..253_402_300_800_000_000) {
            let mut out = Vec::new();
            push(&mut out, at);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(&text, &iso8601::format(at));
            prop_assert_eq!(parse(&text), Some(at));
        }
    }
}
