//! A table kept for reading: the rows of a materialized view.
//!
//! Guarantees: what is published after a tick is the input's rows with their weights added up, as
//! of that tick as a whole; what readers hold never changes under them. Gives the tick's changes,
//! consolidated: a row that came and went in one tick is not among them.
//! Left out: who reads.

mod pages;
mod worker;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
pub(crate) use worker::MaterializeWorker;

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
