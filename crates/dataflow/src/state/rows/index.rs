//! From hashes to rows.
//!
//! Guarantees: a lookup reads one place in memory in the common case; rows are numbered by `u32`,
//! and removing one moves no other row's number.
//! Left out: values. Rows whose 64-bit hashes are the same are told apart by the caller.

use crate::state::slots::{BLOCK_ROWS, Slots};

/// No row.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    hash: u64,
    next: u32,
    prev: u32,
}

/// The row is the first of its chain.
const FIRST: u32 = u32::MAX;
/// The row is in no chain.
const UNLINKED: u32 = u32::MAX - 1;

/// For each hash of a key the rows that have it, the newest first.
pub(crate) struct Chains {
    slots: Slots,
    links: Vec<Link>,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Self { slots: Slots::new(), links: Vec::new() }
    }

    /// The newest row of a hash.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> u32 {
        let found = self.slots.find(hash, |row| self.links[row as usize].hash == hash);
        found.map_or(NONE, |place| self.slots.row(place))
    }

    /// The newest row of each hash.
    pub(crate) fn firsts(&self, hashes: &[u64]) -> Vec<u32> {
        let mut found = Vec::new();
        self.slots.candidates(hashes, &mut found);
        for (row, hash) in found.iter_mut().zip(hashes) {
            if *row != NONE && self.links[*row as usize].hash != *hash {
                *row = self.first(*hash);
            }
        }
        found
    }

    /// The row that came before this one.
    #[inline]
    pub(crate) fn next(&self, row: u32) -> u32 {
        self.links[row as usize].next
    }

    /// The hash a row was last linked under.
    pub(crate) fn hash(&self, row: u32) -> u64 {
        self.links[row as usize].hash
    }

    pub(crate) fn is_linked(&self, row: u32) -> bool {
        self.links.get(row as usize).is_some_and(|link| link.prev != UNLINKED)
    }

    /// Links many rows, one for each hash.
    pub(crate) fn link_all(&mut self, rows: std::ops::Range<u32>, hashes: &[u64]) {
        let blocks = (rows.start..).step_by(BLOCK_ROWS).zip(hashes.chunks(BLOCK_ROWS));
        for (first, hashes) in blocks {
            self.slots.warm(hashes);
            for (row, hash) in (first..).zip(hashes) {
                self.link(row, *hash);
            }
        }
    }

    pub(crate) fn link(&mut self, row: u32, hash: u64) {
        debug_assert!(!self.is_linked(row));
        let missing = Link { hash: 0, next: NONE, prev: UNLINKED };
        if self.links.len() <= row as usize {
            self.links.resize(row as usize + 1, missing);
        }
        let links = &self.links;
        let next = match self.slots.find(hash, |row| links[row as usize].hash == hash) {
            None => {
                self.slots.insert(hash, row);
                NONE
            }
            Some(place) => {
                let next = self.slots.row(place);
                self.links[next as usize].prev = row;
                self.slots.set(place, row);
                next
            }
        };
        self.links[row as usize] = Link { hash, next, prev: FIRST };
    }

    pub(crate) fn unlink(&mut self, row: u32) {
        let Link { hash, next, prev } = self.links[row as usize];
        debug_assert!(prev != UNLINKED);
        if next != NONE {
            self.links[next as usize].prev = prev;
        }
        if prev != FIRST {
            self.links[prev as usize].next = next;
        } else if let Some(place) = self.slots.find(hash, |other| other == row) {
            match next {
                NONE => self.slots.remove(place),
                _ => self.slots.set(place, next),
            }
        }
        self.links[row as usize].prev = UNLINKED;
    }

    /// How many hashes there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes() + self.links.capacity() * size_of::<Link>()
    }
}

/// For each hash of a whole row the rows that have it.
pub(crate) struct RowIndex {
    slots: Slots,
    hashes: Vec<u64>,
}

impl RowIndex {
    pub(crate) fn new() -> Self {
        Self { slots: Slots::new(), hashes: Vec::new() }
    }

    /// A row of this hash that is the one looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> u32 {
        let same = |row: u32| self.hashes[row as usize] == hash && is(row);
        self.slots.find(hash, same).map_or(NONE, |place| self.slots.row(place))
    }

    /// For each hash a row that has it.
    pub(crate) fn finds(&self, hashes: &[u64]) -> Vec<u32> {
        let mut found = Vec::new();
        self.slots.candidates(hashes, &mut found);
        for (row, hash) in found.iter_mut().zip(hashes) {
            if *row != NONE && self.hashes[*row as usize] != *hash {
                *row = self.find(*hash, |_| true);
            }
        }
        found
    }

    pub(crate) fn insert(&mut self, hash: u64, row: u32) {
        if self.hashes.len() <= row as usize {
            self.hashes.resize(row as usize + 1, 0);
        }
        self.hashes[row as usize] = hash;
        self.slots.insert(hash, row);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        let hash = self.hashes[row as usize];
        if let Some(place) = self.slots.find(hash, |other| other == row) {
            self.slots.remove(place);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes() + self.hashes.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few hashes, so that slots collide and chains grow and shrink.
        #[test]
        fn chains_hold_what_was_linked(steps in prop::collection::vec((0u32..60, 0u64..9), 0..400)) {
            let mut chains = Chains::new();
            let mut model: Vec<Option<u64>> = vec![None; 60];
            for (row, hash) in steps {
                let hash = ((hash % 3) << 40) | ((hash / 3) * 16);
                match model[row as usize].take() {
                    Some(_) => chains.unlink(row),
                    None => {
                        chains.link(row, hash);
                        model[row as usize] = Some(hash);
                    }
                }
            }
            let mut hashes = std::collections::BTreeSet::new();
            for hash in model.iter().flatten() {
                hashes.insert(*hash);
                let mut held = Vec::new();
                let mut row = chains.first(*hash);
                while row != NONE {
                    held.push(row);
                    row = chains.next(row);
                }
                held.sort_unstable();
                let wanted: Vec<u32> =
                    (0..60).filter(|row| model[*row as usize] == Some(*hash)).collect();
                prop_assert_eq!(held, wanted);
            }
            prop_assert_eq!(chains.len(), hashes.len());
        }

        #[test]
        fn rows_are_found_until_they_are_removed(steps in prop::collection::vec((0u32..60, 0u64..9), 0..400)) {
            let mut index = RowIndex::new();
            let mut model: Vec<Option<u64>> = vec![None; 60];
            for (row, hash) in steps {
                let hash = ((hash % 3) << 40) | ((hash / 3) * 16);
                match model[row as usize].take() {
                    Some(_) => index.remove(row),
                    None => {
                        index.insert(hash, row);
                        model[row as usize] = Some(hash);
                    }
                }
                for row in 0..60 {
                    if let Some(hash) = model[row as usize] {
                        prop_assert_eq!(index.find(hash, |found| found == row), row);
                        prop_assert_eq!(index.find(hash + 1, |_| true), NONE);
                    }
                }
            }
        }
    }
}
