//! Transactions of this process: pipelines write topics in them.
//!
//! Guarantees: their ids are told apart from clients' by a timeout no client may ask for, over
//! restarts too: no client may use them, no sweep ends what is open under them or forgets them. A
//! commit is answered when readers see it; what was committed once stays so.
//! Left out: which transaction is to be committed after a crash, which the pipeline's manifest says.

use super::transaction::{OWN_TIMEOUT_MS, RISING_EPOCHS};
use super::{Coordinator, Ending, Entry, Identity, Phase, TransactionError};
use crate::{LogStore, batch};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tradewind_types::{LogError, Offset, PartitionId, Producer, Record, TopicLimits, TopicWriter};

/// How long the markers of a transaction are waited for: as long as a client waits for an answer.
/// They are written all the same, however long that takes.
const MARKERS_TIMEOUT: Duration = Duration::from_secs(30);
/// How often markers that could not be written are tried again while somebody waits.
const MARKERS_AGAIN: Duration = Duration::from_millis(500);

/// What pipelines write topics by.
#[derive(Debug)]
pub(crate) struct OwnWriter {
    store: LogStore,
    coordinator: Arc<Coordinator>,
}

impl OwnWriter {
    pub(crate) fn new(store: LogStore) -> Self {
        let coordinator = store.transactions();
        Self { store, coordinator }
    }
}

#[async_trait]
impl TopicWriter for OwnWriter {
    fn limits(&self, topic: &str) -> Result<TopicLimits, LogError> {
        self.store.limits(topic)
    }

    fn batch_bytes(&self, records: &[Record]) -> usize {
        batch::encoded_len(records)
    }

    async fn begin(&self, id: &str) -> Result<Producer, LogError> {
        self.coordinator.begin_own(id).await.map(as_producer).map_err(|error| failed(id, &error))
    }

    async fn span(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partitions: &BTreeSet<PartitionId>,
    ) -> Result<(), LogError> {
        let places = partitions.iter().map(|partition| (topic.to_owned(), *partition)).collect();
        // Which of two transactions of an id a manifest means is never in doubt.
        let added = self.coordinator.add(id, identity(producer), places, RISING_EPOCHS).await;
        added.map_err(|error| failed(id, &error))
    }

    async fn append(
        &self,
        producer: Option<Producer>,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Offset, LogError> {
        self.store.append_by(producer, topic, partition, records).await
    }

    async fn synced_to(
        &self,
        topic: &str,
        partition: PartitionId,
        end: Offset,
    ) -> Result<(), LogError> {
        self.store.synced_to(topic, partition, end).await
    }

    async fn commit(&self, id: &str, producer: Producer) -> Result<Producer, LogError> {
        let committed = self.coordinator.commit_own(id, identity(producer)).await;
        committed.map(as_producer).map_err(|error| failed(id, &error))
    }

    async fn abort(&self, id: &str) -> Result<(), LogError> {
        self.coordinator.abort_own(id).await.map_err(|error| failed(id, &error))
    }

    async fn forget(&self, id: &str) -> Result<(), LogError> {
        self.coordinator.forget_own(id).await.map_err(|error| failed(id, &error))
    }

    async fn ids(&self) -> Result<Vec<String>, LogError> {
        self.coordinator.own_ids().await.map_err(|error| failed("", &error))
    }
}

fn identity(producer: Producer) -> Identity {
    (producer.id, producer.epoch)
}

fn as_producer((id, epoch): Identity) -> Producer {
    Producer { id, epoch }
}

fn failed(id: &str, error: &TransactionError) -> LogError {
    LogError::Transaction { id: id.to_owned(), reason: error.to_string() }
}

impl Coordinator {
    /// Refuses a client that names an id of ours.
    pub(super) fn check_stranger(&self, id: &str) -> Result<(), TransactionError> {
        match self.entries.lock().get(id) {
            Some(entry) if entry.state.lock().transaction.own() => Err(TransactionError::Reserved),
            _ => Ok(()),
        }
    }

