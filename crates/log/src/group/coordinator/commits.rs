//! Offsets: committed, held by transactions, removed, expired.
//!
//! Guarantees: a commit is answered once it is durable, and seen by nobody before; commits that
//! come together share an fsync. Left out: whether a topic exists, which the wire knows.

use super::{GroupCoordinator, Inner, check_id_or_empty};
use crate::group::error::GroupError;
use crate::group::lanes::{Batch, OFFSETS_TOPIC, PartOf, partition_of};
use crate::group::machine::{CONSUMER, Group, GroupState};
use crate::group::member::Identity;
use crate::group::offsets::{self, Committed, Place};
use crate::group::registry::Registry;
use crate::group::settings::millis;
use crate::group::stored;
use crate::transactions::TransactionListener;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tradewind_types::{Log, LogError, Offset, PartitionId, Record};

/// Offsets a batch removes at most: with the longest names it is well below the largest batch.
const REMOVED_TOGETHER_MAX: usize = 4_000;

/// Offsets to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) group: Arc<str>,
    pub(crate) who: Identity,
    /// The transaction this is part of.
    pub(crate) part_of: Option<PartOf>,
    /// Times and places in the log are filled in here.
    pub(crate) offsets: Vec<(Place, Committed)>,
    /// How long the client wants them kept, instead of the broker's retention.
    pub(crate) retention_ms: Option<i64>,
}

/// Tells whoever waits for a write how it went.
type Told = oneshot::Sender<Result<(), GroupError>>;

impl GroupCoordinator {
    /// Commits offsets: one result for each, in their order.
    ///
    /// # Errors
    /// What concerns all of them. [`GroupError::NotFound`]: a member of no group.
    pub(crate) async fn commit(
        &self,
        mut commit: Commit,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_id_or_empty(&commit.group)?;
        self.lanes().await?;
        let longest = self.inner.settings.offset_metadata_bytes_max;
        let fits = |offset: &Committed| offset.metadata.len() <= longest;
        let results = commit.offsets.iter().map(|(_, offset)| match fits(offset) {
            true => Ok(()),
            false => Err(GroupError::MetadataTooLarge),
        });
        let results = results.collect();
        commit.offsets.retain(|(_, offset)| fits(offset));
        let (told, done) = oneshot::channel();
        self.inner.change(|registry| self.begin_commit(registry, commit, told))?;
        done.await.unwrap_or(Err(GroupError::NotAvailable))?;
        Ok(results)
    }

    fn begin_commit(
        &self,
        registry: &mut Registry,
        mut commit: Commit,
        told: Told,
    ) -> Result<(), GroupError> {
        let inner = &self.inner;
        check_commit(inner, registry, &commit)?;
        let now_ms = inner.clock.now_ms();
        for (_, offset) in &mut commit.offsets {
            offset.committed_at_ms = now_ms;
            offset.expires_at_ms = commit.retention_ms.map(|kept| now_ms.saturating_add(kept));
        }
        if commit.offsets.is_empty() {
            let _ = told.send(Ok(()));
            return Ok(());
        }
        metrics::counter!("tradewind_kafka_offset_commits_total")
            .increment(commit.offsets.len() as u64);
        let record = |(place, offset): &(Place, Committed)| Record {
            timestamp_ms: now_ms,
            key: Some(stored::offset_key(&commit.group, place)),
            value: Some(stored::offset_value(offset)),
            headers: Vec::new(),
        };
        let records = commit.offsets.iter().map(record).collect();
        let batch = Batch { records, part_of: commit.part_of };
        let this = Arc::clone(inner);
        let group = Arc::clone(&commit.group);
        let then = Box::new(move |registry: &mut Registry, result: Result<Offset, &LogError>| {
            let result = result.map_err(GroupError::from);
            let _ = told.send(result.map(|base| this.committed(registry, commit, base)));
        });
        inner.write(&group, &batch, then).map_err(|error| GroupError::from(&error))
    }

    /// Tells the groups that a transaction has ended: its offsets in `partition` of
    /// [`OFFSETS_TOPIC`] count from now on, or never did. Called once the control batch is durable
    /// in that partition; after a restart the same is read from the log. While that is being read
    /// this waits, so that an end that came too late to be read is not missed.
    pub async fn transaction_ended(
        &self,
        partition: PartitionId,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    ) {
        // An error means that this coordinator is gone.
        let _ = self.inner.loaded.subscribe().wait_for(|loaded| *loaded).await;
        let inner = &self.inner;
        let Some(lanes) = inner.lanes.get().cloned() else { return };
        let partitions = lanes.len();
        // What was written before the control batch is taken in before its end is.
        if let Some(lane) = usize::try_from(partition).ok().and_then(|at| lanes.get(at)) {
            lane.settle(&inner.store, partition, &inner.registry).await;
        }
        let touched = |group: &str| partition_of(group, partitions) == partition;
        inner.change(|registry| {
            let producer = (producer_id, producer_epoch);
            registry.end_transaction(producer, committed, touched, inner.now());
        });
    }

