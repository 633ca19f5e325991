//! A topic of the log as a source.
//!
//! Guarantees: rows of a partition come in order of their offsets, none twice and none left out
//! between two positions that the topic still has; tombstones are passed over and counted in the positions. At most
//! [`READ_BYTES`] a partition wait to be decoded.
//! Left out: sharing a decode between pipelines.

use super::TopicRead;
use super::decode::{Place, RawRecord, RowDecoder};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use tradewind_sql::StartupMode;
use tradewind_types::connector::Positions;
use tradewind_types::log::Isolation;
use tradewind_types::{
    Clock, Log, LogError, LogRecord, Offset, PartitionId, Source, SourceBatch, SourceError,
};

/// Bytes asked of the log at once and partition: some thousand events, decoded in a few ms.
pub(super) const READ_BYTES: usize = 1 << 20;

/// Where a topic is read, and by whom.
#[derive(Clone)]
pub struct TopicReader {
    /// The log.
    pub log: Arc<dyn Log>,
    /// For the time of a dead letter.
    pub clock: Arc<dyn Clock>,
    /// `pipeline:<name>`, for dead letters.
    pub name: String,
}

/// A topic being read.
pub struct TopicSource {
    reader: TopicReader,
    topic: String,
    decoder: RowDecoder,
    partitions: Vec<Partition>,
    /// The partition that is looked at first, so that none starves.
    first: usize,
    lost: u64,
}

/// One partition's place.
struct Partition {
    /// The next offset to hand out.
    position: Offset,
    /// Read and not handed out yet, from `position` on.
    waiting: VecDeque<LogRecord>,
    /// Where the read ended that gave what is waiting.
    next: Offset,
}

impl Partition {
    fn at(position: Offset) -> Self {
        Self { position, waiting: VecDeque::new(), next: position }
    }
}

impl TopicSource {
    /// A source at the start of every partition.
    ///
    /// # Errors
    /// There is no such topic, or a column's type has no form in the format.
    pub fn open(read: &TopicRead, reader: TopicReader) -> Result<Self, SourceError> {
        let no_topic = || LogError::NoTopic { topic: read.topic.clone() };
        let info = reader.log.topic(&read.topic).ok_or_else(no_topic)?;
        let mut partitions = Vec::new();
        for partition in 0..info.partitions {
            let position = reader.log.watermarks(&read.topic, partition)?.log_start;
            partitions.push(Partition::at(position));
        }
        Ok(Self {
            reader,
            topic: read.topic.clone(),
            decoder: RowDecoder::new(
                &read.table,
                &read.format,
                &read.all_columns,
                read.key.as_ref(),
                &read.read,
            )?,
            partitions,
            first: 0,
            lost: 0,
        })
    }

    /// Goes where a pipeline without a checkpoint starts.
    ///
    /// # Errors
    /// The log cannot say where that is.
    pub async fn seek_to(&mut self, startup: StartupMode) -> Result<(), SourceError> {
        for index in 0..self.partitions.len() {
            let marks = self.reader.log.watermarks(&self.topic, index as PartitionId)?;
            let position = match startup {
                StartupMode::Earliest => marks.log_start,
                StartupMode::Latest => marks.last_stable,
                StartupMode::Timestamp(millis) => {
                    let log = &self.reader.log;
                    let found = log.offset_at(&self.topic, index as PartitionId, millis).await?;
                    found.unwrap_or(marks.last_stable)
                }
            };
            self.partitions[index] = Partition::at(position);
        }
        Ok(())
    }

    /// Fills `waiting` of a partition if it is empty and there is something to read.
    async fn fill(&mut self, index: usize) -> Result<(), SourceError> {
        if !self.partitions[index].waiting.is_empty() {
            return Ok(());
        }
        let number = index as PartitionId;
        let marks = self.reader.log.watermarks(&self.topic, number)?;
        self.skip_what_is_gone(index, marks.log_start);
        let partition = &mut self.partitions[index];
        if partition.position >= marks.last_stable {
            return Ok(());
        }
        let log = &self.reader.log;
        let (from, isolation) = (partition.position, Isolation::ReadCommitted);
        let read = log.read_on(&self.topic, number, from, READ_BYTES, isolation).await;
        let read = match read {
            // Retention came between the look and the read: the next poll sees where it is now.
            Err(LogError::OutOfRange { log_start, .. }) if log_start > partition.position => {
                return Ok(());
            }
            other => other?,
        };
        partition.waiting =
            read.records.into_iter().filter(|record| record.offset >= from).collect();
        partition.next = read.next;
        if partition.waiting.is_empty() {
            // Only what readers are not shown: it is read.
            partition.position = read.next;
        }
        Ok(())
    }

