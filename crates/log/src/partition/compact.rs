//! Compaction: of each key the last record stays.
//!
//! Guarantees: only sealed segments below [`bound`] are touched, so nothing that could still be
//! undone; records keep their offsets; the newest record stays whatever it is, so a reader below
//! the high watermark always finds one; records of aborted transactions go, and those that read
//! what is committed see the same before and after.
//! Memory is the map of keys (`compaction_keys_max`), one batch, and 80 bytes for each transaction
//! that was aborted in what is looked at; a partition with more keys takes several rounds.
//! Left out: what stays of a batch (judge); putting the new segments in place (swap); when to look
//! (store).
//!
//! Every offset still belongs to a batch: where whole batches go, one without records stands for
//! their offsets. So scanning, indexes and reads find the same order as in any segment.

use super::judge::{Judge, LastOffsets, OpenTransactions, Verdict};
use super::producers::Remembered;
use super::swap::{Made, compacting_path};
use super::{Partition, Sealed, State};
use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::metrics_names as names;
use crate::segment::{AbortedBatches, Index, RecoveryPoint};
use crate::settings::TopicDefaults;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_disk::{Create, DiskFile};
use tradewind_types::{LogError, Offset};

/// What is read of a segment at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// What is written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Segments are merged up to so many offsets: half of what an index can say.
const SEGMENT_OFFSETS_MAX: i64 = i32::MAX as i64;

/// What a round of compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Segments that were written anew, as they are now.
    pub(crate) segments: u64,
    pub(crate) bytes_saved: u64,
}

/// Compaction touches nothing at or above this offset: below it every transaction is decided.
fn bound(state: &State) -> Offset {
    state.watermarks().last_stable
}

/// What one round works on.
pub(super) struct Round {
    /// The sealed segments it may touch, from the oldest on.
    segments: Vec<Arc<Sealed>>,
    /// Where the last round ended.
    dirty_from: Offset,
    /// The last readable offset: its record stays.
    pub(super) newest: Offset,
    pub(super) now_ms: i64,
    pub(super) config: Arc<TopicDefaults>,
    /// What was aborted of the segments.
    pub(super) aborted: AbortedBatches,
    /// The batches by which producers are known.
    pub(super) producers: HashMap<i64, Remembered>,
}

impl Partition {
    /// Compacts the partition if its settings and what there is to do ask for it. Blocks.
    pub(crate) fn compact(&self) -> Result<Compacted, LogError> {
        let config = self.config();
        let mut done = Compacted::default();
        if !config.cleanup.compact {
            return Ok(done);
        }
        // Somebody is at it already.
        let Some(_one_at_a_time) = self.compacting.try_lock() else { return Ok(done) };
        let Some(round) = self.round(config)? else { return Ok(done) };
        let Some(map) = self.last_offsets(&round)? else { return Ok(done) };
        let touched = round.segments.partition_point(|segment| segment.base < map.upto);
        let mut rest = &round.segments[..touched];
        let mut open = OpenTransactions::default();
        while !rest.is_empty() {
            match self.compact_some(rest, &round, &map, &mut open, &mut done)? {
                0 => return Ok(done),
                count => rest = &rest[count..],
            }
        }
        self.note_compacted(map.upto)?;
        metrics::counter!(names::COMPACTED_BYTES).increment(done.bytes_saved);
        tracing::info!(
            topic = %self.topic, partition = self.id, segments = done.segments,
            bytes_saved = done.bytes_saved, compacted_to = map.upto, "compacted"
        );
        Ok(done)
    }

    /// Waits until a round that is under way has ended; it notices that the partition has stopped.
    pub(crate) fn await_compaction(&self) {
        drop(self.compacting.lock());
    }

