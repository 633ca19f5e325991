//! OffsetCommit and OffsetFetch version 10, which name topics by id and whose requests
//! `kafka-protocol` does not know yet.
//!
//! Guarantees: the body was guarded, so reading it allocates what it holds.
//! Left out: what becomes of the request; it is served as the older versions' are.

use crate::wire::WireError;
use crate::wire::guard::{Cursor, Malformed};
use crate::wire::request::Request;
use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// The first version that names topics by id.
pub(super) const BY_ID_FROM: i16 = 10;

/// Reads an OffsetCommit.
pub(super) fn commit(request: &Request) -> Result<OffsetCommitRequest, WireError> {
    let mut body = Body::new(&request.body);
    body.commit().map_err(|reason| unreadable(request, reason))
}

/// Reads an OffsetFetch.
pub(super) fn fetch(request: &Request) -> Result<OffsetFetchRequest, WireError> {
    let mut body = Body::new(&request.body);
    body.fetch().map_err(|reason| unreadable(request, reason))
}

fn unreadable(request: &Request, reason: String) -> WireError {
    WireError::Unreadable { api: request.api.name, version: request.version, reason }
}

/// A request's body being read.
struct Body<'a> {
    bytes: &'a Bytes,
    cursor: Cursor<'a>,
}

impl<'a> Body<'a> {
    fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, cursor: Cursor::new(bytes) }
    }

    fn commit(&mut self) -> Result<OffsetCommitRequest, String> {
        let group = self.group()?;
        let generation = self.i32()?;
        let member = self.text()?.unwrap_or_default();
        let instance = self.text()?;
        let topics = self.each(|body| {
            let id = body.id()?;
            let partitions = body.each(Self::committed)?;
            body.tags()?;
            Ok(OffsetCommitRequestTopic::default().with_topic_id(id).with_partitions(partitions))
        })?;
        self.tags()?;
        Ok(OffsetCommitRequest::default()
            .with_group_id(group)
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(member)
            .with_group_instance_id(instance)
            .with_topics(topics))
    }

    fn committed(&mut self) -> Result<OffsetCommitRequestPartition, String> {
        let index = self.i32()?;
        let offset = self.cursor.i64().map_err(said)?;
        let epoch = self.i32()?;
        let metadata = self.text()?;
        self.tags()?;
        Ok(OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_committed_metadata(metadata))
    }

    fn fetch(&mut self) -> Result<OffsetFetchRequest, String> {
        let groups = self.each(Self::asked)?;
        let stable = self.cursor.i8().map_err(said)? != 0;
        self.tags()?;
        Ok(OffsetFetchRequest::default().with_groups(groups).with_require_stable(stable))
    }

    fn asked(&mut self) -> Result<OffsetFetchRequestGroup, String> {
        let group = self.group()?;
        let member = self.text()?;
        let epoch = self.i32()?;
        let topics = self.some(|body| {
            let id = body.id()?;
            let partitions = body.each(Self::i32)?;
            body.tags()?;
            Ok(OffsetFetchRequestTopics::default()
                .with_topic_id(id)
                .with_partition_indexes(partitions))
        })?;
        self.tags()?;
        Ok(OffsetFetchRequestGroup::default()
            .with_group_id(group)
            .with_member_id(member)
            .with_member_epoch(epoch)
            .with_topics(topics))
    }

    fn group(&mut self) -> Result<GroupId, String> {
        self.text()?.map(GroupId).ok_or_else(|| "a group without an id".into())
    }

    fn i32(&mut self) -> Result<i32, String> {
        self.cursor.i32().map_err(said)
    }

    fn id(&mut self) -> Result<Uuid, String> {
        let bytes = self.cursor.take(16).map_err(said)?;
        Ok(Uuid::from_bytes(bytes.try_into().expect("sixteen bytes were taken")))
    }

    fn text(&mut self) -> Result<Option<StrBytes>, String> {
        let text = self.cursor.text(true).map_err(said)?;
        let whole = |text| StrBytes::from_utf8(self.bytes.slice_ref(text));
        text.map(whole).transpose().map_err(|error| error.to_string())
    }

    fn tags(&mut self) -> Result<(), String> {
        self.cursor.skip_tags().map(drop).map_err(said)
    }

    /// An array; null is empty.
    fn each<T>(
        &mut self,
        read: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.some(read).map(Option::unwrap_or_default)
    }

    /// An array, `None` for null.
    fn some<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, String> {
        let Some(count) = self.cursor.varint().map_err(said)?.checked_sub(1) else {
            return Ok(None);
        };
        (0..count).map(|_| read(self)).collect::<Result<_, _>>().map(Some)
    }
}

fn said(error: Malformed) -> String {
    error.to_string()
}
