//! A worker's part of a materialized view: all of it, or nothing.

use super::pages::Pages;
use super::{Materialize, Published};
use crate::operator::join::{Input, batch_of};
use crate::operator::{Keyed, StateWorker};
use crate::state::hash::hash_columns;
use crate::state::rows::set::RowSet;
use crate::state::rows::set::{Deltas, Touched};
use crate::{DataflowError, Hidden, Node, OperatorId, ShardRange, Watermark, shard_of};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::util::display::array_value_to_string;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct MaterializeWorker {
    id: OperatorId,
    key: Vec<usize>,
    input: Input,
    schema: SchemaRef,
    hidden: Hidden,
    state_schema: SchemaRef,
    shards: ShardRange,
    set: RowSet,
    pages: Pages,
    /// Where a key may get a new row without a word about the old one.
    replaced: Option<Replaced>,
    /// Where rows are only added: those to give.
    added: VecDeque<RecordBatch>,
    /// The tick's changes, and how many have been given.
    changed: Deltas,
    given: usize,
}

/// Keys remembered beyond twice the rows there are, at which those without a row are forgotten.
const REPLACED_SPARE: usize = 4_096;

/// The row of each key, by the key's hash.
#[derive(Default)]
struct Replaced {
    by_key: HashMap<u64, u32>,
    /// For each row the hash of its key.
    keys: Vec<u64>,
}

impl Replaced {
    /// Rows have come, in their order: each takes the place of the one its key had.
    fn note(&mut self, set: &mut RowSet, touched: &[Touched], keys: &[u64]) {
        for Touched { id, row } in touched.iter().copied() {
            if !set.rows.is_kept(id) || set.weight(id) <= 0 {
                continue;
            }
            let key = keys[row as usize];
            if self.keys.len() <= id as usize {
                self.keys.resize(id as usize + 1, 0);
            }
            self.keys[id as usize] = key;
            let Some(old) = self.by_key.insert(key, id).filter(|old| *old != id) else { continue };
            // The number may be another row's by now.
            if self.keys[old as usize] == key && set.rows.is_kept(old) && set.weight(old) > 0 {
                set.forget(old);
                set.settle(old);
            }
        }
        if self.by_key.len() > 2 * set.rows.len() + REPLACED_SPARE {
            let keys = &self.keys;
            let is_there = |key: &u64, id: &u32| {
                keys[*id as usize] == *key && set.rows.is_kept(*id) && set.weight(*id) > 0
            };
            self.by_key.retain(|key, id| is_there(key, id));
        }
    }
}

impl MaterializeWorker {
    /// `forgives`: operators before may have forgotten rows they gave.
    pub(crate) fn new(
        plan: &Materialize,
        node: &Node,
        input: &Node,
        shards: ShardRange,
        forgives: bool,
    ) -> Self {
        let input = Input::new(input);
        let mut set = match forgives && input.takes_back {
            true => RowSet::forgetful(input.schema.clone()),
            false => RowSet::new(input.schema.clone(), input.takes_back),
        };
        if input.takes_back {
            set.tick.start();
        }
        Self {
            id: node.id.clone(),
            key: plan.key.clone(),
            schema: node.schema.clone(),
            hidden: node.hidden,
            state_schema: Hidden::CHANGES.behind(&input.schema),
            replaced: (forgives && input.takes_back && !plan.key.is_empty())
                .then(Replaced::default),
            input,
            shards,
            set,
            pages: Pages::default(),
            added: VecDeque::new(),
            changed: Vec::new(),
            given: 0,
        }
    }

    /// The table as of the last tick.
    pub(crate) fn publish(&mut self) -> Result<Published, DataflowError> {
        self.pages.arrange(&mut self.set)?;
        Ok(Published { schema: self.input.schema.clone(), chunks: self.pages.chunks(&self.set) })
    }

    fn apply(
        &mut self,
        rows: &RecordBatch,
        weights: &Int64Array,
    ) -> Result<Vec<Touched>, DataflowError> {
        let touched = self.set.apply(rows, weights.values())?;
        if let Some(replaced) = &mut self.replaced {
            let keys: Vec<ArrayRef> =
                self.key.iter().map(|key| rows.column(*key).clone()).collect();
            replaced.note(&mut self.set, &touched, &hash_columns(&keys, rows.num_rows())?);
        }
        for Touched { id, .. } in &touched {
            self.set.settle(*id);
        }
        Ok(touched)
    }

    /// The first row that was taken back more often than it came.
    fn check(&mut self) -> Result<(), DataflowError> {
        let negative = self.changed.iter().find(|(id, _)| self.set.weight(*id) < 0);
        let Some((id, _)) = negative.copied() else { return Ok(()) };
        let row = self.set.rows.batch(&[id])?;
        let values = row.columns().iter().map(|column| array_value_to_string(column, 0));
        let values = values.collect::<Result<Vec<_>, _>>()?.join(", ");
        let weight = self.set.weight(id);
        let what = format!("{}: row ({values}) is left with weight {weight}", self.id);
        Err(DataflowError::Internal(what))
    }

