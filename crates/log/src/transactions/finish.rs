//! The markers of a transaction that is decided, and then its completion.
//!
//! Guarantees: complete is written only after every marker is durable and the listeners were told;
//! what fails stays prepared and is tried again by the sweep. Left out: when (change, sweep).

use super::{Coordinator, Entry, Marker, OFFSETS_TOPIC, Phase, Place, Transaction};
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use tradewind_types::LogError;

/// Markers of one transaction on their way at a time: each may wait for an fsync of its own.
const MARKERS_IN_FLIGHT: usize = 64;

impl Coordinator {
    /// Has a task finish a prepared transaction, unless one does already.
    pub(super) fn finish_soon(self: &Arc<Self>, entry: &Arc<Entry>) {
        {
            let mut state = entry.state.lock();
            if state.finishing || state.pending || !state.transaction.phase.prepared() {
                return;
            }
            state.finishing = true;
        }
        let (this, entry) = (Arc::clone(self), Arc::clone(entry));
        tokio::spawn(async move {
            let mut finishing = Finishing(Some(&entry));
            loop {
                let done = this.finish(&entry).await;
                let mut state = entry.state.lock();
                // The next transaction may be prepared by now: nobody else takes it on before this.
                if !done || !state.transaction.phase.prepared() {
                    state.finishing = false;
                    finishing.0 = None;
                    return;
                }
            }
        });
    }

    /// Whether the transaction is complete.
    async fn finish(self: &Arc<Self>, entry: &Arc<Entry>) -> bool {
        let transaction = entry.state.lock().transaction.clone();
        if !self.write_markers(&entry.id, &transaction).await {
            return false;
        }
        self.tell(&transaction).await;
        let committed = transaction.phase == Phase::PrepareCommit;
        let next = {
            let mut state = entry.state.lock();
            debug_assert!(!state.pending, "a prepared transaction changes only here");
            state.pending = true;
            state.transaction.completed(self.clock.now_ms())
        };
        let completed = self.change(entry, next).await;
        if let Err(error) = &completed {
            tracing::warn!(transactional_id = %entry.id, %error, "a transaction's completion could not be written: it is tried again");
        }
        if completed.is_ok() {
            let ended = if committed { "committed" } else { "aborted" };
            metrics::counter!(crate::metrics_names::TRANSACTIONS, "ended" => ended).increment(1);
        }
        completed.is_ok()
    }

    /// Whether every marker is durable.
    async fn write_markers(&self, id: &str, transaction: &Transaction) -> bool {
        let marker = Marker {
            producer_id: transaction.producer_id,
            producer_epoch: transaction.epoch,
            committed: transaction.phase == Phase::PrepareCommit,
        };
        let places: Vec<Place> = transaction.partitions.iter().cloned().collect();
        let written = stream::iter(places).map(async |(topic, partition)| {
            match self.store.append_marker(&topic, partition, marker).await {
                Ok(()) => true,
                // There is nobody left to be told, or a newer marker told him.
                Err(
                    LogError::NoTopic { .. }
                    | LogError::NoPartition { .. }
                    | LogError::Producer { .. },
                ) => true,
                Err(error) => {
                    tracing::warn!(transactional_id = id, topic, partition, %error, "a transaction's marker could not be written: it is tried again");
                    false
                }
            }
        });
        let written = written.buffer_unordered(MARKERS_IN_FLIGHT);
        written.fold(true, async |all, one| all && one).await
    }

    async fn tell(&self, transaction: &Transaction) {
        let listeners = self.listeners.read().clone();
        let committed = transaction.phase == Phase::PrepareCommit;
        for (topic, partition) in &transaction.partitions {
            if topic != OFFSETS_TOPIC {
                continue;
            }
            let (id, epoch) = transaction.identity();
            for listener in &listeners {
                listener.transaction_ended(*partition, id, epoch, committed).await;
            }
        }
    }
}

/// Says that no task is at work any more, should one be dropped half way.
struct Finishing<'a>(Option<&'a Entry>);

impl Drop for Finishing<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.0 {
            entry.state.lock().finishing = false;
        }
    }
}
