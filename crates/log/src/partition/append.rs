//! Appending: a queue, and one writer at a time who writes it all.
//!
//! Guarantees: batches get dense offsets in the order they lie in the file; a producer's batch is
//! checked against all before it, and one that is there already is answered with its offset; what
//! could not be written leaves no trace, or the partition goes offline, as it does when the writer panics: what
//! that one has left in the file, only a start can tell. Left out: durability (sync).

use super::producers::{Admitted, Draft, Origin, Refused};
use super::tail::Chunk;
use super::{Partition, Shared, State, Stopped};
use crate::batch;
use crate::blocking;
use crate::metrics_names as names;
use crate::segment::ABORTED_PER_SEGMENT_MAX;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tradewind_types::{LogError, Offset};

/// Appends are written together up to so many bytes: what one copy and one write are worth.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// A partition's tail is at most this large: seconds of a busy partition.
const TAIL_BYTES_MAX: usize = 8 << 20;
/// Why a partition is offline whose writer panicked.
const WRITER_ENDED: &str =
    "the writer ended in the midst of an append; a restart finds what was kept";
/// Offsets in a segment are relative and 32-bit in its index.
const SEGMENT_OFFSETS_MAX: i64 = u32::MAX as i64;

/// Whole batches, checked, with any base offset.
#[derive(Debug)]
pub(crate) enum Batches {
    /// Encoded here: written as they are.
    Own(Vec<u8>),
    /// A producer's: copied before their offsets are set.
    Sent(Bytes),
}

impl Batches {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Sent(bytes) => bytes,
        }
    }
}

/// An append: what to write, and how many records that is.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batches: Batches,
    pub(crate) spans: Vec<batch::BatchSpan>,
    pub(crate) origin: Origin,
}

impl Append {
    fn len(&self) -> usize {
        self.batches.bytes().len()
    }

    /// Its batches with this compression, where the topic asks for one; they may be too large then.
    pub(crate) fn compressed(
        mut self,
        codec: Option<batch::Compression>,
        batch_bytes_max: usize,
    ) -> Result<Self, LogError> {
        let Some(codec) = codec else { return Ok(self) };
        let made = batch::recompress(self.batches.bytes(), &self.spans, codec);
        if let Some((bytes, spans)) = made.map_err(LogError::Invalid)? {
            if let Some(span) = spans.iter().find(|span| span.header.bytes > batch_bytes_max) {
                return Err(LogError::Invalid(format!(
                    "{} bytes, as `compression.type` has it, are more than `max.message.bytes` \
                     allows ({batch_bytes_max})",
                    span.header.bytes
                )));
            }
            (self.batches, self.spans) = (Batches::Own(bytes), spans);
        }
        Ok(self)
    }

    /// Gives the batches the log's time.
    pub(crate) fn stamp(&mut self, now_ms: i64) {
        let mut bytes = match std::mem::replace(&mut self.batches, Batches::Own(Vec::new())) {
            Batches::Own(bytes) => bytes,
            Batches::Sent(bytes) => bytes.to_vec(),
        };
        batch::stamp_append_time(&mut bytes, &mut self.spans, now_ms);
        self.batches = Batches::Own(bytes);
    }

    /// The header of its one batch, when that has a producer whose state it changes.
    fn numbered(&self) -> Option<&batch::BatchHeader> {
        let header = &self.spans.first()?.header;
        (header.producer_id >= 0 && self.origin != Origin::Own).then_some(header)
    }

    fn records(&self) -> i64 {
        self.spans.iter().map(|span| i64::from(span.header.records)).sum()
    }
}

/// An append in the queue.
#[derive(Debug)]
pub(super) struct Pending {
    append: Append,
    done: oneshot::Sender<Result<Offset, LogError>>,
    _room: Room,
}

/// Bytes taken of what may be in flight; given back when dropped.
#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Room {
    fn take(shared: &Arc<Shared>, bytes: usize) -> Result<Self, LogError> {
        let max = shared.settings.append_bytes_in_flight_max;
        let taken = shared.bytes_in_flight.fetch_add(bytes, Ordering::Relaxed);
        let room = Self { shared: Arc::clone(shared), bytes };
        // One append that is larger than the bound passes when it is alone.
        if taken > 0 && taken + bytes > max {
            return Err(LogError::Busy(format!(
                "{taken} bytes wait for the disk, `append_bytes_in_flight_max` is {max}"
            )));
        }
        Ok(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.bytes_in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Takes the partition offline when its writer panics.
struct OfflineOnPanic<'a>(&'a Partition);

impl Drop for OfflineOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(WRITER_ENDED);
        }
    }
}

/// Appends that go to one segment in one write.
struct Group {
    appends: Vec<Pending>,
    /// Those that are in the log, or in this group, already; with their offsets.
    repeats: Vec<(Pending, Offset)>,
    /// What the appends change in their producers.
    draft: Draft,
    base: Offset,
    position: u64,
}

