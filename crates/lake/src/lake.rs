//! The tables of one folder.
//!
//! Guarantees: what is in the folder is the truth, there is no list beside it; a folder that is
//! not one of our tables is refused when the lake is opened, so that nothing is written into it.
//! Left out: who may open the folder at a time; the server holds a lock on the data folder.

use crate::LakeError;
use crate::maintain::Maintained;
use crate::names;
use crate::schema::{self, TableSpec};
use crate::settings::LakeSettings;
use crate::sink::LakeSink;
use crate::store::DiskStore;
use crate::table::{LakeTable, Shared};
use arrow::datatypes::{Schema, SchemaRef};
use deltalake::DeltaTableError;
use deltalake::TableProperty;
use deltalake::kernel::EagerSnapshot;
use deltalake::operations::create::CreateBuilder;
use object_store::{ObjectStoreExt, PutPayload};
use parking_lot::RwLock;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tradewind_disk::Disk;
use tradewind_types::{Clock, OFFSET_COLUMN, PARTITION_COLUMN, Sink};

const FORMAT_PROPERTY: &str = "tradewind.formatVersion";
const FORMAT_VERSION: &str = "1";
/// Names a table whose removal was begun.
const DROPPING_SUFFIX: &str = ".dropping";

/// The tables of one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    shared: Shared,
    disk: Arc<dyn Disk>,
    tables: Arc<RwLock<BTreeMap<String, Arc<LakeTable>>>>,
    /// Held while a table is made or dropped.
    changes: Arc<tokio::sync::Mutex<()>>,
    /// Tables of which it is open whether they stay.
    pub(crate) unsettled: Arc<RwLock<BTreeSet<String>>>,
}

