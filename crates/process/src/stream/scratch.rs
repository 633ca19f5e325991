//! The scratch files of evicted state. See `docs/formats/state.md`.
//!
//! Guarantees: a file is removed when nobody holds it any more, and whatever an earlier process
//! left is removed at the start.
//! Left out: durability. Nothing is synced: a checkpoint copies what it needs.

use super::frames;
use crate::ProcessError;
use arrow::array::RecordBatch;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tradewind_dataflow::{DataflowError, Extent, Scratch, ScratchFile};
use tradewind_disk::{Create, Disk, OsDisk};

/// Numbers temporary folders.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// What folders of evicted state are called, before their incarnation.
const EVICTED: &str = "evicted-";

/// Makes scratch files in a folder.
#[derive(Debug)]
pub struct DiskScratch(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// It goes with the last of its files.
    is_temporary: bool,
    /// Numbers files.
    next: AtomicU64,
}

#[derive(Debug)]
struct File {
    folder: Arc<Folder>,
    path: PathBuf,
    /// Bytes that were written and are wanted.
    length: AtomicU64,
}

impl DiskScratch {
    /// Scratch files in `dir`, which is emptied: nobody holds any of an earlier one's. It is made
    /// with the first file.
    ///
    /// # Errors
    /// The disk.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, DataflowError> {
        match disk.remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&dir, error)),
            _ => Ok(Self::new(disk, dir, false)),
        }
    }

    /// Scratch files in a folder of the system's for such.
    pub fn temporary() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tradewind-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        Self::new(Arc::new(OsDisk), dir, true)
    }

    fn new(disk: Arc<dyn Disk>, dir: PathBuf, is_temporary: bool) -> Self {
        Self(Arc::new(Folder { disk, dir, is_temporary, next: AtomicU64::new(0) }))
    }
}

/// The folder of an incarnation's evicted state, in its pipeline's. An old incarnation's may be in
/// use while the next one begins.
pub(crate) fn evicted_dir(incarnation: u64) -> String {
    format!("{EVICTED}{incarnation}")
}

/// Removes what earlier processes have evicted, from the folders of all pipelines.
pub(crate) fn sweep(disk: &dyn Disk, pipelines: &Path) -> Result<(), ProcessError> {
    let failed =
        |path: &Path, source| ProcessError::Io { path: path.display().to_string(), source };
    let list = |path: &Path| disk.list(path).map_err(|error| failed(path, error));
    for pipeline in list(pipelines)?.iter().filter(|entry| entry.dir) {
        for entry in list(&pipeline.path)? {
            let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if entry.dir && name.starts_with(EVICTED) {
                disk.remove_dir_all(&entry.path).map_err(|error| failed(&entry.path, error))?;
            }
        }
    }
    Ok(())
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What is left is the system's to clean up.
            let _ = self.disk.remove_dir_all(&self.dir);
        }
    }
}

impl Scratch for DiskScratch {
    fn create(&self) -> Result<Arc<dyn ScratchFile>, DataflowError> {
        let Folder { disk, dir, next, .. } = &*self.0;
        let path = dir.join(format!("{}.rows", next.fetch_add(1, Ordering::Relaxed)));
        let made = match disk.open(&path, Create::New) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.create_dir_all(dir).and_then(|()| disk.open(&path, Create::New))
            }
            made => made,
        };
        made.map_err(|error| failed(&path, error))?;
        Ok(Arc::new(File { folder: self.0.clone(), path, length: AtomicU64::new(0) }))
    }
}

impl ScratchFile for File {
    fn append(&self, batches: &[RecordBatch]) -> Result<Extent, DataflowError> {
        let mut bytes = Vec::new();
        for batch in batches {
            frames::put(&mut bytes, batch)?;
        }
        let start = self.length.load(Ordering::Relaxed);
        let file = self.folder.disk.open(&self.path, Create::No);
        file.and_then(|file| file.write_all_at(&bytes, start))
            .map_err(|error| failed(&self.path, error))?;
        let bytes = bytes.len() as u64;
        self.length.store(start + bytes, Ordering::Relaxed);
        Ok(Extent { start, bytes })
    }

    fn read(&self, extent: Extent) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut bytes = vec![0; extent.bytes as usize];
        let file = self.folder.disk.open(&self.path, Create::No);
        file.and_then(|file| file.read_exact_at(&mut bytes, extent.start))
            .map_err(|error| failed(&self.path, error))?;
        frames::read_all(&bytes).map_err(|reason| {
            failed(&self.path, io::Error::new(io::ErrorKind::InvalidData, reason))
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Its folder is emptied at the next start.
        let _ = self.folder.disk.remove_file(&self.path);
    }
}

fn failed(path: &Path, source: io::Error) -> DataflowError {
    DataflowError::Scratch { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use tradewind_disk::SimDisk;

    fn batch(value: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RecordBatch::try_from_iter([("v", column)]).unwrap()
    }

    #[test]
    fn files_are_read_while_they_are_held_and_then_gone() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        let dir = PathBuf::from("/data/evicted");
        let scratch = DiskScratch::open(disk.clone(), dir.clone()).unwrap();
        assert!(disk.list(&dir).is_err());
        let file = scratch.create().unwrap();
        let first = file.append(&[batch(1), batch(2)]).unwrap();
        let second = file.append(&[batch(3)]).unwrap();
        assert_eq!(file.read(second).unwrap(), [batch(3)]);
        assert_eq!(file.read(first).unwrap(), [batch(1), batch(2)]);
        let other = scratch.create().unwrap();
        drop(file);
        assert_eq!(disk.list(&dir).unwrap().len(), 1);
        std::mem::forget(other);
        drop(DiskScratch::open(disk.clone(), dir.clone()).unwrap());
        assert!(disk.list(&dir).is_err());
    }
}
