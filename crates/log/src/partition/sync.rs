//! Fsync: one for everybody who wrote before it.
//!
//! Guarantees: the high watermark moves only after the fsync of everything below it; a failed
//! fsync is final. Left out: a timer. Whoever waits for durability leads the fsync, so a
//! simulation needs no background task.

use super::producers::Snapshot;
use super::{Partition, RecoveryPoint, State, Stopped};
use crate::blocking;
use crate::metrics_names as names;
use crate::segment::Numbered;
use crate::settings::Flush;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tradewind_types::{LogError, Offset};

/// The recovery point moves after so many bytes: what a start reads and checks, per partition.
const RECOVERY_POINT_BYTES: u64 = 4 << 20;
/// Small segments move it more often, by this share of `segment.bytes`.
const RECOVERY_POINT_SHARE: u64 = 4;
/// A snapshot of the producers is taken after so many bytes, when any of them wrote since: what a
/// start reads to know them again.
const SNAPSHOT_BYTES: u64 = 8 << 20;
/// The recovery point moves at the latest after this time, when anything was written.
const RECOVERY_POINT_MS: u64 = 5_000;

/// When the last fsync of a partition began; what `Flush::IntervalMs` counts from.
pub(super) type LastSync = Option<tokio::time::Instant>;

impl Partition {
    /// Returns once everything below `end` is durable.
    pub(crate) async fn synced_to(self: &Arc<Self>, end: Offset) -> Result<(), LogError> {
        loop {
            let told = self.synced.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.is_synced(end)? {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = told => {}
                mut lead = Arc::clone(&self.sync_lead).lock_owned() => {
                    if self.is_synced(end)? {
                        return Ok(());
                    }
                    self.await_interval(*lead).await;
                    *lead = Some(tokio::time::Instant::now());
                    let this = Arc::clone(self);
                    blocking::run(move || {
                        let result = this.sync();
                        drop(lead);
                        result
                    })
                    .await?;
                }
            }
        }
    }

    fn is_synced(&self, end: Offset) -> Result<bool, LogError> {
        let state = self.state.lock();
        if state.high_watermark >= end {
            return Ok(true);
        }
        self.check_running(&state).map(|()| false)
    }

    async fn await_interval(&self, last: LastSync) {
        if let (Flush::IntervalMs(interval_ms), Some(last)) = (self.shared.settings.flush, last) {
            tokio::time::sleep_until(last + Duration::from_millis(interval_ms)).await;
        }
    }

