//! What compaction leaves of each batch.
//!
//! Guarantees: of each key the last record of what is committed stays; a tombstone goes only
//! `delete.retention.ms` after a round that has removed what it stands for, and a marker only as
//! long after a round that has found nothing of its transaction; the batches by which a producer is
//! known stay, without records if need be. Left out: files (compact).

use super::compact::Round;
use crate::batch::{self, BatchHeader, Filtered, HEADER_BYTES, RecordView};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use tradewind_types::Offset;

/// The last offset of each key, by 128 bits of a hash whose seed no stranger knows: two keys that
/// share them are not to be expected in the life of a store.
pub(super) struct LastOffsets {
    seeds: [RandomState; 2],
    offsets: HashMap<(u64, u64), Offset>,
    keys_max: usize,
    /// The offset after the last one that was looked at.
    pub(super) upto: Offset,
    /// A key had no room: `upto` is its offset.
    pub(super) full: bool,
}

impl LastOffsets {
    pub(super) fn new(keys_max: usize) -> Self {
        let seeds = [RandomState::new(), RandomState::new()];
        Self { seeds, offsets: HashMap::new(), keys_max, upto: 0, full: false }
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.seeds[0].hash_one(key), self.seeds[1].hash_one(key))
    }

    pub(super) fn note(&mut self, record: RecordView<'_>) {
        let Some(key) = record.key.filter(|_| !self.full) else { return };
        let hash = self.hash(key);
        if self.offsets.len() == self.keys_max && !self.offsets.contains_key(&hash) {
            self.full = true;
            self.upto = record.offset;
            return;
        }
        self.offsets.insert(hash, record.offset);
    }

    /// Whether a later record of this key is known.
    fn superseded(&self, key: &[u8], offset: Offset) -> bool {
        self.offsets.get(&self.hash(key)).is_some_and(|last| *last > offset)
    }
}

/// The producers of whose transactions a round has met batches and not yet the marker.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions(HashSet<i64>);

impl OpenTransactions {
    /// Takes note of the next batch of the log. Of a marker it says whether anything of its
    /// transaction was still there, were it only a batch without records.
    pub(super) fn meet(&mut self, header: &BatchHeader) -> bool {
        if header.control() {
            self.0.remove(&header.producer_id)
        } else {
            header.transactional() && self.0.insert(header.producer_id)
        }
    }
}

/// What becomes of a batch.
pub(super) enum Verdict {
    Whole,
    Some(Vec<u8>),
    Gone,
}

/// Judges one batch.
pub(super) struct Judge<'a> {
    pub(super) round: &'a Round,
    pub(super) map: &'a LastOffsets,
    pub(super) header: &'a BatchHeader,
    /// Of a marker, whether anything of its transaction is there.
    pub(super) left: bool,
}

impl Judge<'_> {
    pub(super) fn batch(&self, bytes: &[u8]) -> Result<Verdict, String> {
        let header = self.header;
        if header.control() {
            return self.marker(bytes);
        }
        if header.records == 0 {
            return Ok(if self.keeps_producer() { Verdict::Whole } else { Verdict::Gone });
        }
        if self.round.aborted.hold(header) {
            return Ok(self.without_records(bytes));
        }
        let horizon = (header.end_offset() <= self.map.upto).then_some(self.horizon());
        Ok(match batch::filter(header, bytes, horizon, |record| self.keeps(record))? {
            Filtered::Whole => Verdict::Whole,
            Filtered::Some(left) => Verdict::Some(left),
            Filtered::Empty => self.without_records(bytes),
        })
    }

    /// Readers that have read records of an aborted transaction before they went still come across
    /// its marker for as long as tombstones stay.
    fn marker(&self, bytes: &[u8]) -> Result<Verdict, String> {
        let newest = self.header.end_offset() > self.round.newest;
        if self.left || newest || self.keeps_producer() {
            return Ok(Verdict::Whole);
        }
        Ok(match self.header.delete_horizon() {
            Some(from) if self.round.now_ms >= from => Verdict::Gone,
            Some(_) => Verdict::Whole,
            None => Verdict::Some(batch::with_horizon(self.header, bytes, self.horizon())?),
        })
    }

    fn without_records(&self, bytes: &[u8]) -> Verdict {
        match self.keeps_producer() {
            true => Verdict::Some(batch::emptied(self.header, &bytes[..HEADER_BYTES])),
            false => Verdict::Gone,
        }
    }

    /// From when on what stays for `delete.retention.ms` may go.
    fn horizon(&self) -> i64 {
        self.round.now_ms.saturating_add(self.round.config.delete_retention_ms)
    }

    fn keeps(&self, record: RecordView<'_>) -> bool {
        if record.offset >= self.map.upto || record.offset == self.round.newest {
            return true;
        }
        let Some(key) = record.key else { return false };
        if self.map.superseded(key, record.offset) {
            return false;
        }
        let expired = self.header.delete_horizon().is_some_and(|from| self.round.now_ms >= from);
        !(record.tombstone && expired)
    }

    /// Whether the batch stays, without its records if need be, for what it says of its producer.
    fn keeps_producer(&self) -> bool {
        let known = self.round.producers.get(&self.header.producer_id);
        known.is_some_and(|known| known.holds(self.header))
    }
}
