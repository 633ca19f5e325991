//! The manifest: which runs make up a partition's state, and up to which offset they speak.
//!
//! Guarantees: replaced atomically; a newer format is refused; a damaged one is told apart from a
//! missing one.

use crate::error::CollectError;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use tradewind_disk::Disk;
use tradewind_types::Offset;

/// The version this program writes and reads.
const FORMAT_VERSION: u64 = 1;
const FILE: &str = "manifest.json";

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format_version: u64,
    pub(super) topic_id: String,
    pub(super) next_offset: Offset,
    pub(super) next_sequence: u64,
    pub(super) runs: Vec<RunEntry>,
}

/// A run as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunEntry {
    pub(super) file: String,
    pub(super) hour: i64,
    pub(super) ids: u64,
    /// Its ids are in memory too, and will be in a later run.
    pub(super) open: bool,
}

impl Manifest {
    pub(super) fn new(
        topic_id: &str,
        next_offset: Offset,
        next_sequence: u64,
        runs: Vec<RunEntry>,
    ) -> Self {
        let topic_id = topic_id.to_owned();
        Self { format_version: FORMAT_VERSION, topic_id, next_offset, next_sequence, runs }
    }

    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        disk.write_atomic(&path(dir), &text)
    }

    /// The manifest in `dir`; `None` when there is none or it cannot be understood.
    ///
    /// # Errors
    /// [`CollectError::Newer`], and what the disk says.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, CollectError> {
        let path = path(dir);
        let text = match disk.read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        };
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        match serde_json::from_slice::<Version>(&text) {
            Ok(Version { format_version: found }) if found > FORMAT_VERSION => {
                let path = path.display().to_string();
                Err(CollectError::Newer { path, found, known: FORMAT_VERSION })
            }
            _ => Ok(serde_json::from_slice(&text)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "deduplication manifest is damaged");
                })
                .ok()),
        }
    }

    /// Removes every file of the folder this manifest does not name: what a crash left behind.
    pub(super) fn remove_strangers(&self, disk: &dyn Disk, dir: &Path) -> Result<(), CollectError> {
        let entries = disk.list(dir).map_err(|source| io_error(dir, source))?;
        for entry in entries.into_iter().filter(|entry| !entry.dir) {
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
            if name != FILE && self.runs.iter().all(|run| run.file != name) {
                disk.remove_file(&entry.path).map_err(|source| io_error(&entry.path, source))?;
            }
        }
        Ok(())
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

pub(super) fn io_error(path: &Path, source: io::Error) -> CollectError {
    CollectError::Io { path: path.display().to_string(), source }
}
