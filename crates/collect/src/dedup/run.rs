//! A run: the ids of one hour in a sorted file that is never changed.
//!
//! Guarantees: a file that is not byte for byte what was written is not opened; a look-up reads
//! one page of the file, and only when the filter cannot rule the id out.
//! Left out: which runs there are (see `manifest`).

use super::filter::Filter;
use crate::identity::EventId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::{Create, Disk, DiskFile};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 8] = b"TWDEDUP1";
const HEADER_BYTES: usize = 24;
const ENTRY_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;
/// Entries of a page: the most that fit into 4 KiB.
const PAGE_ENTRIES: usize = 170;
/// Bytes read at a time when a run is opened: whole entries, about a megabyte.
const OPEN_BYTES: usize = ENTRY_BYTES * 43_690;

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: PathBuf,
    pub(super) hour: i64,
    pub(super) ids: u64,
    file: Arc<dyn DiskFile>,
    filter: Filter,
    /// The high half of each page's first id.
    fences: Vec<u64>,
}

impl Run {
    /// Writes `entries`, sorted by id and without repeats, and opens the result.
    pub(super) fn write(
        disk: &dyn Disk,
        path: &Path,
        hour: i64,
        entries: &[(EventId, u64)],
    ) -> io::Result<Self> {
        debug_assert!(entries.is_sorted_by(|one, two| one.0 < two.0));
        let mut bytes =
            Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + CHECKSUM_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&hour.to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        for (id, fingerprint) in entries {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&fingerprint.to_be_bytes());
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        disk.write_atomic(path, &bytes)?;
        let file = disk.open(path, Create::No)?;
        let mut index = Index::for_ids(entries.len());
        entries.iter().for_each(|(id, _)| index.add(*id));
        let (filter, fences) = (index.filter, index.fences);
        Ok(Self { path: path.to_owned(), hour, ids: entries.len() as u64, file, filter, fences })
    }

