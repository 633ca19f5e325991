//! Putting a compacted segment in the place of those it was made of.
//!
//! Guarantees: after a kill or a power cut at any step, a start finds the old segments or the new
//! one, never parts of both; readers that have an old file open go on reading it.
//! Left out: making the new one (compact).
//!
//! The steps: the new segment is written beside the others as `<base>.compacting` and synced;
//! renamed to `<base>-<end>.swap`, the folder synced: from here on it holds. Then the old segments
//! but the first are removed, with the indexes of all, and the folder is synced; then the new one
//! takes the first one's name, and the folder is synced; then its indexes are written. A start that
//! finds a `.swap` goes on from there: its name says which segments it stands for.

use super::{Partition, Sealed};
use crate::segment::{self, FileKind, Index};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_types::{LogError, Offset};

const COMPACTING: &str = "compacting";
const SWAP: &str = "swap";
/// A `.swap` that a start has given its name anew.
const SWAP_AGAIN: &str = "swap-again";

/// A compacted segment, written and synced under its first name.
pub(super) struct Made {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) bytes: u64,
    pub(super) index: Index,
}

/// Where the segment that begins at `base` is made.
pub(super) fn compacting_path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(format!("{base:020}.{COMPACTING}"))
}

fn swap_path(dir: &Path, base: Offset, end: Offset) -> PathBuf {
    dir.join(format!("{base:020}-{end:020}.{SWAP}"))
}

/// The offsets that a decided swap's name says.
fn decided_range(path: &Path) -> Option<(Offset, Offset)> {
    let kind = path.extension()?.to_str()?;
    if ![SWAP, SWAP_AGAIN].contains(&kind) {
        return None;
    }
    let (base, end) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((base.parse().ok()?, end.parse().ok()?))
}

/// Finishes what a crash left of compaction in `dir`: a segment that was not whole is removed, one
/// that was takes its place. Called before anything else in the folder is looked at.
pub(super) fn finish(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let entries = match disk.list(dir) {
        // Reported by whoever looks for the segments.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in &entries {
        let path = &entry.path;
        if path.extension().is_some_and(|kind| kind == COMPACTING) {
            disk.remove_file(path)?;
        }
        let Some((base, end)) = decided_range(path) else { continue };
        // Should the sync of its name have failed before, no later one would help it: it gets
        // another name.
        let is_first = path.extension().is_some_and(|kind| kind == SWAP);
        let decided = path.with_extension(if is_first { SWAP_AGAIN } else { SWAP });
        disk.rename(path, &decided)?;
        disk.sync_dir(dir)?;
        let old = entries.iter().filter_map(|entry| segment::parse_path(&entry.path));
        let old = old.filter(|(at, _)| (base..end).contains(at));
        let old = old.filter(|(at, kind)| *at > base || *kind != FileKind::Log);
        put_in_place(disk, dir, old, &decided, base)?;
        tracing::info!(segment = %path.display(), "finished an interrupted compaction");
    }
    Ok(())
}

/// Removes `old`, then gives `decided` the name of the segment at `base`.
fn put_in_place(
    disk: &dyn Disk,
    dir: &Path,
    old: impl Iterator<Item = (Offset, FileKind)>,
    decided: &Path,
    base: Offset,
) -> io::Result<()> {
    for (at, kind) in old {
        match disk.remove_file(&segment::path(dir, at, kind)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.sync_dir(dir)?;
    disk.rename(decided, &segment::path(dir, base, FileKind::Log))?;
    disk.sync_dir(dir)
}

impl Partition {
    /// Puts `made` in the place of `old`; false, with nothing changed, when retention or the
    /// partition's end came first. Blocks.
    pub(super) fn swap(&self, old: &[Arc<Sealed>], mut made: Made) -> Result<bool, LogError> {
        let _sync = self.sync_lock.lock();
        let _files = self.files_lock.write();
        let Some(at) = self.place_of(old) else {
            self.discard(&made);
            return Ok(false);
        };
        let decided = swap_path(&self.dir, made.base, made.end);
        let swapped = (|| {
            let disk = self.disk();
            disk.rename(&compacting_path(&self.dir, made.base), &decided)?;
            disk.sync_dir(&self.dir)?;
            let indexes = [FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex];
            let first = indexes.map(|kind| (made.base, kind)).into_iter();
            let others = old[1..].iter().flat_map(|segment| {
                [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex]
                    .map(|kind| (segment.base, kind))
            });
            put_in_place(disk, &self.dir, first.chain(others), &decided, made.base)
        })();
        if let Err(source) = swapped {
            // Which files are there, only a start can tell; it finishes the swap.
            let reason = format!("{}: {source}", decided.display());
            self.go_offline(&reason);
            return Err(self.io_error(&decided, source));
        }
        if let Err(error) = made.index.rewrite(self.disk(), &self.dir) {
            tracing::warn!(topic = %self.topic, partition = self.id, %error, "index was not written: it will be rebuilt");
        }
        self.say_none_aborted(old);
        self.note_swapped(at, old, &made);
        Ok(true)
    }

    /// Where the snapshot of the producers promises an index of aborted transactions there is one,
    /// although nothing of them is left: without it the next start would read the whole log.
    fn say_none_aborted(&self, old: &[Arc<Sealed>]) {
        let Some(first) = old.first().filter(|first| first.aborted) else { return };
        let written = segment::write_aborted(self.disk(), &self.dir, first.base, &[]);
        if let Err(error) = written {
            tracing::warn!(topic = %self.topic, partition = self.id, %error, "index of aborted transactions was not written: the next start reads more");
        }
    }

    /// Where `old` begins among the sealed segments, if they all are still there.
    fn place_of(&self, old: &[Arc<Sealed>]) -> Option<usize> {
        let state = self.state.lock();
        if state.stopped.is_some() {
            return None;
        }
        let first = old.first()?;
        let at = state.sealed.iter().position(|segment| Arc::ptr_eq(segment, first))?;
        let there = state.sealed.get(at..at + old.len())?;
        there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b)).then_some(at)
    }

    fn note_swapped(&self, at: usize, old: &[Arc<Sealed>], made: &Made) {
        for segment in old {
            self.shared.cache.remove((self.life, segment.base));
        }
        let mut state = self.state.lock();
        let new = Arc::new(Sealed {
            base: made.base,
            end: made.end,
            bytes: made.bytes,
            max_timestamp: made.index.max_timestamp(),
            last_append_ms: old.iter().map(|segment| segment.last_append_ms).max().unwrap_or(0),
            // Nothing is left of what was aborted.
            aborted: false,
        });
        state.swaps += 1;
        state.sealed.splice(at..at + old.len(), [new]);
        state.tail.forget_below(made.end);
    }

    /// Removes a segment that is not needed after all; if that fails, the next start does it.
    fn discard(&self, made: &Made) {
        let path = compacting_path(&self.dir, made.base);
        if let Err(error) = self.disk().remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "could not be removed");
        }
    }
}
