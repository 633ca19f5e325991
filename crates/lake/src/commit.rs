//! Making staged files part of the table, once.
//!
//! Guarantees: an epoch of a writer is in the table's log exactly once, whatever fails in between;
//! the log entry is durable before a commit returns; readers change over in one step.
//! Left out: writing the files, which `stage` has done.

use crate::LakeError;
use crate::table::{Commits, LakeTable};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::kernel::{Action, Add, EagerSnapshot, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use tradewind_types::{Epoch, Staged};

/// Attempts against commits of other processes; ours queue up behind one lock.
const COMMIT_RETRIES_MAX: usize = 15;
const WORK_FORMAT_VERSION: u32 = 1;

/// What a manifest keeps of an epoch (`docs/formats/lake.md`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    format_version: u32,
    pub(crate) writer: String,
    /// The writer's last epoch before this one that had files.
    pub(crate) previous: Epoch,
    pub(crate) files: Vec<Add>,
}

impl Work {
    pub(crate) fn new(writer: &str, previous: Epoch, files: Vec<Add>) -> Self {
        Self { format_version: WORK_FORMAT_VERSION, writer: writer.to_owned(), previous, files }
    }

    /// Reads what a manifest kept, which must be this table's and this writer's.
    pub(crate) fn read(table: &str, writer: &str, staged: &Staged) -> Result<Self, LakeError> {
        let refused = |reason: String| LakeError::OutOfStep { table: table.to_owned(), reason };
        let version = staged.work.get("format_version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(WORK_FORMAT_VERSION)) {
            let version = version.map_or("none".to_owned(), |version| version.to_string());
            return Err(refused(format!(
                "staged work of epoch {} has format_version {version}, this version reads {WORK_FORMAT_VERSION}",
                staged.epoch
            )));
        }
        let work: Self = serde_json::from_value(staged.work.clone()).map_err(|error| {
            refused(format!("staged work of epoch {} does not read: {error}", staged.epoch))
        })?;
        if staged.table != table || work.writer != writer {
            return Err(refused(format!(
                "epoch {} was staged for table {:?} by {:?}, not by {writer:?}",
                staged.epoch, staged.table, work.writer
            )));
        }
        Ok(work)
    }
}

impl LakeTable {
    /// Commits an epoch unless the table has it, and takes it out of the tail.
    pub(crate) async fn commit_epoch(&self, epoch: Epoch, work: &Work) -> Result<(), LakeError> {
        if work.files.is_empty() {
            return Ok(());
        }
        let mut commits = self.commits.lock().await;
        let result = self.commit_locked(&mut commits, epoch, work).await;
        match &result {
            Ok(()) => self.commit_succeeded(),
            Err(error) => {
                metrics::counter!("tradewind_lake_commit_errors_total", "table" => self.name().to_owned()).increment(1);
                self.commit_failed(error);
            }
        }
        result
    }

    pub(crate) async fn commit_locked(
        &self,
        commits: &mut Commits,
        epoch: Epoch,
        work: &Work,
    ) -> Result<(), LakeError> {
        let there = self.last_epoch(commits, &work.writer).await?;
        if there >= epoch {
            // It may be there without being durable: a commit whose last sync failed.
            self.sync_log().await?;
            self.with_tail(|tail| tail.committed(&work.writer, there));
            return Ok(());
        }
        self.check_previous(there, work)?;
        self.check_staged(&work.files).await?;
        let actions = work.files.iter().cloned().map(Action::Add).collect();
        let txn = Transaction::new_with_last_update(
            &work.writer,
            epoch as i64,
            Some(self.clock().now_ms()),
        );
        let snapshot = self.write_commit(commits, actions, self.append(), vec![txn]).await?;
        commits.epochs.insert(work.writer.clone(), epoch);
        self.publish(snapshot, |tail| tail.committed(&work.writer, epoch));
        commits.unsure = false;
        self.count_commit(&work.files);
        Ok(())
    }

    /// The writer's epoch before this one must be there.
    fn check_previous(&self, there: Epoch, work: &Work) -> Result<(), LakeError> {
        if there >= work.previous {
            return Ok(());
        }
        Err(LakeError::OutOfStep {
            table: self.name().to_owned(),
            reason: format!(
                "it holds epoch {there} of {:?}, the pipeline has committed epoch {}: the lake folder is older than the pipeline's manifest; restore both from one backup",
                work.writer, work.previous
            ),
        })
    }

