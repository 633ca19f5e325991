//! Producer ids that are never given twice (docs/formats/producers.md).
//!
//! Guarantees: a block of ids is taken on disk, durably, before the first of it is given; a file
//! that is missing or garbled in a log that has topics costs a jump to where no ids were.
//! Left out: giving ids back; there are 2^63.

use super::TransactionError;
use crate::blocking;
use bytes::{Buf, BufMut};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::Disk;
use uuid::Uuid;

const MAGIC: [u8; 4] = *b"TWPI";
const VERSION: u32 = 1;
const FILE_NAME: &str = "producer-ids";
/// Ids that are taken at once, as by a Kafka broker: one fsync for so many producers.
const BLOCK: i64 = 1_000;
/// Where a jump may land: ids that no client has seen before end below this, in practice.
const JUMP_BITS: u32 = 61;

/// Gives ids.
#[derive(Debug)]
pub(super) struct ProducerIds {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Those taken and not given.
    left: Arc<tokio::sync::Mutex<Range<i64>>>,
    /// Whether the log had no topics when it was opened: then there are no ids to collide with.
    new_log: bool,
}

impl ProducerIds {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, new_log: bool) -> Self {
        Self { disk, path: dir.join(FILE_NAME), left: Arc::default(), new_log }
    }

    /// An id that was never given before.
    pub(super) async fn next(&self) -> Result<i64, TransactionError> {
        let mut left = Arc::clone(&self.left).lock_owned().await;
        if let Some(id) = left.next() {
            return Ok(id);
        }
        let (disk, path, new_log) = (Arc::clone(&self.disk), self.path.clone(), self.new_log);
        // The lock goes along: should this future be dropped, the block is still taken once.
        blocking::run(move || {
            let begin = match read(&*disk, &path).map_err(|error| unavailable(&path, &error))? {
                Some(begin) => begin,
                None if new_log => 0,
                None => jump(),
            };
            let block = begin..begin.saturating_add(BLOCK);
            write(&*disk, &path, block.end).map_err(|error| unavailable(&path, &error))?;
            *left = block;
            left.next().ok_or_else(|| TransactionError::Unavailable("no producer ids left".into()))
        })
        .await
    }
}

fn unavailable(path: &Path, error: &io::Error) -> TransactionError {
    TransactionError::Unavailable(format!("{}: {error}", path.display()))
}

fn jump() -> i64 {
    let random = Uuid::new_v4().as_u64_pair().1;
    // The lower half of a version 4 uuid is random but for its first two bits.
    let below = random & ((1 << JUMP_BITS) - 1);
    i64::try_from(below).expect("61 bits were kept")
}

/// The first id that is not taken; `None` when the file is missing or says nothing.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<i64>> {
    let bytes = match disk.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let next = decode(&bytes);
    if next.is_none() {
        tracing::warn!(file = %path.display(), "the file of producer ids is garbled: ids go on elsewhere");
    }
    Ok(next)
}

fn decode(bytes: &[u8]) -> Option<i64> {
    let (mut body, crc) = bytes.split_at_checked(16)?;
    let known = body[..4] == MAGIC && crc == crc32c::crc32c(body).to_be_bytes();
    body.advance(4);
    (known && body.get_u32() == VERSION).then(|| body.get_i64())
}

fn write(disk: &dyn Disk, path: &Path, next: i64) -> io::Result<()> {
    let mut out = Vec::with_capacity(20);
    out.put_slice(&MAGIC);
    out.put_u32(VERSION);
    out.put_i64(next);
    let crc = crc32c::crc32c(&out);
    out.put_u32(crc);
    disk.write_atomic(path, &out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;
    use tradewind_disk::{Create, SimDisk};

    #[tokio::test]
    async fn ids_never_come_twice_whenever_the_power_fails() {
        let dir = Path::new("/log");
        for cut in 1..40 {
            let disk = SimDisk::new(cut);
            disk.create_dir_all(dir).unwrap();
            let mut given = BTreeSet::new();
            for life in 0..4 {
                let ids = ProducerIds::new(disk.clone(), dir, true);
                disk.cut_power_after(cut);
                for _ in 0..BLOCK + 3 {
                    let Ok(id) = ids.next().await else { break };
                    assert!(given.insert(id), "cut {cut}, life {life}: {id} came again");
                }
                disk.power_on();
            }
            assert!(given.len() > 1_000 || cut < 10, "cut {cut}: {}", given.len());
        }
    }

    #[tokio::test]
    async fn a_garbled_file_costs_a_jump() {
        let dir = Path::new("/log");
        let disk = SimDisk::new(1);
        disk.create_dir_all(dir).unwrap();
        let first = ProducerIds::new(disk.clone(), dir, true).next().await.unwrap();
        let file = disk.open(&dir.join(FILE_NAME), Create::No).unwrap();
        file.write_all_at(&[0xff], 15).unwrap();
        let second = ProducerIds::new(disk.clone(), dir, false).next().await.unwrap();
        assert!(first == 0 && second > 1_000_000, "{first} {second}");
    }
}
