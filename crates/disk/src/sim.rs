//! A disk in memory that loses power at a chosen operation.
//!
//! Guarantees: a run is decided by its seed and the order of its calls, nothing else. Until the
//! power fails, the disk behaves as the operating system's. When it returns, every file holds its
//! bytes as of its last sync and of what came after some, all, torn pieces or nothing; every
//! folder its names as of its last `sync_dir`, and of what came after each rename, link, creation
//! and removal or not; handles from before are dead. It can also run full, fail a sync (after
//! which later syncs of the same bytes only pretend, as Linux does), and lie about syncs.
//! Left out: bytes that rot while they lie there, and time: nothing takes any.

mod file;
mod folder;
mod journal;

use crate::{Create, Disk, DiskFile, Entry};
use file::FileNode;
use folder::{FolderNode, Node};
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Weak};

/// Bytes free on a new disk: more than any test writes.
const AVAILABLE_BYTES: u64 = 1 << 40;

/// [`Disk`] in memory, for tests that cut the power.
#[derive(Debug)]
pub struct SimDisk {
    /// The one lock: everything below it is locked only while it is held.
    state: Mutex<State>,
    itself: Weak<SimDisk>,
}

#[derive(Debug)]
struct State {
    root: Arc<Mutex<FolderNode>>,
    rng: StdRng,
    /// Mutating operations begun so far.
    operations: u64,
    /// The operation that finds the power gone.
    cut_at: Option<u64>,
    powered: bool,
    /// Power-ons so far; handles of an earlier one are dead.
    generation: u64,
    next_handle: u64,
    available_bytes: u64,
    now_ms: i64,
    fail_sync_of: Option<String>,
    ignore_syncs: bool,
    /// What was done, one line for each mutating operation, if that is wanted.
    record: Option<Vec<String>>,
}

/// What a mutating operation may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// It fails during this operation, which is done in part and then answered with an error.
    FailsNow,
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<SimDisk>,
    node: Arc<Mutex<FileNode>>,
    /// The path it was opened by, for faults aimed at a path.
    path: String,
    handle: u64,
    generation: u64,
}

impl SimDisk {
    /// An empty disk. The same seed and the same calls give the same results.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            state: Mutex::new(State {
                root: Arc::default(),
                rng: StdRng::seed_from_u64(seed),
                operations: 0,
                cut_at: None,
                powered: true,
                generation: 0,
                next_handle: 0,
                available_bytes: AVAILABLE_BYTES,
                now_ms: 0,
                fail_sync_of: None,
                ignore_syncs: false,
                record: None,
            }),
            itself: itself.clone(),
        })
    }

    /// Mutating operations (write, set_len, sync, sync_dir, rename, hard_link, create, remove)
    /// begun so far, failed ones included.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Notes every mutating operation from now on, for [`SimDisk::recorded`].
    pub fn record(&self) {
        self.state.lock().record = Some(Vec::new());
    }

    /// The operations since [`SimDisk::record`], one line each, of writes the place and the number
    /// of bytes: where two runs of one seed part.
    pub fn recorded(&self) -> Vec<String> {
        self.state.lock().record.clone().unwrap_or_default()
    }

    /// Cuts the power during the `operations`th mutating operation from now, which may be half
    /// done; with 0, at once. It and everything after it fails until [`SimDisk::power_on`].
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.state.lock();
        if operations == 0 {
            state.powered = false;
        } else {
            state.cut_at = Some(state.operations + operations);
        }
    }

    /// Whether the power is on.
    pub fn powered(&self) -> bool {
        self.state.lock().powered
    }

    /// Cuts the power if it is still on, then brings it back: decides what has survived. Handles
    /// opened before are dead, their locks released; a cut still to come is called off.
    pub fn power_on(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.generation += 1;
        state.cut_at = None;
        state.powered = true;
        let root = state.root.clone();
        let mut root = root.lock();
        let before = root.used_bytes();
        root.settle(state.generation, &mut state.rng);
        root.each_file(&mut |file| file.lock().links = 0);
        root.each_file(&mut |file| file.lock().links += 1);
        let after = root.used_bytes();
        state.available_bytes = (state.available_bytes + before).saturating_sub(after);
    }

    /// Ends the process that used the disk, as a kill does, and starts the next one: whatever was
    /// written is still there to be read, and whatever was not synced can still be lost. Handles
    /// opened before are dead, their locks released; a cut still to come is called off. Where a
    /// cut made operations fail before, they failed because the process was no more.
    pub fn restart(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.cut_at = None;
        state.powered = true;
        let root = state.root.clone();
        root.lock().each_file(&mut |file| file.lock().locked_by = None);
    }

    /// Leaves room for `bytes` more; a write past that stores what fits and fails with
    /// [`ErrorKind::StorageFull`]. Removing files makes room.
    pub fn set_available_bytes(&self, bytes: u64) {
        self.state.lock().available_bytes = bytes;
    }

    /// What `modified_ms` of files that change from now on says.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.state.lock().now_ms = now_ms;
    }

    /// Lets the next sync fail of a file that was opened by, or a folder that has, a path
    /// containing `path_contains`.
    pub fn fail_next_sync(&self, path_contains: impl Into<String>) {
        self.state.lock().fail_sync_of = Some(path_contains.into());
    }

    /// Whether syncs of files and folders only pretend from now on: a disk that lies, and the way
    /// to show that a test would notice a missing sync.
    pub fn ignore_syncs(&self, ignore: bool) {
        self.state.lock().ignore_syncs = ignore;
    }

    /// The state, if the power is on.
    fn powered_state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.powered { Ok(state) } else { Err(power_is_off()) }
    }

    fn handle(&self, state: &mut State, node: Arc<Mutex<FileNode>>, path: &Path) -> SimFile {
        state.next_handle += 1;
        SimFile {
            disk: self.itself.upgrade().expect("a disk is only ever made inside an Arc"),
            node,
            path: path.to_string_lossy().into_owned(),
            handle: state.next_handle,
            generation: state.generation,
        }
    }
}