    /// Puts the changes of one key next to each other, the old row first.
    fn order(&mut self) -> Result<(), DataflowError> {
        let changed = &mut self.changed;
        if self.key.is_empty() {
            changed.sort_by_key(|(_, delta)| *delta > 0);
            return Ok(());
        }
        let ids: Vec<u32> = changed.iter().map(|(id, _)| *id).collect();
        let located = self.set.rows.locate(&ids);
        let column = |key: &usize| self.set.rows.column(&located, *key);
        let keys: Vec<ArrayRef> = self.key.iter().map(column).collect::<Result<_, _>>()?;
        let hashes = hash_columns(&keys, ids.len())?;
        let mut groups: HashMap<u64, usize> = HashMap::with_capacity(ids.len());
        let group = |(place, hash): (usize, u64)| *groups.entry(hash).or_insert(place);
        let groups: Vec<usize> = hashes.into_iter().enumerate().map(group).collect();
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|place| (groups[*place], changed[*place].1 > 0));
        *changed = order.into_iter().map(|place| changed[place]).collect();
        Ok(())
    }

    fn settle(&mut self, changed: &Deltas) {
        for (id, _) in changed {
            self.set.settle(*id);
        }
    }

    fn state(&mut self, deltas: &Deltas) -> Result<Vec<RecordBatch>, DataflowError> {
        let with_weights = |(batch, weights): (RecordBatch, Int64Array)| {
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(weights));
            batch_of(&self.state_schema, columns, batch.num_rows())
        };
        self.set.batches(deltas)?.into_iter().map(with_weights).collect()
    }

    /// The table is one worker's.
    fn is_own(&self) -> Result<bool, DataflowError> {
        let hash = hash_columns(&[], 1)?[0];
        Ok(self.shards.contains(shard_of(hash)))
    }

    fn output(&self, rows: RecordBatch, weights: Vec<i64>) -> Result<RecordBatch, DataflowError> {
        let mut columns = rows.columns().to_vec();
        if self.hidden.weight {
            columns.push(Arc::new(Int64Array::from(weights)));
        }
        batch_of(&self.schema, columns, rows.num_rows())
    }

    /// The next rows that were only added.
    fn next_added(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        let Some(batch) = self.added.pop_front() else { return Ok(None) };
        let rows = batch.num_rows().min(rows_max);
        if rows < batch.num_rows() {
            self.added.push_front(batch.slice(rows, batch.num_rows() - rows));
        }
        self.output(batch.slice(0, rows), vec![1; rows]).map(Some)
    }
}

impl StateWorker for MaterializeWorker {
    fn push(&mut self, _input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        let rows = self.input.visible(&keyed.rows)?;
        match self.input.hidden.weights(&keyed.rows) {
            Some(weights) => {
                self.apply(&rows, weights)?;
            }
            None => {
                let ids = self.set.append(rows.clone())?;
                self.pages.stage(&self.set, ids);
                self.added.push_back(rows);
            }
        }
        Ok(())
    }

    fn end_tick(&mut self, _watermark: Watermark) -> Result<(), DataflowError> {
        let changed = self.set.tick.take().into_iter();
        let deltas = changed.map(|(id, before)| (id, self.set.weight(id) - before));
        self.changed = deltas.filter(|(_, delta)| *delta != 0).collect();
        self.given = 0;
        self.check()?;
        for (id, _) in &self.changed {
            self.pages.note(&mut self.set, *id);
        }
        self.order()?;
        self.set.rows.tidy()
    }

    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        if !self.added.is_empty() {
            return self.next_added(rows_max.max(1));
        }
        let left = &self.changed[self.given..];
        let piece = &left[..left.len().min(rows_max.max(1))];
        let (ids, weights): (Vec<u32>, Vec<i64>) = piece.iter().copied().unzip();
        self.given += ids.len();
        if ids.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            self.given = 0;
            self.settle(&changed);
            return Ok(None);
        }
        let rows = self.set.rows.batch(&ids)?;
        self.output(rows, weights).map(Some)
    }

    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        let deltas = self.set.take_changes();
        let batches = self.state(&deltas)?;
        self.settle(&deltas);
        Ok(batches)
    }

    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        let (all, changed) = self.set.take_all();
        self.settle(&changed);
        self.state(&all)
    }

    fn restore(&mut self, state: &RecordBatch) -> Result<(), DataflowError> {
        if !self.is_own()? {
            return Ok(());
        }
        let visible = state.num_columns() - 1;
        let columns = state.columns()[..visible].to_vec();
        let rows = batch_of(&self.input.schema, columns, state.num_rows())?;
        let weights = state.column(visible).as_primitive::<Int64Type>();
        if !self.set.takes_back() {
            let ids = self.set.append(rows)?;
            self.pages.stage(&self.set, ids);
            self.set.restored();
            return Ok(());
        }
        self.set.restoring();
        for Touched { id, .. } in self.apply(&rows, weights)? {
            if self.set.rows.is_kept(id) {
                self.pages.note(&mut self.set, id);
            }
        }
        self.set.restored();
        self.set.tick.start();
        Ok(())
    }

    fn state_hashes(&self, _rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        Ok(None)
    }

    fn keys(&self) -> usize {
        self.set.rows.len()
    }

    fn bytes(&self) -> usize {
        self.set.bytes()
    }
}
