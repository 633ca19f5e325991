//! How far a replay has come, kept beside it, so that an interrupted one goes on where it stood.
//!
//! Guarantees: the line on record is one up to which every row was acknowledged by the server or
//! written down as rejected; a record of another file, server or mapping is not used. Losing the
//! record costs time only: message ids are the same again, and the server drops what it has.
//! Left out: whether the server still has its data. A replay to a server whose data folder was
//! emptied must be told to start over.

use super::ReplayError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The version of the state file this code writes and the only one it goes on from.
const FORMAT_VERSION: u32 = 1;
/// How often the state is written while sending: what an interruption may send again.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What a state file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) format_version: u32,
    pub(super) file: String,
    pub(super) file_bytes: u64,
    pub(super) server: String,
    pub(super) mapping: u64,
    pub(super) line: u64,
}

/// The state and the rejected rows of one file.
#[derive(Debug)]
pub(super) struct State {
    position: Position,
    path: PathBuf,
    rejected_path: PathBuf,
    rejected: Option<File>,
    saved_at: Instant,
}

/// A row in the rejected file.
#[derive(Serialize, Deserialize)]
struct RejectedRow<'a> {
    file: &'a str,
    line: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

#[derive(Deserialize)]
struct RejectedLine {
    line: u64,
}

impl State {
    /// Takes up the state kept in `folder` for the file called `name` if it is of the same file,
    /// server and mapping as `fresh`, else starts from it.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        fresh: Position,
        restart: bool,
    ) -> Result<Self, ReplayError> {
        let flat = name.replace(['/', '\\'], "_");
        let path = folder.join(format!("{flat}.replay.json"));
        let rejected_path = folder.join(format!("{flat}.rejected"));
        let kept = if restart { None } else { read_position(&path, &fresh) };
        let position = kept.unwrap_or(fresh);
        forget_rejected_after(&rejected_path, position.line)
            .map_err(|source| file_error(&rejected_path, source))?;
        Ok(Self { position, path, rejected_path, rejected: None, saved_at: Instant::now() })
    }

    /// The last line of the rows that are done with.
    pub(super) fn line(&self) -> u64 {
        self.position.line
    }

    /// Where rejected rows go.
    pub(super) fn rejected_path(&self) -> &Path {
        &self.rejected_path
    }

    /// Writes down a row that is not, or will not be, an event.
    pub(super) fn reject(
        &mut self,
        line: u64,
        reason: &str,
        raw: &[u8],
    ) -> Result<(), ReplayError> {
        let text = std::str::from_utf8(raw).ok();
        let row = RejectedRow {
            file: &self.position.file,
            line,
            reason,
            raw: text,
            raw_base64: text.is_none().then(|| BASE64.encode(raw)),
        };
        let mut json = serde_json::to_vec(&row).expect("text and numbers are always JSON");
        json.push(b'\n');
        self.append_rejected(&json).map_err(|source| file_error(&self.rejected_path, source))
    }

    fn append_rejected(&mut self, json: &[u8]) -> io::Result<()> {
        if self.rejected.is_none() {
            self.rejected =
                Some(OpenOptions::new().create(true).append(true).open(&self.rejected_path)?);
        }
        let file = self.rejected.as_mut().expect("opened above");
        file.write_all(json)
    }

    /// Every row up to `line` is done with. Saved now and then.
    pub(super) fn advance(&mut self, line: u64) -> Result<(), ReplayError> {
        self.position.line = line;
        if self.saved_at.elapsed() < SAVE_EVERY {
            return Ok(());
        }
        self.save()
    }

    /// Saves, whole or not at all.
    pub(super) fn save(&mut self) -> Result<(), ReplayError> {
        self.saved_at = Instant::now();
        if let Some(rejected) = &self.rejected {
            rejected.sync_all().map_err(|source| file_error(&self.rejected_path, source))?;
        }
        let json = serde_json::to_vec_pretty(&self.position).expect("always JSON");
        let next = self.path.with_extension("json.next");
        let write = || -> io::Result<()> {
            let mut file = File::create(&next)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&next, &self.path)
        };
        write().map_err(|source| file_error(&self.path, source))
    }

    /// The file has been sent to its end: sent again, it starts from its first line.
    pub(super) fn finish(self) -> Result<(), ReplayError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file_error(&self.path, error))
            }
            _ => Ok(()),
        }
    }
}

fn file_error(path: &Path, source: io::Error) -> ReplayError {
    ReplayError::StateFile { path: path.display().to_string(), source }
}

fn read_position(path: &Path, fresh: &Position) -> Option<Position> {
    let kept: Position = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let same = Position { line: kept.line, ..fresh.clone() } == kept;
    (same && kept.format_version == FORMAT_VERSION).then_some(kept)
}

/// Rows rejected after `line` will be met again: kept twice they would be counted twice.
fn forget_rejected_after(path: &Path, line: u64) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut keep = Vec::new();
    for text in BufReader::new(file).lines() {
        let text = text?;
        if serde_json::from_str(&text).is_ok_and(|row: RejectedLine| row.line <= line) {
            keep.extend_from_slice(text.as_bytes());
            keep.push(b'\n');
        }
    }
    if keep.is_empty() { fs::remove_file(path) } else { fs::write(path, keep) }
}

impl Position {
    /// The start of a file.
    pub(super) fn start(file: &str, file_bytes: u64, server: &str, mapping: u64) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            file: file.to_owned(),
            file_bytes,
            server: server.to_owned(),
            mapping,
            line: 0,
        }
    }
}