impl State {
    /// Counts a mutating operation, and says whether the power fails in its midst.
    fn begin(&mut self, what: impl FnOnce() -> String) -> Power {
        self.operations += 1;
        if let Some(record) = &mut self.record {
            record.push(what());
        }
        if self.cut_at.is_some_and(|cut_at| self.operations >= cut_at) {
            self.powered = false;
            return Power::FailsNow;
        }
        Power::On
    }

    /// A change that is done or not: when power fails, chance decides whether `change` is made
    /// before the error.
    fn all_or_nothing<T>(
        &mut self,
        what: impl FnOnce() -> String,
        change: impl FnOnce(&mut Self) -> T,
    ) -> io::Result<T> {
        match self.begin(what) {
            Power::On => Ok(change(self)),
            Power::FailsNow => {
                if self.rng.random() {
                    change(self);
                }
                Err(power_is_off())
            }
        }
    }

    /// Whether the sync about to happen was told to fail.
    fn sync_fails(&mut self, path: &str) -> bool {
        self.fail_sync_of.take_if(|part| path.contains(part.as_str())).is_some()
    }

    fn folder(&self, path: &Path) -> io::Result<Arc<Mutex<FolderNode>>> {
        let mut folder = self.root.clone();
        for name in names_of(path) {
            let node = folder.lock().names.get(&name).cloned();
            folder = match node {
                Some(Node::Folder(folder)) => folder,
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => return Err(not_found(path)),
            };
        }
        Ok(folder)
    }

