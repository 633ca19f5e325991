//! An event's id and content fingerprint, as `docs/formats/dedup.md` defines them.
//!
//! Guarantees: stable across versions and machines: both are stored in the log.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

/// The record header that holds an event's id.
pub const ID_HEADER: &[u8] = b"id";
/// The record header that holds an event's fingerprint.
pub const FINGERPRINT_HEADER: &[u8] = b"fp";

/// `xxh3_128` of store, source and message id, as a number whose big-endian bytes are stored.
pub(crate) type EventId = u128;

/// Hashes identities of one store and source without allocating for each.
#[derive(Debug)]
pub(crate) struct Identifier {
    scratch: Vec<u8>,
    prefix: usize,
}

impl Identifier {
    pub(crate) fn new(store_id: &str, source: &str) -> Self {
        let mut scratch = Vec::with_capacity(store_id.len() + source.len() + 128);
        scratch.extend_from_slice(store_id.as_bytes());
        scratch.push(0);
        scratch.extend_from_slice(source.as_bytes());
        scratch.push(0);
        Self { prefix: scratch.len(), scratch }
    }

    pub(crate) fn id(&mut self, message_id: &str) -> EventId {
        self.scratch.truncate(self.prefix);
        self.scratch.extend_from_slice(message_id.as_bytes());
        xxh3_128(&self.scratch)
    }
}

/// The fingerprint of what an event says: each part hashed with the hash before it as seed, so
/// that text moving from one part to the next changes the result.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> u64 {
    let mut hash = 0u64;
    for (number, part) in (1u64..).zip(parts) {
        if let Some(part) = part {
            hash = xxh3_64_with_seed(part.as_bytes(), hash ^ number);
        }
    }
    hash
}

/// Which of `partitions` a visitor's events go to. Part of what keeps retries together: must not
/// change between versions.
pub(crate) fn partition(store_id: &str, visitor_id: &str, partitions: i32) -> i32 {
    let store = xxh3_64(store_id.as_bytes());
    let hash = xxh3_64_with_seed(visitor_id.as_bytes(), store);
    (hash % partitions.max(1) as u64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_fingerprints_are_what_the_format_says() {
        let mut identifier = Identifier::new("default", "http");
        assert_eq!(identifier.id("m1"), xxh3_128(b"default\0http\0m1"));
        assert_eq!(identifier.id("m2"), xxh3_128(b"default\0http\0m2"));
        let one = fingerprint([Some("ab"), None, Some("c")]);
        assert_eq!(one, xxh3_64_with_seed(b"c", xxh3_64_with_seed(b"ab", 1) ^ 3));
        assert_ne!(one, fingerprint([Some("a"), None, Some("bc")]));
        assert_ne!(one, fingerprint([Some("ab"), Some("c"), None]));
    }

    #[test]
    fn partitions_are_stable() {
        let spread: Vec<i32> = ["a", "b", "c", "d", "e"].map(|id| partition("s", id, 4)).to_vec();
        assert_eq!(spread, ["a", "b", "c", "d", "e"].map(|id| partition("s", id, 4)));
        assert!(spread.iter().all(|number| (0..4).contains(number)));
    }
}
