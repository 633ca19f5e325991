//! What has changed since the last sync, and what a power cut leaves of it.
//!
//! Guarantees: a change that was synced always survives; any other is kept, lost or torn by the
//! seeded generator alone; survivors apply in the order they were made.
//! Left out: what a change is, which files and folders each know.

use rand::Rng;
use rand::rngs::StdRng;

/// A change that can be taken back and made again, whole or in part.
pub(super) trait Change {
    /// What is changed.
    type Of;

    /// Makes the change.
    fn apply(&self, to: &mut Self::Of);

    /// Takes the change back, right after it was made or after all later ones were taken back.
    fn undo(&self, to: &mut Self::Of);

    /// The part of the change that reached the disk when power failed in its midst.
    fn torn(&self, rng: &mut StdRng) -> Option<Self>
    where
        Self: Sized;
}

/// How a change stands with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not synced: anything may happen to it.
    Pending,
    /// Synced.
    Durable,
    /// Its sync failed. The system holds it for written, so no later sync helps it.
    Doomed,
}

/// Changes in the order they were made, from the first one that is not durable.
#[derive(Debug)]
pub(super) struct Journal<C>(Vec<(C, Fate)>);

impl<C> Default for Journal<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a power cut keeps of the unsynced changes of one file or folder.
enum Cut {
    Nothing,
    All,
    /// The first so many, and perhaps a piece of the next: a device that writes in order.
    Prefix(usize),
    /// Each by itself: a device or file system that reorders.
    Any,
}

impl<C: Change> Journal<C> {
    /// Notes a change that was just made.
    pub(super) fn push(&mut self, change: C) {
        self.0.push((change, Fate::Pending));
    }

    /// Makes everything durable, except what an earlier failed sync has lost.
    pub(super) fn sync(&mut self) {
        self.sync_first(self.0.len());
    }

    /// The power fails during a sync: a beginning of it is durable.
    pub(super) fn sync_in_part(&mut self, rng: &mut StdRng) {
        self.sync_first(rng.random_range(0..=self.0.len()));
    }

    fn sync_first(&mut self, count: usize) {
        for (_, fate) in &mut self.0[..count] {
            if *fate == Fate::Pending {
                *fate = Fate::Durable;
            }
        }
        let durable = self.0.iter().take_while(|(_, fate)| *fate == Fate::Durable).count();
        self.0.drain(..durable);
    }

    /// A sync fails: what it should have written is marked clean and never will be.
    pub(super) fn doom(&mut self) {
        for (_, fate) in &mut self.0 {
            if *fate == Fate::Pending {
                *fate = Fate::Doomed;
            }
        }
    }

    /// Turns `of` into what the disk holds when power returns, and forgets the journal.
    pub(super) fn settle(&mut self, of: &mut C::Of, rng: &mut StdRng) {
        for (change, _) in self.0.iter().rev() {
            change.undo(of);
        }
        let cut = match rng.random_range(0..4) {
            0 => Cut::Nothing,
            1 => Cut::All,
            2 => Cut::Prefix(rng.random_range(0..=self.0.len())),
            _ => Cut::Any,
        };
        for (at, (change, fate)) in self.0.drain(..).enumerate() {
            if fate == Fate::Durable {
                change.apply(of);
            } else {
                cut.settle(at, &change, of, rng);
            }
        }
    }
}

impl Cut {
    fn settle<C: Change>(&self, at: usize, change: &C, of: &mut C::Of, rng: &mut StdRng) {
        match self {
            Self::Nothing => {}
            Self::All => change.apply(of),
            Self::Prefix(count) if at < *count => change.apply(of),
            Self::Prefix(count) if at == *count => apply_torn(change, of, rng),
            Self::Prefix(_) => {}
            Self::Any => match rng.random_range(0..3) {
                0 => {}
                1 => change.apply(of),
                _ => apply_torn(change, of, rng),
            },
        }
    }
}

fn apply_torn<C: Change>(change: &C, of: &mut C::Of, rng: &mut StdRng) {
    if let Some(part) = change.torn(rng) {
        part.apply(of);
    }
}
