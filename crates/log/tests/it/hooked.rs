//! A disk that asks a test before it syncs or writes. The model of the log's contract
//! (`src/simulation`) has it, too.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::{Create, Disk, DiskFile, Entry};

/// What a test does at each call.
pub(crate) trait Hooks: Debug + Send + Sync + 'static {
    /// Whether the file is synced, or only seems to be.
    fn syncs_file(&self, _path: &Path) -> bool {
        true
    }

    /// Whether the folder is synced, or only seems to be.
    fn syncs_folder(&self, _path: &Path) -> bool {
        true
    }

    /// Called before a write.
    fn before_write(&self, _path: &Path, _bytes: &[u8]) {}

    /// Called after a write.
    fn after_write(&self, _path: &Path) {}
}

/// `disk`, with `hooks` asked first.
#[derive(Debug)]
pub(crate) struct Hooked<H> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) hooks: Arc<H>,
}

#[derive(Debug)]
struct HookedFile<H> {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    hooks: Arc<H>,
}

impl<H: Hooks> Disk for Hooked<H> {
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, create)?;
        Ok(Arc::new(HookedFile { file, path: path.to_path_buf(), hooks: self.hooks.clone() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.hooks.syncs_folder(path) { self.disk.sync_dir(path) } else { Ok(()) }
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

impl<H: Hooks> DiskFile for HookedFile<H> {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.hooks.before_write(&self.path, bytes);
        self.file.write_all_at(bytes, position)?;
        self.hooks.after_write(&self.path);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.hooks.syncs_file(&self.path) { self.file.sync() } else { Ok(()) }
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
