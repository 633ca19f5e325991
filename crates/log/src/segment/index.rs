//! The sparse index of a segment: offsets and timestamps to positions.
//!
//! Guarantees: an entry read from a file passed its checksum and stands in order; a sealed
//! segment's index fits the segment to the byte or is refused, to be rebuilt.
//! Left out: rebuilding, which is a scan.

use super::{FileKind, INDEX_INTERVAL_BYTES, path};
use std::io;
use std::path::Path;
use tradewind_disk::{Create, Disk};
use tradewind_types::Offset;

const INDEX_ENTRY_BYTES: usize = 12;
const TIME_ENTRY_BYTES: usize = 16;
/// The largest segment has 32,768 entries and one more for each time it was closed: anything near
/// this is no index.
const INDEX_FILE_BYTES_MAX: u64 = 16 << 20;

/// A batch's place, and the largest timestamp before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Offset of the batch's first record, minus the segment's base.
    pub(crate) relative: u32,
    /// The batch's first byte.
    pub(crate) position: u32,
    /// The largest timestamp of the segment's batches before it.
    pub(crate) max_timestamp_before: i64,
}

/// Why an index was not taken as it is.
#[derive(Debug)]
pub(crate) enum IndexFault {
    /// Missing, garbled, or not the segment's: rebuild it.
    Wrong,
    /// The file system failed.
    Io(io::Error),
}

/// The index of one segment in memory.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    base: Offset,
    entries: Vec<IndexEntry>,
    /// Entries that are in the files already.
    written: usize,
    /// The position that was indexed last.
    indexed: u32,
    /// The largest timestamp of all batches observed.
    max_timestamp: i64,
}

