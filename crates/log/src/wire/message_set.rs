//! Message sets: the formats before record batches, magic 0 and 1, which old producers send.
//!
//! Guarantees: every length is held against the bytes left and every checksum is verified; what
//! a set inflates to is bounded by [`SET_BYTES_MAX`] and [`SET_RECORDS_MAX`].
//! Left out: writing them. Records are stored in batches; a message of magic 0 has no timestamp
//! and gets -1, as in Kafka. LZ4 in magic 0, whose framing was never to its specification, is
//! refused.

use super::guard::{Cursor, Malformed};
use crate::batch::Compression;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use tradewind_types::Record;

/// What one set may hold inflated, bytes: twice the largest batch the log takes by default.
const SET_BYTES_MAX: usize = 8 << 20;
/// Records of one set: an empty one is 26 bytes on the wire and four times that in memory.
const SET_RECORDS_MAX: usize = 100_000;
const COMPRESSION_BITS: i16 = 0b111;
const LZ4: i16 = 3;

/// Why a message set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message set: {reason}")]
pub struct MessageSetError {
    /// What does not hold.
    pub reason: String,
    pub(crate) code: ResponseError,
}

impl MessageSetError {
    fn corrupt(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code: ResponseError::CorruptMessage }
    }

    fn too_large(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code: ResponseError::MessageTooLarge }
    }
}

impl From<Malformed> for MessageSetError {
    fn from(error: Malformed) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// The records of a message set, compressed or not.
///
/// # Errors
/// A set that is cut short, lies about a length, fails a checksum, inflates to too much, or uses
/// a compression its format does not have.
pub fn records(set: &Bytes) -> Result<Vec<Record>, MessageSetError> {
    let mut reading = Reading::default();
    reading.set(set, true)?;
    Ok(reading.records)
}

/// The magic of the first message or batch of `set`: all formats have it at the same place.
pub(crate) fn magic(set: &[u8]) -> Option<u8> {
    set.get(16).copied()
}

#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    inflated: usize,
}

impl Reading {
    fn set(&mut self, set: &Bytes, outermost: bool) -> Result<(), MessageSetError> {
        let mut cursor = Cursor::new(set);
        while cursor.left() > 0 {
            let _offset = cursor.i64()?;
            let length = usize::try_from(cursor.i32()?)
                .map_err(|_| MessageSetError::corrupt("a message has a negative length"))?;
            let message = cursor.take(length)?;
            self.message(set, message, outermost)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        set: &Bytes,
        message: &[u8],
        outermost: bool,
    ) -> Result<(), MessageSetError> {
        let mut cursor = Cursor::new(message);
        let crc = cursor.i32()? as u32;
        let mut summed = flate2::Crc::new();
        summed.update(&message[cursor.position()..]);
        if summed.sum() != crc {
            return Err(MessageSetError::corrupt("a message fails its checksum"));
        }
        let magic = cursor.i8()?;
        let attributes = i16::from(cursor.i8()?);
        let timestamp_ms = match magic {
            0 => -1,
            1 => cursor.i64()?,
            other => return Err(MessageSetError::corrupt(format!("magic is {other}, not 0 or 1"))),
        };
        let key = cursor.blob(false)?.map(|bytes| set.slice_ref(bytes));
        let value = cursor.blob(false)?.map(|bytes| set.slice_ref(bytes));
        match attributes & COMPRESSION_BITS {
            0 => self.push(Record { timestamp_ms, key, value, headers: Vec::new() }),
            codec if outermost => self.compressed(magic, codec, &value.unwrap_or_default()),
            _ => Err(MessageSetError::corrupt("a compressed message inside a compressed one")),
        }
    }

    fn compressed(&mut self, magic: i8, codec: i16, value: &[u8]) -> Result<(), MessageSetError> {
        let unsupported =
            |reason| MessageSetError { reason, code: ResponseError::UnsupportedCompressionType };
        if codec > LZ4 || (codec == LZ4 && magic == 0) {
            return Err(unsupported(format!("compression {codec} in magic {magic}")));
        }
        let inflated = Compression::from_bits(codec)
            .map_err(unsupported)?
            .inflate(value)
            .map_err(MessageSetError::corrupt)?;
        self.inflated += inflated.len();
        if self.inflated > SET_BYTES_MAX {
            return Err(MessageSetError::too_large(format!(
                "it inflates to more than {SET_BYTES_MAX} bytes"
            )));
        }
        self.set(&Bytes::from(inflated), false)
    }

    fn push(&mut self, record: Record) -> Result<(), MessageSetError> {
        if self.records.len() >= SET_RECORDS_MAX {
            return Err(MessageSetError::too_large(format!("more than {SET_RECORDS_MAX} records")));
        }
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::BufMut;
    use std::io::Write;

    fn message(magic: u8, attributes: u8, value: &[u8]) -> Vec<u8> {
        let mut summed = vec![magic, attributes];
        if magic == 1 {
            summed.put_i64(1_700_000_000_123);
        }
        summed.put_i32(-1);
        summed.put_i32(value.len() as i32);
        summed.extend_from_slice(value);
        let mut crc = flate2::Crc::new();
        crc.update(&summed);
        let mut bytes = Vec::new();
        bytes.put_i64(0);
        bytes.put_i32(4 + summed.len() as i32);
        bytes.put_u32(crc.sum());
        bytes.extend_from_slice(&summed);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_magics_are_read_compressed_or_not() {
        let mut set = message(0, 0, b"zero");
        set.extend(message(1, 0, b"one"));
        set.extend(message(1, 1, &gzip(&message(1, 0, b"inner"))));
        let records = records(&set.into()).unwrap();
        let values: Vec<_> = records.iter().map(|r| r.value.clone().unwrap()).collect();
        assert_eq!(values, ["zero", "one", "inner"]);
        assert_eq!(records[0].timestamp_ms, -1);
        assert_eq!(records[1].timestamp_ms, 1_700_000_000_123);
    }

    #[test]
    fn a_flipped_bit_a_cut_and_a_bomb_are_refused() {
        let whole = message(1, 0, b"value");
        for at in 12..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(records(&flipped.into()).is_err(), "byte {at}");
        }
        for cut in 1..whole.len() {
            assert!(records(&whole[..cut].to_vec().into()).is_err(), "cut at {cut}");
        }
        let bomb = message(1, 1, &gzip(&vec![0; SET_BYTES_MAX + 1]));
        let error = records(&bomb.into()).unwrap_err();
        assert_eq!(error.code, ResponseError::MessageTooLarge, "{error}");
    }

    #[test]
    fn nesting_is_refused() {
        let inner = message(1, 1, &gzip(&message(1, 0, b"deep")));
        let error = records(&message(1, 1, &gzip(&inner)).into()).unwrap_err();
        assert!(error.reason.contains("inside a compressed one"), "{error}");
    }
}
