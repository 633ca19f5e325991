//! Manifests: what a pipeline has done, one file for each checkpoint. See `docs/formats/manifest.md`.
//!
//! Guarantees: after a crash at any moment the newest manifest is a whole one; one that is not
//! what was written is refused with its name, never passed over for an older one.
//! Left out: when they are written, and what their parts mean to sources and sinks.

use crate::ProcessError;
use crate::blocking::blocking;
use crate::stream::state_store::OperatorState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_dataflow::OperatorId;
use tradewind_dataflow::operator::assign_watermark::WatermarkState;
use tradewind_disk::Disk;
use tradewind_types::connector::Positions;
use tradewind_types::{Epoch, Staged, TimestampMicros};

/// The version this code writes.
pub const FORMAT_VERSION: u64 = 2;
/// The oldest version this code reads.
const OLDEST_VERSION: u64 = 1;
/// How many manifests are kept: the newest, and the one before for a person to look at. The state
/// files of both are kept too, which whoever prunes those has to know.
const KEPT: usize = 2;

/// The body of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which pipeline, for good.
    pub pipeline_id: String,
    /// Its name when this was written.
    pub pipeline: String,
    /// The incarnation that wrote it.
    pub incarnation: u64,
    /// The checkpoint's number.
    pub epoch: Epoch,
    /// Microseconds since the Unix epoch.
    pub written_at: TimestampMicros,
    /// How far each source has been read.
    pub sources: Vec<SourcePositions>,
    /// Operators' state.
    pub state: Vec<OperatorState>,
    /// How far event time has come, by operator id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watermarks: BTreeMap<OperatorId, WatermarkState>,
    /// What each sink has made durable in this epoch.
    pub staged: Vec<SinkWork>,
}

impl Manifest {
    /// How far a source had been read, by its operator id.
    pub fn source(&self, operator: &str) -> Option<&SourcePositions> {
        self.sources.iter().find(|source| source.operator == operator)
    }
}

/// The files that hold operators' state.
pub(crate) fn state_files(state: &[OperatorState]) -> BTreeSet<String> {
    let files = state.iter().flat_map(|state| &state.files);
    files.map(|file| file.name.clone()).collect()
}

/// How far a source has been read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourcePositions {
    /// The source's operator id.
    pub operator: String,
    /// The topic's name; for what is no topic the table's.
    pub topic: String,
    /// Kafka's topic id, 32 hexadecimal digits; empty for what is no topic.
    pub topic_id: String,
    /// The next offset to read, by partition.
    pub positions: Positions,
}

/// A sink's staged work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkWork {
    /// `sink-1` or `dead-letters`.
    pub sink: String,
    /// What it staged.
    #[serde(flatten)]
    pub staged: Staged,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u64,
    bytes: usize,
    crc32c: String,
}