impl Partition {
    /// Appends, and returns the first record's offset: after the fsync when `durable`, else once
    /// written, with the fsync on its way.
    pub(crate) async fn append(
        self: &Arc<Self>,
        append: Append,
        durable: bool,
    ) -> Result<Offset, LogError> {
        let records = append.records();
        let base = self.write(append).await?;
        if durable {
            self.synced_to(base + records).await?;
        } else {
            self.sync_soon();
        }
        Ok(base)
    }

    async fn write(self: &Arc<Self>, append: Append) -> Result<Offset, LogError> {
        let bytes = append.len();
        self.check_running(&self.state.lock())?;
        let room = Room::take(&self.shared, bytes)?;
        // A marker frees more than it takes: without it no segment of its transaction can go.
        if !matches!(append.origin, Origin::Marker(_) | Origin::Offsets { .. }) {
            self.shared.reserve.take(bytes as u64)?;
        }
        let (done, mut written) = oneshot::channel();
        self.queue.lock().push(Pending { append, done, _room: room });
        tokio::select! {
            biased;
            result = &mut written => return self.answer(result),
            lead = Arc::clone(&self.write_lead).lock_owned() => {
                let this = Arc::clone(self);
                // The lead goes along: should this future be dropped, the write still ends
                // before the next one begins.
                blocking::run(move || {
                    this.write_queue();
                    drop(lead);
                })
                .await;
            }
        }
        self.answer(written.await)
    }

    fn answer(
        &self,
        result: Result<Result<Offset, LogError>, oneshot::error::RecvError>,
    ) -> Result<Offset, LogError> {
        result.unwrap_or_else(|_| {
            // It may have been written: never an error that says it was not.
            self.stop(WRITER_ENDED);
            Err(self.stopped_error(&Stopped::Offline(WRITER_ENDED.to_owned())))
        })
    }

    /// Writes everything in the queue. Called with the write lead held; blocks.
    pub(super) fn write_queue(&self) {
        let _offline = OfflineOnPanic(self);
        let mut queue = std::mem::take(&mut *self.queue.lock()).into_iter().peekable();
        while queue.peek().is_some() {
            match self.next_group(&mut queue) {
                Ok(group) => self.write_group(group),
                Err(error) => fail(queue.by_ref(), &error),
            }
        }
    }

    /// Takes from the queue what fits the active segment, sealing it first when nothing does.
    fn next_group(
        &self,
        queue: &mut std::iter::Peekable<std::vec::IntoIter<Pending>>,
    ) -> Result<Group, LogError> {
        let first = queue.peek().map_or(0, |pending| pending.append.len());
        if self.must_roll(first)? {
            self.roll()?;
        }
        let config_bytes = self.config().segment_bytes;
        let state = self.state.lock();
        self.check_running(&state)?;
        let (base, position) = (state.next_offset, state.active.bytes);
        let offsets_left = SEGMENT_OFFSETS_MAX - (base - state.active.base);
        drop(state);
        let mut group = Group::new(base, position);
        let (mut bytes, mut records, mut first) = (0, 0, true);
        while let Some(pending) = queue.peek() {
            let (more, more_records) = (pending.append.len(), pending.append.records());
            let fits = bytes + more <= GROUP_BYTES_MAX
                && position + (bytes + more) as u64 <= config_bytes
                && records + more_records <= offsets_left;
            if !first && !fits {
                break;
            }
            first = false;
            let Some(pending) = queue.next() else { break };
            match self.admit(&mut group.draft, &pending.append, base + records) {
                Ok(Admitted::New) => {
                    bytes += more;
                    records += more_records;
                    group.appends.push(pending);
                }
                Ok(Admitted::Repeated(offset)) => group.repeats.push((pending, offset)),
                Err(error) => drop(pending.done.send(Err(error))),
            }
        }
        Ok(group)
    }

    /// Checks an append that would be written at `base` and drafts what it changes.
    fn admit(
        &self,
        draft: &mut Draft,
        append: &Append,
        base: Offset,
    ) -> Result<Admitted, LogError> {
        let Some(header) = append.numbered() else { return Ok(Admitted::New) };
        let now_ms = self.shared.clock.now_ms();
        let producers = &mut self.state.lock().producers;
        producers.admit(draft, append.origin, header, base, now_ms).map_err(|refused| match refused
        {
            Refused::Fault(fault) => self.producer_error(fault),
            Refused::Full => LogError::Busy(format!(
                "more producers wrote to {}-{} lately than `log.producers_max` allows",
                self.topic, self.id
            )),
        })
    }

    /// Whether `bytes` more belong in a new segment.
    fn must_roll(&self, bytes: usize) -> Result<bool, LogError> {
        let config = self.config();
        let state = self.state.lock();
        self.check_running(&state)?;
        let active = &state.active;
        let age_ms = self.shared.clock.now_ms().saturating_sub(active.first_append_ms);
        Ok(active.bytes > 0
            && (active.bytes + bytes as u64 > config.segment_bytes
                || age_ms >= config.segment_ms_max()
                || state.producers.aborted().len() >= ABORTED_PER_SEGMENT_MAX
                || state.next_offset - active.base >= SEGMENT_OFFSETS_MAX / 2))
    }

