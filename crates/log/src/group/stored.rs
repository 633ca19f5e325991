//! The records of `__consumer_offsets`, in Kafka's own form, so that its tools can read them.
//!
//! Guarantees: written in the versions Kafka 4 writes (offset key 1 and value 3, group key 2 and
//! value 3; value 1 for an offset with a time of its own); read in all versions Kafka reads, and
//! any bytes are taken. What is of a kind nobody knows is passed over by whoever reads.
//! Left out: the records of the newer group protocol, which are of other kinds.

use super::member::{Member, MemberId, Protocol};
use super::offsets::{Committed, Place};
use crate::wire::guard::{Cursor, Malformed};
use bytes::{BufMut, Bytes};
use std::sync::Arc;
use tradewind_types::Offset;

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
/// The form of an offset that says itself when it goes.
const OFFSET_VALUE_EXPIRING: i16 = 1;
const GROUP_VALUE: i16 = 3;
/// From here on lengths are compact and fields may be tagged.
const FLEXIBLE_FROM: i16 = 4;
const VALUE_MAX: i16 = 4;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// An offset of a group.
    Offset { group: Arc<str>, place: Place },
    /// A group and its members.
    Group { group: Arc<str> },
    /// Something of a later release.
    Unknown,
}

/// A group as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub(crate) protocol_type: Arc<str>,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) state_at_ms: i64,
    pub(crate) members: Vec<StoredMember>,
}

/// A member as its group's record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMember {
    pub(crate) id: MemberId,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Length(#[from] Malformed),
    #[error("version {0} is not known")]
    Version(i16),
    #[error("a text that must be there is null")]
    Null,
}

impl StoredMember {
    pub(crate) fn of(member: &Member, protocol: Option<&str>, assignment: Bytes) -> Self {
        let ms = |ms: u64| i32::try_from(ms).unwrap_or(i32::MAX);
        Self {
            id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: ms(member.rebalance_timeout_ms),
            session_timeout_ms: ms(member.session_timeout_ms),
            subscription: member.metadata(protocol),
            assignment,
        }
    }

    /// The member, with its session beginning now.
    pub(crate) fn revived(self, protocol: Option<&Arc<str>>, now_ms: u64) -> Member {
        let ms = |ms: i32| u64::try_from(ms).unwrap_or(0);
        let metadata = self.subscription;
        let protocols =
            protocol.map(|name| Protocol { name: Arc::clone(name), metadata }).into_iter();
        Member {
            id: self.id,
            instance: self.instance,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout_ms: ms(self.session_timeout_ms),
            rebalance_timeout_ms: ms(self.rebalance_timeout_ms),
            protocols: protocols.collect(),
            assignment: self.assignment,
            joining: None,
            syncing: None,
            new: false,
            deadline_ms: Some(now_ms + ms(self.session_timeout_ms)),
        }
    }
}

/// The key of a group's offset.
pub(crate) fn offset_key(group: &str, (topic, partition): &Place) -> Bytes {
    let mut out = Vec::with_capacity(10 + group.len() + topic.len());
    out.put_i16(OFFSET_KEY);
    put_text(&mut out, Some(group));
    put_text(&mut out, Some(topic));
    out.put_i32(*partition);
    out.into()
}

/// The key of a group.
pub(crate) fn group_key(group: &str) -> Bytes {
    let mut out = Vec::with_capacity(4 + group.len());
    out.put_i16(GROUP_KEY);
    put_text(&mut out, Some(group));
    out.into()
}

/// The value of a group's offset.
pub(crate) fn offset_value(offset: &Committed) -> Bytes {
    let mut out = Vec::with_capacity(32 + offset.metadata.len());
    let expires = offset.expires_at_ms;
    out.put_i16(if expires.is_some() { OFFSET_VALUE_EXPIRING } else { OFFSET_VALUE });
    out.put_i64(offset.offset);
    if expires.is_none() {
        out.put_i32(offset.leader_epoch);
    }
    put_text(&mut out, Some(&offset.metadata));
    out.put_i64(offset.committed_at_ms);
    if let Some(at_ms) = expires {
        out.put_i64(at_ms);
    }
    out.into()
}

/// The value of a group.
pub(crate) fn group_value(group: &StoredGroup) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(GROUP_VALUE);
    put_text(&mut out, Some(&group.protocol_type));
    out.put_i32(group.generation);
    put_text(&mut out, group.protocol.as_deref());
    put_text(&mut out, group.leader.as_deref());
    out.put_i64(group.state_at_ms);
    out.put_i32(group.members.len() as i32);
    for member in &group.members {
        put_text(&mut out, Some(&member.id));
        put_text(&mut out, member.instance.as_deref());
        put_text(&mut out, Some(&member.client_id));
        put_text(&mut out, Some(&member.client_host));
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_blob(&mut out, &member.subscription);
        put_blob(&mut out, &member.assignment);
    }
    out.into()
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.put_i16(-1),
        Some(text) => {
            // Texts come from the wire, where they are no longer than this either.
            out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
            out.put_slice(&text.as_bytes()[..text.len().min(i16::MAX as usize)]);
        }
    }
}

fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// Reads a record's key.
pub(crate) fn read_key(key: &[u8]) -> Result<Key, Unreadable> {
    let mut cursor = Cursor::new(key);
    match cursor.i16()? {
        0 | OFFSET_KEY => {
            let group = text(&mut cursor, false)?;
            let topic = text(&mut cursor, false)?;
            Ok(Key::Offset { group, place: (topic, cursor.i32()?) })
        }
        GROUP_KEY => Ok(Key::Group { group: text(&mut cursor, false)? }),
        _ => Ok(Key::Unknown),
    }
}

