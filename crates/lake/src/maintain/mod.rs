//! Background work on a table: compaction, checkpoints, cleaning of the log, vacuum.
//!
//! Guarantees: rows never change, and no file goes that a query of this process, a manifest or
//! the newest version needs; one run at a time per table; each run is bounded.
//! Left out: when to run; the binary calls [`LakeTable::maintain_once`] now and then.

mod checkpoint;
mod compact;
mod vacuum;

use crate::{LakeError, LakeTable};
use std::sync::Arc;

/// What a round of background work did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Small files that were rewritten.
    pub compacted_from: usize,
    /// Files they became.
    pub compacted_to: usize,
    /// Whether a checkpoint was written.
    pub checkpoint: bool,
    /// Commit files removed from the table's log.
    pub log_files_removed: usize,
    /// Data files removed.
    pub data_files_removed: usize,
}

impl LakeTable {
    /// One round of everything that is due.
    ///
    /// # Errors
    /// The first that fails; what was done stays done.
    pub async fn maintain_once(self: &Arc<Self>) -> Result<Maintained, LakeError> {
        let mut last = self.maintenance.lock().await;
        let mut done = Maintained::default();
        (done.compacted_from, done.compacted_to) = self.compact_if_changed(&mut last).await?;
        (done.checkpoint, done.log_files_removed) = self.checkpoint_if_due().await?;
        done.data_files_removed = self.vacuum_if_due(&mut last).await?;
        let labels = [("table", self.name().to_owned())];
        let compacted = u64::from(done.compacted_from > 0);
        metrics::counter!("tradewind_lake_compactions_total", &labels).increment(compacted);
        metrics::counter!("tradewind_lake_files_compacted_total", &labels)
            .increment(done.compacted_from as u64);
        metrics::counter!("tradewind_lake_files_vacuumed_total", &labels)
            .increment(done.data_files_removed as u64);
        Ok(done)
    }
}
