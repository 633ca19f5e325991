//! The store as the `Log` every other crate meets.
//!
//! Guarantees: those of the trait. Left out: what only the wire needs (`LogStore`'s own methods).

use super::{LogStore, RawAppended, Topic};
use crate::batch;
use crate::blocking;
use crate::partition::{Append, Batches, Origin, Partition, Pieces};
use crate::segment::AbortedBatches;
use crate::transactions::OwnWriter;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tradewind_types::log::{
    Appended, BadRecords, Isolation, PartitionFigures, Records, Watermarks,
};
use tradewind_types::{
    Log, LogError, LogRecord, Offset, PartitionId, Producer, Record, TopicInfo, TopicSpec,
    TopicWriter,
};

#[async_trait]
impl Log for LogStore {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.make_topic(spec).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.unmake_topic(topic).await
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.inner.topics.read().by_name.values().map(|topic| topic.info()).collect()
    }

    fn topic(&self, topic: &str) -> Option<TopicInfo> {
        self.inner.topics.read().by_name.get(topic).map(|topic| topic.info())
    }

    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        let appended = self.append_records(topic, partition, records).await?;
        Ok(Appended { base_offset: appended.base_offset })
    }

    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let mut from = from;
        loop {
            let isolation = Isolation::ReadCommitted;
            let read = self.read_on(topic, partition, from, max_bytes, isolation).await?;
            if !read.records.is_empty() || read.next == from {
                return Ok(read.records);
            }
            from = read.next;
        }
    }

    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Records, LogError> {
        let (_, found) = self.partition(topic, partition)?;
        let pieces = found.read(from, max_bytes, isolation).await?;
        let place = format!("topic {topic}, partition {partition}");
        if !compressed(&pieces) {
            return decode(&pieces, from, max_bytes, &place);
        }
        let _permit = self.inner.inflating.acquire().await.expect("it is never closed");
        blocking::run(move || decode(&pieces, from, max_bytes, &place)).await
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        self.partition(topic, partition).map(|(_, partition)| partition.watermarks())
    }

    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        let isolation = Isolation::ReadCommitted;
        self.offset_at_isolated(topic, partition, timestamp_ms, isolation).await
    }

    async fn wait(&self, topic: &str, seen: &[Offset]) -> Result<(), LogError> {
        self.wait_for(topic, seen, Isolation::ReadCommitted).await
    }

    fn figures(&self) -> Vec<PartitionFigures> {
        self.stats()
    }

    fn writer(&self) -> Option<Arc<dyn TopicWriter>> {
        Some(Arc::new(OwnWriter::new(self.clone())))
    }

    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>) {
        // A pipeline may let go of a topic that is gone.
        if let Ok((_, partition)) = self.partition(topic, partition) {
            partition.hold(holder, offset);
        }
    }
}

impl LogStore {
    /// Appends records as one batch, durably, in a topic's own time where it has one.
    pub(crate) async fn append_records(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<RawAppended, LogError> {
        let found = self.partition(topic, partition)?;
        self.append_encoded(found, records, None, true).await
    }

    /// Appends records made in this process as one batch, in a transaction of theirs or in none.
    pub(super) async fn append_encoded(
        &self,
        (topic, partition): (Arc<Topic>, Arc<Partition>),
        records: Vec<Record>,
        producer: Option<Producer>,
        durable: bool,
    ) -> Result<RawAppended, LogError> {
        let config = topic.config.get();
        if config.cleanup.compact && records.iter().any(|record| record.key.is_none()) {
            let reason =
                format!("topic {:?} is compacted by key, and a record has none", topic.file.name);
            return Err(LogError::InvalidRecord(BadRecords { reason, records: Vec::new() }));
        }
        let mut bytes =
            batch::encode(&records, config.max_message_bytes).map_err(LogError::Invalid)?;
        drop(records);
        let mut origin = Origin::Own;
        if let Some(Producer { id, epoch }) = producer {
            batch::make_transactional(&mut bytes, id, epoch);
            origin = Origin::Pipeline;
        }
        let header = batch::parse_header(&bytes).expect("it was encoded just now");
        let spans = vec![batch::BatchSpan { position: 0, header }];
        let append = Append { batches: Batches::Own(bytes), spans, origin };
        let codec = config.compression.codec();
        let bytes_max = config.max_message_bytes;
        let mut append = match codec {
            None | Some(batch::Compression::None) => append,
            codec => blocking::run(move || append.compressed(codec, bytes_max)).await?,
        };
        let append_time_ms = self.stamp(&topic, &mut append);
        let base_offset = partition.append(append, durable).await?;
        let log_start = partition.watermarks().log_start;
        Ok(RawAppended { base_offset, append_time_ms, log_start })
    }

    /// As [`Log::offset_at`], for a reader of `isolation`.
    pub(crate) async fn offset_at_isolated(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
        isolation: Isolation,
    ) -> Result<Option<Offset>, LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        let found = partition.offset_at(timestamp_ms).await?;
        Ok(found.filter(|offset| *offset < partition.watermarks().end(isolation)))
    }

