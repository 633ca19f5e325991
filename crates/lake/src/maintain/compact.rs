//! Compaction: many small files of a lake partition become one.
//!
//! Guarantees: the same rows, `_partition` and `_offset` with them, in one commit that removes the
//! old files and adds the new; files are read and written one at a time. The library's own
//! optimize is not used: its statistics round instants inwards (see `stats`), and its clock and
//! file names are not ours.
//! Left out: sorting anew. Small files are taken in the order they were committed, so time ranges
//! stay together.

use crate::files::{Encoder, PartitionValues};
use crate::schema::conform;
use crate::table::{LastRuns, Published};
use crate::{LakeError, LakeTable, names};
use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use deltalake::kernel::{Action, Add, EagerSnapshot, Remove};
use deltalake::protocol::DeltaOperation;
use object_store::ObjectStoreExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A small file of the newest version.
#[derive(Debug, Clone)]
struct Small {
    path: String,
    size: u64,
    added_at_ms: i64,
}

/// Files that become one.
#[derive(Debug)]
struct Bin {
    values: PartitionValues,
    files: Vec<Small>,
}

impl LakeTable {
    /// Returns how many files were rewritten, and how many they became.
    pub(super) async fn compact_if_changed(
        self: &Arc<Self>,
        last: &mut LastRuns,
    ) -> Result<(usize, usize), LakeError> {
        let published = self.published();
        if last.compacted_version == Some(published.version()) {
            return Ok((0, 0));
        }
        let done = self.compact(&published).await?;
        last.compacted_version = (done == (0, 0)).then(|| published.version());
        Ok(done)
    }

    async fn compact(self: &Arc<Self>, published: &Published) -> Result<(usize, usize), LakeError> {
        let bins = self.bins(&published.snapshot);
        let (mut actions, mut removed, mut added) = (Vec::new(), 0, 0);
        let stamp_us = self.clock().now_us().max(0);
        for (number, bin) in bins.iter().enumerate() {
            let add = self.rewrite_bin(bin, &names::compacted(number, stamp_us)).await?;
            actions.extend(bin.files.iter().map(|file| Action::Remove(self.remove(bin, file))));
            removed += bin.files.len();
            added += 1;
            actions.push(Action::Add(add));
        }
        if actions.is_empty() {
            return Ok((0, 0));
        }
        self.commit_compaction(&bins, actions).await?;
        Ok((removed, added))
    }

    fn bins(&self, snapshot: &EagerSnapshot) -> Vec<Bin> {
        let mut partitions: BTreeMap<PartitionValues, Vec<Small>> = BTreeMap::new();
        for file in snapshot.log_data().iter() {
            let size = file.size().unsigned_abs();
            // A file with a deletion vector is another program's business.
            if size >= self.settings().target_file_bytes / 2
                || file.deletion_vector_descriptor().is_some()
            {
                continue;
            }
            let by_name = file.partition_values_map();
            let values = self.partition_columns().iter();
            let values = values.map(|name| by_name.get(name).cloned().flatten()).collect();
            let path = file.path().into_owned();
            let small = Small { path, size, added_at_ms: file.modification_time() };
            partitions.entry(values).or_default().push(small);
        }
        self.fill_bins(partitions)
    }

    fn fill_bins(&self, partitions: BTreeMap<PartitionValues, Vec<Small>>) -> Vec<Bin> {
        let settings = self.settings();
        let mut left = settings.compact_bytes_max;
        let mut bins = Vec::new();
        for (values, mut files) in partitions {
            if files.len() < settings.compact_files_min.max(2) {
                continue;
            }
            files.sort_by(|a, b| (a.added_at_ms, &a.path).cmp(&(b.added_at_ms, &b.path)));
            let mut bin = Bin { values, files: Vec::new() };
            let mut bytes = 0;
            for file in files {
                if file.size > left || bytes + file.size > settings.target_file_bytes {
                    break;
                }
                bytes += file.size;
                left -= file.size;
                bin.files.push(file);
            }
            if bin.files.len() > 1 {
                bins.push(bin);
            }
        }
        bins
    }

    async fn rewrite_bin(self: &Arc<Self>, bin: &Bin, file_name: &str) -> Result<Add, LakeError> {
        let failed = || LakeError::engine::<ParquetError>(self.name());
        let mut encoder =
            Encoder::new(self.file_schema().clone(), bin.values.clone()).map_err(failed())?;
        for file in &bin.files {
            let found = self.store().get(&self.location(&file.path)).await;
            let bytes = match found {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let bytes = bytes.map_err(|error| self.store_error(error))?;
            let table = self.clone();
            let copied = self.store().blocking(move |_| Ok(table.copy_rows(bytes, encoder))).await;
            encoder = copied.map_err(|error| self.store_error(error))??;
        }
        let encoded = encoder.finish().map_err(failed())?;
        self.put_file(encoded, file_name, false).await
    }

    fn copy_rows(&self, bytes: Bytes, mut encoder: Encoder) -> Result<Encoder, LakeError> {
        let failed = || LakeError::engine::<ParquetError>(self.name());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed())?;
        for batch in builder.build().map_err(failed())? {
            let batch = batch.map_err(LakeError::engine(self.name()))?;
            let batch = conform(self.name(), self.file_schema(), &batch)?;
            encoder.write(&batch).map_err(failed())?;
        }
        Ok(encoder)
    }

    fn remove(&self, bin: &Bin, file: &Small) -> Remove {
        let values = self.partition_columns().iter().cloned().zip(bin.values.iter().cloned());
        Remove {
            path: file.path.clone(),
            data_change: false,
            deletion_timestamp: Some(self.clock().now_ms()),
            extended_file_metadata: Some(true),
            partition_values: Some(values.collect()),
            size: Some(file.size as i64),
            ..Remove::default()
        }
    }

    async fn commit_compaction(&self, bins: &[Bin], actions: Vec<Action>) -> Result<(), LakeError> {
        let mut commits = self.commits.lock().await;
        if commits.unsure {
            self.refresh(&mut commits).await?;
        }
        let active = self.published();
        let active: BTreeSet<_> =
            active.snapshot.log_data().iter().map(|file| file.path().into_owned()).collect();
        if bins.iter().flat_map(|bin| &bin.files).any(|file| !active.contains(&file.path)) {
            // Another program rewrote the table meanwhile; the next round starts from its files.
            tracing::info!(table = self.name(), "compaction given up: its files were removed");
            return Ok(());
        }
        let target_size = self.settings().target_file_bytes as i64;
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        let snapshot = self.write_commit(&mut commits, actions, operation, Vec::new()).await?;
        self.publish(snapshot, |_| {});
        commits.unsure = false;
        Ok(())
    }
}
