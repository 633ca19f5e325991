//! A request's calls become records and rejections, all of them one or the other.
//!
//! Guarantees: pure, so that a fuzzer and a test see what the server does; every record's value
//! reads as [`tradewind_types::Event`].
//! Left out: who may send, and everything durable.

use crate::arrival::Rejection;
use crate::json::{Fault, mend_surrogates};
use crate::record::{Encoder, Prepared, Sender};
use crate::reject::Reject;
use crate::request::{Endpoint, Request, parse};
use tradewind_types::{DEFAULT_STORE, Record, TimestampMicros};

/// The records a body becomes, and the calls that are rejected, as a collector without write keys
/// and with one partition would have it.
///
/// # Errors
/// Where the body stops being a request.
pub fn convert(
    body: &[u8],
    endpoint: Endpoint,
    received_at: TimestampMicros,
) -> Result<(Vec<Record>, Vec<Rejection>), Fault> {
    let mut body = body.to_vec();
    let lone_surrogates = parse(&body, endpoint)?.lone_surrogates;
    mend_surrogates(&mut body, &lone_surrogates);
    let sender = Sender {
        store_id: DEFAULT_STORE,
        source: "http",
        received_at,
        ip: None,
        user_agent: None,
        partitions: 1,
        again: None,
    };
    let (partitions, rejected) = encode(sender, endpoint, &parse(&body, endpoint)?);
    let records = partitions.into_iter().flatten().map(|prepared| prepared.record);
    Ok((records.collect(), rejected))
}

/// The events by partition, and what is rejected.
pub(crate) fn encode<'a>(
    sender: Sender<'a>,
    endpoint: Endpoint,
    request: &Request<'a>,
) -> (Vec<Vec<Prepared>>, Vec<Rejection>) {
    let mut rejected = Vec::new();
    let mut reject = |index, count, reason| rejected.push(Rejection { index, count, reason });
    let mut partitions = Vec::new();
    match Encoder::new(sender, endpoint, &request.envelope) {
        Ok(mut encoder) => {
            encoder.reserve(
                request.calls.len(),
                request.calls.iter().map(|call| call.raw.len()).sum(),
            );
            for (index, call) in request.calls.iter().enumerate() {
                if let Err(reason) = encoder.push(call) {
                    reject(index, 1, reason);
                }
            }
            partitions = encoder.finish();
        }
        Err(reason) => {
            for index in 0..request.calls.len() {
                reject(index, 1, reason.clone());
            }
        }
    }
    for excess in &request.excess {
        reject(excess.index, excess.count, Reject::TooMany);
    }
    (partitions, rejected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use tradewind_types::Event;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let name = prop_oneof![
                any::<String>(),
                prop::sample::select(vec!["ip", "userAgent", "consent", "a\\u0000"])
                    .prop_map(str::to_owned)
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map(name, inner, 0..4).prop_map(|members| members
                    .into_iter()
                    .collect::<serde_json::Map<_, _>>()
                    .into()),
            ]
        })
    }

    fn call() -> impl Strategy<Value = serde_json::Value> {
        let name = prop::sample::select(vec![
            "type",
            "event",
            "name",
            "messageId",
            "userId",
            "anonymousId",
            "groupId",
            "previousId",
            "timestamp",
            "sentAt",
            "properties",
            "traits",
            "context",
            "integrations",
            "more",
            "",
        ]);
        let members = prop::collection::hash_map(name.prop_map(str::to_owned), json(), 0..8);
        (members, any::<bool>()).prop_map(|(members, usable)| {
            let mut call: serde_json::Map<_, _> = members.into_iter().collect();
            if usable {
                call.insert("type".into(), "track".into());
                call.insert("event".into(), "E\"\u{1}".into());
                call.insert("userId".into(), "u\\é".into());
            }
            call.into()
        })
    }

    proptest! {
        /// Every call is a record or a rejection, and every record is an event that says what the
        /// call said.
        #[test]
        fn calls_become_events(calls in prop::collection::vec(call(), 0..5), context in json()) {
            let body = serde_json::json!({"batch": calls, "context": context}).to_string();
            let (records, rejected) = convert(body.as_bytes(), Endpoint::Batch, 1_000_000).unwrap();
            let count: usize = rejected.iter().map(|rejection| rejection.count).sum();
            prop_assert_eq!(records.len() + count, calls.len());
            let taken = (0..).zip(&calls)
                .filter(|(index, _)| rejected.iter().all(|rejection| rejection.index != *index));
            for (record, (_, call)) in records.iter().zip(taken) {
                let text = record.value.as_ref().unwrap();
                let event: Event<'_> = serde_json::from_slice(text).unwrap();
                let same = |raw: Option<&serde_json::value::RawValue>, name: &str| {
                    let ours = raw.map(|raw| serde_json::from_str(raw.get()).unwrap());
                    ours.unwrap_or(serde_json::Value::Null) == call[name]
                };
                prop_assert!(same(event.properties, "properties") && same(event.traits, "traits"));
                prop_assert!(same(event.integrations, "integrations"));
                prop_assert_eq!(record.key.as_ref().unwrap(), event.visitor_id.as_bytes());
                let merged = event.context.map_or("{}", |raw| raw.get());
                let merged: serde_json::Value = serde_json::from_str(merged).unwrap();
                for (name, value) in call["context"].as_object().into_iter().flatten() {
                    prop_assert_eq!(&merged[name], value);
                }
                for (name, value) in context.as_object().into_iter().flatten() {
                    let expected = call["context"].get(name).unwrap_or(value);
                    prop_assert_eq!(&merged[name], expected);
                }
            }
        }
    }
}
