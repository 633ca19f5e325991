//! Virtual shards: the unit in which keyed state is placed, checkpointed and evicted.
//!
//! Guarantees: a key's shard depends on its hash alone, and a worker's shards on the number of
//! workers alone. Nothing stored depends on the hash function: a restore hashes again.

use std::ops::Range;

/// A shard's number.
pub type Shard = u8;
/// How many there are.
pub const SHARDS: usize = 256;

/// The shard of a key, by the top bits of its hash: hash tables use the others.
pub const fn shard_of(hash: u64) -> Shard {
    (hash >> 56) as Shard
}

/// The shards of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRange(Range<usize>);

impl ShardRange {
    /// All of them.
    pub const fn all() -> Self {
        Self(0..SHARDS)
    }

    /// Those of worker `worker` of `workers`.
    pub const fn of(worker: usize, workers: usize) -> Self {
        Self(worker * SHARDS / workers..(worker + 1) * SHARDS / workers)
    }

    /// One alone.
    pub(crate) const fn one(shard: usize) -> Self {
        Self(shard..shard + 1)
    }

    /// The first, and the one behind the last.
    pub(crate) const fn bounds(&self) -> (usize, usize) {
        (self.0.start, self.0.end)
    }

    /// Whether a shard is among them.
    pub fn contains(&self, shard: Shard) -> bool {
        self.0.contains(&(shard as usize))
    }

    /// Which of `workers` workers has a shard: the one whose [`ShardRange::of`] contains it.
    pub const fn worker(shard: Shard, workers: usize) -> usize {
        // The largest worker whose range begins at or before the shard.
        ((shard as usize + 1) * workers - 1) / SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_exactly_its_worker() {
        for workers in 1..=16 {
            for shard in 0..=Shard::MAX {
                let owner = ShardRange::worker(shard, workers);
                for worker in 0..workers {
                    let has = ShardRange::of(worker, workers).contains(shard);
                    assert_eq!(has, worker == owner, "{shard} of {workers}");
                }
            }
        }
    }
}
