//! A worker's part of a join.
//!
//! A join's output is, whenever nothing waits, a function of the rows on its two sides: each pair
//! that matches with the product of its weights, and each row of an outer side with its own weight
//! while its partners' weights add up to nothing. A batch changes one side against the other one as
//! it is, in pieces, and is stored when it is through; so each step gives the exact difference.

use super::condition::holds;
use super::job::{Job, Pairs, keep_equal_keys};
use super::side::{Side, side_of};
use super::{Input, Join, JoinKind};
use crate::operator::{Keyed, StateWorker};
use crate::state::rows::{CHUNK_ROWS, NONE};
use crate::{DataflowError, Hidden, Named, Node, OperatorId, RowError, ShardRange, Watermark};
use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::{Fields, Schema, SchemaRef};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct JoinWorker {
    id: OperatorId,
    kind: JoinKind,
    keys: [Vec<usize>; 2],
    condition: Option<Named>,
    /// Both inputs' visible columns.
    pair_schema: SchemaRef,
    schema: SchemaRef,
    hidden: Hidden,
    inputs: [Input; 2],
    shards: ShardRange,
    sides: [Side; 2],
    waiting: VecDeque<(usize, Keyed)>,
    job: Option<Job>,
    errors: Vec<RowError>,
    /// Rows were restored: what they match is not counted yet.
    recount: bool,
}

/// Rows to give: a row of the batch and a row of the other side each, either may be missing.
#[derive(Default)]
struct Piece {
    rows: Vec<u32>,
    ids: Vec<u32>,
    weights: Vec<i64>,
}

impl Piece {
    fn push(&mut self, row: u32, id: u32, weight: i64) {
        self.rows.push(row);
        self.ids.push(id);
        self.weights.push(weight);
    }
}

impl JoinKind {
    /// Whether a row of a side is given or not depending on whether it has a partner.
    fn counts(self, side: usize) -> bool {
        self.gives_alone(side, true) || self.gives_alone(side, false)
    }

    /// Whether a row of a side is given without its partners, if it has some or none.
    fn gives_alone(self, side: usize, matched: bool) -> bool {
        match (self, side) {
            (Self::Left | Self::Full | Self::Anti, 0) | (Self::Right | Self::Full, 1) => !matched,
            (Self::Semi, 0) => matched,
            _ => false,
        }
    }

    fn gives_pairs(self) -> bool {
        !matches!(self, Self::Semi | Self::Anti)
    }
}

impl JoinWorker {
    pub(crate) fn new(
        plan: &Join,
        node: &Node,
        inputs: [&Node; 2],
        shards: ShardRange,
        ttl_ms: u64,
    ) -> Self {
        let inputs = inputs.map(Input::new);
        let fields = inputs.iter().flat_map(|input| input.schema.fields().iter().cloned());
        let side = |side: usize| Side::new(&inputs[side], plan.kind.counts(side), ttl_ms);
        Self {
            id: node.id.clone(),
            kind: plan.kind,
            keys: [plan.left_keys.clone(), plan.right_keys.clone()],
            condition: plan.condition.clone(),
            pair_schema: Arc::new(Schema::new(fields.collect::<Fields>())),
            schema: node.schema.clone(),
            hidden: node.hidden,
            shards,
            sides: [side(0), side(1)],
            inputs,
            waiting: VecDeque::new(),
            job: None,
            errors: Vec::new(),
            recount: false,
        }
    }

    fn start(&mut self, side: usize, keyed: Keyed) -> Result<Job, DataflowError> {
        if std::mem::take(&mut self.recount) {
            self.recount()?;
        }
        let input = &self.inputs[side];
        let rows = input.visible(&keyed.rows)?;
        let weights = input.hidden.weights(&keyed.rows).cloned();
        let counts = self.kind.counts(side);
        let mut job = Job::new(side, rows, weights, keyed.hashes, &self.keys[side], counts);
        job.origin = input.hidden.origin.then_some(keyed.rows);
        job.look_up(&self.sides[1 - side]);
        Ok(job)
    }

    /// Takes a job one piece further.
    fn step(
        &mut self,
        job: &mut Job,
        rows_max: usize,
    ) -> Result<Option<RecordBatch>, DataflowError> {
        let from = job.done();
        // A row alone is output too.
        let scanned = if self.kind.counts(job.side) { rows_max } else { usize::MAX / 2 };
        let mut pairs = job.candidates(&self.sides[1 - job.side], rows_max, scanned);
        let matched = self.matching(job, &mut pairs, true)?;
        let mut piece = Piece::default();
        let given = self.kind.gives_pairs();
        for (row, id) in pairs.rows.iter().zip(&pairs.ids) {
            let weight = job.weight(*row as usize) * self.sides[1 - job.side].set.weight(*id);
            if given {
                piece.push(*row, *id, weight);
            }
        }
        self.count(job, &pairs);
        let flipped = self.count_others(job, &pairs);
        let pairs_given = piece.rows.len();
        for row in from..job.done() {
            let alone = job
                .matched
                .get(row)
                .is_some_and(|matched| self.kind.gives_alone(job.side, *matched > 0));
            if alone {
                piece.push(row as u32, NONE, job.weight(row));
            }
        }
        for (id, now) in flipped {
            let other = 1 - job.side;
            let sign = if self.kind.gives_alone(other, now) { 1 } else { -1 };
            piece.push(NONE, id, sign * self.sides[other].set.weight(id));
        }
        self.output(job, piece, matched.filter(|_| given), pairs_given)
    }

