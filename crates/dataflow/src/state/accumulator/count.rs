//! `COUNT(*)` and `COUNT(x)`.

use super::values::ints_to;
use super::{About, Accumulator, Rows, same};
use crate::DataflowError;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use std::any::Any;
use std::sync::Arc;

pub(super) struct Count {
    about: About,
    counts: Vec<i64>,
}

impl Count {
    pub(super) fn new(about: About) -> Self {
        Self { about, counts: Vec::new() }
    }

    fn of(&self, slots: &[u32]) -> Int64Array {
        slots.iter().map(|slot| self.counts[*slot as usize]).collect::<Vec<_>>().into()
    }
}

impl Accumulator for Count {
    fn grow(&mut self, slots: usize) {
        self.counts.resize(slots.max(self.counts.len()), 0);
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let counts = &mut self.counts[..];
        rows.each(|_, slot, weight| counts[slot] += weight);
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
            self.counts[*into as usize] += other.counts[*from as usize];
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        ints_to(self.of(slots), &self.about.output)
    }

    fn clear(&mut self, slot: u32) {
        self.counts[slot as usize] = 0;
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::new("count", DataType::Int64, false)]
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        Ok(vec![Arc::new(self.of(slots))])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let counts = columns[0].as_primitive::<Int64Type>().values();
        for (slot, count) in slots.iter().zip(counts) {
            self.counts[*slot as usize] = *count;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
