//! A table kept for reading: the rows of a materialized view.
//!
//! Guarantees: what is published after a tick is the input's rows with their weights added up, as
//! of that tick as a whole; what readers hold never changes under them. Gives the tick's changes,
//! consolidated: a row that came and went in one tick is not among them.
//! Left out: who reads.

use super::{Keyed, StateWorker};
use crate::{DataflowError, Node, Watermark};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Keeps all visible columns of its input.
#[derive(Debug, Clone)]
pub struct Materialize {
    /// Columns that tell rows apart, where the query has such: an update then comes as the old row
    /// and the new one next to each other. Empty: the whole row.
    pub key: Vec<usize>,
}

/// A table as it was after a tick.
#[derive(Debug, Clone)]
pub struct Published {
    /// The visible columns.
    pub schema: SchemaRef,
    /// The rows, in pieces that are shared with what was published before.
    pub chunks: Vec<Arc<RecordBatch>>,
}

pub(crate) struct MaterializeWorker;

impl MaterializeWorker {
    pub(crate) fn new(plan: &Materialize, input: &Node) -> Self {
        let _ = (plan, input);
        Self
    }

    /// The table as of the last tick.
    pub(crate) fn publish(&mut self) -> Result<Published, DataflowError> {
        Err(DataflowError::Internal("not built".into()))
    }
}

impl StateWorker for MaterializeWorker {
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
