//! The producers of a partition at its opening: from the newest snapshot and what follows it.
//!
//! Guarantees: the same as reading the whole log, or more (producers whose batches retention has
//! removed are known from the snapshot); a snapshot that is missing or cannot be used costs a
//! longer scan. Indexes of aborted transactions that are missing are made anew.
//! Left out: the segments themselves, which are sound by then (open).

use super::{Bounds, Producers, Snapshot};
use crate::batch::Marker;
use crate::partition::{Active, Sealed};
use crate::segment::{
    self, FileKind, Index, IndexFault, Numbered, RecoveryPoint, ScanStart, read_aborted,
    write_aborted,
};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, DiskFile};
use tradewind_types::Offset;

/// What is known of a partition when its producers are looked for.
pub(in crate::partition) struct Found<'a> {
    pub(in crate::partition) disk: &'a dyn Disk,
    pub(in crate::partition) dir: &'a Path,
    pub(in crate::partition) sealed: &'a [Arc<Sealed>],
    pub(in crate::partition) active: &'a Active,
    pub(in crate::partition) end: Offset,
    pub(in crate::partition) known: Option<RecoveryPoint>,
    pub(in crate::partition) now_ms: i64,
}

/// The producers, and how they were found.
pub(in crate::partition) struct Rebuilt {
    pub(in crate::partition) producers: Producers,
    /// What the snapshot that was used speaks of.
    pub(in crate::partition) snapshot_offset: Option<Offset>,
    /// The sealed segments that have an index of aborted transactions.
    pub(in crate::partition) indexed: BTreeSet<Offset>,
    pub(in crate::partition) scanned_bytes: u64,
}

/// Finds the producers of the log that is there. Blocks.
pub(in crate::partition) fn rebuild(found: &Found<'_>, bounds: Bounds) -> io::Result<Rebuilt> {
    let snapshot = found.snapshot()?;
    let from = found.scan_from(snapshot.as_ref())?;
    let snapshot_offset = snapshot.as_ref().map(|snapshot| snapshot.offset);
    let mut rebuilt = Rebuilt {
        producers: Producers::new(bounds),
        snapshot_offset,
        indexed: BTreeSet::new(),
        scanned_bytes: 0,
    };
    if let Some(snapshot) = snapshot {
        rebuilt.indexed = found.kept(&snapshot.indexed).collect();
        rebuilt.producers.restore(snapshot);
    }
    for sealed in found.sealed {
        // Those that ended below the snapshot are spoken of by its list of indexes.
        if sealed.end <= snapshot_offset.unwrap_or(0) {
            continue;
        }
        if sealed.end > from {
            let file = segment::path(found.dir, sealed.base, FileKind::Log);
            let file = found.disk.open(&file, Create::No)?;
            let (index, _) = Index::read_prefix(found.disk, found.dir, sealed.base, sealed.bytes)?;
            rebuilt.walk(&*file, &index, (from, sealed.bytes), sealed.last_append_ms)?;
        }
        rebuilt.seal(found, sealed.base)?;
    }
    if found.end > from {
        let active = found.active;
        let seen_ms = active.last_append_ms.min(found.now_ms);
        rebuilt.walk(&*active.file, &active.index, (from, active.bytes), seen_ms)?;
    }
    rebuilt.producers.expire(found.now_ms);
    Ok(rebuilt)
}

impl Found<'_> {
    /// The newest snapshot, if the indexes it names are there.
    fn snapshot(&self) -> io::Result<Option<Snapshot>> {
        let Some(snapshot) = Snapshot::newest(self.disk, self.dir, self.end)? else {
            return Ok(None);
        };
        for base in self.kept(&snapshot.indexed) {
            match read_aborted(self.disk, self.dir, base) {
                Ok(_) => {}
                Err(IndexFault::Io(error)) => return Err(error),
                Err(IndexFault::Wrong) => {
                    let file = segment::path(self.dir, base, FileKind::TxnIndex);
                    tracing::warn!(file = %file.display(), "index of aborted transactions is missing or wrong: the log is read instead");
                    return Ok(None);
                }
            }
        }
        Ok(Some(snapshot))
    }

    /// Those of the segments that retention has left.
    fn kept<'b>(&'b self, bases: &'b [Offset]) -> impl Iterator<Item = Offset> + 'b {
        let there = |base: &Offset| self.sealed.iter().any(|sealed| sealed.base == *base);
        bases.iter().copied().filter(there)
    }

    /// From which offset on batches must be looked at.
    fn scan_from(&self, snapshot: Option<&Snapshot>) -> io::Result<Offset> {
        let start = self.sealed.first().map_or(self.active.base, |oldest| oldest.base);
        let from = snapshot.map_or(start, |snapshot| snapshot.offset);
        let Some(point) = self.known else { return Ok(from) };
        let nothing_between = if point.numbered.known() {
            point.numbered == Numbered::below(snapshot.map(|snapshot| snapshot.offset))
        } else {
            // Written by a release that neither checked sequences nor served transactions.
            snapshot.is_none() && !Snapshot::any(self.disk, self.dir)?
        };
        Ok(if nothing_between { from.max(point.offset.min(self.end)) } else { from })
    }
}

impl Rebuilt {
    /// Replays the batches from `from` on of the segment `file`, up to its byte `limit`.
    fn walk(
        &mut self,
        file: &dyn DiskFile,
        index: &Index,
        (from, limit): (Offset, u64),
        seen_ms: i64,
    ) -> io::Result<()> {
        let (position, offset) = index.floor_entry(from);
        let start = ScanStart { position, offset, durable_to: u64::MAX };
        let producers = &mut self.producers;
        self.scanned_bytes += segment::walk(file, start, limit, |header, read| {
            if header.producer_id < 0 || header.end_offset() <= from {
                return Ok(());
            }
            let marker = if header.control() { Marker::read(header, &read()?) } else { None };
            producers.replay(header, marker, seen_ms);
            Ok(())
        })?;
        Ok(())
    }

    /// What was aborted in a segment that is sealed goes to its index.
    fn seal(&mut self, found: &Found<'_>, base: Offset) -> io::Result<()> {
        let aborted = self.producers.aborted();
        if aborted.is_empty() {
            return Ok(());
        }
        match read_aborted(found.disk, found.dir, base) {
            Ok(there) if there == aborted => {}
            Err(IndexFault::Io(error)) => return Err(error),
            _ => write_aborted(found.disk, found.dir, base, aborted)?,
        }
        self.indexed.insert(base);
        self.producers.clear_aborted();
        Ok(())
    }
}

impl Producers {
    fn restore(&mut self, snapshot: Snapshot) {
        for (id, producer) in snapshot.producers {
            if let Some(first) = producer.open_from {
                self.open.insert(first, id);
            }
            self.insert(id, producer);
        }
        self.aborted = snapshot.aborted;
    }
}