impl Lake {
    /// Opens the tables in `dir`, which is made when it is not there. Ends drops that were begun
    /// and removes half-written files.
    ///
    /// # Errors
    /// The disk's, and one line for the first folder that is not a table of this version.
    pub async fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: LakeSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LakeError> {
        let (opened, root) = (disk.clone(), dir.to_path_buf());
        let store = DiskStore::open(opened, root).map_err(|error| LakeError::io(dir, error))?;
        // Sessions keep stores by URL: a lake that is opened again is another one.
        let id = uuid::Uuid::new_v4().simple().to_string();
        let shared = Shared {
            store_url: DiskStore::url(&id),
            store,
            settings: Arc::new(settings),
            clock,
            total: Arc::default(),
            dir: dir.to_path_buf(),
        };
        let lake = Self {
            shared,
            disk,
            tables: Arc::default(),
            changes: Arc::default(),
            unsettled: Arc::default(),
        };
        lake.end_drops()?;
        for name in lake.folders()? {
            lake.discover(&name).await?;
        }
        Ok(lake)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(crate) fn entries(&self) -> Result<Vec<tradewind_disk::Entry>, LakeError> {
        let dir = &self.shared.dir;
        let mut entries = self.disk.list(dir).map_err(|error| LakeError::io(dir, error))?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn folders(&self) -> Result<Vec<String>, LakeError> {
        let folders = self.entries()?.into_iter().filter(|entry| entry.dir);
        Ok(folders.map(|entry| file_name(&entry.path)).collect())
    }

    fn end_drops(&self) -> Result<(), LakeError> {
        for entry in self.entries()? {
            let name = file_name(&entry.path);
            if let Some(table) = name.strip_suffix(DROPPING_SUFFIX).filter(|_| !entry.dir) {
                self.remove_folder(table)?;
            }
        }
        Ok(())
    }

    async fn discover(&self, name: &str) -> Result<(), LakeError> {
        if !names::table_name_allowed(name) {
            return Err(self.foreign(name, "not a table of ours; move it out of the lake folder"));
        }
        let log = self.shared.dir.join(name).join("_delta_log");
        // A folder without a log entry is what a create leaves that never ended.
        let begun = |entries: Vec<tradewind_disk::Entry>| entries.iter().any(|entry| !entry.dir);
        match self.disk.list(&log) {
            Ok(entries) if begun(entries.clone()) => {}
            _ => return Ok(()),
        }
        let table = self.load(name).await?;
        self.tables.write().insert(name.to_owned(), Arc::new(table));
        Ok(())
    }

    async fn load(&self, name: &str) -> Result<LakeTable, LakeError> {
        let log_store = self.shared.log_store(name);
        let snapshot = EagerSnapshot::try_new(log_store.as_ref(), None).await;
        let snapshot = snapshot.map_err(|error| match error {
            DeltaTableError::NotATable(reason) => self.foreign(name, &reason),
            error => LakeError::delta(name)(error),
        })?;
        let metadata = snapshot.metadata();
        match metadata.configuration().get(FORMAT_PROPERTY).map(String::as_str) {
            Some(FORMAT_VERSION) => {}
            None => {
                let reason =
                    "a Delta table that Tradewind did not make; move it out of the lake folder";
                return Err(self.foreign(name, reason));
            }
            Some(other) => {
                let reason = format!(
                    "table format {other}, this version reads {FORMAT_VERSION}; use the version of Tradewind that wrote it"
                );
                return Err(self.foreign(name, &reason));
            }
        }
        let full = self.full_schema(name, &snapshot)?;
        let partition_columns = metadata.partition_columns().to_vec();
        let checkpoint = self.last_checkpoint(name).await;
        LakeTable::new(&self.shared, name, full, partition_columns, snapshot, checkpoint)
    }

    fn full_schema(&self, name: &str, snapshot: &EagerSnapshot) -> Result<SchemaRef, LakeError> {
        let schema: Schema = snapshot.arrow_schema().as_ref().clone();
        let last: Vec<_> =
            schema.fields().iter().rev().take(2).map(|f| f.name().as_str()).collect();
        if last != [OFFSET_COLUMN, PARTITION_COLUMN] || schema.fields().len() < 3 {
            return Err(self.foreign(name, "a table without its hidden columns; restore it"));
        }
        Ok(Arc::new(schema))
    }

    /// 0 when there is none, or none that reads: then one is written soon.
    async fn last_checkpoint(&self, name: &str) -> u64 {
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let hint = format!("{name}/_delta_log/_last_checkpoint");
        let Ok(found) = self.shared.store.get(&hint.as_str().into()).await else { return 0 };
        let bytes = found.bytes().await.unwrap_or_default();
        serde_json::from_slice::<Hint>(&bytes).map_or(0, |hint| hint.version)
    }

    fn foreign(&self, name: &str, reason: &str) -> LakeError {
        LakeError::Foreign { folder: self.shared.dir.join(name), reason: reason.to_owned() }
    }

    /// Makes a table, durably; one that is there with the same columns is left as it is.
    ///
    /// # Errors
    /// Names and types that cannot be, and a table of that name with other columns.
    pub async fn create_table(&self, spec: &TableSpec) -> Result<Arc<LakeTable>, LakeError> {
        let full = spec.full_schema()?;
        let _changes = self.changes.lock().await;
        if let Some(there) = self.table(&spec.name) {
            let (wanted, there_too) = (&spec.partition_columns, there.partition_columns());
            return match schema::difference(&full, wanted, there.schema(), there_too) {
                None => Ok(there),
                Some(difference) => {
                    Err(LakeError::Differs { table: spec.name.clone(), difference })
                }
            };
        }
        self.create(spec, &full).await?;
        let table = Arc::new(self.load(&spec.name).await?);
        self.tables.write().insert(spec.name.clone(), table.clone());
        Ok(table)
    }

    async fn create(&self, spec: &TableSpec, full: &Schema) -> Result<(), LakeError> {
        let hours = self.shared.settings.vacuum_retention_hours;
        let columns = schema::to_delta(&spec.name, full)?;
        let made = CreateBuilder::new()
            .with_log_store(self.shared.log_store(&spec.name))
            .with_table_name(&spec.name)
            .with_columns(columns.fields().cloned())
            .with_partition_columns(&spec.partition_columns)
            .with_raise_if_key_not_exists(false)
            .with_configuration([
                (FORMAT_PROPERTY.to_owned(), Some(FORMAT_VERSION.to_owned())),
                (
                    TableProperty::DeletedFileRetentionDuration.as_ref().to_owned(),
                    Some(format!("interval {hours} hours")),
                ),
                (
                    TableProperty::EnableExpiredLogCleanup.as_ref().to_owned(),
                    Some("false".to_owned()),
                ),
            ])
            .await;
        made.map(|_| ()).map_err(LakeError::delta(&spec.name))
    }

    /// Removes a table and its files. Queries that still read it may fail.
    ///
    /// # Errors
    /// `NoSuchTable`, and the disk's; a drop that was begun ends at the next open.
    pub async fn drop_table(&self, name: &str) -> Result<(), LakeError> {
        let _changes = self.changes.lock().await;
        let table = self.tables.write().remove(name);
        let table = table.ok_or_else(|| LakeError::NoSuchTable(name.to_owned()))?;
        let _commits = table.commits.lock().await;
        table.dropped.store(true, Ordering::Release);
        let marker = format!("{name}{DROPPING_SUFFIX}");
        let put = self.shared.store.put(&marker.as_str().into(), PutPayload::new()).await;
        put.map_err(|error| table.store_error(error))?;
        let (lake, name) = (self.clone(), name.to_owned());
        let removed = self.shared.store.blocking(move |_| Ok(lake.remove_folder(&name))).await;
        removed.map_err(|error| table.store_error(error))?
    }

    /// A folder of ours without a marker of its own.
    pub(crate) fn remove_unmarked(&self, name: &str) -> Result<(), LakeError> {
        let dir = &self.shared.dir;
        let folder = dir.join(name);
        match self.shared.store.remove_folder(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(|error| LakeError::io(&folder, error))?,
        }
        self.disk.sync_dir(dir).map_err(|error| LakeError::io(dir, error))
    }

    /// The folder first, then the marker: what is left half removed is removed again.
    fn remove_folder(&self, name: &str) -> Result<(), LakeError> {
        self.remove_unmarked(name)?;
        let dir = &self.shared.dir;
        let failed = |error| LakeError::io(dir, error);
        self.disk.remove_file(&dir.join(format!("{name}{DROPPING_SUFFIX}"))).map_err(failed)?;
        self.disk.sync_dir(dir).map_err(failed)
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<Arc<LakeTable>> {
        self.tables.read().get(name).cloned()
    }

    /// Every table, by name.
    pub fn tables(&self) -> Vec<Arc<LakeTable>> {
        self.tables.read().values().cloned().collect()
    }

    /// A sink into `table` for `writer`, `<pipeline id>/<incarnation>`: the name its commits have
    /// in the table. `recover` comes first; one sink of a writer at a time.
    ///
    /// # Errors
    /// `NoSuchTable`, and a writer's name that is empty or too long.
    pub fn sink(&self, table: &str, writer: &str) -> Result<Box<dyn Sink>, LakeError> {
        let found = self.table(table).ok_or_else(|| LakeError::NoSuchTable(table.to_owned()))?;
        Ok(Box::new(LakeSink::new(found, writer)?))
    }

    /// Forgets a writer that is gone for good, as when its pipeline is dropped: rows it has not
    /// committed leave the tail, files it has staged the disk. What it committed stays.
    ///
    /// # Errors
    /// `NoSuchTable`, and the disk's.
    pub async fn forget_writer(&self, table: &str, writer: &str) -> Result<(), LakeError> {
        let found = self.table(table).ok_or_else(|| LakeError::NoSuchTable(table.to_owned()))?;
        LakeSink::new(found, writer)?.forget().await
    }

    /// One round of background work on every table: compaction, checkpoints, vacuum. A table that
    /// fails does not keep the others from theirs; its error is returned beside its name.
    pub async fn maintain_once(&self) -> Vec<(String, Result<Maintained, LakeError>)> {
        let mut done = Vec::new();
        for table in self.tables() {
            let result = table.maintain_once().await;
            if let Err(error) = &result {
                tracing::warn!(table = table.name(), %error, "background work failed");
            }
            done.push((table.name().to_owned(), result));
        }
        done
    }

    /// Bytes of rows that wait for commits, over all tables.
    pub fn tail_bytes(&self) -> usize {
        self.shared.total.bytes()
    }

    /// The folder.
    pub fn dir(&self) -> &PathBuf {
        &self.shared.dir
    }
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
