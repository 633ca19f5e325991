//! Files as a source: `'connector' = 'filesystem'`.
//!
//! Guarantees: files are read in the order of their names, each line once; a position is a byte of
//! a file. Without `source.monitor-interval` the source ends at the end of the files that were
//! there when it was opened; with it, lines that are appended and files that are added are read.
//! Left out: files that change elsewhere than at their end; compressed files.

use super::decode::{Place, RawRecord, RowDecoder};
use super::lines::{Line, Lines};
use super::{LineReader, value_columns};
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
use tradewind_types::{Offset, PartitionId, Source, SourceBatch, SourceError, TimestampMicros};

/// Bytes read at once: some ten thousand lines. While these are decoded the next are read, and no
/// more, so that two such blocks are in memory.
const READ_BYTES: usize = 4 << 20;
/// Buffers kept for blocks to come: there are no more than two at a time.
const SPARE_BUFFERS_MAX: usize = 2;
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
    /// Buffers of blocks that are done with.
    spare: Vec<Vec<u8>>,
    /// Lines handed out.
    lines: i64,
}

/// One file.
struct OpenFile {
    bytes: FileBytes,
    lines: Lines,
    /// What comes behind `lines`, while there are any.
    ahead: Option<Lines>,
}

/// The bytes of a file.
struct FileBytes {
    path: PathBuf,
    file: Option<File>,
    /// How many were read.
    read: u64,
    /// The end has been met.
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
        let columns = value_columns(definition);
        let decoder = RowDecoder::new(&definition.name, &table.format, &columns, None, &plan.read)?;
        let mut source = Self {
            table: definition.name.clone(),
            path: PathBuf::from(table.path.strip_prefix("file://").unwrap_or(&table.path)),
            monitor: table.monitor_interval_ms.map(Duration::from_millis),
            reader,
            decoder,
            empty_lines: table.format == Format::Raw,
            files: Vec::new(),
            spare: Vec::new(),
            lines: 0,
        };
        blocking(|| source.find_files())?;
        Ok(source)
    }

    /// Adds the files that are new.
    fn find_files(&mut self) -> Result<(), SourceError> {
        let mut found = Vec::new();
        let collected = collect_files(&self.path, &mut found);
        collected.map_err(|error| failed(&self.table, &self.path, &error))?;
        found.sort();
        if found.len() > FILES_MAX {
            let reason = format!("{} files, and {FILES_MAX} are the most", found.len());
            return Err(SourceError::Decode { source_name: self.table.clone(), reason });
        }
        for path in found {
            // A file's number is for good: positions are kept by it.
            if !self.files.iter().any(|file| file.bytes.path == path) {
                self.files.push(OpenFile::new(path, 0));
            }
        }
        Ok(())
    }

    /// Reads on in a file until it has a line or has ended.
    fn fill(&mut self, index: usize) -> Result<(), SourceError> {
        let monitored = self.monitor.is_some();
        while !self.files[index].lines.has_line() && !self.files[index].bytes.ended {
            let OpenFile { bytes, lines, .. } = &mut self.files[index];
            let rest = lines.rest(self.spare.pop().unwrap_or_default());
            let next = blocking(|| bytes.read_on(rest, monitored));
            let next = next.map_err(|error| failed(&self.table, &bytes.path, &error))?;
            self.go_on(index, next);
        }
        Ok(())
    }

    /// The lines of a file have been taken: these come next.
    fn go_on(&mut self, index: usize, next: Lines) {
        let used = std::mem::replace(&mut self.files[index].lines, next);
        if self.spare.len() < SPARE_BUFFERS_MAX {
            self.spare.push(used.into_buffer());
        }
    }

    /// Decodes lines of a file, while what comes behind them is read.
    fn take(&mut self, index: usize, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let monitored = self.monitor.is_some();
        let now_us = self.reader.clock.now_us();
        let OpenFile { bytes, lines, ahead } = &mut self.files[index];
        let rest = (ahead.is_none() && !bytes.ended)
            .then(|| lines.rest(self.spare.pop().unwrap_or_default()));
        let taken = lines.take(rows_max);
        let records = records(&taken.lines, self.empty_lines, now_us);
        self.lines += records.len() as i64;
        let name = bytes.path.display().to_string();
        let place = Place {
            reader: &self.reader.name,
            name: &name,
            partition: index as PartitionId,
            next_offset: taken.next as Offset,
            now_us,
        };
        let decoder = &mut self.decoder;
        let mut decode = || decoder.decode(&records, &place);
        let decoded = match rest {
            None => decode(),
            Some(rest) => {
                let read = || bytes.read_on(rest, monitored);
                let (decoded, read) = blocking(|| rayon::join(decode, read));
                *ahead = Some(read.map_err(|error| failed(&self.table, &bytes.path, &error))?);
                decoded
            }
        };
        if !lines.has_line()
            && let Some(ahead) = ahead.take()
        {
            self.go_on(index, ahead);
        }
        decoded
    }
}

/// The records that lines are; an empty line may be none.
fn records<'a>(
    lines: &[Line<'a>],
    empty_lines: bool,
    now_us: TimestampMicros,
) -> Vec<RawRecord<'a>> {
    let mut records = Vec::with_capacity(lines.len());
    for line in lines {
        if empty_lines || !line.text.trim_ascii_start().is_empty() {
            let offset = line.position as Offset;
            records.push(RawRecord::of_line(line.text, offset, now_us));
        }
    }
    records
}

fn failed(table: &str, path: &Path, error: &io::Error) -> SourceError {
    let reason = format!("{}: {error}", path.display());
    SourceError::Decode { source_name: table.to_string(), reason }
}

impl OpenFile {
    fn new(path: PathBuf, position: u64) -> Self {
        let bytes = FileBytes { path, file: None, read: position, ended: false };
        Self { bytes, lines: Lines::at(position), ahead: None }
    }

    fn is_done(&self) -> bool {
        self.bytes.ended && !self.lines.has_line()
    }
}

impl FileBytes {
    /// Reads the next block behind `lines`.
    fn read_on(&mut self, mut lines: Lines, monitored: bool) -> io::Result<Lines> {
        if self.file.is_none() {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.read))?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().expect("it was opened above");
        let count = file.read(lines.room(READ_BYTES))?;
        self.read += count as u64;
        lines.filled(count);
        if count == 0 {
            self.ended = true;
            self.file = None;
            // A line that is still being written has no end yet.
            if !monitored {
                lines.finish();
            }
            lines.shrink();
        }
        Ok(lines)
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
            self.spare.clear();
            tokio::time::sleep(interval).await;
            blocking(|| self.find_files())?;
            for index in 0..self.files.len() {
                let file = &mut self.files[index];
                let bytes = &mut file.bytes;
                let length = blocking(|| std::fs::metadata(&bytes.path)).map(|facts| facts.len());
                // A file that is gone has nothing more to give.
                bytes.ended &= length.is_ok_and(|length| length <= bytes.read);
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
            *file = OpenFile::new(file.bytes.path.clone(), *position as u64);
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
