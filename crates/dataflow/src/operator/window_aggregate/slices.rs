//! From event times to windows, and from windows to columns.

use crate::{DataflowError, WATERMARK_NONE, Watermark, WindowSpec};
use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use std::sync::Arc;

/// Flink counts in milliseconds: a window's last one is its `window_time`.
const MILLISECOND_US: i64 = 1_000;
/// Zones change their offset at quarters of an hour; where one has not, both ends of a quarter
/// have the same offset all the same, or the quarter is not kept.
const QUARTER_US: i64 = 900_000_000;

/// A window on the wall clock, in microseconds; windows are ordered by their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Window {
    pub(crate) end: i64,
    pub(crate) start: i64,
}

/// The slices of event times, most of which are in the slice of the one before.
pub(crate) struct SliceEnds {
    spec: WindowSpec,
    /// From where to where on the wall clock the last slice goes.
    last: (i64, i64),
    /// A quarter of an hour in event time and what the wall clock is ahead in it.
    quarter: (i64, i64),
}

impl SliceEnds {
    pub(crate) fn new(spec: WindowSpec) -> Self {
        Self { spec, last: (0, 0), quarter: (i64::MIN, 0) }
    }

    /// The end of the slice of an event time, on the wall clock.
    #[inline]
    pub(crate) fn of(&mut self, time: i64) -> i64 {
        let local = if self.spec.zone.is_some() { self.local(time) } else { time };
        if local < self.last.0 || local >= self.last.1 {
            let end = self.spec.slice_end(local);
            self.last = (end.saturating_sub(self.spec.slide_us), end);
        }
        self.last.1
    }

    fn local(&mut self, time: i64) -> i64 {
        let quarter = time.div_euclid(QUARTER_US);
        if quarter == self.quarter.0 {
            return time.saturating_add(self.quarter.1);
        }
        let start = quarter.saturating_mul(QUARTER_US);
        let last = start.saturating_add(QUARTER_US - 1);
        let ahead = self.spec.local(start).saturating_sub(start);
        if ahead != self.spec.local(last).saturating_sub(last) {
            return self.spec.local(time);
        }
        self.quarter = (quarter, ahead);
        time.saturating_add(ahead)
    }
}

/// The least watermark at which a window with this wall-clock end is complete.
pub(crate) fn complete_at(spec: &WindowSpec, end: i64) -> Watermark {
    spec.instant(end).max(WATERMARK_NONE + 1)
}

/// Up to which window end a stream that is complete up to `watermark` has given all windows, on
/// the wall clock; `None` where it has given none.
pub(crate) fn last_complete(spec: &WindowSpec, watermark: Watermark) -> Option<i64> {
    if watermark == WATERMARK_NONE {
        return None;
    }
    let near = spec.slice_end(spec.local(watermark));
    if !(i64::MIN / 2..i64::MAX / 2).contains(&near) {
        return Some(near);
    }
    let mut end = near - spec.slide_us;
    while !spec.is_complete(end, watermark) {
        end -= spec.slide_us;
    }
    while spec.is_complete(end + spec.slide_us, watermark) {
        end += spec.slide_us;
    }
    Some(end)
}

/// Event times as numbers, in microseconds.
pub(crate) fn times(column: &ArrayRef) -> Result<Int64Array, DataflowError> {
    let micros = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.clone(),
        DataType::Timestamp(_, zone) => {
            cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
        }
        other => return Err(DataflowError::Internal(format!("event times of type {other}"))),
    };
    Ok(micros.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
}

/// The columns `window_start`, `window_end`, `window_time` as the schema has them from its column
/// `first` on.
pub(crate) fn window_columns(
    spec: &WindowSpec,
    starts: &[i64],
    ends: &[i64],
    schema: &SchemaRef,
    first: usize,
) -> Result<[ArrayRef; 3], DataflowError> {
    let column = |values: Vec<i64>, place: usize| -> Result<ArrayRef, DataflowError> {
        let wanted = schema.field(first + place).data_type();
        let DataType::Timestamp(_, zone) = wanted else {
            return Err(DataflowError::Internal(format!("a window's time as {wanted}")));
        };
        let column = TimestampMicrosecondArray::from(values).with_timezone_opt(zone.clone());
        Ok(cast(&(Arc::new(column) as ArrayRef), wanted)?)
    };
    let is_instant = matches!(schema.field(first + 2).data_type(), DataType::Timestamp(_, Some(_)));
    let mut last = None;
    let time = |end: &i64| match last {
        Some((known, time)) if known == *end => time,
        _ => {
            let instant = if is_instant { spec.instant(*end) } else { *end };
            let time = instant.saturating_sub(MILLISECOND_US);
            last = Some((*end, time));
            time
        }
    };
    let times = ends.iter().map(time).collect();
    Ok([column(starts.to_vec(), 0)?, column(ends.to_vec(), 1)?, column(times, 2)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WATERMARK_END;

    const HOUR: i64 = 3_600_000_000;

    /// Through a year with both changes of the clock.
    #[test]
    fn slices_are_those_of_the_window_and_none_is_complete_too_early() {
        for zone in [None, Some(chrono_tz::Europe::Berlin), Some(chrono_tz::Australia::Lord_Howe)] {
            let spec = WindowSpec { size_us: HOUR, slide_us: HOUR / 4, offset_us: 7, zone };
            let mut ends = SliceEnds::new(spec);
            let mut time = 1_700_000_000_000_000;
            for _ in 0..9_000 {
                time += HOUR + 1_234_567;
                assert_eq!(ends.of(time), spec.slice_end(spec.local(time)));
                let last = last_complete(&spec, time).unwrap_or(i64::MAX);
                assert!(spec.is_complete(last, time));
                assert!(!spec.is_complete(last + spec.slide_us, time));
            }
            assert_eq!(last_complete(&spec, WATERMARK_NONE), None);
            assert!(last_complete(&spec, WATERMARK_END).is_some_and(|end| end > i64::MAX / 2));
        }
    }
}
