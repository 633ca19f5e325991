//! Event time: watermarks and the windows rows fall into.
//!
//! Guarantees: the same as Flink's `TUMBLE` and `HOP`: windows begin at multiples of the slide
//! plus the offset since 1970 on the wall clock of their zone; an instant belongs to exactly
//! `size / slide` windows; before 1970 too. A window is complete when the watermark reaches its
//! end (Flink: a millisecond before).
//! Left out: sessions, cumulating windows.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// Microseconds since 1970 up to which a stream is complete.
pub type Watermark = i64;
/// Nothing is known yet.
pub const WATERMARK_NONE: Watermark = i64::MIN;
/// The stream has ended: every window fires.
pub const WATERMARK_END: Watermark = i64::MAX;

/// Windows of one size in even steps. `TUMBLE` is a `slide_us` of `size_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    /// How long a window is, in microseconds; a multiple of `slide_us`, above 0.
    pub size_us: i64,
    /// How far apart windows begin, in microseconds, above 0.
    pub slide_us: i64,
    /// Where the first window begins, in microseconds after 1970.
    pub offset_us: i64,
    /// `Some` where event times are instants: windows lie on this zone's wall clock. `None` where
    /// they are wall-clock times themselves.
    pub zone: Option<Tz>,
}

impl WindowSpec {
    /// The wall-clock time windows are computed with, of an event time; both in microseconds.
    pub fn local(&self, event_time_us: i64) -> i64 {
        let Some(zone) = self.zone else { return event_time_us };
        let Some(instant) = DateTime::from_timestamp_micros(event_time_us) else {
            return event_time_us;
        };
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
        event_time_us.saturating_add(i64::from(offset.local_minus_utc()) * 1_000_000)
    }

    /// The event time at which a wall-clock time comes: the later one where the clock shows it
    /// twice, so that a window does not end before its rows have come; where the clock skips it,
    /// the instant it jumps.
    pub fn instant(&self, local_us: i64) -> i64 {
        let Some(zone) = self.zone else { return local_us };
        let Some(local) = DateTime::from_timestamp_micros(local_us) else { return local_us };
        let local = local.naive_utc();
        let found = match zone.from_local_datetime(&local) {
            LocalResult::Single(found) => found,
            LocalResult::Ambiguous(_, later) => later,
            LocalResult::None => return after_gap(zone, local).unwrap_or(local_us),
        };
        found.timestamp_micros()
    }

    /// The end of the slice a wall-clock time lies in: slices are `slide_us` long and ends of
    /// windows are ends of slices.
    pub const fn slice_end(&self, local_us: i64) -> i64 {
        let since = local_us.saturating_sub(self.offset_us).rem_euclid(self.slide_us);
        local_us.saturating_sub(since).saturating_add(self.slide_us)
    }

    /// Whether a window with this wall-clock end is complete at a watermark.
    pub fn is_complete(&self, window_end_us: i64, watermark: Watermark) -> bool {
        watermark == WATERMARK_END
            || (watermark != WATERMARK_NONE && self.instant(window_end_us) <= watermark)
    }
}

/// The first instant after a wall-clock time that a zone's clock skips.
fn after_gap(zone: Tz, local: NaiveDateTime) -> Option<i64> {
    // No zone skips more than a day; its offset before the gap leads to the jump or behind it.
    let before = zone.from_local_datetime(&(local - TimeDelta::days(1))).earliest()?;
    let offset = i64::from(before.offset().fix().local_minus_utc());
    Some(local.and_utc().timestamp_micros() - offset * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn slices_before_1970_end_after_their_rows() {
        let spec = WindowSpec { size_us: HOUR, slide_us: HOUR, offset_us: 0, zone: None };
        assert_eq!(spec.slice_end(-1), 0);
        assert_eq!(spec.slice_end(0), HOUR);
        assert_eq!(spec.slice_end(-HOUR), 0);
    }

    #[test]
    fn a_local_time_shown_twice_is_the_later_instant() {
        let zone = Some(chrono_tz::America::New_York);
        let spec = WindowSpec { size_us: HOUR, slide_us: HOUR, offset_us: 0, zone };
        // 2024-11-03 05:30 UTC is 01:30 EDT, and 06:30 UTC is 01:30 EST.
        let first = 1_730_611_800_000_000;
        assert_eq!(spec.local(first), spec.local(first + HOUR));
        assert_eq!(spec.instant(spec.local(first)), first + HOUR);
    }
}
