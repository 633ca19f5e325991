//! A tick's rows until its end, by shard.
//!
//! Guarantees: the rows of one input and key come out in the order they came in; no more than
//! [`ROWS_MAX`] rows are in memory at once, and a copy of them while they are sorted.

use super::Keyed;
use crate::state::hash::hash_columns;
use crate::{DataflowError, EvictedRows, OperatorKind, Scratch, ScratchFile, ShardRange, shard_of};
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows in memory beyond which they are written to a scratch file: a few of the largest ticks. A
/// join may make any number of rows of those.
pub(super) const ROWS_MAX: usize = 1 << 19;

pub(super) struct Inbox {
    /// The columns of the key, for each input.
    keys: Vec<Vec<usize>>,
    shards: ShardRange,
    scratch: Arc<dyn Scratch>,
    /// By input, as they came.
    coming: Vec<Vec<Keyed>>,
    rows: usize,
    sorted: Vec<Sorted>,
    /// Rows that came before those in memory: by place of the shard, with their input.
    written: BTreeMap<usize, Vec<(usize, EvictedRows)>>,
    file: Option<Arc<dyn ScratchFile>>,
}

/// Rows of one input in the order of their shards.
struct Sorted {
    input: usize,
    rows: RecordBatch,
    hashes: Vec<u64>,
    order: Vec<u32>,
    /// Where each shard's rows begin in `order`, and where the last's end.
    starts: Vec<usize>,
}

impl Inbox {
    pub(super) fn new(kind: &OperatorKind, shards: &ShardRange, scratch: Arc<dyn Scratch>) -> Self {
        let inputs = if matches!(kind, OperatorKind::Join(_)) { 2 } else { 1 };
        let keys = |input: usize| kind.exchange(input).unwrap_or_default().to_vec();
        Self {
            keys: (0..inputs).map(keys).collect(),
            shards: shards.clone(),
            scratch,
            coming: (0..inputs).map(|_| Vec::new()).collect(),
            rows: 0,
            sorted: Vec::new(),
            written: BTreeMap::new(),
            file: None,
        }
    }

    pub(super) fn push(&mut self, input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        self.rows += keyed.hashes.len();
        self.coming[input].push(keyed);
        if self.rows >= ROWS_MAX {
            self.write()?;
        }
        Ok(())
    }

    /// Rows that wait, as long as any do.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Sorts what has come.
    pub(super) fn sort(&mut self) -> Result<(), DataflowError> {
        for input in 0..self.coming.len() {
            let coming = std::mem::take(&mut self.coming[input]);
            let Some(first) = coming.first() else { continue };
            let rows = concat_batches(&first.rows.schema(), coming.iter().map(|one| &one.rows))?;
            let hashes: Vec<u64> = coming.into_iter().flat_map(|one| one.hashes).collect();
            self.sorted.push(Sorted::new(input, rows, hashes, &self.shards));
        }
        Ok(())
    }

    /// Whether there are rows for a shard.
    pub(super) fn has(&self, place: usize) -> bool {
        self.written.contains_key(&place) || self.sorted.iter().any(|one| one.count(place) > 0)
    }

    /// The rows of a shard, which are no longer here.
    pub(super) fn take(&mut self, place: usize) -> Result<Vec<(usize, Keyed)>, DataflowError> {
        let mut rows = Vec::new();
        for (input, written) in self.written.remove(&place).into_iter().flatten() {
            for batch in written.read()? {
                let keys = &self.keys[input];
                let columns: Vec<ArrayRef> =
                    keys.iter().map(|key| batch.column(*key).clone()).collect();
                let hashes = hash_columns(&columns, batch.num_rows())?;
                rows.push((input, Keyed { rows: batch, hashes }));
            }
        }
        for sorted in self.sorted.iter().filter(|sorted| sorted.count(place) > 0) {
            let keyed = sorted.take(place)?;
            self.rows = self.rows.saturating_sub(keyed.hashes.len());
            rows.push((sorted.input, keyed));
        }
        if self.rows == 0 {
            self.sorted.clear();
        }
        if self.written.is_empty() {
            self.file = None;
        }
        Ok(rows)
    }

    /// Puts what has come into the scratch file.
    fn write(&mut self) -> Result<(), DataflowError> {
        self.sort()?;
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(self.scratch.create()?).clone(),
        };
        for sorted in std::mem::take(&mut self.sorted) {
            for place in (0..sorted.starts.len() - 1).filter(|place| sorted.count(*place) > 0) {
                let extent = file.append(&[sorted.take(place)?.rows])?;
                let rows = EvictedRows { file: file.clone(), extent };
                self.written.entry(place).or_default().push((sorted.input, rows));
            }
        }
        self.rows = 0;
        Ok(())
    }
}

impl Sorted {
    fn new(input: usize, rows: RecordBatch, hashes: Vec<u64>, shards: &ShardRange) -> Self {
        let (order, starts) = by_shard(&hashes, shards);
        Self { input, rows, hashes, order, starts }
    }

    fn count(&self, place: usize) -> usize {
        self.starts[place + 1] - self.starts[place]
    }

    /// A copy, so that what an operator keeps holds no other rows.
    fn take(&self, place: usize) -> Result<Keyed, DataflowError> {
        let order = &self.order[self.starts[place]..self.starts[place + 1]];
        let hashes = order.iter().map(|row| self.hashes[*row as usize]).collect();
        let rows = take_record_batch(&self.rows, &UInt32Array::from(order.to_vec()))?;
        Ok(Keyed { rows, hashes })
    }
}

/// The rows whose hashes are of these shards in the order of the shards, and where each shard's
/// begin and the last's end.
pub(super) fn by_shard(hashes: &[u64], shards: &ShardRange) -> (Vec<u32>, Vec<usize>) {
    let (first, end) = shards.bounds();
    let place = |hash: &u64| {
        let shard = shard_of(*hash) as usize;
        (first..end).contains(&shard).then(|| shard - first)
    };
    let mut starts = vec![0; end - first + 1];
    for place in hashes.iter().filter_map(place) {
        starts[place + 1] += 1;
    }
    for place in 0..end - first {
        starts[place + 1] += starts[place];
    }
    let mut next = starts.clone();
    let mut order = vec![0; starts[end - first]];
    for (row, hash) in hashes.iter().enumerate() {
        if let Some(place) = place(hash) {
            order[next[place]] = row as u32;
            next[place] += 1;
        }
    }
    (order, starts)
}
