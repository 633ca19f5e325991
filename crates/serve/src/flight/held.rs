//! What clients leave here between two calls: sessions, prepared statements, tickets.
//!
//! Guarantees: at most so many of a kind, each for so long after its last use; handles cannot be
//! guessed.
//! Left out: what they are.

use super::status::{not_found, too_many};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

/// A handle: the bytes clients give back.
pub(super) type Handle = Uuid;

/// Reads what a client gave back.
pub(super) fn handle(bytes: &[u8], what: &'static str) -> Result<Handle, Status> {
    Uuid::from_slice(bytes).map_err(|_| not_found(what))
}

/// A handle as clients get it.
pub(super) fn bytes(handle: Handle) -> Bytes {
    Bytes::copy_from_slice(handle.as_bytes())
}

/// Things of one kind under their handles.
pub(super) struct Held<T> {
    what: &'static str,
    max: usize,
    life: Duration,
    entries: Mutex<HashMap<Handle, Entry<T>>>,
}

struct Entry<T> {
    value: Arc<T>,
    ends: Instant,
}

impl<T> Held<T> {
    /// Room for `max` of what is called `what`, each for `life`.
    pub(super) fn new(what: &'static str, max: usize, life: Duration) -> Self {
        Self { what, max, life, entries: Mutex::default() }
    }

    /// How long one is kept.
    pub(super) fn life(&self) -> Duration {
        self.life
    }

    /// Keeps one.
    pub(super) fn add(&self, value: Arc<T>) -> Result<Handle, Status> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= self.max {
            entries.retain(|_, entry| entry.ends > now);
        }
        if entries.len() >= self.max {
            return Err(too_many(self.what, self.max));
        }
        let handle = Uuid::new_v4();
        entries.insert(handle, Entry { value, ends: now + self.life });
        Ok(handle)
    }

    /// The one of that handle, which is kept on from now.
    pub(super) fn get(&self, handle: Handle) -> Result<Arc<T>, Status> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&handle).filter(|entry| entry.ends > now);
        let entry = entry.ok_or_else(|| not_found(self.what))?;
        entry.ends = now + self.life;
        Ok(Arc::clone(&entry.value))
    }

    /// Forgets one; it is returned where it was still there.
    pub(super) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        let entry = self.entries.lock().remove(&handle)?;
        (entry.ends > Instant::now()).then_some(entry.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_has_an_end_and_a_bound() {
        let held = Held::new("ticket", 2, Duration::from_secs(10));
        let first = held.add(Arc::new(1)).unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        let second = held.add(Arc::new(2)).unwrap();
        assert_eq!(held.add(Arc::new(3)).unwrap_err().code(), tonic::Code::ResourceExhausted);
        // Its use keeps it.
        assert_eq!(*held.get(first).unwrap(), 1);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(*held.get(first).unwrap(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(held.get(second).unwrap_err().code(), tonic::Code::NotFound);
        // What has ended makes room.
        let third = held.add(Arc::new(3)).unwrap();
        assert_eq!(held.remove(third).as_deref(), Some(&3));
        assert!(held.remove(third).is_none());
    }
}
