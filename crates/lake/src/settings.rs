//! What a lake may use and how often it cleans up.
//!
//! Guarantees: every bound has a default with its reason.
//! Left out: reading configuration files; the binary fills this in.

/// Bounds and intervals of a lake. Sizes in bytes.
#[derive(Debug, Clone)]
pub struct LakeSettings {
    /// Rows of one table that may wait for a commit, in memory.
    /// Four epochs of 64 MB: commits may fail for some minutes before writers are held back.
    pub tail_bytes_max: usize,
    /// The same over all tables of the process.
    pub tail_bytes_max_total: usize,
    /// What compaction makes files of. Large enough to scan well, small enough to rewrite in
    /// memory.
    pub target_file_bytes: u64,
    /// Small files of one lake partition that are worth a compaction.
    pub compact_files_min: usize,
    /// Bytes one compaction run of a table reads, so that it ends soon.
    pub compact_bytes_max: u64,
    /// Commits between two checkpoints of a table's log: what opening a table may have to replay.
    pub checkpoint_commits: u64,
    /// How long removed and unknown files stay, hours: the longest query or foreign reader.
    pub vacuum_retention_hours: u64,
    /// How long commit files stay behind a checkpoint, hours: how far one can travel in time.
    pub log_retention_hours: u64,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            tail_bytes_max: 256 << 20,
            tail_bytes_max_total: 512 << 20,
            target_file_bytes: 64 << 20,
            compact_files_min: 8,
            compact_bytes_max: 512 << 20,
            checkpoint_commits: 20,
            vacuum_retention_hours: 168,
            log_retention_hours: 720,
        }
    }
}
