//! Dates in files become instants.
//!
//! Guarantees: a local time that a clock change repeats is the first of the two; one that it skips
//! is read with the offset in force before the change (so 01:30 in a gap of an hour is 02:30 after
//! it). Nothing depends on this machine's own time zone.
//! Left out: guessing a format. The mapping says it.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use tradewind_types::TimestampMicros;

/// A way of writing instants, read from a mapping.
#[derive(Debug, Clone)]
pub enum TimeFormat {
    /// RFC 3339 with an offset, or without one and then in the mapping's zone.
    Iso8601(Option<Tz>),
    /// Whole seconds since the Unix epoch.
    UnixSeconds,
    /// Whole milliseconds since the Unix epoch.
    UnixMilliseconds,
    /// strftime, with an offset in the text.
    WithOffset(String),
    /// strftime, in the zone; `true` when it has no time of day, which is then midnight.
    Local(String, Tz, bool),
}

impl TimeFormat {
    /// Reads `iso8601`, `unix_seconds`, `unix_milliseconds` or a strftime format, and a zone's name
    /// (`Europe/London`), which a format without an offset needs.
    pub fn new(format: &str, zone: Option<&str>) -> Result<Self, String> {
        let zone = zone.map(parse_zone).transpose()?;
        match format {
            "iso8601" => Ok(Self::Iso8601(zone)),
            "unix_seconds" => Ok(Self::UnixSeconds),
            "unix_milliseconds" => Ok(Self::UnixMilliseconds),
            strftime => Self::strftime(strftime, zone),
        }
    }

    fn strftime(format: &str, zone: Option<Tz>) -> Result<Self, String> {
        if StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) {
            return Err(format!(
                "format {format:?} is not iso8601, unix_seconds, unix_milliseconds or strftime"
            ));
        }
        if ["%z", "%:z", "%#z", "%+"].iter().any(|offset| format.contains(offset)) {
            return Ok(Self::WithOffset(format.to_owned()));
        }
        let Some(zone) = zone else {
            return Err(format!(
                "format {format:?} has no offset: say whose clock it is, as in zone = \"Europe/London\""
            ));
        };
        let of_day = ["%H", "%I", "%k", "%l", "%T", "%R", "%r", "%X", "%c"];
        let dates_only = !of_day.iter().any(|part| format.contains(part));
        Ok(Self::Local(format.to_owned(), zone, dates_only))
    }

    /// The instant `text` names, in microseconds since the Unix epoch, or why it names none.
    pub fn parse(&self, text: &str) -> Result<TimestampMicros, String> {
        let fail = |error: &dyn std::fmt::Display| format!("{text:?}: {error}");
        match self {
            Self::Iso8601(zone) => parse_iso8601(text, *zone),
            Self::UnixSeconds => unix(text, 1_000_000),
            Self::UnixMilliseconds => unix(text, 1_000),
            Self::WithOffset(format) => DateTime::parse_from_str(text, format)
                .map(|at| at.timestamp_micros())
                .map_err(|error| fail(&error)),
            Self::Local(format, zone, dates_only) => {
                let local = if *dates_only {
                    NaiveDate::parse_from_str(text, format).map(|day| day.into())
                } else {
                    NaiveDateTime::parse_from_str(text, format)
                };
                local.map(|local| instant(local, *zone)).map_err(|error| fail(&error))
            }
        }
    }
}

fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        format!("zone {name:?} is not in the tz database: give a name such as Europe/London")
    })
}

fn parse_iso8601(text: &str, zone: Option<Tz>) -> Result<TimestampMicros, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.timestamp_micros());
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| text.parse::<NaiveDate>().ok().map(NaiveDateTime::from));
    match (local, zone) {
        (Some(local), Some(zone)) => Ok(instant(local, zone)),
        (Some(_), None) => Err(format!("{text:?} has no offset, and the mapping's time no zone")),
        (None, _) => Err(format!("{text:?} is not an ISO 8601 time")),
    }
}

fn unix(text: &str, micros_per_unit: i64) -> Result<TimestampMicros, String> {
    let number: i64 = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    number.checked_mul(micros_per_unit).ok_or_else(|| format!("{text:?} is beyond every calendar"))
}

fn instant(local: NaiveDateTime, zone: Tz) -> TimestampMicros {
    match zone.from_local_datetime(&local).earliest() {
        Some(at) => at.timestamp_micros(),
        None => {
            // In a gap. No zone changed its clock twice within these hours.
            let before = zone.offset_from_utc_datetime(&(local - Duration::hours(25))).fix();
            (local - before).and_utc().timestamp_micros()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tradewind_types::event::iso8601::format as utc;

    fn london(text: &str) -> String {
        let format = TimeFormat::new("%m/%d/%Y %H:%M", Some("Europe/London")).unwrap();
        utc(format.parse(text).unwrap())
    }

    #[test]
    fn a_uk_shop_is_an_hour_ahead_of_utc_in_summer_only() {
        assert_eq!(london("12/1/2010 8:26"), "2010-12-01T08:26:00.000000Z");
        assert_eq!(london("7/1/2011 8:26"), "2011-07-01T07:26:00.000000Z");
    }

    #[test]
    fn a_repeated_hour_is_the_first_of_the_two() {
        assert_eq!(london("10/30/2011 1:30"), "2011-10-30T00:30:00.000000Z");
        assert_eq!(london("10/30/2011 2:00"), "2011-10-30T02:00:00.000000Z");
    }

    #[test]
    fn a_skipped_hour_is_read_with_the_offset_before_it() {
        assert_eq!(london("3/27/2011 1:30"), "2011-03-27T01:30:00.000000Z");
        assert_eq!(london("3/27/2011 0:59"), "2011-03-27T00:59:00.000000Z");
        assert_eq!(london("3/27/2011 2:00"), "2011-03-27T01:00:00.000000Z");
    }

    #[test]
    fn other_ways_of_writing_time() {
        let parse = |format: &str, zone: Option<&str>, text: &str| {
            utc(TimeFormat::new(format, zone).unwrap().parse(text).unwrap())
        };
        assert_eq!(parse("unix_seconds", None, "1291191960"), "2010-12-01T08:26:00.000000Z");
        assert_eq!(parse("unix_milliseconds", None, "-1"), "1969-12-31T23:59:59.999000Z");
        assert_eq!(
            parse("iso8601", None, "2010-12-01T09:26:00+01:00"),
            "2010-12-01T08:26:00.000000Z"
        );
        assert_eq!(
            parse("iso8601", Some("Asia/Tokyo"), "2010-12-01 09:00:00"),
            "2010-12-01T00:00:00.000000Z"
        );
        assert_eq!(
            parse("%d/%b/%Y:%H:%M:%S %z", None, "01/Dec/2010:09:26:00 +0100"),
            "2010-12-01T08:26:00.000000Z"
        );
        assert_eq!(parse("%Y-%m-%d", Some("UTC"), "2010-12-01"), "2010-12-01T00:00:00.000000Z");
    }

    #[test]
    fn a_clock_without_a_zone_is_refused() {
        let error = TimeFormat::new("%m/%d/%Y %H:%M", None).unwrap_err();
        assert!(error.contains("zone"), "{error}");
        assert!(TimeFormat::new("%m/%d/%Y", Some("London")).is_err());
        assert!(TimeFormat::new("iso8601", None).unwrap().parse("2010-12-01 09:00:00").is_err());
    }
}
