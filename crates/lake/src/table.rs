//! One table: its columns, the snapshot that readers get, and its tail, under one lock.
//!
//! Guarantees: snapshot and tail change together, so no reader misses a row or sees one twice.
//! Left out: how epochs become files and commits; see `sink` and `commit`.

use crate::LakeError;
use crate::read::ReadSnapshot;
use crate::schema;
use crate::settings::LakeSettings;
use crate::store::DiskStore;
use crate::tail::{SharedTotal, Tail};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::EagerSnapshot;
use deltalake::logstore::{LogStoreConfig, LogStoreRef, StorageConfig, default_logstore};
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use tradewind_types::{Clock, Epoch};

/// A version of the table that readers are given.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) snapshot: Arc<EagerSnapshot>,
}

impl Published {
    pub(crate) fn version(&self) -> u64 {
        self.snapshot.version()
    }
}

/// What changes together under the table's lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) published: Arc<Published>,
    pub(crate) tail: Tail,
    /// Every version that was published and may still be read.
    live: Vec<Weak<Published>>,
    /// Why the last commit failed, until one succeeds.
    pub(crate) commit_error: Option<String>,
    /// When the last commit of this process was made, microseconds since the Unix epoch.
    committed_at: Option<i64>,
}

/// What is known under the commit lock.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    /// The last epoch in the table, by writer, as far as it was looked up.
    pub(crate) epochs: BTreeMap<String, Epoch>,
    /// A commit may have been made without our learning of it: look before the next.
    pub(crate) unsure: bool,
    /// Writers that recovered in this process: their manifests' files are known.
    pub(crate) recovered: BTreeSet<String>,
    /// The version of the newest checkpoint, 0 for none.
    pub(crate) last_checkpoint: u64,
}

/// When background work last looked, so that a table at rest costs nothing.
#[derive(Debug, Default)]
pub(crate) struct LastRuns {
    /// The version in which there was nothing left to compact.
    pub(crate) compacted_version: Option<u64>,
    /// When files were last removed, milliseconds since the Unix epoch.
    pub(crate) vacuumed_at_ms: Option<i64>,
}

/// A table of the lake. Cheap to share; see [`LakeTable::provider`] for reading it.
pub struct LakeTable {
    name: String,
    visible: SchemaRef,
    full: SchemaRef,
    file_schema: SchemaRef,
    scan_schema: SchemaRef,
    partition_columns: Vec<String>,
    store: DiskStore,
    store_url: ObjectStoreUrl,
    log_store: LogStoreRef,
    settings: Arc<LakeSettings>,
    clock: Arc<dyn Clock>,
    total: SharedTotal,
    state: Mutex<State>,
    /// Held while a commit is made and published. Taken before `state`.
    pub(crate) commits: tokio::sync::Mutex<Commits>,
    /// Held by background work, one run at a time, and by statements that rewrite files.
    pub(crate) maintenance: tokio::sync::Mutex<LastRuns>,
    /// The table is gone: whoever still holds it must not write into its folder.
    pub(crate) dropped: AtomicBool,
    /// Batches that are being staged: vacuum leaves their files alone.
    batches: Mutex<BTreeSet<String>>,
}

/// What all tables of a lake share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: DiskStore,
    pub(crate) store_url: ObjectStoreUrl,
    pub(crate) settings: Arc<LakeSettings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) total: SharedTotal,
    pub(crate) dir: PathBuf,
}

impl Shared {
    /// Delta's view of a table's folder.
    pub(crate) fn log_store(&self, table: &str) -> LogStoreRef {
        let root: Arc<dyn object_store::ObjectStore> = Arc::new(self.store.clone());
        let prefixed = Arc::new(PrefixStore::new(self.store.clone(), table));
        let config = LogStoreConfig::new(self.store_url.as_ref(), StorageConfig::default());
        let url = config
            .location()
            .join(&format!("/{table}/"))
            .expect("table names need no escaping in a URL");
        default_logstore(prefixed, root, &url, config.options())
    }
}

/// A table in figures, for `sys` tables and `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// The table.
    pub name: String,
    /// Its Delta version.
    pub version: u64,
    /// Data files in that version.
    pub files: usize,
    /// Bytes in them.
    pub file_bytes: u64,
    /// Rows that no commit holds yet.
    pub tail_rows: usize,
    /// Bytes of memory they take.
    pub tail_bytes: usize,
    /// Epochs that are staged and wait for their commit.
    pub staged_epochs: usize,
    /// When this process last committed, microseconds since the Unix epoch.
    pub committed_at: Option<i64>,
    /// Why commits fail, when they do.
    pub commit_error: Option<String>,
}

/// How Delta scans are set up: the same for every reader, so that schemas agree.
pub(crate) fn scan_config() -> DeltaScanConfig {
    DeltaScanConfig::new().with_wrap_partition_values(false)
}

