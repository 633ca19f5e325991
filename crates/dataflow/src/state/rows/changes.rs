//! Which rows' weights have changed since some moment, and what they were then.
//!
//! Left out: the rows themselves; one that is gone is kept by its owner as long as this asks for it.

use super::NONE;

#[derive(Default)]
pub(crate) struct Changes {
    /// Nothing is noted while nobody has asked.
    on: bool,
    /// For each row its place in `list`, or `NONE`.
    at: Vec<u32>,
    list: Vec<(u32, i64)>,
}

impl Changes {
    /// Begins to note, from nothing.
    pub(crate) fn start(&mut self) {
        self.on = true;
        debug_assert!(self.list.is_empty());
    }

    pub(crate) fn stop(&mut self) {
        self.on = false;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// A row is about to change from weight `before`.
    #[inline]
    pub(crate) fn note(&mut self, row: u32, before: i64) {
        if !self.on {
            return;
        }
        if self.at.len() <= row as usize {
            self.at.resize(row as usize + 1, NONE);
        }
        if self.at[row as usize] == NONE {
            self.at[row as usize] = self.list.len() as u32;
            self.list.push((row, before));
        }
    }

    /// Whether a row that is gone must be kept, because it was there at the beginning. One that
    /// came and went is forgotten.
    pub(crate) fn holds(&mut self, row: u32) -> bool {
        let Some(at) = self.at.get(row as usize).copied().filter(|at| *at != NONE) else {
            return false;
        };
        if self.list[at as usize].1 != 0 {
            return true;
        }
        self.at[row as usize] = NONE;
        self.list.swap_remove(at as usize);
        if let Some((moved, _)) = self.list.get(at as usize) {
            self.at[*moved as usize] = at;
        }
        false
    }

    /// The rows that were noted, with the weights they had. Begins anew.
    pub(crate) fn take(&mut self) -> Vec<(u32, i64)> {
        for (row, _) in &self.list {
            self.at[*row as usize] = NONE;
        }
        std::mem::take(&mut self.list)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.at.capacity() * size_of::<u32>() + self.list.capacity() * size_of::<(u32, i64)>()
    }
}
