//! Reading: from memory when the batches are recent, else from the file, by position.
//!
//! Guarantees: nothing above the high watermark, and for who reads what is committed nothing above
//! the last stable offset and a list of what was aborted below; batches from a file passed their checksums and
//! follow each other without a gap; bad bytes are named by file and position, and what lies before
//! and after them can be read. Left out: decoding records (store).

use super::tail::Chunk;
use super::{Partition, Sealed, State, Stopped};
use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::blocking;
use crate::metrics_names as names;
use crate::segment::{self, scan};
use crate::segment::{
    Aborted, FileKind, INDEX_INTERVAL_BYTES, Index, IndexFault, OpenSegment, ScanStart,
};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tradewind_disk::{Create, DiskFile};
use tradewind_types::log::{Isolation, Watermarks};
use tradewind_types::{LogError, Offset};

/// What a walk over headers reads at a time: one index interval and a little.
const WALK_BYTES: u64 = INDEX_INTERVAL_BYTES as u64 + 4096;

/// Whole batches, in order and without a gap, in one or more pieces.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) watermarks: Watermarks,
    /// The aborted transactions that have records among the batches, by first offset; empty for
    /// who reads what is not committed.
    pub(crate) aborted: Vec<Aborted>,
}

/// Where the batches asked for are.
enum Located {
    Nowhere,
    Memory(Vec<Chunk>),
    Sealed,
    Active(Stretch),
}

/// A part of a segment file that begins with a whole batch.
struct Stretch {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    position: u64,
    /// Readers see nothing at or past this.
    limit: u64,
    /// The offset at `limit`.
    end: Offset,
}

impl Pieces {
    /// Nothing, of a partition that reaches so far.
    pub(crate) fn none(watermarks: Watermarks) -> Self {
        Self { pieces: Vec::new(), watermarks, aborted: Vec::new() }
    }

    /// What of these batches such a reader sees; what was aborted is not filled in.
    fn committed(pieces: Vec<Bytes>, watermarks: Watermarks, isolation: Isolation) -> Self {
        let mut read = Self { pieces, watermarks, aborted: Vec::new() };
        if isolation == Isolation::ReadCommitted
            && watermarks.last_stable < watermarks.high_watermark
        {
            cut_at(&mut read.pieces, watermarks.last_stable);
        }
        read
    }

    /// The end of the last transactional batch, if there is one.
    fn transactional_end(&self) -> Option<Offset> {
        let mut end = None;
        for piece in &self.pieces {
            let mut position = 0;
            while let Ok(header) = batch::parse_header(&piece[position..]) {
                if header.transactional() {
                    end = Some(header.end_offset());
                }
                position += header.bytes;
                if position >= piece.len() {
                    break;
                }
            }
        }
        end
    }

    /// Tells `/metrics` of it.
    fn counted(self) -> Self {
        metrics::counter!(names::READ_BYTES).increment(self.bytes() as u64);
        self
    }

