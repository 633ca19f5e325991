//! Reading `__consumer_offsets` back at a start.
//!
//! Guarantees: what was acknowledged is there again; of each key the last record counts; offsets
//! of transactions whose end is not in the log stay pending. A record of a kind nobody knows is
//! passed over; a batch that cannot be read ends the loading, because an offset that went back
//! would be read as a fact.
//! Left out: what to do then (coordinator).

use super::lanes::{OFFSETS_TOPIC, partition_of};
use super::registry::{Now, Registry};
use super::stored::{self, Key};
use crate::LogStore;
use crate::batch::{self, BatchHeader, Marker};
use bytes::Bytes;
use parking_lot::Mutex;
use tradewind_types::{Log, LogError, LogRecord, PartitionId};

/// How much of the log is read at once.
const READ_BYTES: usize = 1 << 20;

/// One partition being read.
struct Loading<'a> {
    partition: PartitionId,
    partitions: usize,
    registry: &'a Mutex<Registry>,
    now: Now,
}

/// Reads all partitions into `registry`.
pub(crate) async fn load(
    store: &LogStore,
    partitions: usize,
    registry: &Mutex<Registry>,
    now: Now,
) -> Result<(), LogError> {
    for partition in 0..partitions {
        let partition = partition as PartitionId;
        let loading = Loading { partition, partitions, registry, now };
        let marks = store.watermarks(OFFSETS_TOPIC, partition)?;
        let mut from = marks.log_start;
        while from < marks.high_watermark {
            let read = store.read_raw(OFFSETS_TOPIC, partition, from, READ_BYTES).await?;
            if read.bytes.is_empty() {
                return Err(loading.corrupt(0, format!("nothing can be read at {from}")));
            }
            from = loading.batches(&read.bytes)?.max(from + 1);
        }
    }
    Ok(())
}

