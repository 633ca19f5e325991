//! The operating system's disk, of which nothing can be changed.
//!
//! Guarantees: every operation that would change something fails, but those that a start does to
//! tidy up: they are left undone and said to be done.
//! Left out: locks, which change nothing that lasts.

use std::io;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, DiskFile, Entry, OsDisk};

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadOnlyDisk;

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "doctor changes nothing")
}

impl Disk for ReadOnlyDisk {
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>> {
        match create {
            Create::No => OsDisk.open(path, Create::No),
            _ => Err(refused()),
        }
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.metadata(path).map(drop)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        OsDisk.list(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        OsDisk.metadata(path)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        OsDisk.available_bytes(path)
    }
}
