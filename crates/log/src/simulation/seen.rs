//! What readers see of the log, and what may be missing from it.

use super::flaws::Flaw;
use super::{COPIES, PLACES, RETENTION_MS, Server, Spot, TOMBSTONES_MS, compacted};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::BTreeMap;
use tradewind_types::log::Isolation;
use tradewind_types::{Log, LogRecord, Offset, Record};

/// Keys of a compacted partition.
const KEYS: u64 = 5;

/// A record that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) spot: Spot,
    pub(super) offset: Offset,
    /// When it was sent, milliseconds.
    pub(super) sent_ms: i64,
}

/// The key of the record with this number.
fn key_of(number: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % KEYS
}

/// Whether the record with this number removes its key.
fn is_tombstone(number: u64) -> bool {
    number % 7 == 3
}

/// The record with this number, as it is written to `spot`.
pub(super) fn record(spot: Spot, number: u64) -> Record {
    let (key, value) = match compacted(spot) {
        false => (None, true),
        true => (Some(Bytes::from(format!("key {}", key_of(number)))), !is_tombstone(number)),
    };
    Record {
        timestamp_ms: 5,
        key,
        value: value.then(|| Bytes::from(vec![b' '; 60])),
        headers: vec![(
            Bytes::from_static(b"n"),
            Some(Bytes::copy_from_slice(&number.to_be_bytes())),
        )],
    }
}

/// The number of a record.
pub(super) fn number(record: &Record) -> u64 {
    let header = record.headers[0].1.as_ref().unwrap();
    u64::from_be_bytes(header[..8].try_into().unwrap())
}

/// What readers see.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where each record is, by its number.
    pub(super) places: BTreeMap<u64, (Spot, Offset)>,
    /// What the worker made of orders, by their number.
    pub(super) copies: BTreeMap<u64, Offset>,
    /// Of compacted partitions the offsets of each key.
    keys: BTreeMap<(Spot, u64), Vec<Offset>>,
    /// Where the last record that may have removed a key lies.
    tombstones: BTreeMap<(Spot, u64), Offset>,
    starts: BTreeMap<Spot, Offset>,
    /// Up to where readers are shown anything.
    ends: BTreeMap<Spot, Offset>,
    /// Up to where clients had records deleted, or may have.
    pub(super) deleted_to: BTreeMap<Spot, Offset>,
    pub(super) now_ms: i64,
    /// Records that are gone because of a later one.
    pub(super) superseded: Cell<u64>,
}

impl Seen {
    /// Takes note of a record that may have removed its key, at `offset` if that is known.
    pub(super) fn tombstone(&mut self, spot: Spot, number: u64, offset: Option<Offset>) {
        if compacted(spot) && is_tombstone(number) {
            let known = self.tombstones.entry((spot, key_of(number))).or_insert(-1);
            *known = offset.unwrap_or(Offset::MAX).max(*known);
        }
    }

    /// Whether a record that is not shown lies behind an open transaction: then it is there.
    pub(super) fn hides(&self, spot: Spot, offset: Offset) -> bool {
        self.ends.get(&spot).is_some_and(|end| offset >= *end)
    }

    /// Whether a record that was acknowledged and is committed is where it was said to be, or may
    /// be gone.
    pub(super) fn check(&self, number: u64, acked: Acked) -> Result<(), String> {
        let Acked { spot, offset, sent_ms } = acked;
        if let Some(found) = self.places.get(&number) {
            let holds = *found == (spot, offset);
            return if holds {
                Ok(())
            } else {
                Err(format!("record {number} is at {found:?}, said was {acked:?}"))
            };
        }
        if self.hides(spot, offset) {
            return Ok(());
        }
        if offset < self.starts.get(&spot).copied().unwrap_or(0) {
            let deleted = offset < self.deleted_to.get(&spot).copied().unwrap_or(0);
            let old = !compacted(spot) && spot != COPIES && self.now_ms - sent_ms > RETENTION_MS;
            return if deleted || old {
                Ok(())
            } else {
                Err(format!("record {number} of {acked:?} was taken too early"))
            };
        }
        if self.gone(acked, number) {
            Ok(())
        } else {
            Err(format!("record {number} of {acked:?} is lost"))
        }
    }

    /// Whether compaction may have taken the record with this number.
    fn gone(&self, Acked { spot, offset, sent_ms }: Acked, number: u64) -> bool {
        if !compacted(spot) {
            return false;
        }
        let key = (spot, key_of(number));
        let of_key = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
        let gone = if of_key.iter().any(|there| *there > offset) {
            true
        } else if is_tombstone(number) {
            // It went after its time: nothing it removed may be there again.
            let old = self.now_ms - sent_ms >= TOMBSTONES_MS;
            old && !of_key.iter().any(|there| *there < offset)
        } else {
            self.tombstones.get(&key).is_some_and(|tombstone| *tombstone > offset)
        };
        self.superseded.set(self.superseded.get() + u64::from(gone));
        gone
    }

    /// Whether a record of an unknown place may have been taken by compaction.
    pub(super) fn maybe_gone(&self, spot: Spot, number: u64) -> bool {
        let key = (spot, key_of(number));
        let removed = self.tombstones.contains_key(&key) || is_tombstone(number);
        compacted(spot) && (removed || self.keys.contains_key(&key))
    }

    fn note(&mut self, spot: Spot, found: &LogRecord) -> Result<(), String> {
        let number = number(&found.record);
        let before = if spot == COPIES {
            self.copies.insert(number, found.offset).map(|before| (COPIES, before))
        } else {
            self.places.insert(number, (spot, found.offset))
        };
        if compacted(spot) {
            self.keys.entry((spot, key_of(number))).or_default().push(found.offset);
        }
        match before {
            None => Ok(()),
            Some(before) => {
                let now = (spot, found.offset);
                Err(format!("record {number} is at {before:?} and at {now:?}"))
            }
        }
    }
}

impl Server {
    /// What readers of committed records are shown.
    pub(super) fn isolation(&self) -> Isolation {
        match self.flaw {
            Flaw::LastStableIgnored | Flaw::AbortedShown => Isolation::ReadUncommitted,
            _ => Isolation::ReadCommitted,
        }
    }

    /// Reads everything there is.
    pub(super) async fn read(&self, spot: Spot, seen: &mut Seen) -> Result<(), String> {
        let (topic, partition) = PLACES[spot];
        let marks = self.store.watermarks(topic, partition).map_err(|error| error.to_string())?;
        let end = match self.flaw {
            Flaw::LastStableIgnored => marks.high_watermark,
            _ => marks.last_stable,
        };
        seen.ends.insert(spot, end);
        seen.starts.insert(spot, marks.log_start);
        let mut from = marks.log_start;
        while from < end {
            let read = self.store.read_on(topic, partition, from, 700, self.isolation()).await;
            let read = read.map_err(|error| format!("{spot} at {from}: {error}"))?;
            if read.next <= from {
                return Err(format!("{spot}: a reader at {from} does not get on, {marks:?}"));
            }
            for found in read.records.iter().filter(|found| found.offset < end) {
                if found.offset < from {
                    return Err(format!("{spot}: {} comes after {from}", found.offset));
                }
                from = found.offset + 1;
                seen.note(spot, found)?;
            }
            from = from.max(read.next);
        }
        Ok(())
    }
}
