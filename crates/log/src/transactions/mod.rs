//! The transaction coordinator: who may write under a transactional id, what his transaction spans,
//! and how it ends.
//!
//! Guarantees: what is answered is durable in `__transaction_state` (docs/formats/producers.md); a
//! transaction that is prepared ends everywhere, whatever crashes; one that is open for longer than
//! it said is aborted; a producer id is never given twice.
//! Left out: Kafka's numbers for the errors (wire), groups' offsets, whose coordinator is told
//! through [`TransactionListener`], and more than one coordinator.

mod finish;
mod ids;
mod load;
mod own;
mod record;
mod sweep;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use crate::group::OFFSETS_TOPIC;
pub(crate) use load::STATE_TOPIC;
pub(crate) use own::OwnWriter;
pub(crate) use transaction::{Ending, Identity, Phase, Place, RISING_EPOCHS, Transaction};

use crate::settings::TransactionSettings;
use crate::{LogStore, batch::Marker};
use async_trait::async_trait;
use ids::ProducerIds;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tradewind_types::{Clock, Log, PartitionId};
use transaction::{End, Init};

/// Why a coordinator does not do what a producer asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransactionError {
    #[error("the transactional id is empty")]
    NoId,
    #[error(
        "a transaction may be open for 1 to {max_ms} ms (`log.transaction_timeout_ms_max`), not {timeout_ms}"
    )]
    Timeout { timeout_ms: i32, max_ms: i32 },
    #[error("no such producer has this transactional id")]
    UnknownProducer,
    #[error("a newer producer has this transactional id, or its transaction was aborted")]
    Fenced,
    #[error("another request for this transactional id is at work")]
    Concurrent,
    #[error("only pipelines of this server use this transactional id")]
    Reserved,
    #[error("the transaction is not in a state for that")]
    WrongState,
    #[error("there are {max} transactional ids, as many as `log.transactional_ids_max` allows")]
    TooMany { max: usize },
    #[error("transactions are not available: {0}")]
    Unavailable(String),
}

/// Partitions that open transactions span together: some 100 MB of names.
const SPANNED_MAX: usize = 1_000_000;

/// Who is told how transactions ended: the coordinator of groups, for the offsets that were
/// committed with them.
#[async_trait]
pub(crate) trait TransactionListener: Send + Sync {
    /// A transaction of this producer that has offsets among its partitions has ended: its marker
    /// is durable in `partition` of `__consumer_offsets`. The epoch is the marker's, which is newer
    /// than the transaction's where its producer was fenced. Called before the transaction is said
    /// to be complete, so again after a crash in between: a second call must change nothing.
    async fn transaction_ended(
        &self,
        partition: PartitionId,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    );
}

/// Where a transactional id stands, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) producer_id: i64,
    pub(crate) phase: Phase,
    /// When its transaction began, -1 without one.
    pub(crate) started_ms: i64,
}

/// A transactional id in memory.
#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    state: Mutex<EntryState>,
    /// Told of each change.
    changed: Notify,
}

#[derive(Debug)]
struct EntryState {
    /// As its topic has it.
    transaction: Transaction,
    /// A change is being written.
    pending: bool,
    /// Its markers are being written.
    finishing: bool,
    /// It was removed from the map: whoever still holds it looks again.
    removed: bool,
}

/// The coordinator of every transactional id.
pub(crate) struct Coordinator {
    store: LogStore,
    clock: Arc<dyn Clock>,
    settings: TransactionSettings,
    ids: ProducerIds,
    entries: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
    listeners: RwLock<Vec<Arc<dyn TransactionListener>>>,
    /// Held for reading by each change from its write to its effect; for writing by who writes
    /// everything anew.
    writing: tokio::sync::RwLock<()>,
    /// Partitions that transactions span, all together.
    spanned: AtomicUsize,
    /// Bytes written to the topic since everything was written anew.
    written_bytes: AtomicU64,
    /// Whether what the topic holds is in memory.
    loaded: AtomicBool,
    loading: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Coordinator").field("ids", &self.entries.lock().len()).finish()
    }
}

impl Coordinator {
    /// The coordinator of the log `store`. It reads its topic when it is first asked, or by
    /// [`Coordinator::load`].
    pub(crate) fn new(store: LogStore) -> Arc<Self> {
        let (disk, clock, settings, dir) = store.parts();
        let ids = ProducerIds::new(disk, &dir, store.topics().is_empty());
        Arc::new(Self {
            clock,
            settings: settings.transactions,
            ids,
            store,
            entries: Mutex::default(),
            listeners: RwLock::default(),
            writing: tokio::sync::RwLock::default(),
            spanned: AtomicUsize::new(0),
            written_bytes: AtomicU64::new(0),
            loaded: AtomicBool::new(false),
            loading: tokio::sync::Mutex::default(),
        })
    }

