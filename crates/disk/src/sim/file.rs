//! A file's bytes, and what is not synced of them.
//!
//! Guarantees: reading sees every write at once, as through a page cache; what a power cut leaves
//! is decided when power returns.
//! Left out: names (a file may have several, or none) and space accounting.

use super::journal::{Change, Journal};
use rand::Rng;
use rand::rngs::StdRng;

/// What is written in one piece: a write may survive sector by sector.
const SECTOR_BYTES: usize = 512;

/// A file without a name.
#[derive(Debug, Default)]
pub(super) struct FileNode {
    /// The bytes as the running system sees them.
    pub(super) bytes: Vec<u8>,
    /// Changes to `bytes`.
    pub(super) journal: Journal<ByteChange>,
    /// When `bytes` last changed, in milliseconds since the Unix epoch.
    pub(super) modified_ms: i64,
    /// Names it has.
    pub(super) links: u32,
    /// The handle that has taken it for itself.
    pub(super) locked_by: Option<u64>,
    /// The last power-on that settled it: a file with two names is settled once.
    pub(super) settled: u64,
}

/// A change of a file's bytes, with what it takes to undo it.
#[derive(Debug)]
pub(super) enum ByteChange {
    Write { position: usize, bytes: Vec<u8>, len_before: usize, overwritten: Vec<u8> },
    SetLen { len: usize, len_before: usize, cut: Vec<u8> },
}

impl FileNode {
    /// Writes `bytes` at `position`; a gap before it reads as zeros.
    pub(super) fn write(&mut self, bytes: &[u8], position: usize, now_ms: i64) {
        let end = (position + bytes.len()).min(self.bytes.len());
        let overwritten = self.bytes.get(position..end).unwrap_or_default().to_vec();
        let len_before = self.bytes.len();
        let change = ByteChange::Write { position, bytes: bytes.to_vec(), len_before, overwritten };
        self.change(change, now_ms);
    }

    /// Cuts or extends the file.
    pub(super) fn set_len(&mut self, len: usize, now_ms: i64) {
        let cut = self.bytes.get(len..).unwrap_or_default().to_vec();
        let change = ByteChange::SetLen { len, len_before: self.bytes.len(), cut };
        self.change(change, now_ms);
    }

    fn change(&mut self, change: ByteChange, now_ms: i64) {
        change.apply(&mut self.bytes);
        self.journal.push(change);
        self.modified_ms = now_ms;
    }

    /// Leaves what survived the power cut. `generation` is the number of this power-on.
    pub(super) fn settle(&mut self, generation: u64, rng: &mut StdRng) {
        if self.settled != generation {
            self.settled = generation;
            self.journal.settle(&mut self.bytes, rng);
            self.locked_by = None;
        }
    }
}

impl Change for ByteChange {
    type Of = Vec<u8>;

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes, .. } => {
                let end = position + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*position..end].copy_from_slice(bytes);
            }
            Self::SetLen { len, .. } => to.resize(*len, 0),
        }
    }

    fn undo(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { position, len_before, overwritten, .. } => {
                to.truncate(*len_before);
                let end = position + overwritten.len();
                if !overwritten.is_empty() {
                    to[*position..end].copy_from_slice(overwritten);
                }
            }
            Self::SetLen { len, len_before, cut } => {
                to.resize(*len_before, 0);
                if !cut.is_empty() {
                    to[*len..].copy_from_slice(cut);
                }
            }
        }
    }

    fn torn(&self, rng: &mut StdRng) -> Option<Self> {
        let Self::Write { position, bytes, .. } = self else { return None };
        let start = if rng.random() {
            0 // a beginning of it
        } else {
            // An end of it, from a sector's edge on: the sectors before were not written yet.
            let sectors = bytes.len() / SECTOR_BYTES;
            rng.random_range(0..=sectors) * SECTOR_BYTES
        };
        let end = if start == 0 { rng.random_range(0..=bytes.len()) } else { bytes.len() };
        let part = bytes[start..end].to_vec();
        let position = position + start;
        // Never undone: a torn change is only made after everything was undone.
        Some(Self::Write { position, bytes: part, len_before: 0, overwritten: Vec::new() })
    }
}
