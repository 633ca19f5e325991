//! The lake as a [`Sink`]: rows visible at once, durable by epoch.
//!
//! Guarantees: see [`Sink`]. `write` beyond the tail's bound is refused with a transient error and
//! takes nothing in: the caller stages and commits, then writes again. (It does not wait: the
//! caller that waits would be the one whose commit makes room.)
//! Left out: dropping a full tail and reading it back from the log.

use crate::LakeError;
use crate::commit::Work;
use crate::files;
use crate::names;
use crate::schema::conform;
use crate::table::{Commits, LakeTable};
use crate::tail::{batch_bytes, merge};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use deltalake::kernel::Add;
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::connector::Committer;
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// One writer of one table.
#[derive(Debug)]
pub struct LakeSink {
    table: Arc<LakeTable>,
    writer: String,
    /// The last epoch that was staged.
    epoch: Epoch,
    /// The last epoch that had files.
    previous: Epoch,
}

impl LakeSink {
    pub(crate) fn new(table: Arc<LakeTable>, writer: &str) -> Result<Self, LakeError> {
        if !names::writer_allowed(writer) {
            let reason = format!("writer name {writer:?} is empty or too long for a file name");
            return Err(LakeError::schema(table.name(), reason));
        }
        Ok(Self { table, writer: writer.to_owned(), epoch: 0, previous: 0 })
    }

    fn take(&self, batches: Vec<RecordBatch>) -> Result<(), LakeError> {
        let table = &self.table;
        let mut rows = Vec::with_capacity(batches.len());
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            rows.push(conform(table.name(), table.schema(), batch)?);
        }
        let batch = match rows.len() {
            0 => return Ok(()),
            1 => rows.remove(0),
            _ => merge(table.schema(), &rows).map_err(LakeError::engine(table.name()))?,
        };
        let bytes = batch_bytes(&batch);
        table.admit(&self.writer, bytes)?;
        let written = batch.num_rows() as u64;
        table.with_tail(|tail| tail.push(&self.writer, batch, bytes));
        metrics::counter!("tradewind_lake_rows_total", "table" => table.name().to_owned())
            .increment(written);
        self.merge_tail()
    }

    /// Merges outside of the lock; nobody else changes this writer's open epoch.
    fn merge_tail(&self) -> Result<(), LakeError> {
        let due = self.table.tail(|tail| tail.due(&self.writer));
        if due.len() < 2 {
            return Ok(());
        }
        let merged =
            merge(self.table.schema(), &due).map_err(LakeError::engine(self.table.name()))?;
        self.table.with_tail(|tail| tail.replace_last(&self.writer, due.len(), merged));
        Ok(())
    }

    async fn write_epoch(&self, epoch: Epoch) -> Result<(u64, Vec<Add>), LakeError> {
        let table = &self.table;
        let open = table.tail(|tail| tail.open(&self.writer));
        if open.rows() == 0 {
            return Ok((0, Vec::new()));
        }
        let stamp_us = table.clock().now_us().max(0);
        let encoded = files::encode(table, open.batches().cloned().collect()).await?;
        let mut adds = Vec::with_capacity(encoded.len());
        let mut rows = 0;
        for (number, file) in encoded.into_iter().enumerate() {
            rows += file.rows;
            let name = names::staged(&self.writer, epoch, number, stamp_us);
            adds.push(table.put_file(file, &name, true).await?);
        }
        assert_eq!(rows, open.rows(), "every row of the epoch is in one file");
        Ok((rows as u64, adds))
    }

    async fn recover_locked(
        &self,
        commits: &mut Commits,
        last: Option<(Epoch, &Work)>,
    ) -> Result<(), LakeError> {
        let table = &self.table;
        table.refresh(commits).await?;
        let there = table.last_epoch(commits, &self.writer).await?;
        let expected = last.map_or(0, |(epoch, _)| epoch);
        if there > expected {
            return Err(LakeError::OutOfStep {
                table: table.name().to_owned(),
                reason: format!(
                    "it holds epoch {there} of {:?}, the manifest says {expected}: the pipeline's folder is older than the lake; restore both from one backup, or make the pipeline anew",
                    self.writer
                ),
            });
        }
        if let Some((epoch, work)) = last {
            if work.files.is_empty() && there < work.previous {
                // Nothing to commit, and yet the table must not be older than the manifest.
                return self.table.commit_locked(commits, epoch, work).await;
            }
            if !work.files.is_empty() {
                table.commit_locked(commits, epoch, work).await?;
            }
        }
        let named: &[Add] = last.map_or(&[], |(_, work)| &work.files);
        self.remove_orphans(expected, named).await?;
        table.with_tail(|tail| tail.forget(&self.writer));
        commits.recovered.insert(self.writer.clone());
        Ok(())
    }

    /// The writer is gone for good: its rows leave the tail, its staged files the disk.
    pub(crate) async fn forget(&self) -> Result<(), LakeError> {
        let table = &self.table;
        let mut commits = table.commits.lock().await;
        table.refresh(&mut commits).await?;
        let there = table.last_epoch(&mut commits, &self.writer).await?;
        table.with_tail(|tail| tail.forget(&self.writer));
        self.remove_orphans(there + 1, &[]).await
    }

    /// Removes files of this writer, of epochs from `first` on, that are not `named`: those no
    /// commit can have taken in.
    async fn remove_orphans(&self, first: Epoch, named: &[Add]) -> Result<(), LakeError> {
        let table = &self.table;
        let named: BTreeSet<_> = named.iter().map(|add| table.location(&add.path)).collect();
        let writer = self.writer.clone();
        let folder = table.folder();
        let remove = move |store: &crate::store::DiskStore| {
            for object in store.list_now(&folder)? {
                let name = object.location.filename().and_then(names::parse_staged);
                let orphan = name.is_some_and(|name| name.writer == writer && name.epoch >= first);
                if orphan && !named.contains(&object.location) {
                    tracing::info!(file = %object.location, "removing a staged file no manifest names");
                    store.delete_now(&object.location)?;
                }
            }
            Ok(())
        };
        let removed = table.store().blocking(remove).await;
        removed.map_err(|error| table.store_error(error))
    }

    fn failed(&self) -> impl FnOnce(LakeError) -> SinkError + use<'_> {
        |error| error.into_sink_error(self.table.name())
    }
}