    /// What the table's history says of an epoch's commit.
    pub(crate) fn append(&self) -> DeltaOperation {
        let columns = self.partition_columns();
        DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: (!columns.is_empty()).then(|| columns.to_vec()),
            predicate: None,
        }
    }

    pub(crate) fn count_commit(&self, files: &[Add]) {
        let labels = [("table", self.name().to_owned())];
        metrics::counter!("tradewind_lake_commits_total", &labels).increment(1);
        metrics::counter!("tradewind_lake_files_total", &labels).increment(files.len() as u64);
        let bytes = files.iter().map(|file| file.size.unsigned_abs()).sum();
        metrics::counter!("tradewind_lake_file_bytes_total", &labels).increment(bytes);
    }

    /// Writes one entry of the table's log and returns the snapshot with it. Leaves
    /// `commits.unsure` set: the caller clears it when readers have the snapshot.
    pub(crate) async fn write_commit(
        &self,
        commits: &mut Commits,
        actions: Vec<Action>,
        operation: DeltaOperation,
        txns: Vec<Transaction>,
    ) -> Result<EagerSnapshot, LakeError> {
        self.check_not_dropped()?;
        let base = self.published();
        // From here on the entry may be there although we were told it is not, or never asked
        // again because the caller went away.
        commits.unsure = true;
        let properties = CommitProperties::default()
            .with_max_retries(COMMIT_RETRIES_MAX)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(txns);
        let finalized = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(
                Some(base.snapshot.as_ref() as &dyn TableReference),
                self.log_store().clone(),
                operation,
            )
            .await
            .map_err(LakeError::delta(self.name()))?;
        Ok(finalized.snapshot.snapshot().clone())
    }

    /// The last epoch of `writer` in the table, 0 for none. Looks again after a commit that may
    /// or may not have been made.
    pub(crate) async fn last_epoch(
        &self,
        commits: &mut Commits,
        writer: &str,
    ) -> Result<Epoch, LakeError> {
        if commits.unsure {
            self.refresh(commits).await?;
        }
        if let Some(epoch) = commits.epochs.get(writer) {
            return Ok(*epoch);
        }
        let snapshot = self.published().snapshot.clone();
        let epoch = self.transaction(&snapshot, writer).await?;
        commits.epochs.insert(writer.to_owned(), epoch);
        Ok(epoch)
    }

    pub(crate) async fn transaction(
        &self,
        snapshot: &EagerSnapshot,
        writer: &str,
    ) -> Result<Epoch, LakeError> {
        let version = snapshot.transaction_version(self.log_store().as_ref(), writer).await;
        let version = version.map_err(LakeError::delta(self.name()))?;
        Ok(version.unwrap_or_default().unsigned_abs())
    }

    /// Reads the table's log anew, and takes out of the tail whatever turns out to be committed.
    pub(crate) async fn refresh(&self, commits: &mut Commits) -> Result<(), LakeError> {
        let snapshot = EagerSnapshot::try_new(self.log_store().as_ref(), None)
            .await
            .map_err(LakeError::delta(self.name()))?;
        let mut epochs = Vec::new();
        for writer in self.tail(|tail| tail.staged_writers()) {
            let epoch = self.transaction(&snapshot, &writer).await?;
            epochs.push((writer, epoch));
        }
        commits.epochs.clear();
        commits.epochs.extend(epochs.iter().cloned());
        self.publish(snapshot, |tail| {
            for (writer, epoch) in &epochs {
                tail.committed(writer, *epoch);
            }
        });
        commits.unsure = false;
        Ok(())
    }

    pub(crate) async fn sync_log(&self) -> Result<(), LakeError> {
        let log = self.location("_delta_log");
        let synced = self.store().blocking(move |store| store.sync_folder(&log)).await;
        synced.map_err(|error| self.store_error(error))
    }

    /// The files are what the manifest says: the last look before they become rows.
    pub(crate) async fn check_staged(&self, files: &[Add]) -> Result<(), LakeError> {
        for file in files {
            let found = self.store().head(&self.location(&file.path)).await;
            let wrong = match found {
                Ok(meta) if meta.size == file.size.unsigned_abs() => continue,
                Ok(meta) => format!("has {} bytes, the manifest says {}", meta.size, file.size),
                Err(object_store::Error::NotFound { .. }) => "is missing".to_owned(),
                Err(error) => return Err(self.store_error(error)),
            };
            return Err(LakeError::StagedFile {
                table: self.name().to_owned(),
                file: file.path.clone(),
                reason: wrong,
            });
        }
        Ok(())
    }
}
