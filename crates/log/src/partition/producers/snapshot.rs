//! A partition's producers in a file, so that a start need not read the log
//! (docs/formats/producers.md).
//!
//! Guarantees: a file is there whole or not at all, and says of which end of the log it speaks; one
//! that is garbled, short or of another version is not used. Left out: when it is written (sync,
//! roll).

use super::{BATCHES_MAX, Producer, Producers, SentBatch};
use crate::segment::{self, Aborted};
use bytes::{Buf, BufMut, TryGetError};
use std::io;
use std::path::{Path, PathBuf};
use tradewind_disk::Disk;
use tradewind_types::Offset;

const MAGIC: [u8; 4] = *b"TWPS";
const VERSION: u32 = 1;
const EXTENSION: &str = "producers";
/// Far beyond the largest there can be: 10,000 producers, 100,000 aborted transactions.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Snapshots that are kept: the newest, and one to fall back on.
const KEPT: usize = 2;

/// The producers as of one end of the log.
#[derive(Debug)]
pub(in crate::partition) struct Snapshot {
    pub(in crate::partition) offset: Offset,
    pub(super) producers: Vec<(i64, Producer)>,
    /// Of the segment that held the end.
    pub(super) aborted: Vec<Aborted>,
    /// Base offsets of the sealed segments that have an index of aborted transactions.
    pub(super) indexed: Vec<Offset>,
}

impl Snapshot {
    /// The producers as they are, which is as of `offset`. `indexed` are the sealed segments with
    /// an index of aborted transactions.
    pub(in crate::partition) fn of(
        producers: &Producers,
        offset: Offset,
        indexed: Vec<Offset>,
    ) -> Self {
        let mut all: Vec<_> =
            producers.by_id.iter().map(|(id, producer)| (*id, producer.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        Self { offset, producers: all, aborted: producers.aborted.clone(), indexed }
    }

    /// Puts the snapshot in place, durably, and removes those that are older than the one before.
    pub(in crate::partition) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        disk.write_atomic(&path(dir, self.offset), &self.encode())?;
        let mut there = list(disk, dir)?;
        there.retain(|offset| *offset < self.offset);
        for offset in there.iter().rev().skip(KEPT - 1) {
            disk.remove_file(&path(dir, *offset))?;
        }
        Ok(())
    }

    /// The newest snapshot that can be used of a log that ends at `end`; those that speak of more
    /// than there is are removed, durably, because what comes to lie there is something else.
    pub(in crate::partition) fn newest(
        disk: &dyn Disk,
        dir: &Path,
        end: Offset,
    ) -> io::Result<Option<Self>> {
        remove_unfinished(disk, dir)?;
        let there = list(disk, dir)?;
        let ahead: Vec<_> = there.iter().filter(|offset| **offset > end).collect();
        for offset in &ahead {
            disk.remove_file(&path(dir, **offset))?;
        }
        if !ahead.is_empty() {
            disk.sync_dir(dir)?;
        }
        for offset in there.iter().rev().filter(|offset| **offset <= end) {
            let file = path(dir, *offset);
            if let Some(snapshot) = read(disk, &file)?.filter(|read| read.offset == *offset) {
                return Ok(Some(snapshot));
            }
            tracing::warn!(file = %file.display(), "the producers' snapshot cannot be used: the log is read instead");
        }
        Ok(None)
    }

    /// Whether the folder has any, good or bad.
    pub(in crate::partition) fn any(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
        Ok(!list(disk, dir)?.is_empty())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.producers.len() * 192);
        out.put_slice(&MAGIC);
        out.put_u32(VERSION);
        out.put_i64(self.offset);
        out.put_u32(self.producers.len() as u32);
        for (id, producer) in &self.producers {
            put_producer(&mut out, *id, producer);
        }
        out.put_u32(self.aborted.len() as u32);
        for aborted in &self.aborted {
            segment::put_aborted(&mut out, aborted);
        }
        out.put_u32(self.indexed.len() as u32);
        self.indexed.iter().for_each(|base| out.put_i64(*base));
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    /// Reads what [`Snapshot::encode`] wrote; `None` when it is something else.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let known = body.get(..4)? == MAGIC && crc == crc32c::crc32c(body).to_be_bytes();
        body.advance(4);
        (known && body.get_u32() == VERSION).then(|| fields(body).ok())?
    }
}

fn fields(mut body: &[u8]) -> Result<Snapshot, TryGetError> {
    let offset = body.try_get_i64()?;
    let mut producers = Vec::new();
    for _ in 0..body.try_get_u32()? {
        producers.push(get_producer(&mut body)?);
    }
    let mut aborted = Vec::new();
    for _ in 0..body.try_get_u32()? {
        aborted.push(segment::get_aborted(&mut body)?);
    }
    let mut indexed = Vec::new();
    for _ in 0..body.try_get_u32()? {
        indexed.push(body.try_get_i64()?);
    }
    Ok(Snapshot { offset, producers, aborted, indexed })
}

