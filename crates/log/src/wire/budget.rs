//! Bytes shared by all connections: nothing large is held without a charge here.
//!
//! Guarantees: charges together never exceed the budget by more than one holder's, the holder of
//! the overdraft. Without it, connections that each hold part of a request and wait for the rest
//! of the budget would wait for each other; with it, one of them can always finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// A number of bytes many connections draw on.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
    waiting: Arc<AtomicUsize>,
}

/// What one request or answer holds of a [`Budget`]; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedMutexGuard<()>>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            bytes: Arc::new(Semaphore::new(bytes)),
            overdraft: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// Adds `bytes` to `charge`, waiting until they, or the overdraft, are free. Nothing is held
    /// by a call that is dropped while it waits.
    pub(crate) async fn charge(&self, charge: &mut Charge, bytes: usize) {
        if self.try_charge(charge, bytes) {
            return;
        }
        let _waiting = Waiting::new(&self.waiting);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            permit = Arc::clone(&self.bytes).acquire_many_owned(bytes) => {
                charge.add(permit.expect("the semaphore is never closed"));
            }
            guard = Arc::clone(&self.overdraft).lock_owned() => charge.overdraft = Some(guard),
        }
    }

    /// As [`Budget::charge`], without waiting: false when there is no room now.
    pub(crate) fn try_charge(&self, charge: &mut Charge, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if charge.overdraft.is_some() {
            return true;
        }
        match Arc::clone(&self.bytes).try_acquire_many_owned(bytes) {
            Ok(permit) => charge.add(permit),
            Err(_) => return false,
        }
        true
    }

    /// As [`Budget::charge`], but takes less when there is less: the halves of `bytes` down to
    /// `least`, which it waits for. Answers how many it took.
    pub(crate) async fn charge_up_to(
        &self,
        charge: &mut Charge,
        bytes: usize,
        least: usize,
    ) -> usize {
        let mut wanted = bytes;
        while wanted > least {
            if self.try_charge(charge, wanted) {
                return wanted;
            }
            wanted /= 2;
        }
        let wanted = bytes.min(least);
        self.charge(charge, wanted).await;
        wanted
    }

    /// Whether somebody waits for room: who holds some and makes no use of it should go.
    pub(crate) fn pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    #[cfg(test)]
    fn left(&self) -> usize {
        self.bytes.available_permits()
    }
}

/// Counts one who waits for room, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Charge {
    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(held) = &mut self.permit {
            drop(held.split(held.num_permits().saturating_sub(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn charges_add_up_shrink_and_come_back() {
        let budget = Budget::new(100);
        let mut charge = Charge::default();
        budget.charge(&mut charge, 30).await;
        budget.charge(&mut charge, 50).await;
        assert_eq!(budget.left(), 20);
        charge.shrink_to(10);
        assert_eq!(budget.left(), 90);
        drop(charge);
        assert_eq!(budget.left(), 100);
    }

    #[tokio::test]
    async fn one_holder_may_overdraw_and_the_next_waits() {
        let budget = Budget::new(10);
        let (mut first, mut second, mut third) = Default::default();
        budget.charge(&mut first, 8).await;
        budget.charge(&mut second, 8).await;
        let waiting = budget.charge(&mut third, 8);
        assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
        assert!(!budget.pressed(), "who stopped waiting does not count");
        drop(second);
        budget.charge(&mut third, 8).await;
        assert_eq!(budget.left(), 2, "the overdraft is not drawn from the budget");
    }

    #[tokio::test]
    async fn who_takes_less_gets_what_there_is() {
        let budget = Budget::new(100);
        let (mut first, mut second, mut third) = Default::default();
        assert_eq!(budget.charge_up_to(&mut first, 64, 8).await, 64);
        assert_eq!(budget.charge_up_to(&mut second, 64, 8).await, 32);
        assert_eq!(budget.charge_up_to(&mut third, 4, 8).await, 4);
        assert_eq!(budget.left(), 0);
    }
}
