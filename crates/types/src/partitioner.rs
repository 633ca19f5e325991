//! Which partition a record's key belongs to.
//!
//! Guarantees: as Kafka's own clients have it, so that whoever writes a key writes it to the same
//! partition.
//! Left out: records without keys, which go anywhere.

use crate::log::PartitionId;

/// The partition that Kafka's clients write a key to: a hash they call murmur2.
pub fn partition_of(key: &[u8], partitions: i32) -> PartitionId {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as i32 % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_clients_put_them() {
        // As kafka-python's murmur2 says, over a thousand partitions.
        for (key, partition) in [
            (&b""[..], 681),
            (&b"a"[..], 524),
            (&b"abc"[..], 107),
            (&b"21"[..], 340),
            (&b"foobar"[..], 166),
            (&b"a-little-bit-long-string"[..], 112),
            (&b"key 17"[..], 836),
        ] {
            assert_eq!(partition_of(key, 1_000), partition, "{key:?}");
        }
    }
}
