//! Walks a segment's bytes, whatever they are.
//!
//! Guarantees: memory is one window of [`WINDOW_BYTES`], however long a batch claims to be; a
//! batch counts as whole when its lengths, counts, offset and checksum hold.
//! Left out: what to do about bad bytes, which depends on the recovery point.

use super::Index;
use crate::batch::{self, BatchHeader, HEADER_BYTES};
use bytes::Bytes;
use std::io;
use tradewind_disk::DiskFile;
use tradewind_types::Offset;

/// One read of a scan.
const WINDOW_BYTES: u64 = 1 << 20;
/// Offsets a batch found after bad bytes may be ahead: more records than a segment can hold.
const GAP_OFFSETS_MAX: i64 = 1 << 32;

/// Where a scan begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanStart {
    pub(crate) position: u64,
    pub(crate) offset: Offset,
    /// Bad bytes below are stepped over; the first at or above ends the scan.
    pub(crate) durable_to: u64,
}

/// Bytes that are not the batch that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The first of them.
    pub position: u64,
    /// What does not hold.
    pub reason: String,
}

/// Bytes that are checksummed in search of a whole batch after bad bytes. Real batches are found at
/// once; records full of what looks like headers must not keep a start from ending.
const SEARCH_BYTES_MAX: u64 = 4 << 30;

/// Places of bad bytes that are listed for one segment; of more, the first and the last.
const CORRUPT_PLACES_MAX: usize = 1_000;

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) index: Index,
    /// The end of the last whole batch, in bytes and in offsets.
    pub(crate) position: u64,
    pub(crate) offset: Offset,
    /// Bad bytes that were stepped over, or that nothing whole follows, below `durable_to`.
    pub(crate) corrupt: Vec<Bad>,
    /// Bad bytes at `position`, at or above `durable_to`.
    pub(crate) torn: Option<Bad>,
    pub(crate) scanned: u64,
}

/// Scans `file` from `start` to its end, adding what it finds to `index`.
pub(crate) fn scan(file: &dyn DiskFile, index: Index, start: ScanStart) -> io::Result<Scan> {
    let mut window = Window::new(file)?;
    let mut found = Scan {
        index,
        position: start.position,
        offset: start.offset,
        corrupt: Vec::new(),
        torn: None,
        scanned: window.len.saturating_sub(start.position),
    };
    let mut stepped = false;
    while found.position < window.len {
        match window.batch_at(found.position, found.offset)? {
            Ok(header) => {
                found.take(&header, stepped);
                stepped = false;
            }
            Err(reason) => {
                let bad = Bad { position: found.position, reason };
                if found.position >= start.durable_to {
                    found.torn = Some(bad);
                    break;
                }
                found.note_corrupt(bad);
                let Some((position, header)) =
                    window.next_whole(found.position + 1, found.offset)?
                else {
                    break;
                };
                found.position = position;
                found.offset = header.base_offset;
                stepped = true;
            }
        }
    }
    Ok(found)
}

/// Shows `each` whole batch of `file` from `start` up to `limit`, header and bytes; what is not one
/// is stepped over. Answers how many bytes it read.
pub(crate) fn walk(
    file: &dyn DiskFile,
    start: ScanStart,
    limit: u64,
    mut each: impl FnMut(&BatchHeader, &mut dyn FnMut() -> io::Result<Bytes>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut window = Window::new(file)?;
    window.len = window.len.min(limit);
    let (mut position, mut offset) = (start.position, start.offset);
    while position < window.len {
        let header = match window.batch_at(position, offset)? {
            Ok(header) => header,
            Err(_) => match window.next_whole(position + 1, offset)? {
                Some((at, header)) => {
                    position = at;
                    header
                }
                None => break,
            },
        };
        let mut read = || {
            let mut batch = vec![0; header.bytes];
            file.read_exact_at(&mut batch, position)?;
            Ok(Bytes::from(batch))
        };
        each(&header, &mut read)?;
        position += header.bytes as u64;
        offset = header.end_offset();
    }
    Ok(window.len.saturating_sub(start.position))
}

impl Scan {
    fn note_corrupt(&mut self, bad: Bad) {
        if self.corrupt.len() == CORRUPT_PLACES_MAX {
            self.corrupt.pop();
        }
        self.corrupt.push(bad);
    }

    fn take(&mut self, header: &BatchHeader, force_index: bool) {
        let (offset, at) = (header.base_offset, self.position);
        self.index.observe(offset, at, header.max_timestamp, force_index);
        self.position += header.bytes as u64;
        self.offset = header.end_offset();
    }
}

/// The first whole batch at or after `from` with an offset of `offset` or a little more.
pub(crate) fn find_batch(
    file: &dyn DiskFile,
    from: u64,
    offset: Offset,
) -> io::Result<Option<u64>> {
    Ok(Window::new(file)?.next_whole(from, offset)?.map(|(position, _)| position))
}

/// What [`scan_bytes`] made of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOutcome {
    /// The end of the last whole batch.
    pub position: u64,
    /// The offset due there.
    pub offset: Offset,
    /// Bad bytes below the recovery point.
    pub corrupt: Vec<Bad>,
    /// Bad bytes above it, where a recovery would cut.
    pub torn: Option<Bad>,
}