    fn write_group(&self, mut group: Group) {
        if group.appends.is_empty() {
            return answer_repeats(group.repeats);
        }
        let bytes = group.encode();
        let file = Arc::clone(&self.state.lock().active.file);
        match file.write_all_at(&bytes, group.position) {
            Ok(()) => {
                self.note_written(&mut group, bytes);
                let mut offset = group.base;
                for pending in group.appends {
                    let records = pending.append.records();
                    // Whoever waited may be gone; the records are kept all the same.
                    let _ = pending.done.send(Ok(offset));
                    offset += records;
                }
                answer_repeats(group.repeats);
            }
            Err(source) => {
                self.undo_write(group.position);
                let path = self.path(self.state.lock().active.base);
                // What repeats a batch of this group was not written either.
                let repeats = group.repeats.into_iter().map(|(pending, _)| pending);
                let all = group.appends.into_iter().chain(repeats);
                fail(all, &self.io_error(&path, source));
            }
        }
    }

    fn note_written(&self, group: &mut Group, bytes: Vec<u8>) {
        let now_ms = self.shared.clock.now_ms();
        let mut state = self.state.lock();
        state.note_batches(group);
        state.producers.commit(std::mem::take(&mut group.draft));
        state.unsnapped_bytes += bytes.len() as u64;
        let active = &mut state.active;
        if active.bytes == 0 {
            active.first_append_ms = now_ms;
        }
        active.last_append_ms = now_ms;
        active.bytes += bytes.len() as u64;
        metrics::counter!(names::APPEND_BYTES).increment(bytes.len() as u64);
        metrics::counter!(names::APPEND_RECORDS)
            .increment((state.next_offset - group.base).unsigned_abs());
        let chunk = Chunk { base: group.base, end: state.next_offset, bytes: Bytes::from(bytes) };
        state.tail.push(chunk, self.tail_bytes());
    }

    /// A failed write may have left bytes behind: they are cut, or nothing more is written.
    fn undo_write(&self, position: u64) {
        let file = Arc::clone(&self.state.lock().active.file);
        if let Err(error) = file.set_len(position) {
            let _sync = self.sync_lock.lock();
            self.go_offline(&format!("a failed write could not be undone: {error}"));
        }
    }

    fn tail_bytes(&self) -> usize {
        let partitions = self.shared.partitions.load(Ordering::Relaxed).max(1);
        (self.shared.settings.tail_bytes_max / partitions).min(TAIL_BYTES_MAX)
    }
}

impl State {
    fn note_batches(&mut self, group: &Group) {
        let mut position = group.position;
        for pending in &group.appends {
            for span in &pending.append.spans {
                let header = &span.header;
                let offset = self.next_offset;
                self.active.index.observe(offset, position, header.max_timestamp, false);
                self.next_offset += i64::from(header.records);
                position += header.bytes as u64;
                self.unsynced_batches += 1;
            }
        }
    }
}

impl Group {
    fn new(base: Offset, position: u64) -> Self {
        let (appends, repeats, draft) = Default::default();
        Self { appends, repeats, draft, base, position }
    }

    /// The bytes to write, with their offsets set: one append of our own is not copied.
    fn encode(&mut self) -> Vec<u8> {
        let mut offset = self.base;
        let total: usize = self.appends.iter().map(|pending| pending.append.len()).sum();
        let alone = self.appends.len() == 1;
        let mut out = Vec::new();
        for pending in &mut self.appends {
            let start = out.len();
            match &mut pending.append.batches {
                Batches::Own(bytes) if alone => out = std::mem::take(bytes),
                batches => {
                    out.reserve_exact(total - start);
                    out.extend_from_slice(batches.bytes());
                }
            }
            for span in &pending.append.spans {
                batch::rebase(&mut out[start + span.position..], offset);
                offset += i64::from(span.header.records);
            }
        }
        out
    }
}

/// Answers what was there already. Whether it is durable, its sender waits for like everybody else.
fn answer_repeats(repeats: Vec<(Pending, Offset)>) {
    if !repeats.is_empty() {
        metrics::counter!(names::REPEATED_BATCHES).increment(repeats.len() as u64);
    }
    for (pending, offset) in repeats {
        let _ = pending.done.send(Ok(offset));
    }
}

/// Answers every append with `error`.
fn fail(appends: impl Iterator<Item = Pending>, error: &LogError) {
    for pending in appends {
        let _ = pending.done.send(Err(copy_error(error)));
    }
}

/// The same error for one more caller: `io::Error` cannot be cloned.
fn copy_error(error: &LogError) -> LogError {
    match error {
        LogError::Io { path, source } => LogError::Io {
            path: path.clone(),
            source: io::Error::new(source.kind(), source.to_string()),
        },
        LogError::Offline { topic, partition, reason } => LogError::Offline {
            topic: topic.clone(),
            partition: *partition,
            reason: reason.clone(),
        },
        LogError::NoTopic { topic } => LogError::NoTopic { topic: topic.clone() },
        other => LogError::Busy(other.to_string()),
    }
}