    /// Leaves the pairs that match; returns them as a batch where that was needed anyway.
    fn matching(
        &mut self,
        job: &Job,
        pairs: &mut Pairs,
        report: bool,
    ) -> Result<Option<RecordBatch>, DataflowError> {
        let keys = [&self.keys[0][..], &self.keys[1][..]];
        keep_equal_keys(job, pairs, &mut self.sides[1 - job.side], keys)?;
        let Some(condition) = self.condition.clone() else { return Ok(None) };
        if pairs.ids.is_empty() {
            return Ok(None);
        }
        let columns =
            self.columns(job, &pairs.rows, &pairs.ids, self.pair_schema.fields().len())?;
        let batch = batch_of(&self.pair_schema, columns, pairs.ids.len())?;
        let (kept, failed) = holds(&condition, &batch);
        for failed in failed.into_iter().filter(|_| report) {
            let row = pairs.rows[failed.place] as usize;
            let other = self.sides[1 - job.side].set.weight(pairs.ids[failed.place]);
            // Reported when it comes, not again when it goes.
            if job.weight(row) * other > 0 {
                let hidden = self.inputs[job.side].hidden;
                self.errors.push(RowError {
                    operator: self.id.clone(),
                    expression: condition.text.clone(),
                    reason: failed.reason,
                    origin: job.origin.as_ref().and_then(|batch| hidden.origin_of(batch, row)),
                    row: batch.slice(failed.place, 1),
                    hidden: Hidden::NONE,
                });
            }
        }
        if kept.contains(&false) {
            pairs.filter(&kept);
            return Ok(Some(filter_record_batch(&batch, &BooleanArray::from(kept))?));
        }
        Ok(Some(batch))
    }

    /// Adds the partners' weights to the batch's rows.
    fn count(&self, job: &mut Job, pairs: &Pairs) {
        if !job.matched.is_empty() {
            let set = &self.sides[1 - job.side].set;
            for (row, id) in pairs.rows.iter().zip(&pairs.ids) {
                job.matched[*row as usize] += set.weight(*id);
            }
        }
    }

    /// Adds the batch's weights to their partners. Returns those that have partners now and had
    /// none, or the other way round.
    fn count_others(&mut self, job: &Job, pairs: &Pairs) -> Vec<(u32, bool)> {
        let Some(matched) = &mut self.sides[1 - job.side].matched else { return Vec::new() };
        let mut turns = Vec::new();
        for (row, id) in pairs.rows.iter().zip(&pairs.ids) {
            let count = &mut matched[*id as usize];
            let before = *count > 0;
            *count += job.weight(*row as usize);
            if before != (*count > 0) {
                turns.push(*id);
            }
        }
        let turned = turned(turns, matched);
        self.sides[1 - job.side].stamp(pairs.ids.iter().copied());
        turned
    }

    /// The first columns of pairs, left ones first.
    fn columns(
        &mut self,
        job: &Job,
        rows: &[u32],
        ids: &[u32],
        count: usize,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        let left = self.inputs[0].schema.fields().len();
        let mut columns = Vec::with_capacity(count + 1);
        for side in 0..2 {
            let wanted = if side == 0 { left.min(count) } else { count - left.min(count) };
            if wanted == 0 {
                continue;
            }
            if side == job.side {
                columns.extend(own_columns(&job.rows, rows, wanted)?);
            } else {
                let stored = &mut self.sides[side].set.rows;
                let located = stored.locate(ids);
                for column in 0..wanted {
                    columns.push(stored.column(&located, column)?);
                }
            }
        }
        Ok(columns)
    }

    /// A piece as a batch. The first `pairs` rows of it may be there as a batch already.
    fn output(
        &mut self,
        job: &Job,
        piece: Piece,
        matched: Option<RecordBatch>,
        pairs: usize,
    ) -> Result<Option<RecordBatch>, DataflowError> {
        let rows = piece.rows.len();
        if rows == 0 {
            return Ok(None);
        }
        let visible = self.schema.fields().len() - self.hidden.count();
        let mut columns = match matched {
            None => self.columns(job, &piece.rows, &piece.ids, visible)?,
            Some(batch) if pairs == rows => batch.columns().to_vec(),
            Some(batch) => {
                let alone =
                    self.columns(job, &piece.rows[pairs..], &piece.ids[pairs..], visible)?;
                let schema = Arc::new(self.schema.project(&(0..visible).collect::<Vec<_>>())?);
                let alone = batch_of(&schema, alone, rows - pairs)?;
                let batch = batch_of(&schema, batch.columns().to_vec(), pairs)?;
                concat_batches(&schema, [&batch, &alone])?.columns().to_vec()
            }
        };
        if self.hidden.weight {
            columns.push(Arc::new(Int64Array::from(piece.weights)));
        } else if piece.weights.iter().any(|weight| *weight != 1) {
            let what = format!("{} takes rows back but has no weights", self.id);
            return Err(DataflowError::Internal(what));
        }
        batch_of(&self.schema, columns, rows).map(Some)
    }

