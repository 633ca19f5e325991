//! Record batches as a producer sends them: arbitrary bytes, and bytes made to pass the checksum.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tradewind_log::batch::{HEADER_BYTES, check_produced, decode_records, parse_batches};

const BATCH_BYTES_MAX: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(repaired) = repaired(data) {
        read(&repaired);
    }
});

fn read(bytes: &[u8]) {
    let sendable = check_produced(bytes, BATCH_BYTES_MAX).is_ok();
    let Ok(spans) = parse_batches(bytes) else {
        assert!(!sendable, "a batch that does not parse was taken");
        return;
    };
    for span in spans {
        let batch = Bytes::copy_from_slice(&bytes[span.position..][..span.header.bytes]);
        let records = decode_records(&span.header, &batch);
        assert!(!sendable || records.is_ok(), "a batch was taken that cannot be read: {records:?}");
    }
}

/// One batch of `data` with its length, magic, count and checksum made right, so that what lies
/// behind them is reached.
fn repaired(data: &[u8]) -> Option<Vec<u8>> {
    let mut batch = data.to_vec();
    if batch.len() < HEADER_BYTES {
        return None;
    }
    let length = i32::try_from(batch.len() - 12).ok()?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let records = i32::from(batch[60]).max(1);
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Some(batch)
}
