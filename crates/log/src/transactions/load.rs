//! `__transaction_state`: read when the coordinator is first needed, written at each change, and
//! written anew when most of it is history.
//!
//! Guarantees: the last record of a transactional id counts; what is written is durable on return;
//! the topic stays within [`REWRITE_BYTES`] and a segment of what its ids take.
//! Left out: what the states mean.

use super::{Coordinator, Entry, TransactionError, record};
use crate::transactions::Transaction;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tradewind_types::log::Isolation;
use tradewind_types::{Log, LogError, Offset, PartitionId, Record, TopicSpec};

/// The coordinator's topic.
pub(crate) const STATE_TOPIC: &str = "__transaction_state";
/// One fsync serves every transaction, so one partition is as fast as many.
const PARTITION: PartitionId = 0;
const SEGMENT_BYTES: u64 = 1 << 20;
/// Everything is written anew after so many bytes: what a start reads of history.
const REWRITE_BYTES: u64 = 4 << 20;
/// Room for a transaction over 100,000 topics with the longest names.
const RECORD_BYTES_MAX: usize = 32 << 20;
/// Read and written at a time.
const READ_BYTES: usize = 1 << 20;

fn unavailable(error: &LogError) -> TransactionError {
    TransactionError::Unavailable(error.to_string())
}

impl Coordinator {
    /// Reads what the topic holds, unless that was done, and finishes what was prepared.
    pub(crate) async fn load(&self) -> Result<(), TransactionError> {
        if self.loaded.load(Ordering::Acquire) {
            return Ok(());
        }
        let _loading = self.loading.lock().await;
        if self.loaded.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.store.topic(STATE_TOPIC).is_some() {
            let read = self.read_topic().await.inspect_err(
                |error| tracing::error!(%error, "the transactions' topic cannot be read"),
            )?;
            let spans = |entry: &Arc<Entry>| entry.state.lock().transaction.partitions.len();
            self.spanned.store(read.values().map(spans).sum(), Ordering::Relaxed);
            *self.entries.lock() = read;
        }
        self.loaded.store(true, Ordering::Release);
        Ok(())
    }

    async fn read_topic(&self) -> Result<HashMap<Arc<str>, Arc<Entry>>, TransactionError> {
        let marks = self.store.watermarks(STATE_TOPIC, PARTITION).map_err(|e| unavailable(&e))?;
        let mut states: BTreeMap<String, Transaction> = BTreeMap::new();
        let mut from = marks.log_start;
        while from < marks.high_watermark {
            let all = Isolation::ReadUncommitted;
            let read = self.store.read_on(STATE_TOPIC, PARTITION, from, READ_BYTES, all).await;
            let read = read.map_err(|error| unavailable(&error))?;
            for found in read.records {
                apply(&mut states, &found.record).map_err(|reason| {
                    TransactionError::Unavailable(format!(
                        "{STATE_TOPIC}-{PARTITION} at offset {}: {reason}",
                        found.offset
                    ))
                })?;
            }
            from = read.next;
        }
        let entry = |(id, transaction): (String, Transaction)| {
            let id: Arc<str> = id.into();
            (Arc::clone(&id), Arc::new(Entry::new(id, transaction)))
        };
        Ok(states.into_iter().map(entry).collect())
    }

    /// Writes the state of `id`, or that it is forgotten. Durable on return.
    pub(super) async fn write(
        &self,
        id: &str,
        state: Option<&Transaction>,
    ) -> Result<(), TransactionError> {
        self.make_topic().await?;
        let record = self.record(id, state);
        self.append(vec![record]).await.map(drop)
    }

    fn record(&self, id: &str, state: Option<&Transaction>) -> Record {
        Record {
            timestamp_ms: self.clock.now_ms(),
            key: Some(record::encode_key(id)),
            value: state.map(record::encode_value),
            headers: Vec::new(),
        }
    }

    async fn append(&self, records: Vec<Record>) -> Result<Offset, TransactionError> {
        let bytes: usize = records.iter().filter_map(|r| r.value.as_ref().map(|v| v.len())).sum();
        let appended = self.store.append(STATE_TOPIC, PARTITION, records).await;
        self.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        appended.map(|appended| appended.base_offset).map_err(|error| unavailable(&error))
    }

    async fn make_topic(&self) -> Result<(), TransactionError> {
        if self.store.topic(STATE_TOPIC).is_some() {
            return Ok(());
        }
        let setting = |name: &str, value: String| (name.to_owned(), value);
        let settings = BTreeMap::from([
            setting("retention.ms", "-1".into()),
            setting("retention.bytes", "-1".into()),
            setting("segment.bytes", SEGMENT_BYTES.to_string()),
            setting("max.message.bytes", RECORD_BYTES_MAX.to_string()),
        ]);
        let spec = TopicSpec { settings, ..TopicSpec::new(STATE_TOPIC, 1) };
        match self.store.create_topic(&spec).await {
            Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Writes every state anew, when that is due, and lets go of what was written before.
    pub(super) async fn rewrite_if_due(&self) -> Result<(), TransactionError> {
        if self.written_bytes.load(Ordering::Relaxed) < REWRITE_BYTES {
            return Ok(());
        }
        // Every change is either in memory by now, and so written again below, or comes after.
        let _writing = self.writing.write().await;
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        let mut first = None;
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (index, entry) in entries.iter().enumerate() {
            let record = self.record(&entry.id, Some(&entry.state.lock().transaction));
            bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
            records.push(record);
            if bytes >= READ_BYTES || index + 1 == entries.len() {
                let offset = self.append(std::mem::take(&mut records)).await?;
                first.get_or_insert(offset);
                bytes = 0;
            }
        }
        self.written_bytes.store(0, Ordering::Relaxed);
        if let Some(first) = first {
            let removed = self.store.remove_below(STATE_TOPIC, PARTITION, first).await;
            removed.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }
}

fn apply(states: &mut BTreeMap<String, Transaction>, found: &Record) -> Result<(), String> {
    let id = record::decode_key(found.key.as_deref().ok_or("a record without a key")?)?;
    match &found.value {
        Some(value) => drop(states.insert(id, record::decode_value(value)?)),
        None => drop(states.remove(&id)),
    }
    Ok(())
}