    fn store(&mut self, job: Job) -> Result<(), DataflowError> {
        let Job { rows, hashes, weights, keyed, matched, .. } = job;
        self.sides[job.side].store(&rows, &hashes, weights.as_ref(), keyed.as_ref(), &matched)
    }

    /// Counts again what each row matches, after a restore.
    fn recount(&mut self) -> Result<(), DataflowError> {
        let kind = self.kind;
        for side in (0..2).filter(|side| kind.counts(*side)) {
            let ids: Vec<u32> = self.sides[side].set.live().collect();
            for ids in ids.chunks(CHUNK_ROWS) {
                let rows = self.sides[side].set.rows.batch(ids)?;
                let hashes = ids.iter().map(|id| self.sides[side].chains.hash(*id)).collect();
                let mut job = Job::new(side, rows, None, hashes, &self.keys[side], true);
                job.look_up(&self.sides[1 - side]);
                while !job.is_done() {
                    let mut pairs =
                        job.candidates(&self.sides[1 - side], CHUNK_ROWS, usize::MAX / 2);
                    self.matching(&job, &mut pairs, false)?;
                    self.count(&mut job, &pairs);
                }
                if let Some(all) = &mut self.sides[side].matched {
                    for (id, matched) in ids.iter().zip(&job.matched) {
                        all[*id as usize] = *matched;
                    }
                }
            }
        }
        Ok(())
    }
}

impl StateWorker for JoinWorker {
    fn push(&mut self, input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        self.waiting.push_back((input, keyed));
        Ok(())
    }

    fn end_tick(&mut self, _watermark: Watermark) -> Result<(), DataflowError> {
        for side in &mut self.sides {
            side.set.rows.tidy()?;
        }
        Ok(())
    }

    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        loop {
            let mut job = match self.job.take() {
                Some(job) => job,
                None => match self.waiting.pop_front() {
                    Some((side, keyed)) => self.start(side, keyed)?,
                    None => return Ok(None),
                },
            };
            let output = self.step(&mut job, rows_max.max(1))?;
            match job.is_done() {
                true => self.store(job)?,
                false => self.job = Some(job),
            }
            if output.is_some() {
                return Ok(output);
            }
        }
    }

    fn take_errors(&mut self) -> Vec<RowError> {
        std::mem::take(&mut self.errors)
    }

    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut batches = self.sides[0].take_changes(0)?;
        batches.extend(self.sides[1].take_changes(1)?);
        Ok(batches)
    }

    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut batches = self.sides[0].take_all(0)?;
        batches.extend(self.sides[1].take_all(1)?);
        Ok(batches)
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        let Some(side) = side_of(rows).filter(|side| *side < 2) else {
            return Err(DataflowError::Internal(format!("{}: state of no side", self.id)));
        };
        self.recount |= self.sides[side].restore(rows, &self.keys[side], &self.shards)?;
        Ok(())
    }

    fn set_now(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        self.sides.iter_mut().for_each(|side| side.expire(now_ms));
        Ok(())
    }

    fn state_hashes(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        let keys = side_of(rows).and_then(|side| self.keys.get(side));
        let missing = || DataflowError::Internal(format!("{}: state of no side", self.id));
        super::side::state_hashes(rows, keys.ok_or_else(missing)?).map(Some)
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(|(_, keyed)| keyed.hashes.len()).sum::<usize>()
            + usize::from(self.job.is_some())
    }

    fn keys(&self) -> usize {
        self.sides.iter().map(|side| side.chains.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.sides.iter().map(Side::bytes).sum()
    }
}

/// Of rows that have turned some times those that are turned, and what to.
fn turned(mut turns: Vec<u32>, matched: &[i64]) -> Vec<(u32, bool)> {
    turns.sort_unstable();
    let odd = turns.chunk_by(|a, b| a == b).filter(|same| same.len() % 2 == 1);
    odd.map(|same| (same[0], matched[same[0] as usize] > 0)).collect()
}

/// Rows of a batch, some of them missing.
fn own_columns(
    batch: &RecordBatch,
    rows: &[u32],
    wanted: usize,
) -> Result<Vec<ArrayRef>, DataflowError> {
    let columns = &batch.columns()[..wanted];
    let as_is = rows.len() == batch.num_rows()
        && rows.iter().enumerate().all(|(place, row)| place as u32 == *row);
    if as_is {
        return Ok(columns.to_vec());
    }
    let indices = match rows.contains(&NONE) {
        true => rows.iter().map(|row| (*row != NONE).then_some(*row)).collect(),
        false => UInt32Array::from(rows.to_vec()),
    };
    let column = |column: &ArrayRef| Ok(take(column, &indices, None)?);
    columns.iter().map(column).collect()
}

/// A batch, of no columns too.
pub(in crate::operator) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, DataflowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