/// Reads an offset; `record` is where its record lies.
pub(crate) fn read_offset(value: &[u8], record: Offset) -> Result<Committed, Unreadable> {
    let mut cursor = Cursor::new(value);
    let version = version(&mut cursor)?;
    let offset = cursor.i64()?;
    let leader_epoch = if version >= 3 { cursor.i32()? } else { -1 };
    let metadata = text(&mut cursor, version >= FLEXIBLE_FROM)?;
    let committed_at_ms = cursor.i64()?;
    let expires_at_ms = match version {
        1 => Some(cursor.i64()?).filter(|at_ms| *at_ms != -1),
        _ => None,
    };
    Ok(Committed { offset, leader_epoch, metadata, committed_at_ms, expires_at_ms, record })
}

/// Reads a group.
pub(crate) fn read_group(value: &[u8]) -> Result<StoredGroup, Unreadable> {
    let mut cursor = Cursor::new(value);
    let version = version(&mut cursor)?;
    let compact = version >= FLEXIBLE_FROM;
    let protocol_type = text(&mut cursor, compact)?;
    let generation = cursor.i32()?;
    let protocol = nullable(&mut cursor, compact)?;
    let leader = nullable(&mut cursor, compact)?;
    let state_at_ms = if version >= 2 { cursor.i64()? } else { -1 };
    let mut members = Vec::new();
    for _ in 0..cursor.count(compact)? {
        members.push(read_member(&mut cursor, version)?);
    }
    Ok(StoredGroup { protocol_type, generation, protocol, leader, state_at_ms, members })
}

fn read_member(cursor: &mut Cursor<'_>, version: i16) -> Result<StoredMember, Unreadable> {
    let compact = version >= FLEXIBLE_FROM;
    let id = text(cursor, compact)?;
    let instance = if version >= 3 { nullable(cursor, compact)? } else { None };
    let client_id = text(cursor, compact)?;
    let client_host = text(cursor, compact)?;
    let rebalance = if version >= 1 { cursor.i32()? } else { -1 };
    let session_timeout_ms = cursor.i32()?;
    let member = StoredMember {
        id,
        instance,
        client_id,
        client_host,
        rebalance_timeout_ms: if rebalance < 0 { session_timeout_ms } else { rebalance },
        session_timeout_ms,
        subscription: blob(cursor, compact)?,
        assignment: blob(cursor, compact)?,
    };
    if compact {
        cursor.skip_tags()?;
    }
    Ok(member)
}

fn version(cursor: &mut Cursor<'_>) -> Result<i16, Unreadable> {
    match cursor.i16()? {
        version @ 0..=VALUE_MAX => Ok(version),
        version => Err(Unreadable::Version(version)),
    }
}

fn nullable(cursor: &mut Cursor<'_>, compact: bool) -> Result<Option<Arc<str>>, Unreadable> {
    let bytes = cursor.text(compact)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).as_ref().into()))
}

fn text(cursor: &mut Cursor<'_>, compact: bool) -> Result<Arc<str>, Unreadable> {
    nullable(cursor, compact)?.ok_or(Unreadable::Null)
}

fn blob(cursor: &mut Cursor<'_>, compact: bool) -> Result<Bytes, Unreadable> {
    Ok(cursor.blob(compact)?.map(Bytes::copy_from_slice).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn offset() -> Committed {
        Committed {
            offset: 42,
            leader_epoch: 3,
            metadata: "note".into(),
            committed_at_ms: 1_700_000_000_000,
            expires_at_ms: None,
            record: 9,
        }
    }

    #[test]
    fn an_offset_has_kafkas_bytes_and_comes_back() {
        let place: Place = ("t".into(), 2);
        let key = offset_key("g", &place);
        assert_eq!(&key[..], b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x02");
        assert_eq!(read_key(&key).unwrap(), Key::Offset { group: "g".into(), place });
        let value = offset_value(&offset());
        assert_eq!(&value[..18], b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x03\0\x04no");
        assert_eq!(read_offset(&value, 9).unwrap(), offset());
        let expiring = Committed { expires_at_ms: Some(5), leader_epoch: -1, ..offset() };
        let value = offset_value(&expiring);
        assert_eq!(value[..2], [0, 1]);
        assert_eq!(read_offset(&value, 9).unwrap(), expiring);
    }

    #[test]
    fn a_group_comes_back() {
        let member = StoredMember {
            id: "c-1".into(),
            instance: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(b"sub"),
            assignment: Bytes::from_static(b"work"),
        };
        let group = StoredGroup {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: Some("c-1".into()),
            state_at_ms: 5,
            members: vec![member.clone(), StoredMember { instance: None, ..member }],
        };
        assert_eq!(read_group(&group_value(&group)).unwrap(), group);
        assert_eq!(read_key(&group_key("g")).unwrap(), Key::Group { group: "g".into() });
        let newer = read_key(&[0, 3, 0, 1, b'g']).unwrap();
        assert_eq!(newer, Key::Unknown, "the newer protocol's records are passed over");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (read_key(&bytes), read_offset(&bytes, 0), read_group(&bytes));
            let _ = (super::super::subscription::topics(&bytes), super::super::subscription::partitions(&bytes));
        }
    }
}
