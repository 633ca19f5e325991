//! Retention: whole segments, oldest first.
//!
//! Guarantees: the active segment is sealed before it can go; a removal half done by a crash leaves
//! no hole; what a pipeline holds goes only when the disk's reserve forces it, and then it says who
//! held what. Left out: when to look (store).

use super::{Partition, Sealed, State};
use crate::metrics_names as names;
use crate::segment::{self, FileKind, RecoveryPoint};
use crate::settings::TopicDefaults;
use std::sync::Arc;
use tradewind_types::{LogError, Offset};

/// What retention removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retained {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) holds_overridden: u64,
}

/// Segments to remove, oldest first.
pub(super) struct Doomed {
    pub(super) segments: Vec<(Offset, u64)>,
    pub(super) log_start: Offset,
    /// Who held how many of them, from which offset.
    pub(super) overridden: Vec<(String, Offset)>,
}

impl Sealed {
    /// When its newest record came. A compacted segment's file is younger than its records, so
    /// there it is their timestamps that count, as in Kafka.
    pub(super) fn newest_ms(&self, config: &TopicDefaults) -> i64 {
        if config.cleanup.compact && self.max_timestamp >= 0 {
            self.max_timestamp.min(self.last_append_ms)
        } else {
            self.last_append_ms
        }
    }
}

impl Partition {
    /// Removes the segments that are past their time or size. `forced` removes them even when they
    /// are held. Blocks.
    pub(crate) fn retain(&self, forced: bool) -> Result<Retained, LogError> {
        self.state.lock().producers.expire(self.shared.clock.now_ms());
        self.seal_expired()?;
        let _sync = self.sync_lock.lock();
        let doomed = {
            let state = self.state.lock();
            if state.stopped.is_some() {
                return Ok(Retained::default());
            }
            self.doomed(&state, forced)
        };
        if doomed.segments.is_empty() {
            return Ok(Retained::default());
        }
        for (holder, offset) in &doomed.overridden {
            tracing::warn!(
                topic = %self.topic, partition = self.id, holder, held_from = offset,
                log_start = doomed.log_start,
                "removed records a pipeline had not read: the disk's reserve is reached"
            );
        }
        self.remove(&doomed)?;
        let retained = Retained {
            segments: doomed.segments.len() as u64,
            bytes: doomed.segments.iter().map(|(_, bytes)| bytes).sum(),
            holds_overridden: doomed.overridden.len() as u64,
        };
        metrics::counter!(names::SEGMENTS_DELETED).increment(retained.segments);
        metrics::counter!(names::HOLDS_OVERRIDDEN).increment(retained.holds_overridden);
        tracing::info!(
            topic = %self.topic, partition = self.id, segments = retained.segments,
            bytes = retained.bytes, log_start = doomed.log_start, "retention removed segments"
        );
        Ok(retained)
    }

    /// Removes the sealed segments that end at or below `offset`. Blocks.
    pub(crate) fn remove_below(&self, offset: Offset) -> Result<(), LogError> {
        let _sync = self.sync_lock.lock();
        let doomed = {
            let state = self.state.lock();
            self.check_running(&state)?;
            let segments = state.sealed.iter().take_while(|segment| segment.end <= offset);
            let segments: Vec<_> =
                segments.map(|segment| (segment.base, segment.bytes, segment.end)).collect();
            let Some((_, _, log_start)) = segments.last().copied() else { return Ok(()) };
            let segments = segments.into_iter().map(|(base, bytes, _)| (base, bytes)).collect();
            Doomed { segments, log_start, overridden: Vec::new() }
        };
        self.remove(&doomed)
    }

    /// Seals the active segment when all in it is past its time, so that it can go.
    fn seal_expired(&self) -> Result<(), LogError> {
        let config = self.config();
        let Some(retention_ms) = config.retention_ms.filter(|_| config.cleanup.delete) else {
            return Ok(());
        };
        // Somebody is writing: then it has not expired.
        let Ok(_lead) = self.write_lead.try_lock() else { return Ok(()) };
        let expired = {
            let state = self.state.lock();
            let age_ms = self.shared.clock.now_ms().saturating_sub(state.active.last_append_ms);
            state.stopped.is_none() && state.active.bytes > 0 && age_ms > retention_ms
        };
        if expired { self.roll() } else { Ok(()) }
    }

