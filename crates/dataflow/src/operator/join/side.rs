//! The rows of one input of a join, by key.
//!
//! Left out: rows with a null in their key, which match nothing and are not kept.

use crate::operator::join::Input;
use crate::state::AT;
use crate::state::ages::Ages;
use crate::state::hash::hash_columns;
use crate::state::rows::CHUNK_ROWS;
use crate::state::rows::index::Chains;
use crate::state::rows::set::{RowSet, Touched};
use crate::{DataflowError, ShardRange, shard_of};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef, UInt8Type};
use hashbrown::HashSet;
use std::sync::Arc;

/// In state: which input a row is of, 0 or 1.
const SIDE_COLUMN: &str = "_side";
/// What a row's partners weigh, where rows have an age: partners that were forgotten still count.
const MATCHED: &str = "_matched";
/// Rows noted as stamped beyond twice the rows there are, at which those noted twice are looked for.
const STAMPED_SPARE: usize = 4_096;

pub(super) struct Side {
    pub(super) set: RowSet,
    pub(super) chains: Chains,
    /// For each row the weight of what it matches on the other side, where that decides whether
    /// the row is given alone.
    pub(super) matched: Option<Vec<i64>>,
    /// Where rows are forgotten that were not written for too long.
    ages: Option<Ages>,
    /// Rows whose age or matches have changed since the last state was taken, some of them twice.
    stamped: Vec<u32>,
    state_schema: SchemaRef,
}

impl Side {
    pub(super) fn new(input: &Input, counts: bool, ttl_ms: u64) -> Self {
        let ages = Ages::new(ttl_ms);
        let side = Field::new(SIDE_COLUMN, DataType::UInt8, false);
        let visible = input.schema.fields().iter().cloned();
        let weight = Field::new(crate::hidden::WEIGHT_COLUMN, DataType::Int64, false);
        let fields = [Arc::new(side)].into_iter().chain(visible).chain([Arc::new(weight)]);
        let number = |name: &str| Arc::new(Field::new(name, DataType::Int64, false));
        let stamps = ages.is_some().then(|| [number(AT), number(MATCHED)]);
        let fields = fields.chain(stamps.into_iter().flatten());
        Self {
            set: match ages {
                Some(_) => RowSet::forgetful(input.schema.clone()),
                None => RowSet::new(input.schema.clone(), input.takes_back),
            },
            ages,
            stamped: Vec::new(),
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
        let ones = (weights.is_none() && self.set.takes_back())
            .then(|| Int64Array::from(vec![1; batch.num_rows()]));
        let Some(weights) = weights.or(ones.as_ref()) else {
            let ids = self.set.append(batch.clone())?;
            if let Some(all) = &mut self.matched {
                all.extend_from_slice(matched);
            }
            self.chains.link_all(ids, hashes);
            return Ok(());
        };
        let touched = self.set.apply(batch, weights.values())?;
        self.link(&touched, hashes, matched);
        self.stamp(touched.iter().map(|touched| touched.id));
        Ok(())
    }

    /// Brings what is known of rows to what they weigh now.
    fn link(&mut self, touched: &[Touched], hashes: &[u64], matched: &[i64]) {
        if let Some(all) = &mut self.matched {
            all.resize(self.set.rows.numbers(), 0);
        }
        for Touched { id, row } in touched.iter().copied() {
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
    }

    /// Rows have been written, or what they match.
    pub(super) fn stamp(&mut self, ids: impl Iterator<Item = u32>) {
        let Some(ages) = &mut self.ages else { return };
        for id in ids {
            if self.chains.is_linked(id) {
                ages.touch(id);
                self.stamped.push(id);
            } else {
                ages.forget(id);
            }
        }
        if self.stamped.len() > 2 * self.set.rows.numbers() + STAMPED_SPARE {
            self.stamped.sort_unstable();
            self.stamped.dedup();
        }
    }

    /// Forgets rows that were not written for too long.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let Some(ages) = &mut self.ages else { return };
        ages.advance(now_ms);
        for id in ages.take_expired() {
            self.chains.unlink(id);
            if let Some(all) = &mut self.matched {
                all[id as usize] = 0;
            }
            self.set.forget(id);
            self.set.settle(id);
        }
    }

    /// What has changed since the last call, see [`crate::operator::StateWorker::take_changes`].
    pub(super) fn take_changes(&mut self, side: usize) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut deltas = self.set.take_changes();
        self.add_stamped(&mut deltas);
        let batches = self.state_batches(side, &deltas)?;
        self.settle(&deltas);
        Ok(batches)
    }

    /// Adds the rows whose weight is the same.
    fn add_stamped(&mut self, deltas: &mut Vec<(u32, i64)>) {
        let mut stamped = std::mem::take(&mut self.stamped);
        if stamped.is_empty() {
            return;
        }
        stamped.sort_unstable();
        stamped.dedup();
        let changed: HashSet<u32> = deltas.iter().map(|(id, _)| *id).collect();
        stamped.retain(|id| self.chains.is_linked(*id) && !changed.contains(id));
        deltas.extend(stamped.into_iter().map(|id| (id, 0)));
    }

