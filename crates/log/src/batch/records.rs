//! The records inside a batch.
//!
//! Guarantees: exactly as many records as the header says, filling exactly the bytes there are;
//! keys, values and headers are slices of the batch (of the inflated bytes when compressed).
//! Left out: attributes of a record, which Kafka has reserved and never used.

use super::varint::Reader;
use super::{BatchHeader, HEADER_BYTES};
use crate::batch::compress::Compression;
use bytes::Bytes;
use tradewind_types::{LogRecord, Record};

/// The smallest record: length, attributes, two deltas, two nulls, no headers.
const RECORD_BYTES_MIN: usize = 7;
/// The smallest header of a record: an empty name, a null value.
const RECORD_HEADER_BYTES_MIN: usize = 2;

/// What the records of one batch may take in memory beside their bytes. A record of seven bytes
/// takes twenty times as much once decoded, and a header thirty times.
const DECODED_BYTES_MAX: usize = 128 << 20;

/// Checks every record of the whole batch `batch` without keeping anything.
pub fn check_records(header: &BatchHeader, batch: &[u8]) -> Result<(), String> {
    let body = batch.get(HEADER_BYTES..header.bytes).ok_or("the batch is cut short")?;
    let mut decoded = 0;
    let count = |_, raw: &RawRecord| decoded += raw.decoded_bytes();
    match header.compression()? {
        Compression::None => walk(header, body, count)?,
        codec => walk(header, &codec.inflate(body)?, count)?,
    }
    if decoded > DECODED_BYTES_MAX {
        return Err(format!("its records take {decoded} bytes of memory, {DECODED_BYTES_MAX} may"));
    }
    Ok(())
}

/// The records of the whole batch `batch`, whose header is `header`.
pub fn decode_records(header: &BatchHeader, batch: &Bytes) -> Result<Vec<LogRecord>, String> {
    let mut out = Vec::new();
    decode_records_at(header, batch, i64::MIN, &mut out)?;
    Ok(out)
}

/// Appends to `out` the batch's records from offset `from` on; returns how many bytes of memory
/// they stand in.
pub fn decode_records_at(
    header: &BatchHeader,
    batch: &Bytes,
    from: i64,
    out: &mut Vec<LogRecord>,
) -> Result<usize, String> {
    if batch.len() < header.bytes {
        return Err("the batch is cut short".into());
    }
    let body = batch.slice(HEADER_BYTES..header.bytes);
    let body = match header.compression()? {
        Compression::None => body,
        codec => Bytes::from(codec.inflate(&body)?),
    };
    // A record takes at least seven bytes, so the count is worth allocating once it was checked.
    check_count(header, body.len())?;
    out.reserve(header.records as usize);
    let mut bytes = body.len();
    walk(header, &body, |index, raw| {
        bytes += raw.decoded_bytes();
        let offset = header.base_offset.wrapping_add(index);
        if offset >= from {
            let record = raw.slice(&body, header.base_timestamp);
            out.push(LogRecord { offset, record });
        }
    })?;
    Ok(bytes)
}

fn check_count(header: &BatchHeader, body_bytes: usize) -> Result<(), String> {
    if header.records as usize > body_bytes / RECORD_BYTES_MIN {
        return Err(format!("{} records do not fit in {body_bytes} bytes", header.records));
    }
    Ok(())
}

/// A field's place in the body, `None` when it is null.
type Span = Option<(usize, usize)>;

/// A record's places in the body.
struct RawRecord {
    timestamp_delta: i64,
    key: Span,
    value: Span,
    headers_at: usize,
    headers: usize,
}

impl RawRecord {
    /// What it takes once decoded, beside the bytes it is a slice of.
    fn decoded_bytes(&self) -> usize {
        size_of::<LogRecord>() + self.headers * size_of::<(Bytes, Option<Bytes>)>()
    }

    fn slice(&self, body: &Bytes, base_timestamp: i64) -> Record {
        let cut = |span: Span| span.map(|(start, end)| body.slice(start..end));
        let mut reader = Reader::new(body);
        let mut headers = Vec::with_capacity(self.headers);
        reader.skip(self.headers_at).expect("walk() has read past here");
        for _ in 0..self.headers {
            let (name, value) = header_spans(&mut reader).expect("walk() has read these headers");
            headers.push((cut(Some(name)).unwrap_or_default(), cut(value)));
        }
        Record {
            timestamp_ms: base_timestamp.wrapping_add(self.timestamp_delta),
            key: cut(self.key),
            value: cut(self.value),
            headers,
        }
    }
}

