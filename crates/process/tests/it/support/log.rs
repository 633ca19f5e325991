//! A log in memory: durable by decree.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;
use tradewind_types::log::{Appended, Isolation, Records, Watermarks};
use tradewind_types::{
    Log, LogError, LogRecord, Offset, PartitionId, Record, TopicInfo, TopicSpec,
};

#[derive(Default)]
struct Topic {
    id: u8,
    partitions: Vec<Partition>,
}

#[derive(Default, Clone)]
struct Partition {
    start: Offset,
    records: Vec<Record>,
    /// Offsets that readers are not shown: markers, and what was aborted.
    hidden: BTreeSet<Offset>,
}

/// Topics in memory. What is appended is there at once and for good.
pub(crate) struct MemoryLog {
    topics: Mutex<BTreeMap<String, Topic>>,
    changed: watch::Sender<u64>,
    holds: Mutex<BTreeMap<(String, String, PartitionId), Offset>>,
}

impl MemoryLog {
    pub(crate) fn new() -> Self {
        Self { topics: Mutex::default(), changed: watch::channel(0).0, holds: Mutex::default() }
    }

    pub(crate) fn put(&self, topic: &str, partition: PartitionId, value: Option<&[u8]>) {
        let mut topics = self.topics.lock();
        let partition = &mut topics.get_mut(topic).unwrap().partitions[partition as usize];
        partition.records.push(Record {
            timestamp_ms: 1_700_000_000_000 + partition.records.len() as i64,
            value: value.map(Bytes::copy_from_slice),
            ..Record::default()
        });
        drop(topics);
        self.changed.send_modify(|count| *count += 1);
    }

    /// As [`MemoryLog::put`], but readers are not shown it.
    pub(crate) fn put_hidden(&self, topic: &str, partition: PartitionId) {
        {
            let mut topics = self.topics.lock();
            let partition = &mut topics.get_mut(topic).unwrap().partitions[partition as usize];
            partition.hidden.insert(partition.records.len() as Offset);
        }
        self.put(topic, partition, Some(b"hidden"));
    }

    /// Retention: everything before `start` is gone.
    pub(crate) fn cut_start(&self, topic: &str, partition: PartitionId, start: Offset) {
        self.topics.lock().get_mut(topic).unwrap().partitions[partition as usize].start = start;
    }

    /// A log that has lost its end.
    pub(crate) fn cut_end(&self, topic: &str, partition: PartitionId, end: Offset) {
        let mut topics = self.topics.lock();
        topics.get_mut(topic).unwrap().partitions[partition as usize]
            .records
            .truncate(end as usize);
    }

    pub(crate) fn held(&self, holder: &str, topic: &str, partition: PartitionId) -> Option<Offset> {
        self.holds.lock().get(&(holder.into(), topic.into(), partition)).copied()
    }

    fn with<T>(
        &self,
        topic: &str,
        partition: PartitionId,
        look: impl FnOnce(&Partition) -> T,
    ) -> Result<T, LogError> {
        let topics = self.topics.lock();
        let found = topics.get(topic).ok_or(LogError::NoTopic { topic: topic.into() })?;
        let found = found.partitions.get(partition as usize);
        found.map(look).ok_or(LogError::NoPartition { topic: topic.into(), partition })
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let mut topics = self.topics.lock();
        if topics.contains_key(&spec.name) {
            return Err(LogError::TopicExists { topic: spec.name.clone() });
        }
        let id = topics.len() as u8 + 1;
        let partitions = vec![Partition::default(); spec.partitions as usize];
        topics.insert(spec.name.clone(), Topic { id, partitions });
        Ok(())
    }

    async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.topics.lock().remove(topic);
        Ok(())
    }

    fn topics(&self) -> Vec<TopicInfo> {
        let names: Vec<String> = self.topics.lock().keys().cloned().collect();
        names.iter().filter_map(|name| self.topic(name)).collect()
    }

    fn topic(&self, topic: &str) -> Option<TopicInfo> {
        let topics = self.topics.lock();
        let found = topics.get(topic)?;
        Some(TopicInfo {
            name: topic.into(),
            id: [found.id; 16],
            partitions: found.partitions.len() as i32,
            settings: BTreeMap::new(),
        })
    }

    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        let base_offset = self.with(topic, partition, |found| found.records.len() as Offset)?;
        for record in records {
            self.put(topic, partition, record.value.as_deref());
        }
        Ok(Appended { base_offset })
    }

    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let isolation = Isolation::ReadCommitted;
        Ok(self.read_on(topic, partition, from, max_bytes, isolation).await?.records)
    }

    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        _isolation: Isolation,
    ) -> Result<Records, LogError> {
        self.with(topic, partition, |found| {
            let end = found.records.len() as Offset;
            if from < found.start || from > end {
                return Err(LogError::OutOfRange {
                    topic: topic.into(),
                    partition,
                    offset: from,
                    log_start: found.start,
                    high_watermark: end,
                });
            }
            let mut bytes = 0;
            let all = found.records.iter().enumerate().skip(from as usize);
            let taken = all.take_while(|(_, record)| {
                let before = bytes;
                bytes += record.value.as_ref().map_or(0, |value| value.len());
                before < max_bytes
            });
            let mut read = Records { records: Vec::new(), next: from };
            for (offset, record) in taken {
                let offset = offset as Offset;
                read.next = offset + 1;
                if !found.hidden.contains(&offset) {
                    read.records.push(LogRecord { offset, record: record.clone() });
                }
            }
            Ok(read)
        })?
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        self.with(topic, partition, |found| Watermarks {
            log_start: found.start,
            last_stable: found.records.len() as Offset,
            high_watermark: found.records.len() as Offset,
        })
    }

    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        self.with(topic, partition, |found| {
            let at = found.records.iter().position(|record| record.timestamp_ms >= timestamp_ms);
            at.map(|offset| offset as Offset)
        })
    }

    async fn wait(&self, topic: &str, seen: &[Offset]) -> Result<(), LogError> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            for (partition, offset) in seen.iter().enumerate() {
                if self.watermarks(topic, partition as PartitionId)?.high_watermark > *offset {
                    return Ok(());
                }
            }
            changed.changed().await.map_err(|error| LogError::Invalid(error.to_string()))?;
        }
    }

    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>) {
        let key = (holder.to_string(), topic.to_string(), partition);
        match offset {
            Some(offset) => drop(self.holds.lock().insert(key, offset)),
            None => drop(self.holds.lock().remove(&key)),
        }
    }
}
