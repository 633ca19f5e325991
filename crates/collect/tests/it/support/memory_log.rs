//! A log in memory, whose appends can be held up, refused, or fail with an unknown outcome.

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tradewind_types::log::{Appended, Watermarks};
use tradewind_types::{
    Log, LogError, LogRecord, Offset, PartitionId, Record, TopicInfo, TopicSpec,
};

/// What becomes of the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Refused before anything was written.
    DiskReserve,
    Busy,
    /// An I/O error; the records turn up after a restart.
    FailedButKept,
    /// An I/O error; the records are gone.
    FailedAndLost,
    /// A bug in the log.
    Panic,
}

#[derive(Debug, Default)]
struct Topic {
    id: u8,
    partitions: Vec<Vec<LogRecord>>,
    limbo: Vec<(usize, Vec<Record>)>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    fates: VecDeque<Fate>,
    appends: usize,
    made: u8,
}

#[derive(Debug)]
pub(crate) struct MemoryLog {
    state: Mutex<State>,
    /// An append takes one permit to become durable.
    gate: Semaphore,
}

impl MemoryLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), gate: Semaphore::new(Semaphore::MAX_PERMITS) })
    }

    /// From now on appends wait for [`MemoryLog::let_pass`].
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_pass(&self, appends: usize) {
        self.gate.add_permits(appends);
    }

    pub(crate) fn next_fate(&self, fate: Fate) {
        self.state.lock().fates.push_back(fate);
    }

    /// Appends begun so far.
    pub(crate) fn appends(&self) -> usize {
        self.state.lock().appends
    }

    /// What a restart of the log does: what was kept becomes visible.
    pub(crate) fn restart(&self) {
        for topic in self.state.lock().topics.values_mut() {
            for (partition, records) in std::mem::take(&mut topic.limbo) {
                push(&mut topic.partitions[partition], records);
            }
        }
    }

    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let state = self.state.lock();
        let Some(topic) = state.topics.get(topic) else { return Vec::new() };
        topic.partitions.iter().flatten().map(|record| record.record.clone()).collect()
    }

    pub(crate) fn values(&self, topic: &str) -> Vec<Value> {
        let value = |record: Record| serde_json::from_slice(&record.value.unwrap()).unwrap();
        self.records(topic).into_iter().map(value).collect()
    }

    /// Forgets the last `count` records of every partition: a log restored from an old backup.
    pub(crate) fn cut(&self, topic: &str, count: usize) {
        for partition in &mut self.state.lock().topics.get_mut(topic).unwrap().partitions {
            partition.truncate(partition.len().saturating_sub(count));
        }
    }
}

fn push(partition: &mut Vec<LogRecord>, records: Vec<Record>) -> Offset {
    let base = partition.len() as Offset;
    let numbered = (base..).zip(records).map(|(offset, record)| LogRecord { offset, record });
    partition.extend(numbered);
    base
}

fn io_error() -> LogError {
    LogError::Io { path: "events-0".into(), source: std::io::Error::other("the disk went away") }
}

#[async_trait]
impl Log for MemoryLog {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let mut state = self.state.lock();
        if state.topics.contains_key(&spec.name) {
            return Err(LogError::TopicExists { topic: spec.name.clone() });
        }
        state.made += 1;
        let partitions = vec![Vec::new(); spec.partitions as usize];
        let topic = Topic { id: state.made, partitions, limbo: Vec::new() };
        state.topics.insert(spec.name.clone(), topic);
        Ok(())
    }

    async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.state.lock().topics.remove(topic);
        Ok(())
    }

    fn topics(&self) -> Vec<TopicInfo> {
        let names: Vec<String> = self.state.lock().topics.keys().cloned().collect();
        names.iter().filter_map(|name| self.topic(name)).collect()
    }

    fn topic(&self, name: &str) -> Option<TopicInfo> {
        let state = self.state.lock();
        let topic = state.topics.get(name)?;
        Some(TopicInfo {
            name: name.to_owned(),
            id: [topic.id; 16],
            partitions: topic.partitions.len() as i32,
            settings: BTreeMap::new(),
        })
    }

    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        self.state.lock().appends += 1;
        self.gate.acquire().await.unwrap().forget();
        let mut state = self.state.lock();
        let fate = state.fates.pop_front();
        let topic = state.topics.get_mut(topic).unwrap();
        match fate {
            None => {
                let base_offset = push(&mut topic.partitions[partition as usize], records);
                Ok(Appended { base_offset })
            }
            Some(Fate::DiskReserve) => Err(LogError::DiskReserve { available: 1, reserve: 2 }),
            Some(Fate::Busy) => Err(LogError::Busy("too much".into())),
            Some(Fate::FailedAndLost) => Err(io_error()),
            Some(Fate::Panic) => panic!("a bug in the log, on purpose"),
            Some(Fate::FailedButKept) => {
                topic.limbo.push((partition as usize, records));
                Err(io_error())
            }
        }
    }

    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let state = self.state.lock();
        let records = &state.topics[topic].partitions[partition as usize][from as usize..];
        let mut bytes = 0;
        let fits = |record: &&LogRecord| {
            let had = bytes;
            bytes += record.record.value.as_ref().map_or(0, bytes::Bytes::len);
            had < max_bytes
        };
        Ok(records.iter().take_while(fits).cloned().collect())
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        let state = self.state.lock();
        let high_watermark = state.topics[topic].partitions[partition as usize].len() as Offset;
        Ok(Watermarks { log_start: 0, last_stable: high_watermark, high_watermark })
    }

    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        let state = self.state.lock();
        let records = &state.topics[topic].partitions[partition as usize];
        let found = records.iter().find(|record| record.record.timestamp_ms >= timestamp_ms);
        Ok(found.map(|record| record.offset))
    }

    async fn wait(&self, _topic: &str, _seen: &[Offset]) -> Result<(), LogError> {
        std::future::pending().await
    }

    fn hold(&self, _: &str, _: &str, _: PartitionId, _: Option<Offset>) {}
}
