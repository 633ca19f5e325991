//! What one query reads of a table.
//!
//! Guarantees: a `ReadSnapshot` never changes; while it is held, vacuum keeps its files. Every
//! scan of a table under one `ReadSnapshots` reads the same one.
//! Left out: how scans run; see `provider`.

use crate::LakeTable;
use crate::table::Published;
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// A Delta version and the rows beside it that it does not hold.
#[derive(Debug)]
pub struct ReadSnapshot {
    published: Arc<Published>,
    tail: Vec<RecordBatch>,
}

impl ReadSnapshot {
    pub(crate) fn new(published: Arc<Published>, tail: Vec<RecordBatch>) -> Self {
        Self { published, tail }
    }

    /// The Delta version.
    pub fn version(&self) -> u64 {
        self.published.version()
    }

    /// Rows beside it.
    pub fn tail_rows(&self) -> usize {
        self.tail.iter().map(RecordBatch::num_rows).sum()
    }

    /// Batches they are in: what a scan of the tail costs beside the rows.
    pub fn tail_batches(&self) -> usize {
        self.tail.len()
    }

    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    pub(crate) fn tail(&self) -> &[RecordBatch] {
        &self.tail
    }
}

/// The snapshots of one statement, by table: put it into the `SessionConfig` as an extension
/// before the statement is planned, a new one for each execution.
#[derive(Debug, Default)]
pub struct ReadSnapshots(Mutex<HashMap<String, Arc<ReadSnapshot>>>);

impl ReadSnapshots {
    /// The statement's snapshot of `table`, taken now if this is the first scan of it.
    pub fn of(&self, table: &LakeTable) -> Arc<ReadSnapshot> {
        // The store's URL tells tables of one name in two lakes apart.
        let key = format!("{}{}", table.store_url().as_str(), table.name());
        self.0.lock().entry(key).or_insert_with(|| table.read_snapshot()).clone()
    }
}