    /// Has `listener` told of every transaction with offsets that ends from now on.
    pub(crate) fn listen(&self, listener: Arc<dyn TransactionListener>) {
        self.listeners.write().push(listener);
    }

    /// An id for a producer without transactions.
    pub(crate) async fn producer_id(&self) -> Result<i64, TransactionError> {
        self.ids.next().await
    }

    /// A producer begins to use the transactional id `id`: whoever used it before is fenced, and
    /// what he left open is aborted. `expected` is who the producer takes himself for.
    pub(crate) async fn init(
        self: &Arc<Self>,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, TransactionError> {
        check_id(id)?;
        let max_ms = self.settings.timeout_ms_max;
        if !(1..=max_ms).contains(&timeout_ms) {
            return Err(TransactionError::Timeout { timeout_ms, max_ms });
        }
        self.load().await?;
        self.check_stranger(id)?;
        self.take_over(id, timeout_ms, expected).await
    }

    /// As [`Coordinator::init`], whoever asks.
    async fn take_over(
        self: &Arc<Self>,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, TransactionError> {
        let entry = self.entry_or_new(id, timeout_ms).await?;
        let fresh = self.fresh_if_exhausted(&entry).await?;
        let next = {
            let mut state = entry.state.lock();
            state.check_free()?;
            let now_ms = self.clock.now_ms();
            let next = state.transaction.init(expected, timeout_ms, fresh, now_ms)?;
            state.pending = true;
            next
        };
        match next {
            Init::Write(next) => {
                let identity = next.identity();
                self.change(&entry, next).await.map(|()| identity)
            }
            Init::Fence(next) => {
                self.change(&entry, next).await?;
                // The producer asks again, until the abort is complete.
                Err(TransactionError::Concurrent)
            }
        }
    }

    /// `places` become part of the client's transaction, which begins with the first.
    pub(crate) async fn add_partitions(
        self: &Arc<Self>,
        id: &str,
        client: Identity,
        places: BTreeSet<Place>,
        client_version: i16,
    ) -> Result<(), TransactionError> {
        self.load().await?;
        self.check_stranger(id)?;
        self.add(id, client, places, client_version).await
    }

    /// As [`Coordinator::add_partitions`], whoever asks.
    async fn add(
        self: &Arc<Self>,
        id: &str,
        client: Identity,
        places: BTreeSet<Place>,
        client_version: i16,
    ) -> Result<(), TransactionError> {
        let entry = self.entry(id).await?;
        if self.spanned.load(Ordering::Relaxed).saturating_add(places.len()) > SPANNED_MAX {
            let reason = format!("open transactions span {SPANNED_MAX} partitions already");
            return Err(TransactionError::Unavailable(reason));
        }
        let next = {
            let mut state = entry.state.lock();
            state.transaction.check_client(client)?;
            state.check_free()?;
            let now_ms = self.clock.now_ms();
            match state.transaction.add(client, places, client_version, now_ms)? {
                None => return Ok(()),
                Some(next) => {
                    state.pending = true;
                    next
                }
            }
        };
        self.change(&entry, next).await
    }

    /// Whether `place` is part of the client's open transaction.
    pub(crate) async fn verify(
        &self,
        id: &str,
        client: Identity,
        place: &Place,
    ) -> Result<(), TransactionError> {
        let entry = self.entry(id).await?;
        self.check_stranger(id)?;
        // A change that is being written is not waited for: should it end the transaction, the
        // partition will know its marker and refuse what was asked about before.
        entry.state.lock().transaction.verify(client, place)
    }

    /// The client ends his transaction. Returns once that is decided, durably; the markers follow.
    /// Answers who he is from now on.
    pub(crate) async fn end(
        self: &Arc<Self>,
        id: &str,
        ending: Ending,
    ) -> Result<Identity, TransactionError> {
        let entry = self.entry(id).await?;
        self.check_stranger(id)?;
        self.end_of(&entry, ending).await
    }

    /// As [`Coordinator::end`], whoever asks.
    async fn end_of(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        ending: Ending,
    ) -> Result<Identity, TransactionError> {
        let fresh = if ending.bumps { self.fresh_if_exhausted(entry).await? } else { None };
        let (next, identity) = {
            let mut state = entry.state.lock();
            // One that was fenced is told so whatever is going on: some clients do not ask again.
            if !(ending.bumps && state.transaction.ended_as(ending.identity)) {
                state.transaction.check_client(ending.identity)?;
            }
            state.check_free()?;
            match state.transaction.end(ending, fresh, self.clock.now_ms())? {
                End::Done(identity) => return Ok(identity),
                End::Write(next, identity) => {
                    state.pending = true;
                    (next, identity)
                }
            }
        };
        self.change(entry, next).await.map(|()| identity)
    }

    /// Every transactional id and its state, in the order of the ids.
    pub(crate) async fn list(&self) -> Result<Vec<(Arc<str>, Summary)>, TransactionError> {
        self.load().await?;
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        let state = |entry: Arc<Entry>| {
            let Transaction { producer_id, phase, started_ms, .. } = entry.state.lock().transaction;
            (Arc::clone(&entry.id), Summary { producer_id, phase, started_ms })
        };
        let mut all: Vec<_> = entries.into_iter().map(state).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    /// The coordinator's time, milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// One transactional id's state.
    pub(crate) async fn describe(&self, id: &str) -> Result<Transaction, TransactionError> {
        let entry = self.entry(id).await?;
        let transaction = entry.state.lock().transaction.clone();
        Ok(transaction)
    }

    async fn entry(&self, id: &str) -> Result<Arc<Entry>, TransactionError> {
        check_id(id)?;
        self.load().await?;
        self.entries.lock().get(id).cloned().ok_or(TransactionError::UnknownProducer)
    }

    async fn entry_or_new(
        &self,
        id: &str,
        timeout_ms: i32,
    ) -> Result<Arc<Entry>, TransactionError> {
        if let Some(entry) = self.entries.lock().get(id) {
            return Ok(Arc::clone(entry));
        }
        let producer_id = self.ids.next().await?;
        let mut entries = self.entries.lock();
        let max = self.settings.ids_max;
        if entries.len() >= max && !entries.contains_key(id) {
            return Err(TransactionError::TooMany { max });
        }
        let id: Arc<str> = id.into();
        let entry = entries.entry(Arc::clone(&id)).or_insert_with(|| {
            let transaction = Transaction::new(producer_id, timeout_ms, self.clock.now_ms());
            Arc::new(Entry::new(id, transaction))
        });
        Ok(Arc::clone(entry))
    }

    /// Another producer id, when the epochs of this one are used up.
    async fn fresh_if_exhausted(&self, entry: &Entry) -> Result<Option<i64>, TransactionError> {
        if !entry.state.lock().transaction.exhausted() {
            return Ok(None);
        }
        self.ids.next().await.map(Some)
    }

    /// Writes `next` and takes it over, in a task of its own: the change is whole whoever stops
    /// waiting for it. Called with the entry pending. What is prepared then is finished.
    async fn change(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        next: Transaction,
    ) -> Result<(), TransactionError> {
        let (this, entry) = (Arc::clone(self), Arc::clone(entry));
        let task = tokio::spawn(async move {
            let _writing = this.writing.read().await;
            let written = this.write(&entry.id, Some(&next)).await;
            let prepared = next.phase.prepared();
            {
                let mut state = entry.state.lock();
                state.pending = false;
                if written.is_ok() {
                    this.spanned.fetch_add(next.partitions.len(), Ordering::Relaxed);
                    let before = std::mem::replace(&mut state.transaction, next);
                    this.spanned.fetch_sub(before.partitions.len(), Ordering::Relaxed);
                }
            }
            entry.changed.notify_waiters();
            if written.is_ok() && prepared {
                this.finish_soon(&entry);
            }
            written
        });
        task.await.unwrap_or_else(|error| Err(TransactionError::Unavailable(error.to_string())))
    }
}

impl Entry {
    fn new(id: Arc<str>, transaction: Transaction) -> Self {
        let (pending, finishing, removed) = Default::default();
        let state = Mutex::new(EntryState { transaction, pending, finishing, removed });
        Self { id, state, changed: Notify::new() }
    }
}

impl EntryState {
    fn check_free(&self) -> Result<(), TransactionError> {
        if self.pending || self.removed { Err(TransactionError::Concurrent) } else { Ok(()) }
    }
}

fn check_id(id: &str) -> Result<(), TransactionError> {
    if id.is_empty() { Err(TransactionError::NoId) } else { Ok(()) }
}
