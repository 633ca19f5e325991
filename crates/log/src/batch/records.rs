//! The records inside a batch.
//!
//! Guarantees: exactly as many records as the header says, filling exactly the bytes there are;
//! keys, values and headers are slices of the batch (of the inflated bytes when compressed).
//! Left out: attributes of a record, which Kafka has reserved and never used.

use super::varint::Reader;
use super::{BAD_RECORDS_MAX, BatchHeader, HEADER_BYTES};
use crate::batch::compress::Compression;
use bytes::Bytes;
use std::ops::RangeInclusive;
use tradewind_types::{LogRecord, Record};

/// The smallest record: length, attributes, two deltas, two nulls, no headers.
const RECORD_BYTES_MIN: usize = 7;
/// The smallest header of a record: an empty name, a null value.
const RECORD_HEADER_BYTES_MIN: usize = 2;

/// What a record without a time says.
const NO_TIMESTAMP: i64 = -1;

/// What the records of one batch may take in memory beside their bytes. A record of seven bytes
/// takes twenty times as much once decoded, and a header thirty times.
const DECODED_BYTES_MAX: usize = 128 << 20;

/// What every record of a batch is held against beyond its form.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordRules {
    /// One record for each offset, as producers send them.
    pub(crate) dense: bool,
    /// Each record has a key: the topic is compacted by it.
    pub(crate) keyed: bool,
    /// The timestamps a record may have, milliseconds.
    pub(crate) timestamps: Option<RangeInclusive<i64>>,
}

/// What a record broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFault {
    Malformed,
    NoKey,
    Timestamp,
}

/// Why the records of a batch are not taken.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) fault: RecordFault,
    pub(crate) reason: String,
    /// The first records that are at fault, by number; none where the batch as a whole is.
    pub(crate) records: Vec<i32>,
}

impl Broken {
    fn malformed(reason: String) -> Self {
        Self { fault: RecordFault::Malformed, reason, records: Vec::new() }
    }
}

impl RecordRules {
    /// What holds for every batch of a producer.
    pub(crate) fn produced() -> Self {
        Self { dense: true, ..Self::default() }
    }

    /// Checks every record of the whole batch `batch` without keeping anything.
    pub(crate) fn check(&self, header: &BatchHeader, batch: &[u8]) -> Result<(), Broken> {
        let body = batch
            .get(HEADER_BYTES..header.bytes)
            .ok_or_else(|| Broken::malformed("the batch is cut short".into()))?;
        match header.compression().map_err(Broken::malformed)? {
            Compression::None => self.check_body(header, body),
            codec => self.check_body(header, &codec.inflate(body).map_err(Broken::malformed)?),
        }
    }

    fn check_body(&self, header: &BatchHeader, body: &[u8]) -> Result<(), Broken> {
        let (mut decoded, mut broken) = (0, None::<Broken>);
        let walked = walk(header, body, |index, raw| {
            decoded += raw.decoded_bytes();
            let full = broken.as_ref().is_some_and(|all| all.records.len() == BAD_RECORDS_MAX);
            let Some((fault, reason)) =
                (!full).then(|| self.broken_by(header, index, raw)).flatten()
            else {
                return;
            };
            let all = broken.get_or_insert(Broken { fault, reason, records: Vec::new() });
            if ![fault, all.fault].contains(&RecordFault::Malformed) {
                all.records.push(index);
            }
        });
        walked.map_err(Broken::malformed)?;
        if decoded > DECODED_BYTES_MAX {
            let reason =
                format!("its records take {decoded} bytes of memory, {DECODED_BYTES_MAX} may");
            return Err(Broken::malformed(reason));
        }
        broken.map_or(Ok(()), Err)
    }

    fn broken_by(
        &self,
        header: &BatchHeader,
        index: i32,
        raw: &RawRecord,
    ) -> Option<(RecordFault, String)> {
        if self.dense && raw.offset_delta != index {
            let reason = format!("record {index}: its offset delta is out of order");
            return Some((RecordFault::Malformed, reason));
        }
        if self.keyed && raw.key.is_none() {
            let reason = format!("record {index} has no key, and the topic is compacted by key");
            return Some((RecordFault::NoKey, reason));
        }
        let timestamp = header.base_timestamp.wrapping_add(raw.timestamp_delta);
        let allowed = self.timestamps.as_ref()?;
        // A record without a time is let pass, as in Kafka.
        if timestamp == NO_TIMESTAMP || allowed.contains(&timestamp) {
            return None;
        }
        let reason = format!(
            "record {index}: timestamp {timestamp} is not within {} and {}, see \
             `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`",
            allowed.start(),
            allowed.end()
        );
        Some((RecordFault::Timestamp, reason))
    }
}

/// Checks every record of the whole batch `batch` without keeping anything.
pub fn check_records(header: &BatchHeader, batch: &[u8]) -> Result<(), String> {
    RecordRules::default().check(header, batch).map_err(|broken| broken.reason)
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
    let append_time = header.append_time();
    walk(header, &body, |_, raw| {
        bytes += raw.decoded_bytes();
        let offset = header.base_offset.wrapping_add(i64::from(raw.offset_delta));
        if offset >= from {
            let mut record = raw.slice(&body, header.base_timestamp);
            record.timestamp_ms = append_time.unwrap_or(record.timestamp_ms);
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
pub(super) struct RawRecord {
    /// From its length to its end.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) attributes: u8,
    pub(super) timestamp_delta: i64,
    /// Where what follows the timestamp begins.
    pub(super) after_timestamp: usize,
    pub(super) offset_delta: i32,
    pub(super) key: Span,
    pub(super) value: Span,
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

/// Calls `each` with every record's number in the batch and its places in `body`.
pub(super) fn walk(
    header: &BatchHeader,
    body: &[u8],
    mut each: impl FnMut(i32, &RawRecord),
) -> Result<(), String> {
    check_count(header, body.len())?;
    let mut reader = Reader::new(body);
    let mut before = -1;
    for index in 0..header.records {
        let raw = record(&mut reader).map_err(|reason| format!("record {index}: {reason}"))?;
        if raw.offset_delta <= before || raw.offset_delta > header.last_offset_delta {
            return Err(format!("record {index}: its offset delta is out of order"));
        }
        before = raw.offset_delta;
        each(index, &raw);
    }
    match reader.left() {
        0 => Ok(()),
        left => Err(format!("{left} bytes are left after its {} records", header.records)),
    }
}

fn record(reader: &mut Reader<'_>) -> Result<RawRecord, &'static str> {
    let start = reader.position();
    let length = usize::try_from(reader.varint()?).map_err(|_| "its length is negative")?;
    if length > reader.left() {
        return Err("its length reaches past the batch");
    }
    let end = reader.position() + length;
    let attributes = reader.byte()?;
    let timestamp_delta = reader.varlong()?;
    let after_timestamp = reader.position();
    let offset_delta = reader.varint()?;
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
    Ok(RawRecord {
        start,
        end,
        attributes,
        timestamp_delta,
        after_timestamp,
        offset_delta,
        key,
        value,
        headers_at,
        headers,
    })
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
            header.last_offset_delta = count - 1;
            header.bytes = HEADER_BYTES + body.len();
            let mut batch = vec![0; HEADER_BYTES];
            batch.extend_from_slice(&body);
            if let Ok(records) = decode_records(&header, &Bytes::from(batch)) {
                prop_assert_eq!(records.len(), count as usize);
            }
        }
    }
}
