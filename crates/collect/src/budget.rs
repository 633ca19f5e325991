//! A bound on bytes that are being worked on.
//!
//! Guarantees: what is reserved exceeds the limit only where one request alone does (requests
//! have bounds of their own, and one too large would otherwise be told to come back for ever); it
//! comes back when the last holder of a [`Reservation`] is gone, whatever became of its request.
//! Left out: waiting. Whoever finds no room tells its client to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be in use at once.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// A reservation of nothing, to grow.
    pub(crate) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for a request that has `own` already.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let room =
            |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit || used == own);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

/// Bytes in use by one request.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Reservation {
    /// Takes `bytes` more; false, and nothing taken, when there is no room.
    pub(crate) fn grow(&self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes, self.bytes.load(Ordering::Relaxed));
        if taken {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        taken
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_and_never_exceeds_the_limit() {
        let budget = Budget::new(10);
        let one = budget.reservation();
        let two = budget.reservation();
        assert!(one.grow(6) && !two.grow(5) && two.grow(4) && !one.grow(1));
        assert!(!two.grow(usize::MAX));
        drop(one);
        assert_eq!(budget.used(), 4);
        assert!(two.grow(60), "alone, it may pass the limit");
        assert!(!budget.reservation().grow(1));
        drop(two);
        assert_eq!(budget.used(), 0);
    }
}
