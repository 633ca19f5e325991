//! What compaction leaves of a batch.
//!
//! Guarantees: a batch keeps its base offset, its last offset, its producer and its sequence
//! number, so that offsets and what producers are known by stay; records that stay keep their
//! offsets, times, headers and bytes. What stays compressed is compressed as it was.
//! Left out: which records stay (partition).

use super::encode::put_crc;
use super::records::{RawRecord, walk};
use super::varint::{put_varint, put_varlong, varlong_len};
use super::{
    APPEND_TIME_BIT, BatchHeader, COMPRESSION_BITS, Compression, DELETE_HORIZON_BIT, HEADER_BYTES,
    LENGTH_END, MAGIC,
};

/// What a batch without records says its newest timestamp is.
const NO_TIMESTAMP: i64 = -1;

/// A record as compaction judges it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// It has no value: it says that its key is gone.
    pub(crate) tombstone: bool,
}

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filtered {
    /// All of it, byte by byte.
    Whole,
    /// No record.
    Empty,
    /// Some records, or all with a new horizon.
    Some(Vec<u8>),
}

/// Calls `each` with the offset and key of every record.
pub(crate) fn visit_keys(
    header: &BatchHeader,
    batch: &[u8],
    mut each: impl FnMut(RecordView<'_>),
) -> Result<(), String> {
    let body = inflated(header, batch)?;
    walk(header, &body, |_, raw| each(view(header, &body, raw)))
}

/// The whole batch `batch` without the records `keep` refuses. When tombstones stay and `horizon`
/// is given, the batch is told that they may go from then on.
pub(crate) fn filter(
    header: &BatchHeader,
    batch: &[u8],
    horizon: Option<i64>,
    mut keep: impl FnMut(RecordView<'_>) -> bool,
) -> Result<Filtered, String> {
    let body = inflated(header, batch)?;
    let mut kept = Vec::new();
    let mut tombstones = false;
    walk(header, &body, |_, raw| {
        let record = view(header, &body, raw);
        if keep(record) {
            tombstones |= record.tombstone;
            kept.push(Kept::of(raw));
        }
    })?;
    let horizon = horizon.filter(|_| tombstones && header.delete_horizon().is_none());
    if kept.is_empty() && header.records > 0 {
        return Ok(Filtered::Empty);
    }
    if kept.len() == header.records as usize && horizon.is_none() {
        return Ok(Filtered::Whole);
    }
    rewritten(header, &batch[..HEADER_BYTES], &body, &kept, horizon).map(Filtered::Some)
}

/// The whole batch `batch`, told that compaction may take it away from `horizon` on.
pub(crate) fn with_horizon(
    header: &BatchHeader,
    batch: &[u8],
    horizon: i64,
) -> Result<Vec<u8>, String> {
    let body = inflated(header, batch)?;
    let mut kept = Vec::new();
    walk(header, &body, |_, raw| kept.push(Kept::of(raw)))?;
    rewritten(header, &batch[..HEADER_BYTES], &body, &kept, Some(horizon))
}

/// A record's places, of those that stay.
struct Kept {
    start: usize,
    end: usize,
    attributes: u8,
    timestamp_delta: i64,
    after_timestamp: usize,
}

impl Kept {
    fn of(raw: &RawRecord) -> Self {
        let RawRecord { start, end, attributes, timestamp_delta, after_timestamp, .. } = *raw;
        Self { start, end, attributes, timestamp_delta, after_timestamp }
    }

    /// Writes the record with another timestamp delta.
    fn put(&self, out: &mut Vec<u8>, body: &[u8], timestamp_delta: i64) {
        let rest = &body[self.after_timestamp..self.end];
        put_varint(out, (1 + varlong_len(timestamp_delta) + rest.len()) as i32);
        out.push(self.attributes);
        put_varlong(out, timestamp_delta);
        out.extend_from_slice(rest);
    }
}

fn inflated<'a>(
    header: &BatchHeader,
    batch: &'a [u8],
) -> Result<std::borrow::Cow<'a, [u8]>, String> {
    let body = batch.get(HEADER_BYTES..header.bytes).ok_or("the batch is cut short")?;
    match header.compression()? {
        Compression::None => Ok(body.into()),
        codec => codec.inflate(body).map(Into::into),
    }
}

fn view<'a>(header: &BatchHeader, body: &'a [u8], raw: &RawRecord) -> RecordView<'a> {
    RecordView {
        offset: header.base_offset.wrapping_add(i64::from(raw.offset_delta)),
        key: raw.key.map(|(start, end)| &body[start..end]),
        tombstone: raw.value.is_none(),
    }
}

fn rewritten(
    header: &BatchHeader,
    head: &[u8],
    body: &[u8],
    kept: &[Kept],
    horizon: Option<i64>,
) -> Result<Vec<u8>, String> {
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let moved = header.base_timestamp.wrapping_sub(base_timestamp);
    let (mut records, mut newest) = (Vec::new(), i64::MIN);
    for record in kept {
        newest = newest.max(header.base_timestamp.wrapping_add(record.timestamp_delta));
        match moved {
            0 => records.extend_from_slice(&body[record.start..record.end]),
            _ => record.put(&mut records, body, record.timestamp_delta.wrapping_add(moved)),
        }
    }
    let codec = header.compression()?;
    if codec != Compression::None {
        records = codec.deflate(&records)?;
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len());
    out.extend_from_slice(head);
    out.extend_from_slice(&records);
    let attributes =
        if horizon.is_some() { header.attributes | DELETE_HORIZON_BIT } else { header.attributes };
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&base_timestamp.to_be_bytes());
    let max_timestamp = header.append_time().unwrap_or(newest);
    out[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    out[57..61].copy_from_slice(&(kept.len() as i32).to_be_bytes());
    finish(&mut out);
    Ok(out)
}

