//! When state was last written, and what has not been for too long.
//!
//! Guarantees: what was last written `ttl_ms` ago or longer is handed out once, in the order it was
//! written; the list behind it is at most twice as long as there is state.
//! Left out: what becomes of it.

use std::collections::VecDeque;

/// In `at`: nothing is there.
const FREE: i64 = i64::MIN;
/// Entries that may be out of date beside two for each slot.
const SPARE: usize = 1_024;

/// By slot or row number. Times are milliseconds of one clock.
#[derive(Debug)]
pub(crate) struct Ages {
    ttl_ms: i64,
    now_ms: i64,
    at: Vec<i64>,
    /// In the order of time; an entry with another time than its slot is out of date.
    queue: VecDeque<(i64, u32)>,
    is_sorted: bool,
}

impl Ages {
    /// `None` where state is kept for ever.
    pub(crate) fn new(ttl_ms: u64) -> Option<Self> {
        let ttl_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
        (ttl_ms > 0).then(|| Self {
            ttl_ms,
            now_ms: 0,
            at: Vec::new(),
            queue: VecDeque::new(),
            is_sorted: true,
        })
    }

    /// Sets the time, which does not go back.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Something is written now. Whether its time is another one than before.
    pub(crate) fn touch(&mut self, slot: u32) -> bool {
        self.set(slot, self.now_ms)
    }

    /// Something was written at some time.
    pub(crate) fn set(&mut self, slot: u32, at: i64) -> bool {
        if self.at.len() <= slot as usize {
            self.at.resize(slot as usize + 1, FREE);
        }
        if std::mem::replace(&mut self.at[slot as usize], at) == at {
            return false;
        }
        self.is_sorted &= self.queue.back().is_none_or(|(last, _)| *last <= at);
        self.queue.push_back((at, slot));
        if self.queue.len() > 2 * self.at.len() + SPARE {
            let at = &self.at;
            self.queue.retain(|(time, slot)| at[*slot as usize] == *time);
        }
        true
    }

    /// Something is gone.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(at) = self.at.get_mut(slot as usize) {
            *at = FREE;
        }
    }

    /// When it was last written.
    pub(crate) fn at(&self, slot: u32) -> i64 {
        match self.at.get(slot as usize) {
            Some(at) if *at != FREE => *at,
            _ => self.now_ms,
        }
    }

    /// What has not been written for too long, and is forgotten.
    pub(crate) fn take_expired(&mut self) -> Vec<u32> {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.queue.make_contiguous().sort_unstable();
        }
        let mut expired = Vec::new();
        while let Some((at, slot)) = self.queue.front().copied()
            && at.saturating_add(self.ttl_ms) <= self.now_ms
        {
            self.queue.pop_front();
            if self.at[slot as usize] == at {
                self.forget(slot);
                expired.push(slot);
            }
        }
        expired
    }

    pub(crate) fn bytes(&self) -> usize {
        self.at.capacity() * size_of::<i64>() + self.queue.capacity() * size_of::<(i64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_touched_again_lives_longer_and_the_list_stays_short() {
        let mut ages = Ages::new(10).unwrap();
        ages.advance(100);
        (0..3).for_each(|slot| assert!(ages.touch(slot)));
        for now in 101..100_000 {
            ages.advance(now);
            ages.touch(1);
            let expired = ages.take_expired();
            assert_eq!(expired, if now == 110 { vec![0, 2] } else { vec![] }, "at {now}");
            assert!(ages.queue.len() <= 2 * 3 + SPARE + 1);
        }
        // Clocks that jump back change nothing.
        ages.advance(0);
        assert_eq!(ages.at(1), 99_999);
    }

    #[test]
    fn restored_times_may_come_in_any_order() {
        let mut ages = Ages::new(10).unwrap();
        ages.advance(100);
        for (slot, at) in [(0, 95), (1, 91), (2, 90), (3, 99)] {
            ages.set(slot, at);
        }
        assert_eq!(ages.take_expired(), [2]);
        ages.advance(105);
        assert_eq!(ages.take_expired(), [1, 0]);
    }
}
