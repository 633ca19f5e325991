//! An object store over a [`Disk`]: what Delta's log and data files are written through.
//!
//! Guarantees: an object that `put` returned for is there after a power cut, whole, under its name;
//! before that it is there whole or not at all. "Create if absent" is atomic (a hard link).
//! Listings are in the order of the full path.
//! Left out: conditional updates by tag, which nothing here needs.

mod read;
mod upload;

use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path as OsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};
use tradewind_disk::{Create, Disk, DiskFile};

/// What half-written files are called. Never an object.
const TEMPORARY_SUFFIX: &str = ".tw-tmp";
const STORE: &str = "tradewind-lake";
/// Folders remembered as durable: a few for each table and day. Past that all are asked for again,
/// which costs a sync each.
const FOLDERS_MADE_MAX: usize = 4_096;

/// An [`ObjectStore`] whose objects are the files below one folder of a [`Disk`].
#[derive(Clone)]
pub struct DiskStore {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Numbers temporary files.
    next_temporary: Arc<AtomicU64>,
    /// Folders that are there and durable, so that an object costs no sync of its folder's parent.
    folders_made: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl DiskStore {
    /// A store of the files below `root`, which is made when it is not there.
    /// Removes what an earlier process left half written.
    pub fn open(disk: Arc<dyn Disk>, root: PathBuf) -> io::Result<Self> {
        disk.create_dir_all(&root)?;
        let store =
            Self { disk, root, next_temporary: Arc::default(), folders_made: Arc::default() };
        store.sweep(&store.root)?;
        Ok(store)
    }

    fn sweep(&self, folder: &OsPath) -> io::Result<()> {
        let mut entries = self.disk.list(folder)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        for entry in entries {
            if entry.dir {
                self.sweep(&entry.path)?;
            } else if is_temporary(&entry.path) {
                self.disk.remove_file(&entry.path)?;
            }
        }
        Ok(())
    }

    /// The URL sessions know this store by; `id` tells stores of one process apart.
    pub(crate) fn url(id: &str) -> ObjectStoreUrl {
        ObjectStoreUrl::parse(format!("{STORE}://{id}")).expect("a scheme and a plain host parse")
    }

    pub(crate) fn os_path(&self, location: &Path) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(location.parts().map(|part| part.as_ref().to_owned()));
        path
    }

    /// Writes `pieces` to a new file beside `target` and syncs it.
    fn write_beside(&self, target: &OsPath, pieces: &PutPayload) -> io::Result<PathBuf> {
        let (temporary, file) = self.create_beside(target)?;
        let written = write_all(file.as_ref(), pieces).and_then(|()| file.sync());
        if let Err(error) = written {
            // A full disk should not also keep the half that fitted; the sweep gets what is left.
            self.disk.remove_file(&temporary).ok();
            return Err(error);
        }
        Ok(temporary)
    }

    fn create_beside(&self, target: &OsPath) -> io::Result<(PathBuf, Arc<dyn DiskFile>)> {
        if let Some(folder) = target.parent() {
            self.make_folder(folder)?;
        }
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{number}{TEMPORARY_SUFFIX}"));
        let temporary = target.with_file_name(name);
        let file = self.disk.open(&temporary, Create::Truncate)?;
        Ok((temporary, file))
    }

    fn make_folder(&self, folder: &OsPath) -> io::Result<()> {
        if self.folders_made.lock().contains(folder) {
            return Ok(());
        }
        self.disk.create_dir_all(folder)?;
        let mut made = self.folders_made.lock();
        if made.len() >= FOLDERS_MADE_MAX {
            made.clear();
        }
        made.insert(folder.to_path_buf());
        Ok(())
    }

    /// Removes a folder of objects and all in it. Not atomic, and not durable.
    pub(crate) fn remove_folder(&self, folder: &OsPath) -> io::Result<()> {
        let removed = self.disk.remove_dir_all(folder);
        self.folders_made.lock().retain(|made| !made.starts_with(folder));
        removed
    }

