//! How fast a replay sends.
//!
//! Guarantees: a paced replay catches up after a wait instead of falling behind for good; rows out
//! of order in the file are sent at once, never held back to the past.
//! Left out: precision below a millisecond, which no sleep gives.

use super::ReplayError;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tradewind_types::TimestampMicros;

/// The longest a row is made to wait: a date far off in the file must not end the replay.
const WAIT_SECONDS_MAX: f64 = 86_400.0;
/// Waits below this are not worth a sleep.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the server takes it.
    Max,
    /// Seconds of history in one second, by the events' own times.
    Factor(f64),
    /// Events a second.
    PerSecond(f64),
}

impl Speed {
    /// Whether it goes by the events' own times.
    pub fn needs_time(self) -> bool {
        matches!(self, Self::Factor(_))
    }
}

impl FromStr for Speed {
    type Err = ReplayError;

    /// Reads `max`, `60x` or `1000/s`.
    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let number = |digits: &str| {
            let number: f64 = digits.trim().parse().ok()?;
            (number.is_finite() && number > 0.0).then_some(number)
        };
        let speed = if text == "max" {
            Some(Self::Max)
        } else if let Some(digits) = text.strip_suffix('x') {
            number(digits).map(Self::Factor)
        } else {
            text.strip_suffix("/s").and_then(number).map(Self::PerSecond)
        };
        speed.ok_or_else(|| ReplayError::Speed {
            speed: text.to_owned(),
            reason:
                "give max, a factor of real time such as 60x, or events a second such as 1000/s"
                    .to_owned(),
        })
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => write!(to, "max"),
            Self::Factor(factor) => write!(to, "{factor}x"),
            Self::PerSecond(rate) => write!(to, "{rate}/s"),
        }
    }
}

/// When the next row is due.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    start: Option<(Instant, TimestampMicros)>,
    rows: u64,
}

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, start: None, rows: 0 }
    }

    /// When the next row is due; `None` when that is now.
    pub(super) fn due(&mut self, event_time: Option<TimestampMicros>) -> Option<Instant> {
        let now = Instant::now();
        let (start, first) = *self.start.get_or_insert((now, event_time.unwrap_or(0)));
        let seconds = match self.speed {
            Speed::Max => return None,
            Speed::Factor(factor) => (event_time? - first) as f64 / 1e6 / factor,
            Speed::PerSecond(rate) => self.rows as f64 / rate,
        };
        self.rows += 1;
        let due = start + Duration::from_secs_f64(seconds.clamp(0.0, WAIT_SECONDS_MAX));
        (due.saturating_duration_since(now) >= WAIT_MIN).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn speeds_are_read_as_people_write_them() {
        assert_eq!("max".parse::<Speed>().unwrap(), Speed::Max);
        assert_eq!("60x".parse::<Speed>().unwrap(), Speed::Factor(60.0));
        assert_eq!("0.5x".parse::<Speed>().unwrap(), Speed::Factor(0.5));
        assert_eq!("1000/s".parse::<Speed>().unwrap(), Speed::PerSecond(1000.0));
        for bad in ["", "fast", "0x", "-1/s", "x", "1000", "infx"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_of_the_past_are_due_now() {
        let mut pace = Pace::new(Speed::Factor(60.0));
        assert!(pace.due(Some(1_000_000_000)).is_none());
        let due = pace.due(Some(1_000_000_000 + 600_000_000)).unwrap();
        let wait = due.saturating_duration_since(Instant::now());
        assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(10));
        assert!(pace.due(Some(0)).is_none());
    }
}
