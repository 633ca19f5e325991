//! Record batch v2: the unit that is written, checked, read and sent.
//!
//! Guarantees: every length and count is checked against the bytes there are before anything is
//! sliced or allocated by it, so every function here takes arbitrary bytes.
//! Left out: message formats before v2.

mod compress;
mod control;
mod encode;
mod filter;
mod recompress;
mod records;
mod varint;

pub(crate) use control::{Marker, make_transactional, marker};
#[cfg(test)]
pub(crate) use encode::numbered;
pub(crate) use encode::{encode, encoded_len, rebase, stamp_append_time};
pub(crate) use filter::{Filtered, RecordView, emptied, empty, filter, visit_keys, with_horizon};
pub(crate) use recompress::recompress;
pub(crate) use records::{RecordFault, RecordRules};
pub use records::{check_records, decode_records, decode_records_at};

pub(crate) use crate::batch::compress::Compression;

/// Bytes before a batch's records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the field `length` ends: what `length` does not count.
pub(crate) const LENGTH_END: usize = 12;
/// Where the checksummed bytes begin.
const CHECKSUMMED_FROM: usize = 21;
/// The smallest value of the field `length`: a header without records.
const LENGTH_MIN: usize = HEADER_BYTES - LENGTH_END;
/// Kafka's number of this format.
const MAGIC: u8 = 2;
const COMPRESSION_BITS: i16 = 0b111;
/// The log gave the batch its time: every record has `max_timestamp`.
const APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
/// The field `base_timestamp` says from when on compaction may take the batch's tombstones away.
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// What does not hold, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record batch at byte {position}: {reason}")]
pub struct BatchError {
    /// Where the batch begins in the bytes given.
    pub position: usize,
    /// Which kind of thing does not hold.
    pub fault: BatchFault,
    /// What does not hold.
    pub reason: String,
    /// The numbers of the records that are at fault, where single ones are: the first
    /// [`BAD_RECORDS_MAX`] of them.
    pub records: Vec<i32>,
}

/// Records of one batch that are named as those at fault; its producer reports the others as
/// having been in bad company.
pub(crate) const BAD_RECORDS_MAX: usize = 100;

/// What can be wrong with a batch, as far as its producer has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFault {
    /// The bytes are not a batch, or not the one that was sent.
    Corrupt,
    /// It is larger than `max.message.bytes`.
    TooLarge,
    /// A record, or the batch as a whole, is not what the topic takes.
    Record,
    /// A timestamp is not what the topic takes.
    Timestamp,
}

impl BatchError {
    fn new(position: usize, reason: impl Into<String>) -> Self {
        Self::of(position, BatchFault::Corrupt, reason)
    }

    fn of(position: usize, fault: BatchFault, reason: impl Into<String>) -> Self {
        Self { position, fault, reason: reason.into(), records: Vec::new() }
    }
}

/// A batch's header, its counts and lengths checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub bytes: usize,
    /// CRC-32C the batch claims.
    pub crc: u32,
    /// Compression and flags.
    pub attributes: i16,
    /// Milliseconds since the Unix epoch; records count from it.
    pub base_timestamp: i64,
    /// The largest timestamp of its records, as its producer said.
    pub max_timestamp: i64,
    /// Who numbered it; -1 for nobody.
    pub producer_id: i64,
    /// Which life of that producer.
    pub producer_epoch: i16,
    /// The first record's sequence number; -1 when it is not numbered.
    pub base_sequence: i32,
    /// The offset of the last record it was written with, minus the base offset.
    pub last_offset_delta: i32,
    /// How many records it holds: one for each offset, unless compaction took some away.
    pub records: i32,
}

impl BatchHeader {
    /// Whether it belongs to a transaction, as data or as its end.
    pub fn transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it is a marker that ends a transaction, not data.
    pub fn control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The offset after the last one it was written with.
    pub fn end_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta) + 1)
    }

    /// The time every record of it has, when the log gave it.
    pub(crate) fn append_time(&self) -> Option<i64> {
        (self.attributes & APPEND_TIME_BIT != 0).then_some(self.max_timestamp)
    }

    /// From when on its tombstones, or the marker it is, may go, once compaction has set that, milliseconds.
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Whether its records are compressed.
    pub fn compressed(&self) -> bool {
        self.attributes & COMPRESSION_BITS != 0
    }

    fn compression(&self) -> Result<Compression, String> {
        Compression::from_bits(self.attributes & COMPRESSION_BITS)
    }
}

/// Where a batch lies in the bytes that were parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpan {
    /// Its first byte.
    pub position: usize,
    /// Its header.
    pub header: BatchHeader,
}

/// Reads the header at the start of `bytes`. The batch itself may reach past them.
pub fn parse_header(bytes: &[u8]) -> Result<BatchHeader, String> {
    let Some(head) = bytes.get(..HEADER_BYTES) else {
        return Err(format!("{} bytes are too few for a header", bytes.len()));
    };
    if head[16] != MAGIC {
        return Err(format!("magic is {}, not {MAGIC}", head[16]));
    }
    let length = be_i32(head, 8);
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length >= LENGTH_MIN)
        .ok_or_else(|| format!("length {length} is less than {LENGTH_MIN}"))?;
    let (last_offset_delta, records) = (be_i32(head, 23), be_i32(head, 57));
    if records < 0 || last_offset_delta < 0 || last_offset_delta < records - 1 {
        return Err(format!("{records} records, but the last offset delta is {last_offset_delta}"));
    }
    Ok(BatchHeader {
        base_offset: be_i64(head, 0),
        bytes: LENGTH_END + length,
        crc: be_i32(head, 17) as u32,
        attributes: i16::from_be_bytes([head[21], head[22]]),
        base_timestamp: be_i64(head, 27),
        max_timestamp: be_i64(head, 35),
        producer_id: be_i64(head, 43),
        producer_epoch: i16::from_be_bytes([head[51], head[52]]),
        base_sequence: be_i32(head, 53),
        last_offset_delta,
        records,
    })
}