fn walk(
    header: &BatchHeader,
    body: &[u8],
    mut each: impl FnMut(i64, &RawRecord),
) -> Result<(), String> {
    check_count(header, body.len())?;
    let mut reader = Reader::new(body);
    for index in 0..header.records {
        let raw =
            record(&mut reader, index).map_err(|reason| format!("record {index}: {reason}"))?;
        each(i64::from(index), &raw);
    }
    match reader.left() {
        0 => Ok(()),
        left => Err(format!("{left} bytes are left after its {} records", header.records)),
    }
}

fn record(reader: &mut Reader<'_>, index: i32) -> Result<RawRecord, &'static str> {
    let length = usize::try_from(reader.varint()?).map_err(|_| "its length is negative")?;
    if length > reader.left() {
        return Err("its length reaches past the batch");
    }
    let end = reader.position() + length;
    reader.byte()?;
    let timestamp_delta = reader.varlong()?;
    if reader.varint()? != index {
        return Err("its offset delta is out of order");
    }
    let key = span(reader)?;
    let value = span(reader)?;
    let headers = usize::try_from(reader.varint()?).map_err(|_| "its header count is negative")?;
    if headers > reader.left() / RECORD_HEADER_BYTES_MIN {
        return Err("its headers do not fit");
    }
    let headers_at = reader.position();
    for _ in 0..headers {
        header_spans(reader)?;
    }
    if reader.position() != end {
        return Err("its fields do not fill its length");
    }
    Ok(RawRecord { timestamp_delta, key, value, headers_at, headers })
}

fn header_spans(reader: &mut Reader<'_>) -> Result<((usize, usize), Span), &'static str> {
    let name = span(reader)?.ok_or("a header has no name")?;
    Ok((name, span(reader)?))
}

fn span(reader: &mut Reader<'_>) -> Result<Span, &'static str> {
    match reader.varint()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| "a length is negative")?;
            let start = reader.position();
            reader.skip(length)?;
            Ok(Some((start, start + length)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{check_produced, encode, parse_batches, parse_header};
    use super::*;
    use proptest::prelude::*;

    fn arb_bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn arb_record() -> impl Strategy<Value = Record> {
        let headers = prop::collection::vec((arb_bytes(), prop::option::of(arb_bytes())), 0..4);
        (any::<i64>(), prop::option::of(arb_bytes()), prop::option::of(arb_bytes()), headers)
            .prop_map(|(timestamp_ms, key, value, headers)| Record {
                timestamp_ms,
                key,
                value,
                headers,
            })
    }

    proptest! {
        #[test]
        fn records_come_back(records in prop::collection::vec(arb_record(), 1..20)) {
            let bytes = Bytes::from(encode(&records, usize::MAX).unwrap());
            let spans = check_produced(&bytes, usize::MAX).unwrap();
            prop_assert_eq!(spans.len(), 1);
            let back = decode_records(&spans[0].header, &bytes).unwrap();
            let back: Vec<Record> = back.into_iter().map(|read| read.record).collect();
            prop_assert_eq!(back, records);
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_batches(&bytes);
            if let Ok(header) = parse_header(&bytes) {
                let _ = decode_records(&header, &Bytes::from(bytes));
            }
        }

        #[test]
        fn a_changed_byte_never_passes_produce(at in 0_usize..200, xor in 1_u8..) {
            let record = Record { value: Some(Bytes::from(vec![7; 100])), ..Record::default() };
            let mut bytes = encode(&[record.clone(), record], usize::MAX).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= xor;
            // Base offset and leader epoch lie outside the checksum and are the log's to set.
            prop_assert_eq!(check_produced(&bytes, usize::MAX).is_ok(), at < 8 || (12..16).contains(&at));
        }

        #[test]
        fn a_record_body_that_lies_is_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..200), count in 1..100_i32) {
            let mut header = parse_header(&encode(&[Record::default()], usize::MAX).unwrap()).unwrap();
            header.records = count;
            header.bytes = HEADER_BYTES + body.len();
            let mut batch = vec![0; HEADER_BYTES];
            batch.extend_from_slice(&body);
            if let Ok(records) = decode_records(&header, &Bytes::from(batch)) {
                prop_assert_eq!(records.len(), count as usize);
            }
        }
    }
}
