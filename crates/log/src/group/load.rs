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
use crate::batch::{self, BatchHeader};
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

    fn batch(&self, header: &BatchHeader, batch: &[u8], records: &[LogRecord]) {
        let producer = batch::transaction_of(header, batch);
        let mut registry = self.registry.lock();
        if batch::is_control(header) {
            let key = records.first().and_then(|first| first.record.key.as_ref());
            if let (Some(producer), Some(key)) = (producer, key) {
                let committed = batch::says_commit(key);
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
