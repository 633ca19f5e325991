//! All groups, in memory: who is due when, what they take, which transactions touch them.
//!
//! Guarantees: a step on a group leaves its timer set and its bytes counted; a group of which
//! nothing is left is forgotten. What is read from the log and what was just written to it pass
//! through the same functions here, so that a restart finds what there was.
//! Left out: the log.

use super::error::GroupError;
use super::machine::{Context, Group, GroupState, Store};
use super::offsets::{self, Committed, Place};
use super::settings::GroupSettings;
use super::stored::StoredGroup;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Now, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Milliseconds on a clock that never goes back.
    pub(crate) steady_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: i64,
}

/// A group, and where it stands in the registry's lists.
#[derive(Debug)]
struct Entry {
    group: Group,
    /// Its place in `due`.
    due_ms: Option<u64>,
    /// Its bytes as they are counted in `bytes`.
    bytes: usize,
}

/// Every group of the broker.
#[derive(Debug)]
pub(crate) struct Registry {
    settings: GroupSettings,
    groups: HashMap<Arc<str>, Entry>,
    /// When which group is to be looked at. May be early, never late.
    due: BTreeSet<(u64, Arc<str>)>,
    /// The groups an open transaction holds offsets of, and its producer's epoch.
    transactions: BTreeMap<i64, Transaction>,
    bytes: usize,
}

#[derive(Debug)]
struct Transaction {
    epoch: i16,
    groups: BTreeSet<Arc<str>>,
}

impl Registry {
    pub(crate) fn new(settings: GroupSettings) -> Self {
        let (groups, due, transactions) = Default::default();
        Self { settings, groups, due, transactions, bytes: 0 }
    }

