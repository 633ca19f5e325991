//! Bodies of the tracking API, on every path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tradewind_collect::{Endpoint, Field, Kind, parse};

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
            }
        }
    }
});
