//! An open hash table of numbers.
//!
//! Guarantees: a lookup reads one place in memory in the common case.
//! Left out: what the numbers stand for: the caller says which of those with a hash it looks for.

const EMPTY: u64 = u64::MAX;
const SLOTS_MIN: usize = 16;
/// Hashes looked up together: their slots stay in the nearest cache.
pub(super) const BLOCK_ROWS: usize = 256;
/// Tables of fewer slots stay near by themselves.
const WARM_MIN: usize = 1 << 15;

/// An open table of (32 bits of a hash, row) with linear probing. The lower bits of a hash choose
/// the slot, because the upper ones choose the worker.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<u64>,
    used: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { slots: vec![EMPTY; SLOTS_MIN], used: 0 }
    }

    /// The first slot of this hash whose row is the one looked for.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let tag = hash & 0xffff_ffff;
        let mut place = tag as usize & mask;
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                return None;
            }
            if slot >> 32 == tag && is(slot as u32) {
                return Some(place);
            }
            place = (place + 1) & mask;
        }
    }

    /// The row in a slot that was found.
    #[inline]
    pub(super) fn row(&self, place: usize) -> u32 {
        self.slots[place] as u32
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// For each hash the first row that has its lower half, or `u32::MAX`: nearly always the one
    /// looked for, if that is here. `found` is emptied first.
    pub(super) fn candidates(&self, hashes: &[u64], found: &mut Vec<u32>) {
        found.clear();
        found.reserve(hashes.len());
        for hashes in hashes.chunks(BLOCK_ROWS) {
            self.warm(hashes);
            found.extend(
                hashes.iter().map(|hash| {
                    self.find(*hash, |_| true).map_or(u32::MAX, |place| self.row(place))
                }),
            );
        }
    }

    /// Reads the slots where probes begin. No read waits for another, so that those from memory
    /// come beside each other; the probes that follow find them near.
    pub(super) fn warm(&self, hashes: &[u64]) {
        if self.slots.len() < WARM_MIN {
            return;
        }
        let mask = self.slots.len() - 1;
        let slot = |hash: &u64| self.slots[*hash as usize & 0xffff_ffff & mask];
        std::hint::black_box(hashes.iter().map(slot).fold(0, |all, slot| all ^ slot));
    }

    pub(super) fn set(&mut self, place: usize, row: u32) {
        self.slots[place] = self.slots[place] & !0xffff_ffff | u64::from(row);
    }

    pub(super) fn insert(&mut self, hash: u64, row: u32) {
        // At most five of eight slots are used: probes stay within a cache line or two.
        if (self.used + 1) * 8 > self.slots.len() * 5 {
            self.grow();
        }
        self.used += 1;
        self.put(hash << 32 | u64::from(row));
    }

    fn put(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut place = (slot >> 32) as usize & mask;
        while self.slots[place] != EMPTY {
            place = (place + 1) & mask;
        }
        self.slots[place] = slot;
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot != EMPTY {
                self.put(slot);
            }
        }
    }

    /// Empties a slot and closes the gap, so that probes that passed it still arrive.
    pub(super) fn remove(&mut self, place: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut next) = (place, place);
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot == EMPTY {
                break;
            }
            let home = (slot >> 32) as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }
}