/// The manifests of one pipeline.
#[derive(Debug, Clone)]
pub struct ManifestStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl ManifestStore {
    /// The manifests in `dir`, which is made when there is none.
    ///
    /// # Errors
    /// The disk.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, ProcessError> {
        blocking(|| disk.create_dir_all(&dir)).map_err(|source| io_error(&dir, source))?;
        Ok(Self { disk, dir })
    }

    /// The newest manifest, durable from here on, or `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read, is not what was written, or has another format version.
    pub fn newest(&self) -> Result<Option<Manifest>, ProcessError> {
        let Some(epoch) = self.epochs()?.pop() else { return Ok(None) };
        let manifest = self.read(epoch)?;
        // A process that was killed may have renamed it without syncing the folder: it is written
        // anew, so that no power cut takes back a manifest whose epoch is about to be committed.
        self.write(&manifest)?;
        Ok(Some(manifest))
    }

    /// Makes a manifest durable under its epoch. Returns its length in bytes.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, manifest: &Manifest) -> Result<usize, ProcessError> {
        let path = self.path(manifest.epoch);
        let bytes = encode(manifest);
        blocking(|| self.disk.write_atomic(&path, &bytes))
            .map_err(|source| io_error(&path, source))?;
        Ok(bytes.len())
    }

    /// Removes all but the newest manifests.
    ///
    /// # Errors
    /// The disk.
    pub fn prune(&self) -> Result<(), ProcessError> {
        let epochs = self.epochs()?;
        let old = &epochs[..epochs.len().saturating_sub(KEPT)];
        for epoch in old {
            let path = self.path(*epoch);
            match blocking(|| self.disk.remove_file(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, epoch: Epoch) -> Result<Manifest, ProcessError> {
        let path = self.path(epoch);
        let bytes = blocking(|| self.disk.read(&path)).map_err(|source| io_error(&path, source))?;
        let manifest = decode(&bytes).map_err(|reason| refused(&path, reason))?;
        if manifest.epoch != epoch {
            let reason = format!("it says it is epoch {}", manifest.epoch);
            return Err(refused(&path, reason));
        }
        Ok(manifest)
    }

    /// Removes every manifest and their folder.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(&self) -> Result<(), ProcessError> {
        match blocking(|| self.disk.remove_dir_all(&self.dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&self.dir, error))
            }
            _ => Ok(()),
        }
    }

    /// The epochs that have a manifest, ascending.
    fn epochs(&self) -> Result<Vec<Epoch>, ProcessError> {
        let entries =
            blocking(|| self.disk.list(&self.dir)).map_err(|source| io_error(&self.dir, source))?;
        let epoch = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("manifest-")?.strip_suffix(".json")?.parse().ok()
        };
        let mut epochs: Vec<Epoch> =
            entries.iter().filter_map(|entry| epoch(&entry.path)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn path(&self, epoch: Epoch) -> PathBuf {
        self.dir.join(format!("manifest-{epoch:020}.json"))
    }
}

/// A manifest as its file.
pub fn encode(manifest: &Manifest) -> Vec<u8> {
    let body = serde_json::to_vec(manifest).expect("text, numbers and lists always serialise");
    let header = Header {
        format_version: FORMAT_VERSION,
        bytes: body.len(),
        crc32c: format!("{:08x}", crc32c::crc32c(&body)),
    };
    let mut bytes = serde_json::to_vec(&header).expect("text and numbers always serialise");
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    bytes
}

/// A file as its manifest; the error is what does not hold.
pub fn decode(bytes: &[u8]) -> Result<Manifest, String> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let header: Header =
        serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
    if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&header.format_version) {
        return Err(format!(
            "it has format {}, this version reads {OLDEST_VERSION} to {FORMAT_VERSION}: use the version of tradewind that wrote it",
            header.format_version
        ));
    }
    let body = lines.next().unwrap_or_default();
    let Some(body) = body.strip_suffix(b"\n").filter(|body| body.len() == header.bytes) else {
        return Err(format!("it has {} bytes, its header says {}", body.len(), header.bytes));
    };
    let found = format!("{:08x}", crc32c::crc32c(body));
    if found != header.crc32c {
        return Err(format!("its CRC is {found}, its header says {}", header.crc32c));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn io_error(path: &Path, source: io::Error) -> ProcessError {
    ProcessError::Io { path: path.display().to_string(), source }
}

fn refused(path: &Path, reason: String) -> ProcessError {
    ProcessError::Manifest { path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            pipeline_id: "p".into(),
            pipeline: "orders".into(),
            incarnation: 2,
            epoch: 7,
            written_at: 1,
            sources: vec![SourcePositions {
                operator: "source-1".into(),
                topic: "events".into(),
                topic_id: "00".repeat(16),
                positions: Positions::from([(0, 5), (1, 9)]),
            }],
            state: Vec::new(),
            watermarks: BTreeMap::new(),
            staged: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        assert_eq!(decode(&encode(&manifest())).unwrap(), manifest());
    }

    #[test]
    fn the_first_format_is_still_read() {
        let bytes = include_bytes!("../../tests/fixtures/manifest-v1.json");
        assert_eq!(decode(bytes).unwrap(), manifest());
    }

    #[test]
    fn no_changed_byte_is_overlooked() {
        let good = encode(&manifest());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            assert!(decode(&bad).is_err() || decode(&bad).unwrap() == manifest(), "byte {at}");
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
