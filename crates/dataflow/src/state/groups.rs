//! Groups of rows: keys, how many rows each has, and what their aggregates keep.
//!
//! Guarantees: a group is there while it has rows; what is taken out and put in again, wholly or
//! in changes, goes on as it would have.
//! Left out: when results are given.

use super::KeyIndex;
use super::accumulator::{self, Accumulator, Rows};
use super::ages::Ages;
use crate::operator::AggregateCall;
use crate::{DataflowError, Node};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// Has rows that were not swept since the last [`Groups::touched`].
pub(super) const TOUCHED: u8 = 1;
/// Has changed since its state was last taken.
pub(super) const DIRTY: u8 = 2;
/// Is in state that was taken: its end must be too.
pub(super) const SAVED: u8 = 4;
/// Has rows, where rows are never taken back.
const THERE: u8 = 8;

/// Fewer slots than these are near each other in a processor's cache as they are.
const SORTED_MIN: usize = 16_384;
/// Slots that are the same but for so many bits are near each other.
const NEAR_BITS: u32 = 10;

/// What groups are made of, the same for all of an operator's.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// The operator, for messages.
    pub(crate) operator: String,
    /// The input's columns that are keys.
    pub(crate) keys: Vec<usize>,
    /// Those columns.
    pub(crate) fields: Vec<Field>,
    pub(crate) calls: Vec<AggregateCall>,
    /// The input's columns.
    pub(crate) input: Arc<Schema>,
    /// Whether rows can be taken back.
    pub(crate) weighted: bool,
    /// After how many milliseconds without rows a group is forgotten; 0 for never.
    pub(crate) ttl_ms: u64,
}

impl Grouping {
    pub(crate) fn new(node: &Node, input: &Node, keys: &[usize], calls: &[AggregateCall]) -> Self {
        Self {
            operator: node.id.to_string(),
            keys: keys.to_vec(),
            fields: keys.iter().map(|key| input.schema.field(*key).clone()).collect(),
            calls: calls.to_vec(),
            input: input.schema.clone(),
            weighted: input.hidden.weight,
            ttl_ms: 0,
        }
    }

    /// The same for groups that are forgotten after a time without rows.
    pub(crate) fn idle_for(self, ttl_ms: u64) -> Self {
        Self { ttl_ms, ..self }
    }

    /// The key columns of a batch.
    pub(crate) fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|key| batch.column(*key).clone()).collect()
    }
}

/// Groups by slot.
pub(crate) struct Groups {
    pub(super) grouping: Arc<Grouping>,
    pub(super) keys: KeyIndex,
    pub(super) calls: Vec<Box<dyn Accumulator>>,
    /// Weights added up; nothing where rows are never taken back.
    rows: Vec<i64>,
    pub(super) flags: Vec<u8>,
    /// Slots with [`DIRTY`], once each.
    pub(super) dirty: Vec<u32>,
    /// Slots with [`TOUCHED`], once each.
    touched: Vec<u32>,
    /// Keys of groups that are gone, where state that was taken has them.
    pub(super) gone: Vec<Vec<ArrayRef>>,
    /// The slot of each row of the batch at hand.
    slots: Vec<u32>,
    /// Where groups are forgotten that have no rows for too long.
    pub(super) ages: Option<Ages>,
}

impl Groups {
    pub(crate) fn new(grouping: &Arc<Grouping>) -> Self {
        let types: Vec<_> = grouping.fields.iter().map(|field| field.data_type().clone()).collect();
        let build = |call: &AggregateCall| {
            let argument = call.argument.map(|column| grouping.input.field(column).data_type());
            accumulator::build(call, argument, grouping.weighted, &grouping.operator)
        };
        Self {
            keys: KeyIndex::new(&types),
            calls: grouping.calls.iter().map(build).collect(),
            grouping: grouping.clone(),
            rows: Vec::new(),
            flags: Vec::new(),
            dirty: Vec::new(),
            touched: Vec::new(),
            gone: Vec::new(),
            slots: Vec::new(),
            ages: Ages::new(grouping.ttl_ms),
        }
    }

