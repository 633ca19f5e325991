//! `COUNT(DISTINCT x)`, `SUM(DISTINCT x)`, `AVG(DISTINCT x)`.
//!
//! Guarantees: the aggregate behind sees each value of a slot once while it is there at all.

use super::tally::{Gone, Saved, Tally};
use super::values::{Kept, kept_as};
use super::{Accumulator, Rows, Values, same};
use crate::DataflowError;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use hashbrown::HashMap;
use std::any::Any;
use std::borrow::Borrow;

pub(super) fn build(argument: DataType, inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    let kept = argument.clone();
    kept_as!(kept, distinct(argument, inner))
}

fn distinct<K: Kept>(argument: DataType, inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    let sets = Sets { by_slot: Vec::new(), gone: Gone::default(), entries: 0, extra: 0 };
    Box::new(Distinct::<K> { argument, inner, sets })
}

struct Distinct<K: Kept> {
    argument: DataType,
    inner: Box<dyn Accumulator>,
    sets: Sets<K>,
}

/// A multiset for each slot.
struct Sets<K: Kept> {
    by_slot: Vec<HashMap<K::Owned, Tally>>,
    gone: Gone<K::Owned>,
    entries: usize,
    extra: usize,
}

impl<K: Kept> Sets<K> {
    /// 1 where the value is there now and was not, -1 the other way round.
    #[inline(always)]
    fn add(&mut self, slot: usize, value: &K::Value, weight: i64) -> i64 {
        let set = &mut self.by_slot[slot];
        if let Some(tally) = set.get_mut(value) {
            let change = tally.add(weight);
            if tally.count() == 0 {
                self.drop_entry(slot, value);
            }
            return change;
        }
        let mut tally = Tally::NEW;
        let change = tally.add(weight);
        set.insert(K::own(value), tally);
        self.entries += 1;
        self.extra += K::extra(value);
        change
    }

    fn drop_entry(&mut self, slot: usize, value: &K::Value) {
        if let Some((value, tally)) = self.by_slot[slot].remove_entry(value) {
            self.entries -= 1;
            self.extra = self.extra.saturating_sub(K::extra(value.borrow()));
            self.gone.note(slot as u32, value, tally);
        }
    }
}

impl<K: Kept> Accumulator for Distinct<K> {
    fn grow(&mut self, slots: usize) {
        self.sets.by_slot.resize_with(slots.max(self.sets.by_slot.len()), HashMap::new);
        self.inner.grow(slots);
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let Some(argument) = &rows.argument else {
            return Err(DataflowError::Internal("DISTINCT of no column".into()));
        };
        let column = K::column(argument)?;
        let (mut places, mut slots, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        rows.each(|row, slot, weight| {
            let change = self.sets.add(slot, K::value(&column, row), weight);
            if change != 0 {
                places.push(row as u32);
                slots.push(slot as u32);
                weights.push(change);
            }
        });
        let argument = Some(take(argument, &UInt32Array::from(places), None)?);
        let weights = Some(&weights[..]);
        self.inner.update(&Rows { slots: &slots, weights, argument, counted: None })
    }

    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError> {
        let other = same::<Self>(other)?;
        let (mut values, mut slots, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (from, into) in from.iter().zip(into) {
            for (value, tally) in &other.sets.by_slot[*from as usize] {
                let change = self.sets.add(*into as usize, value.borrow(), tally.count());
                if change != 0 {
                    values.push(value.borrow());
                    slots.push(*into);
                    weights.push(change);
                }
            }
        }
        let argument = Some(K::array(values.into_iter().map(Some), &self.argument)?);
        let weights = Some(&weights[..]);
        self.inner.update(&Rows { slots: &slots, weights, argument, counted: None })
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        self.inner.results(slots)
    }

    fn clear(&mut self, slot: u32) {
        for (value, _) in std::mem::take(&mut self.sets.by_slot[slot as usize]) {
            self.sets.entries -= 1;
            self.sets.extra = self.sets.extra.saturating_sub(K::extra(value.borrow()));
        }
        self.inner.clear(slot);
    }

    fn fields(&self) -> Vec<Field> {
        self.inner.fields()
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.inner.save(slots)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        self.inner.load(slots, columns)
    }

    fn save_values(&mut self, slots: &[u32], all: bool) -> Result<Option<Values>, DataflowError> {
        let gone = self.sets.gone.take();
        let mut sets: Vec<_> = self.sets.by_slot.iter_mut().map(Some).collect();
        let mut saved = Saved::with(&gone, slots, all);
        for slot in slots {
            if let Some(set) = sets[*slot as usize].take() {
                saved.add(*slot, set.iter_mut(), all);
            }
        }
        let values = saved.values.iter().map(|value| Some((*value).borrow()));
        let values = K::array(values, &self.argument)?;
        Ok(Some(Values { slots: saved.slots, values, counts: saved.counts }))
    }

    fn load_values(&mut self, values: &Values) -> Result<(), DataflowError> {
        let column = K::column(&values.values)?;
        for (row, (slot, count)) in values.slots.iter().zip(&values.counts).enumerate() {
            let value = K::value(&column, row);
            let set = &mut self.sets.by_slot[*slot as usize];
            if set.remove(value).is_some() {
                self.sets.entries -= 1;
                self.sets.extra = self.sets.extra.saturating_sub(K::extra(value));
            }
            if *count != 0 {
                set.insert(K::own(value), Tally::loaded(*count));
                self.sets.entries += 1;
                self.sets.extra += K::extra(value);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let sets = &self.sets;
        let set = size_of::<HashMap<K::Owned, Tally>>();
        // Tables are between half and seven eighths full.
        let entry = (size_of::<(K::Owned, Tally)>() + 1) * 3 / 2;
        let own = sets.by_slot.capacity() * set + sets.entries * entry + sets.extra;
        own + self.inner.bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