fn put_producer(out: &mut Vec<u8>, id: i64, producer: &Producer) {
    out.put_i64(id);
    out.put_i16(producer.epoch);
    out.put_i64(producer.open_from.unwrap_or(-1));
    out.put_i64(producer.timestamp_ms);
    out.put_i64(producer.seen_ms);
    out.put_u8(producer.batches.len() as u8);
    for batch in &producer.batches {
        out.put_i32(batch.first_sequence);
        out.put_i32(batch.last_sequence);
        out.put_i64(batch.base_offset);
        out.put_i64(batch.timestamp_ms);
    }
}

fn get_producer(body: &mut &[u8]) -> Result<(i64, Producer), TryGetError> {
    let id = body.try_get_i64()?;
    let mut producer = Producer::new(body.try_get_i16()?);
    producer.open_from = Some(body.try_get_i64()?).filter(|first| *first >= 0);
    producer.timestamp_ms = body.try_get_i64()?;
    producer.seen_ms = body.try_get_i64()?;
    let count = usize::from(body.try_get_u8()?);
    for _ in 0..count.min(BATCHES_MAX) {
        producer.batches.push(SentBatch {
            first_sequence: body.try_get_i32()?,
            last_sequence: body.try_get_i32()?,
            base_offset: body.try_get_i64()?,
            timestamp_ms: body.try_get_i64()?,
        });
    }
    Ok((id, producer))
}

fn read(disk: &dyn Disk, file: &Path) -> io::Result<Option<Snapshot>> {
    if disk.metadata(file)?.len > FILE_BYTES_MAX {
        return Ok(None);
    }
    Ok(Snapshot::decode(&disk.read(file)?))
}

/// Removes what writes that were cut short have left beside.
fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)? {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".producers.tmp") || name.ends_with(".txnindex.tmp") {
            disk.remove_file(&entry.path)?;
        }
    }
    Ok(())
}

fn path(dir: &Path, offset: Offset) -> PathBuf {
    dir.join(format!("{offset:020}.{EXTENSION}"))
}

/// The offsets of the snapshots there are, ascending.
fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Offset>> {
    let offset = |path: &Path| -> Option<Offset> {
        let named = path.extension()? == EXTENSION;
        path.file_stem()?.to_str()?.parse().ok().filter(|_| named)
    };
    let mut offsets: Vec<_> =
        disk.list(dir)?.iter().filter_map(|entry| offset(&entry.path)).collect();
    offsets.sort_unstable();
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tradewind_disk::{Create, SimDisk};

    fn snapshot(offset: Offset) -> Snapshot {
        let batch = |n: i32| SentBatch {
            first_sequence: n,
            last_sequence: n + 1,
            base_offset: i64::from(n) * 10,
            timestamp_ms: 5,
        };
        let mut producer = Producer::new(4);
        producer.batches = (0..5).map(batch).collect();
        producer.open_from = Some(30);
        let aborted = vec![Aborted { producer_id: 9, first: 1, last: 4, last_stable: 5 }];
        Snapshot { offset, producers: vec![(7, producer)], aborted, indexed: vec![0, 20] }
    }

    #[test]
    fn a_snapshot_comes_back_and_any_other_bytes_do_not() {
        let whole = snapshot(50).encode();
        let back = Snapshot::decode(&whole).unwrap();
        assert_eq!((back.offset, back.indexed.as_slice()), (50, &[0, 20][..]));
        assert_eq!((back.producers, back.aborted), (snapshot(0).producers, snapshot(0).aborted));
        for cut in 0..whole.len() {
            assert!(Snapshot::decode(&whole[..cut]).is_none(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[at] ^= 1;
            assert!(Snapshot::decode(&garbled).is_none(), "byte {at}");
        }
        let mut newer = whole;
        newer[7] = 2;
        let end = newer.len() - 4;
        let crc = crc32c::crc32c(&newer[..end]);
        newer[end..].copy_from_slice(&crc.to_be_bytes());
        assert!(Snapshot::decode(&newer).is_none(), "of a version to come");
    }

    #[test]
    fn what_a_write_left_half_done_goes() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/p");
        disk.create_dir_all(dir).unwrap();
        disk.write_atomic(&dir.join("00000000000000000007.producers.tmp"), b"half").unwrap();
        assert!(Snapshot::newest(&*disk, dir, 40).unwrap().is_none());
        assert!(disk.list(dir).unwrap().is_empty());
    }

    #[test]
    fn the_newest_that_can_be_used_is_and_those_ahead_of_the_log_go() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/p");
        disk.create_dir_all(dir).unwrap();
        for offset in [10, 20, 30] {
            snapshot(offset).write(&*disk, dir).unwrap();
        }
        assert_eq!(list(&*disk, dir).unwrap(), [20, 30], "the oldest went");
        let file = disk.open(&path(dir, 30), Create::No).unwrap();
        file.write_all_at(&[0xff], 9).unwrap();
        assert_eq!(Snapshot::newest(&*disk, dir, 40).unwrap().unwrap().offset, 20);
        assert!(Snapshot::newest(&*disk, dir, 15).unwrap().is_none());
        assert!(!Snapshot::any(&*disk, dir).unwrap(), "none speaks of this log");
    }
}
