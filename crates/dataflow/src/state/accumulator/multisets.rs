//! A multiset of values for each slot, as `DISTINCT` and weighted `MIN` and `MAX` keep them.
//!
//! Guarantees: a count below 0 waits for rows to come; an entry whose count comes to 0 goes, and
//! its end is saved where it was saved itself.
//! Left out: what an aggregate makes of it.

use super::tally::{Gone, Saved, Tally};
use super::values::Kept;
use super::{DataflowError, Values};
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// The entries of one slot, in whatever order.
pub(super) trait Entries<K: Kept>:
    Default + IntoIterator<Item = (K::Owned, Tally)> + Send + 'static
{
    fn tally_mut(&mut self, value: &K::Value) -> Option<&mut Tally>;
    fn put(&mut self, value: K::Owned, tally: Tally);
    fn drop_entry(&mut self, value: &K::Value) -> Option<(K::Owned, Tally)>;
    fn each_mut<'a>(&'a mut self) -> impl Iterator<Item = (&'a K::Owned, &'a mut Tally)>
    where
        K::Owned: 'a;
}

/// The same four calls of both maps.
macro_rules! entries {
    ($map:ident) => {
        impl<K: Kept> Entries<K> for $map<K::Owned, Tally> {
            #[inline(always)]
            fn tally_mut(&mut self, value: &K::Value) -> Option<&mut Tally> {
                self.get_mut(value)
            }

            fn put(&mut self, value: K::Owned, tally: Tally) {
                self.insert(value, tally);
            }

            fn drop_entry(&mut self, value: &K::Value) -> Option<(K::Owned, Tally)> {
                self.remove_entry(value)
            }

            fn each_mut<'a>(&'a mut self) -> impl Iterator<Item = (&'a K::Owned, &'a mut Tally)>
            where
                K::Owned: 'a,
            {
                self.iter_mut()
            }
        }
    };
}

entries!(BTreeMap);
entries!(HashMap);

/// A multiset for each slot.
pub(super) struct Multisets<K: Kept, E: Entries<K>> {
    argument: DataType,
    by_slot: Vec<E>,
    gone: Gone<K::Owned>,
    entries: usize,
    /// Bytes of values beside their own size, about.
    extra: usize,
}

impl<K: Kept, E: Entries<K>> Multisets<K, E> {
    pub(super) fn new(argument: DataType) -> Self {
        Self { argument, by_slot: Vec::new(), gone: Gone::default(), entries: 0, extra: 0 }
    }

    pub(super) const fn argument(&self) -> &DataType {
        &self.argument
    }

    pub(super) fn of(&self, slot: u32) -> &E {
        &self.by_slot[slot as usize]
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.by_slot.resize_with(slots.max(self.by_slot.len()), E::default);
    }

    /// 1 where the value is there now and was not, -1 the other way round.
    #[inline(always)]
    pub(super) fn add(&mut self, slot: usize, value: &K::Value, weight: i64) -> i64 {
        let set = &mut self.by_slot[slot];
        if let Some(tally) = set.tally_mut(value) {
            let change = tally.add(weight);
            if tally.count() == 0 {
                self.end(slot, value);
            }
            return change;
        }
        let mut tally = Tally::NEW;
        let change = tally.add(weight);
        set.put(K::own(value), tally);
        self.entries += 1;
        self.extra += K::extra(value);
        change
    }

    fn end(&mut self, slot: usize, value: &K::Value) {
        if let Some((value, tally)) = self.by_slot[slot].drop_entry(value) {
            self.forget(value.borrow());
            self.gone.note(slot as u32, value, tally);
        }
    }

    fn forget(&mut self, value: &K::Value) {
        self.entries -= 1;
        self.extra = self.extra.saturating_sub(K::extra(value));
    }

    pub(super) fn clear(&mut self, slot: u32) {
        for (value, _) in std::mem::take(&mut self.by_slot[slot as usize]) {
            self.forget(value.borrow());
        }
    }

    /// See [`super::Accumulator::save_values`].
    pub(super) fn save(&mut self, slots: &[u32], all: bool) -> Result<Values, DataflowError> {
        let gone = self.gone.take();
        let mut sets: Vec<_> = self.by_slot.iter_mut().map(Some).collect();
        let mut saved = Saved::with(&gone, slots, all);
        for slot in slots {
            if let Some(set) = sets[*slot as usize].take() {
                saved.add(*slot, set.each_mut(), all);
            }
        }
        let values = saved.values.iter().map(|value| Some((*value).borrow()));
        let values = K::array(values, &self.argument)?;
        Ok(Values { slots: saved.slots, values, counts: saved.counts })
    }

    /// See [`super::Accumulator::load_values`].
    pub(super) fn load(&mut self, values: &Values) -> Result<(), DataflowError> {
        let column = K::column(&values.values)?;
        for (row, (slot, count)) in values.slots.iter().zip(&values.counts).enumerate() {
            let value = K::value(&column, row);
            if self.by_slot[*slot as usize].drop_entry(value).is_some() {
                self.forget(value);
            }
            if *count != 0 {
                self.by_slot[*slot as usize].put(K::own(value), Tally::loaded(*count));
                self.entries += 1;
                self.extra += K::extra(value);
            }
        }
        Ok(())
    }

    /// Bytes in memory, about, where an entry takes `entry` of them.
    pub(super) fn bytes(&self, entry: usize) -> usize {
        self.by_slot.capacity() * size_of::<E>() + self.entries * entry + self.extra
    }
}
