//! Removal of data files that nothing can need.
//!
//! Guarantees: see `docs/formats/lake.md`; in doubt a file stays.
//! Left out: empty folders; they cost nothing and may be written to again.

use crate::table::LastRuns;
use crate::{LakeError, LakeTable, names};
use deltalake::kernel::EagerSnapshot;
use deltalake::table::state::DeltaTableState;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use std::collections::{BTreeMap, BTreeSet};

/// Files one run removes, so that it ends soon.
const VACUUM_FILES_MAX: usize = 10_000;
/// A look lists the whole table: a file stays up to a 24th longer than its retention.
const RUNS_PER_RETENTION: i64 = 24;
const MS_PER_HOUR: i64 = 3_600_000;

impl LakeTable {
    /// Returns how many files were removed.
    pub(super) async fn vacuum_if_due(&self, last: &mut LastRuns) -> Result<usize, LakeError> {
        let now_ms = self.clock().now_ms();
        let retention_ms = self.settings().vacuum_retention_hours as i64 * MS_PER_HOUR;
        let next_ms = last.vacuumed_at_ms.map(|at_ms| at_ms + retention_ms / RUNS_PER_RETENTION);
        // A clock that jumped back does not put vacuum off.
        if next_ms.is_some_and(|next_ms| now_ms < next_ms) && last.vacuumed_at_ms <= Some(now_ms) {
            return Ok(0);
        }
        let removed = self.vacuum(now_ms - retention_ms).await?;
        last.vacuumed_at_ms = Some(now_ms);
        Ok(removed)
    }

    async fn vacuum(&self, cutoff_ms: i64) -> Result<usize, LakeError> {
        // Asked before the listing: a batch that is not among them is committed, given up, or
        // begun so lately that its files are young.
        let staging = self.batches().lock().clone();
        // Listed before the snapshot is read: a file that is committed meanwhile is in it.
        let folder = self.folder();
        let listed = self.store().blocking(move |store| store.list_now(&folder)).await;
        let mut old = listed.map_err(|error| self.store_error(error))?;
        let is_staging = |object: &ObjectMeta| {
            let batch = object.location.filename().and_then(names::inserted_by);
            batch.is_some_and(|batch| staging.contains(batch))
        };
        old.retain(|object| is_data(&object.location) && age_ms(object) < cutoff_ms);
        old.retain(|object| !is_staging(object));
        if old.is_empty() {
            return Ok(0);
        }
        // Epochs are looked up before the snapshot for the same reason: what is committed by now
        // is in it, what is committed later counts as staged.
        let mut doomed = self.without_staged(old).await?;
        let keep = self.kept(cutoff_ms).await?;
        doomed.retain(|object| !keep.contains(&object.location));
        doomed.truncate(VACUUM_FILES_MAX);
        let count = doomed.len();
        let remove = move |store: &crate::store::DiskStore| {
            for object in &doomed {
                match store.delete_now(&object.location) {
                    Err(object_store::Error::NotFound { .. }) => {}
                    other => other?,
                }
            }
            Ok(())
        };
        self.store().blocking(remove).await.map_err(|error| self.store_error(error))?;
        Ok(count)
    }

    /// Files of every version that may be read, and those removed too lately.
    async fn kept(&self, cutoff_ms: i64) -> Result<BTreeSet<Path>, LakeError> {
        let mut keep = BTreeSet::new();
        for version in self.live_versions() {
            self.keep_active(&version.snapshot, &mut keep);
        }
        let newest = EagerSnapshot::try_new(self.log_store().as_ref(), None)
            .await
            .map_err(LakeError::delta(self.name()))?;
        self.keep_active(&newest, &mut keep);
        let state = DeltaTableState::new(newest);
        let mut removed = state.all_tombstones(self.log_store().as_ref());
        while let Some(tombstone) =
            removed.try_next().await.map_err(LakeError::delta(self.name()))?
        {
            if tombstone.deletion_timestamp().is_none_or(|at_ms| at_ms >= cutoff_ms) {
                keep.insert(self.location(&tombstone.path()));
            }
        }
        Ok(keep)
    }

    fn keep_active(&self, snapshot: &EagerSnapshot, keep: &mut BTreeSet<Path>) {
        keep.extend(snapshot.log_data().iter().map(|file| self.location(&file.path())));
    }

    /// Leaves out files that a manifest may name: those of epochs the table has not reached.
    async fn without_staged(&self, old: Vec<ObjectMeta>) -> Result<Vec<ObjectMeta>, LakeError> {
        let mut commits = self.commits.lock().await;
        let mut reached = BTreeMap::new();
        let mut doomed = Vec::new();
        for object in old {
            if let Some(staged) = object.location.filename().and_then(names::parse_staged) {
                if !reached.contains_key(&staged.writer) {
                    let epoch = self.last_epoch(&mut commits, &staged.writer).await?;
                    reached.insert(staged.writer.clone(), epoch);
                }
                if reached.get(&staged.writer).is_none_or(|epoch| staged.epoch > *epoch) {
                    continue;
                }
            }
            doomed.push(object);
        }
        Ok(doomed)
    }
}

/// The log and its checkpoints are not data.
fn is_data(location: &Path) -> bool {
    let hidden = |part: &str| part.starts_with('_') || part.starts_with('.');
    location.filename().is_some_and(|name| name.ends_with(".parquet"))
        && !location.parts().skip(1).any(|part| hidden(part.as_ref()))
}

/// When a file was begun: ours say so by our clock, others by the disk's.
fn age_ms(object: &ObjectMeta) -> i64 {
    let stamp = object.location.filename().and_then(names::stamp_us);
    stamp.map_or_else(|| object.last_modified.timestamp_millis(), |us| us / 1_000)
}
