//! The data folder: whose it is, which format it has, and that one process has it.
//!
//! Guarantees: nothing is written into a folder that is not empty and not ours, or that another
//! version or another process owns; each refusal is one line that says what to do.
//! Left out: what is in it.

use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::{Create, Disk, DiskFile};

/// The version of the folder's layout that this program reads and writes.
pub const FORMAT_VERSION: u64 = 1;

const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";

/// What `FORMAT` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format_version: u64,
    /// The program that made the folder.
    created_by: String,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Somebody else's files.
    #[error(
        "data folder {dir} is not empty and not Tradewind's: it holds {found:?}; name an empty or a new folder"
    )]
    Foreign {
        /// The folder.
        dir: String,
        /// One of its entries.
        found: String,
    },
    /// No folder at all.
    #[error("data folder {dir} is a file; name a folder")]
    NotAFolder {
        /// The path.
        dir: String,
    },
    /// No such folder, and it may not be made here.
    #[error("data folder {dir} does not exist; `tradewind serve --data-dir {dir}` makes it")]
    Missing {
        /// The folder.
        dir: String,
    },
    /// Made by a later version.
    #[error(
        "data folder {dir} has format {found} and this version reads {FORMAT_VERSION}; use the version of Tradewind that wrote it, or a newer one"
    )]
    Newer {
        /// The folder.
        dir: String,
        /// Its format.
        found: u64,
    },
    /// Made by a version before the oldest that can be read.
    #[error(
        "data folder {dir} has format {found}, too old for this version, which reads {FORMAT_VERSION}; open it with the version of Tradewind that wrote it and replay its log into a new folder"
    )]
    Older {
        /// The folder.
        dir: String,
        /// Its format.
        found: u64,
    },
    /// `FORMAT` cannot be read.
    #[error(
        "{file} is damaged ({reason}); restore it from a backup, `tradewind doctor {dir}` says what else is wrong"
    )]
    Damaged {
        /// The folder.
        dir: String,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "data folder {dir} is in use by another process{owner}; stop it, or name another folder"
    )]
    InUse {
        /// The folder.
        dir: String,
        /// ` (process 123)` where that is known.
        owner: String,
    },
    /// It cannot be written.
    #[error(
        "data folder {dir} cannot be written: {reason}; let this user write to it, or name another folder"
    )]
    ReadOnly {
        /// The folder.
        dir: String,
        /// What the operating system said.
        reason: String,
    },
    /// No room.
    #[error("the disk of data folder {dir} is full; make room, or name a folder on another disk")]
    Full {
        /// The folder.
        dir: String,
    },
    /// Anything else the disk says.
    #[error("data folder {dir}: {source}")]
    Io {
        /// The folder.
        dir: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A folder that this process has for itself.
#[derive(Debug)]
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// Held until dropped.
    _lock: Arc<dyn DiskFile>,
}

/// What to do about a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// Make it.
    Make,
    /// Refuse.
    Refuse,
}

impl DataDir {
    /// Takes a folder for this process; makes it when it is not there and that is allowed.
    ///
    /// # Errors
    /// See [`DataDirError`]; nothing was written then but, at most, an empty folder or lock file.
    pub fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        missing: IfMissing,
    ) -> Result<Self, DataDirError> {
        let ours = inspect(disk.as_ref(), path)?;
        if ours == Found::Nothing && missing == IfMissing::Refuse {
            return Err(DataDirError::Missing { dir: shown(path) });
        }
        let fail = |error| failure(path, error);
        disk.create_dir_all(path).map_err(fail)?;
        let lock = take_lock(disk.as_ref(), path)?;
        if ours != Found::Ours {
            let format = Format {
                format_version: FORMAT_VERSION,
                created_by: format!("tradewind {}", env!("CARGO_PKG_VERSION")),
            };
            let text = serde_json::to_vec(&format).expect("a number and a text");
            disk.write_atomic(&path.join(FORMAT_FILE), &text).map_err(fail)?;
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty folder.
    Nothing,
    /// A folder of this program's format.
    Ours,
}

/// Looks at a folder without changing it.
///
/// # Errors
/// It is somebody else's, of another format, or cannot be read.
pub fn inspect(disk: &dyn Disk, path: &Path) -> Result<Found, DataDirError> {
    match disk.metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failure(path, error)),
        Ok(entry) if !entry.dir => return Err(DataDirError::NotAFolder { dir: shown(path) }),
        Ok(_) => {}
    }
    let file = path.join(FORMAT_FILE);
    let text = match disk.read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return unmarked(disk, path),
        Err(error) => return Err(failure(path, error)),
    };
    let format: Format = serde_json::from_slice(&text).map_err(|error| DataDirError::Damaged {
        dir: shown(path),
        file: shown(&file),
        reason: error.to_string(),
    })?;
    let dir = shown(path);
    match format.format_version {
        FORMAT_VERSION => Ok(Found::Ours),
        found if found > FORMAT_VERSION => Err(DataDirError::Newer { dir, found }),
        found => Err(DataDirError::Older { dir, found }),
    }
}

