//! Parts of a time: `EXTRACT`, `YEAR` to `SECOND`, `FLOOR(t TO unit)`, `CEIL(t TO unit)`,
//! `TIMESTAMPADD` and `TIMESTAMPDIFF`.
//!
//! Guarantees: an instant is looked at in the session's zone; weeks of `EXTRACT` are ISO's, those
//! of `FLOOR` start on Sunday, as in Flink; before 1970 all parts are of the calendar.
//! Left out: intervals.

use super::function::{BIGINT, Call, Function, Gives, INT, Kernel, Takes};
use super::pattern::weekday;
use crate::text::{civil, days};
use crate::typing::cast::{to_instant, to_local};
use arrow_array::types::Date32Type;
use arrow_array::{Array, ArrayRef, Int32Array, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion::arrow::compute;
use datafusion::common::{Result as PlanResult, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
const DAY: i64 = 86_400 * SECOND;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut all = vec![
        Function::new("extract", &[Takes::Text, Takes::Time], BIGINT, |call| {
            part_of(call, 1, |call| Unit::parse(call.text(0).constant()))
        })
        .shared(),
        round("floor_time", |call| rounded(call, false)),
        round("ceil_time", |call| rounded(call, true)),
        timestampadd(),
        timestampdiff(),
    ];
    let parts: [(&'static str, Kernel); 10] = [
        ("year", |call| part_of(call, 0, |_| Ok(Unit::Year))),
        ("quarter", |call| part_of(call, 0, |_| Ok(Unit::Quarter))),
        ("month", |call| part_of(call, 0, |_| Ok(Unit::Month))),
        ("week", |call| part_of(call, 0, |_| Ok(Unit::Week))),
        ("dayofyear", |call| part_of(call, 0, |_| Ok(Unit::DayOfYear))),
        ("dayofmonth", |call| part_of(call, 0, |_| Ok(Unit::Day))),
        ("dayofweek", |call| part_of(call, 0, |_| Ok(Unit::DayOfWeek))),
        ("hour", |call| part_of(call, 0, |_| Ok(Unit::Hour))),
        ("minute", |call| part_of(call, 0, |_| Ok(Unit::Minute))),
        ("second", |call| part_of(call, 0, |_| Ok(Unit::Second))),
    ];
    all.extend(
        parts.map(|(name, kernel)| Function::new(name, &[Takes::Time], BIGINT, kernel).shared()),
    );
    all
}

/// A unit of time, or a part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Epoch,
}

impl Unit {
    fn parse(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name else { return Err("the unit must be a constant".into()) };
        let name = name.to_ascii_uppercase();
        Ok(match name.as_str() {
            "MICROSECOND" | "MICROSECONDS" => Self::Microsecond,
            "MILLISECOND" | "MILLISECONDS" => Self::Millisecond,
            "SECOND" | "SECONDS" => Self::Second,
            "MINUTE" | "MINUTES" => Self::Minute,
            "HOUR" | "HOURS" => Self::Hour,
            "DAY" | "DAYS" | "DAYOFMONTH" => Self::Day,
            "WEEK" | "WEEKS" => Self::Week,
            "MONTH" | "MONTHS" => Self::Month,
            "QUARTER" | "QUARTERS" => Self::Quarter,
            "YEAR" | "YEARS" => Self::Year,
            "DECADE" => Self::Decade,
            "CENTURY" => Self::Century,
            "MILLENNIUM" | "MILLENIUM" => Self::Millennium,
            "DOW" | "DAYOFWEEK" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "DOY" | "DAYOFYEAR" => Self::DayOfYear,
            "ISOYEAR" => Self::IsoYear,
            "EPOCH" => Self::Epoch,
            _ => return Err(format!("there is no unit {name}")),
        })
    }

    /// Of local microseconds.
    fn of(self, time: i64) -> i64 {
        let (day, of_day) = (time.div_euclid(DAY), time.rem_euclid(DAY));
        let (year, month, of_month) = civil(day);
        let up = |years: i64| if year > 0 { (year + years - 1) / years } else { year / years };
        match self {
            Self::Microsecond => of_day % SECOND,
            Self::Millisecond => of_day % SECOND / 1000,
            Self::Second => of_day / SECOND % 60,
            Self::Minute => of_day / (60 * SECOND) % 60,
            Self::Hour => of_day / (3600 * SECOND),
            Self::Day => of_month,
            Self::Week => iso_week(day).1,
            Self::Month => month,
            Self::Quarter => (month + 2) / 3,
            Self::Year => year,
            Self::Decade => year.div_euclid(10),
            Self::Century => up(100),
            Self::Millennium => up(1000),
            Self::DayOfWeek => weekday(day) + 1,
            Self::IsoDayOfWeek => (weekday(day) + 6) % 7 + 1,
            Self::DayOfYear => day - days(year, 1, 1) + 1,
            Self::IsoYear => iso_week(day).0,
            Self::Epoch => time.div_euclid(SECOND),
        }
    }

    /// Microseconds, where the unit always has the same.
    fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1000,
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            _ => return None,
        })
    }

    /// Months, where the unit is made of them.
    fn months(self) -> Option<i64> {
        Some(match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
            Self::Decade => 120,
            Self::Century => 1200,
            Self::Millennium => 12_000,
            _ => return None,
        })
    }

    /// The start of the unit that holds `time`, or of the next where it is not the start itself.
    fn round(self, time: i64, up: bool) -> Option<i64> {
        if self == Self::Week {
            let day = time.div_euclid(DAY);
            let start = (day - weekday(day)) * DAY;
            return Some(if up && start < time { start + 7 * DAY } else { start });
        }
        if let Some(unit) = self.micros() {
            let start = time.div_euclid(unit) * unit;
            return Some(if up && start < time { start + unit } else { start });
        }
        let unit = self.months()?;
        let (year, month, _) = civil(time.div_euclid(DAY));
        let index = year * 12 + month - 1;
        // Centuries and millennia begin with the year 1.
        let shift = if unit > 120 { 12 } else { 0 };
        let start = (index - shift).div_euclid(unit) * unit + shift;
        let micros = |index: i64| days(index.div_euclid(12), index.rem_euclid(12) + 1, 1) * DAY;
        Some(if up && micros(start) < time { micros(start + unit) } else { micros(start) })
    }

    /// `time` and `count` units.
    fn add(self, time: i64, count: i64) -> Option<i64> {
        match (self.micros(), self.months()) {
            (Some(unit), _) => time.checked_add(unit.checked_mul(count)?),
            (_, Some(months)) => {
                let day = add_months(time.div_euclid(DAY), months.checked_mul(count)?)?;
                day.checked_mul(DAY)?.checked_add(time.rem_euclid(DAY))
            }
            _ => None,
        }
    }

    /// Whole units from `from` to `to`.
    fn between(self, from: i64, to: i64) -> Option<i64> {
        match (self.micros(), self.months()) {
            (Some(unit), _) => Some(to.checked_sub(from)? / unit),
            (_, Some(months)) => Some(months_between(from, to)? / months),
            _ => None,
        }
    }
}

