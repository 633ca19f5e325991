//! The index of the aborted transactions whose marker lies in a segment
//! (docs/formats/log-segment.md).
//!
//! Guarantees: written whole or not at all, before the segment after its own is begun; one that is
//! garbled, short or another segment's is refused, to be made anew. Left out: the active segment's,
//! which is in memory and in the producers' snapshot.

use super::{FileKind, IndexFault, path};
use crate::batch::BatchHeader;
use bytes::{Buf, BufMut, TryGetError};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use tradewind_disk::Disk;
use tradewind_types::Offset;

const MAGIC: [u8; 4] = *b"TWTX";
const VERSION: u32 = 1;
/// A segment is sealed when so many transactions were aborted in it: 3.2 MB of them.
pub(crate) const ABORTED_PER_SEGMENT_MAX: usize = 100_000;
/// The largest index and some room; anything longer is none.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    /// Its first record in the partition.
    pub(crate) first: Offset,
    /// Its marker.
    pub(crate) last: Offset,
    /// Where the oldest transaction that was still open then begins, and without one the offset
    /// after the marker: whatever is aborted later begins at or after it.
    pub(crate) last_stable: Offset,
}

/// Aborted transactions by producer: whose batches are nobody's to see.
pub(crate) struct AbortedBatches(HashMap<i64, Vec<(Offset, Offset)>>);

impl AbortedBatches {
    /// `aborted` in the order of their begin.
    pub(crate) fn new(aborted: &[Aborted]) -> Self {
        let mut by_producer: HashMap<i64, Vec<_>> = HashMap::new();
        for Aborted { producer_id, first, last, .. } in aborted {
            by_producer.entry(*producer_id).or_default().push((*first, *last));
        }
        Self(by_producer)
    }

    /// Whether a batch is data of one of them.
    pub(crate) fn hold(&self, header: &BatchHeader) -> bool {
        if self.0.is_empty() || !header.transactional() {
            return false;
        }
        // A producer's transactions follow each other.
        self.0.get(&header.producer_id).is_some_and(|transactions| {
            let after = transactions.partition_point(|(first, _)| *first <= header.base_offset);
            after > 0 && transactions[after - 1].1 > header.base_offset
        })
    }
}

pub(crate) fn put_aborted(out: &mut Vec<u8>, aborted: &Aborted) {
    out.put_i64(aborted.producer_id);
    out.put_i64(aborted.first);
    out.put_i64(aborted.last);
    out.put_i64(aborted.last_stable);
}

pub(crate) fn get_aborted(body: &mut &[u8]) -> Result<Aborted, TryGetError> {
    Ok(Aborted {
        producer_id: body.try_get_i64()?,
        first: body.try_get_i64()?,
        last: body.try_get_i64()?,
        last_stable: body.try_get_i64()?,
    })
}

/// Puts the index of the segment that begins at `base` in place, durably.
pub(crate) fn write_aborted(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
    aborted: &[Aborted],
) -> io::Result<()> {
    let mut out = Vec::with_capacity(24 + aborted.len() * 32);
    out.put_slice(&MAGIC);
    out.put_u32(VERSION);
    out.put_i64(base);
    out.put_u32(aborted.len() as u32);
    aborted.iter().for_each(|aborted| put_aborted(&mut out, aborted));
    let crc = crc32c::crc32c(&out);
    out.put_u32(crc);
    disk.write_atomic(&path(dir, base, FileKind::TxnIndex), &out)
}

/// Reads the index of the segment that begins at `base`.
pub(crate) fn read_aborted(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
) -> Result<Vec<Aborted>, IndexFault> {
    let path = path(dir, base, FileKind::TxnIndex);
    let read = disk.metadata(&path).and_then(|entry| {
        if entry.len > FILE_BYTES_MAX { Ok(Vec::new()) } else { disk.read(&path) }
    });
    match read {
        Ok(bytes) => decode(&bytes, base).ok_or(IndexFault::Wrong),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(IndexFault::Wrong),
        Err(error) => Err(IndexFault::Io(error)),
    }
}

fn decode(bytes: &[u8], base: Offset) -> Option<Vec<Aborted>> {
    let (mut body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if body.get(..4)? != MAGIC || crc != crc32c::crc32c(body).to_be_bytes() {
        return None;
    }
    body.advance(4);
    let ours = body.try_get_u32().ok()? == VERSION && body.try_get_i64().ok()? == base;
    let count = body.try_get_u32().ok().filter(|_| ours)?;
    let mut aborted = Vec::new();
    for _ in 0..count {
        aborted.push(get_aborted(&mut body).ok()?);
    }
    body.is_empty().then_some(aborted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tradewind_disk::{Create, SimDisk};

    #[test]
    fn an_index_is_read_back_and_refused_once_garbled_or_under_another_name() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/p");
        disk.create_dir_all(dir).unwrap();
        let aborted = vec![Aborted { producer_id: 1, first: 2, last: 9, last_stable: 4 }; 3];
        write_aborted(&*disk, dir, 5, &aborted).unwrap();
        assert_eq!(read_aborted(&*disk, dir, 5).unwrap(), aborted);
        assert!(matches!(read_aborted(&*disk, dir, 6), Err(IndexFault::Wrong)), "there is none");
        let of = |base| path(dir, base, FileKind::TxnIndex);
        let bytes = disk.read(&of(5)).unwrap();
        disk.write_atomic(&of(6), &bytes).unwrap();
        assert!(matches!(read_aborted(&*disk, dir, 6), Err(IndexFault::Wrong)), "another's");
        for at in 0..bytes.len() as u64 {
            let file = disk.open(&of(5), Create::No).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            file.write_all_at(&[bytes[at as usize] ^ 1], at).unwrap();
            assert!(matches!(read_aborted(&*disk, dir, 5), Err(IndexFault::Wrong)), "byte {at}");
        }
    }
}
