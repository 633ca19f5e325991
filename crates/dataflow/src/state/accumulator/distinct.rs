//! `COUNT(DISTINCT x)`, `SUM(DISTINCT x)`, `AVG(DISTINCT x)`.
//!
//! Guarantees: the aggregate behind sees each value of a slot once while it is there at all.

use super::multisets::Multisets;
use super::tally::Tally;
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
    Box::new(Distinct::<K> { inner, sets: Multisets::new(argument) })
}

struct Distinct<K: Kept> {
    inner: Box<dyn Accumulator>,
    sets: Multisets<K, HashMap<K::Owned, Tally>>,
}

impl<K: Kept> Accumulator for Distinct<K> {
    fn grow(&mut self, slots: usize) {
        self.sets.grow(slots);
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
            for (value, tally) in other.sets.of(*from) {
                let change = self.sets.add(*into as usize, value.borrow(), tally.count());
                if change != 0 {
                    values.push(value.borrow());
                    slots.push(*into);
                    weights.push(change);
                }
            }
        }
        let argument = Some(K::array(values.into_iter().map(Some), self.sets.argument())?);
        let weights = Some(&weights[..]);
        self.inner.update(&Rows { slots: &slots, weights, argument, counted: None })
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        self.inner.results(slots)
    }

    fn clear(&mut self, slot: u32) {
        self.sets.clear(slot);
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
        self.sets.save(slots, all).map(Some)
    }

    fn load_values(&mut self, values: &Values) -> Result<(), DataflowError> {
        self.sets.load(values)
    }

    fn bytes(&self) -> usize {
        // Tables are between half and seven eighths full.
        self.sets.bytes((size_of::<(K::Owned, Tally)>() + 1) * 3 / 2) + self.inner.bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
