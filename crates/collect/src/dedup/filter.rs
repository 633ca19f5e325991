//! A filter that says of most absent ids, with one look at one cache line, that they are absent.
//!
//! Guarantees: an id that was added always passes; of others about one in 500 does.
//! Left out: removal. A filter lives as long as its run.

use crate::identity::EventId;

/// Bits an id gets: 2 bytes of memory for each id on disk.
const BITS_PER_ID: usize = 16;
/// Words of 64 bits in a block: one cache line.
const BLOCK_WORDS: usize = 8;
/// Bits set for an id, each chosen by 9 bits of its hash.
const PROBES: u32 = 7;

/// A Bloom filter in blocks of 512 bits. An id is a hash already, so its own bits choose.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// A filter for about `ids` ids.
    pub(super) fn for_ids(ids: usize) -> Self {
        let blocks = (ids * BITS_PER_ID).div_ceil(BLOCK_WORDS * 64).max(1);
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks] }
    }

    fn block(&self, id: EventId) -> usize {
        // The low half chooses the block: runs are sorted by the high half, which would make
        // neighbours of ids that come in one after the other.
        let low = id as u64;
        ((u128::from(low) * self.blocks.len() as u128) >> 64) as usize
    }

    pub(super) fn add(&mut self, id: EventId) {
        let block = self.block(id);
        for (word, bit) in probes(id) {
            self.blocks[block][word] |= bit;
        }
    }

    pub(super) fn may_have(&self, id: EventId) -> bool {
        let block = &self.blocks[self.block(id)];
        probes(id).all(|(word, bit)| block[word] & bit != 0)
    }
}

fn probes(id: EventId) -> impl Iterator<Item = (usize, u64)> {
    let mut high = (id >> 64) as u64;
    (0..PROBES).map(move |_| {
        let probe = (high & 511) as usize;
        high >>= 9;
        (probe / 64, 1u64 << (probe % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    #[test]
    fn members_pass_and_few_others_do() {
        let id = |number: u32| xxh3_128(&number.to_le_bytes());
        let mut filter = Filter::for_ids(50_000);
        (0..50_000).for_each(|number| filter.add(id(number)));
        assert!((0..50_000).all(|number| filter.may_have(id(number))));
        let others = (50_000..150_000).filter(|number| filter.may_have(id(*number))).count();
        assert!(others < 400, "{others} of 100,000 absent ids passed");
    }
}