    fn round(&self, config: Arc<TopicDefaults>) -> Result<Option<Round>, LogError> {
        let now_ms = self.shared.clock.now_ms();
        let lag_ms = config.min_compaction_lag_ms;
        let (segments, compacted_to, newest, producers) = {
            let state = self.state.lock();
            if state.stopped.is_some() {
                return Ok(None);
            }
            let bound = bound(&state);
            let old = |segment: &&Arc<Sealed>| {
                let young = lag_ms > 0 && segment.max_timestamp > now_ms.saturating_sub(lag_ms);
                segment.end <= bound && !young
            };
            let segments: Vec<_> = state.sealed.iter().take_while(old).cloned().collect();
            let newest = state.high_watermark - 1;
            let producers = state.producers.remembered();
            (segments, state.recovery_point.compacted_to, newest, producers)
        };
        let is_dirty = |segment: &&Arc<Sealed>| segment.end > compacted_to;
        let bytes = |segment: &Arc<Sealed>| segment.bytes;
        let dirty: u64 = segments.iter().filter(is_dirty).map(bytes).sum();
        let all: u64 = segments.iter().map(bytes).sum();
        let enough = u128::from(dirty) * 1_000_000
            > u128::from(all) * u128::from(config.min_dirty_millionths);
        if dirty == 0
            || !(enough || self.overdue(segments.iter().find(is_dirty), &config, now_ms)?)
        {
            return Ok(None);
        }
        let oldest = segments.first().map_or(0, |segment| segment.base);
        let dirty_from = compacted_to.max(oldest);
        let end = segments.last().map_or(oldest, |segment| segment.end);
        let aborted = AbortedBatches::new(&self.aborted_in(oldest, end)?);
        Ok(Some(Round { segments, dirty_from, newest, now_ms, config, aborted, producers }))
    }

    /// Whether the first record that was not compacted yet has waited longer than it may.
    fn overdue(
        &self,
        first: Option<&Arc<Sealed>>,
        config: &TopicDefaults,
        now_ms: i64,
    ) -> Result<bool, LogError> {
        let Some(first) = first.filter(|_| config.max_compaction_lag_ms < i64::MAX) else {
            return Ok(false);
        };
        let header = self.batches(first)?.next()?.map(|(header, _)| header.max_timestamp);
        let limit = now_ms.saturating_sub(config.max_compaction_lag_ms);
        Ok(header.is_some_and(|timestamp| timestamp >= 0 && timestamp < limit))
    }

    /// The last offset of every key from where the last round ended, as far as there is room;
    /// `None` when the partition stopped.
    fn last_offsets(&self, round: &Round) -> Result<Option<LastOffsets>, LogError> {
        let mut map = LastOffsets::new(self.shared.settings.compaction_keys_max.max(1));
        for segment in round.segments.iter().filter(|segment| segment.end > round.dirty_from) {
            let mut batches = self.batches(segment)?;
            while let Some((header, bytes)) = batches.next()? {
                if self.state.lock().stopped.is_some() {
                    return Ok(None);
                }
                if header.records > 0 && !header.control() && !round.aborted.hold(&header) {
                    let noted = batch::visit_keys(&header, &bytes, |record| {
                        if record.offset >= round.dirty_from {
                            map.note(record);
                        }
                    });
                    noted.map_err(|reason| batches.corrupt(reason))?;
                }
                if map.full {
                    return Ok(Some(map));
                }
                map.upto = header.end_offset();
            }
            map.upto = segment.end;
        }
        Ok(Some(map))
    }

    /// Writes the first of `segments` anew, with as many neighbours as fit into one segment with
    /// what is left of it, and puts them in place. Answers how many those were; none when the round
    /// is to end.
    fn compact_some(
        &self,
        segments: &[Arc<Sealed>],
        round: &Round,
        map: &LastOffsets,
        open: &mut OpenTransactions,
        done: &mut Compacted,
    ) -> Result<usize, LogError> {
        let mut writer = Writer::new(self, segments[0].base)?;
        let written = self.write_some(segments, round, map, open, &mut writer);
        let count = match written {
            Ok(count) if count > 1 || (count == 1 && writer.changed) => count,
            other => {
                writer.discard();
                return match other {
                    // It goes on when there is room.
                    Err(LogError::DiskReserve { .. }) => Ok(0),
                    other => other,
                };
            }
        };
        let group = &segments[..count];
        let before: u64 = group.iter().map(|segment| segment.bytes).sum();
        let made = writer.finish(group[count - 1].end)?;
        let bytes = made.bytes;
        if !self.swap(group, made)? {
            return Ok(0);
        }
        done.segments += 1;
        done.bytes_saved += before.saturating_sub(bytes);
        Ok(count)
    }

