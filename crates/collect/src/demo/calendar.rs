//! When people shop: the hours of a day, the days of a week, the months of a year.
//!
//! Guarantees: factors are thousandths around a mean of 1000, each by the clock of the shopper's own
//! country; the same instant always gives the same factor.
//! Left out: holidays, weather, and sales campaigns of one shop.
//!
//! Where the figures are from: the hours are the index of shopping activity that Oberlo shows ("What
//! Time Do People Shop Online?": 22 at five in the morning, 151 at one, 134 at nine in the evening;
//! its mean is 100), the hours it does not name are drawn between their neighbours. The days are
//! SaleCycle's ("When Are People Most Likely to Buy Online?": Thursday and Monday are the strongest
//! days, the weekend is the quietest). The months follow the US Census Bureau's quarterly e-commerce
//! sales, not adjusted: about 29 % of a year are in its last quarter, and SaleCycle's November and
//! December above all other months.

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use tradewind_types::TimestampMicros;

/// Thousandths of the mean, by hour from midnight.
const HOURS: [u64; 24] = [
    1040, 750, 520, 360, 270, 220, 300, 450, 600, 750, 1030, 1250, 1420, 1510, 1490, 1450, 1420,
    1380, 1340, 1310, 1320, 1340, 1330, 1230,
];
/// Thousandths of the mean, from Monday.
const WEEKDAYS: [u64; 7] = [1060, 1020, 1030, 1070, 970, 900, 950];
/// Thousandths of the mean, from January.
const MONTHS: [u64; 12] = [970, 890, 970, 940, 970, 950, 970, 950, 960, 980, 1200, 1250];

/// How busy a time zone's shoppers are, in thousandths of the mean.
pub(super) fn busy_per_mille(at: TimestampMicros, zone: Tz) -> u64 {
    let Some(utc) = DateTime::from_timestamp_micros(at) else { return 1000 };
    let local = utc.with_timezone(&zone);
    let (hour, minute) = (local.hour() as usize, u64::from(local.minute()));
    // Between the middles of two hours, so that nothing jumps.
    let hourly = (HOURS[hour] * (60 - minute) + HOURS[(hour + 1) % 24] * minute) / 60;
    let weekday = WEEKDAYS[local.weekday().num_days_from_monday() as usize];
    hourly * weekday * MONTHS[local.month0() as usize] / 1_000_000
}

/// Midnight of the day of `at`, `days` before, by a time zone's clock.
pub(super) fn midnight_before(at: TimestampMicros, days: u32, zone: Tz) -> TimestampMicros {
    const DAY_US: i64 = 86_400_000_000;
    let Some(utc) = DateTime::from_timestamp_micros(at) else { return at };
    let shift_us =
        i64::from(zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())
            * 1_000_000;
    (at + shift_us).div_euclid(DAY_US) * DAY_US - shift_us - i64::from(days) * DAY_US
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Asia, Europe, UTC};

    #[test]
    fn the_means_are_one() {
        for (sum, count) in
            [(HOURS.iter().sum::<u64>(), 24), (WEEKDAYS.iter().sum(), 7), (MONTHS.iter().sum(), 12)]
        {
            assert!((990..=1010).contains(&(sum / count)), "{sum} / {count}");
        }
    }

    #[test]
    fn a_day_is_where_the_shopper_is() {
        // 2026-06-03 03:00 UTC: the middle of the night in Berlin, lunch in Tokyo.
        let at = 1_780_455_600_000_000;
        let (berlin, tokyo) = (busy_per_mille(at, Europe::Berlin), busy_per_mille(at, Asia::Tokyo));
        assert!(tokyo > 4 * berlin, "{tokyo} {berlin}");
        assert_eq!(midnight_before(at, 1, UTC), at - 27 * 3_600_000_000);
    }
}
