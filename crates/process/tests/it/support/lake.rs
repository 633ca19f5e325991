//! A lake of one file for each epoch, on any disk.
//!
//! `stage` writes `staged/<writer>-<epoch>` and syncs it; `commit` links it to
//! `committed/<writer>-<epoch>`, syncs that folder, and only then takes the first name away. What
//! is committed is what the table holds.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::{Create, Disk};
use tradewind_process::Sinks;
use tradewind_sql::TableDefinition;
use tradewind_types::connector::Committer;
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// A row: its visible columns as text, its partition and its offset.
pub(crate) type Row = (String, i32, i64);

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Writes fail, transiently, this many times.
    Write(u32),
    /// Commits fail, transiently, this many times.
    Commit(u32),
    /// The next write panics.
    Panic,
    /// Commits wait until this is taken back.
    CommitStalls,
}

/// Every table.
pub(crate) struct FileLake {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// What is visible and not committed, by table and writer.
    tails: Mutex<BTreeMap<(String, String), Tail>>,
    pub(crate) faults: Mutex<BTreeMap<String, Fault>>,
    /// Whether sinks hand out committers.
    pub(crate) committers: bool,
    /// Breaks the order on purpose: what is staged is committed at once, before its manifest.
    pub(crate) commits_early: bool,
}

#[derive(Default)]
struct Tail {
    open: Vec<Row>,
    staged: BTreeMap<Epoch, Vec<Row>>,
}

impl FileLake {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            tails: Mutex::default(),
            faults: Mutex::default(),
            committers: true,
            commits_early: false,
        }
    }

    pub(crate) fn committed(&self, table: &str) -> Vec<Row> {
        let folder = self.dir.join(table).join("committed");
        let mut rows = Vec::new();
        for entry in self.disk.list(&folder).unwrap_or_default() {
            let bytes = self.disk.read(&entry.path).unwrap();
            rows.extend(serde_json::from_slice::<Vec<Row>>(&bytes).unwrap());
        }
        rows.sort();
        rows
    }

    /// Committed and not yet committed: what a query sees.
    pub(crate) fn visible(&self, table: &str) -> Vec<Row> {
        let mut rows = self.committed(table);
        for ((of, _), tail) in self.tails.lock().iter() {
            if of == table {
                rows.extend(tail.open.iter().chain(tail.staged.values().flatten()).cloned());
            }
        }
        rows.sort();
        rows
    }

    /// How many epochs were committed.
    pub(crate) fn commits(&self, table: &str) -> usize {
        self.disk.list(&self.dir.join(table).join("committed")).map_or(0, |entries| entries.len())
    }

    fn fails(&self, table: &str, is: impl Fn(Fault) -> Option<Option<Fault>>) -> bool {
        let mut faults = self.faults.lock();
        let Some(fault) = faults.get(table).copied() else { return false };
        match is(fault) {
            None => false,
            Some(None) => {
                faults.remove(table);
                true
            }
            Some(Some(rest)) => {
                faults.insert(table.to_string(), rest);
                true
            }
        }
    }
}

/// A writer of a table.
#[derive(Clone)]
struct FileSink {
    lake: Arc<FileLake>,
    table: String,
    writer: String,
}

/// [`Sinks`] over a lake.
pub(crate) struct FileSinks(pub(crate) Arc<FileLake>);

#[async_trait]
impl Sinks for FileSinks {
    async fn open(
        &self,
        table: &TableDefinition,
        writer: &str,
    ) -> Result<Box<dyn Sink>, SinkError> {
        let writer = writer.replace('/', "~");
        let sink = FileSink { lake: self.0.clone(), table: table.name.clone(), writer };
        for folder in ["staged", "committed"] {
            sink.io(|disk| disk.create_dir_all(&sink.folder(folder)))?;
        }
        Ok(Box::new(sink))
    }
}

impl FileSink {
    fn folder(&self, name: &str) -> PathBuf {
        self.lake.dir.join(&self.table).join(name)
    }

    fn file(&self, folder: &str, epoch: Epoch) -> PathBuf {
        self.folder(folder).join(format!("{}-{epoch:020}", self.writer))
    }

    fn io<T>(&self, run: impl FnOnce(&dyn Disk) -> io::Result<T>) -> Result<T, SinkError> {
        run(&*self.lake.disk).map_err(|error| self.transient(&error.to_string()))
    }

    fn transient(&self, reason: &str) -> SinkError {
        SinkError::Transient { table: self.table.clone(), reason: reason.to_string() }
    }

    fn tail<T>(&self, change: impl FnOnce(&mut Tail) -> T) -> T {
        let key = (self.table.clone(), self.writer.clone());
        change(self.lake.tails.lock().entry(key).or_default())
    }

