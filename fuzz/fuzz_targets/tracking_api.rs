//! Bodies of the tracking API, on every path, and the records that they become.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tradewind_collect::{Endpoint, Field, Kind, Request, convert, parse};
use tradewind_types::Event;

const RECEIVED_AT: i64 = 1_770_000_000_000_000;

fuzz_target!(|data: &[u8]| {
    for endpoint in Kind::ALL.into_iter().map(Endpoint::One).chain([Endpoint::Batch]) {
        match parse(data, endpoint) {
            Err(fault) => assert!(fault.position <= data.len()),
            Ok(request) => {
                for call in &request.calls {
                    // A field is a part of its call's text, which is a part of the body.
                    let value = call.field(Field::Properties).unwrap_or_default();
                    assert!(call.raw.contains(value));
                    assert!(call.raw.len() <= data.len());
                }
                records_read_back(data, endpoint, &request);
            }
        }
    }
});

/// Every call is a record or a rejection, and every record is an event.
fn records_read_back(data: &[u8], endpoint: Endpoint, request: &Request<'_>) {
    let (records, rejected) =
        convert(data, endpoint, RECEIVED_AT).expect("what is a request can be converted");
    let excess: usize = request.excess.iter().map(|excess| excess.count).sum();
    let refused: usize = rejected.iter().map(|rejection| rejection.count).sum();
    assert_eq!(records.len() + refused, request.calls.len() + excess);
    for record in records {
        let value = record.value.expect("an event's record has a value");
        let event: Event<'_> = serde_json::from_slice(&value).expect("a record is an event");
        let key = record.key.expect("an event's record has a key");
        assert_eq!(key, event.visitor_id.as_bytes());
        assert_eq!(event.received_at, RECEIVED_AT);
        assert!(!event.message_id.is_empty());
    }
}
