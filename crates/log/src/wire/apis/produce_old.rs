//! Produce versions 0 to 2, which `kafka-protocol` no longer knows.
//!
//! Guarantees: the body was guarded, so reading it allocates what it holds.
//! Left out: what becomes of the records; they are served as the newer versions' are.

use super::produce::API;
use crate::wire::WireError;
use crate::wire::guard::{Cursor, Malformed};
use crate::wire::request::{Reply, Request};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

/// The first version `kafka-protocol` reads and writes.
pub(crate) const NEWER_FROM: i16 = 3;

/// Reads a body of version 0, 1 or 2.
pub(crate) fn decode(request: &Request) -> Result<ProduceRequest, WireError> {
    read(&request.body).map_err(|reason| WireError::Unreadable {
        api: API.name,
        version: request.version,
        reason,
    })
}

fn read(body: &Bytes) -> Result<ProduceRequest, String> {
    let mut cursor = Cursor::new(body);
    let said = |error: Malformed| error.to_string();
    let acks = cursor.i16().map_err(said)?;
    let timeout_ms = cursor.i32().map_err(said)?;
    let mut topics = Vec::new();
    for _ in 0..cursor.count(false).map_err(said)? {
        let name = cursor.text(false).map_err(said)?.ok_or("a topic without a name")?;
        let name = StrBytes::from_utf8(body.slice_ref(name)).map_err(|error| error.to_string())?;
        let mut partitions = Vec::new();
        for _ in 0..cursor.count(false).map_err(said)? {
            let index = cursor.i32().map_err(said)?;
            let records = cursor.blob(false).map_err(said)?.map(|bytes| body.slice_ref(bytes));
            partitions
                .push(PartitionProduceData::default().with_index(index).with_records(records));
        }
        topics.push(
            TopicProduceData::default().with_name(TopicName(name)).with_partition_data(partitions),
        );
    }
    Ok(ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(timeout_ms)
        .with_topic_data(topics))
}

/// Writes an answer of version 0, 1 or 2.
pub(crate) fn reply(request: &Request, response: &ProduceResponse) -> Reply {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    bytes.put_i32(request.correlation);
    bytes.put_i32(response.responses.len() as i32);
    for topic in &response.responses {
        bytes.put_i16(topic.name.len() as i16);
        bytes.put_slice(topic.name.as_bytes());
        bytes.put_i32(topic.partition_responses.len() as i32);
        for partition in &topic.partition_responses {
            bytes.put_i32(partition.index);
            bytes.put_i16(partition.error_code);
            bytes.put_i64(partition.base_offset);
            if request.version >= 2 {
                bytes.put_i64(partition.log_append_time_ms);
            }
        }
    }
    if request.version >= 1 {
        bytes.put_i32(response.throttle_time_ms);
    }
    let length = (bytes.len() - 4) as i32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Reply::whole(bytes.freeze())
}
