//! One transactional id's state and how it may change. Pure: nothing is written here.
//!
//! Guarantees: every change that Kafka's coordinator refuses is refused for the same reason; an
//! epoch never goes back. Left out: durability and markers ([`super::Coordinator`]).

use super::TransactionError;
use std::collections::BTreeSet;
use tradewind_types::PartitionId;

/// A producer's id and epoch.
pub(crate) type Identity = (i64, i16);
/// A topic's partition.
pub(crate) type Place = (String, PartitionId);

/// No producer, no epoch.
pub(crate) const NO_ID: i64 = -1;
pub(crate) const NO_EPOCH: i16 = -1;
/// How long a transaction of this process may be open: for ever. Kafka says so of transactions that
/// take part in a two-phase commit (KIP-939), and no client may ask for it.
pub(crate) const OWN_TIMEOUT_MS: i32 = i32::MAX;
/// The level of Kafka's feature `transaction.version` (KIP-890) from which on an epoch rises with each
/// transaction, and Produce and TxnOffsetCommit add partitions by themselves.
pub(crate) const RISING_EPOCHS: i16 = 2;
/// The last epoch a client is given: the one after it fences him.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// Where a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl Phase {
    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Whether markers are still to be written.
    pub(crate) fn prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A transactional id, as its topic has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The epoch before the last bump that a client asked for; not kept over a restart.
    pub(crate) last_epoch: i16,
    /// The id before this one, while an answer about it may be asked for again.
    pub(crate) previous_id: i64,
    /// The id that follows when the transaction is over, because the epochs are used up.
    pub(crate) next_id: i64,
    pub(crate) next_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) phase: Phase,
    pub(crate) partitions: BTreeSet<Place>,
    pub(crate) updated_ms: i64,
    /// When the transaction began, -1 without one.
    pub(crate) started_ms: i64,
    /// [`RISING_EPOCHS`] when the client's epoch rises with each transaction, else 0.
    pub(crate) client_version: i16,
}

/// What beginning anew takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// Write this, then it is begun.
    Write(Transaction),
    /// The transaction that is open must be aborted first, as this says.
    Fence(Transaction),
}

/// What ending takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has been done.
    Done(Identity),
    /// Write this; the client goes on as this identity.
    Write(Transaction, Identity),
}

/// How a client wants his transaction to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) identity: Identity,
    pub(crate) commit: bool,
    /// The epoch rises with it, from version 5 of the request on.
    pub(crate) bumps: bool,
}

