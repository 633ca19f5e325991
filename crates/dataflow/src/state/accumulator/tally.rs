//! How often a value is in a multiset, and what a checkpoint knows of it.

/// A count with two flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Four times the count, plus the flags.
    packed: i64,
}

/// The count has changed since it was last saved.
const DIRTY: i64 = 1;
/// It has been saved, so that its end must be saved too.
const SAVED: i64 = 2;

impl Tally {
    pub(super) const NEW: Self = Self { packed: 0 };

    pub(super) const fn loaded(count: i64) -> Self {
        Self { packed: (count << 2) | SAVED }
    }

    pub(super) const fn count(self) -> i64 {
        self.packed >> 2
    }

    /// Whether the value is there: a count below 0 waits for rows to come.
    pub(super) const fn is_there(self) -> bool {
        self.count() > 0
    }

    pub(super) const fn is_dirty(self) -> bool {
        self.packed & DIRTY != 0
    }

    pub(super) const fn is_saved(self) -> bool {
        self.packed & SAVED != 0
    }

    /// Adds to the count; 1 where the value is there now and was not, -1 the other way round.
    #[inline]
    pub(super) const fn add(&mut self, weight: i64) -> i64 {
        let was = self.is_there();
        self.packed = (self.packed + weight * 4) | DIRTY;
        self.is_there() as i64 - was as i64
    }

    pub(super) const fn set_saved(&mut self) {
        self.packed = (self.packed & !DIRTY) | SAVED;
    }
}

/// Values that are gone from their multisets since these were saved.
#[derive(Debug)]
pub(super) struct Gone<V>(Vec<(u32, V)>);

impl<V> Default for Gone<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Gone<V> {
    /// Notes a value whose count has come to 0.
    pub(super) fn note(&mut self, slot: u32, value: V, tally: Tally) {
        if tally.is_saved() {
            self.0.push((slot, value));
        }
    }

    /// Those noted, to be saved before anything that is there.
    pub(super) fn take(&mut self) -> Vec<(u32, V)> {
        std::mem::take(&mut self.0)
    }
}

/// Multiset entries to be saved: gone ones, then those there are.
pub(super) struct Saved<'a, V> {
    pub(super) slots: Vec<u32>,
    pub(super) values: Vec<&'a V>,
    pub(super) counts: Vec<i64>,
}

impl<'a, V> Saved<'a, V> {
    /// Begins with those of `gone` that are in `slots`: others have lost their key, whose state is
    /// dropped as a whole.
    pub(super) fn with(gone: &'a [(u32, V)], slots: &[u32], all: bool) -> Self {
        let mut saved = Self { slots: Vec::new(), values: Vec::new(), counts: Vec::new() };
        if all || gone.is_empty() {
            return saved;
        }
        let wanted: std::collections::HashSet<u32> = slots.iter().copied().collect();
        for (slot, value) in gone.iter().filter(|(slot, _)| wanted.contains(slot)) {
            saved.slots.push(*slot);
            saved.values.push(value);
            saved.counts.push(0);
        }
        saved
    }

    /// Adds a slot's entries.
    pub(super) fn add(
        &mut self,
        slot: u32,
        entries: impl Iterator<Item = (&'a V, &'a mut Tally)>,
        all: bool,
    ) where
        V: 'a,
    {
        for (value, tally) in entries.filter(|(_, tally)| all || tally.is_dirty()) {
            self.slots.push(slot);
            self.values.push(value);
            self.counts.push(tally.count());
            tally.set_saved();
        }
    }
}