    fn write_some(
        &self,
        segments: &[Arc<Sealed>],
        round: &Round,
        map: &LastOffsets,
        open: &mut OpenTransactions,
        writer: &mut Writer<'_>,
    ) -> Result<usize, LogError> {
        for (count, segment) in segments.iter().enumerate() {
            let bytes = writer.bytes() + segment.bytes;
            let fits = bytes <= round.config.segment_bytes
                && segment.end - writer.base <= SEGMENT_OFFSETS_MAX;
            if count > 0 && !fits {
                return Ok(count);
            }
            if !self.write_one(segment, round, map, open, writer)? {
                return Ok(0);
            }
        }
        Ok(segments.len())
    }

    /// False when the partition stopped.
    fn write_one(
        &self,
        segment: &Sealed,
        round: &Round,
        map: &LastOffsets,
        open: &mut OpenTransactions,
        writer: &mut Writer<'_>,
    ) -> Result<bool, LogError> {
        let mut batches = self.batches(segment)?;
        while let Some((header, bytes)) = batches.next()? {
            if self.state.lock().stopped.is_some() {
                return Ok(false);
            }
            let left = open.meet(&header);
            let judge = Judge { round, map, header: &header, left };
            match judge.batch(&bytes).map_err(|reason| batches.corrupt(reason))? {
                Verdict::Whole => writer.put(&header, &bytes)?,
                Verdict::Some(left) => {
                    let header = batch::parse_header(&left).expect("it was made just now");
                    writer.put(&header, &left)?;
                    writer.changed = true;
                }
                Verdict::Gone => {
                    writer.changed |= header.records > 0 || header.producer_id >= 0;
                    writer.gap_to(header.end_offset());
                }
            }
        }
        // Where bytes are missing, which was reported, offsets are too.
        writer.gap_to(segment.end);
        Ok(true)
    }

    fn note_compacted(&self, upto: Offset) -> Result<(), LogError> {
        let _sync = self.sync_lock.lock();
        let point = {
            let state = self.state.lock();
            if state.stopped.is_some() {
                return Ok(());
            }
            RecoveryPoint { compacted_to: upto, ..state.next_recovery_point() }
        };
        let path = RecoveryPoint::path(&self.dir);
        point.write(self.disk(), &self.dir).map_err(|source| self.io_error(&path, source))?;
        self.state.lock().recovery_point = point;
        Ok(())
    }

    fn batches(&self, segment: &Sealed) -> Result<Batches, LogError> {
        let path = self.path(segment.base);
        let file = self.disk().open(&path, Create::No).map_err(|e| self.io_error(&path, e))?;
        let window = (0, Vec::new());
        Ok(Batches { file, path, position: 0, last: 0, limit: segment.bytes, window })
    }
}

/// The batches of a sealed segment, one after the other, their checksums checked.
struct Batches {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
    position: u64,
    /// Where the batch handed out last begins.
    last: u64,
    limit: u64,
    window: (u64, Vec<u8>),
}

impl Batches {
    fn next(&mut self) -> Result<Option<(BatchHeader, Vec<u8>)>, LogError> {
        if self.position >= self.limit {
            return Ok(None);
        }
        self.last = self.position;
        let left = self.limit - self.position;
        let head = self.at((HEADER_BYTES as u64).min(left))?;
        let header = batch::parse_header(head).map_err(|reason| self.corrupt(reason))?;
        if header.bytes as u64 > left {
            return Err(self.corrupt("a batch reaches past the segment's end".into()));
        }
        let bytes = self.at(header.bytes as u64)?[..header.bytes].to_vec();
        batch::check_batch(&bytes).map_err(|reason| self.corrupt(reason))?;
        self.position += header.bytes as u64;
        Ok(Some((header, bytes)))
    }

