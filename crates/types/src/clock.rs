//! Time as a dependency, so that a whole run replays from one seed.
//!
//! Guarantees: an instant is microseconds since 1970-01-01T00:00:00Z, everywhere.
//! Left out: calendars and zones, which matter only to casts and calendar functions in SQL.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, UTC.
pub type TimestampMicros = i64;

/// Where "now" comes from. Production hands in [`SystemClock`], tests a [`ManualClock`].
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in microseconds since the Unix epoch. May jump in either direction: no caller may
    /// derive order or uniqueness from it.
    fn now_us(&self) -> TimestampMicros;

    /// Now, in milliseconds since the Unix epoch (Kafka's unit).
    fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1_000)
    }
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> TimestampMicros {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_micros() as i64,
            Err(before) => -(before.duration().as_micros() as i64),
        }
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `now_us`.
    pub fn at(now_us: TimestampMicros) -> Self {
        Self(AtomicI64::new(now_us))
    }

    /// Moves the clock by `delta_us`, which may be negative: clocks jump.
    pub fn advance_us(&self, delta_us: i64) {
        self.0.fetch_add(delta_us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> TimestampMicros {
        self.0.load(Ordering::SeqCst)
    }
}
