//! A worker's groups that never end.
//!
//! Guarantees: what a group gave last is computed again from its state, before the first row of a
//! tick changes it, and given at -1 with what the tick made of it.

use super::Aggregate;
use crate::operator::{Keyed, StateWorker};
use crate::state::{Extra, Grouping, Groups};
use crate::{DataflowError, Hidden, Node, ShardRange, Watermark};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

pub(crate) struct AggregateWorker {
    grouping: Arc<Grouping>,
    groups: Groups,
    shards: ShardRange,
    input: Hidden,
    schema: SchemaRef,
    /// Whether old rows are given too.
    updates: bool,
    old: OldRows,
    /// How many of the touched groups are given; `None` within a tick.
    given: Option<usize>,
}

/// What touched groups gave last, in the order they were touched.
#[derive(Default)]
struct OldRows {
    /// For each touched group its row, or [`NO_ROW`].
    rows: Vec<u32>,
    count: u32,
    /// The results, a list of columns for each batch that touched any.
    results: Vec<Vec<ArrayRef>>,
}

/// The group gave nothing.
const NO_ROW: u32 = u32::MAX;

impl OldRows {
    fn add(&mut self, groups: &Groups, touched: &[u32]) -> Result<(), DataflowError> {
        let mut there = Vec::with_capacity(touched.len());
        self.rows.reserve(touched.len());
        for slot in touched {
            let has = groups.is_there(*slot);
            self.rows.push(if has { self.count + there.len() as u32 } else { NO_ROW });
            if has {
                there.push(*slot);
            }
        }
        if !there.is_empty() {
            self.count += there.len() as u32;
            self.results.push(groups.results(&there)?);
        }
        Ok(())
    }

    /// All results as one list of columns.
    fn join(&mut self) -> Result<(), DataflowError> {
        if self.results.len() > 1 {
            let columns = 0..self.results[0].len();
            let joined = columns.map(|column| {
                let parts: Vec<&dyn Array> =
                    self.results.iter().map(|part| &*part[column]).collect();
                concat(&parts)
            });
            self.results = vec![joined.collect::<Result<_, _>>()?];
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.results.clear();
        self.count = 0;
    }
}

impl AggregateWorker {
    pub(crate) fn new(
        plan: &Aggregate,
        node: &Node,
        input: &Node,
        shards: ShardRange,
        ttl_ms: u64,
    ) -> Self {
        let grouping = Grouping::new(node, input, &plan.keys, &plan.calls).idle_for(ttl_ms);
        let grouping = Arc::new(grouping);
        Self {
            groups: Groups::new(&grouping),
            grouping,
            shards,
            input: input.hidden,
            schema: node.schema.clone(),
            updates: node.hidden.weight,
            old: OldRows::default(),
            given: None,
        }
    }

