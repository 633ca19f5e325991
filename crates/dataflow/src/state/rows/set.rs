//! Rows with weights: a multiset that says what has changed.
//!
//! Guarantees: equal rows are one row with the sum of their weights, where rows can be taken back
//! (where not, each is its own, and nothing is looked up); a weight may be below 0 for a while;
//! changes are consolidated.
//! Left out: keys.

use super::changes::Changes;
use super::index::RowIndex;
use super::{CHUNK_ROWS, NONE, Rows, keep_equal};
use crate::DataflowError;
use crate::state::hash::hash_columns;
use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use std::ops::Range;

pub(crate) struct RowSet {
    pub(crate) rows: Rows,
    /// `None` where rows are only added.
    weighted: Option<Weighted>,
    /// Of rows that are only added: how many have been handed out as changes.
    taken: usize,
    /// Since changes were last handed out.
    saved: Changes,
    /// Since the tick began, where the owner wants to know.
    pub(crate) tick: Changes,
}

struct Weighted {
    index: RowIndex,
    weights: Vec<i64>,
    /// Rows that are taken back and are not here are passed over.
    forgives: bool,
}

/// A row of the set that a row of a batch has gone to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touched {
    pub(crate) id: u32,
    /// In the batch.
    pub(crate) row: u32,
}

/// Rows of a set with a weight each.
pub(crate) type Deltas = Vec<(u32, i64)>;

impl RowSet {
    pub(crate) fn new(schema: SchemaRef, takes_back: bool) -> Self {
        let new = || Weighted { index: RowIndex::new(), weights: Vec::new(), forgives: false };
        let weighted = takes_back.then(new);
        Self {
            rows: Rows::new(schema),
            weighted,
            taken: 0,
            saved: Changes::default(),
            tick: Changes::default(),
        }
    }

    /// A set of rows with weights whose rows may be forgotten: one that is taken back and is not here
    /// is passed over.
    pub(crate) fn forgetful(schema: SchemaRef) -> Self {
        let mut set = Self::new(schema, true);
        if let Some(weighted) = &mut set.weighted {
            weighted.forgives = true;
        }
        set
    }

    /// Takes all of a row away. The caller then settles it.
    pub(crate) fn forget(&mut self, id: u32) {
        let Some(weighted) = &mut self.weighted else { return };
        let weight = std::mem::take(&mut weighted.weights[id as usize]);
        self.saved.note(id, weight);
        self.tick.note(id, weight);
    }

    pub(crate) fn takes_back(&self) -> bool {
        self.weighted.is_some()
    }

    #[inline]
    pub(crate) fn weight(&self, id: u32) -> i64 {
        self.weighted.as_ref().map_or(1, |weighted| weighted.weights[id as usize])
    }

