//! The simulated disk with faults that only the lake meets.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tradewind_disk::{Create, Disk, DiskFile, Entry, SimDisk};

/// Syncs the lake asks for that are not made, to show that a run would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    FileSyncs,
    FolderSyncs,
}

/// The lake's disk, over one whose other users meet no faults.
#[derive(Debug)]
pub(crate) struct FaultyDisk {
    inner: Arc<SimDisk>,
    without: Without,
    fail_log_folder_sync: AtomicBool,
}

#[derive(Debug)]
struct FaultyFile(Arc<dyn DiskFile>, Without);

impl FaultyDisk {
    pub(crate) fn new(inner: Arc<SimDisk>, without: Without) -> Self {
        Self { inner, without, fail_log_folder_sync: AtomicBool::new(false) }
    }

    /// The next sync of a folder `_delta_log` fails: its newest name is there, but not for sure.
    pub(crate) fn fail_log_folder_sync(&self) {
        self.fail_log_folder_sync.store(true, Ordering::SeqCst);
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FaultyFile(self.inner.open(path, create)?, self.without)))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let of_log = path.ends_with("_delta_log");
        if of_log && self.fail_log_folder_sync.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("the disk failed"));
        }
        if self.without == Without::FolderSyncs { Ok(()) } else { self.inner.sync_dir(path) }
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.inner.metadata(path)
    }
    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.available_bytes(path)
    }
}

impl DiskFile for FaultyFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        if self.1 == Without::FileSyncs { Ok(()) } else { self.0.sync() }
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock()
    }
}
