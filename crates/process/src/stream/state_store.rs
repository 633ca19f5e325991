//! The files of operators' state. See `docs/formats/state.md`.
//!
//! Guarantees: a file that a manifest names is on disk before the manifest is; one that is not what
//! was written is refused with its name. Files no manifest names are removed.
//! Left out: what the rows mean, which their operator knows.

use super::frames;
use crate::ProcessError;
use crate::blocking::blocking;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_dataflow::StateRows;
use tradewind_disk::{Create, Disk};
use tradewind_types::Epoch;

/// What every file begins with: the format's name and version.
const MAGIC: &[u8; 8] = b"TWSTATE1";
/// Bytes written at once: state that is out of memory passes through as much.
const WRITE_BYTES: usize = 4 << 20;

/// A file of one operator's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Its name in the pipeline's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it holds all state, and nothing before it counts.
    pub full: bool,
}

/// What the manifest says of one operator's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Its id.
    pub operator: String,
    /// What its state looks like: see `Graph::fingerprint`.
    pub fingerprint: String,
    /// To be restored in this order.
    pub files: Vec<StateFile>,
}

/// The state files of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct StateStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl StateStore {
    /// The state files in a pipeline's folder, which is there.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Makes one operator's rows durable. The folder's entry is not: see [`Self::sync`].
    ///
    /// # Errors
    /// The disk; a bug.
    pub(crate) fn write(
        &self,
        epoch: Epoch,
        rows: &StateRows,
        full: bool,
    ) -> Result<StateFile, ProcessError> {
        let name = format!("state-{epoch:020}-{}.arrow", rows.operator);
        let path = self.dir.join(&name);
        let failed = |source| io_error(&path, source);
        // A run that was killed before its manifest may have left one of this name.
        let file = blocking(|| self.disk.open(&path, Create::Truncate)).map_err(failed)?;
        let (mut buffer, mut written) = (MAGIC.to_vec(), 0_u64);
        for piece in &rows.pieces {
            for batch in piece.read()? {
                let bug = |error: ArrowError| ProcessError::Internal(error.to_string());
                frames::put(&mut buffer, &batch).map_err(bug)?;
                if buffer.len() >= WRITE_BYTES {
                    blocking(|| file.write_all_at(&buffer, written)).map_err(failed)?;
                    written += buffer.len() as u64;
                    buffer.clear();
                }
            }
        }
        blocking(|| file.write_all_at(&buffer, written).and_then(|()| file.sync()))
            .map_err(failed)?;
        Ok(StateFile { name, bytes: written + buffer.len() as u64, full })
    }

    /// Makes the folder's entries durable: before the manifest that names the files, for a power
    /// cut may keep its rename and take back what came before.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn sync(&self) -> Result<(), ProcessError> {
        blocking(|| self.disk.sync_dir(&self.dir)).map_err(|source| io_error(&self.dir, source))
    }

    /// Hands out a file's rows, batch by batch.
    ///
    /// # Errors
    /// It is not there, or not what was written; whatever `take` returns.
    pub(crate) fn read(
        &self,
        file: &StateFile,
        mut take: impl FnMut(RecordBatch) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        let path = self.dir.join(&file.name);
        let failed = |source| io_error(&path, source);
        let refused = |reason| ProcessError::Manifest { path: path.display().to_string(), reason };
        let open = blocking(|| self.disk.open(&path, Create::No)).map_err(failed)?;
        let bytes = open.len().map_err(failed)?;
        if bytes != file.bytes {
            let reason = format!("it has {bytes} bytes, its manifest says {}", file.bytes);
            return Err(refused(reason));
        }
        let mut magic = [0; MAGIC.len()];
        let magic_read = blocking(|| open.read_exact_at(&mut magic, 0));
        if magic_read.is_err() || magic != *MAGIC {
            return Err(refused("it is no state file of this version".into()));
        }
        let mut at = MAGIC.len() as u64;
        let mut body = Vec::new();
        while at < bytes {
            let mut head = [0; frames::HEAD_BYTES];
            let behind = at + frames::HEAD_BYTES as u64;
            let ends = || refused("it ends within a frame".into());
            blocking(|| open.read_exact_at(&mut head, at)).map_err(|_| ends())?;
            let head = frames::Head::read(&head).map_err(refused)?;
            if head.length as u64 > bytes - behind {
                return Err(ends());
            }
            body.resize(head.length, 0);
            blocking(|| open.read_exact_at(&mut body, behind)).map_err(failed)?;
            for batch in head.open(&body).map_err(refused)? {
                take(batch)?;
            }
            at = behind + head.length as u64;
        }
        Ok(())
    }

    /// Removes every file that is not named.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn prune(&self, kept: &BTreeSet<String>) -> Result<(), ProcessError> {
        let entries =
            blocking(|| self.disk.list(&self.dir)).map_err(|source| io_error(&self.dir, source))?;
        for entry in entries {
            let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with("state-") || kept.contains(name) {
                continue;
            }
            match blocking(|| self.disk.remove_file(&entry.path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&entry.path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn io_error(path: &Path, source: io::Error) -> ProcessError {
    ProcessError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use tradewind_dataflow::{OperatorId, StatePiece};
    use tradewind_disk::SimDisk;

    #[test]
    fn a_file_reads_back_as_it_was_written_and_no_other_is_taken_for_it() {
        let disk = SimDisk::new(1);
        let dir = PathBuf::from("/data");
        disk.create_dir_all(&dir).unwrap();
        let states = StateStore::new(disk.clone(), dir.clone());
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
        let pieces = vec![StatePiece::Rows(batch.clone()), StatePiece::Rows(batch.slice(1, 1))];
        let rows = StateRows { operator: OperatorId("aggregate-1".into()), pieces };
        let file = states.write(3, &rows, true).unwrap();
        let mut read = Vec::new();
        let mut take = |batch| {
            read.push(batch);
            Ok(())
        };
        states.read(&file, &mut take).unwrap();
        assert_eq!(read, [batch.clone(), batch.slice(1, 1)]);
        let path = dir.join(&file.name);
        let good = disk.read(&path).unwrap();
        for length in 0..good.len() {
            disk.open(&path, Create::Truncate).unwrap().write_all_at(&good[..length], 0).unwrap();
            let cut = StateFile { bytes: length as u64, ..file.clone() };
            assert!(states.read(&file, |_| Ok(())).is_err());
            let whole = length == 8 || states.read(&cut, |_| Ok(())).is_err();
            // Without its last frame it is a file of its own, which its length tells.
            assert!(whole || length > good.len() / 3, "cut at {length}");
        }
    }
}
