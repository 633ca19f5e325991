//! From a time without a zone to an instant and back.
//!
//! Guarantees: a local time that happens twice, when clocks go back, is the first of both; one that
//! never happens, when clocks go forward, is moved forward by the gap, as Java and Flink do.
//! Left out: the table of zones, which is the IANA database of `chrono-tz`.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Hours a zone's clocks jump at most: a whole day, as Samoa's in 2011.
const GAP_HOURS_MAX: i64 = 24;

/// Local microseconds, as if they were UTC, of an instant.
pub(crate) fn to_local(instant: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return instant;
    }
    let Some(utc) = naive(instant) else { return instant };
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    instant.saturating_add(i64::from(offset) * SECOND)
}

/// The instant of a local time.
pub(crate) fn to_instant(local: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return local;
    }
    let Some(wall) = naive(local) else { return local };
    let offset = match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
        LocalResult::None => {
            // The offset before the gap carries the wall clock past it.
            let Some(before) = naive(local.saturating_sub(GAP_HOURS_MAX * 3600 * SECOND)) else {
                return local;
            };
            zone.offset_from_utc_datetime(&before)
        }
    };
    local.saturating_sub(i64::from(offset.fix().local_minus_utc()) * SECOND)
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn micros(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
            .unwrap()
            .and_utc()
            .timestamp_micros()
    }

    #[test]
    fn gaps_move_forward_and_overlaps_are_the_first() {
        let zone = Tz::Europe__Berlin;
        let cases = [
            ("2024-07-01 12:00:00", "2024-07-01 10:00:00"),
            ("2024-03-31 02:30:00", "2024-03-31 01:30:00"),
            ("2024-03-31 03:00:00", "2024-03-31 01:00:00"),
            ("2024-10-27 02:30:00", "2024-10-27 00:30:00"),
            ("2024-10-27 03:00:00", "2024-10-27 02:00:00"),
        ];
        for (local, instant) in cases {
            assert_eq!(to_instant(micros(local), zone), micros(instant), "{local}");
        }
        assert_eq!(to_local(micros("2024-10-27 01:30:00"), zone), micros("2024-10-27 02:30:00"));
    }
}