impl LakeTable {
    pub(crate) fn new(
        shared: &Shared,
        name: &str,
        full: SchemaRef,
        partition_columns: Vec<String>,
        snapshot: EagerSnapshot,
        last_checkpoint: u64,
    ) -> Result<Self, LakeError> {
        let snapshot = Arc::new(snapshot);
        let scan =
            DeltaScanNext::new(snapshot.clone(), scan_config()).map_err(LakeError::engine(name))?;
        let visible = full.fields()[..full.fields().len() - 2].to_vec();
        let published = Arc::new(Published { snapshot });
        Ok(Self {
            name: name.to_owned(),
            visible: Arc::new(arrow::datatypes::Schema::new(visible)),
            file_schema: schema::file_schema(&full, &partition_columns),
            scan_schema: scan.schema(),
            full,
            partition_columns,
            store: shared.store.clone(),
            store_url: shared.store_url.clone(),
            log_store: shared.log_store(name),
            settings: shared.settings.clone(),
            clock: shared.clock.clone(),
            total: shared.total.clone(),
            state: Mutex::new(State {
                live: vec![Arc::downgrade(&published)],
                published,
                tail: Tail::default(),
                commit_error: None,
                committed_at: None,
            }),
            commits: tokio::sync::Mutex::new(Commits { last_checkpoint, ..Commits::default() }),
            maintenance: tokio::sync::Mutex::default(),
            dropped: AtomicBool::new(false),
            batches: Mutex::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The visible columns, in the types rows are kept in.
    pub fn visible_schema(&self) -> &SchemaRef {
        &self.visible
    }

    /// The visible columns, then `_partition` and `_offset`: what a sink's batches have.
    pub fn schema(&self) -> &SchemaRef {
        &self.full
    }

    /// The columns files are partitioned by.
    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    pub(crate) fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// What queries see: as `schema`, text and bytes as views.
    pub(crate) fn scan_schema(&self) -> &SchemaRef {
        &self.scan_schema
    }

    pub(crate) fn store(&self) -> &DiskStore {
        &self.store
    }

    pub(crate) fn store_url(&self) -> &ObjectStoreUrl {
        &self.store_url
    }

    pub(crate) fn log_store(&self) -> &LogStoreRef {
        &self.log_store
    }

    /// The ids of batches that are being staged.
    pub(crate) fn batches(&self) -> &Mutex<BTreeSet<String>> {
        &self.batches
    }

    pub(crate) fn settings(&self) -> &LakeSettings {
        &self.settings
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The newest version and every tail row, as of one instant.
    pub fn read_snapshot(&self) -> Arc<ReadSnapshot> {
        let state = self.state.lock();
        Arc::new(ReadSnapshot::new(state.published.clone(), state.tail.batches()))
    }

    /// Where the table stands.
    pub fn status(&self) -> TableStatus {
        let (published, mut status) = {
            let state = self.state.lock();
            let status = TableStatus {
                name: self.name.clone(),
                version: state.published.version(),
                files: 0,
                file_bytes: 0,
                tail_rows: state.tail.rows(),
                tail_bytes: state.tail.bytes(),
                staged_epochs: state.tail.staged_epochs(),
                committed_at: state.committed_at,
                commit_error: state.commit_error.clone(),
            };
            (state.published.clone(), status)
        };
        // Files are counted without the lock: there may be many.
        let files = published.snapshot.log_data();
        status.files = files.num_files();
        status.file_bytes = files.iter().map(|file| file.size().unsigned_abs()).sum();
        status
    }

    /// Looks at the tail.
    pub(crate) fn tail<T>(&self, look: impl FnOnce(&Tail) -> T) -> T {
        look(&self.state.lock().tail)
    }

    /// Changes the tail, with the figures that depend on it.
    pub(crate) fn with_tail<T>(&self, change: impl FnOnce(&mut Tail) -> T) -> T {
        let mut state = self.state.lock();
        self.change_tail(&mut state, change)
    }

    fn change_tail<T>(&self, state: &mut State, change: impl FnOnce(&mut Tail) -> T) -> T {
        let before = state.tail.bytes();
        let result = change(&mut state.tail);
        self.total.changed(before, state.tail.bytes());
        let labels = [("table", self.name.clone())];
        metrics::gauge!("tradewind_lake_tail_rows", &labels).set(state.tail.rows() as f64);
        metrics::gauge!("tradewind_lake_tail_bytes", &labels).set(state.tail.bytes() as f64);
        result
    }

    /// Refuses `bytes` more in the tail when they do not fit. A writer that has nothing in the
    /// tail is let in: its rows could never fit later if they do not fit now.
    pub(crate) fn admit(&self, writer: &str, bytes: usize) -> Result<(), LakeError> {
        let state = self.state.lock();
        if state.tail.writer_bytes(writer) == 0 {
            return Ok(());
        }
        let table = (state.tail.bytes(), self.settings.tail_bytes_max, "lake.tail_bytes_max");
        let total =
            (self.total.bytes(), self.settings.tail_bytes_max_total, "lake.tail_bytes_max_total");
        for (used, limit, setting) in [table, total] {
            if used + bytes > limit {
                let cause = state.commit_error.as_ref().map(|e| format!("; commits fail: {e}"));
                let cause = cause.unwrap_or_default();
                return Err(LakeError::TailFull {
                    table: self.name.clone(),
                    used,
                    limit,
                    setting,
                    cause,
                });
            }
        }
        Ok(())
    }

    /// The version readers get now.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.state.lock().published.clone()
    }

    /// Gives readers a newer version and takes what it holds out of the tail, at once.
    /// The caller holds the commit lock.
    pub(crate) fn publish(&self, snapshot: EagerSnapshot, change: impl FnOnce(&mut Tail)) {
        let published = Arc::new(Published { snapshot: Arc::new(snapshot) });
        let mut state = self.state.lock();
        debug_assert!(published.version() >= state.published.version(), "versions only grow");
        state.live.retain(|version| version.strong_count() > 0);
        state.live.push(Arc::downgrade(&published));
        state.published = published;
        self.change_tail(&mut state, change);
    }

    pub(crate) fn commit_succeeded(&self) {
        let mut state = self.state.lock();
        state.commit_error = None;
        state.committed_at = Some(self.clock.now_us());
    }

    pub(crate) fn commit_failed(&self, error: &LakeError) {
        self.state.lock().commit_error = Some(error.to_string());
    }

    /// The versions that a query may still read, the newest among them.
    pub(crate) fn live_versions(&self) -> Vec<Arc<Published>> {
        self.state.lock().live.iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for LakeTable {
    fn drop(&mut self) {
        self.total.changed(self.state.get_mut().tail.bytes(), 0);
    }
}
