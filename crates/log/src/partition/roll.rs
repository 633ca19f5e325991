//! Sealing the active segment and beginning the next.
//!
//! Guarantees: the old segment is durable to its end, as is what was aborted in it, and the new
//! one's name is durable, before anything is written to the new one. Left out: when (append, retain).

use super::{Active, Partition, Sealed, Stopped};
use crate::segment::{self, FileKind, Index};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Create, Disk};
use tradewind_types::{LogError, Offset};

impl Partition {
    /// Seals the active segment. Called with the write lead held, and only when the segment has
    /// batches; blocks.
    pub(super) fn roll(&self) -> Result<(), LogError> {
        let _sync = self.sync_lock.lock();
        self.sync_locked()?;
        let (base, end, bytes, mut index) = {
            let state = self.state.lock();
            let active = &state.active;
            (active.base, state.next_offset, active.bytes, active.index.clone())
        };
        debug_assert!(bytes > 0 && end > base, "an empty segment is not sealed");
        let aborted = self.state.lock().producers.aborted().to_vec();
        if !aborted.is_empty() {
            // Without it readers would take what was aborted for committed: so it comes first.
            let path = segment::path(&self.dir, base, FileKind::TxnIndex);
            segment::write_aborted(self.disk(), &self.dir, base, &aborted)
                .map_err(|source| self.io_error(&path, source))?;
        }
        index.seal(end, bytes);
        if let Err(error) = index.write_sealed(self.disk(), &self.dir) {
            let file = self.path(base);
            tracing::warn!(file = %file.display(), %error, "index was not written: it will be rebuilt");
        }
        let next = self.next_active(end)?;
        let snapshot = {
            let mut state = self.state.lock();
            let old = std::mem::replace(&mut state.active, next);
            state.sealed.push(Arc::new(Sealed {
                base,
                end,
                bytes,
                max_timestamp: index.max_timestamp(),
                last_append_ms: old.last_append_ms,
                aborted: !aborted.is_empty(),
            }));
            state.producers.clear_aborted();
            state.snapshot()
        };
        self.write_snapshot(snapshot);
        if let Err(error) = self.move_recovery_point() {
            tracing::warn!(topic = %self.topic, partition = self.id, %error, "recovery point was not moved: the next start reads more");
        }
        Ok(())
    }

    fn next_active(&self, base: Offset) -> Result<Active, LogError> {
        let path = self.path(base);
        let now_ms = self.shared.clock.now_ms();
        let next = Active::open_new(self.disk(), &self.dir, base, now_ms)
            .map_err(|source| self.io_error(&path, source))?;
        if let Err(error) = self.disk().sync_dir(&self.dir) {
            // As with a file: a later sync of the folder would prove nothing.
            let reason = format!("{}: {error}", self.dir.display());
            self.go_offline(&reason);
            return Err(self.stopped_error(&Stopped::Offline(reason)));
        }
        Ok(next)
    }
}

impl Active {
    /// A new, empty segment. Its name is durable once the folder is synced.
    pub(super) fn open_new(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        now_ms: i64,
    ) -> io::Result<Self> {
        let file = disk.open(&segment::path(dir, base, FileKind::Log), Create::Truncate)?;
        Ok(Self {
            base,
            file,
            bytes: 0,
            synced_bytes: 0,
            index: Index::new(base),
            first_append_ms: now_ms,
            last_append_ms: now_ms,
        })
    }
}