    /// At least `want` bytes from the position on.
    fn at(&mut self, want: u64) -> Result<&[u8], LogError> {
        let (start, window) = &mut self.window;
        if self.position + want > *start + window.len() as u64 {
            let bytes = WINDOW_BYTES.max(want).min(self.limit - self.position);
            window.resize(bytes as usize, 0);
            *start = self.position;
            self.file
                .read_exact_at(window, self.position)
                .map_err(|source| crate::topic_file::io_error(&self.path, source))?;
        }
        Ok(&window[(self.position - *start) as usize..])
    }

    /// What the batch handed out last is.
    fn corrupt(&self, reason: String) -> LogError {
        let file = self.path.display().to_string();
        LogError::Corrupt { file, position: self.last, reason }
    }
}

/// Writes the new segment.
struct Writer<'a> {
    partition: &'a Partition,
    file: Arc<dyn DiskFile>,
    base: Offset,
    /// The offset that is due.
    next: Offset,
    /// Offsets below, from `next` on, have no batch yet.
    gap_end: Offset,
    position: u64,
    buffer: Vec<u8>,
    index: Index,
    changed: bool,
}

impl<'a> Writer<'a> {
    fn new(partition: &'a Partition, base: Offset) -> Result<Self, LogError> {
        let path = compacting_path(&partition.dir, base);
        let file = partition.disk().open(&path, Create::Truncate);
        let file = file.map_err(|source| partition.io_error(&path, source))?;
        let (buffer, index) = (Vec::new(), Index::new(base));
        let (next, gap_end) = (base, base);
        let changed = false;
        Ok(Self { partition, file, base, next, gap_end, position: 0, buffer, index, changed })
    }

    fn bytes(&self) -> u64 {
        self.position + self.buffer.len() as u64
    }

    fn gap_to(&mut self, end: Offset) {
        self.gap_end = self.gap_end.max(end);
    }

    fn put(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<(), LogError> {
        self.close_gap()?;
        self.push(header.base_offset, header.max_timestamp, bytes)?;
        self.next = header.end_offset();
        self.gap_end = self.next;
        Ok(())
    }

    /// Puts a batch without records where none is left.
    fn close_gap(&mut self) -> Result<(), LogError> {
        if self.gap_end > self.next {
            // A segment has no more offsets than one batch can name.
            let last = i32::try_from(self.gap_end - self.next - 1).unwrap_or(i32::MAX);
            let bytes = batch::empty(self.next, last);
            self.push(self.next, -1, &bytes)?;
            self.next += i64::from(last) + 1;
            return self.close_gap();
        }
        Ok(())
    }

    fn push(&mut self, offset: Offset, max_timestamp: i64, bytes: &[u8]) -> Result<(), LogError> {
        self.index.observe(offset, self.bytes(), max_timestamp, false);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.partition.shared.reserve.take(self.buffer.len() as u64)?;
        let path = compacting_path(&self.partition.dir, self.base);
        self.file
            .write_all_at(&self.buffer, self.position)
            .map_err(|source| self.partition.io_error(&path, source))?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the new segment durable, under a name that is not a segment's yet.
    fn finish(mut self, end: Offset) -> Result<Made, LogError> {
        let made = self.end_at(end);
        if made.is_err() {
            self.discard();
        }
        made
    }

    fn end_at(&mut self, end: Offset) -> Result<Made, LogError> {
        self.close_gap()?;
        self.flush()?;
        let path = compacting_path(&self.partition.dir, self.base);
        self.file.sync().map_err(|source| self.partition.io_error(&path, source))?;
        let (base, bytes) = (self.base, self.position);
        self.index.seal(end, bytes);
        Ok(Made { base, end, bytes, index: self.index.clone() })
    }

    /// Removes the file; if that fails, the next start does it.
    fn discard(&self) {
        let path = compacting_path(&self.partition.dir, self.base);
        if let Err(error) = self.partition.disk().remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "could not be removed");
        }
    }
}
