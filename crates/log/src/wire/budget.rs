//! Bytes shared by all connections: nothing large is held without a charge here.
//!
//! Guarantees: charges together never exceed the budget by more than one holder's, the holder of
//! the overdraft. Without it, connections that each hold part of a request and wait for the rest
//! of the budget would wait for each other; with it, one of them can always finish.

use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// A number of bytes many connections draw on.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
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
        Self { bytes: Arc::new(Semaphore::new(bytes)), overdraft: Arc::default() }
    }

    /// Adds `bytes` to `charge`, waiting until they, or the overdraft, are free. Nothing is held
    /// by a call that is dropped while it waits.
    pub(crate) async fn charge(&self, charge: &mut Charge, bytes: usize) {
        if charge.overdraft.is_some() {
            return;
        }
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

    #[cfg(test)]
    fn left(&self) -> usize {
        self.bytes.available_permits()
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
        drop(second);
        budget.charge(&mut third, 8).await;
        assert_eq!(budget.left(), 2, "the overdraft is not drawn from the budget");
    }
}
