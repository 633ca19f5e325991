//! One reader who follows a materialized view.
//!
//! Guarantees: first the view as it was after one tick, whole and in pieces of bounded size; then
//! each tick's changes, none left out: applied in order they leave the view. Whoever comes back
//! with a token goes on behind it, or is told to begin anew.
//! Left out: how events are written, and how many readers there may be.

use crate::view::{Following, Reached, View, ViewChanges, ViewSnapshot};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Rows of a snapshot in one event.
const EVENT_ROWS_MAX: usize = 1_000;

/// Up to where somebody has seen a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumeToken {
    /// Which definition of the view.
    pub incarnation: u64,
    /// Which tick.
    pub epoch: u64,
}

/// What a reader is told next.
#[derive(Debug, Clone)]
pub enum ViewEvent {
    /// What was told before does not count any more; a snapshot follows.
    Reset,
    /// More has changed than is kept, while nobody asked; a reset follows.
    Behind,
    /// Some rows of the view.
    Snapshot {
        /// The rows; `None` where the view is empty.
        rows: Option<RecordBatch>,
        /// With the last of them.
        token: Option<ResumeToken>,
        /// Up to which records the view is the answer.
        positions: Reached,
    },
    /// What one tick has changed.
    Changes {
        /// The rows, `_weight` last.
        changes: Arc<ViewChanges>,
        /// Up to where the reader has seen the view then.
        token: ResumeToken,
    },
}

/// One reader.
#[derive(Debug)]
pub struct Subscription {
    view: Arc<View>,
    epochs: watch::Receiver<u64>,
    /// The last tick whose changes were told.
    seen: Option<u64>,
    sending: Option<Sending>,
    /// The reader had seen something that cannot be continued.
    reset: bool,
}

/// A snapshot of which some was told.
#[derive(Debug)]
struct Sending {
    snapshot: Arc<ViewSnapshot>,
    /// The next piece: its chunk, and its first row there.
    next: (usize, usize),
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.epoch)
    }
}

impl ResumeToken {
    /// The other way round; `None` where it is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let (incarnation, epoch) = text.split_once('-')?;
        Some(Self { incarnation: incarnation.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

impl Subscription {
    /// Follows a view, from behind `token` where that is still kept.
    pub fn new(view: Arc<View>, token: Option<ResumeToken>) -> Self {
        let kept = |token: &ResumeToken| {
            let following = view.following(token.epoch);
            token.incarnation == view.incarnation
                && matches!(following, Following::Nothing | Following::Changes(_))
        };
        let seen = token.filter(kept).map(|token| token.epoch);
        let reset = token.is_some() && seen.is_none();
        let epochs = view.watch();
        Self { view, epochs, seen, sending: None, reset }
    }

    /// The view.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Waits for the next event; `None` when the view was dropped or replaced. Whoever stops
    /// waiting misses nothing.
    pub async fn next(&mut self) -> Option<ViewEvent> {
        loop {
            if let Some(event) = self.at_hand() {
                return Some(event);
            }
            // It was dropped or replaced; whoever comes back is told.
            if self.view.is_closed() || self.epochs.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next event, where there is one already.
    fn at_hand(&mut self) -> Option<ViewEvent> {
        if std::mem::take(&mut self.reset) {
            return Some(ViewEvent::Reset);
        }
        if self.sending.is_some() {
            return self.piece();
        }
        self.epochs.borrow_and_update();
        if self.view.is_closed() {
            return None;
        }
        let Some(seen) = self.seen else {
            // Without a snapshot it catches up after a start.
            let snapshot = self.view.snapshot()?;
            self.sending = Some(Sending { snapshot, next: (0, 0) });
            return self.piece();
        };
        match self.view.following(seen) {
            Following::Nothing => None,
            Following::Changes(changes) => {
                self.seen = Some(changes.epoch);
                let token = self.token(changes.epoch);
                Some(ViewEvent::Changes { changes, token })
            }
            Following::Lost => {
                (self.seen, self.reset) = (None, true);
                Some(ViewEvent::Behind)
            }
            Following::Anew => {
                self.seen = None;
                Some(ViewEvent::Reset)
            }
        }
    }

    /// The next piece of a snapshot. The last one has the token.
    fn piece(&mut self) -> Option<ViewEvent> {
        let mut sending = self.sending.take()?;
        let rows = sending.take();
        let positions = sending.snapshot.positions.clone();
        let token = match sending.is_done() {
            true => {
                self.seen = Some(sending.snapshot.epoch);
                self.seen.map(|epoch| self.token(epoch))
            }
            false => {
                self.sending = Some(sending);
                None
            }
        };
        Some(ViewEvent::Snapshot { rows, token, positions })
    }

    fn token(&self, epoch: u64) -> ResumeToken {
        ResumeToken { incarnation: self.view.incarnation, epoch }
    }
}

impl Sending {
    fn take(&mut self) -> Option<RecordBatch> {
        let (chunk, row) = self.next;
        let rows = self.snapshot.table.chunks.get(chunk)?;
        let taken = EVENT_ROWS_MAX.min(rows.num_rows() - row);
        self.next = match row + taken == rows.num_rows() {
            true => (chunk + 1, 0),
            false => (chunk, row + taken),
        };
        Some(rows.slice(row, taken))
    }

    fn is_done(&self) -> bool {
        self.next.0 >= self.snapshot.table.chunks.len()
    }
}
