//! A statement's rows on their way into a table: staged file by file, visible in one commit.
//!
//! Guarantees: the files are durable before the one log entry that names them, so that after any
//! failure the table has all rows or none; no more than [`BUFFER_BYTES_MAX`] of rows are in memory.
//! What a statement that fails has staged is removed at once; what a crash leaves is an orphan
//! that vacuum removes when it is old enough.
//! Left out: doing it once. Whoever is not told how a commit ended has to look.

use crate::LakeError;
use crate::files;
use crate::names;
use crate::schema::conform;
use crate::table::{Commits, LakeTable};
use crate::tail::batch_bytes;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::Schema;
use deltalake::kernel::{Action, Add, Remove};
use deltalake::protocol::DeltaOperation;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows of one statement in memory, bytes: half a data file, so that files compress well and a
/// few statements at once stay small.
pub(crate) const BUFFER_BYTES_MAX: usize = 32 << 20;

/// What `_partition` is of rows that come from no record of the log.
const NO_PARTITION: i32 = -1;

/// Rows for one commit. Dropping it without [`LakeBatch::commit`] removes what it has staged.
#[derive(Debug)]
pub struct LakeBatch {
    table: Arc<LakeTable>,
    id: String,
    stamp_us: i64,
    buffer: Vec<RecordBatch>,
    buffered_bytes: usize,
    rows: u64,
    files: Vec<Add>,
    /// The log may name the files by now: they are not ours to remove.
    handed_over: bool,
}

impl LakeTable {
    /// A batch of rows to be.
    pub fn batch(self: &Arc<Self>) -> LakeBatch {
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.batches().lock().insert(id.clone());
        LakeBatch {
            table: Arc::clone(self),
            id,
            stamp_us: self.clock().now_us().max(0),
            buffer: Vec::new(),
            buffered_bytes: 0,
            rows: 0,
            files: Vec::new(),
            handed_over: false,
        }
    }
}

