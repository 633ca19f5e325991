//! What each operator of an executor has done since it was made, for people.
//!
//! Guarantees: counted by batch, never by row; what is counted decides nothing.
//! Left out: what is kept between runs, and who is told.

use super::Executor;
use crate::{WATERMARK_END, WATERMARK_NONE, Watermark};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One operator's counters. Workers share them; all orders are relaxed, since each number stands
/// for itself.
#[derive(Debug, Default)]
pub(super) struct Meter {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    rows_late: AtomicU64,
    busy_ns: AtomicU64,
}

/// What an operator has done since its executor was made, and what it keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatorWork {
    /// Rows that came to it, changes counted each.
    pub rows_in: u64,
    /// Rows it gave, changes counted each; a sink hands out what comes in.
    pub rows_out: u64,
    /// Rows that came after their windows.
    pub rows_late: u64,
    /// How long it worked, all workers together: more than the time that has passed where several
    /// work at once.
    pub busy: Duration,
    /// Workers that have a part of its state; 0 without state.
    pub workers: usize,
    /// Keys it keeps.
    pub state_rows: usize,
    /// Bytes of them in memory, about.
    pub state_bytes: usize,
    /// Up to where its input is complete, in microseconds since the Unix epoch; `None` without
    /// event time, before the first row and after the last.
    pub watermark: Option<Watermark>,
}

impl Meter {
    pub(super) fn came(&self, rows: usize) {
        self.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn gave(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn late(&self, rows: usize) {
        self.rows_late.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Does something and adds how long it took.
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(took, Ordering::Relaxed);
        done
    }

    fn read(&self) -> OperatorWork {
        OperatorWork {
            rows_in: self.rows_in.load(Ordering::Relaxed),
            rows_out: self.rows_out.load(Ordering::Relaxed),
            rows_late: self.rows_late.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed)),
            ..OperatorWork::default()
        }
    }
}

impl Executor {
    /// What each operator has done and keeps, in the order of the graph's nodes. Between ticks
    /// only.
    pub fn work(&mut self) -> Vec<OperatorWork> {
        let mut all = Vec::with_capacity(self.states.len());
        for (node, states) in self.states.iter_mut().enumerate() {
            let mut work = self.router.meters[node].read();
            work.workers = states.len();
            for state in states {
                work.state_rows += state.worker().keys();
                work.state_bytes += state.worker().bytes();
            }
            let known = ![WATERMARK_NONE, WATERMARK_END].contains(&self.complete[node]);
            work.watermark = known.then_some(self.complete[node]);
            all.push(work);
        }
        all
    }
}
