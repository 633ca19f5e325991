//! Changes of views as text, written once for all who follow a view without a condition.
//!
//! Guarantees: what is kept is bounded in number and bytes; a text is of exactly the changes asked
//! for.
//! Left out: snapshots, which each follower has at its beginning only.

use crate::subscribe::changed;
use arrow::error::ArrowError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tradewind_process::ViewChanges;

/// Ticks of all views that are kept: followers look ten times a second, and the busiest view has
/// fifty ticks a second; so this is enough for two dozen of those.
const TICKS_MAX: usize = 128;
/// A longer text is not kept: 4 MiB in all.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// Recent changes, the newest last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rendered(Arc<Mutex<VecDeque<Tick>>>);

/// What one tick of a view has changed.
#[derive(Debug)]
struct Tick {
    changes: Arc<ViewChanges>,
    text: Arc<str>,
}

impl Rendered {
    /// `"delete":[…],"insert":[…]`
    pub(crate) fn of(&self, changes: &Arc<ViewChanges>) -> Result<Arc<str>, ArrowError> {
        let known = |tick: &&Tick| Arc::ptr_eq(&tick.changes, changes);
        if let Some(tick) = self.0.lock().iter().rev().find(known) {
            return Ok(Arc::clone(&tick.text));
        }
        let (deleted, inserted) = changed(&changes.rows)?;
        let text: Arc<str> = format!("\"delete\":[{deleted}],\"insert\":[{inserted}]").into();
        if text.len() <= TEXT_BYTES_MAX {
            let mut recent = self.0.lock();
            if recent.len() >= TICKS_MAX {
                recent.pop_front();
            }
            recent.push_back(Tick { changes: Arc::clone(changes), text: Arc::clone(&text) });
        }
        Ok(text)
    }
}
