//! Opening a store: the lock, the topics, what a crash left of others.
//!
//! Guarantees: nothing is touched before the lock is held and the format versions are known;
//! folders of topics that were being made or removed are taken away, folders with records never.
//! Left out: partitions (partition/open).

use super::{INFLATING_MAX, Inner, LogStore, Topic, Topics};
use crate::partition::{Place, Shared};
use crate::report::RecoveryReport;
use crate::reserve::Reserve;
use crate::segment::SegmentCache;
use crate::settings::{LiveSettings, LogSettings};
use crate::topic_file::{LOCK_NAME, TopicFile, io_error};
use crate::topic_settings;
use parking_lot::{Mutex, RwLock};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{Notify, Semaphore};
use tradewind_disk::{Create, Disk, DiskFile};
use tradewind_types::{Clock, LogError};

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    settings: LogSettings,
    clock: Arc<dyn Clock>,
) -> Result<(LogStore, RecoveryReport), LogError> {
    disk.create_dir_all(dir).map_err(|source| io_error(dir, source))?;
    let lock = lock(&*disk, dir)?;
    let found = read_topics(&*disk, dir)?;
    let shared = Arc::new(Shared {
        cache: SegmentCache::new(settings.segments_open_max),
        reserve: Reserve::new(
            Arc::clone(&disk),
            dir.to_path_buf(),
            Arc::clone(&clock),
            settings.disk_reserve_bytes,
        ),
        disk,
        clock,
        settings,
        bytes_in_flight: AtomicUsize::new(0),
        producers: Arc::default(),
        lives: AtomicU64::new(0),
        partitions: AtomicUsize::new(0),
    });
    let mut report = RecoveryReport::default();
    let mut topics = Topics::default();
    for folder in found {
        match folder {
            Folder::Topic(file) => topics.insert(open_topic(&shared, dir, file, &mut report)?),
            Folder::Leftover(path) => {
                remove_topic(&*shared.disk, dir, &path)?;
                tracing::warn!(folder = %path.display(), "removed what was left of a topic");
                report.leftovers_removed.push(path);
            }
        }
    }
    let inner = Inner {
        shared,
        dir: dir.to_path_buf(),
        topics: RwLock::new(topics),
        admin: Arc::default(),
        inflating: Semaphore::new(INFLATING_MAX),
        closed: AtomicBool::new(false),
        transactions: Mutex::default(),
        lock: Mutex::new(Some(lock)),
    };
    Ok((LogStore { inner: Arc::new(inner) }, report))
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, LogError> {
    let path = dir.join(LOCK_NAME);
    let file = disk.open(&path, Create::IfMissing).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LogError::Busy(format!(
            "{} is held by another process: stop it, or choose another data folder",
            path.display()
        ))),
        Err(source) => Err(io_error(&path, source)),
    }
}

/// A folder of the log.
enum Folder {
    Topic(TopicFile),
    /// Of a topic that was being made or removed.
    Leftover(std::path::PathBuf),
}

/// Looks at every folder and refuses what it does not understand, before anything is changed.
fn read_topics(disk: &dyn Disk, dir: &Path) -> Result<Vec<Folder>, LogError> {
    let mut entries = disk.list(dir).map_err(|source| io_error(dir, source))?;
    entries.retain(|entry| entry.dir);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.path;
        folders.push(match TopicFile::read(disk, &path)? {
            Some(file) if file.deleted => Folder::Leftover(path),
            Some(file) if path.file_name().is_some_and(|name| *name == *file.name) => {
                Folder::Topic(file)
            }
            Some(file) => {
                return Err(LogError::Invalid(format!(
                    "{} is the folder of topic {:?}: give it that name back",
                    path.display(),
                    file.name
                )));
            }
            None if has_records(disk, &path)? => {
                return Err(LogError::Corrupt {
                    file: TopicFile::path(&path).display().to_string(),
                    position: 0,
                    reason: "it is missing, but the topic has records: restore it, or move the \
                             folder away"
                        .into(),
                });
            }
            None => Folder::Leftover(path),
        });
    }
    Ok(folders)
}

/// Whether any segment under a topic's folder has bytes.
fn has_records(disk: &dyn Disk, topic_dir: &Path) -> Result<bool, LogError> {
    let list = |path: &Path| disk.list(path).map_err(|source| io_error(path, source));
    for partition in list(topic_dir)?.into_iter().filter(|entry| entry.dir) {
        let segments = list(&partition.path)?;
        let has = |entry: &tradewind_disk::Entry| {
            entry.len > 0 && entry.path.extension().is_some_and(|kind| kind == "log")
        };
        if segments.iter().any(has) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open_topic(
    shared: &Arc<Shared>,
    dir: &Path,
    file: TopicFile,
    report: &mut RecoveryReport,
) -> Result<Arc<Topic>, LogError> {
    let topic_dir = dir.join(&file.name);
    // A process that was killed may have put topic.json there without syncing the folder: no power
    // cut may take it back once there are records.
    shared.disk.sync_dir(&topic_dir).map_err(|source| io_error(&topic_dir, source))?;
    build_topic(shared, &topic_dir, file, |place| place.open(report))
}

/// Puts a topic together from its partitions, each made or opened by `each`.
pub(super) fn build_topic(
    shared: &Arc<Shared>,
    topic_dir: &Path,
    file: TopicFile,
    mut each: impl FnMut(Place) -> Result<crate::partition::Partition, LogError>,
) -> Result<Arc<Topic>, LogError> {
    let settings = topic_settings::resolve(&shared.settings.topic, &file.settings)?;
    let config = Arc::new(LiveSettings::new(settings));
    let changed = Arc::new(Notify::new());
    let name: Arc<str> = file.name.as_str().into();
    let mut partitions = Vec::with_capacity(file.partitions.max(0) as usize);
    for id in 0..file.partitions {
        partitions.push(Arc::new(each(Place {
            shared: Arc::clone(shared),
            topic: Arc::clone(&name),
            id,
            dir: topic_dir.join(id.to_string()),
            config: Arc::clone(&config),
            changed: Arc::clone(&changed),
        })?));
    }
    shared.partitions.fetch_add(partitions.len(), Ordering::Relaxed);
    Ok(Arc::new(Topic { file, config, partitions, changed, deleted: Arc::default() }))
}

/// Removes the folder of a topic that is marked as deleted or was never finished: the mark goes
/// last, so that a crash in between is understood.
pub(super) fn remove_topic(disk: &dyn Disk, dir: &Path, topic_dir: &Path) -> Result<(), LogError> {
    let io = |source| io_error(topic_dir, source);
    for entry in disk.list(topic_dir).map_err(io)?.into_iter().filter(|entry| entry.dir) {
        disk.remove_dir_all(&entry.path).map_err(io)?;
    }
    disk.sync_dir(topic_dir).map_err(io)?;
    disk.remove_dir_all(topic_dir).map_err(io)?;
    disk.sync_dir(dir).map_err(|source| io_error(dir, source))
}