    /// Has a task fsync what was written, so that readers see it.
    pub(super) fn sync_soon(self: &Arc<Self>) {
        let end = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.flush_due, true) {
                return;
            }
            state.next_offset
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut end = end;
            loop {
                // A failure took the partition offline, which said so.
                let synced = this.synced_to(end).await;
                let mut state = this.state.lock();
                if synced.is_err() || state.next_offset == state.high_watermark {
                    state.flush_due = false;
                    return;
                }
                end = state.next_offset;
            }
        });
    }

    /// Fsyncs what was written so far and moves the high watermark. Blocks.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let _sync = self.sync_lock.lock();
        let snapshot = self.sync_state(false)?;
        self.write_snapshot(snapshot);
        self.move_recovery_point_if_due();
        Ok(())
    }

    /// As [`Partition::sync`], with the sync lock held, and nothing but the sync.
    pub(super) fn sync_locked(&self) -> Result<(), LogError> {
        self.sync_state(true).map(drop)
    }

    /// Fsyncs, and gives the producers' snapshot that is due, as of what is durable then. None is
    /// taken when the caller takes his own.
    fn sync_state(&self, no_snapshot: bool) -> Result<Option<Snapshot>, LogError> {
        let (file, base, bytes, target, batches, snapshot) = {
            let mut state = self.state.lock();
            self.check_running(&state)?;
            if state.high_watermark == state.next_offset {
                return Ok(None);
            }
            let due = !no_snapshot && state.unsnapped_bytes >= SNAPSHOT_BYTES;
            let snapshot = if due { state.snapshot() } else { None };
            let batches = std::mem::take(&mut state.unsynced_batches);
            let active = &state.active;
            let target = state.next_offset;
            (Arc::clone(&active.file), active.base, active.bytes, target, batches, snapshot)
        };
        let began = Instant::now();
        let synced = file.sync();
        metrics::counter!(names::FSYNCS).increment(1);
        metrics::histogram!(names::FSYNC_SECONDS).record(began.elapsed().as_secs_f64());
        metrics::histogram!(names::BATCHES_PER_FSYNC).record(batches as f64);
        if let Err(error) = synced {
            let reason = format!("{}: {error}", self.path(base).display());
            self.go_offline(&reason);
            return Err(self.stopped_error(&Stopped::Offline(reason)));
        }
        {
            let mut state = self.state.lock();
            state.high_watermark = target;
            state.active.synced_bytes = bytes;
            state.producers.settle(target);
        }
        self.tell();
        Ok(snapshot)
    }

    /// Writes a snapshot of the producers. Without it a start reads more. Called with the sync lock
    /// held and everything durable that it speaks of; blocks.
    pub(super) fn write_snapshot(&self, snapshot: Option<Snapshot>) {
        let Some(snapshot) = snapshot else { return };
        match snapshot.write(self.disk(), &self.dir) {
            Ok(()) => self.state.lock().snapshot_offset = Some(snapshot.offset),
            Err(error) => {
                tracing::warn!(topic = %self.topic, partition = self.id, %error, "the producers' snapshot was not written: the next start reads more");
            }
        }
    }

    fn move_recovery_point_if_due(&self) {
        let segment_bytes = self.config().segment_bytes;
        let bytes_due = RECOVERY_POINT_BYTES.min(segment_bytes / RECOVERY_POINT_SHARE);
        let now_ms = self.shared.clock.now_ms();
        let due = {
            let state = self.state.lock();
            let point = &state.recovery_point;
            let since = state.active.synced_bytes - point.position.min(state.active.synced_bytes);
            state.high_watermark > point.offset
                && (since >= bytes_due
                    || state.recovery_point_at_ms.abs_diff(now_ms) >= RECOVERY_POINT_MS)
        };
        if due && let Err(error) = self.move_recovery_point() {
            tracing::warn!(topic = %self.topic, partition = self.id, %error, "recovery point was not moved: the next start reads more");
        }
    }

    /// Writes the recovery point for what is durable now, and the index up to there. Called with
    /// the sync lock held; blocks.
    pub(super) fn move_recovery_point(&self) -> Result<(), LogError> {
        let (point, mut index, base) = {
            let state = self.state.lock();
            (state.next_recovery_point(), state.active.index.clone(), state.active.base)
        };
        let path = RecoveryPoint::path(&self.dir);
        point.write(self.disk(), &self.dir).map_err(|source| self.io_error(&path, source))?;
        index
            .write(self.disk(), &self.dir, point.position)
            .map_err(|source| self.io_error(&self.dir, source))?;
        let mut state = self.state.lock();
        state.recovery_point = point;
        state.recovery_point_at_ms = self.shared.clock.now_ms();
        if state.active.base == base {
            state.active.index.note_written(&index);
        }
        Ok(())
    }
}

impl State {
    /// The producers as of the end of what is written, when they changed since the last snapshot.
    pub(super) fn snapshot(&mut self) -> Option<Snapshot> {
        self.unsnapped_bytes = 0;
        if self.producers.ids_until() <= self.snapshot_offset.unwrap_or(0) {
            return None;
        }
        let indexed = self.sealed.iter().filter(|sealed| sealed.aborted);
        let indexed = indexed.map(|sealed| sealed.base).collect();
        Some(Snapshot::of(&self.producers, self.next_offset, indexed))
    }

    pub(super) fn next_recovery_point(&self) -> RecoveryPoint {
        RecoveryPoint {
            sequence: self.recovery_point.sequence + 1,
            log_start: self.log_start,
            offset: self.high_watermark,
            segment_base: self.active.base,
            position: self.active.synced_bytes,
            compacted_to: self.recovery_point.compacted_to,
            numbered: match self.producers.ids_until() <= self.snapshot_offset.unwrap_or(0) {
                true => Numbered::below(self.snapshot_offset),
                false => Numbered::ABOVE,
            },
        }
    }
}
