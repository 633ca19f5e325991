//! Sealed segments that are open: their files and indexes.
//!
//! Guarantees: at most `segments_open_max` are held; the one used longest ago goes first.
//! Left out: the active segment, which its partition holds.

use super::{Aborted, Index};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_disk::DiskFile;
use tradewind_types::Offset;

/// A sealed segment, open.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) index: Index,
    /// The transactions whose abort marker it holds.
    pub(crate) aborted: Vec<Aborted>,
}

/// A partition's number in this life of the store, and a segment's base offset. Not the path: a topic
/// made anew under an old name has other files under the same paths.
pub(crate) type SegmentId = (u64, Offset);

/// The open segments of a store.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    open_max: usize,
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    /// When each was used last, in uses.
    open: HashMap<SegmentId, (u64, Arc<OpenSegment>)>,
    uses: u64,
}

impl SegmentCache {
    pub(crate) fn new(open_max: usize) -> Self {
        Self { open_max: open_max.max(1), state: Mutex::default() }
    }

    pub(crate) fn get(&self, id: SegmentId) -> Option<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        state.uses += 1;
        let uses = state.uses;
        let (used, segment) = state.open.get_mut(&id)?;
        *used = uses;
        Some(Arc::clone(segment))
    }

    pub(crate) fn put(&self, id: SegmentId, segment: Arc<OpenSegment>) {
        let mut state = self.state.lock();
        state.uses += 1;
        let uses = state.uses;
        state.open.insert(id, (uses, segment));
        while state.open.len() > self.open_max {
            let oldest = state.open.iter().min_by_key(|(_, (used, _))| *used);
            let Some(id) = oldest.map(|(id, _)| *id) else { return };
            state.open.remove(&id);
        }
    }

    pub(crate) fn remove(&self, id: SegmentId) {
        self.state.lock().open.remove(&id);
    }
}
