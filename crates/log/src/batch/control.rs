//! Batches of transactions that this server writes itself, and the control batches that end them.
//!
//! Guarantees: a marker is read back as it was written; what is no marker of ours is told apart.
//! Left out: control records of other kinds, which Kafka writes for Raft and nobody sends here.

use super::encode::{encode, put_crc};
use super::{BatchHeader, CONTROL_BIT, TRANSACTIONAL_BIT, decode_records};
use bytes::Bytes;
use tradewind_types::Record;

/// The version of a control record's key and value.
const VERSION: i16 = 0;
/// The key's number for each way a transaction can end.
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a producer's transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) committed: bool,
}

/// The control batch that says `marker`, with base offset 0.
pub(crate) fn marker(marker: Marker, timestamp_ms: i64) -> Vec<u8> {
    let kind = if marker.committed { COMMIT } else { ABORT };
    let key = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
    // One coordinator for ever, so its epoch is 0.
    let value = [&VERSION.to_be_bytes()[..], &0_i32.to_be_bytes()].concat();
    let record = Record {
        timestamp_ms,
        key: Some(Bytes::from(key)),
        value: Some(Bytes::from(value)),
        headers: Vec::new(),
    };
    let mut batch = encode(&[record], usize::MAX).expect("one small record is a batch");
    batch[21..23].copy_from_slice(&(TRANSACTIONAL_BIT | CONTROL_BIT).to_be_bytes());
    batch[43..51].copy_from_slice(&marker.producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&marker.producer_epoch.to_be_bytes());
    put_crc(&mut batch);
    batch
}

/// Makes an encoded batch part of a producer's transaction. It has no sequence numbers: those are
/// for clients, whose batches may come twice.
pub(crate) fn make_transactional(batch: &mut [u8], producer_id: i64, producer_epoch: i16) {
    let attributes = i16::from_be_bytes([batch[21], batch[22]]) | TRANSACTIONAL_BIT;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    put_crc(batch);
}

impl Marker {
    /// What the whole control batch `batch` says; `None` when it ends no transaction.
    pub(crate) fn read(header: &BatchHeader, batch: &Bytes) -> Option<Self> {
        let records = decode_records(header, batch).ok()?;
        let key = records.first()?.record.key.as_ref()?;
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        let committed = match kind {
            COMMIT => true,
            ABORT => false,
            _ => return None,
        };
        let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
        Some(Self { producer_id, producer_epoch, committed })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{check_batch, parse_batches, parse_header};
    use super::*;

    #[test]
    fn a_batch_made_transactional_names_its_producer_and_keeps_its_checksum() {
        let mut batch = encode(&[Record::default()], usize::MAX).unwrap();
        assert!(!check_batch(&batch).unwrap().transactional());
        make_transactional(&mut batch, 77, 3);
        let header = check_batch(&batch).unwrap();
        assert!(header.transactional() && !header.control());
        assert_eq!((header.producer_id, header.producer_epoch), (77, 3));
    }

    #[test]
    fn a_marker_is_a_batch_that_says_what_it_was_made_of() {
        for committed in [true, false] {
            let said = Marker { producer_id: 7, producer_epoch: 3, committed };
            let bytes = Bytes::from(marker(said, 1_000));
            assert_eq!(parse_batches(&bytes).unwrap().len(), 1, "the checksum holds");
            let header = parse_header(&bytes).unwrap();
            assert!(header.control() && header.transactional());
            assert_eq!((header.base_sequence, header.max_timestamp), (-1, 1_000));
            assert_eq!(Marker::read(&header, &bytes), Some(said));
        }
    }
}
