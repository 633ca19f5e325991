//! What happens to transactions without anybody asking.
//!
//! Guarantees: a transaction that is open for longer than it said is aborted and its producer
//! fenced; what is prepared is finished; ids nobody uses are forgotten, durably. One round does a
//! bounded amount of each. Left out: a thread of its own; the port runs it.

use super::{Coordinator, Entry};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// Transactions one round aborts, finishes and forgets at most, of each.
const ROUND_MAX: usize = 100;

impl Coordinator {
    /// Looks after the transactions until the caller stops it.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            // What went wrong said so; the next round tries again.
            let _ = self.sweep().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// One round.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<(), super::TransactionError> {
        self.load().await?;
        let now_ms = self.clock.now_ms();
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        let (mut overdue, mut prepared, mut expired) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            let state = entry.state.lock();
            let transaction = &state.transaction;
            let into = if state.pending || state.finishing || state.removed {
                continue;
            } else if transaction.overdue(now_ms) {
                &mut overdue
            } else if transaction.phase.prepared() {
                &mut prepared
            } else if transaction.expired(self.settings.id_expiration_ms, now_ms) {
                &mut expired
            } else {
                continue;
            };
            drop(state);
            if into.len() < ROUND_MAX {
                into.push(entry);
            }
        }
        for entry in overdue {
            self.abort_overdue(&entry, now_ms).await;
        }
        prepared.iter().for_each(|entry| self.finish_soon(entry));
        for entry in expired {
            self.forget(&entry, now_ms).await;
        }
        self.rewrite_if_due().await.inspect_err(
            |error| tracing::warn!(%error, "the transactions' topic could not be written anew"),
        )
    }

    async fn abort_overdue(self: &Arc<Self>, entry: &Arc<Entry>, now_ms: i64) {
        let next = {
            let mut state = entry.state.lock();
            if state.pending || !state.transaction.overdue(now_ms) {
                return;
            }
            state.pending = true;
            state.transaction.fenced(now_ms)
        };
        tracing::info!(transactional_id = %entry.id, timeout_ms = next.timeout_ms, "a transaction was open for too long and is aborted");
        if let Err(error) = self.change(entry, next).await {
            tracing::warn!(transactional_id = %entry.id, %error, "a transaction that is overdue could not be aborted");
        }
    }

    async fn forget(&self, entry: &Arc<Entry>, now_ms: i64) {
        {
            let mut state = entry.state.lock();
            let expired = state.transaction.expired(self.settings.id_expiration_ms, now_ms);
            if state.pending || !expired {
                return;
            }
            state.pending = true;
        }
        // What went wrong is tried again by the next round.
        let _ = self.remove(entry).await;
    }

    /// Forgets an id, durably. Called with the entry pending.
    pub(super) async fn remove(&self, entry: &Arc<Entry>) -> Result<(), super::TransactionError> {
        let _writing = self.writing.read().await;
        let forgotten = self.write(&entry.id, None).await;
        let mut entries = self.entries.lock();
        let mut state = entry.state.lock();
        state.pending = false;
        if forgotten.is_ok() {
            state.removed = true;
            entries.remove(&entry.id);
        }
        forgotten
    }
}
