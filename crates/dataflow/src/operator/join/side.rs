//! The rows of one input of a join, by key.
//!
//! Left out: rows with a null in their key, which match nothing and are not kept.

use crate::operator::join::Input;
use crate::state::hash::hash_columns;
use crate::state::rows::index::Chains;
use crate::state::rows::set::{RowSet, Touched};
use crate::{DataflowError, ShardRange, shard_of};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef, UInt8Type};
use std::sync::Arc;

/// In state: which input a row is of, 0 or 1.
const SIDE_COLUMN: &str = "_side";

pub(super) struct Side {
    pub(super) set: RowSet,
    pub(super) chains: Chains,
    /// For each row the weight of what it matches on the other side, where that decides whether
    /// the row is given alone.
    pub(super) matched: Option<Vec<i64>>,
    state_schema: SchemaRef,
}

impl Side {
    pub(super) fn new(input: &Input, counts: bool) -> Self {
        let side = Field::new(SIDE_COLUMN, DataType::UInt8, false);
        let visible = input.schema.fields().iter().cloned();
        let weight = Field::new(crate::hidden::WEIGHT_COLUMN, DataType::Int64, false);
        let fields = [Arc::new(side)].into_iter().chain(visible).chain([Arc::new(weight)]);
        Self {
            set: RowSet::new(input.schema.clone(), input.takes_back),
            chains: Chains::new(),
            matched: counts.then(Vec::new),
            state_schema: Arc::new(Schema::new(fields.collect::<Fields>())),
        }
    }

    /// Takes rows in: `keyless` ones have a null in their key, `matched` is what each row's
    /// partners weigh together.
    pub(super) fn store(
        &mut self,
        batch: &RecordBatch,
        hashes: &[u64],
        weights: Option<&Int64Array>,
        keyless: Option<&NullBuffer>,
        matched: &[i64],
    ) -> Result<(), DataflowError> {
        let rows = match keyless {
            None => return self.store_keyed(batch, hashes, weights, matched),
            Some(valid) => valid.inner(),
        };
        let kept = BooleanArray::new(rows.clone(), None);
        let pick =
            |values: &[u64]| -> Vec<u64> { rows.set_indices().map(|row| values[row]).collect() };
        let matched: Vec<i64> = match matched.is_empty() {
            true => Vec::new(),
            false => rows.set_indices().map(|row| matched[row]).collect(),
        };
        let weights = weights
            .map(|weights| rows.set_indices().map(|row| weights.value(row)).collect::<Vec<_>>());
        let weights = weights.map(Int64Array::from);
        let batch = filter_record_batch(batch, &kept)?;
        self.store_keyed(&batch, &pick(hashes), weights.as_ref(), &matched)
    }

    fn store_keyed(
        &mut self,
        batch: &RecordBatch,
        hashes: &[u64],
        weights: Option<&Int64Array>,
        matched: &[i64],
    ) -> Result<(), DataflowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let Some(weights) = weights else {
            let ids = self.set.append(batch.clone())?;
            if let Some(all) = &mut self.matched {
                all.extend_from_slice(matched);
            }
            self.chains.link_all(ids, hashes);
            return Ok(());
        };
        let touched = self.set.apply(batch, weights.values())?;
        if let Some(all) = &mut self.matched {
            all.resize(self.set.rows.numbers(), 0);
        }
        for Touched { id, row } in touched {
            let there = self.set.rows.is_kept(id) && self.set.weight(id) != 0;
            if there && !self.chains.is_linked(id) {
                self.chains.link(id, hashes[row as usize]);
                if let Some(all) = &mut self.matched {
                    all[id as usize] = matched[row as usize];
                }
            } else if !there && self.chains.is_linked(id) {
                self.chains.unlink(id);
            }
            if !there {
                self.set.settle(id);
            }
        }
        Ok(())
    }

    /// What has changed since the last call, see [`crate::operator::StateWorker::take_changes`].
    pub(super) fn take_changes(&mut self, side: usize) -> Result<Vec<RecordBatch>, DataflowError> {
        let deltas = self.set.take_changes();
        let batches = self.state_batches(side, &deltas)?;
        self.settle(&deltas);
        Ok(batches)
    }

    pub(super) fn take_all(&mut self, side: usize) -> Result<Vec<RecordBatch>, DataflowError> {
        let (all, changed) = self.set.take_all();
        self.settle(&changed);
        self.state_batches(side, &all)
    }

    fn settle(&mut self, changed: &[(u32, i64)]) {
        for (id, _) in changed {
            self.set.settle(*id);
        }
    }

    fn state_batches(
        &mut self,
        side: usize,
        deltas: &[(u32, i64)],
    ) -> Result<Vec<RecordBatch>, DataflowError> {
        let with_side = |(batch, weights): (RecordBatch, Int64Array)| {
            let sides = arrow::array::UInt8Array::from(vec![side as u8; batch.num_rows()]);
            let mut columns: Vec<ArrayRef> = vec![Arc::new(sides)];
            columns.extend_from_slice(batch.columns());
            columns.push(Arc::new(weights));
            Ok(RecordBatch::try_new(self.state_schema.clone(), columns)?)
        };
        self.set.batches(deltas)?.into_iter().map(with_side).collect()
    }

    /// Takes in what was given out, as far as it is of these shards.
    pub(super) fn restore(
        &mut self,
        state: &RecordBatch,
        keys: &[usize],
        shards: &ShardRange,
    ) -> Result<(), DataflowError> {
        let visible = 1..state.num_columns() - 1;
        let rows = RecordBatch::try_new(
            self.set.rows.schema().clone(),
            state.columns()[visible].to_vec(),
        )?;
        let keys: Vec<ArrayRef> = keys.iter().map(|key| rows.column(*key).clone()).collect();
        let hashes = hash_columns(&keys, rows.num_rows())?;
        let own =
            BooleanBuffer::from_iter(hashes.iter().map(|hash| shards.contains(shard_of(*hash))));
        let own = NullBuffer::new(own);
        let weights = state.column(state.num_columns() - 1).as_primitive::<Int64Type>();
        let weights = self.set.takes_back().then_some(weights);
        let matched = match self.matched {
            Some(_) => vec![0; rows.num_rows()],
            None => Vec::new(),
        };
        self.set.restoring();
        self.store(&rows, &hashes, weights, Some(&own), &matched)?;
        self.set.restored();
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let matched = self.matched.as_ref().map_or(0, |matched| matched.capacity() * 8);
        self.set.bytes() + self.chains.bytes() + matched
    }
}

/// Which input rows of state are of.
pub(super) fn side_of(state: &RecordBatch) -> Option<usize> {
    let sides = state.columns().first()?.as_primitive_opt::<UInt8Type>()?;
    (!sides.is_empty()).then(|| sides.value(0) as usize)
}

/// The hash of each row's key in rows of state.
pub(super) fn state_hashes(state: &RecordBatch, keys: &[usize]) -> Result<Vec<u64>, DataflowError> {
    // The side comes before the visible columns.
    let keys: Vec<ArrayRef> = keys.iter().map(|key| state.column(key + 1).clone()).collect();
    hash_columns(&keys, state.num_rows())
}

/// Which rows have a key without nulls; `None` where all have.
pub(super) fn keyed(keys: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = keys.iter().map(|key| key.logical_nulls());
    let all = nulls.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), nulls.as_ref()));
    all.filter(|nulls| nulls.null_count() > 0)
}
