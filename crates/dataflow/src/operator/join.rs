//! Two changing inputs by key.
//!
//! Guarantees: what was put out so far, weights added up, is the join of what has come so far, for
//! rows that come and are taken back on either side in any order. Null keys match nothing.
//! Output comes in bounded pieces, however many rows match one. With a time to live a row that has
//! not been written for so long is forgotten without a word: its pairs stay where they were given,
//! it meets nothing that comes, and where it is taken back its pairs with what is there are too.
//! Left out: joins by time, which let go of their state.

mod condition;
mod job;
mod side;
mod worker;

use crate::{DataflowError, Hidden, Named, Node};
use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema, SchemaRef};
use std::sync::Arc;
pub(crate) use worker::JoinWorker;
pub(super) use worker::batch_of;

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

/// An input as a join sees it.
pub(super) struct Input {
    /// The visible columns.
    pub(super) schema: SchemaRef,
    pub(super) hidden: Hidden,
    pub(super) takes_back: bool,
}

impl Input {
    pub(super) fn new(node: &Node) -> Self {
        let visible = node.schema.fields().len() - node.hidden.count();
        let fields = node.schema.fields().iter().take(visible).cloned().collect::<Fields>();
        let schema = Arc::new(Schema::new(fields));
        Self { schema, hidden: node.hidden, takes_back: node.hidden.weight }
    }

    pub(super) fn visible(&self, batch: &RecordBatch) -> Result<RecordBatch, DataflowError> {
        let columns = batch.columns()[..self.hidden.visible(batch)].to_vec();
        batch_of(&self.schema, columns, batch.num_rows())
    }
}