    fn skip_what_is_gone(&mut self, index: usize, log_start: Offset) {
        let partition = &mut self.partitions[index];
        if partition.position < log_start {
            let lost = (log_start - partition.position) as u64;
            tracing::error!(
                reader = self.reader.name,
                topic = self.topic,
                partition = index,
                lost,
                "records were removed by retention before they were read"
            );
            self.lost += lost;
            partition.position = log_start;
            partition.waiting.clear();
        }
    }

    /// Decodes up to `rows_max` waiting records of a partition.
    fn take(&mut self, index: usize, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let partition = &mut self.partitions[index];
        let count = rows_max.min(partition.waiting.len());
        let waiting: Vec<LogRecord> = partition.waiting.drain(..count).collect();
        partition.position = match waiting.last() {
            // The read went past what readers are not shown, and so does the position.
            Some(_) if partition.waiting.is_empty() => partition.next,
            Some(last) => last.offset + 1,
            None => partition.position,
        };
        let mut records = Vec::with_capacity(count);
        for LogRecord { offset, record } in &waiting {
            let timestamp_us = record.timestamp_ms.saturating_mul(1_000);
            let value = record.value.as_deref();
            let (offset, headers) = (*offset, record.headers.as_slice());
            let key = record.key.as_deref();
            let raw = |value| RawRecord { key, value, offset, timestamp_us, headers };
            records.extend(value.map(raw));
        }
        let place = Place {
            reader: &self.reader.name,
            name: &self.topic,
            partition: index as PartitionId,
            next_offset: partition.position,
            now_us: self.reader.clock.now_us(),
        };
        self.decoder.decode(&records, &place)
    }
}

#[async_trait]
impl Source for TopicSource {
    fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    async fn poll(&mut self, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let count = self.partitions.len();
        let mut left = rows_max;
        let mut batches = Vec::new();
        for step in 0..count {
            if left == 0 {
                break;
            }
            let index = (self.first + step) % count;
            self.fill(index).await?;
            // What is left is shared by the partitions that are still to come.
            let share = left.div_ceil(count - step);
            let before = self.partitions[index].waiting.len();
            if before > 0 {
                batches.extend(self.take(index, share)?);
                left -= before - self.partitions[index].waiting.len();
            }
        }
        self.first = (self.first + 1) % count.max(1);
        Ok(batches)
    }

    async fn ready(&mut self) -> Result<(), SourceError> {
        if self.partitions.iter().any(|partition| !partition.waiting.is_empty()) {
            return Ok(());
        }
        let seen: Vec<Offset> =
            self.partitions.iter().map(|partition| partition.position).collect();
        Ok(self.reader.log.wait(&self.topic, &seen).await?)
    }

    fn lost(&self) -> u64 {
        self.lost
    }

    fn positions(&self) -> Positions {
        let position =
            |(index, partition): (usize, &Partition)| (index as PartitionId, partition.position);
        self.partitions.iter().enumerate().map(position).collect()
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), SourceError> {
        let error = |reason| SourceError::Position { source_name: self.topic.clone(), reason };
        if positions.keys().any(|partition| *partition as usize >= self.partitions.len()) {
            return Err(error(format!(
                "it has {} partitions, the positions name {}",
                self.partitions.len(),
                positions.len()
            )));
        }
        for (partition, position) in positions {
            let marks = self.reader.log.watermarks(&self.topic, *partition)?;
            if *position > marks.high_watermark {
                return Err(error(format!(
                    "position {position} of partition {partition} is past the log's end at {}: acknowledged records are gone, or this is another log",
                    marks.high_watermark
                )));
            }
        }
        for (partition, position) in positions {
            self.partitions[*partition as usize] = Partition::at(*position);
        }
        Ok(())
    }
}
