//! Dead letters as records of the topic `dead_letters`.
//!
//! Guarantees: at most [`RAW_BYTES_MAX`] raw bytes in a record; cut bytes are marked in
//! `raw_truncated` and in the reason.
//! Left out: when something is a dead letter.

use crate::identity::EventId;
use crate::json::push_string;
use crate::record::Prepared;
use crate::settings::RAW_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use tradewind_types::event::iso8601;
use tradewind_types::{DeadLetter, Record, TimestampMicros};

/// Bytes of unreadable input from senders nobody knows that are kept in a minute: a browser's
/// cut-off beacon is worth a look, a flood is not worth the disk.
const ANONYMOUS_BYTES_PER_MINUTE: usize = 1024 * 1024;
const MINUTE_US: i64 = 60_000_000;

/// A dead letter's record. `cut`: there was more than `letter.raw` holds.
pub(crate) fn record(letter: &DeadLetter, cut: bool) -> Prepared {
    let kept = letter.raw.len().min(RAW_BYTES_MAX);
    let mut out = Vec::with_capacity(kept / 3 * 4 + letter.reason.len() + 256);
    out.extend_from_slice(b"{\"store_id\":");
    push_string(&mut out, &letter.store_id);
    out.extend_from_slice(b",\"source\":");
    push_string(&mut out, &letter.source);
    out.extend_from_slice(b",\"reason\":");
    let note = match letter.raw.len() {
        total if kept < total => format!(" (the first {kept} of {total} bytes kept)"),
        _ if cut => format!(" (the first {kept} bytes kept)"),
        _ => String::new(),
    };
    push_string(&mut out, &format!("{}{note}", letter.reason));
    if !note.is_empty() {
        out.extend_from_slice(b",\"raw_truncated\":true");
    }
    out.extend_from_slice(b",\"received_at\":");
    push_string(&mut out, &iso8601::format(letter.received_at));
    out.extend_from_slice(b",\"raw_base64\":\"");
    out.extend_from_slice(STANDARD.encode(&letter.raw[..kept]).as_bytes());
    out.push(b'"');
    if let Some((topic, partition, offset)) = &letter.position {
        out.extend_from_slice(b",\"topic\":");
        push_string(&mut out, topic);
        out.extend_from_slice(format!(",\"partition\":{partition},\"offset\":{offset}").as_bytes());
    }
    out.push(b'}');
    let timestamp_ms = letter.received_at.div_euclid(1_000);
    let value = Some(Bytes::from(out));
    let record = Record { timestamp_ms, key: None, value, headers: Vec::new() };
    Prepared { id: EventId::default(), fingerprint: 0, record }
}

/// How much of unknown senders' input has been kept in the current minute.
#[derive(Debug, Default)]
pub(crate) struct AnonymousAllowance(Mutex<(i64, usize)>);

impl AnonymousAllowance {
    /// Whether `bytes` more may be kept at `now`.
    pub(crate) fn take(&self, bytes: usize, now: TimestampMicros) -> bool {
        let minute = now.div_euclid(MINUTE_US);
        let mut used = self.0.lock();
        if used.0 != minute {
            *used = (minute, 0);
        }
        let fits = used.1 + bytes <= ANONYMOUS_BYTES_PER_MINUTE;
        if fits {
            used.1 += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn letter(raw: Vec<u8>) -> DeadLetter {
        DeadLetter {
            store_id: "default".into(),
            source: "http:track".into(),
            reason: "a \"quote\"\nand a line".into(),
            raw: raw.into(),
            received_at: 1_000_000,
            position: Some(("events".into(), 2, 7)),
        }
    }

    fn read(record: &Prepared) -> serde_json::Value {
        serde_json::from_slice(record.record.value.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn raw_bytes_are_kept_as_they_came() {
        let raw: Vec<u8> = (0..=255).collect();
        let value = read(&record(&letter(raw.clone()), false));
        assert_eq!(STANDARD.decode(value["raw_base64"].as_str().unwrap()).unwrap(), raw);
        assert_eq!(value["reason"], "a \"quote\"\nand a line");
        assert_eq!(value["received_at"], "1970-01-01T00:00:01.000000Z");
        assert_eq!((value["partition"].as_i64(), value["offset"].as_i64()), (Some(2), Some(7)));
        assert_eq!(value.get("raw_truncated"), None);
    }

    #[test]
    fn too_many_raw_bytes_are_cut_and_marked() {
        let value = read(&record(&letter(vec![7; RAW_BYTES_MAX + 1]), false));
        let raw = STANDARD.decode(value["raw_base64"].as_str().unwrap()).unwrap();
        assert_eq!(raw.len(), RAW_BYTES_MAX);
        assert_eq!(value["raw_truncated"], true);
        assert!(
            value["reason"].as_str().unwrap().ends_with("(the first 65536 of 65537 bytes kept)")
        );
        let value = read(&record(&letter(vec![7; 5]), true));
        assert_eq!(value["raw_truncated"], true);
        assert!(value["reason"].as_str().unwrap().ends_with("(the first 5 bytes kept)"));
    }

    #[test]
    fn unknown_senders_fill_no_disk() {
        let allowance = AnonymousAllowance::default();
        assert!(allowance.take(ANONYMOUS_BYTES_PER_MINUTE, 5) && !allowance.take(1, 6));
        assert!(allowance.take(1, 5 + MINUTE_US));
    }
}
