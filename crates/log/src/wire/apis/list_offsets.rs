//! ListOffsets: the first offset, the last, the first at or after a time, the newest time's.
//!
//! Guarantees: nothing above the high watermark is named; a special time is answered only in the
//! versions that know it.
//! Left out: tiered storage, whose special times answer as a log without tiers does.

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
        topics.push(list(&broker.store, topic, request.version).await);
    }
    Ok(answered(request.reply(&ListOffsetsResponse::default().with_topics(topics))?))
}

async fn list(store: &LogStore, topic: ListOffsetsTopic, version: i16) -> ListOffsetsTopicResponse {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let index = partition.partition_index;
        let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
        let twice = topic.partitions.iter().filter(|p| p.partition_index == index).count() > 1;
        let found = match check(partition, twice, version) {
            Ok(()) => find(store, &topic.name, index, partition.timestamp)
                .await
                .map_err(|error| of_log_error(&error)),
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

async fn find(
    store: &LogStore,
    topic: &str,
    partition: PartitionId,
    timestamp: i64,
) -> Result<Found, LogError> {
    let watermarks = store.watermarks(topic, partition)?;
    match timestamp {
        LATEST => Ok(Found { timestamp: -1, offset: watermarks.high_watermark }),
        EARLIEST | EARLIEST_LOCAL => Ok(Found { timestamp: -1, offset: watermarks.log_start }),
        LATEST_TIERED => Ok(NOTHING),
        MAX_TIMESTAMP => newest(store, topic, partition).await,
        _ => first_at(store, topic, partition, timestamp).await,
    }
}

/// The first record at or after `timestamp`.
async fn first_at(
    store: &LogStore,
    topic: &str,
    partition: PartitionId,
    timestamp: i64,
) -> Result<Found, LogError> {
    let Some(offset) = store.offset_at(topic, partition, timestamp).await? else {
        return Ok(NOTHING);
    };
    let records = store.read(topic, partition, offset, 1).await?;
    let found = records.iter().find(|record| record.offset >= offset);
    Ok(found.map_or(NOTHING, |found| Found { timestamp: found.record.timestamp_ms, offset }))
}

/// The record with the newest timestamp: the last one's is taken for it, until a look for a
/// newer one finds nothing.
async fn newest(store: &LogStore, topic: &str, partition: PartitionId) -> Result<Found, LogError> {
    let watermarks = store.watermarks(topic, partition)?;
    if watermarks.high_watermark <= watermarks.log_start {
        return Ok(NOTHING);
    }
    let mut at = Some(watermarks.high_watermark - 1);
    let mut best = NOTHING;
    while let Some(offset) = at {
        for found in store.read(topic, partition, offset, SCAN_BYTES).await? {
            if found.offset >= offset && found.record.timestamp_ms > best.timestamp {
                best = Found { timestamp: found.record.timestamp_ms, offset: found.offset };
            }
        }
        at = store.offset_at(topic, partition, best.timestamp.saturating_add(1)).await?;
        // What is newer than the best was either read above or lies behind what was read.
        at = at.filter(|next| *next != offset);
    }
    first_at(store, topic, partition, best.timestamp).await
}