    /// Opens a run and hands each entry to `each`.
    ///
    /// # Errors
    /// `InvalidData` when the file is not what was written.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        mut each: impl FnMut(EventId, u64),
    ) -> io::Result<Self> {
        let file = disk.open(path, Create::No)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let hour = i64::from_le_bytes(array(&header[8..16]));
        let ids = u64::from_le_bytes(array(&header[16..24]));
        let expected = ids.checked_mul(ENTRY_BYTES as u64);
        let expected =
            expected.and_then(|len| len.checked_add((HEADER_BYTES + CHECKSUM_BYTES) as u64));
        if &header[..8] != MAGIC || expected != Some(file.len()?) {
            return Err(damaged(path, "its header does not describe it"));
        }
        let mut hasher = Xxh3::new();
        hasher.update(&header);
        let mut index = Index::for_ids(ids as usize);
        each_entry(&*file, ids, &mut hasher, |id, fingerprint| {
            index.add(id);
            each(id, fingerprint);
        })?;
        let mut checksum = [0; CHECKSUM_BYTES];
        file.read_exact_at(&mut checksum, HEADER_BYTES as u64 + ids * ENTRY_BYTES as u64)?;
        if u64::from_le_bytes(checksum) != hasher.digest() {
            return Err(damaged(path, "its checksum does not match"));
        }
        Ok(Self {
            path: path.to_owned(),
            hour,
            ids,
            file,
            filter: index.filter,
            fences: index.fences,
        })
    }

    /// The fingerprint the id was accepted with, if it is in this run.
    pub(super) fn find(&self, id: EventId) -> io::Result<Option<u64>> {
        if !self.filter.may_have(id) {
            return Ok(None);
        }
        let high = (id >> 64) as u64;
        let mut page = self.fences.partition_point(|fence| *fence <= high);
        while page > 0 {
            page -= 1;
            if let Some(found) = self.find_in_page(page, id)? {
                return Ok(Some(found));
            }
            // Ids that share their high half with the page's first may lie in the page before.
            if self.fences[page] != high {
                break;
            }
        }
        Ok(None)
    }

    fn find_in_page(&self, page: usize, id: EventId) -> io::Result<Option<u64>> {
        let first = page * PAGE_ENTRIES;
        let entries = PAGE_ENTRIES.min(self.ids as usize - first);
        let mut buffer = [0; PAGE_ENTRIES * ENTRY_BYTES];
        let bytes = &mut buffer[..entries * ENTRY_BYTES];
        self.file.read_exact_at(bytes, (HEADER_BYTES + first * ENTRY_BYTES) as u64)?;
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = (low + high) / 2;
            let (found, fingerprint) = entry(&bytes[middle * ENTRY_BYTES..]);
            match found.cmp(&id) {
                std::cmp::Ordering::Equal => return Ok(Some(fingerprint)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

/// What is kept of a run in memory, while it is built.
struct Index {
    filter: Filter,
    fences: Vec<u64>,
    added: usize,
}

impl Index {
    fn for_ids(ids: usize) -> Self {
        let fences = Vec::with_capacity(ids.div_ceil(PAGE_ENTRIES));
        Self { filter: Filter::for_ids(ids), fences, added: 0 }
    }

    fn add(&mut self, id: EventId) {
        self.filter.add(id);
        if self.added.is_multiple_of(PAGE_ENTRIES) {
            self.fences.push((id >> 64) as u64);
        }
        self.added += 1;
    }
}

fn each_entry(
    file: &dyn DiskFile,
    ids: u64,
    hasher: &mut Xxh3,
    mut each: impl FnMut(EventId, u64),
) -> io::Result<()> {
    let end = HEADER_BYTES as u64 + ids * ENTRY_BYTES as u64;
    let mut buffer = vec![0; OPEN_BYTES.min((end as usize).saturating_sub(HEADER_BYTES))];
    let mut position = HEADER_BYTES as u64;
    while position < end {
        let bytes = &mut buffer[..OPEN_BYTES.min((end - position) as usize)];
        file.read_exact_at(bytes, position)?;
        hasher.update(bytes);
        for bytes in bytes.chunks_exact(ENTRY_BYTES) {
            let (id, fingerprint) = entry(bytes);
            each(id, fingerprint);
        }
        position += bytes.len() as u64;
    }
    Ok(())
}

fn entry(bytes: &[u8]) -> (EventId, u64) {
    let id = EventId::from_be_bytes(array(&bytes[..16]));
    (id, u64::from_be_bytes(array(&bytes[16..ENTRY_BYTES])))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller slices exactly N bytes")
}

fn damaged(path: &Path, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tradewind_disk::OsDisk;

    fn entries(count: u64) -> Vec<(EventId, u64)> {
        let id = |number: u64| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        let mut entries: Vec<_> = (0..count).map(|number| (id(number), number)).collect();
        // Ids that share their high half across a page's edge.
        entries.extend((0..400).map(|low| ((7u128 << 64) | low, low as u64)));
        entries.sort_unstable();
        entries
    }

    #[test]
    fn finds_what_was_written_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.ids");
        for count in [0, 1, 169, 170, 171, 5_000] {
            let entries = entries(count);
            let written = Run::write(&OsDisk, &path, 5, &entries).unwrap();
            let mut read = Vec::new();
            let opened = Run::open(&OsDisk, &path, |id, fp| read.push((id, fp))).unwrap();
            assert_eq!(read, entries);
            assert_eq!((opened.hour, opened.ids), (5, entries.len() as u64));
            for run in [&written, &opened] {
                for (id, fingerprint) in &entries {
                    assert_eq!(run.find(*id).unwrap(), Some(*fingerprint));
                    assert_eq!(run.find(id ^ 1 << 40).unwrap(), None);
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.ids");
        Run::write(&OsDisk, &path, 5, &entries(500)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in [0, 9, 17, 23, 24, 3_000, good.len() - 9, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            std::fs::write(&path, &bad).unwrap();
            assert!(Run::open(&OsDisk, &path, |_, _| ()).is_err(), "byte {at}");
        }
        for len in [0, 7, 23, 24, 100, good.len() - 1] {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(Run::open(&OsDisk, &path, |_, _| ()).is_err(), "{len} bytes");
        }
    }
}