/// Recovers a segment that is `bytes`, as a start would; for tests and fuzzing.
pub fn scan_bytes(bytes: &[u8], base: Offset, durable_to: u64) -> ScanOutcome {
    let file = Memory(bytes.to_vec());
    let start = ScanStart { position: 0, offset: base, durable_to };
    let found = scan(&file, Index::new(base), start).expect("memory can be read");
    let last = found.index.last();
    debug_assert!(last.is_none_or(|entry| u64::from(entry.position) < bytes.len() as u64));
    ScanOutcome {
        position: found.position,
        offset: found.offset,
        corrupt: found.corrupt,
        torn: found.torn,
    }
}

/// A view of a file through one buffer.
struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self { file, len: file.len()?, start: 0, bytes: Vec::new() })
    }

    /// Bytes from `position` on: at least `want`, unless the file ends before.
    fn at(&mut self, position: u64, want: usize) -> io::Result<&[u8]> {
        let want = (want as u64).min(self.len.saturating_sub(position));
        let end = self.start + self.bytes.len() as u64;
        if position < self.start || position + want > end {
            self.bytes.resize(WINDOW_BYTES.min(self.len.saturating_sub(position)) as usize, 0);
            self.start = position;
            self.file.read_exact_at(&mut self.bytes, position)?;
        }
        Ok(&self.bytes[(position - self.start) as usize..])
    }

    /// The batch at `position` if it is whole and begins at `offset`; otherwise what is wrong.
    fn batch_at(
        &mut self,
        position: u64,
        offset: Offset,
    ) -> io::Result<Result<BatchHeader, String>> {
        let header = match batch::parse_header(self.at(position, HEADER_BYTES)?) {
            Ok(header) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        if header.base_offset != offset {
            return Ok(Err(format!("base offset is {}, due is {offset}", header.base_offset)));
        }
        self.check_body(position, header)
    }

    fn check_body(
        &mut self,
        position: u64,
        header: BatchHeader,
    ) -> io::Result<Result<BatchHeader, String>> {
        let left = self.len - position;
        if header.bytes as u64 > left {
            return Ok(Err(format!("{} bytes long, but {left} are left", header.bytes)));
        }
        let (mut crc, mut done) = (0, 0);
        while done < header.bytes {
            let piece = self.at(position + done as u64, HEADER_BYTES)?;
            let piece = &piece[..piece.len().min(header.bytes - done)];
            crc = batch::crc_of_piece(crc, piece, done);
            done += piece.len();
        }
        Ok(batch::check_crc(&header, crc).map(|()| header))
    }

    /// The first whole batch at or after `from` whose offset may follow `offset`.
    fn next_whole(&mut self, from: u64, offset: Offset) -> io::Result<Option<(u64, BatchHeader)>> {
        let plausible = offset..offset.saturating_add(GAP_OFFSETS_MAX);
        let (mut position, mut checked) = (from, 0);
        while position + HEADER_BYTES as u64 <= self.len && checked < SEARCH_BYTES_MAX {
            let bytes = self.at(position, HEADER_BYTES)?;
            // Header by header inside the window; a candidate's body may move the window.
            let candidate = bytes.windows(HEADER_BYTES).enumerate().find_map(|(skip, head)| {
                let header = batch::parse_header(head).ok()?;
                plausible.contains(&header.base_offset).then_some((skip, header))
            });
            let Some((skip, header)) = candidate else {
                position += (bytes.len() - HEADER_BYTES + 1) as u64;
                continue;
            };
            position += skip as u64;
            checked += header.bytes as u64;
            if self.check_body(position, header)?.is_ok() {
                return Ok(Some((position, header)));
            }
            position += 1;
        }
        Ok(None)
    }
}

/// A file that is a piece of memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl DiskFile for Memory {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let start = usize::try_from(position).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = start
            .checked_add(buffer.len())
            .and_then(|end| self.0.get(start..end))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self) -> io::Result<()> {
        Ok(())
    }
}