    /// Groups there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| call.bytes()).sum();
        let lists = (self.dirty.capacity() + self.touched.capacity()) * 4;
        let ages = self.ages.as_ref().map_or(0, Ages::bytes);
        self.keys.bytes() + calls + self.rows.capacity() * 8 + self.flags.capacity() + lists + ages
    }

    /// Adds rows. `before` is told the slots that this touches first since the last
    /// [`Groups::untouch`], while they are still as they were.
    pub(crate) fn push(
        &mut self,
        batch: &RecordBatch,
        hashes: &[u64],
        weights: Option<&[i64]>,
        before: impl FnOnce(&Self, &[u32]) -> Result<(), DataflowError>,
    ) -> Result<(), DataflowError> {
        let mut slots = std::mem::take(&mut self.slots);
        let columns = self.grouping.key_columns(batch);
        self.keys.insert(&columns, hashes, &mut slots)?;
        let first = self.touched.len();
        self.grow();
        self.touch(&slots);
        before(self, &self.touched[first..])?;
        if let Some(ages) = &mut self.ages {
            for slot in &self.touched[first..] {
                ages.touch(*slot);
            }
            if let Some(weights) = weights {
                return self.push_known(batch, slots, weights);
            }
        }
        match weights {
            None => {
                for slot in &self.touched[first..] {
                    self.flags[*slot as usize] |= THERE;
                }
            }
            Some(weights) => {
                for (slot, weight) in slots.iter().zip(weights) {
                    self.rows[*slot as usize] += weight;
                }
            }
        }
        for (call, accumulator) in self.grouping.calls.iter().zip(&mut self.calls) {
            accumulator.update(&Rows::of(call, batch, &slots, weights))?;
        }
        self.slots = slots;
        Ok(())
    }

    /// Adds rows where groups may have been forgotten: a row that is taken back from a group that
    /// has none is passed over.
    fn push_known(
        &mut self,
        batch: &RecordBatch,
        mut slots: Vec<u32>,
        weights: &[i64],
    ) -> Result<(), DataflowError> {
        let mut known = Vec::with_capacity(weights.len());
        for (slot, weight) in slots.iter().zip(weights) {
            let rows = &mut self.rows[*slot as usize];
            let weight = (*weight).max(-*rows);
            *rows += weight;
            known.push(weight);
        }
        let kept: Vec<bool> = known.iter().map(|weight| *weight != 0).collect();
        let batch = match kept.contains(&false) {
            false => batch.clone(),
            true => {
                let mut each = kept.iter();
                slots.retain(|_| each.next().copied().unwrap_or(false));
                known.retain(|weight| *weight != 0);
                filter_record_batch(batch, &BooleanArray::from(kept))?
            }
        };
        for (call, accumulator) in self.grouping.calls.iter().zip(&mut self.calls) {
            accumulator.update(&Rows::of(call, &batch, &slots, Some(&known)))?;
        }
        self.slots = slots;
        Ok(())
    }

    /// Forgets the groups that have had no rows for too long. Between ticks only.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        let Some(ages) = &mut self.ages else { return Ok(()) };
        ages.advance(now_ms);
        let expired = ages.take_expired();
        self.remove(&expired)
    }

    /// Adds all of other groups of the same kind.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), DataflowError> {
        let from: Vec<u32> = other.keys.live().collect();
        let hashes: Vec<u64> = from.iter().map(|slot| other.keys.hash(*slot)).collect();
        let mut into = Vec::new();
        self.keys.insert(&other.keys.keys(&from)?, &hashes, &mut into)?;
        self.grow();
        for (from, into) in from.iter().zip(&into) {
            self.set_rows(*into, self.rows_of(*into) + other.rows_of(*from));
        }
        for (own, other) in self.calls.iter_mut().zip(&other.calls) {
            own.merge(&**other, &from, &into)?;
        }
        Ok(())
    }

    /// Makes room for all slots of the index.
    pub(super) fn grow(&mut self) {
        let slots = self.keys.slots();
        if slots > self.flags.len() {
            if self.grouping.weighted {
                self.rows.resize(slots, 0);
            }
            self.flags.resize(slots, 0);
            self.calls.iter_mut().for_each(|call| call.grow(slots));
        }
    }

    fn touch(&mut self, slots: &[u32]) {
        for slot in slots {
            let flags = &mut self.flags[*slot as usize];
            if *flags & TOUCHED == 0 {
                if *flags & DIRTY == 0 {
                    self.dirty.push(*slot);
                }
                *flags |= TOUCHED | DIRTY;
                self.touched.push(*slot);
            }
        }
    }

    /// The slots that rows have come for since the last [`Groups::untouch`], in that order.
    pub(crate) fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// Puts touched slots that are many near those beside them in memory, so that reading their
    /// state waits less. `beside` holds a number for each of them and is put in the same order.
    pub(crate) fn sort_touched(&mut self, beside: &mut Vec<u32>) {
        if self.touched.len() < SORTED_MIN || beside.len() != self.touched.len() {
            return;
        }
        let mut places = vec![0_u32; (self.flags.len() >> NEAR_BITS) + 2];
        for slot in &self.touched {
            places[(slot >> NEAR_BITS) as usize + 1] += 1;
        }
        for bucket in 1..places.len() {
            places[bucket] += places[bucket - 1];
        }
        let (mut slots, mut others) = (vec![0; beside.len()], vec![0; beside.len()]);
        for (slot, other) in self.touched.iter().zip(&*beside) {
            let place = &mut places[(slot >> NEAR_BITS) as usize];
            slots[*place as usize] = *slot;
            others[*place as usize] = *other;
            *place += 1;
        }
        (self.touched, *beside) = (slots, others);
    }

    /// Forgets which groups were touched and, where told to sweep, those of them that have no rows
    /// left.
    pub(crate) fn untouch(&mut self, sweep: bool) -> Result<(), DataflowError> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().for_each(|slot| self.flags[*slot as usize] &= !TOUCHED);
        if self.grouping.weighted && sweep {
            let no_rows = |slot: &u32| self.rows[*slot as usize] == 0;
            let empty: Vec<u32> = touched.iter().copied().filter(no_rows).collect();
            self.remove(&empty)?;
        }
        self.touched = touched;
        self.touched.clear();
        Ok(())
    }

    /// Whether a slot's group has rows.
    #[inline]
    pub(crate) fn is_there(&self, slot: u32) -> bool {
        self.rows_of(slot) > 0
    }

    /// The weights of a slot's rows, added up; 1 where rows are never taken back.
    #[inline]
    pub(super) fn rows_of(&self, slot: u32) -> i64 {
        match self.grouping.weighted {
            true => self.rows[slot as usize],
            false => i64::from(self.flags[slot as usize] & THERE != 0),
        }
    }

    pub(super) fn set_rows(&mut self, slot: u32, rows: i64) {
        if self.grouping.weighted {
            self.rows[slot as usize] = rows;
        } else if rows > 0 {
            self.flags[slot as usize] |= THERE;
        }
    }

    /// The slots of groups that have rows.
    pub(crate) fn there(&self) -> Vec<u32> {
        self.keys.live().filter(|slot| self.is_there(*slot)).collect()
    }

    pub(crate) fn key_columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.keys.keys(slots)
    }

    /// The results of slots, a column for each call.
    pub(crate) fn results(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.calls.iter().map(|call| call.results(slots)).collect()
    }

    /// Forgets groups.
    pub(super) fn remove(&mut self, slots: &[u32]) -> Result<(), DataflowError> {
        let mut known = slots.to_vec();
        known.retain(|slot| self.flags[*slot as usize] & SAVED != 0);
        if !known.is_empty() {
            self.gone.push(self.keys.keys(&known)?);
        }
        for slot in slots {
            self.keys.remove(*slot);
            self.set_rows(*slot, 0);
            // Still in the list of dirty ones, which passes over slots without a key.
            self.flags[*slot as usize] &= DIRTY;
            self.calls.iter_mut().for_each(|call| call.clear(*slot));
            if let Some(ages) = &mut self.ages {
                ages.forget(*slot);
            }
        }
        Ok(())
    }
}
