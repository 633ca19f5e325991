//! What a partition knows of the producers that number their batches, and of their transactions.
//!
//! Guarantees: a batch that was written already is recognised among the producer's last
//! [`BATCHES_MAX`]; one that does not follow the last is refused, and so is an older epoch, a
//! transactional batch outside a transaction and any other inside of one. What is said here changes
//! with the partition's end, never before: a [`Draft`] holds what a write under way will change.
//! Left out: whether a transaction was begun, which its coordinator knows (`transactions`).

mod draft;
mod rebuild;
mod snapshot;

pub(crate) use draft::{Admitted, Draft, Origin, Refused};
pub(super) use rebuild::{Found, Rebuilt, rebuild};
pub(super) use snapshot::Snapshot;

use crate::batch::BatchHeader;
use crate::segment::Aborted;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tradewind_types::Offset;

/// Batches of a producer that are recognised when they come again: as many as a producer that
/// wants order may have in flight.
pub(super) const BATCHES_MAX: usize = 5;
/// When there is no room for another producer, so large a part of the known ones is looked at
/// together, so that looking is not done for each newcomer.
const EVICTED_SHARE: usize = 16;
/// A producer that wrote within this time is never forgotten for another: it may still send again
/// what was not acknowledged. Clients give up after two minutes.
const SILENT_MS_MIN: i64 = 5 * 60_000;

/// A batch as its producer numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentBatch {
    pub(super) first_sequence: i32,
    pub(super) last_sequence: i32,
    pub(super) base_offset: Offset,
    /// The largest timestamp of its records, milliseconds.
    pub(super) timestamp_ms: i64,
}

/// A producer, as its batches and markers have shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) epoch: i16,
    /// Its last batches in this epoch, oldest first.
    pub(super) batches: Vec<SentBatch>,
    /// Where its open transaction begins in this partition.
    pub(super) open_from: Option<Offset>,
    /// The offset of the last marker of this life of the server, -1 before the first.
    pub(super) ended_at: Offset,
    /// The timestamp of its last batch or marker, milliseconds.
    pub(super) timestamp_ms: i64,
    /// When it wrote last by our clock, milliseconds.
    pub(super) seen_ms: i64,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            batches: Vec::with_capacity(BATCHES_MAX),
            open_from: None,
            ended_at: -1,
            timestamp_ms: -1,
            seen_ms: 0,
        }
    }

    /// The last sequence number of this epoch, -1 before the first batch.
    pub(super) fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(-1, |batch| batch.last_sequence)
    }

    fn push(&mut self, batch: SentBatch) {
        if self.batches.len() == BATCHES_MAX {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }

    fn enter(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// The sequence number `delta` after `first`; after the largest comes 0.
fn sequence_after(first: i32, delta: i32) -> i32 {
    let after = (i64::from(first) + i64::from(delta)) % (i64::from(i32::MAX) + 1);
    i32::try_from(after).expect("it is a remainder of 2^31")
}

/// A transaction that ended, whose marker may not be durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decided {
    first: Offset,
    marker: Offset,
}

/// A producer as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerFacts {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// -1 before the first batch of the epoch.
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp_ms: i64,
    pub(crate) open_from: Option<Offset>,
}

/// The batches that say what is known of a producer.
#[derive(Debug)]
pub(super) struct Remembered {
    epoch: i16,
    batches: Vec<Offset>,
    ended_at: Offset,
}

impl Remembered {
    /// Whether the batch of `header` is one of them: one that may come again, or without any the
    /// marker that says the epoch.
    pub(super) fn holds(&self, header: &BatchHeader) -> bool {
        if !header.control() {
            return self.batches.contains(&header.base_offset);
        }
        let newest = self.ended_at < 0 || self.ended_at == header.base_offset;
        self.batches.is_empty() && header.producer_epoch == self.epoch && newest
    }
}

/// How many producers there may be and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// In this partition.
    pub(crate) producers_max: usize,
    /// In all partitions of the store together, and how many there are.
    pub(crate) all_max: usize,
    pub(crate) all: Arc<AtomicUsize>,
    pub(crate) expiration_ms: i64,
}

/// The producers of a partition.
#[derive(Debug)]
pub(super) struct Producers {
    bounds: Bounds,
    by_id: HashMap<i64, Producer>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, i64>,
    /// Ended ones whose marker is above the high watermark.
    decided: Vec<Decided>,
    /// Aborted ones whose marker lies in the active segment, in the order of their markers.
    aborted: Vec<Aborted>,
    /// The end of the last batch that has a producer.
    ids_until: Offset,
}

