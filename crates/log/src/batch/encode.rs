//! Records to a record batch.
//!
//! Guarantees: the size is computed first, so a batch is one allocation and one pass.
//! Left out: compression. Producers compress; what we append in process is read back in memory.

use super::varint::{put_varint, put_varlong, varint_len, varlong_len};
use super::{APPEND_TIME_BIT, BatchSpan, CHECKSUMMED_FROM, HEADER_BYTES, LENGTH_END, MAGIC};
use tradewind_types::Record;

/// Encodes `records` as one uncompressed batch with base offset 0. Fails, with the reason, when
/// there are none, or when they are more than `batch_bytes_max`.
pub(crate) fn encode(records: &[Record], batch_bytes_max: usize) -> Result<Vec<u8>, String> {
    let Some(first) = records.first() else {
        return Err("there are no records to append".into());
    };
    let base_timestamp = first.timestamp_ms;
    let bytes = encoded_len(records);
    if bytes > batch_bytes_max.min(i32::MAX as usize) {
        return Err(format!(
            "{} records make a batch of {bytes} bytes, more than `max.message.bytes` allows \
             ({batch_bytes_max})",
            records.len()
        ));
    }
    let mut out = Vec::with_capacity(bytes);
    put_header(&mut out, bytes, records);
    for (index, record) in records.iter().enumerate() {
        put_record(&mut out, record, base_timestamp, index);
    }
    debug_assert_eq!(out.len(), bytes);
    put_crc(&mut out);
    Ok(out)
}

/// How many bytes [`encode`] makes of `records`.
pub(crate) fn encoded_len(records: &[Record]) -> usize {
    let base_timestamp = records.first().map_or(0, |first| first.timestamp_ms);
    let bodies = records.iter().enumerate().map(|(index, record)| {
        let body = body_len(record, base_timestamp, index);
        body + varlong_len(body as i64)
    });
    HEADER_BYTES + bodies.sum::<usize>()
}

/// `records` as a producer numbers them, for tests.
#[cfg(test)]
pub(crate) fn numbered(
    records: &[Record],
    (producer_id, epoch): (i64, i16),
    base_sequence: i32,
    transactional: bool,
) -> bytes::Bytes {
    let mut batch = encode(records, usize::MAX).expect("a test's records are a batch");
    batch[22] = if transactional { super::TRANSACTIONAL_BIT as u8 } else { 0 };
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    put_crc(&mut batch);
    batch.into()
}

/// Sets the checksum of a batch whose other fields are final.
pub(super) fn put_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CHECKSUMMED_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Gives every batch of `bytes` the log's time `now_ms`, which its records then have.
pub(crate) fn stamp_append_time(bytes: &mut [u8], spans: &mut [BatchSpan], now_ms: i64) {
    for span in spans {
        let header = &mut span.header;
        let batch = &mut bytes[span.position..][..header.bytes];
        header.attributes |= APPEND_TIME_BIT;
        header.max_timestamp = now_ms;
        batch[21..23].copy_from_slice(&header.attributes.to_be_bytes());
        batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
        put_crc(batch);
        header.crc = super::be_i32(batch, 17) as u32;
    }
}

fn put_header(out: &mut Vec<u8>, bytes: usize, records: &[Record]) {
    let count = records.len() as i32;
    let base_timestamp = records[0].timestamp_ms;
    let max_timestamp =
        records.iter().map(|record| record.timestamp_ms).max().unwrap_or(base_timestamp);
    out.extend_from_slice(&0_i64.to_be_bytes());
    out.extend_from_slice(&((bytes - LENGTH_END) as i32).to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.push(MAGIC);
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&0_i16.to_be_bytes());
    out.extend_from_slice(&(count - 1).to_be_bytes());
    out.extend_from_slice(&base_timestamp.to_be_bytes());
    out.extend_from_slice(&max_timestamp.to_be_bytes());
    // No idempotent producer: id, epoch and sequence are all -1.
    out.extend_from_slice(&[0xff; 8 + 2 + 4]);
    out.extend_from_slice(&count.to_be_bytes());
}

fn body_len(record: &Record, base_timestamp: i64, index: usize) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| field_len(Some(name)) + field_len(value.as_deref()))
        .sum();
    1 + varlong_len(record.timestamp_ms.wrapping_sub(base_timestamp))
        + varint_len(index as i32)
        + field_len(record.key.as_deref())
        + field_len(record.value.as_deref())
        + varint_len(record.headers.len() as i32)
        + headers
}

fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint_len(bytes.len() as i32) + bytes.len())
}

fn put_record(out: &mut Vec<u8>, record: &Record, base_timestamp: i64, index: usize) {
    put_varlong(out, body_len(record, base_timestamp, index) as i64);
    out.push(0);
    put_varlong(out, record.timestamp_ms.wrapping_sub(base_timestamp));
    put_varint(out, index as i32);
    put_field(out, record.key.as_deref());
    put_field(out, record.value.as_deref());
    put_varint(out, record.headers.len() as i32);
    for (name, value) in &record.headers {
        put_field(out, Some(name));
        put_field(out, value.as_deref());
    }
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}

/// Sets a batch's base offset and leader epoch, which its checksum does not cover.
pub(crate) fn rebase(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
}