    /// The folder a path's last name is in, and that name.
    fn parent(&self, path: &Path) -> io::Result<(Arc<Mutex<FolderNode>>, OsString)> {
        let names = names_of(path);
        let Some((name, above)) = names.split_last() else {
            return Err(ErrorKind::IsADirectory.into());
        };
        let above: PathBuf = above.iter().collect();
        Ok((self.folder(&above)?, name.clone()))
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<FileNode>>> {
        let (folder, name) = self.parent(path)?;
        let node = folder.lock().names.get(&name).cloned();
        match node {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(not_found(path)),
        }
    }

    /// A name of a file is gone; the last one's going makes room.
    fn unlinked(&mut self, node: Option<Node>) {
        if let Some(Node::File(file)) = node {
            let mut file = file.lock();
            file.links -= 1;
            if file.links == 0 {
                self.available_bytes += file.bytes.len() as u64;
            }
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: Create) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.powered_state()?;
        let node = match (state.file(path), create) {
            (Ok(_), Create::New) => return Err(already_exists(path)),
            (Ok(file), Create::Truncate) => {
                let now_ms = state.now_ms;
                state.all_or_nothing(line("truncate", path), |state| {
                    let mut file = file.lock();
                    state.available_bytes += file.bytes.len() as u64;
                    file.set_len(0, now_ms);
                })?;
                file
            }
            (Ok(file), _) => file,
            (Err(error), create) if error.kind() == ErrorKind::NotFound && create != Create::No => {
                let (folder, name) = state.parent(path)?;
                let modified_ms = state.now_ms;
                state.all_or_nothing(line("create", path), |_| {
                    let file = FileNode { modified_ms, links: 1, ..FileNode::default() };
                    let file = Arc::new(Mutex::new(file));
                    folder.lock().change(vec![(name, Some(Node::File(file.clone())))]);
                    file
                })?
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Arc::new(self.handle(&mut state, node, path)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered_state()?;
        let (folder, name) = state.parent(path)?;
        if folder.lock().names.contains_key(&name) {
            return Err(already_exists(path));
        }
        state.all_or_nothing(line("create_dir", path), |_| {
            folder.lock().change(vec![(name, Some(Node::Folder(Arc::default())))]);
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered_state()?;
        let state = &mut *state;
        let folder = state.folder(path)?;
        if state.begin(line("sync_dir", path)) == Power::FailsNow {
            if !state.ignore_syncs {
                folder.lock().journal.sync_in_part(&mut state.rng);
            }
            return Err(power_is_off());
        }
        if state.sync_fails(&path.to_string_lossy()) {
            folder.lock().journal.doom();
            return Err(sync_failed());
        }
        if !state.ignore_syncs {
            folder.lock().journal.sync();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.powered_state()?;
        let (from_folder, from_name) = state.parent(from)?;
        let (to_folder, to_name) = state.parent(to)?;
        let moved = from_folder.lock().names.get(&from_name).cloned();
        let moved = moved.ok_or_else(|| not_found(from))?;
        let replaced = to_folder.lock().names.get(&to_name).cloned();
        match (&moved, &replaced) {
            // Two names of one file: POSIX says that nothing happens.
            (Node::File(a), Some(Node::File(b))) if Arc::ptr_eq(a, b) => return Ok(()),
            (Node::File(_), Some(Node::File(_))) | (_, None) => {}
            _ => return Err(already_exists(to)),
        }
        let what = || format!("rename {} {}", from.display(), to.display());
        state.all_or_nothing(what, |state| {
            if Arc::ptr_eq(&from_folder, &to_folder) {
                from_folder.lock().change(vec![(from_name, None), (to_name, Some(moved))]);
            } else {
                to_folder.lock().change(vec![(to_name, Some(moved))]);
                from_folder.lock().change(vec![(from_name, None)]);
            }
            state.unlinked(replaced);
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.powered_state()?;
        let file = state.file(from)?;
        let (folder, name) = state.parent(to)?;
        if folder.lock().names.contains_key(&name) {
            return Err(already_exists(to));
        }
        let what = || format!("hard_link {} {}", from.display(), to.display());
        state.all_or_nothing(what, |_| {
            file.lock().links += 1;
            folder.lock().change(vec![(name, Some(Node::File(file.clone())))]);
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered_state()?;
        let file = state.file(path)?;
        let (folder, name) = state.parent(path)?;
        state.all_or_nothing(line("remove_file", path), |state| {
            folder.lock().change(vec![(name, None)]);
            state.unlinked(Some(Node::File(file)));
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let children: Vec<OsString> = {
            let state = self.powered_state()?;
            let folder = state.folder(path)?;
            folder.lock().names.keys().cloned().collect()
        };
        for name in children {
            let child = path.join(name);
            match self.remove_file(&child) {
                Err(error) if error.kind() == ErrorKind::IsADirectory => {
                    self.remove_dir_all(&child)?;
                }
                done => done?,
            }
        }
        let mut state = self.powered_state()?;
        let (folder, name) = state.parent(path)?;
        state.all_or_nothing(line("remove_dir", path), |_| {
            folder.lock().change(vec![(name, None)]);
        })
    }

    /// In the reverse of sorted order, so that nobody comes to rely on a sorted listing.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.powered_state()?;
        let folder = state.folder(path)?;
        let folder = folder.lock();
        Ok(folder.names.iter().rev().map(|(name, node)| entry(path.join(name), node)).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        let state = self.powered_state()?;
        if names_of(path).is_empty() {
            return Ok(entry(path.to_path_buf(), &Node::Folder(state.root.clone())));
        }
        let (folder, name) = state.parent(path)?;
        let folder = folder.lock();
        let node = folder.names.get(&name).ok_or_else(|| not_found(path))?;
        Ok(entry(path.to_path_buf(), node))
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.powered_state()?.available_bytes)
    }
}

impl SimFile {
    /// The disk's state, if the power is on and was not off since this file was opened.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.powered_state()?;
        if state.generation == self.generation {
            return Ok(state);
        }
        Err(io::Error::other("the file was opened before the power failed"))
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let _state = self.state()?;
        let node = self.node.lock();
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let bytes = node.bytes.get(start..end).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let mut node = self.node.lock();
        let position = usize::try_from(position).map_err(|_| ErrorKind::FileTooLarge)?;
        let power = state.begin(|| format!("write {} {position} {}", self.path, bytes.len()));
        // How much more the file will hold, and how much of that there is room for.
        let growth = (position + bytes.len()).saturating_sub(node.bytes.len()) as u64;
        let missing = growth.saturating_sub(state.available_bytes).min(bytes.len() as u64);
        let mut written = bytes.len() - missing as usize;
        if power == Power::FailsNow {
            written = state.rng.random_range(0..=written);
        }
        if written > 0 {
            let len_before = node.bytes.len();
            node.write(&bytes[..written], position, state.now_ms);
            let grown = (node.bytes.len() - len_before) as u64;
            state.available_bytes = state.available_bytes.saturating_sub(grown);
        }
        match power {
            Power::FailsNow => Err(power_is_off()),
            Power::On if missing > 0 => Err(disk_full()),
            Power::On => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let state = &mut *state;
        let mut node = self.node.lock();
        if state.begin(|| format!("sync {}", self.path)) == Power::FailsNow {
            if !state.ignore_syncs {
                node.journal.sync_in_part(&mut state.rng);
            }
            return Err(power_is_off());
        }
        if state.sync_fails(&self.path) {
            node.journal.doom();
            return Err(sync_failed());
        }
        if !state.ignore_syncs {
            node.journal.sync();
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let _state = self.state()?;
        Ok(self.node.lock().bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let wanted = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        let now = self.node.lock().bytes.len() as u64;
        let available = (state.available_bytes + now).checked_sub(len).ok_or_else(disk_full)?;
        let what = || format!("set_len {} {len}", self.path);
        state.all_or_nothing(what, |state| {
            state.available_bytes = available;
            self.node.lock().set_len(wanted, state.now_ms);
        })
    }

    fn try_lock(&self) -> io::Result<()> {
        let _state = self.state()?;
        let mut node = self.node.lock();
        if node.locked_by.is_some_and(|owner| owner != self.handle) {
            return Err(ErrorKind::WouldBlock.into());
        }
        node.locked_by = Some(self.handle);
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let _state = self.disk.state.lock();
        let mut node = self.node.lock();
        if node.locked_by == Some(self.handle) {
            node.locked_by = None;
        }
    }
}

/// How an operation on a path is recorded.
fn line(operation: &str, path: &Path) -> impl FnOnce() -> String {
    move || format!("{operation} {}", path.display())
}

/// A path's names from the root on; `.` says nothing and `..` goes back.
fn names_of(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(OsStr::to_owned(name)),
            Component::ParentDir => drop(names.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}

fn entry(path: PathBuf, node: &Node) -> Entry {
    match node {
        Node::File(file) => {
            let file = file.lock();
            let len = file.bytes.len() as u64;
            Entry { path, dir: false, len, modified_ms: file.modified_ms }
        }
        Node::Folder(_) => Entry { path, dir: true, len: 0, modified_ms: 0 },
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("power is off")
}

fn sync_failed() -> io::Error {
    io::Error::other("input/output error during sync")
}

fn disk_full() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "no space left on the disk")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{}: no such file or folder", path.display()))
}

fn already_exists(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} exists already", path.display()))
}