    /// Every group, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(|entry| &entry.group)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id).map(|entry| &entry.group)
    }

    /// Does a step on a group that is there; `None` when it is not.
    pub(crate) fn step<R>(
        &mut self,
        id: &str,
        now: Now,
        step: impl FnOnce(&mut Group, &mut Context<'_>) -> R,
    ) -> Option<(R, Vec<Store>)> {
        let entry = self.groups.get_mut(id)?;
        let mut context = Context {
            now_ms: now.steady_ms,
            wall_ms: now.wall_ms,
            settings: &self.settings,
            to_store: Vec::new(),
        };
        let result = step(&mut entry.group, &mut context);
        let to_store = context.to_store;
        self.settle(id);
        Some((result, to_store))
    }

    /// As [`Registry::step`], on a group that is made if it is not there.
    ///
    /// # Errors
    /// [`GroupError::Full`] when there are too many.
    pub(crate) fn step_or_make<R>(
        &mut self,
        id: &Arc<str>,
        now: Now,
        step: impl FnOnce(&mut Group, &mut Context<'_>) -> R,
    ) -> Result<(R, Vec<Store>), GroupError> {
        if !self.groups.contains_key(id) {
            if self.groups.len() >= self.settings.groups_max {
                return Err(GroupError::Full);
            }
            self.insert(Group::new(Arc::clone(id), now.wall_ms));
        }
        Ok(self.step(id, now, step).expect("it is there, or was made just now"))
    }

    /// Whether `bytes` more may be held.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.settings.state_bytes_max
    }

    fn insert(&mut self, group: Group) {
        let id = Arc::clone(&group.id);
        self.forget(&id);
        self.groups.insert(Arc::clone(&id), Entry { group, due_ms: None, bytes: 0 });
        metrics::gauge!("tradewind_kafka_groups").set(self.groups.len() as f64);
    }

    /// Counts a group's bytes, sets its timer, forgets it when nothing is left of it.
    fn settle(&mut self, id: &str) {
        let Some((id, entry)) = self.groups.get_key_value(id) else { return };
        if entry.group.is_nothing() {
            let id = Arc::clone(id);
            self.forget(&id);
            return;
        }
        let id = Arc::clone(id);
        let entry = self.groups.get_mut(&id).expect("it was found just now");
        let bytes = entry.group.bytes();
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        // A timer that is early costs a look and is set anew then: heartbeats move no timers.
        let next = entry.group.next_deadline();
        if next.is_some_and(|next| entry.due_ms.is_none_or(|due| next < due)) {
            if let Some(due) = entry.due_ms.take() {
                self.due.remove(&(due, Arc::clone(&id)));
            }
            entry.due_ms = next;
            self.due.extend(next.map(|next| (next, id)));
        }
    }

    fn forget(&mut self, id: &Arc<str>) {
        if let Some(entry) = self.groups.remove(id) {
            self.bytes -= entry.bytes;
            if let Some(due) = entry.due_ms {
                self.due.remove(&(due, Arc::clone(id)));
            }
            metrics::gauge!("tradewind_kafka_groups").set(self.groups.len() as f64);
        }
    }

    /// When the next group is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Does what is due, group by group.
    pub(crate) fn tick(&mut self, now: Now) -> Vec<(Arc<str>, Store)> {
        let mut to_store = Vec::new();
        while let Some((due, id)) = self.due.first().cloned() {
            if due > now.steady_ms {
                break;
            }
            self.due.pop_first();
            if let Some(entry) = self.groups.get_mut(&id) {
                entry.due_ms = None;
            }
            let stepped = self.step(&id, now, Group::tick);
            let stores = stepped.map(|(_, stores)| stores).unwrap_or_default();
            to_store.extend(stores.into_iter().map(|store| (Arc::clone(&id), store)));
        }
        to_store
    }

    /// An offset is in the log.
    pub(crate) fn put_offset(
        &mut self,
        group: &Arc<str>,
        place: Place,
        offset: Committed,
        now: Now,
    ) {
        // The limit on groups was held when it was written.
        if !self.groups.contains_key(group) {
            self.insert(Group::new(Arc::clone(group), now.wall_ms));
        }
        self.step(group, now, |group, _| group.offsets.put(place, offset));
    }

    /// An offset of an open transaction is in the log.
    pub(crate) fn put_pending(
        &mut self,
        (producer, epoch): (i64, i16),
        group: &Arc<str>,
        place: Place,
        offset: Committed,
        now: Now,
    ) {
        if !self.groups.contains_key(group) {
            self.insert(Group::new(Arc::clone(group), now.wall_ms));
        }
        let known = self.transactions.entry(producer);
        let transaction = known.or_insert_with(|| Transaction { epoch, groups: BTreeSet::new() });
        transaction.epoch = transaction.epoch.max(epoch);
        transaction.groups.insert(Arc::clone(group));
        self.step(group, now, |group, _| group.offsets.put_pending(producer, place, offset));
    }

    /// The epoch of the producer whose transaction is open.
    pub(crate) fn producer_epoch(&self, producer: i64) -> Option<i16> {
        self.transactions.get(&producer).map(|transaction| transaction.epoch)
    }

    /// A transaction's end is in the log: its offsets count, or never were.
    pub(crate) fn end_transaction(
        &mut self,
        (producer, epoch): (i64, i16),
        committed: bool,
        touched: impl Fn(&str) -> bool,
        now: Now,
    ) {
        let Some(transaction) = self.transactions.get_mut(&producer) else { return };
        if epoch < transaction.epoch {
            // A marker of an earlier transaction, told of late.
            return;
        }
        let all = std::mem::take(&mut transaction.groups);
        let (ended, open): (BTreeSet<_>, BTreeSet<_>) = all.into_iter().partition(|id| touched(id));
        if open.is_empty() {
            self.transactions.remove(&producer);
        } else {
            transaction.groups = open;
        }
        for id in ended {
            self.step(&id, now, |group, _| group.offsets.end(producer, committed));
        }
    }

    /// The removal of an offset is in the log.
    pub(crate) fn remove_offset(&mut self, group: &str, place: &Place, now: Now) {
        self.step(group, now, |group, _| group.offsets.remove(place));
    }

    /// The removal of a group's record is in the log. What has come to it since stays.
    pub(crate) fn remove_group(&mut self, group: &str, now: Now) {
        self.step(group, now, |group, _| {
            if group.state == GroupState::Empty {
                group.stored = false;
                group.generation = 0;
                group.protocol_type = None;
            }
        });
    }

    /// A group's record, or its removal, read at a start.
    pub(crate) fn load_group(&mut self, id: &Arc<str>, stored: Option<StoredGroup>, now: Now) {
        let id = Arc::clone(id);
        let mut group = match stored {
            Some(stored) => Group::from_stored(Arc::clone(&id), stored, now.steady_ms),
            None => Group::new(Arc::clone(&id), now.wall_ms),
        };
        let id = &id;
        if let Some(before) = self.groups.get_mut(id) {
            group.offsets = std::mem::take(&mut before.group.offsets);
        }
        self.insert(group);
        self.settle(id);
    }

    /// What a commit of these offsets adds to memory.
    pub(crate) fn added_bytes(&self, group: &str, offsets: &[(Place, Committed)]) -> usize {
        let known = self.get(group);
        let new = offsets.iter().filter(|((topic, partition), _)| {
            known.is_none_or(|known| known.offsets.get(topic, *partition).is_none())
        });
        new.map(|(place, offset)| offsets::bytes(place, offset)).sum()
    }

    /// Holds the lists against the groups.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let bytes: usize = self.groups.values().map(|entry| entry.group.bytes()).sum();
        assert_eq!(self.bytes, bytes);
        for (id, entry) in &self.groups {
            let next = entry.group.next_deadline();
            let set = entry.due_ms.filter(|due| self.due.contains(&(*due, Arc::clone(id))));
            assert_eq!(set, entry.due_ms);
            assert!(next.is_none_or(|next| set.is_some_and(|set| set <= next)), "a timer is late");
        }
        assert!(self.due.len() <= self.groups.len());
    }
}
