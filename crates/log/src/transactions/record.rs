//! The records of `__transaction_state`, in Kafka's schemas.
//!
//! Guarantees: written as version 1, read as 0 and 1; bytes that are neither are refused with a
//! reason, whatever they are. Left out: which record counts, which is the last of its key.

use super::transaction::{NO_EPOCH, NO_ID, Phase, Transaction};
use bytes::{Buf, BufMut, Bytes};
use std::collections::BTreeSet;

const KEY_VERSION: i16 = 0;
/// The version with compact lengths and tags.
const VALUE_VERSION: i16 = 1;
const TAG_PREVIOUS_ID: u32 = 0;
const TAG_NEXT_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;
const TAG_NEXT_EPOCH: u32 = 3;

/// The key of a transactional id.
pub(super) fn encode_key(id: &str) -> Bytes {
    let mut out = Vec::with_capacity(4 + id.len());
    out.put_i16(KEY_VERSION);
    out.put_i16(i16::try_from(id.len()).expect("the wire's strings are shorter"));
    out.put_slice(id.as_bytes());
    out.into()
}

/// The transactional id of a key.
pub(super) fn decode_key(mut key: &[u8]) -> Result<String, String> {
    let version = key.try_get_i16().map_err(text)?;
    if version != KEY_VERSION {
        return Err(format!("a key of version {version}, {KEY_VERSION} is known"));
    }
    let length = usize::try_from(key.try_get_i16().map_err(text)?).map_err(text)?;
    string(&mut key, length)
}

/// The value of a transactional id's state.
pub(super) fn encode_value(transaction: &Transaction) -> Bytes {
    let mut out = Vec::with_capacity(64 + transaction.partitions.len() * 16);
    out.put_i16(VALUE_VERSION);
    out.put_i64(transaction.producer_id);
    out.put_i16(transaction.epoch);
    out.put_i32(transaction.timeout_ms);
    out.put_i8(number(transaction.phase));
    let topics: BTreeSet<&str> = transaction.partitions.iter().map(|(t, _)| t.as_str()).collect();
    if transaction.phase == Phase::Empty {
        put_varint(&mut out, 0);
    } else {
        put_varint(&mut out, topics.len() as u32 + 1);
        for topic in topics {
            put_topic(&mut out, topic, transaction);
        }
    }
    out.put_i64(transaction.updated_ms);
    out.put_i64(transaction.started_ms);
    put_tags(&mut out, transaction);
    out.into()
}

fn put_topic(out: &mut Vec<u8>, topic: &str, transaction: &Transaction) {
    put_varint(out, topic.len() as u32 + 1);
    out.put_slice(topic.as_bytes());
    let partitions = transaction.partitions.iter().filter(|(name, _)| name == topic);
    put_varint(out, partitions.clone().count() as u32 + 1);
    partitions.for_each(|(_, partition)| out.put_i32(*partition));
    put_varint(out, 0);
}

fn put_tags(out: &mut Vec<u8>, transaction: &Transaction) {
    let mut tags: Vec<(u32, Vec<u8>)> = Vec::new();
    if transaction.previous_id != NO_ID {
        tags.push((TAG_PREVIOUS_ID, transaction.previous_id.to_be_bytes().to_vec()));
    }
    if transaction.next_id != NO_ID {
        tags.push((TAG_NEXT_ID, transaction.next_id.to_be_bytes().to_vec()));
    }
    if transaction.client_version != 0 {
        tags.push((TAG_CLIENT_VERSION, transaction.client_version.to_be_bytes().to_vec()));
    }
    if transaction.next_epoch != NO_EPOCH {
        tags.push((TAG_NEXT_EPOCH, transaction.next_epoch.to_be_bytes().to_vec()));
    }
    put_varint(out, tags.len() as u32);
    for (tag, value) in tags {
        put_varint(out, tag);
        put_varint(out, value.len() as u32);
        out.put_slice(&value);
    }
}

