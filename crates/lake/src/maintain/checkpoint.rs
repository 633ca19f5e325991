//! Checkpoints of a table's log, and the removal of commit files behind them.
//!
//! Guarantees: a commit file goes only when a checkpoint holds it and its retention is over.
//! Left out: the format, which is Delta's.

use crate::{LakeError, LakeTable};
use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};

const MS_PER_HOUR: i64 = 3_600_000;

impl LakeTable {
    /// Returns whether a checkpoint was written, and how many commit files were removed.
    pub(super) async fn checkpoint_if_due(&self) -> Result<(bool, usize), LakeError> {
        let version = self.published().version();
        let last = self.commits.lock().await.last_checkpoint;
        if version < last + self.settings().checkpoint_commits.max(1) {
            return Ok((false, 0));
        }
        let mut table = DeltaTable::new(self.log_store().clone());
        table.load_version(version).await.map_err(LakeError::delta(self.name()))?;
        create_checkpoint(&table, None).await.map_err(LakeError::delta(self.name()))?;
        let removed = self.clean_log(version).await?;
        let mut commits = self.commits.lock().await;
        commits.last_checkpoint = version;
        // From now on versions build on the checkpoint: the published one may name commit files
        // that are gone, and would gather more with every commit.
        self.refresh(&mut commits).await?;
        Ok((true, removed))
    }

    async fn clean_log(&self, version: u64) -> Result<usize, LakeError> {
        let hours = self.settings().log_retention_hours;
        let cutoff = self.clock().now_ms() - hours as i64 * MS_PER_HOUR;
        cleanup_expired_logs_for(version, self.log_store().as_ref(), cutoff, None)
            .await
            .map_err(LakeError::delta(self.name()))
    }
}