/// A folder without `FORMAT` is new when it holds nothing but what an interrupted start leaves.
fn unmarked(disk: &dyn Disk, path: &Path) -> Result<Found, DataDirError> {
    let entries = disk.list(path).map_err(|error| failure(path, error))?;
    let mut names: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| ![LOCK_FILE, "FORMAT.tmp", "lost+found"].contains(&name.as_str()))
        .collect();
    names.sort();
    match names.into_iter().next() {
        None => Ok(Found::Nothing),
        Some(found) => Err(DataDirError::Foreign { dir: shown(path), found }),
    }
}

fn take_lock(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, DataDirError> {
    let file = path.join(LOCK_FILE);
    let lock = disk.open(&file, Create::IfMissing).map_err(|error| failure(path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let owner = disk.read(&file).ok().and_then(|text| String::from_utf8(text).ok());
            let owner = owner.filter(|text| !text.is_empty());
            let owner = owner.map_or_else(String::new, |id| format!(" (process {id})"));
            return Err(DataDirError::InUse { dir: shown(path), owner });
        }
        Err(error) => return Err(failure(path, error)),
    }
    let id = std::process::id().to_string();
    let noted = lock.set_len(0).and_then(|()| lock.write_all_at(id.as_bytes(), 0));
    noted.map_err(|error| failure(path, error))?;
    Ok(lock)
}

fn failure(path: &Path, error: io::Error) -> DataDirError {
    let dir = shown(path);
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            DataDirError::ReadOnly { dir, reason: plain(&error) }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataDirError::Full { dir },
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => DataDirError::NotAFolder { dir },
        _ => DataDirError::Io { dir, source: error },
    }
}

/// An error of the operating system in its own words, lowercase and without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tradewind_disk::OsDisk;

    fn open(path: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open(&(Arc::new(OsDisk) as Arc<dyn Disk>), path, IfMissing::Make)
    }

    #[test]
    fn a_folder_is_made_kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/data");
        drop(open(&path).unwrap());
        drop(open(&path).unwrap());
        let missing = folder.path().join("missing");
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let refused = DataDir::open(&disk, &missing, IfMissing::Refuse);
        assert!(matches!(refused, Err(DataDirError::Missing { .. })));
        assert!(!missing.exists());
    }

    #[test]
    fn foreign_and_other_formats_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
        assert!(
            matches!(open(folder.path()), Err(DataDirError::Foreign { found, .. }) if found == "thesis.txt")
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        for (text, what) in [
            (r#"{"format_version":2,"created_by":"x"}"#, "newer"),
            (r#"{"format_version":0,"created_by":"x"}"#, "older"),
            ("not json", "damaged"),
        ] {
            std::fs::write(folder.path().join(FORMAT_FILE), text).unwrap();
            let error = open(folder.path()).unwrap_err();
            let found = match error {
                DataDirError::Newer { found: 2, .. } => "newer",
                DataDirError::Older { found: 0, .. } => "older",
                DataDirError::Damaged { .. } => "damaged",
                other => panic!("{other}"),
            };
            assert_eq!(found, what);
        }
    }
}