    /// How many bytes the batches have.
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

impl Partition {
    /// Whole batches from the one that holds `from`: about `max_bytes`, at least one batch.
    pub(crate) async fn read(
        self: &Arc<Self>,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Pieces, LogError> {
        if let Some(read) = self.read_recent(from, max_bytes, isolation)? {
            return Ok(read);
        }
        let this = Arc::clone(self);
        blocking::run(move || this.read_blocking(from, max_bytes, isolation)).await
    }

    /// The same, when it can be told without the disk.
    pub(crate) fn read_recent(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Option<Pieces>, LogError> {
        let max_bytes = max_bytes.min(self.shared.settings.read_bytes_max);
        let (watermarks, located) = self.locate(from, max_bytes, isolation)?;
        let pieces = match located {
            Located::Nowhere => Vec::new(),
            Located::Memory(chunks) => cut_chunks(&chunks, from, max_bytes),
            Located::Sealed | Located::Active(_) => return Ok(None),
        };
        let read = Pieces::committed(pieces, watermarks, isolation);
        // What was aborted may have to be read.
        let known = isolation == Isolation::ReadUncommitted || read.transactional_end().is_none();
        Ok(known.then(|| read.counted()))
    }

    /// The same as [`Partition::read`]; blocks.
    pub(crate) fn read_blocking(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Pieces, LogError> {
        let max_bytes = max_bytes.min(self.shared.settings.read_bytes_max);
        loop {
            let swaps = self.state.lock().swaps;
            let read = self.read_once(from, max_bytes, isolation)?;
            // What was aborted is asked for after the batches were read: were other segments put
            // in place between the two, those batches may have gone from the answer.
            if isolation == Isolation::ReadUncommitted || self.state.lock().swaps == swaps {
                return Ok(read.counted());
            }
        }
    }

    fn read_once(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Pieces, LogError> {
        let (watermarks, located) = self.locate(from, max_bytes, isolation)?;
        let pieces = match located {
            Located::Nowhere => Vec::new(),
            Located::Memory(chunks) => cut_chunks(&chunks, from, max_bytes),
            located => {
                vec![self.read_file(located, (from, watermarks.end(isolation)), max_bytes)?]
            }
        };
        let mut read = Pieces::committed(pieces, watermarks, isolation);
        if isolation == Isolation::ReadCommitted
            && let Some(end) = read.transactional_end()
        {
            read.aborted = self.aborted_in(from, end)?;
        }
        Ok(read)
    }

    /// The aborted transactions that have records from `from` up to `to`, by their begin. Blocks.
    pub(super) fn aborted_in(&self, from: Offset, to: Offset) -> Result<Vec<Aborted>, LogError> {
        // Compaction puts other segments in place.
        let _files = self.files_lock.read();
        let overlaps = |aborted: &Aborted| aborted.last >= from && aborted.first < to;
        let (sealed, in_active) = {
            let state = self.state.lock();
            let after = state.sealed.partition_point(|segment| segment.end <= from);
            let sealed = state.sealed[after..].iter().filter(|sealed| sealed.aborted);
            let active = state.producers.aborted().iter().filter(|found| overlaps(found));
            (sealed.cloned().collect::<Vec<_>>(), active.copied().collect::<Vec<_>>())
        };
        let mut found: Vec<Aborted> = Vec::new();
        for segment in sealed {
            let open = self.open_sealed(&segment).map_err(|error| self.or_gone(from, error))?;
            found.extend(open.aborted.iter().filter(|found| overlaps(found)));
            if open.aborted.iter().any(|aborted| aborted.last_stable >= to) {
                // Whatever was aborted later begins past what was read.
                found.sort_unstable_by_key(|aborted| aborted.first);
                return Ok(found);
            }
        }
        found.extend(in_active);
        found.sort_unstable_by_key(|aborted| aborted.first);
        Ok(found)
    }

    fn locate(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<(Watermarks, Located), LogError> {
        let state = self.state.lock();
        let watermarks = state.watermarks();
        if from < state.log_start || from > state.high_watermark {
            return Err(self.out_of_range(from, watermarks));
        }
        if from >= watermarks.end(isolation) {
            return Ok((watermarks, Located::Nowhere));
        }
        let recent = state.tail.from(from, state.high_watermark, max_bytes);
        let located = match recent {
            Some(chunks) => Located::Memory(chunks),
            None if from >= state.active.base => {
                Located::Active(self.active_stretch(&state, state.active.index.floor(from)))
            }
            None => Located::Sealed,
        };
        Ok((watermarks, located))
    }

    fn active_stretch(&self, state: &State, position: u64) -> Stretch {
        Stretch {
            file: Arc::clone(&state.active.file),
            path: self.path(state.active.base),
            position,
            limit: state.active.synced_bytes,
            end: state.high_watermark,
        }
    }

    pub(super) fn out_of_range(&self, offset: Offset, watermarks: Watermarks) -> LogError {
        LogError::OutOfRange {
            topic: self.topic.to_string(),
            partition: self.id,
            offset,
            log_start: watermarks.log_start,
            high_watermark: watermarks.high_watermark,
        }
    }

    /// Batches of the file from the one that holds `from` on, for a reader who is shown nothing at
    /// or past `to`.
    fn read_file(
        &self,
        located: Located,
        (from, to): (Offset, Offset),
        max_bytes: usize,
    ) -> Result<Bytes, LogError> {
        let mut next = match located {
            Located::Active(stretch) => Some((stretch, from)),
            Located::Sealed => self.stretch_from(from)?,
            Located::Nowhere | Located::Memory(_) => None,
        };
        // Batches that compaction has emptied are passed over, as if they were not there.
        let mut emptied = None;
        while let Some((stretch, at)) = next {
            let (position, first) = stretch.find(|header| header.end_offset() > at)?;
            if first.base_offset > at {
                let reason = format!("offsets {at}..{} are missing", first.base_offset);
                return Err(stretch.corrupt(position, reason));
            }
            let rest = stretch.from(position);
            if let Some((position, first)) = rest.walk(|header| header.records > 0)?
                && first.base_offset < to
            {
                return stretch.batches(position, first, max_bytes);
            }
            let end = stretch.end;
            emptied.get_or_insert((stretch, position, first));
            if end >= to {
                // What has records belongs to a transaction that is open: they say where it begins.
                break;
            }
            next = self.stretch_from(end)?;
        }
        match emptied {
            Some((stretch, position, first)) => stretch.batches(position, first, max_bytes),
            None => Ok(Bytes::new()),
        }
    }

    /// The stretch of the segment that holds `from`, from the nearest indexed batch before it;
    /// `None` where the readable ends.
    fn stretch_from(&self, from: Offset) -> Result<Option<(Stretch, Offset)>, LogError> {
        // Held until the file is open: compaction puts others in its place.
        let _files = self.files_lock.read();
        let sealed = {
            let state = self.state.lock();
            if from >= state.high_watermark {
                return Ok(None);
            }
            if from >= state.active.base {
                let stretch = self.active_stretch(&state, state.active.index.floor(from));
                return Ok(Some((stretch, from)));
            }
            state.sealed_with(from)
        };
        let gone = || self.or_gone(from, self.out_of_range(from, self.watermarks()));
        let sealed = sealed.ok_or_else(gone)?;
        let open = self.open_sealed(&sealed).map_err(|error| self.or_gone(from, error))?;
        Ok(Some((self.sealed_stretch(&open, &sealed, open.index.floor(from)), from)))
    }

    fn sealed_stretch(&self, open: &OpenSegment, sealed: &Sealed, position: u64) -> Stretch {
        Stretch {
            file: Arc::clone(&open.file),
            path: self.path(sealed.base),
            position,
            limit: sealed.bytes,
            end: sealed.end,
        }
    }

    /// Retention, or the topic's removal, may have taken the file since it was located.
    fn or_gone(&self, from: Offset, error: LogError) -> LogError {
        let watermarks = self.watermarks();
        if let Some(deleted @ Stopped::Deleted) = &self.state.lock().stopped {
            return self.stopped_error(deleted);
        }
        if from < watermarks.log_start { self.out_of_range(from, watermarks) } else { error }
    }

    /// A sealed segment's file and index, from the cache or opened. Called with the files' lock
    /// held, for a segment that is there; blocks.
    fn open_sealed(&self, sealed: &Sealed) -> Result<Arc<OpenSegment>, LogError> {
        let path = self.path(sealed.base);
        if let Some(open) = self.shared.cache.get((self.life, sealed.base)) {
            return Ok(open);
        }
        let io = |source| self.io_error(&path, source);
        let file = self.disk().open(&path, Create::No).map_err(io)?;
        let (base, end, bytes) = (sealed.base, sealed.end, sealed.bytes);
        let index = match Index::read_sealed(self.disk(), &self.dir, base, end, bytes) {
            Ok(index) => index,
            Err(IndexFault::Io(source)) => return Err(io(source)),
            Err(IndexFault::Wrong) => self.rebuild_index(&*file, sealed).map_err(io)?,
        };
        let aborted = if sealed.aborted { self.read_aborted(base)? } else { Vec::new() };
        let open = Arc::new(OpenSegment { file, index, aborted });
        self.shared.cache.put((self.life, base), Arc::clone(&open));
        Ok(open)
    }

    fn read_aborted(&self, base: Offset) -> Result<Vec<Aborted>, LogError> {
        let path = segment::path(&self.dir, base, FileKind::TxnIndex);
        segment::read_aborted(self.disk(), &self.dir, base).map_err(|fault| match fault {
            IndexFault::Io(source) => self.io_error(&path, source),
            IndexFault::Wrong => LogError::Corrupt {
                file: path.display().to_string(),
                position: 0,
                reason: "it is not the index that was written: a restart makes it anew".into(),
            },
        })
    }

    fn rebuild_index(&self, file: &dyn DiskFile, sealed: &Sealed) -> io::Result<Index> {
        let start = ScanStart { position: 0, offset: sealed.base, durable_to: u64::MAX };
        let mut index = scan(file, Index::new(sealed.base), start)?.index;
        index.seal(sealed.end, sealed.bytes);
        let path = segment::path(&self.dir, sealed.base, FileKind::Index);
        tracing::warn!(file = %path.display(), "index was wrong and is rebuilt");
        if let Err(error) = index.rewrite(self.disk(), &self.dir) {
            tracing::warn!(file = %path.display(), %error, "index was not written");
        }
        Ok(index)
    }

    /// The first offset below the high watermark whose record's timestamp is `timestamp_ms` or
    /// later; control records have none.
    pub(crate) async fn offset_at(
        self: &Arc<Self>,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        let this = Arc::clone(self);
        blocking::run(move || this.offset_at_blocking(timestamp_ms)).await
    }

    fn offset_at_blocking(&self, timestamp_ms: i64) -> Result<Option<Offset>, LogError> {
        let (sealed, active, log_start) = self.candidates(timestamp_ms);
        for segment in sealed {
            let Some(stretch) = self.stretch_at_time(&segment, timestamp_ms)? else {
                return self.offset_at_blocking(timestamp_ms);
            };
            if let Some(offset) = stretch.offset_at(timestamp_ms, log_start)? {
                return Ok(Some(offset));
            }
        }
        active.map_or(Ok(None), |stretch| stretch.offset_at(timestamp_ms, log_start))
    }

    /// Where in a sealed segment records of `timestamp_ms` may begin; `None` when compaction or
    /// retention has taken it meanwhile.
    fn stretch_at_time(
        &self,
        segment: &Arc<Sealed>,
        timestamp_ms: i64,
    ) -> Result<Option<Stretch>, LogError> {
        let _files = self.files_lock.read();
        if !self.state.lock().sealed.iter().any(|there| Arc::ptr_eq(there, segment)) {
            return Ok(None);
        }
        let open = self.open_sealed(segment)?;
        Ok(Some(self.sealed_stretch(&open, segment, open.index.floor_by_time(timestamp_ms))))
    }

    /// The segments that may hold a record of `timestamp_ms` or later.
    fn candidates(&self, timestamp_ms: i64) -> (Vec<Arc<Sealed>>, Option<Stretch>, Offset) {
        let state = self.state.lock();
        let late = |segment: &&Arc<Sealed>| segment.max_timestamp >= timestamp_ms;
        let sealed = state.sealed.iter().filter(late).cloned().collect();
        let active = (state.active.index.max_timestamp() >= timestamp_ms)
            .then(|| self.active_stretch(&state, state.active.index.floor_by_time(timestamp_ms)));
        (sealed, active, state.log_start)
    }
}

impl State {
    fn sealed_with(&self, offset: Offset) -> Option<Arc<Sealed>> {
        let after = self.sealed.partition_point(|segment| segment.base <= offset);
        after.checked_sub(1).map(|index| Arc::clone(&self.sealed[index]))
    }
}

impl Stretch {
    fn corrupt(&self, position: u64, reason: impl Into<String>) -> LogError {
        LogError::Corrupt { file: self.path.display().to_string(), position, reason: reason.into() }
    }

    fn read(&self, position: u64, bytes: u64) -> Result<Vec<u8>, LogError> {
        match self.file.read_at(position, bytes as usize) {
            Ok(buffer) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.corrupt(position, "the file ends before what was written"))
            }
            Err(source) => Err(crate::topic_file::io_error(&self.path, source)),
        }
    }

    /// The same from `position` on.
    fn from(&self, position: u64) -> Self {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        Self { file, path, position, limit: self.limit, end: self.end }
    }

    /// Walks from batch to batch up to the first that `is_it`, which is there.
    fn find(
        &self,
        is_it: impl FnMut(&BatchHeader) -> bool,
    ) -> Result<(u64, BatchHeader), LogError> {
        let missing =
            || self.corrupt(self.limit, "it ends before the offset its name and index promise");
        self.walk(is_it)?.ok_or_else(missing)
    }

    /// Walks from batch to batch up to the first that `is_it`, or to the end.
    fn walk(
        &self,
        mut is_it: impl FnMut(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, BatchHeader)>, LogError> {
        let mut position = self.position;
        let (mut buffer, mut start) = (Vec::new(), position);
        while position < self.limit {
            let left = self.limit - position;
            if position + (HEADER_BYTES as u64).min(left) > start + buffer.len() as u64 {
                buffer = self.read(position, WALK_BYTES.min(left))?;
                start = position;
            }
            let header = batch::parse_header(&buffer[(position - start) as usize..])
                .map_err(|reason| self.corrupt(position, reason))?;
            if header.bytes as u64 > left {
                let reason = format!("{} bytes long, but {left} are left", header.bytes);
                return Err(self.corrupt(position, reason));
            }
            if is_it(&header) {
                return Ok(Some((position, header)));
            }
            position += header.bytes as u64;
        }
        Ok(None)
    }

    /// Whole, checked, contiguous batches from `position` on.
    fn batches(
        &self,
        position: u64,
        first: BatchHeader,
        max_bytes: usize,
    ) -> Result<Bytes, LogError> {
        let want = max_bytes.max(first.bytes) as u64;
        let buffer = self.read(position, want.min(self.limit - position))?;
        let mut due = first.base_offset;
        let mut end = 0;
        while end < buffer.len() {
            match batch::check_batch(&buffer[end..]) {
                Ok(header) if header.base_offset == due => {
                    due = header.end_offset();
                    end += header.bytes;
                }
                // The first batch is the one asked for; any other is left to the next read.
                Err(reason) if end == 0 => return Err(self.corrupt(position, reason)),
                _ => break,
            }
        }
        Ok(Bytes::from(buffer).slice(..end))
    }

    fn offset_at(&self, timestamp_ms: i64, from: Offset) -> Result<Option<Offset>, LogError> {
        let mut stretch = self.from(self.position);
        while stretch.position < stretch.limit {
            let mut last = stretch.position;
            let found = stretch.find(|header| {
                last += header.bytes as u64;
                let late = header.max_timestamp >= timestamp_ms && header.end_offset() > from;
                (late && !header.control()) || last == self.limit
            });
            let (position, header) = found?;
            if header.control() {
                return Ok(None);
            }
            let batch = stretch.batches(position, header, 0)?;
            let records = batch::decode_records(&header, &batch)
                .map_err(|reason| stretch.corrupt(position, reason))?;
            let first = records
                .iter()
                .find(|read| read.offset >= from && read.record.timestamp_ms >= timestamp_ms);
            if let Some(read) = first {
                return Ok(Some(read.offset));
            }
            stretch.position = position + header.bytes as u64;
        }
        Ok(None)
    }
}

/// Cuts off what begins at `end` or later, which is where a batch begins.
fn cut_at(pieces: &mut Vec<Bytes>, end: Offset) {
    for index in 0..pieces.len() {
        let mut position = 0;
        while let Ok(header) = batch::parse_header(&pieces[index][position..]) {
            if header.base_offset >= end {
                pieces[index].truncate(position);
                pieces.truncate(index + usize::from(position > 0));
                return;
            }
            position += header.bytes;
        }
    }
}

/// Cuts the batches from the one that holds `from` on out of `chunks`.
fn cut_chunks(chunks: &[Chunk], from: Offset, max_bytes: usize) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(chunks.len());
    let mut taken = 0;
    for chunk in chunks {
        let (mut start, mut position) = (None, 0);
        while position < chunk.bytes.len() {
            let header = batch::parse_header(&chunk.bytes[position..])
                .expect("a chunk holds the whole batches that were written");
            if header.end_offset() > from {
                start.get_or_insert(position);
                if taken > 0 && taken + header.bytes > max_bytes {
                    break;
                }
                taken += header.bytes;
            }
            position += header.bytes;
        }
        if let Some(start) = start.filter(|start| *start < position) {
            pieces.push(chunk.bytes.slice(start..position));
        }
        if position < chunk.bytes.len() {
            break;
        }
    }
    pieces
}
