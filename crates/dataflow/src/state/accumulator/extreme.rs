//! `MIN` and `MAX`.
//!
//! Guarantees: over rows that are only added one value is kept for each slot; over rows that may
//! be taken back all of them in order, since the next one may be wanted.

use super::multisets::Multisets;
use super::tally::Tally;
use super::values::{Kept, kept_as};
use super::{About, Accumulator, Rows, Values, same};
use crate::DataflowError;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field};
use std::any::Any;
use std::borrow::Borrow;
use std::collections::BTreeMap;

pub(super) fn build(
    argument: DataType,
    about: About,
    max: bool,
    weighted: bool,
) -> Box<dyn Accumulator> {
    let kept = argument.clone();
    match weighted {
        true => kept_as!(kept, ordered(argument, about, max)),
        false => kept_as!(kept, best(argument, about, max)),
    }
}

fn best<K: Kept>(argument: DataType, about: About, max: bool) -> Box<dyn Accumulator> {
    Box::new(Best::<K> { argument, about, max, values: Vec::new(), extra: 0 })
}

fn ordered<K: Kept>(argument: DataType, about: About, max: bool) -> Box<dyn Accumulator> {
    Box::new(Ordered::<K> { about, max, sets: Multisets::new(argument) })
}

/// The best value so far.
struct Best<K: Kept> {
    argument: DataType,
    about: About,
    max: bool,
    values: Vec<Option<K::Owned>>,
    /// Bytes of values beside their own size, about.
    extra: usize,
}

impl<K: Kept> Best<K> {
    #[inline(always)]
    fn offer(
        &mut self,
        slot: usize,
        value: &K::Value,
        is_better: impl Fn(&K::Value, &K::Value) -> bool,
    ) {
        match &mut self.values[slot] {
            Some(kept) if !is_better(value, (*kept).borrow()) => {}
            place => {
                self.extra += K::extra(value);
                *place = Some(K::own(value));
            }
        }
    }

    fn column(&self, slots: &[u32], data_type: &DataType) -> Result<ArrayRef, DataflowError> {
        let values = slots.iter().map(|slot| self.values[*slot as usize].as_ref());
        K::array(values.map(|value| value.map(Borrow::borrow)), data_type)
    }
}

impl<K: Kept> Accumulator for Best<K> {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots.max(self.values.len()), None);
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let Some(argument) = &rows.argument else { return Err(self.about.wrong(&DataType::Null)) };
        let column = K::column(argument)?;
        match self.max {
            true => rows.each(|row, slot, _| {
                self.offer(slot, K::value(&column, row), |new, kept| new > kept);
            }),
            false => rows.each(|row, slot, _| {
                self.offer(slot, K::value(&column, row), |new, kept| new < kept);
            }),
        }
        Ok(())
    }

    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError> {
        let other = same::<Self>(other)?;
        let max = self.max;
        for (from, into) in from.iter().zip(into) {
            if let Some(value) = &other.values[*from as usize] {
                self.offer(*into as usize, value.borrow(), |new, kept| match max {
                    true => new > kept,
                    false => new < kept,
                });
            }
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        self.column(slots, &self.about.output)
    }

    fn clear(&mut self, slot: u32) {
        if let Some(value) = self.values[slot as usize].take() {
            self.extra = self.extra.saturating_sub(K::extra(value.borrow()));
        }
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::new("value", self.argument.clone(), true)]
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        Ok(vec![self.column(slots, &self.argument)?])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let column = K::column(&columns[0])?;
        for (row, slot) in slots.iter().enumerate() {
            let value = columns[0].is_valid(row).then(|| K::own(K::value(&column, row)));
            self.values[*slot as usize] = value;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<K::Owned>>() + self.extra
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// All values, in order.
struct Ordered<K: Kept> {
    about: About,
    max: bool,
    sets: Multisets<K, BTreeMap<K::Owned, Tally>>,
}

impl<K: Kept> Ordered<K> {
    fn best(&self, slot: u32) -> Option<&K::Value> {
        let mut there = self.sets.of(slot).iter().filter(|(_, tally)| tally.is_there());
        let best = if self.max { there.next_back() } else { there.next() };
        best.map(|(value, _)| value.borrow())
    }
}

impl<K: Kept> Accumulator for Ordered<K> {
    fn grow(&mut self, slots: usize) {
        self.sets.grow(slots);
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let Some(argument) = &rows.argument else { return Err(self.about.wrong(&DataType::Null)) };
        let column = K::column(argument)?;
        rows.each(|row, slot, weight| {
            self.sets.add(slot, K::value(&column, row), weight);
        });
        Ok(())
    }

    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError> {
        let other = same::<Self>(other)?;
        for (from, into) in from.iter().zip(into) {
            for (value, tally) in other.sets.of(*from) {
                self.sets.add(*into as usize, value.borrow(), tally.count());
            }
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        K::array(slots.iter().map(|slot| self.best(*slot)), &self.about.output)
    }

    fn clear(&mut self, slot: u32) {
        self.sets.clear(slot);
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn save(&self, _slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        Ok(Vec::new())
    }

    fn load(&mut self, _slots: &[u32], _columns: &[ArrayRef]) -> Result<(), DataflowError> {
        Ok(())
    }

    fn save_values(&mut self, slots: &[u32], all: bool) -> Result<Option<Values>, DataflowError> {
        self.sets.save(slots, all).map(Some)
    }

    fn load_values(&mut self, values: &Values) -> Result<(), DataflowError> {
        self.sets.load(values)
    }

    fn bytes(&self) -> usize {
        // Nodes are between half and wholly full.
        self.sets.bytes(size_of::<(K::Owned, Tally)>() * 3 / 2)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