    /// As [`Log::wait`], for a reader of `isolation`.
    pub(crate) async fn wait_for(
        &self,
        topic: &str,
        seen: &[Offset],
        isolation: Isolation,
    ) -> Result<(), LogError> {
        let known = self.topic_named(topic)?;
        loop {
            // Woken in the order of waiting, which a `watch` does not promise: a simulation is to
            // repeat from its seed.
            let changed = known.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.inner.closed.load(Ordering::Relaxed) {
                return Err(LogError::Busy("it is closed".into()));
            }
            // Looked up again each time: it may have more partitions by now.
            let now = self.topic_named(topic)?;
            if known.file.id != now.file.id {
                return Err(LogError::NoTopic { topic: topic.to_owned() });
            }
            if now.is_past(seen, isolation)? {
                return Ok(());
            }
            changed.await;
        }
    }
}

impl Topic {
    /// Whether some partition can be read past what was `seen`.
    fn is_past(&self, seen: &[Offset], isolation: Isolation) -> Result<bool, LogError> {
        if self.deleted.load(Ordering::Relaxed) {
            return Err(LogError::NoTopic { topic: self.file.name.clone() });
        }
        Ok(self.partitions.iter().enumerate().any(|(index, partition)| {
            let watermarks = partition.watermarks();
            let seen = seen.get(index).copied().unwrap_or(watermarks.log_start);
            watermarks.end(isolation) > seen
        }))
    }
}

fn compressed(pieces: &Pieces) -> bool {
    let any = |piece: &bytes::Bytes| {
        let mut position = 0;
        while let Ok(header) = batch::parse_header(&piece[position..]) {
            if header.compressed() {
                return true;
            }
            position += header.bytes;
            if position >= piece.len() {
                break;
            }
        }
        false
    };
    pieces.pieces.iter().any(any)
}

/// The records from `from` on that are to be shown, and where those that follow begin. Stops once they stand in `max_bytes` of memory, which compressed
/// batches reach long before the bytes read do.
fn decode(
    pieces: &Pieces,
    from: Offset,
    max_bytes: usize,
    place: &str,
) -> Result<Records, LogError> {
    let aborted = AbortedBatches::new(&pieces.aborted);
    let mut out = Vec::new();
    let (mut bytes, mut next) = (0, from);
    for piece in &pieces.pieces {
        let mut position = 0;
        while position < piece.len() && (out.is_empty() || bytes < max_bytes) {
            let corrupt = |reason| LogError::Corrupt {
                file: place.to_owned(),
                position: position as u64,
                reason,
            };
            let header = batch::parse_header(&piece[position..]).map_err(corrupt)?;
            if !header.control() && !aborted.hold(&header) {
                let batch = piece.slice(position..position + header.bytes);
                bytes +=
                    batch::decode_records_at(&header, &batch, from, &mut out).map_err(corrupt)?;
            }
            next = header.end_offset();
            position += header.bytes;
        }
    }
    Ok(Records { records: out, next })
}
