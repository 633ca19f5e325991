//! Files as a source: `'connector' = 'filesystem'`.
//!
//! Guarantees: files are read in the order of their names, each line once; a position is a byte of
//! a file. Without `source.monitor-interval` the source ends at the end of the files that were
//! there when it was opened; with it, lines that are appended and files that are added are read.
//! Left out: files that change elsewhere than at their end; compressed files.

use super::decode::{Place, RawRecord, RowDecoder};
use super::lines::Lines;
use super::{LineReader, physical_columns};
use crate::blocking::blocking;
use crate::stream::plan::SourcePlan;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tradewind_sql::{FileTable, Format};
use tradewind_types::connector::Positions;
use tradewind_types::{Offset, PartitionId, Source, SourceBatch, SourceError};

/// Bytes read at once: some ten thousand lines.
const READ_BYTES: usize = 4 << 20;
/// Most files of one table: each is a partition with a watermark of its own.
const FILES_MAX: usize = 10_000;

/// Files being read.
pub(super) struct FileSource {
    table: String,
    path: PathBuf,
    monitor: Option<Duration>,
    reader: LineReader,
    decoder: RowDecoder,
    /// An empty line is a record.
    empty_lines: bool,
    files: Vec<OpenFile>,
    buffer: Vec<u8>,
    /// Lines handed out.
    lines: i64,
}

/// One file.
struct OpenFile {
    path: PathBuf,
    file: Option<File>,
    lines: Lines,
    /// Bytes of it that were read.
    read: u64,
    /// Its end has been met.
    ended: bool,
}

impl FileSource {
    /// A source at the beginning of every file.
    ///
    /// # Errors
    /// There is no such file or folder.
    pub(super) fn open(
        table: &FileTable,
        plan: &SourcePlan,
        reader: LineReader,
    ) -> Result<Self, SourceError> {
        let definition = &plan.definition;
        let columns = physical_columns(definition);
        let decoder = RowDecoder::new(&definition.name, &table.format, &plan.read, &columns)?;
        let mut source = Self {
            table: definition.name.clone(),
            path: PathBuf::from(table.path.strip_prefix("file://").unwrap_or(&table.path)),
            monitor: table.monitor_interval_ms.map(Duration::from_millis),
            reader,
            decoder,
            empty_lines: table.format == Format::Raw,
            files: Vec::new(),
            buffer: vec![0; READ_BYTES],
            lines: 0,
        };
        blocking(|| source.find_files())?;
        Ok(source)
    }

    /// Adds the files that are new.
    fn find_files(&mut self) -> Result<(), SourceError> {
        let mut found = Vec::new();
        collect_files(&self.path, &mut found).map_err(|error| self.failed(&self.path, &error))?;
        found.sort();
        if found.len() > FILES_MAX {
            let reason = format!("{} files, and {FILES_MAX} are the most", found.len());
            return Err(SourceError::Decode { source_name: self.table.clone(), reason });
        }
        for path in found {
            // A file's number is for good: positions are kept by it.
            if !self.files.iter().any(|file| file.path == path) {
                self.files.push(OpenFile::new(path, 0));
            }
        }
        Ok(())
    }

    fn failed(&self, path: &Path, error: &io::Error) -> SourceError {
        SourceError::Decode {
            source_name: self.table.clone(),
            reason: format!("{}: {error}", path.display()),
        }
    }

    /// Reads on in a file until it has a line or has ended.
    fn fill(&mut self, index: usize) -> Result<(), SourceError> {
        while !self.files[index].lines.has_line() && !self.files[index].ended {
            let monitored = self.monitor.is_some();
            let (file, buffer) = (&mut self.files[index], &mut self.buffer);
            if let Err(error) = blocking(|| file.read_on(buffer, monitored)) {
                let path = self.files[index].path.clone();
                return Err(self.failed(&path, &error));
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let lines = self.files[index].lines.take(rows_max);
        let now_us = self.reader.clock.now_us();
        let record = |line: super::lines::Line| RawRecord {
            value: line.text,
            offset: line.position as Offset,
            timestamp_us: now_us,
        };
        let all = self.empty_lines;
        let lines = lines.into_iter().filter(|line| all || !line.text.trim_ascii().is_empty());
        let records: Vec<RawRecord> = lines.map(record).collect();
        self.lines += records.len() as i64;
        let partition = index as PartitionId;
        let name = self.files[index].path.display().to_string();
        let place = Place { reader: &self.reader.name, name: &name, partition, now_us };
        let next_offset = self.files[index].lines.position() as Offset;
        let decoded = self.decoder.decode(&records, &place)?;
        let batch = |rows: super::decode::DecodedRows| SourceBatch {
            partition,
            batch: rows.batch,
            rejected: rows.rejected,
            next_offset,
        };
        Ok(decoded.into_iter().map(batch).collect())
    }
}

impl OpenFile {
    fn new(path: PathBuf, position: u64) -> Self {
        Self { path, file: None, lines: Lines::at(position), read: position, ended: false }
    }

    fn read_on(&mut self, buffer: &mut [u8], monitored: bool) -> io::Result<()> {
        if self.file.is_none() {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.read))?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().expect("it was opened above");
        let count = file.read(buffer)?;
        self.read += count as u64;
        if count > 0 {
            self.lines.push(&buffer[..count]);
            return Ok(());
        }
        self.ended = true;
        self.file = None;
        // A line that is still being written has no end yet.
        if !monitored {
            self.lines.finish();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.ended && !self.lines.has_line()
    }
}

#[async_trait]
impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    async fn poll(&mut self, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let mut left = rows_max;
        let mut batches = Vec::new();
        for index in 0..self.files.len() {
            while left > 0 && !self.files[index].is_done() {
                self.fill(index)?;
                if !self.files[index].lines.has_line() {
                    break;
                }
                let taken = self.take(index, left)?;
                let rows: usize =
                    taken.iter().map(|one| one.batch.num_rows() + one.rejected.len()).sum();
                left = left.saturating_sub(rows.max(1));
                batches.extend(taken);
            }
        }
        Ok(batches)
    }

    async fn ready(&mut self) -> Result<(), SourceError> {
        loop {
            if self.files.iter().any(|file| !file.is_done()) {
                return Ok(());
            }
            let Some(interval) = self.monitor else { return std::future::pending().await };
            tokio::time::sleep(interval).await;
            blocking(|| self.find_files())?;
            for index in 0..self.files.len() {
                let file = &mut self.files[index];
                let length = blocking(|| std::fs::metadata(&file.path)).map(|facts| facts.len());
                // A file that is gone has nothing more to give.
                file.ended &= length.is_ok_and(|length| length <= file.read);
            }
        }
    }

    fn positions(&self) -> Positions {
        let position = |(index, file): (usize, &OpenFile)| {
            (index as PartitionId, file.lines.position() as Offset)
        };
        self.files.iter().enumerate().map(position).collect()
    }

    fn progress(&self) -> i64 {
        self.lines
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), SourceError> {
        for (partition, position) in positions {
            let Some(file) = self.files.get_mut(*partition as usize) else {
                return Err(SourceError::Position {
                    source_name: self.table.clone(),
                    reason: format!("it has {} files, and had more", self.files.len()),
                });
            };
            *file = OpenFile::new(file.path.clone(), *position as u64);
        }
        Ok(())
    }

    fn ended(&self) -> bool {
        self.monitor.is_none() && self.files.iter().all(OpenFile::is_done)
    }
}

/// The file, or every file below the folder but hidden ones.
fn collect_files(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(['.', '_']) {
            collect_files(&path, found)?;
        }
    }
    Ok(())
}