    /// What `slots` gave and give, from the `first`th touched group on.
    fn changes(&self, first: usize, slots: &[u32]) -> Result<RecordBatch, DataflowError> {
        let mut pairs = Pairs { olds: &self.old.rows[first..first + slots.len()], news: vec![] };
        let mut there = Vec::with_capacity(slots.len());
        pairs.news.reserve(slots.len());
        for slot in slots {
            let has = self.groups.is_there(*slot);
            pairs.news.push(if has { there.len() as u32 } else { NO_ROW });
            if has {
                there.push(*slot);
            }
        }
        let old = self.old.results.first().map_or(&[][..], |old| &old[..]);
        let new = self.groups.results(&there)?;
        let changed = match self.grouping.ttl_ms {
            0 => pairs.changed(old, &new)?,
            // Those behind would forget the row if they never heard of it again.
            _ => BooleanBuffer::new_set(slots.len()),
        };
        let picks = pairs.picks(&changed, self.updates);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for key in self.groups.key_columns(slots)? {
            columns.push(take(&key, &picks.slots, None)?);
        }
        for (place, new) in new.iter().enumerate() {
            columns.push(match old.get(place) {
                Some(old) if self.updates => interleave(&[&**old, &**new], &picks.results)?,
                _ => {
                    let rows = picks.results.iter().map(|(_, row)| *row as u32);
                    take(new, &UInt32Array::from_iter_values(rows), None)?
                }
            });
        }
        if self.updates {
            columns.push(Arc::new(Int64Array::from(picks.weights)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// For each of some groups its row among the old results and among the new ones, or [`NO_ROW`].
struct Pairs<'a> {
    olds: &'a [u32],
    news: Vec<u32>,
}

impl Pairs<'_> {
    /// For each group that has an old and a new row, whether they differ.
    fn changed(&self, old: &[ArrayRef], new: &[ArrayRef]) -> Result<BooleanBuffer, DataflowError> {
        let both = self.olds.iter().zip(&self.news);
        let both = both.filter(|(old, new)| **old != NO_ROW && **new != NO_ROW);
        let (old_rows, new_rows): (Vec<u32>, Vec<u32>) = both.unzip();
        let mut changed = BooleanBuffer::new_unset(old_rows.len());
        if old_rows.is_empty() {
            return Ok(changed);
        }
        for (old, new) in old.iter().zip(new) {
            let (old, new) = (rows(old, &old_rows)?, rows(new, &new_rows)?);
            changed = &changed | distinct(&old, &new)?.values();
        }
        Ok(changed)
    }

    /// The rows to give, `changed` being those groups' that have both.
    fn picks(&self, changed: &BooleanBuffer, updates: bool) -> Picks {
        let most = 2 * self.news.len();
        let mut places = Vec::with_capacity(most);
        let mut results = Vec::with_capacity(most);
        let mut weights = Vec::with_capacity(most);
        let mut both = 0;
        for (place, (old, new)) in self.olds.iter().zip(&self.news).enumerate() {
            let (is, was) = (*new != NO_ROW, *old != NO_ROW);
            let same = is && was && !changed.value(both);
            if was && !same && updates {
                places.push(place as u32);
                results.push((0, *old as usize));
                weights.push(-1);
            }
            if is && !same {
                places.push(place as u32);
                results.push((1, *new as usize));
                weights.push(1);
            }
            both += usize::from(is && was);
        }
        Picks { slots: places.into(), results, weights }
    }
}

/// Which rows to give.
struct Picks {
    /// The place of each row's group among the slots.
    slots: UInt32Array,
    /// Old (0) or new (1), and the row there.
    results: Vec<(usize, usize)>,
    weights: Vec<i64>,
}

/// Rows of a column, which often stand beside each other.
fn rows(column: &ArrayRef, rows: &[u32]) -> Result<ArrayRef, DataflowError> {
    match rows.first() {
        Some(first) if rows.windows(2).all(|pair| pair[1] == pair[0] + 1) => {
            Ok(column.slice(*first as usize, rows.len()))
        }
        _ => Ok(take(column, &UInt32Array::from(rows.to_vec()), None)?),
    }
}

impl StateWorker for AggregateWorker {
    fn push(&mut self, _input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        let Keyed { rows, hashes } = keyed;
        let weights = self.input.weights(&rows).map(|weights| &weights.values()[..]);
        let old = &mut self.old;
        self.groups.push(&rows, &hashes, weights, |groups, touched| old.add(groups, touched))
    }

    fn end_tick(&mut self, _watermark: Watermark) -> Result<(), DataflowError> {
        self.old.join()?;
        self.groups.sort_touched(&mut self.old.rows);
        self.given = Some(0);
        Ok(())
    }

    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        while let Some(given) = self.given {
            let touched = self.groups.touched();
            // A group gives two rows at most.
            let end = touched.len().min(given + rows_max.div_ceil(2));
            if given == end {
                self.given = None;
                self.old.clear();
                self.groups.untouch(true)?;
                return Ok(None);
            }
            let batch = self.changes(given, &touched[given..end])?;
            self.given = Some(end);
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.groups.take(false, &Extra::new())
    }

    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.groups.take(true, &Extra::new())
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        let (rows, hashes) = self.grouping.of_shards(rows, &self.shards)?;
        self.groups.restore(&rows, &hashes)
    }

    fn set_now(&mut self, now_ms: i64) -> Result<(), DataflowError> {
        self.groups.expire(now_ms)
    }

    fn state_hashes(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        self.grouping.state_hashes(rows).map(Some)
    }

    fn waiting(&self) -> usize {
        self.given.map_or(0, |given| self.groups.touched().len() - given)
    }

    fn keys(&self) -> usize {
        self.groups.len()
    }

    fn bytes(&self) -> usize {
        self.groups.bytes()
    }
}