impl Loading<'_> {
    /// Takes in whole batches; answers the offset after them.
    fn batches(&self, bytes: &Bytes) -> Result<i64, LogError> {
        let (mut position, mut end) = (0, 0);
        while position < bytes.len() {
            let header = batch::parse_header(&bytes[position..])
                .map_err(|reason| self.corrupt(position, reason))?;
            let batch = bytes.slice(position..position + header.bytes);
            let records = batch::decode_records(&header, &batch)
                .map_err(|reason| self.corrupt(position, reason))?;
            self.batch(&header, &batch, &records);
            position += header.bytes;
            end = header.end_offset();
        }
        Ok(end)
    }

    fn batch(&self, header: &BatchHeader, batch: &Bytes, records: &[LogRecord]) {
        let producer =
            header.transactional().then_some((header.producer_id, header.producer_epoch));
        let mut registry = self.registry.lock();
        if header.control() {
            if let Some(Marker { producer_id, producer_epoch, committed }) =
                Marker::read(header, batch)
            {
                let producer = (producer_id, producer_epoch);
                let touched = |group: &str| partition_of(group, self.partitions) == self.partition;
                registry.end_transaction(producer, committed, touched, self.now);
            }
            return;
        }
        for record in records {
            if let Err(error) = self.record(&mut registry, producer, record) {
                tracing::error!(partition = self.partition, offset = record.offset, %error,
                    "a record of {OFFSETS_TOPIC} cannot be read and is passed over");
            }
        }
    }

    fn record(
        &self,
        registry: &mut Registry,
        producer: Option<(i64, i16)>,
        LogRecord { offset, record }: &LogRecord,
    ) -> Result<(), stored::Unreadable> {
        let Some(key) = &record.key else { return Ok(()) };
        match (stored::read_key(key)?, &record.value) {
            (Key::Offset { group, place }, None) => {
                registry.remove_offset(&group, &place, self.now);
            }
            (Key::Offset { group, place }, Some(value)) => {
                let committed = stored::read_offset(value, *offset)?;
                match producer {
                    None => registry.put_offset(&group, place, committed, self.now),
                    Some(producer) => {
                        registry.put_pending(producer, &group, place, committed, self.now);
                    }
                }
            }
            (Key::Group { group }, value) => {
                let stored = value.as_ref().map(|value| stored::read_group(value)).transpose()?;
                registry.load_group(&group, stored, self.now);
            }
            (Key::Unknown, _) => {}
        }
        Ok(())
    }

    fn corrupt(&self, position: usize, reason: String) -> LogError {
        let file = format!("topic {OFFSETS_TOPIC}, partition {}", self.partition);
        LogError::Corrupt { file, position: position as u64, reason }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::LogSettings;
    use crate::group::GroupSettings;
    use crate::group::offsets::{Committed, Place};
    use std::path::Path;
    use std::sync::Arc;
    use tradewind_disk::SimDisk;
    use tradewind_types::{ManualClock, Record, TopicSpec};

    const NOW: Now = Now { steady_ms: 1, wall_ms: 1 };

    async fn store() -> LogStore {
        let settings = LogSettings { disk_reserve_bytes: 0, ..LogSettings::default() };
        let clock = Arc::new(ManualClock::at(1));
        let (store, _) =
            LogStore::open(SimDisk::new(1), Path::new("/log"), settings, clock).unwrap();
        store.create_topic(&TopicSpec::new(OFFSETS_TOPIC, 1)).await.unwrap();
        store
    }

    fn place() -> Place {
        ("t".into(), 0)
    }

    fn offset(group: &str, offset: i64) -> Record {
        let committed = Committed {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            committed_at_ms: 1,
            expires_at_ms: None,
            record: 0,
        };
        Record {
            key: Some(stored::offset_key(group, &place())),
            value: Some(stored::offset_value(&committed)),
            ..Record::default()
        }
    }

    /// Writes a batch, of a transaction if `producer` says so.
    async fn write(store: &LogStore, record: Record, producer: Option<i64>) {
        let mut bytes = batch::encode(&[record], usize::MAX).unwrap();
        let mut verified = None;
        if let Some(producer) = producer {
            batch::make_transactional(&mut bytes, producer, 0);
            verified = store.transaction_guard(OFFSETS_TOPIC, 0, (producer, 0)).unwrap();
        }
        let base = store.append_own(OFFSETS_TOPIC, 0, bytes, verified).await.unwrap();
        store.synced_to(OFFSETS_TOPIC, 0, base + 1).await.unwrap();
    }

    async fn end(store: &LogStore, producer_id: i64, committed: bool) {
        let marker = Marker { producer_id, producer_epoch: 0, committed };
        store.append_marker(OFFSETS_TOPIC, 0, marker).await.unwrap();
    }

    async fn loaded(store: &LogStore) -> Mutex<Registry> {
        let registry = Mutex::new(Registry::new(GroupSettings::default()));
        load(store, 1, &registry, NOW).await.unwrap();
        registry
    }

    #[tokio::test]
    async fn transactions_are_rebuilt_from_their_batches_and_markers() {
        let store = store().await;
        for (group, producer) in [("kept", 1), ("undone", 2), ("open", 3)] {
            write(&store, offset(group, 5), None).await;
            write(&store, offset(group, 9), Some(producer)).await;
        }
        end(&store, 1, true).await;
        end(&store, 2, false).await;
        let registry = loaded(&store).await;
        let registry = registry.lock();
        for (group, expected, pending) in
            [("kept", 9, false), ("undone", 5, false), ("open", 5, true)]
        {
            let offsets = &registry.get(group).unwrap().offsets;
            assert_eq!(offsets.get("t", 0).unwrap().offset, expected, "{group}");
            assert_eq!(offsets.is_pending("t", 0), pending, "{group}");
        }
        registry.check();
    }

    #[tokio::test]
    async fn what_was_removed_is_gone_and_strange_records_are_passed_over() {
        let store = store().await;
        write(&store, offset("gone", 5), None).await;
        write(&store, offset("left", 6), None).await;
        let key = Some(stored::offset_key("gone", &place()));
        write(&store, Record { key, ..Record::default() }, None).await;
        let odd = [&[0, 9, 1][..], &[0, 1, 0, 1, b'g'], &[0, 2, 0, 4, b'l', b'e', b'f', b't']];
        for key in odd {
            let key = Some(Bytes::copy_from_slice(key));
            let value = Some(Bytes::from_static(b"\0\x63"));
            write(&store, Record { key, value, ..Record::default() }, None).await;
        }
        let registry = loaded(&store).await;
        let registry = registry.lock();
        assert_eq!(registry.len(), 1);
        assert_eq!(registry.get("left").unwrap().offsets.get("t", 0).unwrap().offset, 6);
        registry.check();
    }
}
