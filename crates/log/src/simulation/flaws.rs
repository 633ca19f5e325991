//! What the model breaks on purpose, and the syncs it leaves out for that.

use super::hooked::Hooks;
use crate::batch::parse_header;
use crate::transactions::{OFFSETS_TOPIC, STATE_TOPIC};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Batches are not checked against what their producer sent before.
    SequencesUnchecked,
    /// A start knows no producers.
    StateNotRestored,
    /// A repeated batch is acknowledged before what it repeats is durable.
    RepeatNotDurable,
    /// Markers are not fsynced before the transaction is complete.
    MarkerNotSynced,
    /// The coordinator's decisions are not fsynced before they are answered.
    DecisionNotSynced,
    /// Readers are shown what is not decided.
    LastStableIgnored,
    /// Readers are shown what was aborted.
    AbortedShown,
    /// Offsets are not fsynced before they are answered.
    OffsetsNotSynced,
    /// A transaction's offsets count at once, whatever becomes of it.
    OffsetsBeside,
    /// Nobody asks whether a transaction is open before offsets become part of it.
    OffsetsUnverified,
    /// What compaction makes is put in place before it is durable.
    CompactedNotSynced,
    /// Retention takes what is not past its time.
    RetainedTooShort,
    /// A member goes on after another has taken over.
    MembersUnfenced,
}

/// All of them.
pub(super) const ALL: [Flaw; 13] = [
    Flaw::SequencesUnchecked,
    Flaw::StateNotRestored,
    Flaw::RepeatNotDurable,
    Flaw::MarkerNotSynced,
    Flaw::DecisionNotSynced,
    Flaw::LastStableIgnored,
    Flaw::AbortedShown,
    Flaw::OffsetsNotSynced,
    Flaw::OffsetsBeside,
    Flaw::OffsetsUnverified,
    Flaw::CompactedNotSynced,
    Flaw::RetainedTooShort,
    Flaw::MembersUnfenced,
];

/// Leaves out the syncs a flaw is about.
#[derive(Debug)]
pub(super) struct LeftOut {
    flaw: Flaw,
    /// The files of which the last that was written ends a transaction.
    markers: Mutex<HashSet<PathBuf>>,
}

impl LeftOut {
    pub(super) fn of(flaw: Flaw) -> Self {
        Self { flaw, markers: Mutex::default() }
    }
}

impl Hooks for LeftOut {
    fn before_write(&self, path: &Path, bytes: &[u8]) {
        if self.flaw != Flaw::MarkerNotSynced {
            return;
        }
        let mut markers = self.markers.lock();
        match parse_header(bytes).is_ok_and(|header| header.control()) {
            true => markers.insert(path.to_path_buf()),
            false => markers.remove(path),
        };
    }

    fn syncs_file(&self, path: &Path) -> bool {
        let is = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
        let of = |topic: &str| path.to_string_lossy().contains(topic);
        match self.flaw {
            Flaw::MarkerNotSynced => !self.markers.lock().contains(path),
            Flaw::DecisionNotSynced => !(is("log") && of(STATE_TOPIC)),
            Flaw::OffsetsNotSynced => !(is("log") && of(OFFSETS_TOPIC)),
            Flaw::CompactedNotSynced => !is("compacting"),
            _ => true,
        }
    }
}
