//! Statements that take rows out of a table or change them: `DELETE`, `UPDATE`, `TRUNCATE`.
//!
//! Guarantees: the files that hold such rows are written anew without them, and what comes in
//! their place beside them, in one durable commit; rows that stay keep `_partition` and `_offset`.
//! What others add meanwhile is not touched: the statement sees the table as it was when it began.
//! No compaction and no other such statement runs on the table meanwhile.
//! Left out: rows that wait in the tail for a pipeline's commit: a table that has such is refused.

use crate::batch::LakeBatch;
use crate::rows::{DataFile, PlacedRows};
use crate::table::{LastRuns, Published};
use crate::{LakeError, LakeTable};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::catalog::TableProvider;
use deltalake::kernel::Remove;
use deltalake::protocol::DeltaOperation;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::MutexGuard;

/// Rows of a file that go, a bit each.
#[derive(Debug, Default)]
struct Gone {
    bits: Vec<u64>,
    count: u64,
}

impl Gone {
    /// Whether the row was not gone yet.
    fn insert(&mut self, row: usize) -> bool {
        let (word, bit) = (row / 64, 1_u64 << (row % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(new);
        new
    }

    fn contains(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

/// What a rewrite is called in the table's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Delete,
    Update,
}

/// A table that is being rewritten. Nothing is changed before [`Rewrite::commit`].
#[derive(Debug)]
pub struct Rewrite<'t> {
    table: &'t Arc<LakeTable>,
    /// Keeps the version's files from vacuum.
    _base: Arc<Published>,
    files: Arc<Vec<DataFile>>,
    gone: BTreeMap<usize, Gone>,
    batch: LakeBatch,
    verb: Verb,
    _alone: MutexGuard<'t, LastRuns>,
}

impl LakeTable {
    /// Begins to rewrite the table as it is now. Waits for another rewrite to end.
    ///
    /// # Errors
    /// Rows wait for a pipeline's commit; another program has marked rows as deleted.
    pub async fn rewrite(self: &Arc<Self>) -> Result<Rewrite<'_>, LakeError> {
        let alone = self.maintenance.lock().await;
        self.check_not_dropped()?;
        let rows = self.tail(|tail| tail.rows());
        if rows > 0 {
            return Err(LakeError::RowsInFlight { table: self.name().to_owned(), rows });
        }
        let base = self.published();
        let mut files = Vec::new();
        for file in base.snapshot.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                let reason = "another program has marked rows of it as deleted; let that program write the files anew (OPTIMIZE, REORG)";
                return Err(LakeError::schema(self.name(), reason));
            }
            let by_name = file.partition_values_map();
            let values = self.partition_columns().iter();
            let values = values.map(|name| by_name.get(name).cloned().flatten()).collect();
            files.push(DataFile { path: file.path().into_owned(), size: file.size(), values });
        }
        Ok(Rewrite {
            table: self,
            _base: base,
            files: Arc::new(files),
            gone: BTreeMap::new(),
            batch: self.batch(),
            verb: Verb::Delete,
            _alone: alone,
        })
    }
}

impl Rewrite<'_> {
    /// The table's rows with all columns, the hidden ones too, and behind them
    /// [`crate::FILE_COLUMN`] and [`crate::ROW_COLUMN`].
    pub fn rows(&self) -> Arc<dyn TableProvider> {
        Arc::new(PlacedRows::new(self.table, &self.files))
    }

    /// Takes rows out. `places` has [`crate::FILE_COLUMN`] and [`crate::ROW_COLUMN`] as its last
    /// columns. Answers for each whether it was still there.
    pub fn remove(&mut self, places: &RecordBatch) -> BooleanArray {
        let last = places.num_columns();
        let files = places.column(last - 2).as_primitive::<Int32Type>().values();
        let rows = places.column(last - 1).as_primitive::<Int64Type>().values();
        let removed = files.iter().zip(rows).map(|(file, row)| {
            let file = usize::try_from(*file).expect("the numbers are places in a list");
            let row = usize::try_from(*row).expect("the numbers are places in a file");
            Some(self.gone.entry(file).or_default().insert(row))
        });
        removed.collect()
    }

    /// Takes out all rows.
    pub fn remove_all(&mut self) {
        for file in 0..self.files.len() {
            self.gone.entry(file).or_default().count = u64::MAX;
        }
    }

    /// Adds rows in the place of those taken out, with all columns, the hidden ones too.
    ///
    /// # Errors
    /// Rows that are not of the table's schema; the disk's.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        self.verb = Verb::Update;
        self.batch.write_full(rows).await
    }

    /// Makes all of it so.
    ///
    /// # Errors
    /// The table is gone; the disk's. Nothing is changed then, unless the message says that nobody
    /// knows.
    pub async fn commit(mut self) -> Result<(), LakeError> {
        let mut removed = Vec::with_capacity(self.gone.len());
        for (number, gone) in std::mem::take(&mut self.gone) {
            let file = self.files[number].clone();
            if gone.count != u64::MAX {
                self.keep_others(&file, &gone).await?;
            }
            removed.push(self.removed(&file));
        }
        let predicate = None;
        let operation = match self.verb {
            Verb::Delete => DeltaOperation::Delete { predicate },
            Verb::Update => DeltaOperation::Update { predicate },
        };
        self.batch.commit_with(removed, operation).await
    }

    /// Writes the rows of a file that stay.
    async fn keep_others(&mut self, file: &DataFile, gone: &Gone) -> Result<(), LakeError> {
        let mut rows = self.table.read_file(file).await?;
        let mut first = 0;
        while let Some(batch) = rows.next(self.table) {
            let batch = batch?;
            let places = first..first + batch.num_rows();
            first = places.end;
            let stays = BooleanArray::from_iter(places.map(|row| Some(!gone.contains(row))));
            let kept = filter_record_batch(&batch, &stays)
                .map_err(LakeError::engine(self.table.name()))?;
            self.batch.write_full(&kept).await?;
        }
        Ok(())
    }

    fn removed(&self, file: &DataFile) -> Remove {
        let columns = self.table.partition_columns().iter().cloned();
        Remove {
            path: file.path.clone(),
            data_change: true,
            deletion_timestamp: Some(self.table.clock().now_ms()),
            extended_file_metadata: Some(true),
            partition_values: Some(columns.zip(file.values.iter().cloned()).collect()),
            size: Some(file.size),
            ..Remove::default()
        }
    }
}
