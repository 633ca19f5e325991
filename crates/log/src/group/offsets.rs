//! The offsets of one group: committed ones, and those of transactions that have not ended.
//!
//! Guarantees: of two offsets for one partition the one that lies later in the log counts, in
//! whatever order they are told of; a committed offset therefore never goes back to an older one.
//! Left out: writing them down, which comes first, and what they cost in all (registry).

use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::{Offset, PartitionId};

/// What an offset takes in memory beside its texts.
const OFFSET_BYTES: usize = 160;

/// An offset a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next record the group wants.
    pub(crate) offset: Offset,
    /// The leader epoch of the record before, or -1.
    pub(crate) leader_epoch: i32,
    /// The client's own words.
    pub(crate) metadata: Arc<str>,
    /// When it was committed, milliseconds since the Unix epoch.
    pub(crate) committed_at_ms: i64,
    /// When it goes whatever the retention says: old clients name a time.
    pub(crate) expires_at_ms: Option<i64>,
    /// Where its record lies in `__consumer_offsets`.
    pub(crate) record: Offset,
}

/// A topic's partition.
pub(crate) type Place = (Arc<str>, PartitionId);

/// A group's offsets.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<Place, Committed>,
    /// By partition, then by producer.
    pending: BTreeMap<Place, BTreeMap<i64, Committed>>,
    bytes: usize,
}

impl Offsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Bytes they take in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, topic: &str, partition: PartitionId) -> Option<&Committed> {
        // A key of borrowed parts would need a type of its own; topics are few letters.
        self.committed.get(&(Arc::from(topic), partition))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &Committed)> {
        self.committed.iter()
    }

    /// Every partition that has an offset, committed or pending.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.committed.keys().cloned().collect();
        places.extend(self.pending.keys().filter(|at| !self.committed.contains_key(*at)).cloned());
        places
    }

    /// Whether an open transaction holds an offset for this partition.
    pub(crate) fn is_pending(&self, topic: &str, partition: PartitionId) -> bool {
        !self.pending.is_empty() && self.pending.contains_key(&(Arc::from(topic), partition))
    }

    /// A committed offset, unless a later one is known.
    pub(crate) fn put(&mut self, place: Place, offset: Committed) {
        let known = self.committed.get(&place);
        if known.is_some_and(|known| known.record > offset.record) {
            return;
        }
        self.bytes -= known.map_or(0, |known| bytes(&place, known));
        self.bytes += bytes(&place, &offset);
        self.committed.insert(place, offset);
    }

    /// An offset that counts once the producer's transaction is committed.
    pub(crate) fn put_pending(&mut self, producer: i64, place: Place, offset: Committed) {
        self.bytes += bytes(&place, &offset);
        let before = self.pending.entry(place.clone()).or_default().insert(producer, offset);
        self.bytes -= before.map_or(0, |before| bytes(&place, &before));
    }

    /// Takes out all that is known of a partition.
    pub(crate) fn remove(&mut self, place: &Place) {
        let committed = self.committed.remove(place);
        let pending = self.pending.remove(place).unwrap_or_default();
        let gone = committed.iter().chain(pending.values());
        self.bytes -= gone.map(|offset| bytes(place, offset)).sum::<usize>();
    }

    /// Ends a producer's transaction.
    pub(crate) fn end(&mut self, producer: i64, committed: bool) {
        let mut ended = Vec::new();
        self.pending.retain(|place, by_producer| {
            if let Some(offset) = by_producer.remove(&producer) {
                ended.push((place.clone(), offset));
            }
            !by_producer.is_empty()
        });
        for (place, offset) in ended {
            self.bytes -= bytes(&place, &offset);
            if committed {
                self.put(place, offset);
            }
        }
    }

    /// The partitions whose offsets are past their time. `since_ms` is when the group's offsets
    /// ceased to be of use, if it did; else each counts from its own commit.
    pub(crate) fn expired(
        &self,
        since_ms: Option<i64>,
        now_ms: i64,
        retention_ms: i64,
        keeps: impl Fn(&str) -> bool,
    ) -> Vec<Place> {
        let over = |offset: &Committed| match offset.expires_at_ms {
            Some(at) => now_ms >= at,
            None => {
                let since = offset.committed_at_ms.max(since_ms.unwrap_or(i64::MIN));
                now_ms.saturating_sub(since) >= retention_ms
            }
        };
        let due = self.committed.iter().filter(|(place, offset)| {
            over(offset) && !self.pending.contains_key(*place) && !keeps(&place.0)
        });
        due.map(|(place, _)| place.clone()).collect()
    }
}

/// What an offset takes in memory.
pub(crate) fn bytes((topic, _): &Place, offset: &Committed) -> usize {
    OFFSET_BYTES + topic.len() + offset.metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: Offset, record: Offset) -> Committed {
        Committed {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            committed_at_ms: 1_000,
            expires_at_ms: None,
            record,
        }
    }

    fn place() -> Place {
        ("t".into(), 0)
    }

    #[test]
    fn the_later_record_counts_in_whatever_order_they_come() {
        let mut offsets = Offsets::default();
        offsets.put(place(), at(7, 11));
        offsets.put(place(), at(5, 10));
        assert_eq!(offsets.get("t", 0).map(|found| found.offset), Some(7));
        // A rewind is a later record.
        offsets.put(place(), at(2, 12));
        assert_eq!(offsets.get("t", 0).map(|found| found.offset), Some(2));
    }

    #[test]
    fn pending_offsets_count_when_their_transaction_is_committed() {
        let mut offsets = Offsets::default();
        offsets.put_pending(1, place(), at(7, 10));
        offsets.put_pending(2, place(), at(8, 11));
        assert!(offsets.is_pending("t", 0) && offsets.get("t", 0).is_none());
        offsets.end(1, true);
        assert!(offsets.is_pending("t", 0));
        offsets.end(2, false);
        assert!(!offsets.is_pending("t", 0));
        assert_eq!(offsets.get("t", 0).map(|found| found.offset), Some(7));
        // A plain commit that came after the pending one stays.
        offsets.put_pending(1, place(), at(9, 12));
        offsets.put(place(), at(20, 13));
        offsets.end(1, true);
        assert_eq!(offsets.get("t", 0).map(|found| found.offset), Some(20));
    }

    #[test]
    fn bytes_come_back() {
        let mut offsets = Offsets::default();
        offsets.put(place(), at(1, 1));
        offsets.put(place(), at(2, 2));
        offsets.put_pending(1, place(), at(3, 3));
        offsets.put_pending(1, place(), at(4, 4));
        offsets.end(1, true);
        assert_eq!(offsets.bytes(), bytes(&place(), &at(0, 0)));
        offsets.put_pending(1, place(), at(5, 5));
        offsets.remove(&place());
        assert_eq!((offsets.bytes(), offsets.is_empty()), (0, true));
    }

    #[test]
    fn retention_counts_from_the_commit_or_from_the_groups_end() {
        let mut offsets = Offsets::default();
        offsets.put(place(), at(1, 1));
        let expired = |since, now| offsets.expired(since, now, 500, |_| false).len();
        assert_eq!((expired(None, 1_499), expired(None, 1_500)), (0, 1));
        assert_eq!((expired(Some(2_000), 2_499), expired(Some(2_000), 2_500)), (0, 1));
        assert!(offsets.expired(None, 9_999, 500, |topic| topic == "t").is_empty());
    }
}
