//! Two changing inputs by key.
//!
//! Guarantees: what was put out so far, weights added up, is the join of what has come so far, for
//! rows that come and are taken back on either side in any order. Null keys match nothing.
//! Output comes in bounded pieces, however many rows match one.
//! Left out: joins by time, which let go of their state.

use super::{Keyed, StateWorker};
use crate::{DataflowError, Named, Node, ShardRange, Watermark};
use arrow::array::RecordBatch;

/// A regular join. Gives the left input's visible columns, then the right one's (for `Semi` and
/// `Anti` the left one's only), then `_weight` where its schema has it.
#[derive(Debug, Clone)]
pub struct Join {
    /// Which rows without a partner are given.
    pub kind: JoinKind,
    /// Columns of the left input; empty for a join without equalities.
    pub left_keys: Vec<usize>,
    /// As many columns of the right input, of the same types.
    pub right_keys: Vec<usize>,
    /// What else must hold, over both inputs' visible columns, left ones first.
    pub condition: Option<Named>,
}

/// Which rows without a partner are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left input, with nulls on the right.
    Left,
    /// Those of the right input, with nulls on the left.
    Right,
    /// Both.
    Full,
    /// Left rows that have a partner, each once.
    Semi,
    /// Left rows that have none.
    Anti,
}

pub(crate) struct JoinWorker;

impl JoinWorker {
    pub(crate) fn new(
        plan: &Join,
        node: &Node,
        left: &Node,
        right: &Node,
        shards: ShardRange,
    ) -> Self {
        let _ = (plan, node, left, right, shards);
        Self
    }
}

impl StateWorker for JoinWorker {
    fn push(&mut self, _input: usize, _keyed: Keyed) -> Result<(), DataflowError> {
        Err(DataflowError::Internal("not built".into()))
    }
    fn end_tick(&mut self, _watermark: Watermark) -> Result<(), DataflowError> {
        Ok(())
    }
    fn next_output(&mut self, _rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        Ok(None)
    }
    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        Ok(Vec::new())
    }
    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        Ok(Vec::new())
    }
    fn restore(&mut self, _rows: &RecordBatch) -> Result<(), DataflowError> {
        Ok(())
    }
    fn keys(&self) -> usize {
        0
    }
    fn bytes(&self) -> usize {
        0
    }
}
