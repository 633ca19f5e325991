//! ListOffsets: the first offset, the last, the first at or after a time, the newest time's.
//!
//! Guarantees: nothing above the high watermark is named, and for who reads what is committed
//! nothing above the last stable offset; a special time is answered only in the versions that know
//! it.
//! Left out: tiered storage, whose special times answer as a log without tiers does.

use super::fetch::isolation;
use super::{Api, Pending, answered};
use crate::LogStore;
use crate::wire::WireError;
use crate::wire::broker::{Broker, LEADER_EPOCH};
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use std::sync::Arc;
use tradewind_types::log::{Isolation, Records};
use tradewind_types::{Log, LogError, Offset, PartitionId};

const PARTITION: Shape = Shape {
    fields: &[
        Field::new(Kind::Fixed(4)),
        Field::from(4, Kind::Fixed(4)),
        Field::new(Kind::Fixed(8)),
    ],
    tags: &[],
};
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "ListOffsets",
    key: 2,
    min: 1,
    max: 10,
    flexible_from: 6,
    request: &Shape {
        fields: &[
            Field::new(Kind::Fixed(4)),
            Field::from(2, Kind::Fixed(1)),
            Field::new(Kind::Array(&TOPIC)),
            Field::from(10, Kind::Fixed(4)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ListOffsetsRequest>,
};

/// Special times of the protocol.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// How much of the log is read at once while looking for the newest timestamp.
const SCAN_BYTES: usize = 256 * 1024;

/// A time and the offset it belongs to; -1 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    timestamp: i64,
    offset: Offset,
}

const NOTHING: Found = Found { timestamp: -1, offset: -1 };

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: ListOffsetsRequest = request.decode()?;
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in asked.topics {
        let isolation = isolation(asked.isolation_level);
        topics.push(list(&broker.store, topic, isolation, request.version).await);
    }
    Ok(answered(request.reply(&ListOffsetsResponse::default().with_topics(topics))?))
}

async fn list(
    store: &LogStore,
    topic: ListOffsetsTopic,
    isolation: Isolation,
    version: i16,
) -> ListOffsetsTopicResponse {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let index = partition.partition_index;
        let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
        let twice = topic.partitions.iter().filter(|p| p.partition_index == index).count() > 1;
        let place = Place { store, topic: &topic.name, partition: index, isolation };
        let found = match check(partition, twice, version) {
            Ok(()) => place.find(partition.timestamp).await.map_err(|error| of_log_error(&error)),
            Err(error) => Err(error),
        };
        partitions.push(match found {
            Err(error) => {
                let Found { timestamp, offset } = NOTHING;
                let response = response.with_timestamp(timestamp).with_offset(offset);
                response.with_error_code(number(error))
            }
            Ok(found) => response
                .with_timestamp(found.timestamp)
                .with_offset(found.offset)
                .with_leader_epoch(match found.offset {
                    0.. if version >= 4 => LEADER_EPOCH,
                    _ => -1,
                }),
        });
    }
    ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
}

/// Whether a partition is asked about in a way its version knows.
fn check(asked: &ListOffsetsPartition, twice: bool, version: i16) -> Result<(), ResponseError> {
    if twice {
        return Err(ResponseError::InvalidRequest);
    }
    let since = match asked.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        ..LATEST_TIERED => return Err(ResponseError::UnsupportedVersion),
        _ => 0,
    };
    if version < since {
        return Err(ResponseError::UnsupportedVersion);
    }
    let known = if version >= 4 { asked.current_leader_epoch } else { -1 };
    topics::check_leader_epoch(known)
}

/// A partition, as one who reads it sees it.
struct Place<'a> {
    store: &'a LogStore,
    topic: &'a str,
    partition: PartitionId,
    isolation: Isolation,
}

impl Place<'_> {
    async fn find(&self, timestamp: i64) -> Result<Found, LogError> {
        let watermarks = self.store.watermarks(self.topic, self.partition)?;
        let end = watermarks.end(self.isolation);
        match timestamp {
            LATEST => Ok(Found { timestamp: -1, offset: end }),
            EARLIEST | EARLIEST_LOCAL => Ok(Found { timestamp: -1, offset: watermarks.log_start }),
            LATEST_TIERED => Ok(NOTHING),
            MAX_TIMESTAMP => self.newest(watermarks.log_start, end).await,
            _ => self.first_at(timestamp).await,
        }
    }

    async fn offset_at(&self, timestamp: i64) -> Result<Option<Offset>, LogError> {
        self.store.offset_at_isolated(self.topic, self.partition, timestamp, self.isolation).await
    }

    async fn read(&self, from: Offset, max_bytes: usize) -> Result<Records, LogError> {
        self.store.read_on(self.topic, self.partition, from, max_bytes, self.isolation).await
    }

    /// The first record at or after `timestamp`.
    async fn first_at(&self, timestamp: i64) -> Result<Found, LogError> {
        let Some(offset) = self.offset_at(timestamp).await? else { return Ok(NOTHING) };
        let records = self.read(offset, 1).await?.records;
        let found = records.iter().find(|record| record.offset >= offset);
        Ok(found.map_or(Found { timestamp, offset }, |found| Found {
            timestamp: found.record.timestamp_ms,
            offset,
        }))
    }

    /// The record with the newest timestamp: the last one's is taken for it, until a look for a
    /// newer one finds nothing.
    async fn newest(&self, log_start: Offset, end: Offset) -> Result<Found, LogError> {
        let mut best = NOTHING;
        // At the end there may be markers, which are no records.
        let mut back = 1;
        while best == NOTHING && back / 2 < end - log_start {
            self.best_from((end - back).max(log_start), &mut best).await?;
            back *= 2;
        }
        if best == NOTHING {
            return Ok(NOTHING);
        }
        let mut before = end;
        while let Some(offset) = self.offset_at(best.timestamp.saturating_add(1)).await? {
            // What is newer than the best was either read before or lies behind what was read.
            if offset == before {
                break;
            }
            self.best_from(offset, &mut best).await?;
            before = offset;
        }
        self.first_at(best.timestamp).await
    }

    /// Takes note of newer records in what one read from `offset` on gives.
    async fn best_from(&self, offset: Offset, best: &mut Found) -> Result<(), LogError> {
        for found in self.read(offset, SCAN_BYTES).await?.records {
            if found.offset >= offset && found.record.timestamp_ms > best.timestamp {
                *best = Found { timestamp: found.record.timestamp_ms, offset: found.offset };
            }
        }
        Ok(())
    }
}