#[async_trait]
impl Sink for LakeSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        self.take(batches).map_err(self.failed())
    }

    fn open_bytes(&self) -> usize {
        self.table.tail(|tail| tail.open_bytes(&self.writer))
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        if epoch <= self.epoch {
            let reason = format!("epoch {epoch} comes after epoch {}", self.epoch);
            let error = LakeError::OutOfStep { table: self.table.name().to_owned(), reason };
            return Err(error.into_sink_error(self.table.name()));
        }
        let (rows, files) = self.write_epoch(epoch).await.map_err(self.failed())?;
        let with_files = !files.is_empty();
        let work = Work::new(&self.writer, self.previous, files);
        let work = serde_json::to_value(work).map_err(|error| SinkError::Permanent {
            table: self.table.name().to_owned(),
            reason: format!("staged work does not serialize: {error}"),
        })?;
        self.table.with_tail(|tail| tail.stage(&self.writer, epoch));
        self.epoch = epoch;
        if with_files {
            self.previous = epoch;
        }
        Ok(Staged { table: self.table.name().to_owned(), epoch, rows, work })
    }

    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        commit(&self.table, &self.writer, staged).await
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        let (table, writer) = (self.table.clone(), self.writer.clone());
        Some(Box::new(LakeCommitter { table, writer }))
    }

    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError> {
        let work = match last {
            None => None,
            Some(staged) => {
                let work = Work::read(self.table.name(), &self.writer, staged);
                Some((staged.epoch, work.map_err(self.failed())?))
            }
        };
        let last = work.as_ref().map(|(epoch, work)| (*epoch, work));
        let table = self.table.clone();
        let mut commits = table.commits.lock().await;
        let recovered = self.recover_locked(&mut commits, last).await;
        recovered.map_err(self.failed())?;
        self.epoch = last.map_or(0, |(epoch, _)| epoch);
        self.previous = last.map_or(
            0,
            |(epoch, work)| {
                if work.files.is_empty() { work.previous } else { epoch }
            },
        );
        Ok(())
    }
}

/// Commits a writer's epochs while its sink takes rows in: all they share is the table.
struct LakeCommitter {
    table: Arc<LakeTable>,
    writer: String,
}

#[async_trait]
impl Committer for LakeCommitter {
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        commit(&self.table, &self.writer, staged).await
    }
}

async fn commit(table: &LakeTable, writer: &str, staged: &Staged) -> Result<(), SinkError> {
    let failed = |error: LakeError| error.into_sink_error(table.name());
    let work = Work::read(table.name(), writer, staged).map_err(failed)?;
    table.commit_epoch(staged.epoch, &work).await.map_err(failed)
}