/// The state of a value.
pub(super) fn decode_value(mut value: &[u8]) -> Result<Transaction, String> {
    let body = &mut value;
    let version = body.try_get_i16().map_err(text)?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(format!("a value of version {version}, {VALUE_VERSION} is the newest known"));
    }
    let compact = version == VALUE_VERSION;
    let mut transaction = Transaction::new(body.try_get_i64().map_err(text)?, 0, 0);
    transaction.epoch = body.try_get_i16().map_err(text)?;
    transaction.timeout_ms = body.try_get_i32().map_err(text)?;
    transaction.phase = phase(body.try_get_i8().map_err(text)?)?;
    for _ in 0..length(body, compact)? {
        let name = if compact { length(body, true)? } else { short(body)? };
        let topic = string(body, name)?;
        for _ in 0..length(body, compact)? {
            let partition = body.try_get_i32().map_err(text)?;
            transaction.partitions.insert((topic.clone(), partition));
        }
        if compact {
            tags(body, |_, _| Ok(()))?;
        }
    }
    transaction.updated_ms = body.try_get_i64().map_err(text)?;
    transaction.started_ms = body.try_get_i64().map_err(text)?;
    if compact {
        tags(body, |tag, mut value| {
            match tag {
                TAG_PREVIOUS_ID => transaction.previous_id = value.try_get_i64().map_err(text)?,
                TAG_NEXT_ID => transaction.next_id = value.try_get_i64().map_err(text)?,
                TAG_CLIENT_VERSION => {
                    transaction.client_version = value.try_get_i16().map_err(text)?;
                }
                TAG_NEXT_EPOCH => transaction.next_epoch = value.try_get_i16().map_err(text)?,
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(transaction)
}

/// Kafka's numbers. 6 and 7, a dead id and one being fenced, are never written.
fn number(phase: Phase) -> i8 {
    match phase {
        Phase::Empty => 0,
        Phase::Ongoing => 1,
        Phase::PrepareCommit => 2,
        Phase::PrepareAbort => 3,
        Phase::CompleteCommit => 4,
        Phase::CompleteAbort => 5,
    }
}

fn phase(found: i8) -> Result<Phase, String> {
    let known = Phase::ALL.into_iter().find(|phase| number(*phase) == found);
    known.ok_or_else(|| format!("state {found} is not known"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(body: &mut &[u8]) -> Result<u32, String> {
    let mut value = 0_u32;
    for shift in (0..32).step_by(7) {
        let byte = body.try_get_u8().map_err(text)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("an endless integer".into())
}

/// A count or length, null as 0.
fn length(body: &mut &[u8], compact: bool) -> Result<usize, String> {
    if compact {
        return Ok((varint(body)? as usize).saturating_sub(1));
    }
    Ok(usize::try_from(body.try_get_i32().map_err(text)?).unwrap_or(0))
}

fn short(body: &mut &[u8]) -> Result<usize, String> {
    usize::try_from(body.try_get_i16().map_err(text)?).map_err(text)
}

fn string(body: &mut &[u8], length: usize) -> Result<String, String> {
    let taken = take(body, length)?;
    String::from_utf8(taken.to_vec()).map_err(text)
}

fn take<'a>(body: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let whole: &'a [u8] = body;
    let (taken, left) = whole
        .split_at_checked(length)
        .ok_or_else(|| format!("{length} bytes where {} are left", whole.len()))?;
    *body = left;
    Ok(taken)
}

fn tags(
    body: &mut &[u8],
    mut each: impl FnMut(u32, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    for _ in 0..varint(body)? {
        let tag = varint(body)?;
        let length = varint(body)? as usize;
        each(tag, take(body, length)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn transaction() -> Transaction {
        let place = |topic: &str, partition| (topic.to_owned(), partition);
        Transaction {
            epoch: 3,
            phase: Phase::Ongoing,
            partitions: [place("a", 0), place("a", 5), place("b", 1)].into(),
            updated_ms: 9,
            started_ms: 8,
            client_version: 2,
            previous_id: 4,
            next_id: 5,
            next_epoch: 0,
            ..Transaction::new(70, 60_000, 0)
        }
    }

    #[test]
    fn keys_and_values_come_back() {
        assert_eq!(decode_key(&encode_key("orders")).unwrap(), "orders");
        let back = decode_value(&encode_value(&transaction())).unwrap();
        assert_eq!(back, transaction());
        let plain = Transaction { epoch: 0, ..Transaction::new(1, 5, 7) };
        assert_eq!(decode_value(&encode_value(&plain)).unwrap(), plain);
    }

    #[test]
    fn the_older_version_of_kafka_is_read() {
        let mut value = Vec::new();
        value.put_i16(0);
        value.put_i64(70);
        value.put_i16(3);
        value.put_i32(60_000);
        value.put_i8(1);
        value.put_i32(1);
        value.put_i16(1);
        value.put_slice(b"a");
        value.put_i32(2);
        value.put_i32(0);
        value.put_i32(5);
        value.put_i64(9);
        value.put_i64(8);
        let read = decode_value(&value).unwrap();
        assert_eq!((read.identity(), read.phase), ((70, 3), Phase::Ongoing));
        assert_eq!(read.partitions, [("a".to_owned(), 0), ("a".to_owned(), 5)].into());
    }

    #[test]
    fn what_is_cut_or_of_a_version_to_come_is_refused() {
        let whole = encode_value(&transaction());
        for cut in 0..whole.len() {
            assert!(decode_value(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut newer = whole.to_vec();
        newer[1] = 2;
        assert!(decode_value(&newer).unwrap_err().contains("version 2"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_key(&bytes);
            let _ = decode_value(&bytes);
        }
    }
}