impl Index {
    pub(crate) fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), written: 0, indexed: 0, max_timestamp: i64::MIN }
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    pub(crate) fn last(&self) -> Option<IndexEntry> {
        self.entries.last().copied()
    }

    /// Takes note of a batch at the segment's end. `force` indexes it wherever it is: it stands
    /// after bytes that cannot be walked over.
    pub(crate) fn observe(
        &mut self,
        offset: Offset,
        position: u64,
        max_timestamp: i64,
        force: bool,
    ) {
        let due = u64::from(self.indexed) + u64::from(INDEX_INTERVAL_BYTES);
        if position > 0 && (force || position >= due) {
            self.push(offset, position);
        }
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }

    /// Adds the entry that stands for the segment's end; says whether it was not there.
    pub(crate) fn seal(&mut self, end: Offset, bytes: u64) -> bool {
        bytes > 0 && self.push(end, bytes)
    }

    fn push(&mut self, offset: Offset, position: u64) -> bool {
        // Segments are sealed before either number is too large; a file that is not ours to begin
        // with may be longer, and is then walked from its last entry.
        let (Ok(relative), Ok(position)) =
            (u32::try_from(offset - self.base), u32::try_from(position))
        else {
            return false;
        };
        if self.entries.last().is_some_and(|last| last.position >= position) {
            return false;
        }
        self.indexed = position;
        self.entries.push(IndexEntry {
            relative,
            position,
            max_timestamp_before: self.max_timestamp,
        });
        true
    }

    /// The position from which a walk finds the batch that holds `offset`.
    pub(crate) fn floor(&self, offset: Offset) -> u64 {
        self.floor_entry(offset).0
    }

    /// As [`Index::floor`], with the offset of the batch at that position.
    pub(crate) fn floor_entry(&self, offset: Offset) -> (u64, Offset) {
        let relative = offset - self.base;
        let after = self.entries.partition_point(|entry| i64::from(entry.relative) <= relative);
        after.checked_sub(1).map_or((0, self.base), |index| {
            let entry = self.entries[index];
            (u64::from(entry.position), self.base + i64::from(entry.relative))
        })
    }

    /// The position before which every record is older than `timestamp_ms`.
    pub(crate) fn floor_by_time(&self, timestamp_ms: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.max_timestamp_before < timestamp_ms);
        after.checked_sub(1).map_or(0, |index| u64::from(self.entries[index].position))
    }

    /// Appends the entries up to `position` that are not in the files yet. Not synced.
    pub(crate) fn write(&mut self, disk: &dyn Disk, dir: &Path, position: u64) -> io::Result<()> {
        let upto = self.entries_to(position);
        if upto <= self.written {
            return Ok(());
        }
        // What lies under the name of a segment that is new is a leftover.
        let create = if self.written == 0 { Create::Truncate } else { Create::IfMissing };
        let new = &self.entries[self.written..upto];
        let offsets: Vec<u8> = new.iter().flat_map(|entry| self.offset_bytes(entry)).collect();
        let times: Vec<u8> = new.iter().flat_map(|entry| self.time_bytes(entry)).collect();
        disk.open(&path(dir, self.base, FileKind::Index), create)?
            .write_all_at(&offsets, (self.written * INDEX_ENTRY_BYTES) as u64)?;
        disk.open(&path(dir, self.base, FileKind::TimeIndex), create)?
            .write_all_at(&times, (self.written * TIME_ENTRY_BYTES) as u64)?;
        self.written = upto;
        Ok(())
    }

    /// Takes over from `written`, a copy that was written to the files, how far that went.
    pub(crate) fn note_written(&mut self, written: &Self) {
        self.written = written.written;
    }

    /// How many entries point at or below `position`.
    pub(crate) fn entries_to(&self, position: u64) -> usize {
        self.entries.partition_point(|entry| u64::from(entry.position) <= position)
    }

    /// Writes all entries and makes them durable: the segment is sealed.
    pub(crate) fn write_sealed(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        self.write(disk, dir, u64::MAX)?;
        if self.entries.is_empty() {
            return Ok(());
        }
        disk.open(&path(dir, self.base, FileKind::Index), Create::No)?.sync()?;
        disk.open(&path(dir, self.base, FileKind::TimeIndex), Create::No)?.sync()
    }

    /// Writes the files anew.
    pub(crate) fn rewrite(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        self.written = 0;
        self.write_sealed(disk, dir)
    }

    /// Reads the index of a sealed segment that ends at `end` and has `bytes` bytes.
    pub(crate) fn read_sealed(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        end: Offset,
        bytes: u64,
    ) -> Result<Self, IndexFault> {
        let (index, whole) =
            Self::read_prefix(disk, dir, base, u64::MAX).map_err(IndexFault::Io)?;
        let fits = index.last().is_some_and(|last| {
            i64::from(last.relative) == end - base && u64::from(last.position) == bytes
        });
        if whole && fits { Ok(index) } else { Err(IndexFault::Wrong) }
    }

    /// The largest timestamp of a sealed segment, from the last entries of its files alone.
    pub(crate) fn sealed_max_timestamp(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        end: Offset,
        bytes: u64,
    ) -> Result<i64, IndexFault> {
        let offsets = read_last(disk, &path(dir, base, FileKind::Index), INDEX_ENTRY_BYTES)?;
        let times = read_last(disk, &path(dir, base, FileKind::TimeIndex), TIME_ENTRY_BYTES)?;
        let entry = decode(base, &offsets, &times).ok_or(IndexFault::Wrong)?;
        if i64::from(entry.relative) != end - base || u64::from(entry.position) != bytes {
            return Err(IndexFault::Wrong);
        }
        Ok(entry.max_timestamp_before)
    }

    /// The valid entries at the start of the files, those past `position` left out; and whether
    /// that was all there is.
    pub(crate) fn read_prefix(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        position: u64,
    ) -> io::Result<(Self, bool)> {
        let offsets = read_if_there(disk, &path(dir, base, FileKind::Index))?;
        let times = read_if_there(disk, &path(dir, base, FileKind::TimeIndex))?;
        let mut index = Self::new(base);
        let pairs = offsets.chunks(INDEX_ENTRY_BYTES).zip(times.chunks(TIME_ENTRY_BYTES));
        for (offset, time) in pairs {
            let Some(entry) = decode(base, offset, time) else { break };
            let ascends = index.last().is_none_or(|last| {
                last.relative < entry.relative
                    && last.position < entry.position
                    && last.max_timestamp_before <= entry.max_timestamp_before
            });
            if !ascends || u64::from(entry.position) > position {
                break;
            }
            index.indexed = entry.position;
            index.max_timestamp = entry.max_timestamp_before;
            index.entries.push(entry);
        }
        index.written = index.entries.len();
        let whole = offsets.len() == index.written * INDEX_ENTRY_BYTES
            && times.len() == index.written * TIME_ENTRY_BYTES;
        Ok((index, whole))
    }

    fn offset_bytes(&self, entry: &IndexEntry) -> [u8; INDEX_ENTRY_BYTES] {
        let mut out = [0; INDEX_ENTRY_BYTES];
        out[..4].copy_from_slice(&entry.relative.to_be_bytes());
        out[4..8].copy_from_slice(&entry.position.to_be_bytes());
        let crc = entry_crc(self.base, &out[..8]);
        out[8..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn time_bytes(&self, entry: &IndexEntry) -> [u8; TIME_ENTRY_BYTES] {
        let mut out = [0; TIME_ENTRY_BYTES];
        out[..8].copy_from_slice(&entry.max_timestamp_before.to_be_bytes());
        out[8..12].copy_from_slice(&entry.relative.to_be_bytes());
        let crc = entry_crc(self.base, &out[..12]);
        out[12..].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// The base offset is part of the checksum, so that a file under a wrong name is not believed.
fn entry_crc(base: Offset, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&base.to_be_bytes()), bytes)
}

fn decode(base: Offset, offset: &[u8], time: &[u8]) -> Option<IndexEntry> {
    if offset.len() != INDEX_ENTRY_BYTES || time.len() != TIME_ENTRY_BYTES {
        return None;
    }
    let u32_at = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
    };
    let relative = u32_at(offset, 0);
    let whole = u32_at(offset, 8) == entry_crc(base, &offset[..8])
        && u32_at(time, 12) == entry_crc(base, &time[..12])
        && u32_at(time, 8) == relative;
    whole.then(|| IndexEntry {
        relative,
        position: u32_at(offset, 4),
        max_timestamp_before: i64::from_be_bytes(
            time[..8].try_into().expect("eight bytes were sliced"),
        ),
    })
}

/// A file that is missing, or is longer than any index, has no entries.
fn read_if_there(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    match disk.metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Ok(entry) if entry.len > INDEX_FILE_BYTES_MAX => Ok(Vec::new()),
        Ok(_) => disk.read(path),
        Err(error) => Err(error),
    }
}

fn read_last(disk: &dyn Disk, path: &Path, entry_bytes: usize) -> Result<Vec<u8>, IndexFault> {
    let file = match disk.open(path, Create::No) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(IndexFault::Wrong),
        other => other.map_err(IndexFault::Io)?,
    };
    let len = file.len().map_err(IndexFault::Io)?;
    if len == 0 || len % entry_bytes as u64 != 0 {
        return Err(IndexFault::Wrong);
    }
    let mut entry = vec![0; entry_bytes];
    file.read_exact_at(&mut entry, len - entry_bytes as u64).map_err(IndexFault::Io)?;
    Ok(entry)
}
