//! One batch on its way through a join.
//!
//! Guarantees: candidates come in pieces of bounded size, each exactly once; a row that is taken
//! back and the row after it that takes its place go through the candidates together.
//! Left out: whether candidates match.

use super::side::{Side, keyed};
use crate::DataflowError;
use crate::state::rows::NONE;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::buffer::NullBuffer;

pub(super) struct Job {
    pub(super) side: usize,
    /// The visible columns.
    pub(super) rows: RecordBatch,
    pub(super) origin: Option<RecordBatch>,
    pub(super) weights: Option<Int64Array>,
    pub(super) hashes: Vec<u64>,
    /// Which rows have a key without nulls.
    pub(super) keyed: Option<NullBuffer>,
    /// For each row the weight of its partners so far, where that is wanted.
    pub(super) matched: Vec<i64>,
    /// For each row the first candidate on the other side.
    first: Vec<u32>,
    /// The row whose candidates come next.
    row: usize,
    /// Where among them.
    next: Option<u32>,
}

/// Pairs that may match: a row of the batch and a row of the other side.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) rows: Vec<u32>,
    pub(super) ids: Vec<u32>,
}

impl Pairs {
    fn push(&mut self, row: usize, id: u32) {
        self.rows.push(row as u32);
        self.ids.push(id);
    }

    pub(super) fn filter(&mut self, kept: &[bool]) {
        for list in [&mut self.rows, &mut self.ids] {
            let mut kept = kept.iter();
            list.retain(|_| kept.next().copied().unwrap_or(false));
        }
    }
}

impl Job {
    pub(super) fn new(
        side: usize,
        rows: RecordBatch,
        weights: Option<Int64Array>,
        hashes: Vec<u64>,
        keys: &[usize],
        counts: bool,
    ) -> Self {
        let columns: Vec<ArrayRef> = keys.iter().map(|key| rows.column(*key).clone()).collect();
        let matched = if counts { vec![0; rows.num_rows()] } else { Vec::new() };
        let keyed = keyed(&columns);
        let (first, row, next) = (Vec::new(), 0, None);
        Self { side, rows, origin: None, weights, hashes, keyed, matched, first, row, next }
    }

    /// Looks up where the candidates of each row begin.
    pub(super) fn look_up(&mut self, other: &Side) {
        self.first = other.chains.firsts(&self.hashes);
        if let Some(keyed) = &self.keyed {
            for (row, first) in self.first.iter_mut().enumerate() {
                if keyed.is_null(row) {
                    *first = NONE;
                }
            }
        }
    }

    #[inline]
    pub(super) fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights.value(row))
    }

    /// The row up to which all candidates have come.
    pub(super) fn done(&self) -> usize {
        self.row
    }

    pub(super) fn is_done(&self) -> bool {
        self.row == self.rows.num_rows()
    }

    /// The next candidates: at most about `pairs_max`, of at most `rows_max` rows.
    pub(super) fn candidates(&mut self, other: &Side, pairs_max: usize, rows_max: usize) -> Pairs {
        let mut pairs = Pairs::default();
        let rows = self.rows.num_rows().min(self.row + rows_max.max(2));
        while self.row < rows {
            let both = self.is_update(self.row);
            let mut id = self.next.take().unwrap_or(self.first[self.row]);
            while id != NONE {
                if pairs.ids.len() >= pairs_max {
                    self.next = Some(id);
                    return pairs;
                }
                pairs.push(self.row, id);
                if both {
                    pairs.push(self.row + 1, id);
                }
                id = other.chains.next(id);
            }
            self.row += 1 + both as usize;
        }
        pairs
    }

    /// Whether a row is taken back and the next one takes its place.
    fn is_update(&self, row: usize) -> bool {
        let Some(weights) = &self.weights else { return false };
        let next = row + 1;
        next < self.hashes.len()
            && weights.value(row) == -1
            && weights.value(next) == 1
            && self.hashes[row] == self.hashes[next]
            && self.first[row] == self.first[next]
    }
}

/// Clears the pairs whose keys are not the same though their hashes are.
pub(super) fn keep_equal_keys(
    job: &Job,
    pairs: &mut Pairs,
    other: &mut Side,
    keys: [&[usize]; 2],
) -> Result<(), DataflowError> {
    let mut equal = vec![true; pairs.ids.len()];
    let located = other.set.rows.locate(&pairs.ids);
    for (own, others) in keys[job.side].iter().zip(keys[1 - job.side]) {
        let own = job.rows.column(*own);
        other.set.rows.keep_equal(&located, *others, own, &pairs.rows, &mut equal)?;
    }
    if equal.contains(&false) {
        pairs.filter(&equal);
    }
    Ok(())
}