    /// Rows with a weight.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> {
        let ids = 0..self.rows.numbers() as u32;
        ids.filter(|id| self.rows.is_kept(*id) && self.weight(*id) != 0)
    }

    /// Adds rows of a set that never takes any back, numbered in a row.
    pub(crate) fn append(&mut self, batch: RecordBatch) -> Result<Range<u32>, DataflowError> {
        debug_assert!(!self.takes_back());
        self.rows.append(batch)
    }

    /// Adds weights to rows. The caller then calls [`RowSet::settle`] for each row touched.
    pub(crate) fn apply(
        &mut self,
        batch: &RecordBatch,
        weights: &[i64],
    ) -> Result<Vec<Touched>, DataflowError> {
        let hashes = hash_columns(batch.columns(), batch.num_rows())?;
        let found = self.find(batch, &hashes)?;
        let Some(weighted) = &mut self.weighted else {
            return Err(DataflowError::Internal("a row is taken back that cannot be".into()));
        };
        let mut touched = Vec::with_capacity(batch.num_rows());
        let (mut new_rows, mut new_ids) = (Vec::new(), Vec::new());
        for (row, mut id) in found.into_iter().enumerate() {
            if id == NONE && !new_ids.is_empty() {
                id = coming(&weighted.index, &self.rows, batch, row, hashes[row])?;
            }
            if id == NONE {
                id = self.rows.reserve(row as u32);
                weighted.index.insert(hashes[row], id);
                new_rows.push(row as u32);
                new_ids.push(id);
                if weighted.weights.len() <= id as usize {
                    weighted.weights.resize(id as usize + 1, 0);
                }
            }
            let weight = &mut weighted.weights[id as usize];
            self.saved.note(id, *weight);
            self.tick.note(id, *weight);
            let least = if weighted.forgives { 0 } else { i64::MIN };
            *weight = (*weight + weights[row]).max(least);
            touched.push(Touched { id, row: row as u32 });
        }
        let batch = match new_rows.len() == batch.num_rows() {
            true => batch.clone(),
            false => take_record_batch(batch, &UInt32Array::from(new_rows))?,
        };
        self.rows.fill(batch, new_ids)?;
        Ok(touched)
    }

    /// For each row of a batch the equal row that is here, or `NONE`.
    fn find(&mut self, batch: &RecordBatch, hashes: &[u64]) -> Result<Vec<u32>, DataflowError> {
        let Some(weighted) = &self.weighted else { return Ok(vec![NONE; hashes.len()]) };
        let mut found = weighted.index.finds(hashes);
        let known = found.iter().enumerate().filter(|(_, id)| **id != NONE);
        let (rows, ids): (Vec<u32>, Vec<u32>) = known.map(|(row, id)| (row as u32, *id)).unzip();
        let mut equal = vec![true; ids.len()];
        self.keep_equal(batch, &rows, &ids, &mut equal)?;
        for (row, equal) in rows.iter().zip(equal) {
            if !equal {
                found[*row as usize] = self.find_among(batch, *row, hashes[*row as usize])?;
            }
        }
        Ok(found)
    }

    fn keep_equal(
        &mut self,
        batch: &RecordBatch,
        rows: &[u32],
        ids: &[u32],
        equal: &mut [bool],
    ) -> Result<(), DataflowError> {
        let located = self.rows.locate(ids);
        for (column, values) in batch.columns().iter().enumerate() {
            self.rows.keep_equal(&located, column, values, rows, equal)?;
        }
        Ok(())
    }

    /// The same for a row whose hash another row has too.
    fn find_among(
        &mut self,
        batch: &RecordBatch,
        row: u32,
        hash: u64,
    ) -> Result<u32, DataflowError> {
        let mut ids = Vec::new();
        if let Some(weighted) = &self.weighted {
            weighted.index.find(hash, |id| {
                ids.push(id);
                false
            });
        }
        let mut equal = vec![true; ids.len()];
        self.keep_equal(batch, &vec![row; ids.len()], &ids, &mut equal)?;
        Ok(equal.iter().position(|equal| *equal).map_or(NONE, |place| ids[place]))
    }

    /// Lets go of a row without weight that nothing needs.
    pub(crate) fn settle(&mut self, id: u32) {
        let Some(weighted) = &mut self.weighted else { return };
        if weighted.weights[id as usize] != 0 || !self.rows.is_kept(id) {
            return;
        }
        // Both are asked: each forgets a row that came and went.
        let (saved, tick) = (self.saved.holds(id), self.tick.holds(id));
        if !saved && !tick {
            weighted.index.remove(id);
            self.rows.release(id);
        }
    }

    /// What has changed since the last call, or since the start.
    pub(crate) fn take_changes(&mut self) -> Deltas {
        if self.weighted.is_none() {
            let first = std::mem::replace(&mut self.taken, self.rows.numbers()) as u32;
            return (first..self.taken as u32).map(|id| (id, 1)).collect();
        }
        if !self.saved.is_on() {
            self.saved.start();
            return self.all();
        }
        let changed = self.saved.take().into_iter();
        let deltas = changed.map(|(id, before)| (id, self.weight(id) - before));
        deltas.collect()
    }

    /// All rows. Counts as taking the changes, which are to be settled.
    pub(crate) fn take_all(&mut self) -> (Deltas, Deltas) {
        let settled = match self.saved.is_on() {
            true => self.take_changes(),
            false => Vec::new(),
        };
        self.taken = self.rows.numbers();
        if self.weighted.is_some() {
            self.saved.start();
        }
        (self.all(), settled)
    }

    fn all(&self) -> Deltas {
        self.live().map(|id| (id, self.weight(id))).collect()
    }

    /// Rows that are restored are no changes: none are noted until [`RowSet::restored`].
    pub(crate) fn restoring(&mut self) {
        self.saved.stop();
        self.tick.stop();
    }

    pub(crate) fn restored(&mut self) {
        self.taken = self.rows.numbers();
        if self.weighted.is_some() {
            self.saved.start();
        }
    }

    /// Rows with weights as batches, in pieces.
    pub(crate) fn batches(
        &mut self,
        deltas: &[(u32, i64)],
    ) -> Result<Vec<(RecordBatch, Int64Array)>, DataflowError> {
        let changed = deltas.iter().filter(|(_, weight)| *weight != 0);
        let (ids, weights): (Vec<u32>, Vec<i64>) = changed.copied().unzip();
        let pieces = ids.chunks(CHUNK_ROWS).zip(weights.chunks(CHUNK_ROWS));
        let piece = |(ids, weights): (&[u32], &[i64])| {
            Ok((self.rows.batch(ids)?, Int64Array::from(weights.to_vec())))
        };
        pieces.map(piece).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        let weighted = self.weighted.as_ref();
        let weighted =
            weighted.map_or(0, |weighted| weighted.index.bytes() + weighted.weights.capacity() * 8);
        self.rows.bytes() + weighted + self.saved.bytes() + self.tick.bytes()
    }
}

/// The number of a row of this batch that was equal to row `row` of it and came before.
fn coming(
    index: &RowIndex,
    rows: &Rows,
    batch: &RecordBatch,
    row: usize,
    hash: u64,
) -> Result<u32, DataflowError> {
    let mut failed = None;
    let found = index.find(hash, |id| {
        let other = rows.coming(id);
        let equal = other.map(|other| is_equal(batch, row as u32, other as usize));
        equal.unwrap_or(Ok(false)).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    });
    failed.map_or(Ok(found), Err)
}

fn is_equal(batch: &RecordBatch, row: u32, other: usize) -> Result<bool, DataflowError> {
    let mut equal = [true];
    for column in batch.columns() {
        let column: &dyn Array = column.as_ref();
        keep_equal(column, &[row], &[column], &[(0, other)], &mut equal)?;
    }
    Ok(equal[0])
}