    fn doomed(&self, state: &State, forced: bool) -> Doomed {
        let due = self.due(state);
        let mut doomed =
            Doomed { segments: Vec::new(), log_start: state.log_start, overridden: Vec::new() };
        // What is not decided yet stays, whoever needs the room: its coordinator ends it in time.
        let stable = state.watermarks().last_stable;
        for segment in state.sealed[..due].iter().filter(|segment| segment.end <= stable) {
            let held = state.holds.iter().filter(|(_, offset)| **offset < segment.end);
            for (holder, offset) in held {
                if !forced {
                    return doomed;
                }
                if doomed.overridden.iter().all(|(known, _)| known != holder) {
                    doomed.overridden.push((holder.clone(), *offset));
                }
            }
            doomed.segments.push((segment.base, segment.bytes));
            doomed.log_start = doomed.log_start.max(segment.end);
        }
        doomed
    }

    /// How many segments, from the oldest on, are past their time or beyond the partition's size.
    fn due(&self, state: &State) -> usize {
        let config = self.config();
        if !config.cleanup.delete {
            return 0;
        }
        let now_ms = self.shared.clock.now_ms();
        let expired = config.retention_ms.map_or(0, |retention_ms| {
            let old = |age_ms: i64| age_ms > retention_ms;
            let young = state
                .sealed
                .iter()
                .position(|segment| !old(now_ms.saturating_sub(segment.newest_ms(&config))));
            young.unwrap_or(state.sealed.len())
        });
        let surplus = config.retention_bytes.map_or(0, |retention_bytes| {
            let mut bytes: u64 = state.sealed.iter().map(|segment| segment.bytes).sum();
            bytes += state.active.bytes;
            let fits = state.sealed.iter().position(|segment| {
                bytes -= segment.bytes;
                bytes < retention_bytes
            });
            fits.unwrap_or(state.sealed.len())
        });
        expired.max(surplus)
    }

    /// First the new log start, durably; then the files; then the folder. Called with the sync
    /// lock held.
    pub(super) fn remove(&self, doomed: &Doomed) -> Result<(), LogError> {
        let point = {
            let state = self.state.lock();
            RecoveryPoint { log_start: doomed.log_start, ..state.next_recovery_point() }
        };
        let path = RecoveryPoint::path(&self.dir);
        point.write(self.disk(), &self.dir).map_err(|source| self.io_error(&path, source))?;
        {
            let mut state = self.state.lock();
            state.recovery_point = point;
            state.log_start = doomed.log_start;
            state.sealed = state.sealed.split_off(doomed.segments.len());
            state.tail.forget_below(doomed.log_start);
        }
        for (base, _) in &doomed.segments {
            self.shared.cache.remove((self.life, *base));
            for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex] {
                let path = segment::path(&self.dir, *base, kind);
                match self.disk().remove_file(&path) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(self.io_error(&path, source));
                    }
                    _ => {}
                }
            }
        }
        self.disk().sync_dir(&self.dir).map_err(|source| self.io_error(&self.dir, source))
    }

    /// Makes what was written durable, for appends nobody waits for. Blocks.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<(), LogError> {
        let Ok(_lead) = self.write_lead.try_lock() else { return Ok(()) };
        self.write_queue();
        if self.state.lock().stopped.is_some() {
            return Ok(());
        }
        self.sync()
    }

    /// Writes and syncs what is waiting and takes no more.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<(), LogError> {
        let lead = Arc::clone(&self.write_lead).lock_owned().await;
        let this = Arc::clone(self);
        crate::blocking::run(move || {
            this.write_queue();
            let closed = this.close_files();
            drop(lead);
            closed
        })
        .await
    }

    fn close_files(&self) -> Result<(), LogError> {
        if self.state.lock().stopped.is_some() {
            return Ok(());
        }
        let sync = self.sync_lock.lock();
        let synced = self.sync_locked().and_then(|()| {
            let moved = {
                let mut state = self.state.lock();
                let (end, bytes) = (state.next_offset, state.active.bytes);
                // With an entry for its end, the next start has nothing to scan.
                state.active.index.seal(end, bytes)
                    || state.recovery_point.offset != state.high_watermark
            };
            let snapshot = self.state.lock().snapshot();
            self.write_snapshot(snapshot);
            if moved { self.move_recovery_point() } else { Ok(()) }
        });
        self.state.lock().stopped.get_or_insert(super::Stopped::Closed);
        self.tell();
        drop(sync);
        self.await_compaction();
        synced
    }
}