    fn exists(&self, path: &Path) -> Result<bool, SinkError> {
        match self.lake.disk.metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.transient(&error.to_string())),
        }
    }

    fn commit_now(&self, staged: &Staged) -> Result<(), SinkError> {
        let (from, to) = (self.file("staged", staged.epoch), self.file("committed", staged.epoch));
        if !self.exists(&to)? {
            self.io(|disk| disk.hard_link(&from, &to))?;
        }
        // It may be there without being durable.
        self.io(|disk| disk.sync_dir(&self.folder("committed")))?;
        if self.exists(&from)? {
            self.io(|disk| disk.remove_file(&from))?;
        }
        self.tail(|tail| tail.staged.remove(&staged.epoch));
        Ok(())
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        if self.lake.fails(&self.table, |fault| (fault == Fault::Panic).then_some(None)) {
            panic!("this sink panics on purpose");
        }
        let countdown = |fault| match fault {
            Fault::Write(1) => Some(None),
            Fault::Write(count) => Some(Some(Fault::Write(count - 1))),
            _ => None,
        };
        if self.lake.fails(&self.table, countdown) {
            return Err(self.transient("this write fails on purpose"));
        }
        let rows = batches.iter().flat_map(rows_of).collect::<Vec<_>>();
        self.tail(|tail| tail.open.extend(rows));
        Ok(())
    }

    fn open_bytes(&self) -> usize {
        self.tail(|tail| tail.open.len() * 100)
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        let rows = self.tail(|tail| std::mem::take(&mut tail.open));
        let count = rows.len() as u64;
        if count > 0 {
            let bytes = serde_json::to_vec(&rows).unwrap();
            let path = self.file("staged", epoch);
            self.io(|disk| {
                let file = disk.open(&path, Create::Truncate)?;
                file.write_all_at(&bytes, 0)?;
                file.sync()?;
                disk.sync_dir(&self.folder("staged"))
            })?;
            self.tail(|tail| tail.staged.insert(epoch, rows));
        }
        let work = serde_json::Value::Null;
        let staged = Staged { table: self.table.clone(), epoch, rows: count, work };
        if self.lake.commits_early && count > 0 {
            self.commit_now(&staged)?;
        }
        Ok(staged)
    }

    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        self.commit_now(staged)
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        self.lake.committers.then(|| Box::new(FileCommitter(self.clone())) as Box<dyn Committer>)
    }

    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError> {
        let expected = last.map_or(0, |staged| staged.epoch);
        let prefix = format!("{}-", self.writer);
        for entry in self.io(|disk| disk.list(&self.folder("committed")))? {
            let name = entry.path.file_name().unwrap().to_string_lossy().into_owned();
            if let Some(epoch) =
                name.strip_prefix(&prefix).and_then(|rest| rest.parse::<Epoch>().ok())
            {
                assert!(epoch <= expected, "{name} was committed before its manifest ({expected})");
            }
        }
        if let Some(staged) = last.filter(|staged| staged.rows > 0) {
            self.commit_now(staged)?;
        }
        for entry in self.io(|disk| disk.list(&self.folder("staged")))? {
            let name = entry.path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                self.io(|disk| disk.remove_file(&entry.path))?;
            }
        }
        self.tail(|tail| *tail = Tail::default());
        Ok(())
    }
}

struct FileCommitter(FileSink);

#[async_trait]
impl Committer for FileCommitter {
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        let countdown = |fault| match fault {
            Fault::Commit(1) => Some(None),
            Fault::Commit(count) => Some(Some(Fault::Commit(count - 1))),
            _ => None,
        };
        if self.0.lake.fails(&self.0.table, countdown) {
            return Err(self.0.transient("this commit fails on purpose"));
        }
        let stalls = || self.0.lake.faults.lock().get(&self.0.table) == Some(&Fault::CommitStalls);
        while stalls() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        self.0.commit_now(staged)
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let (visible, count) = (batch.num_columns() - 2, batch.num_rows());
    let partitions = batch.column(visible).as_primitive::<Int32Type>();
    let offsets = batch.column(visible + 1).as_primitive::<Int64Type>();
    assert_eq!((partitions.null_count(), offsets.null_count()), (0, 0));
    let value = |column: usize, row: usize| match batch.column(column).is_null(row) {
        true => "NULL".to_string(),
        false => array_value_to_string(batch.column(column), row).unwrap(),
    };
    let text = |row| (0..visible).map(|column| value(column, row)).collect::<Vec<_>>().join("|");
    (0..count).map(|row| (text(row), partitions.value(row), offsets.value(row))).collect()
}
