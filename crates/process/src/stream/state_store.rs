//! The files of operators' state. See `docs/formats/state.md`.
//!
//! Guarantees: a file that a manifest names is on disk before the manifest is; one that is not what
//! was written is refused with its name. Files no manifest names are removed.
//! Left out: what the rows mean, which their operator knows.

use crate::ProcessError;
use crate::blocking::blocking;
use arrow::array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_dataflow::StateRows;
use tradewind_disk::{Create, Disk};
use tradewind_types::Epoch;

/// What every file begins with: the format's name and version.
const MAGIC: &[u8; 8] = b"TWSTATE1";
/// Bytes before each batch: its length (u64) and its CRC-32C (u32), little-endian.
const FRAME_BYTES: usize = 12;

/// A file of one operator's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Its name in the pipeline's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it holds all state, and nothing before it counts.
    pub full: bool,
}

/// What the manifest says of one operator's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Its id.
    pub operator: String,
    /// What its state looks like: see `Graph::fingerprint`.
    pub fingerprint: String,
    /// To be restored in this order.
    pub files: Vec<StateFile>,
}

/// The state files of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct StateStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl StateStore {
    /// The state files in a pipeline's folder, which is there.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Makes one operator's rows durable. The folder's entry is made durable with the manifest
    /// that names the file.
    ///
    /// # Errors
    /// The disk; a bug.
    pub(crate) fn write(
        &self,
        epoch: Epoch,
        rows: &StateRows,
        full: bool,
    ) -> Result<StateFile, ProcessError> {
        let name = format!("state-{epoch:020}-{}.arrow", rows.operator);
        let path = self.dir.join(&name);
        let bytes = encode(&rows.batches)?;
        let written = blocking(|| {
            // A run that was killed before its manifest may have left one of this name.
            let file = self.disk.open(&path, Create::Truncate)?;
            file.write_all_at(&bytes, 0)?;
            file.sync()
        });
        written.map_err(|source| io_error(&path, source))?;
        Ok(StateFile { name, bytes: bytes.len() as u64, full })
    }

    /// A file's rows.
    ///
    /// # Errors
    /// It is not there, or not what was written.
    pub(crate) fn read(&self, file: &StateFile) -> Result<Vec<RecordBatch>, ProcessError> {
        let path = self.dir.join(&file.name);
        let bytes = blocking(|| self.disk.read(&path)).map_err(|source| io_error(&path, source))?;
        let refused = |reason| ProcessError::Manifest { path: path.display().to_string(), reason };
        if bytes.len() as u64 != file.bytes {
            let reason = format!("it has {} bytes, its manifest says {}", bytes.len(), file.bytes);
            return Err(refused(reason));
        }
        decode(&bytes).map_err(refused)
    }

    /// Removes every file that is not named.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn prune(&self, kept: &BTreeSet<String>) -> Result<(), ProcessError> {
        let entries =
            blocking(|| self.disk.list(&self.dir)).map_err(|source| io_error(&self.dir, source))?;
        for entry in entries {
            let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with("state-") || kept.contains(name) {
                continue;
            }
            match blocking(|| self.disk.remove_file(&entry.path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&entry.path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Batches, each of any schema, as a file.
fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>, ProcessError> {
    let bug = |error: arrow::error::ArrowError| ProcessError::Internal(error.to_string());
    let mut bytes = MAGIC.to_vec();
    for batch in batches {
        let begin = bytes.len();
        bytes.resize(begin + FRAME_BYTES, 0);
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(bug)?;
        writer.write(batch).and_then(|()| writer.finish()).map_err(bug)?;
        drop(writer);
        let body = begin + FRAME_BYTES;
        let length = (bytes.len() - body) as u64;
        let crc = crc32c::crc32c(&bytes[body..]);
        bytes[begin..begin + 8].copy_from_slice(&length.to_le_bytes());
        bytes[begin + 8..body].copy_from_slice(&crc.to_le_bytes());
    }
    Ok(bytes)
}

/// A file as its batches; the error is what does not hold.
fn decode(bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err("it is no state file of this version".into());
    };
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let Some((frame, behind)) = rest.split_at_checked(FRAME_BYTES) else {
            return Err("it ends within a frame".into());
        };
        let length = u64::from_le_bytes(frame[..8].try_into().expect("a frame has 12 bytes"));
        let crc = u32::from_le_bytes(frame[8..].try_into().expect("a frame has 12 bytes"));
        let body = usize::try_from(length).ok().and_then(|length| behind.split_at_checked(length));
        let Some((body, behind)) = body else { return Err("it ends within a batch".into()) };
        if crc32c::crc32c(body) != crc {
            return Err(format!("batch {} has another CRC than its frame says", batches.len()));
        }
        for batch in StreamReader::try_new(body, None).map_err(|error| error.to_string())? {
            batches.push(batch.map_err(|error| error.to_string())?);
        }
        rest = behind;
    }
    Ok(batches)
}

fn io_error(path: &Path, source: io::Error) -> ProcessError {
    ProcessError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    #[test]
    fn batches_of_several_schemas_read_back_and_no_changed_byte_is_overlooked() {
        let ids = RecordBatch::try_from_iter([(
            "id",
            Arc::new(Int64Array::from(vec![1, 2])) as arrow::array::ArrayRef,
        )]);
        let names = RecordBatch::try_from_iter([(
            "name",
            Arc::new(StringArray::from(vec!["be"])) as arrow::array::ArrayRef,
        )]);
        let batches = vec![ids.unwrap(), names.unwrap()];
        let good = encode(&batches).unwrap();
        assert_eq!(decode(&good).unwrap(), batches);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
    }
}