    /// Removes offsets of a group: one result for each. Those of topics its members read stay.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::NotEmpty`] for a group with members whose
    /// subscriptions nobody can read.
    pub(crate) async fn delete_offsets(
        &self,
        group: &Arc<str>,
        places: Vec<Place>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_id_or_empty(group)?;
        self.ready().await?;
        let (results, waits) = self.inner.change(|registry| {
            let known = registry.get(group).ok_or(GroupError::NotFound)?;
            let consumers = known.protocol_type.as_deref() == Some(CONSUMER);
            if known.state != GroupState::Empty && !consumers {
                return Err(GroupError::NotEmpty);
            }
            let result = |(topic, _): &Place| match known.reads(topic) {
                true => Err(GroupError::Subscribed),
                false => Ok(()),
            };
            let results: Vec<_> = places.iter().map(result).collect();
            let is_known = |(topic, partition): &&Place| {
                !known.reads(topic)
                    && (known.offsets.get(topic, *partition).is_some()
                        || known.offsets.is_pending(topic, *partition))
            };
            let gone: Vec<Place> = places.iter().filter(is_known).cloned().collect();
            Ok((results, self.inner.remove(group, &gone, false)))
        })?;
        wait_all(waits).await?;
        Ok(results)
    }

    /// A topic was removed: nobody has offsets in it any more.
    pub(crate) fn topic_deleted(&self, topic: &str) {
        self.forget_places(|name, _| name == topic);
    }

    /// Removes what nobody can use any more: offsets past their retention, offsets of topics that
    /// are gone, groups of which nothing is left.
    pub(super) fn expire_offsets(&self) {
        let inner = &self.inner;
        let (now_ms, retention_ms) =
            (inner.clock.now_ms(), millis(inner.settings.offsets_retention));
        let retention_ms = i64::try_from(retention_ms).unwrap_or(i64::MAX);
        inner.change(|registry| {
            let expired = |group: &Group| expired(group, now_ms, retention_ms);
            let due: Vec<_> = registry.iter().filter_map(expired).collect();
            for (group, places, also_group) in due {
                tracing::info!(%group, offsets = places.len(), also_group, "offsets expired");
                inner.remove(&group, &places, also_group);
            }
        });
        let topics: HashMap<String, PartitionId> =
            inner.store.topics().into_iter().map(|it| (it.name, it.partitions)).collect();
        self.forget_places(|topic, partition| {
            topics.get(topic).is_none_or(|partitions| partition >= *partitions)
        });
    }

    fn forget_places(&self, gone: impl Fn(&str, PartitionId) -> bool) {
        let inner = &self.inner;
        inner.change(|registry| {
            let of = |group: &Group| {
                let places = group.offsets.places().into_iter();
                let places: Vec<_> = places.filter(|(topic, at)| gone(topic, *at)).collect();
                (!places.is_empty()).then(|| (Arc::clone(&group.id), places))
            };
            let due: Vec<_> = registry.iter().filter_map(of).collect();
            for (group, places) in due {
                inner.remove(&group, &places, false);
            }
        });
    }
}

fn check_commit(inner: &Inner, registry: &mut Registry, commit: &Commit) -> Result<(), GroupError> {
    let producer = commit.part_of.map(|part_of| part_of.producer);
    if let Some((producer, epoch)) = producer
        && registry.producer_epoch(producer).is_some_and(|known| epoch < known)
    {
        return Err(GroupError::FencedProducer);
    }
    let transactional = producer.is_some();
    let stepped = registry.step(&commit.group, inner.now(), |group, context| {
        group.check_commit(&commit.who, transactional)?;
        // A consumer that commits lives.
        if matches!(group.state, GroupState::Stable | GroupState::PreparingRebalance) {
            group.heard_of(&commit.who.member_id, context);
        }
        Ok::<(), GroupError>(())
    });
    match stepped {
        Some((checked, _)) => checked?,
        None if commit.who.generation >= 0 => return Err(GroupError::NotFound),
        None if registry.len() >= inner.settings.groups_max => return Err(GroupError::Full),
        None => {}
    }
    let added = match transactional {
        // Beside what is committed already.
        true => commit.offsets.iter().map(|(place, offset)| offsets::bytes(place, offset)).sum(),
        false => registry.added_bytes(&commit.group, &commit.offsets),
    };
    if registry.has_room(added) { Ok(()) } else { Err(GroupError::CommitTooLarge) }
}