impl Transaction {
    /// A transactional id nobody has used.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            epoch: NO_EPOCH,
            last_epoch: NO_EPOCH,
            previous_id: NO_ID,
            next_id: NO_ID,
            next_epoch: NO_EPOCH,
            timeout_ms,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            started_ms: -1,
            client_version: 0,
        }
    }

    /// Who its client is.
    pub(crate) fn identity(&self) -> Identity {
        (self.producer_id, self.epoch)
    }

    /// Whether no further epoch can be given for this id.
    pub(crate) fn exhausted(&self) -> bool {
        self.epoch >= EPOCH_MAX
    }

    /// Whether only this process may begin and end it.
    pub(crate) fn own(&self) -> bool {
        self.timeout_ms == OWN_TIMEOUT_MS
    }

    /// Whether it is open for longer than it said it would be.
    pub(crate) fn overdue(&self, now_ms: i64) -> bool {
        self.phase == Phase::Ongoing
            && !self.own()
            && now_ms.saturating_sub(self.started_ms) > i64::from(self.timeout_ms)
    }

    /// Whether it has not been used for `expiration_ms`.
    pub(crate) fn expired(&self, expiration_ms: i64, now_ms: i64) -> bool {
        let idle =
            matches!(self.phase, Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort);
        idle && !self.own() && now_ms.saturating_sub(self.updated_ms) >= expiration_ms
    }

    /// A client begins to use this id; `expected` is who he takes himself for, `fresh` an id to go
    /// on with when the epochs are used up.
    pub(crate) fn init(
        &self,
        expected: Option<Identity>,
        timeout_ms: i32,
        fresh: Option<i64>,
        now_ms: i64,
    ) -> Result<Init, TransactionError> {
        if let Some((id, epoch)) = expected {
            let known = self.epoch == NO_EPOCH
                || id == self.producer_id
                || (id == self.previous_id && epoch == EPOCH_MAX);
            if !known {
                return Err(TransactionError::Fenced);
            }
        }
        match self.phase {
            Phase::PrepareCommit | Phase::PrepareAbort => Err(TransactionError::Concurrent),
            Phase::Ongoing => {
                // One who was fenced may not fence the one who came after him.
                if expected.is_some_and(|(_, epoch)| epoch != self.epoch) {
                    return Err(TransactionError::Fenced);
                }
                Ok(Init::Fence(self.fenced(now_ms)))
            }
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => {
                self.begun(expected, timeout_ms, fresh, now_ms).map(Init::Write)
            }
        }
    }

    fn begun(
        &self,
        expected: Option<Identity>,
        timeout_ms: i32,
        fresh: Option<i64>,
        now_ms: i64,
    ) -> Result<Self, TransactionError> {
        let mut next = Self {
            timeout_ms,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            started_ms: -1,
            ..self.clone()
        };
        if self.exhausted() && expected.is_none_or(|(_, epoch)| epoch == self.epoch) {
            let fresh = fresh.ok_or(TransactionError::Concurrent)?;
            next.previous_id = self.producer_id;
            (next.producer_id, next.epoch) = (fresh, 0);
            next.last_epoch = if expected.is_some() { self.epoch } else { NO_EPOCH };
            return Ok(next);
        }
        match expected {
            // Asked again, because the answer was lost: the epoch was raised already.
            Some((id, epoch))
                if (epoch != self.epoch || id != self.producer_id) && self.epoch != NO_EPOCH =>
            {
                let again = epoch == self.last_epoch;
                return if again { Ok(next) } else { Err(TransactionError::Fenced) };
            }
            Some(_) => next.last_epoch = self.epoch,
            None => next.last_epoch = NO_EPOCH,
        }
        next.epoch = self.epoch + 1;
        Ok(next)
    }

    /// The open transaction aborted, and its client shut out.
    pub(crate) fn fenced(&self, now_ms: i64) -> Self {
        Self {
            epoch: self.epoch.saturating_add(1),
            last_epoch: NO_EPOCH,
            phase: Phase::PrepareAbort,
            updated_ms: now_ms,
            ..self.clone()
        }
    }

    pub(super) fn check_client(&self, (id, epoch): Identity) -> Result<(), TransactionError> {
        if id != self.producer_id {
            return Err(TransactionError::UnknownProducer);
        }
        if epoch != self.epoch {
            return Err(TransactionError::Fenced);
        }
        Ok(())
    }

    /// `places` become part of the transaction; `None` when they are already.
    pub(crate) fn add(
        &self,
        client: Identity,
        places: BTreeSet<Place>,
        client_version: i16,
        now_ms: i64,
    ) -> Result<Option<Self>, TransactionError> {
        self.check_client(client)?;
        if self.phase.prepared() {
            return Err(TransactionError::Concurrent);
        }
        let ongoing = self.phase == Phase::Ongoing;
        if ongoing && places.is_subset(&self.partitions) {
            return Ok(None);
        }
        let mut next = Self { client_version, updated_ms: now_ms, ..self.clone() };
        if !ongoing {
            next.partitions.clear();
            (next.phase, next.started_ms) = (Phase::Ongoing, now_ms);
        }
        next.partitions.extend(places);
        Ok(Some(next))
    }

    /// Whether `place` is part of the client's open transaction.
    pub(crate) fn verify(&self, client: Identity, place: &Place) -> Result<(), TransactionError> {
        self.check_client(client)?;
        match self.phase {
            Phase::PrepareCommit | Phase::PrepareAbort => Err(TransactionError::Concurrent),
            Phase::Ongoing if self.partitions.contains(place) => Ok(()),
            _ => Err(TransactionError::WrongState),
        }
    }

    /// The client ends his transaction. `fresh` is an id to go on with when the epochs are used up.
    pub(crate) fn end(
        &self,
        ending: Ending,
        fresh: Option<i64>,
        now_ms: i64,
    ) -> Result<End, TransactionError> {
        let Ending { identity: (id, epoch), commit, bumps } = ending;
        // Asked again, because the answer was lost: the epoch was raised with it.
        let again = bumps && self.ended_as((id, epoch));
        if !again {
            self.check_client((id, epoch))?;
        }
        let same = match self.phase {
            Phase::Ongoing if again => return Err(TransactionError::Fenced),
            Phase::Ongoing => return self.prepared(commit, bumps, fresh, now_ms),
            Phase::Empty if bumps && !commit && !again => {
                return self.prepared(commit, bumps, fresh, now_ms);
            }
            Phase::CompleteCommit | Phase::CompleteAbort if bumps && !commit && !again => {
                return self.prepared(commit, bumps, fresh, now_ms);
            }
            Phase::Empty => return Err(TransactionError::WrongState),
            Phase::CompleteCommit | Phase::PrepareCommit => commit,
            Phase::CompleteAbort | Phase::PrepareAbort => !commit,
        };
        match (same, self.phase.prepared()) {
            (false, _) => Err(TransactionError::WrongState),
            (true, true) => Err(TransactionError::Concurrent),
            // A client whose epoch rises asks as the one he was, or not at all.
            (true, false) if bumps && !again => Err(TransactionError::WrongState),
            (true, false) => Ok(End::Done(self.identity())),
        }
    }

    /// Whether `identity` is the one that ended the last transaction, before the epoch was raised.
    pub(super) fn ended_as(&self, (id, epoch): Identity) -> bool {
        (id == self.producer_id && i32::from(epoch) == i32::from(self.epoch) - 1)
            || (id == self.previous_id && id != NO_ID && epoch == EPOCH_MAX)
    }

    fn prepared(
        &self,
        commit: bool,
        bumps: bool,
        fresh: Option<i64>,
        now_ms: i64,
    ) -> Result<End, TransactionError> {
        let phase = if commit { Phase::PrepareCommit } else { Phase::PrepareAbort };
        let mut next = Self { phase, updated_ms: now_ms, ..self.clone() };
        if self.phase != Phase::Ongoing {
            // Aborted before anything was written: only the epoch rises.
            next.partitions.clear();
            next.started_ms = now_ms;
        }
        if !bumps {
            let identity = next.identity();
            return Ok(End::Write(next, identity));
        }
        next.client_version = RISING_EPOCHS;
        next.last_epoch = self.epoch;
        next.epoch += 1;
        let mut identity = next.identity();
        if self.exhausted() {
            let fresh = fresh.ok_or(TransactionError::Concurrent)?;
            (next.next_id, next.next_epoch) = (fresh, 0);
            identity = (fresh, 0);
        }
        Ok(End::Write(next, identity))
    }

    /// Every marker is written.
    pub(crate) fn completed(&self, now_ms: i64) -> Self {
        let phase = match self.phase {
            Phase::PrepareCommit => Phase::CompleteCommit,
            _ => Phase::CompleteAbort,
        };
        let mut next = Self {
            phase,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            started_ms: -1,
            ..self.clone()
        };
        if self.next_id != NO_ID {
            next.previous_id = self.producer_id;
            (next.producer_id, next.epoch) = (self.next_id, self.next_epoch);
            (next.next_id, next.next_epoch) = (NO_ID, NO_EPOCH);
        }
        next
    }
}

#[cfg(test)]
mod tests;