    pub(super) fn take_all(&mut self, side: usize) -> Result<Vec<RecordBatch>, DataflowError> {
        self.stamped.clear();
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
        if self.ages.is_some() {
            return self.stamped_batches(side, deltas);
        }
        let with_side = |(batch, weights): (RecordBatch, Int64Array)| {
            let sides = arrow::array::UInt8Array::from(vec![side as u8; batch.num_rows()]);
            let mut columns: Vec<ArrayRef> = vec![Arc::new(sides)];
            columns.extend_from_slice(batch.columns());
            columns.push(Arc::new(weights));
            Ok(RecordBatch::try_new(self.state_schema.clone(), columns)?)
        };
        self.set.batches(deltas)?.into_iter().map(with_side).collect()
    }

    /// The same with each row's age and matches, whether its weight has changed or not.
    fn stamped_batches(
        &mut self,
        side: usize,
        deltas: &[(u32, i64)],
    ) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut batches = Vec::new();
        for piece in deltas.chunks(CHUNK_ROWS) {
            let ids: Vec<u32> = piece.iter().map(|(id, _)| *id).collect();
            let numbers = |of: &dyn Fn(&(u32, i64)) -> i64| -> ArrayRef {
                Arc::new(piece.iter().map(of).collect::<Int64Array>())
            };
            let at = |id: u32| self.ages.as_ref().map_or(0, |ages| ages.at(id));
            let matched = |id: u32| {
                let known = self.matched.as_ref().and_then(|all| all.get(id as usize));
                known.copied().unwrap_or_default()
            };
            let stamps = [numbers(&|(id, _)| at(*id)), numbers(&|(id, _)| matched(*id))];
            let sides = arrow::array::UInt8Array::from(vec![side as u8; ids.len()]);
            let mut columns: Vec<ArrayRef> = vec![Arc::new(sides)];
            columns.extend_from_slice(self.set.rows.batch(&ids)?.columns());
            columns.push(numbers(&|(_, delta)| *delta));
            columns.extend(stamps);
            batches.push(RecordBatch::try_new(self.state_schema.clone(), columns)?);
        }
        Ok(batches)
    }

    /// Takes in what was given out, as far as it is of these shards. Whether matches have to be
    /// counted.
    pub(super) fn restore(
        &mut self,
        state: &RecordBatch,
        keys: &[usize],
        shards: &ShardRange,
    ) -> Result<bool, DataflowError> {
        let count = self.set.rows.schema().fields().len();
        let visible = 1..count + 1;
        let rows = RecordBatch::try_new(
            self.set.rows.schema().clone(),
            state.columns()[visible].to_vec(),
        )?;
        let keys: Vec<ArrayRef> = keys.iter().map(|key| rows.column(*key).clone()).collect();
        let hashes = hash_columns(&keys, rows.num_rows())?;
        let own =
            BooleanBuffer::from_iter(hashes.iter().map(|hash| shards.contains(shard_of(*hash))));
        let own = NullBuffer::new(own);
        let weights = state.column(count + 1).as_primitive::<Int64Type>();
        if self.ages.is_some() {
            return self.restore_aged(state, &rows, &hashes, own.inner(), weights);
        }
        let weights = self.set.takes_back().then_some(weights);
        let matched = match self.matched {
            Some(_) => vec![0; rows.num_rows()],
            None => Vec::new(),
        };
        self.set.restoring();
        self.store(&rows, &hashes, weights, Some(&own), &matched)?;
        self.set.restored();
        Ok(self.matched.is_some())
    }

    /// The same where rows have an age. Those from before they had one begin to age now.
    fn restore_aged(
        &mut self,
        state: &RecordBatch,
        rows: &RecordBatch,
        hashes: &[u64],
        own: &BooleanBuffer,
        weights: &Int64Array,
    ) -> Result<bool, DataflowError> {
        let kept: Vec<usize> = own.set_indices().collect();
        let hashes: Vec<u64> = kept.iter().map(|row| hashes[*row]).collect();
        let weights: Vec<i64> = kept.iter().map(|row| weights.value(*row)).collect();
        let rows = filter_record_batch(rows, &BooleanArray::new(own.clone(), None))?;
        let stamps = |name: &str| {
            let column = state.column_by_name(name)?.as_primitive::<Int64Type>();
            Some(kept.iter().map(|row| column.value(*row)).collect::<Vec<_>>())
        };
        let (at, matched) = (stamps(AT), stamps(MATCHED));
        self.set.restoring();
        let touched = self.set.apply(&rows, &weights)?;
        self.link(&touched, &hashes, &vec![0; hashes.len()]);
        self.set.restored();
        let Some(ages) = &mut self.ages else { return Ok(false) };
        for Touched { id, row } in touched {
            if !self.chains.is_linked(id) {
                ages.forget(id);
                continue;
            }
            match &at {
                Some(at) => ages.set(id, at[row as usize]),
                None => ages.touch(id),
            };
            if let (Some(all), Some(matched)) = (&mut self.matched, &matched) {
                all[id as usize] = matched[row as usize];
            }
        }
        Ok(matched.is_none() && self.matched.is_some())
    }

    pub(super) fn bytes(&self) -> usize {
        let matched = self.matched.as_ref().map_or(0, |matched| matched.capacity() * 8);
        let ages = self.ages.as_ref().map_or(0, Ages::bytes) + self.stamped.capacity() * 4;
        self.set.bytes() + self.chains.bytes() + matched + ages
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
