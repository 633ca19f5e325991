//! A frame of the Kafka port, from its first byte to a decoded request.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use tradewind_log::wire::{
    WireLimits, check_frame, check_prologue, message_set_records, versions,
};

fuzz_target!(|data: &[u8]| {
    if let Some(prologue) = data.first_chunk::<8>() {
        let _ = check_prologue(*prologue, &WireLimits::default());
    }
    let _ = check_frame(Bytes::copy_from_slice(data));
    let _ = message_set_records(&Bytes::copy_from_slice(data));
    if let [api, version, body @ ..] = data {
        let _ = check_frame(known_header(*api, *version, body));
    }
});

/// `body` behind the header of an API and version that are served, so that more than one input in
/// a million gets past the first four bytes.
fn known_header(api: u8, version: u8, body: &[u8]) -> Bytes {
    let apis: Vec<_> = versions().collect();
    let (_, key, min, max) = apis[usize::from(api) % apis.len()];
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(min + i16::from(version) % (max - min + 1));
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame.freeze()
}
