//! Topics: `'connector' = 'kafka'` and `'upsert-kafka'`.
//!
//! Guarantees: with exactly-once delivery the rows of an epoch are one transaction of the log, which
//! is durable when the epoch is staged and committed when its manifest is there: readers of what is
//! committed see each row once, whatever fails. Records of a key are in one partition, in the order
//! of their rows. A row that fits into no batch of the topic is a dead letter.
//! Left out: what a crash has left open, which is settled before any sink is opened
//! ([`crate::stream::transactions`]).

mod encode;
mod json;
mod records;

use super::SinkEnvironment;
use crate::stream::plan::SinkPlan;
use crate::stream::transactions::{OpenTransaction, log_failed};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::future::try_join_all;
use parking_lot::Mutex;
use records::{Made, MadeRecords, RecordMaker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewind_sql::{Delivery, Partitioner, TableDefinition, TopicTable};
use tradewind_types::connector::Committer;
use tradewind_types::{
    DeadLetter, Epoch, LogError, Offset, PartitionId, Producer, Record, Sink, SinkError, Staged,
    TopicLimits, TopicWriter, partition_of,
};

/// Readers of what is committed wait at most about so long for a row, in milliseconds: a commit is
/// a handful of fsyncs, which once in a second costs nothing worth counting.
const COMMIT_WITHIN_MS: u64 = 1_000;
/// A batch is at most so large: what the log writes at once.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What a record takes beside its key, value and headers, at most: seven variable-length numbers.
const RECORD_BYTES: usize = 50;
/// What a header takes beside name and value.
const HEADER_BYTES: usize = 10;
/// What a batch takes beside its records.
const BATCH_BYTES: usize = 61;
/// An append that finds the log busy is tried again so often, after a wait that doubles from 10 ms:
/// some twenty seconds, in which a disk that works catches up.
const BUSY_ATTEMPTS: u32 = 11;
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// Writes a topic.
pub(super) struct TopicSink {
    table: String,
    topic: String,
    writer: Arc<dyn TopicWriter>,
    maker: RecordMaker,
    partitioner: Partitioner,
    /// Where the next record without a key goes.
    next_partition: PartitionId,
    /// `None` where rows are seen at once.
    transactions: Option<Transactions>,
    /// The end of what the open epoch has appended, by partition.
    ends: BTreeMap<PartitionId, Offset>,
    rows: u64,
    bytes: usize,
    rejected: Vec<DeadLetter>,
    /// Why the open epoch is not whole: nothing more is written, and nothing of it committed.
    broken: Option<String>,
}

/// The transactions of a sink: those of two epochs in turn, since rows are written while the epoch
/// before is committed.
struct Transactions {
    writers: Arc<Writers>,
    /// Which of them the open epoch writes in.
    turn: usize,
    /// The partitions that are part of it.
    spanned: BTreeSet<PartitionId>,
}

/// Transactional ids, and who writes under each, once somebody does.
struct Writers {
    ids: [String; 2],
    producers: Mutex<[Option<Producer>; 2]>,
}

impl TopicSink {
    pub(super) fn open(
        table: &TableDefinition,
        topic: &TopicTable,
        plan: &SinkPlan,
        environment: &SinkEnvironment,
    ) -> Result<Self, SinkError> {
        let failed = |reason: String| SinkError::Permanent { table: table.name.clone(), reason };
        let Some(log) = environment.writer.clone() else {
            return Err(failed("topics are in a data folder, and there is none here".into()));
        };
        let limits = log.limits(&topic.topic).map_err(|error| log_failed(&table.name, &error))?;
        if limits.wants_keys && topic.key.is_none() {
            let topic = &topic.topic;
            let reason =
                format!("topic {topic:?} is compacted by key, and the table has no 'key.fields'");
            return Err(failed(reason));
        }
        let prefix = topic.writing.transactional_id_prefix.as_deref();
        let transactions =
            (topic.writing.delivery == Delivery::ExactlyOnce).then(|| Transactions {
                writers: Arc::new(Writers {
                    ids: [0, 1].map(|turn| OpenTransaction::id(prefix, &environment.id, turn)),
                    producers: Mutex::default(),
                }),
                turn: 0,
                spanned: BTreeSet::new(),
            });
        Ok(Self {
            table: table.name.clone(),
            topic: topic.topic.clone(),
            writer: log,
            maker: RecordMaker::new(table, topic, plan, environment).map_err(failed)?,
            partitioner: topic.writing.partitioner,
            next_partition: 0,
            transactions,
            ends: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            rejected: Vec::new(),
            broken: None,
        })
    }

    fn failed(&self, error: &LogError) -> SinkError {
        log_failed(&self.table, error)
    }

    fn check_whole(&self) -> Result<(), SinkError> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => Err(SinkError::Transient {
                table: self.table.clone(),
                reason: format!("an append has failed before: {reason}"),
            }),
        }
    }

    /// The records of each partition, in batches that fit. What fits nowhere is rejected.
    fn batches(
        &mut self,
        made: Vec<Made>,
        rows: &[RecordBatch],
        limits: TopicLimits,
    ) -> BTreeMap<PartitionId, Vec<Vec<Record>>> {
        let mut partitions: BTreeMap<PartitionId, Batches> = BTreeMap::new();
        let fixed = self.next_partition % limits.partitions.max(1);
        for one in made {
            let bytes = bound(&one.record);
            if let Some(reason) = self.unfit(&one.record, bytes, limits) {
                self.rejected.push(self.maker.too_large(rows, &one, reason));
                continue;
            }
            let partition = self.partition(one.record.key.as_deref(), fixed, limits.partitions);
            let bytes_max = BATCH_BYTES_MAX.min(limits.batch_bytes_max);
            partitions.entry(partition).or_default().push(one.record, bytes, bytes_max);
            self.rows += 1;
            self.bytes += bytes;
        }
        if self.partitioner == Partitioner::Default {
            self.next_partition = (fixed + 1) % limits.partitions.max(1);
        }
        partitions.into_iter().map(|(partition, batches)| (partition, batches.all)).collect()
    }

    /// Why a record can never be in the topic, if it cannot.
    fn unfit(&self, record: &Record, bytes: usize, limits: TopicLimits) -> Option<String> {
        let topic = &self.topic;
        if limits.wants_keys && record.key.is_none() {
            return Some(format!("topic {topic:?} is compacted by key, and this row has none"));
        }
        let max = limits.batch_bytes_max;
        if BATCH_BYTES + bytes <= max {
            return None;
        }
        let exact = self.writer.batch_bytes(std::slice::from_ref(record));
        (exact > max).then(|| {
            format!("it is a record of {exact} bytes, and topic {topic:?} takes {max} (`max.message.bytes`)")
        })
    }

    fn partition(&mut self, key: Option<&[u8]>, fixed: PartitionId, count: i32) -> PartitionId {
        match (self.partitioner, key) {
            (Partitioner::Default, Some(key)) => partition_of(key, count),
            (Partitioner::Default, None) => fixed,
            (Partitioner::Fixed, _) => 0,
            (Partitioner::RoundRobin, _) => {
                let partition = self.next_partition % count.max(1);
                self.next_partition = (partition + 1) % count.max(1);
                partition
            }
        }
    }

    /// Who writes the open epoch: begins its transaction, and makes `partitions` part of it.
    async fn producer(
        &mut self,
        partitions: BTreeSet<PartitionId>,
    ) -> Result<Option<Producer>, LogError> {
        let Some(transactions) = &mut self.transactions else { return Ok(None) };
        let (turn, writers) = (transactions.turn, &transactions.writers);
        let (id, known) = (&writers.ids[turn], writers.producers.lock()[turn]);
        let producer = match known {
            Some(producer) => producer,
            None => self.writer.begin(id).await?,
        };
        writers.producers.lock()[turn] = Some(producer);
        if !partitions.is_subset(&transactions.spanned) {
            let fresh = &partitions - &transactions.spanned;
            self.writer.span(id, producer, &self.topic, &fresh).await?;
            transactions.spanned.extend(fresh);
        }
        Ok(Some(producer))
    }

    /// Appends batches, those of a partition in their order.
    async fn append(
        &mut self,
        partitions: BTreeMap<PartitionId, Vec<Vec<Record>>>,
    ) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let producer = self.producer(partitions.keys().copied().collect()).await?;
        let (writer, topic) = (&self.writer, &self.topic);
        let appends = partitions.into_iter().map(async |(partition, batches)| {
            let mut end = 0;
            for records in batches {
                end = append_patiently(&**writer, producer, topic, partition, records).await?;
            }
            Ok::<_, LogError>((partition, end))
        });
        let ends = try_join_all(appends).await?;
        self.ends.extend(ends);
        Ok(())
    }
}

