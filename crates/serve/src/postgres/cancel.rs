//! Ending another connection's statement: who may, and how the statement learns of it.
//!
//! Guarantees: only who knows the secret of a connection can end its statement; a request that
//! comes between two statements ends neither.
//! Left out: what the statement does then.

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngCore;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The connections whose statements can be ended, by number.
#[derive(Debug, Default)]
pub(crate) struct Cancels(Mutex<HashMap<i32, (u32, Arc<Flag>)>>);

/// Whether one connection's statement is to end.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    raised: AtomicBool,
    changed: Notify,
}

impl Flag {
    /// Forgets what was asked before.
    pub(crate) fn lower(&self) {
        self.raised.store(false, Ordering::Release);
    }

    /// Waits until it is asked for.
    pub(crate) async fn raised(&self) {
        loop {
            let changed = self.changed.notified();
            if self.raised.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// A connection's entry; it goes when the connection does.
pub(crate) struct Registered {
    pub(crate) process: i32,
    pub(crate) secret: u32,
    pub(crate) flag: Arc<Flag>,
    cancels: Arc<Cancels>,
}

impl Cancels {
    /// Enters a connection under a free number and a secret.
    pub(crate) fn register(self: &Arc<Self>) -> Registered {
        let mut random = rand::rng();
        let (secret, flag) = (random.next_u32(), Arc::<Flag>::default());
        let mut all = self.0.lock();
        let process = loop {
            let number = (random.next_u32() >> 1) as i32;
            if number > 0 && !all.contains_key(&number) {
                break number;
            }
        };
        all.insert(process, (secret, Arc::clone(&flag)));
        Registered { process, secret, flag, cancels: Arc::clone(self) }
    }

    /// Ends a connection's statement, if the secret is its own.
    pub(crate) fn cancel(&self, process: i32, secret: &Bytes) {
        let all = self.0.lock();
        let Some((known, flag)) = all.get(&process) else { return };
        // Without telling by the time it takes how much of it is right.
        let given: [u8; 4] = match secret[..].try_into() {
            Ok(given) => given,
            Err(_) => return,
        };
        if known.to_be_bytes().iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b)) == 0 {
            flag.raise();
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.cancels.0.lock().remove(&self.process);
    }
}