/// ISO's week-based year and week.
fn iso_week(day: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let thursday = day - (weekday(day) + 6) % 7 + 3;
    let year = civil(thursday).0;
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// The same day some months on, or the last of that month.
fn add_months(day: i64, count: i64) -> Option<i64> {
    let (year, month, of_month) = civil(day);
    let index = (year * 12 + month - 1).checked_add(count)?;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
    let next = index + 1;
    let first = days(year, month, 1);
    let length = days(next.div_euclid(12), next.rem_euclid(12) + 1, 1) - first;
    Some(first + of_month.min(length) - 1)
}

/// As many months as can be added to the earlier day without passing the later; one less where that
/// meets the day of `to` and its time of day is before that of `from`.
fn months_between(from: i64, to: i64) -> Option<i64> {
    let (start, end) = (from.div_euclid(DAY), to.div_euclid(DAY));
    let (sign, early, late) = if start <= end { (1, start, end) } else { (-1, end, start) };
    let months = |day: i64| {
        let (year, month, _) = civil(day);
        year * 12 + month
    };
    let mut count = months(late) - months(early);
    if add_months(early, count)? > late {
        count -= 1;
    }
    let count = sign * count;
    let is_short = add_months(start, count)? == end && to.rem_euclid(DAY) < from.rem_euclid(DAY);
    Some(count - i64::from(is_short))
}

fn part_of(
    call: &Call<'_>,
    index: usize,
    unit: impl Fn(&Call<'_>) -> Result<Unit, String>,
) -> Result<ArrayRef, String> {
    let (unit, times) = (unit(call)?, call.local(index)?);
    call.longs(|row| Ok(times.get(row).map(|time| unit.of(time))))
}

/// `FLOOR(t TO unit)` keeps the type of `t`.
fn round(name: &'static str, kernel: Kernel) -> Arc<ScalarUDF> {
    let gives = Gives::By(|types, _| match &types[0] {
        DataType::Timestamp(_, zone) => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        DataType::Date32 => Ok(DataType::Date32),
        other => plan_err!("FLOOR and CEIL to a unit take a time, not {}", crate::type_name(other)),
    });
    Function::new(name, &[Takes::Any, Takes::Text], gives, kernel).shared()
}

fn rounded(call: &Call<'_>, up: bool) -> Result<ArrayRef, String> {
    let unit = Unit::parse(call.text(1).constant())?;
    let of_a_day = unit.micros().is_some_and(|micros| micros < DAY);
    if of_a_day && matches!(call.column(0).data_type(), DataType::Timestamp(_, Some(_))) {
        // An hour that happens twice is two hours: the instant says which.
        let times = call.micros(0);
        let one = |instant: i64| {
            let local = to_local(instant, call.zone);
            Some(unit.round(local, up)? - (local - instant))
        };
        return call.times(|row| Ok(times.get(row).and_then(one)));
    }
    let times = dates_as_times(call, 0)?;
    finish(call, |row| Ok(times.get(row).and_then(|time| unit.round(time, up))))
}

/// Local times; dates as their midnight.
fn dates_as_times(call: &Call<'_>, index: usize) -> Result<super::function::Locals, String> {
    match call.column(index).data_type() {
        DataType::Date32 => {
            let days = arrow_array::cast::AsArray::as_primitive::<Date32Type>(call.column(index));
            let times: TimestampMicrosecondArray = days.unary(|day| i64::from(day) * DAY);
            Ok(call.locals(index, times))
        }
        _ => call.local(index),
    }
}

/// Local times in the type the function gives.
fn finish(
    call: &Call<'_>,
    body: impl Fn(usize) -> Result<Option<i64>, String>,
) -> Result<ArrayRef, String> {
    match call.gives {
        DataType::Timestamp(_, Some(_)) => {
            call.times(|row| Ok(body(row)?.map(|local| to_instant(local, call.zone))))
        }
        DataType::Timestamp(..) => call.times(body),
        _ => {
            let times = (0..call.rows).map(body);
            let times = times.collect::<Result<TimestampMicrosecondArray, _>>()?;
            compute::cast(&times, &DataType::Date32).map_err(|error| error.to_string())
        }
    }
}

fn timestampadd() -> Arc<ScalarUDF> {
    let takes = &[Takes::Text, Takes::Whole, Takes::Any];
    Function::new("timestampadd", takes, Gives::By(sum_type), |call| {
        let unit = Unit::parse(call.text(0).constant())?;
        let count = call.whole(1);
        let add = |row: usize, time: Option<i64>| {
            time.zip(count.get(row)).and_then(|(time, count)| unit.add(time, count))
        };
        // Days and months of an instant are those of UTC, as in Flink.
        if matches!(call.column(2).data_type(), DataType::Timestamp(_, Some(_))) {
            let times = call.micros(2);
            return call.times(|row| Ok(add(row, times.get(row))));
        }
        let times = dates_as_times(call, 2)?;
        finish(call, |row| Ok(add(row, times.get(row))))
    })
    .shared()
}

/// A date stays one but where hours or less are added.
fn sum_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let unit = match constants[0] {
        Some(ScalarValue::Utf8(unit)) => Unit::parse(unit.as_deref()).ok(),
        _ => None,
    };
    match (&types[2], unit.and_then(Unit::micros)) {
        (DataType::Date32, Some(micros)) if micros < DAY => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        (DataType::Date32, _) => Ok(DataType::Date32),
        (DataType::Timestamp(_, zone), _) => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        (other, _) => plan_err!("TIMESTAMPADD takes a time, not {}", crate::type_name(other)),
    }
}

fn timestampdiff() -> Arc<ScalarUDF> {
    let takes = &[Takes::Text, Takes::Any, Takes::Any];
    Function::new("timestampdiff", takes, INT, |call| {
        let unit = Unit::parse(call.text(0).constant())?;
        let instants = (1..3)
            .all(|index| matches!(call.column(index).data_type(), DataType::Timestamp(_, Some(_))));
        let count = |from: Option<i64>, to: Option<i64>| {
            let Some((from, to)) = from.zip(to) else { return Ok(None) };
            let Some(count) = unit.between(from, to) else { return Ok(None) };
            i32::try_from(count).map(Some).map_err(|_| format!("{count} does not fit INT"))
        };
        let counts: Result<Int32Array, String> = if instants {
            let (from, to) = (call.micros(1), call.micros(2));
            (0..call.rows).map(|row| count(from.get(row), to.get(row))).collect()
        } else {
            let (from, to) = (dates_as_times(call, 1)?, dates_as_times(call, 2)?);
            (0..call.rows).map(|row| count(from.get(row), to.get(row))).collect()
        };
        Ok(Arc::new(counts?))
    })
    .shared()
}
