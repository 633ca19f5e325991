//! Writing to `__consumer_offsets`: a queue for each partition, written and made durable together.
//!
//! Guarantees: records lie in the log in the order they were queued; what follows a record is done
//! once it is durable, in the order of the log; whoever queued while an fsync was under way shares
//! the next one. Left out: what the records say.

use super::registry::Registry;
use crate::LogStore;
use crate::batch;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tradewind_types::{Log, LogError, Offset, PartitionId, Record};

/// The topic groups are kept in. Kafka's name.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Records are written together up to so many bytes: what one copy and one write are worth.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// What is done once a batch is durable, with its first offset, or failed.
pub(crate) type Then = Box<dyn FnOnce(&mut Registry, Result<Offset, &LogError>) + Send>;

/// A batch to be written.
pub(crate) struct Entry {
    batch: Vec<u8>,
    records: i64,
    /// The transaction it belongs to.
    part_of: Option<PartOf>,
    then: Then,
}

/// One partition's queue.
#[derive(Default)]
pub(crate) struct Lane {
    /// Bounded by the requests that may be worked on and the groups there may be: each has at most
    /// one batch here.
    queue: Mutex<VecDeque<Entry>>,
    /// Who writes the queue; what is written and not yet durable, by offset.
    written: tokio::sync::Mutex<()>,
    undone: Mutex<BTreeMap<Offset, Entry>>,
}

/// The records of one batch.
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    /// The transaction they belong to, if any.
    pub(crate) part_of: Option<PartOf>,
}

/// A producer's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartOf {
    /// The producer's id and epoch.
    pub(crate) producer: (i64, i16),
    /// What [`LogStore::transaction_guard`] said before the transaction's coordinator said that
    /// the partition is part of it.
    pub(crate) verified: Option<Offset>,
}

impl Lane {
    /// Queues a batch. Called with the registry locked, so that the order of the log is the order
    /// of its steps.
    ///
    /// # Errors
    /// [`LogError::Invalid`] when the records are more than one batch may hold.
    pub(crate) fn queue(
        &self,
        batch: &Batch,
        batch_bytes_max: usize,
        then: Then,
    ) -> Result<(), LogError> {
        let mut bytes =
            batch::encode(&batch.records, batch_bytes_max).map_err(LogError::Invalid)?;
        if let Some(PartOf { producer: (id, epoch), .. }) = batch.part_of {
            batch::make_transactional(&mut bytes, id, epoch);
        }
        let (records, part_of) = (batch.records.len() as i64, batch.part_of);
        self.queue.lock().push_back(Entry { batch: bytes, records, part_of, then });
        Ok(())
    }

    /// Writes what is queued, if nobody does already, and does what follows.
    pub(crate) async fn flush(
        &self,
        store: &LogStore,
        partition: PartitionId,
        registry: &Mutex<Registry>,
    ) {
        let mut end = None;
        let mut failed = None;
        {
            let _lead = self.written.lock().await;
            while let Some((bytes, entries)) = self.take() {
                let verified = entries[0].part_of.and_then(|part_of| part_of.verified);
                match store.append_own(OFFSETS_TOPIC, partition, bytes, verified).await {
                    Ok(base) => end = Some(self.note_written(base, entries)),
                    Err(error) => {
                        tracing::warn!(partition, %error, "{OFFSETS_TOPIC} could not be written");
                        fail(entries, registry, &error);
                    }
                }
            }
        }
        if let Some(end) = end {
            failed = store.synced_to(OFFSETS_TOPIC, partition, end).await.err();
        }
        match failed {
            None => self.finish(store, partition, registry),
            // What is written and not durable may turn up after a restart or not: nothing that
            // follows from it is done, and those who wait are told so.
            Some(error) => {
                let undone = std::mem::take(&mut *self.undone.lock());
                fail(undone.into_values().collect(), registry, &error);
            }
        }
    }

    /// Returns once everything that is in the log and durable has been done.
    pub(crate) async fn settle(
        &self,
        store: &LogStore,
        partition: PartitionId,
        registry: &Mutex<Registry>,
    ) {
        // Whoever writes notes what he has written before he lets go of this.
        let _lead = self.written.lock().await;
        self.finish(store, partition, registry);
    }

    /// The next stretch of the queue. What is part of a transaction is written by itself: the
    /// partition looks at the one producer of an append.
    fn take(&self) -> Option<(Vec<u8>, Vec<Entry>)> {
        let mut queue = self.queue.lock();
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        while let Some(next) = queue.front() {
            let alone = next.part_of.is_some();
            let full = alone || bytes.len() + next.batch.len() > WRITE_BYTES_MAX;
            if !entries.is_empty() && full {
                break;
            }
            bytes.extend_from_slice(&next.batch);
            let mut entry = queue.pop_front()?;
            entry.batch = Vec::new();
            entries.push(entry);
            if alone {
                break;
            }
        }
        (!entries.is_empty()).then_some((bytes, entries))
    }

    fn note_written(&self, base: Offset, entries: Vec<Entry>) -> Offset {
        let mut offset = base;
        let mut undone = self.undone.lock();
        for entry in entries {
            let records = entry.records;
            undone.insert(offset, entry);
            offset += records;
        }
        offset
    }

    /// Does what follows everything that is durable, in the order of the log.
    fn finish(&self, store: &LogStore, partition: PartitionId, registry: &Mutex<Registry>) {
        let Ok(marks) = store.watermarks(OFFSETS_TOPIC, partition) else { return };
        // The registry's lock makes the order: whoever holds it takes the oldest.
        let mut registry = registry.lock();
        let durable = {
            let mut undone = self.undone.lock();
            let later = undone.split_off(&marks.high_watermark);
            std::mem::replace(&mut *undone, later)
        };
        for (offset, entry) in durable {
            (entry.then)(&mut registry, Ok(offset));
        }
    }
}

fn fail(entries: Vec<Entry>, registry: &Mutex<Registry>, error: &LogError) {
    let mut registry = registry.lock();
    for entry in entries {
        (entry.then)(&mut registry, Err(error));
    }
}

/// The partition a group is kept in: Kafka's own choice, Java's hash of the id's UTF-16 units.
pub(crate) fn partition_of(group: &str, partitions: usize) -> PartitionId {
    let hash = group
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % i32::try_from(partitions.max(1)).unwrap_or(i32::MAX)
}

/// All partitions' queues.
pub(crate) type Lanes = Arc<[Lane]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_where_kafka_puts_them() {
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("ab", 50), (97 * 31 + 98) % 50);
        // Java's hashes of these are -648006740 and -475040212.
        assert_eq!(partition_of("console-consumer", 50), 648_006_740 % 50);
        assert_eq!(partition_of("my_group", 50), 475_040_212 % 50);
    }
}
