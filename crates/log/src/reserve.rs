//! The bytes of disk that are kept free.
//!
//! Guarantees: appends are refused before the file system is full, and the file system is asked at
//! a bounded rate. Left out: making room, which is retention's.

use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tradewind_disk::Disk;
use tradewind_types::{Clock, LogError};

/// Other writers on the same file system are noticed within this time.
const LOOK_AGAIN_MS: u64 = 1_000;
/// Our own writes are counted, and checked against the file system after so many bytes.
const LOOK_AGAIN_BYTES: u64 = 16 << 20;
/// While appends are refused, the file system is asked no more often than this.
const REFUSED_LOOK_AGAIN_MS: u64 = 50;

#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    reserve_bytes: u64,
    last: Mutex<Option<Look>>,
    /// An append was refused since this was asked last.
    refused: AtomicBool,
}

/// What the file system said, and what we have taken since.
#[derive(Debug, Clone, Copy)]
struct Look {
    at_ms: i64,
    available: u64,
    taken: u64,
}

impl Look {
    fn left(&self) -> u64 {
        self.available.saturating_sub(self.taken)
    }
}

impl Reserve {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        clock: Arc<dyn Clock>,
        reserve_bytes: u64,
    ) -> Self {
        let refused = AtomicBool::new(false);
        Self { disk, dir, clock, reserve_bytes, last: Mutex::new(None), refused }
    }

    /// Takes `bytes` of the room above the reserve.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), LogError> {
        let now_ms = self.clock.now_ms();
        let mut last = self.last.lock();
        let stale = last.is_none_or(|look| {
            look.taken >= LOOK_AGAIN_BYTES || look.at_ms.abs_diff(now_ms) >= LOOK_AGAIN_MS
        });
        let short = last.is_some_and(|look| {
            !self.fits(&look, bytes) && look.at_ms.abs_diff(now_ms) >= REFUSED_LOOK_AGAIN_MS
        });
        if stale || short {
            *last = Some(self.look(now_ms)?);
        }
        let look = last.as_mut().expect("looked just now, or before");
        if self.fits(look, bytes) {
            look.taken += bytes;
            return Ok(());
        }
        self.refused.store(true, Ordering::Relaxed);
        Err(LogError::DiskReserve { available: look.left(), reserve: self.reserve_bytes })
    }

    /// Whether the reserve is reached, asked anew.
    pub(crate) fn reached(&self) -> Result<bool, LogError> {
        let look = self.look(self.clock.now_ms())?;
        *self.last.lock() = Some(look);
        Ok(self.refused.swap(false, Ordering::Relaxed) || look.left() <= self.reserve_bytes)
    }

    fn fits(&self, look: &Look, bytes: u64) -> bool {
        look.left() >= self.reserve_bytes.saturating_add(bytes)
    }

    fn look(&self, at_ms: i64) -> Result<Look, LogError> {
        let available = self
            .disk
            .available_bytes(&self.dir)
            .map_err(|source| crate::topic_file::io_error(&self.dir, source))?;
        Ok(Look { at_ms, available, taken: 0 })
    }
}
