//! The state of groups as rows, out and in.
//!
//! Rows of groups have the key columns, each call's columns (`0_sum` …), `_rows`, `_at` where groups
//! are forgotten at some time, the caller's columns, and `_deleted`. Rows of multisets have the key columns, `_value`, `_count`, `_call`,
//! and the caller's columns.

use super::accumulator::Values;
use super::groups::{DIRTY, Groups, SAVED};
use super::hash::hash_columns;
use super::{Grouping, NO_SLOT};
use crate::{DataflowError, ShardRange, shard_of};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, UInt32Array,
    new_null_array,
};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use std::sync::Arc;

const ROWS: &str = "_rows";
/// When it was last written, in milliseconds since 1970, where state is forgotten at some time.
pub(crate) const AT: &str = "_at";
/// Whether the group is gone.
pub(crate) const DELETED: &str = "_deleted";
const VALUE: &str = "_value";
const COUNT: &str = "_count";
/// Which aggregate a value is of.
pub(crate) const CALL: &str = "_call";

/// Columns that a caller adds to each row of state: the same value in all of them.
pub(crate) type Extra = Vec<(Field, ArrayRef)>;

impl Groups {
    /// What has changed since the last call, or everything; `extra` columns have one row.
    pub(crate) fn take(
        &mut self,
        all: bool,
        extra: &Extra,
    ) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut slots = std::mem::take(&mut self.dirty);
        slots.iter().for_each(|slot| self.flags[*slot as usize] &= !DIRTY);
        if all {
            slots = self.keys.live().collect();
        } else {
            slots.retain(|slot| self.keys.is_live(*slot));
        }
        slots.iter().for_each(|slot| self.flags[*slot as usize] |= SAVED);
        let mut batches = Vec::new();
        for keys in std::mem::take(&mut self.gone) {
            if !all {
                batches.push(self.deleted(keys, extra)?);
            }
        }
        if !slots.is_empty() {
            batches.push(self.saved(&slots, extra)?);
        }
        for call in 0..self.calls.len() {
            if let Some(values) = self.calls[call].save_values(&slots, all)?
                && !values.slots.is_empty()
            {
                batches.push(self.saved_values(call, values, extra)?);
            }
        }
        Ok(batches)
    }

    /// The calls' columns, named by the call.
    fn call_fields(&self) -> Vec<Field> {
        let named = |(call, field): (usize, Field)| {
            let name = format!("{call}_{}", field.name());
            field.with_name(name).with_nullable(true)
        };
        let calls = self.calls.iter().enumerate();
        calls
            .flat_map(|(call, one)| one.fields().into_iter().map(move |field| (call, field)))
            .map(named)
            .collect()
    }

    fn group_fields(&self) -> Vec<Field> {
        let mut fields = self.grouping.key_fields();
        fields.extend(self.call_fields());
        fields.push(Field::new(ROWS, DataType::Int64, true));
        if self.ages.is_some() {
            fields.push(Field::new(AT, DataType::Int64, true));
        }
        fields
    }

    fn deleted(&self, keys: Vec<ArrayRef>, extra: &Extra) -> Result<RecordBatch, DataflowError> {
        let fields = self.group_fields();
        let rows = keys.first().map_or(1, |key| key.len());
        let mut columns = keys;
        let rest = fields[columns.len()..].iter();
        columns.extend(rest.map(|field| new_null_array(field.data_type(), rows)));
        finish(fields, columns, rows, extra, Some(true))
    }

    fn saved(&self, slots: &[u32], extra: &Extra) -> Result<RecordBatch, DataflowError> {
        let mut columns = self.keys.keys(slots)?;
        for call in &self.calls {
            columns.extend(call.save(slots)?);
        }
        let rows: Int64Array = slots.iter().map(|slot| Some(self.rows_of(*slot))).collect();
        columns.push(Arc::new(rows));
        if let Some(ages) = &self.ages {
            let at = slots.iter().map(|slot| ages.at(*slot));
            columns.push(Arc::new(Int64Array::from_iter_values(at)));
        }
        finish(self.group_fields(), columns, slots.len(), extra, Some(false))
    }

    fn saved_values(
        &self,
        call: usize,
        values: Values,
        extra: &Extra,
    ) -> Result<RecordBatch, DataflowError> {
        let rows = values.slots.len();
        let mut columns = self.keys.keys(&values.slots)?;
        let mut fields = self.grouping.key_fields();
        fields.push(Field::new(VALUE, values.values.data_type().clone(), false));
        columns.push(values.values);
        fields.push(Field::new(COUNT, DataType::Int64, false));
        columns.push(Arc::new(Int64Array::from(values.counts)));
        fields.push(Field::new(CALL, DataType::Int32, false));
        columns.push(Arc::new(Int32Array::from(vec![call as i32; rows])));
        finish(fields, columns, rows, extra, None)
    }

    /// Takes in rows that [`Groups::take`] gave. They count as saved.
    pub(crate) fn restore(
        &mut self,
        rows: &RecordBatch,
        hashes: &[u64],
    ) -> Result<(), DataflowError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if rows.column_by_name(CALL).is_some() {
            return self.restore_values(rows, hashes);
        }
        let deleted = column(rows, DELETED)?.as_boolean().clone();
        let keys = &rows.columns()[..self.grouping.keys.len()];
        let mut slots = Vec::new();
        if deleted.value(0) {
            self.keys.lookup(keys, hashes, &mut slots)?;
            slots.retain(|slot| *slot != NO_SLOT);
            slots.iter().for_each(|slot| self.flags[*slot as usize] &= !SAVED);
            return self.remove(&slots);
        }
        self.keys.insert(keys, hashes, &mut slots)?;
        self.grow();
        slots.iter().for_each(|slot| self.flags[*slot as usize] |= SAVED);
        let mut place = keys.len();
        for call in &mut self.calls {
            let count = call.fields().len();
            call.load(&slots, &rows.columns()[place..place + count])?;
            place += count;
        }
        let counts = column(rows, ROWS)?.as_primitive::<Int64Type>().values().iter();
        for (slot, count) in slots.iter().zip(counts) {
            self.set_rows(*slot, *count);
        }
        self.restore_ages(rows, &slots);
        Ok(())
    }

    /// State from before there was a time to live begins to age now.
    fn restore_ages(&mut self, rows: &RecordBatch, slots: &[u32]) {
        let Some(ages) = &mut self.ages else { return };
        let at = rows.column_by_name(AT).map(|at| at.as_primitive::<Int64Type>().values());
        for (row, slot) in slots.iter().enumerate() {
            match at {
                Some(at) => ages.set(*slot, at[row]),
                None => ages.touch(*slot),
            };
        }
    }

    fn restore_values(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<(), DataflowError> {
        let call = column(rows, CALL)?.as_primitive::<Int32Type>().value(0) as usize;
        let keys = &rows.columns()[..self.grouping.keys.len()];
        let mut slots = Vec::new();
        self.keys.lookup(keys, hashes, &mut slots)?;
        if slots.contains(&NO_SLOT) {
            return Err(DataflowError::Internal("values of a group that is not there".into()));
        }
        let counts = column(rows, COUNT)?.as_primitive::<Int64Type>().values().to_vec();
        let values = Values { slots, values: column(rows, VALUE)?.clone(), counts };
        match self.calls.get_mut(call) {
            Some(call) => call.load_values(&values),
            None => Err(DataflowError::Internal(format!("values of aggregate {call}"))),
        }
    }
}

