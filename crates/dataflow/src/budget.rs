//! How much memory the state of several executors may take together.
//!
//! Guarantees: an executor that grows gives way until all fit, or until it holds no more than a
//! quarter of an even share: one that stands still keeps what it has, and none is starved by it.
//! Together they therefore take at most 1.25 times the bound, and what one tick adds.
//! Left out: what gives way.

use crate::DataflowError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The least an executor may keep whatever others hold, as a part of an even share.
const FLOOR_PART: usize = 4;

/// A bound that several executors share.
#[derive(Debug)]
pub struct StateBudget {
    state_bytes_max: usize,
    view_bytes_max: usize,
    state_bytes: AtomicUsize,
    view_bytes: AtomicUsize,
    holders: AtomicUsize,
}

impl StateBudget {
    /// At most `state_bytes_max` for what operators keep, beyond which it is evicted, and
    /// `view_bytes_max` for the rows of materialized views, which cannot be.
    pub fn new(state_bytes_max: usize, view_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            state_bytes_max,
            view_bytes_max,
            state_bytes: AtomicUsize::new(0),
            view_bytes: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
        })
    }

    /// No bound.
    pub fn unbounded() -> Arc<Self> {
        Self::new(usize::MAX, usize::MAX)
    }

    /// Bytes of state in memory, of all executors, as of their last ticks.
    pub fn state_bytes(&self) -> usize {
        self.state_bytes.load(Ordering::Relaxed)
    }
}

/// What one executor holds of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<StateBudget>,
    state: usize,
    views: usize,
}

impl Share {
    pub(crate) fn new(budget: Arc<StateBudget>) -> Self {
        budget.holders.fetch_add(1, Ordering::Relaxed);
        Self { budget, state: 0, views: 0 }
    }

    /// Says how much is held now.
    pub(crate) fn set(&mut self, state: usize, views: usize) {
        let moved = |total: &AtomicUsize, from: usize, to: usize| {
            // Wrapping: the sum is right whatever the order.
            total.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
        };
        moved(&self.budget.state_bytes, self.state, state);
        moved(&self.budget.view_bytes, self.views, views);
        (self.state, self.views) = (state, views);
    }

    /// How many bytes of state this executor may hold.
    pub(crate) fn state_bytes_max(&self) -> usize {
        let budget = &self.budget;
        let others = budget.state_bytes().saturating_sub(self.state);
        let holders = budget.holders.load(Ordering::Relaxed).max(1);
        let floor = budget.state_bytes_max / (FLOOR_PART * holders);
        budget.state_bytes_max.saturating_sub(others).max(floor)
    }

    /// Whether the rows of views fit.
    ///
    /// # Errors
    /// They do not.
    pub(crate) fn check_views(&self) -> Result<(), DataflowError> {
        let all = self.budget.view_bytes.load(Ordering::Relaxed);
        if self.views == 0 || all <= self.budget.view_bytes_max {
            return Ok(());
        }
        Err(DataflowError::ViewsTooLarge {
            own: self.views,
            all,
            bytes_max: self.budget.view_bytes_max,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0, 0);
        self.budget.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stands_still_leaves_the_others_a_quarter_of_their_share() {
        let budget = StateBudget::new(800, 100);
        let (mut idle, mut busy) = (Share::new(budget.clone()), Share::new(budget.clone()));
        idle.set(300, 0);
        busy.set(700, 0);
        assert_eq!((idle.state_bytes_max(), busy.state_bytes_max()), (100, 500));
        idle.set(800, 0);
        assert_eq!(busy.state_bytes_max(), 100);
        drop(idle);
        assert_eq!((budget.state_bytes(), busy.state_bytes_max()), (700, 800));
    }

    #[test]
    fn views_that_do_not_fit_are_named_with_the_bound() {
        let budget = StateBudget::new(0, 100);
        let mut share = Share::new(budget.clone());
        let mut other = Share::new(budget);
        share.set(0, 60);
        assert!(share.check_views().is_ok());
        other.set(0, 41);
        let error = other.check_views().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("process.view_memory_bytes"), "{error}");
    }
}
