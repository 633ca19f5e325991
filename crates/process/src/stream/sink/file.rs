//! Files: `'connector' = 'filesystem'`, one file for each checkpoint that has rows.
//!
//! Guarantees: a file is under its name only when it is whole and its epoch is committed; names
//! that begin with a dot are work in progress, and are no rows.
//! Left out: rows that are taken back: a file cannot take one back.

use crate::blocking::blocking;
use crate::stream::plan::SinkPlan;
use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::json::LineDelimitedWriter;
use async_trait::async_trait;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tradewind_dataflow::Hidden;
use tradewind_sql::{CsvFormat, FileTable, Format};
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// How times are written, as Flink does.
const TIMESTAMP_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.f";

/// Writes files of one folder.
#[derive(Debug)]
pub(super) struct FileSink {
    table: String,
    folder: PathBuf,
    format: Format,
    hidden: Hidden,
    /// Tells the files of one writer apart.
    writer: String,
    open: Vec<RecordBatch>,
}

impl FileSink {
    pub(super) fn open(file: &FileTable, plan: &SinkPlan, writer: &str) -> Result<Self, SinkError> {
        let table = plan.target.name().to_string();
        if plan.hidden.weight {
            let reason = "files cannot take back the rows of a query that updates".to_string();
            return Err(SinkError::Permanent { table, reason });
        }
        let folder = PathBuf::from(file.path.strip_prefix("file://").unwrap_or(&file.path));
        let format = file.format.clone();
        let writer = writer.replace('/', "-");
        Ok(Self { table, folder, format, hidden: plan.hidden, writer, open: Vec::new() })
    }

    fn name(&self, epoch: Epoch) -> String {
        let ending = match self.format {
            Format::Json => "json",
            Format::Csv(_) => "csv",
            Format::Raw => "txt",
        };
        format!("part-{}-{epoch:020}.{ending}", self.writer)
    }

    fn failed(&self, path: &Path, error: &io::Error) -> SinkError {
        let reason = format!("{}: {error}", path.display());
        SinkError::Transient { table: self.table.clone(), reason }
    }

    fn encode(&self) -> Result<Vec<u8>, arrow::error::ArrowError> {
        let mut bytes = Vec::new();
        for batch in &self.open {
            let visible: Vec<usize> = (0..self.hidden.visible(batch)).collect();
            let batch = batch.project(&visible)?;
            match &self.format {
                Format::Json => {
                    let mut writer = LineDelimitedWriter::new(&mut bytes);
                    writer.write(&batch)?;
                    writer.finish()?;
                }
                Format::Csv(csv) => write_csv(csv, &batch, &mut bytes)?,
                Format::Raw => write_raw(&batch, &mut bytes)?,
            }
        }
        Ok(bytes)
    }

    /// Gives a staged file its name.
    fn publish(&self, name: &str) -> Result<(), SinkError> {
        let hidden = self.folder.join(format!(".{name}"));
        let path = self.folder.join(name);
        blocking(|| match std::fs::rename(&hidden, &path) {
            // It has its name already.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => std::fs::File::open(&self.folder)?.sync_all(),
        })
        .map_err(|error| self.failed(&path, &error))
    }
}

fn write_csv(
    format: &CsvFormat,
    batch: &RecordBatch,
    bytes: &mut Vec<u8>,
) -> Result<(), arrow::error::ArrowError> {
    let mut builder = WriterBuilder::new()
        .with_header(false)
        .with_delimiter(format.delimiter)
        .with_null(format.null_literal.clone().unwrap_or_default())
        .with_timestamp_format(TIMESTAMP_FORMAT.into());
    if let Some(quote) = format.quote {
        builder = builder.with_quote(quote);
    }
    builder.build(bytes).write(batch)
}

fn write_raw(batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), arrow::error::ArrowError> {
    use arrow::array::{Array, AsArray};
    let column = batch.column(0);
    for row in 0..batch.num_rows() {
        if let Some(texts) = column.as_string_opt::<i32>().filter(|texts| texts.is_valid(row)) {
            bytes.extend_from_slice(texts.value(row).as_bytes());
        } else if let Some(values) = column.as_binary_opt::<i32>().filter(|one| one.is_valid(row)) {
            bytes.extend_from_slice(values.value(row));
        }
        bytes.push(b'\n');
    }
    Ok(())
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        self.open.extend(batches);
        Ok(())
    }

    fn open_bytes(&self) -> usize {
        self.open.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        let rows = self.open.iter().map(|batch| batch.num_rows() as u64).sum();
        let name = self.name(epoch);
        let staged = Staged { table: self.table.clone(), epoch, rows, work: name.clone().into() };
        if rows == 0 {
            return Ok(staged);
        }
        let bytes = self.encode().map_err(|error| SinkError::Permanent {
            table: self.table.clone(),
            reason: error.to_string(),
        })?;
        let path = self.folder.join(format!(".{name}"));
        blocking(|| {
            std::fs::create_dir_all(&self.folder)?;
            let mut file = std::fs::File::create(&path)?;
            file.write_all(&bytes)?;
            file.sync_all()
        })
        .map_err(|error| self.failed(&path, &error))?;
        self.open.clear();
        Ok(staged)
    }

    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        match staged.work.as_str().filter(|_| staged.rows > 0) {
            Some(name) => self.publish(name),
            None => Ok(()),
        }
    }

    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError> {
        match last {
            Some(staged) => self.commit(staged).await,
            None => Ok(()),
        }
    }
}