/// What is past its time of a group: offsets, and the group itself if nothing else is left.
fn expired(group: &Group, now_ms: i64, retention_ms: i64) -> Option<(Arc<str>, Vec<Place>, bool)> {
    let empty = group.state == GroupState::Empty;
    let since_ms = match &group.protocol_type {
        // Consumers that assign by themselves: each offset counts from its commit.
        None => None,
        Some(_) if empty => Some(group.since_ms).filter(|since_ms| *since_ms >= 0),
        // Topics the members no longer read.
        Some(kind) if &**kind == CONSUMER && group.state == GroupState::Stable => {
            group.topics.as_ref()?;
            None
        }
        Some(_) => return None,
    };
    let reads = |topic: &str| group.reads(topic);
    let places = group.offsets.expired(since_ms, now_ms, retention_ms, reads);
    let old = now_ms.saturating_sub(group.since_ms) >= retention_ms;
    let all = places.len() == group.offsets.places().len();
    let also_group = empty && all && group.expected.is_empty() && (old || !places.is_empty());
    (also_group || !places.is_empty()).then(|| (Arc::clone(&group.id), places, also_group))
}

impl Inner {
    /// The offsets of a commit are durable from `base` on.
    fn committed(&self, registry: &mut Registry, commit: Commit, base: Offset) {
        let now = self.now();
        for (record, (place, mut offset)) in (base..).zip(commit.offsets) {
            offset.record = record;
            match commit.part_of {
                None => registry.put_offset(&commit.group, place, offset, now),
                Some(PartOf { producer, .. }) => {
                    registry.put_pending(producer, &commit.group, place, offset, now);
                }
            }
        }
    }

    /// Writes the removal of offsets, and of the group itself if `also_group`. Whoever wants to
    /// know how it went waits for all of what is returned.
    pub(super) fn remove(
        self: &Arc<Self>,
        group: &Arc<str>,
        places: &[Place],
        also_group: bool,
    ) -> Vec<oneshot::Receiver<Result<(), GroupError>>> {
        let mut chunks: Vec<Vec<Place>> =
            places.chunks(REMOVED_TOGETHER_MAX).map(<[Place]>::to_vec).collect();
        if chunks.is_empty() && also_group {
            chunks.push(Vec::new());
        }
        let last = chunks.len().saturating_sub(1);
        let mut waits = Vec::new();
        for (at, places) in chunks.into_iter().enumerate() {
            let (told, done) = oneshot::channel();
            waits.push(done);
            self.remove_together(group, places, also_group && at == last, told);
        }
        waits
    }

    fn remove_together(
        self: &Arc<Self>,
        group: &Arc<str>,
        places: Vec<Place>,
        also_group: bool,
        told: Told,
    ) {
        let mut keys: Vec<Bytes> =
            places.iter().map(|place| stored::offset_key(group, place)).collect();
        keys.extend(also_group.then(|| stored::group_key(group)));
        let timestamp_ms = self.clock.now_ms();
        let tombstone = |key| Record { timestamp_ms, key: Some(key), value: None, headers: vec![] };
        let batch = Batch { records: keys.into_iter().map(tombstone).collect(), part_of: None };
        let (this, id) = (Arc::clone(self), Arc::clone(group));
        let then = Box::new(move |registry: &mut Registry, result: Result<Offset, &LogError>| {
            let now = this.now();
            if result.is_ok() {
                for place in &places {
                    registry.remove_offset(&id, place, now);
                }
                if also_group {
                    registry.remove_group(&id, now);
                }
            }
            let _ = told.send(result.map(drop).map_err(GroupError::from));
        });
        if let Err(error) = self.write(group, &batch, then) {
            tracing::warn!(%group, %error, "offsets could not be removed from {OFFSETS_TOPIC}");
        }
    }
}

/// Waits until everything removed is durably so.
pub(super) async fn wait_all(
    waits: Vec<oneshot::Receiver<Result<(), GroupError>>>,
) -> Result<(), GroupError> {
    for wait in waits {
        wait.await.unwrap_or(Err(GroupError::NotAvailable))?;
    }
    Ok(())
}

#[async_trait]
impl TransactionListener for GroupCoordinator {
    async fn transaction_ended(
        &self,
        partition: PartitionId,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    ) {
        Self::transaction_ended(self, partition, producer_id, producer_epoch, committed).await;
    }
}
