//! topic.json: what a topic is made with.
//!
//! Guarantees: a file of another format version is refused, not guessed at.
//! Left out: what the settings mean (topic_settings); partitions' files.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tradewind_disk::Disk;
use tradewind_types::{LogError, TopicSpec};
use uuid::Uuid;

const FORMAT_VERSION: u32 = 1;
const NAME_BYTES_MAX: usize = 249;
/// The lock's file lies beside the topics' folders.
pub(crate) const LOCK_NAME: &str = "LOCK";
/// The content of topic.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicFile {
    pub(crate) format_version: u32,
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// The topic is being removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
}

/// The one field every version has.
#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

impl TopicFile {
    /// A new topic as `spec` has it, with an id of its own.
    pub(crate) fn new(spec: &TopicSpec) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            name: spec.name.clone(),
            id: Uuid::new_v4(),
            partitions: spec.partitions,
            settings: spec.settings.clone(),
            deleted: false,
        }
    }

    pub(crate) fn path(topic_dir: &Path) -> PathBuf {
        topic_dir.join("topic.json")
    }

    /// Reads a topic's file; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk, topic_dir: &Path) -> Result<Option<Self>, LogError> {
        let path = Self::path(topic_dir);
        let bytes = match disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| io_error(&path, source))?,
        };
        let corrupt = |error: serde_json::Error| LogError::Corrupt {
            file: path.display().to_string(),
            position: error.column().saturating_sub(1) as u64,
            reason: format!("not a topic's file: {error}"),
        };
        let Versioned { format_version } = serde_json::from_slice(&bytes).map_err(corrupt)?;
        check_version(&path, format_version)?;
        Ok(Some(serde_json::from_slice(&bytes).map_err(corrupt)?))
    }

    /// Puts the file in place, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, topic_dir: &Path) -> Result<(), LogError> {
        let path = Self::path(topic_dir);
        let bytes = serde_json::to_vec(self).expect("a struct of strings and numbers is JSON");
        disk.write_atomic(&path, &bytes).map_err(|source| io_error(&path, source))
    }
}

fn check_version(path: &Path, found: u32) -> Result<(), LogError> {
    let advice = match found.cmp(&FORMAT_VERSION) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => "start the release that wrote it, or a newer one",
        std::cmp::Ordering::Less => "start a release that reads it, and upgrade from there",
    };
    Err(LogError::Invalid(format!(
        "{}: format_version is {found}, this release reads {FORMAT_VERSION}: {advice}",
        path.display()
    )))
}

/// Names the file or folder a failed operation was about.
pub(crate) fn io_error(path: &Path, source: io::Error) -> LogError {
    LogError::Io { path: path.display().to_string(), source }
}

/// Checks a topic's name and partition count.
pub(crate) fn check_spec(spec: &TopicSpec) -> Result<(), LogError> {
    let name = spec.name.as_str();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return Err(LogError::Invalid(format!(
            "topic name {name:?} is not 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, '.', '_' and '-'"
        )));
    }
    if matches!(name, "." | ".." | LOCK_NAME) {
        return Err(LogError::Invalid(format!("topic name {name:?} is reserved")));
    }
    if spec.partitions < 1 {
        return Err(LogError::Invalid(format!(
            "topic {name:?} needs at least one partition, not {}",
            spec.partitions
        )));
    }
    Ok(())
}
