//! The answer to a fetch, written around the record batches.
//!
//! Guarantees: the bytes are those `kafka-protocol` would write, in every version; batches are not
//! copied but go as the pieces they were read in. Left out: what is answered (fetch).

use crate::wire::WireError;
use crate::wire::request::{Reply, Request};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::Encodable;
use std::collections::VecDeque;

/// The first version of compact lengths and tags.
const FLEXIBLE_FROM: i16 = 12;
/// The first version that names topics by their ids.
const IDS_FROM: i16 = 13;
/// The first version with an error and a session of its own.
const SESSIONS_FROM: i16 = 7;

/// A topic's part of the answer.
pub(super) struct FetchedTopic {
    /// Its name and id.
    pub(super) head: FetchableTopicResponse,
    pub(super) partitions: Vec<Fetched>,
}

/// A partition's part of the answer.
pub(super) struct Fetched {
    /// All but the records.
    pub(super) data: PartitionData,
    /// Whole batches, in order.
    pub(super) records: Vec<Bytes>,
}

/// Everything but records, and where they belong between it.
struct Frame {
    version: i16,
    bytes: BytesMut,
    /// By position in `bytes`.
    records: Vec<(usize, Vec<Bytes>)>,
    record_bytes: usize,
}

/// The answer with these topics, without an error of its own.
pub(super) fn reply(request: &Request, topics: Vec<FetchedTopic>) -> Result<Reply, WireError> {
    let (bytes, records) = Default::default();
    let frame = Frame { version: request.version, bytes, records, record_bytes: 0 };
    let written = frame.answer(request.correlation, topics);
    written.map_err(|reason| request.unanswerable(reason))
}

impl Frame {
    fn answer(mut self, correlation: i32, topics: Vec<FetchedTopic>) -> Result<Reply, String> {
        // The length, which is known at the end.
        self.bytes.put_i32(0);
        self.bytes.put_i32(correlation);
        self.tags();
        // No throttling.
        self.bytes.put_i32(0);
        if self.version >= SESSIONS_FROM {
            // No error, no session.
            self.bytes.put_i16(0);
            self.bytes.put_i32(0);
        }
        self.count(topics.len())?;
        for topic in topics {
            self.topic(topic)?;
        }
        self.tags();
        self.finish()
    }

    fn topic(&mut self, topic: FetchedTopic) -> Result<(), String> {
        let FetchedTopic { head, partitions } = topic;
        if self.version >= IDS_FROM {
            self.bytes.put_slice(head.topic_id.as_bytes());
        } else {
            match self.flexible() {
                true => self.count(head.topic.len())?,
                false => self.bytes.put_i16(i16::try_from(head.topic.len()).map_err(said)?),
            }
            self.bytes.put_slice(head.topic.as_bytes());
        }
        self.count(partitions.len())?;
        for Fetched { data, records } in partitions {
            self.partition(&data.with_records(Some(Bytes::new())), records)?;
        }
        self.tags();
        Ok(())
    }

    /// `data` is without records, and so ends with their length and the tags.
    fn partition(&mut self, data: &PartitionData, records: Vec<Bytes>) -> Result<(), String> {
        data.encode(&mut self.bytes, self.version).map_err(said)?;
        let end = if self.flexible() { 2 } else { 4 };
        self.bytes.truncate(self.bytes.len() - end);
        let bytes = records.iter().map(Bytes::len).sum();
        self.count(bytes)?;
        self.record_bytes += bytes;
        self.records.push((self.bytes.len(), records));
        self.tags();
        Ok(())
    }

    fn flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    /// A length, or how many elements follow.
    fn count(&mut self, count: usize) -> Result<(), String> {
        if !self.flexible() {
            self.bytes.put_i32(i32::try_from(count).map_err(said)?);
            return Ok(());
        }
        let mut left = u32::try_from(count + 1).map_err(said)?;
        while left >= 0x80 {
            self.bytes.put_u8(left as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.put_u8(left as u8);
        Ok(())
    }

    /// No tags, where there may be some.
    fn tags(&mut self) {
        if self.flexible() {
            self.bytes.put_u8(0);
        }
    }

    fn finish(mut self) -> Result<Reply, String> {
        let length = i32::try_from(self.bytes.len() - 4 + self.record_bytes).map_err(said)?;
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        let bytes = self.bytes.freeze();
        let mut reply = Reply { pieces: VecDeque::new(), charge: Default::default() };
        let mut start = 0;
        for (position, records) in self.records {
            if records.is_empty() {
                continue;
            }
            reply.pieces.push_back(bytes.slice(start..position));
            reply.pieces.extend(records);
            start = position;
        }
        reply.pieces.push_back(bytes.slice(start..));
        reply.pieces.retain(|piece| !piece.is_empty());
        Ok(reply)
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::apis;
    use crate::wire::request;
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::messages::fetch_response::AbortedTransaction;
    use kafka_protocol::protocol::StrBytes;

    fn fetched(partition: i32, records: &[&'static [u8]]) -> Fetched {
        let aborted = AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(9);
        let aborted = (partition % 2 == 0).then(|| vec![aborted]);
        let data = PartitionData::default()
            .with_partition_index(partition)
            .with_high_watermark(10)
            .with_aborted_transactions(aborted);
        let records = records.iter().map(|records| Bytes::from_static(records)).collect();
        Fetched { data, records }
    }

    fn topics(version: i16) -> Vec<FetchedTopic> {
        ["a", "orders"]
            .map(|name| {
                let head = FetchableTopicResponse::default();
                let head = match version >= IDS_FROM {
                    true => head.with_topic_id(uuid::Uuid::from_u128(name.len() as u128)),
                    false => head.with_topic(StrBytes::from_static_str(name).into()),
                };
                let partitions = vec![
                    fetched(0, &[&[1; 300], &[2; 5]]),
                    fetched(1, &[]),
                    fetched(2, &[&[3; 20_000]]),
                ];
                FetchedTopic { head, partitions }
            })
            .into()
    }

    #[test]
    fn every_version_is_what_the_library_writes() {
        let api = apis::by_key(1).unwrap();
        for version in api.min..=api.max {
            let responses = topics(version).into_iter().map(|topic| {
                let partitions = topic.partitions.into_iter();
                let partitions = partitions.map(|fetched| {
                    fetched.data.with_records(Some(fetched.records.concat().into()))
                });
                topic.head.with_partitions(partitions.collect())
            });
            let response = FetchResponse::default().with_responses(responses.collect());
            let expected = request::encode(77, version, &response).unwrap();
            let (bytes, records) = Default::default();
            let frame = Frame { version, bytes, records, record_bytes: 0 };
            let reply = frame.answer(77, topics(version)).unwrap();
            let pieces: Vec<Bytes> = reply.pieces.into();
            assert_eq!(pieces.concat(), expected.pieces[0], "version {version}");
            let uncopied = pieces.iter().filter(|piece| [5, 300, 20_000].contains(&piece.len()));
            assert_eq!(uncopied.count(), 2 * 3, "records go as the pieces they came in");
        }
    }
}
