//! Temporary tables: a session's own, in memory, gone with it.
//!
//! Guarantees: their rows count against the memory of all queries, and one that does not fit is
//! refused; the session's queries find them before any other table of the name, views never do.
//! Left out: changing their rows. They take further ones, and are dropped.

use crate::error::AnalyzeError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Temporary tables of one session.
const TABLES_MAX: usize = 256;

/// A session's temporary tables, by name.
#[derive(Debug, Default)]
pub(crate) struct Temporaries(Mutex<BTreeMap<String, Arc<Temporary>>>);

/// One of them.
pub(crate) struct Temporary {
    schema: SchemaRef,
    rows: Mutex<Rows>,
}

struct Rows {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl fmt::Debug for Temporary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Temporary({})", self.schema)
    }
}

impl Temporaries {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Temporary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every table's name and columns.
    pub(crate) fn all(&self) -> Vec<(String, SchemaRef)> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = |table: &Temporary| Arc::clone(&table.schema);
        tables.iter().map(|(name, table)| (name.clone(), columns(table))).collect()
    }

    pub(crate) fn insert(&self, name: &str, table: Arc<Temporary>) -> Result<(), AnalyzeError> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.contains_key(name) {
            return Err(AnalyzeError::user(format!("temporary table \"{name}\" exists already")));
        }
        if tables.len() == TABLES_MAX {
            let message = format!("a session has at most {TABLES_MAX} temporary tables");
            return Err(AnalyzeError::user(message).hint("DROP TABLE those you no longer need"));
        }
        tables.insert(name.to_string(), table);
        Ok(())
    }

    /// Returns whether there was one.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.remove(name).is_some()
    }
}

impl Temporary {
    /// An empty table.
    pub(crate) fn new(name: &str, schema: SchemaRef, pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new(format!("temporary table {name}")).register(pool);
        Self { schema, rows: Mutex::new(Rows { batches: Vec::new(), memory }) }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds rows, all of them or none.
    pub(crate) fn add(&self, batches: Vec<RecordBatch>) -> Result<(), AnalyzeError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        rows.memory.try_grow(bytes)?;
        rows.batches.extend(batches);
        Ok(())
    }

    /// The rows as of now.
    pub(crate) fn provider(&self) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        let batches = self.rows.lock().unwrap_or_else(PoisonError::into_inner).batches.clone();
        Ok(Arc::new(MemTable::try_new(Arc::clone(&self.schema), vec![batches])?))
    }
}