/// Sets length and checksum.
pub(super) fn finish(batch: &mut [u8]) {
    let length = (batch.len() - LENGTH_END) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    put_crc(batch);
}

/// A batch without records that stands for the offsets from `base` on, `last_offset_delta` and
/// one of them.
pub(crate) fn empty(base: i64, last_offset_delta: i32) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    out[..8].copy_from_slice(&base.to_be_bytes());
    out[16] = MAGIC;
    out[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    out[27..35].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
    out[35..43].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
    out[43..57].fill(0xff);
    finish(&mut out);
    out
}

/// The batch that begins with `head`, without its records: its producer and sequence number stay.
pub(crate) fn emptied(header: &BatchHeader, head: &[u8]) -> Vec<u8> {
    let mut out = head[..HEADER_BYTES].to_vec();
    let gone = COMPRESSION_BITS | DELETE_HORIZON_BIT;
    let attributes = (header.attributes & !gone) & !APPEND_TIME_BIT;
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
    out[35..43].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
    out[57..61].copy_from_slice(&0_i32.to_be_bytes());
    finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{check_batch, decode_records, encode, parse_header};
    use super::*;
    use bytes::Bytes;
    use tradewind_types::{LogRecord, Record};

    fn records() -> Vec<Record> {
        let record = |n: i64| Record {
            timestamp_ms: 1_000 + n * n,
            key: (n != 3).then(|| Bytes::from(format!("key {n}"))),
            value: (n % 2 == 0).then(|| Bytes::from(vec![n as u8; 40])),
            headers: vec![(Bytes::from_static(b"h"), Some(Bytes::from_static(b"x")))],
        };
        (0..8).map(record).collect()
    }

    /// A batch of the records at offset 100, compressed by `bits`.
    fn batch(bits: i16) -> (BatchHeader, Vec<u8>) {
        let mut bytes = encode(&records(), usize::MAX).unwrap();
        bytes[..8].copy_from_slice(&100_i64.to_be_bytes());
        let codec = Compression::from_bits(bits).unwrap();
        let body = codec.deflate(&bytes[HEADER_BYTES..]).unwrap();
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        bytes[21..23].copy_from_slice(&bits.to_be_bytes());
        finish(&mut bytes);
        (check_batch(&bytes).unwrap(), bytes)
    }

    fn read(bytes: Vec<u8>) -> Vec<LogRecord> {
        let header = check_batch(&bytes).unwrap();
        assert_eq!((header.base_offset, header.end_offset()), (100, 108));
        decode_records(&header, &bytes.into()).unwrap()
    }

    #[test]
    fn what_stays_is_what_it_was_in_every_compression() {
        for bits in 0..=4 {
            let (header, bytes) = batch(bits);
            let all = read(bytes.clone());
            for horizon in [None, Some(9_999)] {
                let kept = filter(&header, &bytes, horizon, |record| record.offset % 3 != 0);
                let Filtered::Some(left) = kept.unwrap() else { panic!("some stay") };
                let expected: Vec<_> =
                    all.iter().filter(|record| record.offset % 3 != 0).cloned().collect();
                assert_eq!(read(left.clone()), expected, "{bits} {horizon:?}");
                let header = parse_header(&left).unwrap();
                assert_eq!(header.delete_horizon(), horizon);
                assert_eq!(header.max_timestamp, 1_000 + 49);
                assert_eq!(header.attributes & COMPRESSION_BITS, bits);
            }
        }
    }

    #[test]
    fn all_none_and_a_second_horizon() {
        let (header, bytes) = batch(0);
        assert_eq!(filter(&header, &bytes, None, |_| true).unwrap(), Filtered::Whole);
        assert_eq!(filter(&header, &bytes, Some(5), |_| false).unwrap(), Filtered::Empty);
        let Filtered::Some(first) = filter(&header, &bytes, Some(5), |_| true).unwrap() else {
            panic!("the horizon is set")
        };
        let header = check_batch(&first).unwrap();
        assert_eq!(filter(&header, &first, Some(77), |_| true).unwrap(), Filtered::Whole);
        assert_eq!(read(first), read(bytes));
    }

    #[test]
    fn empty_batches_are_batches() {
        let (header, bytes) = batch(1);
        let mut named = bytes.clone();
        named[43..51].copy_from_slice(&4_711_i64.to_be_bytes());
        finish(&mut named);
        for empty in [empty(100, 7), emptied(&header, &named)] {
            let header = check_batch(&empty).unwrap();
            assert_eq!((header.records, header.bytes), (0, HEADER_BYTES));
            assert!(read(empty.clone()).is_empty());
        }
        assert_eq!(check_batch(&emptied(&header, &named)).unwrap().producer_id, 4_711);
        assert_eq!(check_batch(&empty(100, 7)).unwrap().producer_id, -1);
    }
}