impl Producers {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_id: HashMap::new(),
            open: BTreeMap::new(),
            decided: Vec::new(),
            aborted: Vec::new(),
            ids_until: 0,
        }
    }

    /// The end of the last batch that was written by a producer with an id.
    pub(super) fn ids_until(&self) -> Offset {
        self.ids_until
    }

    /// Where what is not durably decided begins.
    pub(super) fn unstable_from(&self) -> Option<Offset> {
        let open = self.open.keys().next().copied();
        let decided = self.decided.iter().map(|decided| decided.first).min();
        open.into_iter().chain(decided).min()
    }

    /// Takes note that everything below `high_watermark` is durable.
    pub(super) fn settle(&mut self, high_watermark: Offset) {
        self.decided.retain(|decided| decided.marker >= high_watermark);
    }

    /// What tells a transaction that was checked with its coordinator from one that has ended
    /// since: the producer's last marker.
    pub(super) fn guard(&self, producer_id: i64) -> Offset {
        self.by_id.get(&producer_id).map_or(-1, |producer| producer.ended_at)
    }

    /// Whether the producer's transaction is open here.
    pub(super) fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        let known = self.by_id.get(&producer_id);
        known.is_some_and(|known| known.epoch == epoch && known.open_from.is_some())
    }

    /// Aborted transactions that end in the active segment.
    pub(super) fn aborted(&self) -> &[Aborted] {
        &self.aborted
    }

    /// Forgets the aborted transactions of a segment that was sealed with its index.
    pub(super) fn clear_aborted(&mut self) {
        self.aborted.clear();
    }

    /// Forgets who has been silent for too long.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let expiration_ms = self.bounds.expiration_ms;
        let before = self.by_id.len();
        self.by_id.retain(|_, producer| {
            producer.open_from.is_some() || now_ms.saturating_sub(producer.seen_ms) < expiration_ms
        });
        self.bounds.all.fetch_sub(before - self.by_id.len(), Ordering::Relaxed);
    }

    /// Every producer, by id.
    pub(super) fn facts(&self) -> Vec<ProducerFacts> {
        let facts = self.by_id.iter().map(|(id, producer)| ProducerFacts {
            producer_id: *id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp_ms: producer.timestamp_ms,
            open_from: producer.open_from,
        });
        let mut facts: Vec<_> = facts.collect();
        facts.sort_unstable_by_key(|facts| facts.producer_id);
        facts
    }

    /// What compaction leaves of each producer, so that a log that is read anew knows as much.
    pub(in crate::partition) fn remembered(&self) -> HashMap<i64, Remembered> {
        let of = |producer: &Producer| Remembered {
            epoch: producer.epoch,
            batches: producer.batches.iter().map(|batch| batch.base_offset).collect(),
            ended_at: producer.ended_at,
        };
        self.by_id.iter().map(|(id, producer)| (*id, of(producer))).collect()
    }

    fn insert(&mut self, id: i64, producer: Producer) {
        if self.by_id.insert(id, producer).is_none() {
            self.bounds.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes room for `more` producers; false when there is none.
    fn make_room(&mut self, more: usize, now_ms: i64) -> bool {
        if self.has_room(more) {
            return true;
        }
        self.expire(now_ms);
        if self.has_room(more) {
            return true;
        }
        let silent = self.by_id.iter().filter(|(_, producer)| {
            producer.open_from.is_none() && now_ms.saturating_sub(producer.seen_ms) >= SILENT_MS_MIN
        });
        let mut silent: Vec<_> = silent.map(|(id, producer)| (producer.seen_ms, *id)).collect();
        silent.sort_unstable();
        silent.truncate((self.by_id.len() / EVICTED_SHARE).max(more));
        for (_, id) in &silent {
            self.by_id.remove(id);
        }
        self.bounds.all.fetch_sub(silent.len(), Ordering::Relaxed);
        self.has_room(more)
    }

    fn has_room(&self, more: usize) -> bool {
        self.by_id.len() + more <= self.bounds.producers_max
            && self.bounds.all.load(Ordering::Relaxed) + more <= self.bounds.all_max
    }
}

impl Drop for Producers {
    fn drop(&mut self) {
        self.bounds.all.fetch_sub(self.by_id.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