impl Grouping {
    fn key_fields(&self) -> Vec<Field> {
        let named = |(place, field): (usize, &Field)| {
            Field::new(format!("key_{place}"), field.data_type().clone(), true)
        };
        self.fields.iter().enumerate().map(named).collect()
    }

    /// The hash of each row's key in rows of state.
    pub(crate) fn state_hashes(&self, rows: &RecordBatch) -> Result<Vec<u64>, DataflowError> {
        hash_columns(&rows.columns()[..self.keys.len()], rows.num_rows())
    }

    /// The rows of state whose keys are of these shards, and their keys' hashes.
    pub(crate) fn of_shards(
        &self,
        rows: &RecordBatch,
        shards: &ShardRange,
    ) -> Result<(RecordBatch, Vec<u64>), DataflowError> {
        let hashes = self.state_hashes(rows)?;
        let kept: Vec<u32> = (0..rows.num_rows() as u32)
            .filter(|row| shards.contains(shard_of(hashes[*row as usize])))
            .collect();
        if kept.len() == rows.num_rows() {
            return Ok((rows.clone(), hashes));
        }
        let of_kept = kept.iter().map(|row| hashes[*row as usize]).collect();
        Ok((take_record_batch(rows, &UInt32Array::from(kept))?, of_kept))
    }
}

fn finish(
    mut fields: Vec<Field>,
    mut columns: Vec<ArrayRef>,
    rows: usize,
    extra: &Extra,
    deleted: Option<bool>,
) -> Result<RecordBatch, DataflowError> {
    let first = UInt32Array::from(vec![0; rows]);
    for (field, value) in extra {
        fields.push(field.clone());
        columns.push(take(value, &first, None)?);
    }
    if let Some(deleted) = deleted {
        fields.push(Field::new(DELETED, DataType::Boolean, false));
        columns.push(Arc::new(BooleanArray::from(vec![deleted; rows])));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A column of state by its name.
pub(crate) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataflowError> {
    let missing = || DataflowError::Internal(format!("state without a column {name}"));
    rows.column_by_name(name).ok_or_else(missing)
}
