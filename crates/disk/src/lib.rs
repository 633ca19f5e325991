//! Durable storage as a dependency: the operating system's, and one that loses power.
//!
//! Guarantees: [`Disk`] names exactly the operations whose order decides what survives a crash.
//! [`OsDisk`] maps them to system calls; [`SimDisk`] keeps what was synced apart from what was
//! not, and on a power cut drops the rest: file contents and folder entries alike.
//! Left out: object stores. The lake puts its own adapter on top of this trait.

mod os;
mod sim;

pub use os::OsDisk;
pub use sim::SimDisk;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files and folders, with durability asked for by name.
///
/// What a power cut keeps: the bytes of a file up to its last `sync`, and the entries of a folder
/// (names made, renamed or removed) up to its last `sync_dir`. Everything else may be kept, lost
/// or torn.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file for reading and writing; makes it when `create` says so.
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes one folder in a folder that is there; `AlreadyExists` when there is such a name.
    /// Durable after `sync_dir` of its parent.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and its parents, each durable in its parent. One that is there already is
    /// made durable too: a process that was killed may have made it and not come to the sync.
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match self.metadata(path) {
            Ok(there) if there.dir => return sync_found(self.sync_dir(parent)),
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if parent != Path::new(".") {
            self.create_dir_all(parent)?;
        }
        match self.create_dir(path) {
            // Somebody else made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !self.metadata(path)?.dir {
                    return Err(error);
                }
            }
            done => done?,
        }
        self.sync_dir(parent).inspect_err(|_| {
            // The next sync of the parent would only pretend: whoever tries again makes it anew.
            self.remove_dir_all(path).ok();
        })
    }

    /// Makes the folder's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing `to`. Durable after `sync_dir` of both parents.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes `to` another name of `from`; `AlreadyExists` when there is a `to`. The atomic
    /// "create if absent" that a table's log needs.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all in it. Not atomic.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The entries of a folder, in no particular order. `NotFound` when there is no such folder.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// A file's or folder's facts, or `NotFound`.
    fn metadata(&self, path: &Path) -> io::Result<Entry>;

    /// Bytes the file system under `path` has left for us.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;

    /// The whole of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, Create::No)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Puts `bytes` at `path` so that after any crash there is the old content or the new, never
    /// a mixture: write beside it, sync, rename, sync the folder.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".tmp");
        let beside = path.with_file_name(name);
        let file = self.open(&beside, Create::Truncate)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        self.rename(&beside, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }
}

/// The sync of the parent of a folder that was there: where the parent may not be read, or its
/// file system has no such call, it is not one that we make folders in.
fn sync_found(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match synced {
        Err(error) if matches!(error.kind(), PermissionDenied | Unsupported | InvalidInput) => {
            Ok(())
        }
        other => other,
    }
}

/// An open file. Positions are the caller's: no cursor, so readers need no lock.
pub trait DiskFile: Debug + Send + Sync {
    /// Fills `buffer` from `position`; `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// `bytes` bytes from `position`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        self.read_exact_at(&mut buffer, position).map(|()| buffer)
    }

    /// Writes all of `bytes` at `position`.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`). Not its name: see `sync_dir`.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Takes the file for this process alone, for as long as it is open; `WouldBlock` when
    /// another has it.
    fn try_lock(&self) -> io::Result<()>;
}

/// What `open` does about a file that is or is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It must be there.
    No,
    /// Made when it is not there.
    IfMissing,
    /// Made when it is not there, emptied when it is.
    Truncate,
    /// It must not be there.
    New,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The full path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub dir: bool,
    /// Bytes, 0 for a folder.
    pub len: u64,
    /// When its content last changed, milliseconds since the Unix epoch.
    pub modified_ms: i64,
}
