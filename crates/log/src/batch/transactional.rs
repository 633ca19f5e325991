//! Batches of transactions, and the markers that end them, as far as the groups' topic has them.
//!
//! Guarantees: [`make_transactional`] leaves a batch whose checksum holds.
//! Left out: sequence numbers. The groups' own batches have none, as in Kafka.

use super::{BatchHeader, CHECKSUMMED_FROM, CONTROL_BIT, TRANSACTIONAL_BIT};

const ATTRIBUTES_AT: usize = 21;
const PRODUCER_AT: usize = 43;
const EPOCH_AT: usize = 51;
/// The key of a control record: version, then what it says.
const CONTROL_KEY_BYTES: usize = 4;
const COMMIT: i16 = 1;

/// Makes an encoded batch part of the transaction of producer `id`.
pub(crate) fn make_transactional(batch: &mut [u8], id: i64, epoch: i16) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    let attributes = (attributes | TRANSACTIONAL_BIT).to_be_bytes();
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes);
    batch[PRODUCER_AT..PRODUCER_AT + 8].copy_from_slice(&id.to_be_bytes());
    batch[EPOCH_AT..EPOCH_AT + 2].copy_from_slice(&epoch.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CHECKSUMMED_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The producer whose transaction a batch belongs to, or ends: id and epoch.
pub(crate) fn transaction_of(header: &BatchHeader, batch: &[u8]) -> Option<(i64, i16)> {
    if header.attributes & TRANSACTIONAL_BIT == 0 {
        return None;
    }
    let id = batch.get(PRODUCER_AT..PRODUCER_AT + 8)?.try_into().ok()?;
    let epoch = batch.get(EPOCH_AT..EPOCH_AT + 2)?.try_into().ok()?;
    Some((i64::from_be_bytes(id), i16::from_be_bytes(epoch)))
}

/// Whether the batch ends a transaction instead of belonging to it.
pub(crate) fn is_control(header: &BatchHeader) -> bool {
    header.attributes & CONTROL_BIT != 0
}

/// Whether a control record's key says that the transaction counts.
pub(crate) fn says_commit(key: &[u8]) -> bool {
    key.get(2..CONTROL_KEY_BYTES).is_some_and(|kind| kind == COMMIT.to_be_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{check_batch, encode};
    use super::*;
    use tradewind_types::Record;

    #[test]
    fn a_batch_made_transactional_names_its_producer_and_keeps_its_checksum() {
        let mut batch = encode(&[Record::default()], usize::MAX).unwrap();
        let before = check_batch(&batch).unwrap();
        assert_eq!(transaction_of(&before, &batch), None);
        make_transactional(&mut batch, 77, 3);
        let header = check_batch(&batch).unwrap();
        assert_eq!(transaction_of(&header, &batch), Some((77, 3)));
        assert!(!is_control(&header));
        assert!(says_commit(&[0, 0, 0, 1]) && !says_commit(&[0, 0, 0, 0]) && !says_commit(&[]));
    }
}