impl LakeBatch {
    /// Takes rows in: the table's visible columns, in their order. Their place in the batch is
    /// their `_offset`, and their `_partition` is -1, which no record has.
    ///
    /// # Errors
    /// Rows that are not of the table's schema; the disk's.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let rows = batch.num_rows();
        let first = i64::try_from(self.rows).unwrap_or(i64::MAX);
        let offsets = (first..).take(rows);
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(Int32Array::from(vec![NO_PARTITION; rows])) as ArrayRef);
        columns.push(Arc::new(Int64Array::from_iter_values(offsets)));
        let schema = self.table.schema();
        let given = batch.schema_ref().fields().iter().cloned();
        let hidden = schema.fields()[schema.fields().len() - 2..].iter().cloned();
        let given = Schema::new(given.chain(hidden).collect::<Vec<_>>());
        let batch = RecordBatch::try_new(Arc::new(given), columns)
            .map_err(|error| LakeError::schema(self.table.name(), error.to_string()))?;
        self.write_full(&batch).await
    }

    /// The same with the hidden columns.
    pub(crate) async fn write_full(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(self.table.name(), self.table.schema(), batch)?;
        self.rows += batch.num_rows() as u64;
        self.buffered_bytes += batch_bytes(&batch);
        self.buffer.push(batch);
        if self.buffered_bytes < BUFFER_BYTES_MAX {
            return Ok(());
        }
        self.stage().await
    }

    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what is in memory to files.
    async fn stage(&mut self) -> Result<(), LakeError> {
        let batches = std::mem::take(&mut self.buffer);
        self.buffered_bytes = 0;
        if batches.is_empty() {
            return Ok(());
        }
        let table = Arc::clone(&self.table);
        for file in files::encode(&table, batches).await? {
            table.check_not_dropped()?;
            let name = names::inserted(&self.id, self.files.len(), self.stamp_us);
            self.files.push(table.put_file(file, &name, true).await?);
        }
        Ok(())
    }

    /// Adds all rows to the table: they are in it, durably, when this returns.
    ///
    /// # Errors
    /// The table is gone; the disk's. The rows are not in the table then, unless the message says
    /// that nobody knows.
    pub async fn commit(self) -> Result<u64, LakeError> {
        let rows = self.rows;
        let operation = self.table.append();
        self.commit_with(Vec::new(), operation).await?;
        Ok(rows)
    }

    /// The same in one commit with the removal of files.
    pub(crate) async fn commit_with(
        mut self,
        removed: Vec<Remove>,
        operation: DeltaOperation,
    ) -> Result<(), LakeError> {
        self.stage().await?;
        if self.files.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let table = Arc::clone(&self.table);
        let mut commits = table.commits.lock().await;
        let result = self.commit_locked(&table, &mut commits, removed, operation).await;
        match &result {
            Ok(()) => table.commit_succeeded(),
            Err(error) => tracing::warn!(table = table.name(), %error, "a batch was not committed"),
        }
        result
    }

    async fn commit_locked(
        &mut self,
        table: &LakeTable,
        commits: &mut Commits,
        removed: Vec<Remove>,
        operation: DeltaOperation,
    ) -> Result<(), LakeError> {
        if commits.unsure {
            table.refresh(commits).await?;
        }
        table.check_active(&removed)?;
        table.check_staged(&self.files).await?;
        let goes = removed.into_iter().map(Action::Remove);
        let actions: Vec<_> = goes.chain(self.files.iter().cloned().map(Action::Add)).collect();
        let gone = first_removed(&actions);
        self.handed_over = true;
        let error = match table.write_commit(commits, actions, operation, Vec::new()).await {
            Ok(snapshot) => {
                table.publish(snapshot, |_| {});
                commits.unsure = false;
                table.count_commit(&self.files);
                return Ok(());
            }
            Err(error) => error,
        };
        self.look(table, commits, gone, error).await
    }

    /// A commit has failed, and its entry may be there all the same: looks.
    async fn look(
        &mut self,
        table: &LakeTable,
        commits: &mut Commits,
        gone: Option<String>,
        error: LakeError,
    ) -> Result<(), LakeError> {
        if table.refresh(commits).await.is_err() {
            let (table, cause) = (table.name().to_owned(), error.to_string());
            return Err(LakeError::Unknown { table, cause });
        }
        let active = table.active_files();
        let there = match (self.files.first(), &gone) {
            (Some(added), _) => active.contains(&added.path),
            (None, Some(path)) => !active.contains(path),
            (None, None) => false,
        };
        if !there {
            self.handed_over = false;
            return Err(error);
        }
        table.sync_log().await
    }
}

impl Drop for LakeBatch {
    fn drop(&mut self) {
        self.table.batches().lock().remove(&self.id);
        if self.handed_over {
            return;
        }
        for file in &self.files {
            // What cannot be removed now is an orphan like those of a crash.
            self.table.store().delete_now(&self.table.location(&file.path)).ok();
        }
    }
}

impl LakeTable {
    /// The data files of the newest version.
    pub(crate) fn active_files(&self) -> BTreeSet<String> {
        let newest = self.published();
        newest.snapshot.log_data().iter().map(|file| file.path().into_owned()).collect()
    }

    /// The files that shall go are still there: nobody else rewrote them meanwhile.
    fn check_active(&self, removed: &[Remove]) -> Result<(), LakeError> {
        self.check_not_dropped()?;
        if removed.is_empty() {
            return Ok(());
        }
        let active = self.active_files();
        match removed.iter().all(|file| active.contains(&file.path)) {
            true => Ok(()),
            false => Err(LakeError::Conflict(self.name().to_owned())),
        }
    }

    /// The table has not been dropped under whoever still holds it.
    pub(crate) fn check_not_dropped(&self) -> Result<(), LakeError> {
        match self.dropped.load(Ordering::Acquire) {
            true => Err(LakeError::NoSuchTable(self.name().to_owned())),
            false => Ok(()),
        }
    }
}

fn first_removed(actions: &[Action]) -> Option<String> {
    actions.iter().find_map(|action| match action {
        Action::Remove(file) => Some(file.path.clone()),
        _ => None,
    })
}