/// Records in batches.
#[derive(Default)]
struct Batches {
    all: Vec<Vec<Record>>,
    /// Bytes of the last one.
    bytes: usize,
}

impl Batches {
    fn push(&mut self, record: Record, bytes: usize, bytes_max: usize) {
        match self.all.last_mut() {
            Some(last) if BATCH_BYTES + self.bytes + bytes <= bytes_max => last.push(record),
            _ => {
                self.all.push(vec![record]);
                self.bytes = 0;
            }
        }
        self.bytes += bytes;
    }
}

/// What a record takes in a batch, at most.
fn bound(record: &Record) -> usize {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| {
        HEADER_BYTES + name.len() + value.as_ref().map_or(0, |value| value.len())
    });
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    RECORD_BYTES + length(&record.key) + length(&record.value) + headers.sum::<usize>()
}

async fn append_patiently(
    writer: &dyn TopicWriter,
    producer: Option<Producer>,
    topic: &str,
    partition: PartitionId,
    records: Vec<Record>,
) -> Result<Offset, LogError> {
    let mut attempt = 1;
    loop {
        // Records are shared bytes: a copy is small.
        match writer.append(producer, topic, partition, records.clone()).await {
            // Nothing of it is kept.
            Err(LogError::Busy(reason)) if attempt < BUSY_ATTEMPTS => {
                tracing::debug!(topic, partition, reason, attempt, "the log is busy");
                tokio::time::sleep(BUSY_WAIT * 2_u32.pow(attempt - 1)).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

#[async_trait]
impl Sink for TopicSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        self.check_whole()?;
        let limits = self.writer.limits(&self.topic).map_err(|error| self.failed(&error))?;
        let maker = &self.maker;
        let MadeRecords { records, rejected } =
            crate::blocking::blocking(|| maker.records(&batches));
        self.rejected.extend(rejected);
        let partitions = self.batches(records, &batches, limits);
        let appended = self.append(partitions).await;
        appended.map_err(|error| {
            self.broken = Some(error.to_string());
            self.failed(&error)
        })
    }

    fn open_bytes(&self) -> usize {
        self.bytes
    }

    fn take_rejected(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.rejected)
    }

    fn commit_within_ms(&self) -> Option<u64> {
        self.transactions.as_ref().map(|_| COMMIT_WITHIN_MS)
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        self.check_whole()?;
        let (writer, topic) = (&self.writer, &self.topic);
        let synced =
            self.ends.iter().map(|(partition, end)| writer.synced_to(topic, *partition, *end));
        if let Err(error) = try_join_all(synced).await {
            self.broken = Some(error.to_string());
            return Err(self.failed(&error));
        }
        self.ends.clear();
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        let mut work = serde_json::Value::Null;
        if let Some(transactions) = self.transactions.as_mut().filter(|_| rows > 0) {
            let turn = transactions.turn;
            if let Some(producer) = transactions.writers.producers.lock()[turn] {
                let id = transactions.writers.ids[turn].clone();
                work = OpenTransaction { topic: topic.clone(), id, producer }.to_work();
            }
            transactions.turn = 1 - turn;
            transactions.spanned.clear();
        }
        Ok(Staged { table: self.table.clone(), epoch, rows, work })
    }

    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        match self.committer() {
            Some(mut committer) => committer.commit(staged).await,
            None => Ok(()),
        }
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(TopicCommitter {
            writer: self.writer.clone(),
            writers: self.transactions.as_ref().map(|it| Arc::clone(&it.writers)),
        }))
    }

    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError> {
        if let Some(staged) = last {
            self.commit(staged).await?;
        }
        for id in self.transactions.iter().flat_map(|transactions| &transactions.writers.ids) {
            self.writer.abort(id).await.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

/// Commits what a [`TopicSink`] has staged.
struct TopicCommitter {
    writer: Arc<dyn TopicWriter>,
    writers: Option<Arc<Writers>>,
}

#[async_trait]
impl Committer for TopicCommitter {
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        let Some(open) = OpenTransaction::of(staged) else { return Ok(()) };
        let next = self.writer.commit(&open.id, open.producer).await;
        let next = next.map_err(|error| log_failed(&staged.table, &error))?;
        let Some(writers) = &self.writers else { return Ok(()) };
        let mut producers = writers.producers.lock();
        for (id, known) in writers.ids.iter().zip(producers.iter_mut()) {
            if *id == open.id && *known == Some(open.producer) {
                *known = Some(next);
            }
        }
        Ok(())
    }
}