    /// Gives a synced file its name, durably. With `create` there must be no such name yet.
    fn publish(&self, temporary: &OsPath, target: &OsPath, create: bool) -> io::Result<()> {
        if create {
            self.disk.hard_link(temporary, target)?;
            self.disk.remove_file(temporary)?;
        } else {
            self.disk.rename(temporary, target)?;
        }
        self.sync_parent(target)
    }

    fn sync_parent(&self, path: &OsPath) -> io::Result<()> {
        self.disk.sync_dir(path.parent().unwrap_or(&self.root))
    }

    fn put_now(&self, location: &Path, payload: &PutPayload, create: bool) -> Result<()> {
        let target = self.os_path(location);
        let temporary = self.write_beside(&target, payload).map_err(failed(location))?;
        let published = self.publish(&temporary, &target, create);
        if published.is_err() {
            self.disk.remove_file(&temporary).ok();
        }
        published.map_err(failed(location))
    }

    fn copy_now(&self, from: &Path, to: &Path, create: bool) -> Result<()> {
        let bytes = self.disk.read(&self.os_path(from)).map_err(failed(from))?;
        self.put_now(to, &bytes.into(), create)
    }

    fn rename_now(&self, from: &Path, to: &Path, create: bool) -> Result<()> {
        let (source, target) = (self.os_path(from), self.os_path(to));
        self.disk.metadata(&source).map_err(failed(from))?;
        if let Some(folder) = target.parent() {
            self.make_folder(folder).map_err(failed(to))?;
        }
        self.publish(&source, &target, create).map_err(failed(to))?;
        self.sync_parent(&source).map_err(failed(from))
    }

    /// Removes an object. Not durable: what comes back after a power cut is removed again by
    /// whoever removed it.
    pub(crate) fn delete_now(&self, location: &Path) -> Result<()> {
        self.disk.remove_file(&self.os_path(location)).map_err(failed(location))
    }

    /// Makes the names in an object folder durable.
    pub(crate) fn sync_folder(&self, location: &Path) -> Result<()> {
        self.disk.sync_dir(&self.os_path(location)).map_err(failed(location))
    }

    /// Runs `work` where blocking is allowed: inline on a current-thread runtime, so that a
    /// simulation has one order of disk operations, on the blocking pool elsewhere.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let many = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        if !many {
            return work(self);
        }
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await?
    }
}

#[async_trait]
impl ObjectStore for DiskStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(not_implemented("conditional update")),
        };
        let location = location.clone();
        self.blocking(move |store| store.put_now(&location, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = location.clone();
        let (temporary, file) = self
            .blocking(move |store| {
                store.create_beside(&store.os_path(&target)).map_err(failed(&target))
            })
            .await?;
        Ok(Box::new(upload::Upload::new(self.clone(), location.clone(), temporary, file)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        self.blocking(move |store| store.get_now(&location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move {
                    let target = location.clone();
                    store.blocking(move |store| store.delete_now(&target)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let store = self.clone();
        futures::stream::once(async move {
            let objects = store.blocking(move |store| store.list_now(&prefix)).await?;
            Ok::<_, Error>(futures::stream::iter(objects.into_iter().map(Ok)))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.blocking(move |store| store.list_folder_now(&prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let create = options.mode == CopyMode::Create;
        self.blocking(move |store| store.copy_now(&from, &to, create)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let create = options.target_mode == RenameTargetMode::Create;
        self.blocking(move |store| store.rename_now(&from, &to, create)).await
    }
}

fn write_all(file: &dyn DiskFile, pieces: &PutPayload) -> io::Result<()> {
    let mut position = 0;
    for piece in pieces {
        file.write_all_at(piece, position)?;
        position += piece.len() as u64;
    }
    Ok(())
}

fn is_temporary(path: &OsPath) -> bool {
    path.to_string_lossy().ends_with(TEMPORARY_SUFFIX)
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

/// The object store's name for what the disk said about `location`.
fn failed(location: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = location.to_string();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        _ => Error::Generic { store: STORE, source: format!("{path}: {error}").into() },
    }
}

impl fmt::Display for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskStore({})", self.root.display())
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
