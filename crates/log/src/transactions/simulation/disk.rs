//! A disk that leaves out the syncs a flaw is about.

use super::Flaw;
use crate::batch::parse_header;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tradewind_disk::{Create, Disk, DiskFile, Entry, SimDisk};

#[derive(Debug)]
pub(super) struct FlawedDisk {
    disk: Arc<SimDisk>,
    flaw: Flaw,
}

impl FlawedDisk {
    pub(super) fn new(disk: Arc<SimDisk>, flaw: Flaw) -> Self {
        Self { disk, flaw }
    }
}

#[derive(Debug)]
struct FlawedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    flaw: Flaw,
    /// What was written last ends a transaction.
    marker: AtomicBool,
}

impl Disk for FlawedDisk {
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>> {
        let (file, path) = (self.disk.open(path, create)?, path.to_path_buf());
        let marker = AtomicBool::new(false);
        Ok(Arc::new(FlawedFile { file, path, flaw: self.flaw, marker }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.disk.metadata(path)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.available_bytes(path)
    }
}

impl FlawedFile {
    fn left_out(&self) -> bool {
        let is_log = self.path.extension().is_some_and(|extension| extension == "log");
        let of_coordinator = self.path.to_string_lossy().contains(super::super::STATE_TOPIC);
        match self.flaw {
            Flaw::MarkerNotSynced => self.marker.load(Ordering::Relaxed),
            Flaw::DecisionNotSynced => is_log && of_coordinator,
            _ => false,
        }
    }
}

impl DiskFile for FlawedFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let marker = parse_header(bytes).is_ok_and(|header| header.control());
        self.marker.store(marker, Ordering::Relaxed);
        self.file.write_all_at(bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        if self.left_out() { Ok(()) } else { self.file.sync() }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn try_lock(&self) -> io::Result<()> {
        self.file.try_lock()
    }
}