/// Splits `bytes` into whole batches whose checksums hold. Base offsets are not looked at.
///
/// # Errors
/// The first batch that is cut short, claims what cannot be, or fails its checksum.
pub fn parse_batches(bytes: &[u8]) -> Result<Vec<BatchSpan>, BatchError> {
    let mut spans = Vec::new();
    let mut position = 0;
    while position < bytes.len() {
        let header =
            check_batch(&bytes[position..]).map_err(|reason| BatchError::new(position, reason))?;
        spans.push(BatchSpan { position, header });
        position += header.bytes;
    }
    Ok(spans)
}

/// Checks the batch at the start of `bytes`: header, length, checksum.
pub(crate) fn check_batch(bytes: &[u8]) -> Result<BatchHeader, String> {
    let header = parse_header(bytes)?;
    let Some(batch) = bytes.get(..header.bytes) else {
        return Err(format!("{} bytes long, but {} are left", header.bytes, bytes.len()));
    };
    check_crc(&header, crc32c::crc32c(&batch[CHECKSUMMED_FROM..]))?;
    Ok(header)
}

/// The checksum over a batch that is read in pieces; `piece` starts at byte `from` of the batch.
pub(crate) fn crc_of_piece(crc: u32, piece: &[u8], from: usize) -> u32 {
    let skip = CHECKSUMMED_FROM.saturating_sub(from).min(piece.len());
    crc32c::crc32c_append(crc, &piece[skip..])
}

pub(crate) fn check_crc(header: &BatchHeader, crc: u32) -> Result<(), String> {
    if crc == header.crc {
        return Ok(());
    }
    Err(format!("checksum is {crc:08x}, the batch says {:08x}", header.crc))
}

/// What a topic takes from producers.
#[derive(Debug, Clone)]
pub(crate) struct ProduceRules {
    /// The largest batch, bytes.
    pub(crate) batch_bytes_max: usize,
    /// What holds for each record.
    pub(crate) records: RecordRules,
}

/// Checks batches a producer sent: as [`parse_batches`], then every record in them, inflated
/// when compressed, and that they are batches a producer may send.
pub fn check_produced(bytes: &[u8], batch_bytes_max: usize) -> Result<Vec<BatchSpan>, BatchError> {
    let spans = parse_batches(bytes)?;
    let rules = ProduceRules { batch_bytes_max, records: RecordRules::produced() };
    check_spans(bytes, &spans, &rules)?;
    Ok(spans)
}

/// As [`check_produced`], for bytes that were parsed already.
pub(crate) fn check_spans(
    bytes: &[u8],
    spans: &[BatchSpan],
    rules: &ProduceRules,
) -> Result<(), BatchError> {
    if spans.is_empty() {
        return Err(BatchError::of(0, BatchFault::Record, "there is none"));
    }
    if let [_, second, ..] = spans
        && spans.iter().any(|span| span.header.producer_id >= 0)
    {
        let reason = "numbered batches are sent one at a time";
        return Err(BatchError::of(second.position, BatchFault::Record, reason));
    }
    for span in spans {
        let batch = &bytes[span.position..][..span.header.bytes];
        check_sendable(&span.header, rules.batch_bytes_max)
            .map_err(|(fault, reason)| BatchError::of(span.position, fault, reason))?;
        rules.records.check(&span.header, batch).map_err(|broken| {
            let fault = match broken.fault {
                RecordFault::Malformed => BatchFault::Corrupt,
                RecordFault::NoKey => BatchFault::Record,
                RecordFault::Timestamp => BatchFault::Timestamp,
            };
            let records = broken.records;
            BatchError { position: span.position, fault, reason: broken.reason, records }
        })?;
    }
    Ok(())
}

fn check_sendable(
    header: &BatchHeader,
    batch_bytes_max: usize,
) -> Result<(), (BatchFault, String)> {
    if header.bytes > batch_bytes_max {
        let reason = format!(
            "{} bytes are more than `max.message.bytes` allows ({batch_bytes_max})",
            header.bytes
        );
        return Err((BatchFault::TooLarge, reason));
    }
    if header.records < 1 || header.last_offset_delta != header.records - 1 {
        let (records, last) = (header.records, header.last_offset_delta);
        let reason = format!("{records} records, but the last offset delta is {last}");
        return Err((BatchFault::Record, reason));
    }
    if header.append_time().is_some() {
        let reason = "a producer may not claim the log's append time".to_owned();
        return Err((BatchFault::Timestamp, reason));
    }
    if header.delete_horizon().is_some() {
        let reason = "a producer may not say when tombstones go".to_owned();
        return Err((BatchFault::Record, reason));
    }
    if header.control() {
        return Err((BatchFault::Record, "a producer may not send control batches".into()));
    }
    if header.transactional() && header.producer_id < 0 {
        return Err((BatchFault::Record, "a transactional batch names no producer".into()));
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        let reason = "a producer that has an id numbers its batches from 0 on".to_owned();
        return Err((BatchFault::Record, reason));
    }
    Ok(())
}

fn be_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn be_i64(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}