    /// Takes an id over for this process, aborting what is open under it.
    async fn begin_own(self: &Arc<Self>, id: &str) -> Result<Identity, TransactionError> {
        super::check_id(id)?;
        self.load().await?;
        if let Some(entry) = self.known(id) {
            self.at_rest(&entry).await?;
            let state = entry.state.lock();
            if !state.transaction.own() && state.transaction.phase == Phase::Ongoing {
                return Err(TransactionError::Unavailable("a Kafka client uses it".into()));
            }
        }
        loop {
            match self.take_over(id, OWN_TIMEOUT_MS, None).await {
                Err(TransactionError::Concurrent) => match self.known(id) {
                    Some(entry) => self.at_rest(&entry).await?,
                    None => return Err(TransactionError::UnknownProducer),
                },
                other => return other,
            }
        }
    }

    /// Commits the transaction `identity` has open, and waits until it is seen. Answers who writes
    /// the next one.
    async fn commit_own(
        self: &Arc<Self>,
        id: &str,
        identity: Identity,
    ) -> Result<Identity, TransactionError> {
        self.load().await?;
        let entry = self.known(id).ok_or(TransactionError::UnknownProducer)?;
        loop {
            self.at_rest(&entry).await?;
            let (phase, now) = {
                let state = entry.state.lock();
                (state.transaction.phase, state.transaction.identity())
            };
            match phase {
                Phase::Ongoing if now == identity => {
                    let ending = Ending { identity, commit: true, bumps: true };
                    match self.end_of(&entry, ending).await {
                        Ok(_) | Err(TransactionError::Concurrent) => {}
                        Err(error) => return Err(error),
                    }
                }
                _ if now == identity => return Err(TransactionError::WrongState),
                Phase::CompleteAbort if shut_out(now, identity) => {
                    return Err(TransactionError::WrongState);
                }
                // It was committed, now or before: nobody takes over or goes on earlier.
                _ => return Ok(now),
            }
        }
    }

    /// Aborts what is open under an id of ours, and waits until that is done.
    async fn abort_own(self: &Arc<Self>, id: &str) -> Result<(), TransactionError> {
        self.load().await?;
        let Some(entry) = self.known(id) else { return Ok(()) };
        loop {
            self.at_rest(&entry).await?;
            let next = {
                let mut state = entry.state.lock();
                let transaction = &state.transaction;
                if !transaction.own() || transaction.phase != Phase::Ongoing {
                    return Ok(());
                }
                if state.pending {
                    continue;
                }
                state.pending = true;
                state.transaction.fenced(self.clock.now_ms())
            };
            self.change(&entry, next).await?;
        }
    }

    async fn forget_own(self: &Arc<Self>, id: &str) -> Result<(), TransactionError> {
        self.load().await?;
        let Some(entry) = self.known(id) else { return Ok(()) };
        self.at_rest(&entry).await?;
        {
            let mut state = entry.state.lock();
            if !state.transaction.own() {
                return Ok(());
            }
            if state.pending || state.transaction.phase == Phase::Ongoing {
                return Err(TransactionError::WrongState);
            }
            state.pending = true;
        }
        self.remove(&entry).await
    }

    async fn own_ids(&self) -> Result<Vec<String>, TransactionError> {
        self.load().await?;
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        let own = entries.iter().filter(|entry| entry.state.lock().transaction.own());
        let mut ids: Vec<String> = own.map(|entry| entry.id.to_string()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn known(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.lock().get(id).cloned()
    }

    /// Waits until nothing is being written about a transactional id, markers included.
    async fn at_rest(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), TransactionError> {
        let until = Instant::now() + MARKERS_TIMEOUT;
        loop {
            let changed = entry.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = entry.state.lock();
                if !state.pending && !state.transaction.phase.prepared() {
                    return Ok(());
                }
            }
            if Instant::now() >= until {
                let seconds = MARKERS_TIMEOUT.as_secs();
                let reason = format!("its end could not be written within {seconds} s");
                return Err(TransactionError::Unavailable(reason));
            }
            // Unless a task is at work already: one that has failed leaves it to the next.
            self.finish_soon(entry);
            // What it was waiting for is looked at again either way.
            let _ = timeout(MARKERS_AGAIN, changed).await;
        }
    }
}

/// Whether `now` is who a producer becomes when his transaction is aborted for him.
fn shut_out(now: Identity, identity: Identity) -> bool {
    now.0 == identity.0 && i32::from(now.1) == i32::from(identity.1) + 1
}

#[cfg(test)]
mod tests;
