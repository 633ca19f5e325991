//! The coordinator of all groups: joins the groups in memory to the log and to time.
//!
//! Guarantees: no lock is held while the disk or a member is waited for; a step that was begun
//! ends, whoever asked for it may be gone. Clones share one coordinator.
//! Left out: what the requests look like on the wire.

mod admin;
mod commits;
mod members;
mod view;

pub(crate) use commits::Commit;
pub use view::{GroupView, MemberView, OffsetView};

use super::error::GroupError;
use super::lanes::{Batch, Lanes, OFFSETS_TOPIC, Then, partition_of};
use super::load;
use super::machine::Store;
use super::registry::{Now, Registry};
use super::settings::{GROUP_ID_BYTES_MAX, GroupSettings, millis};
use super::stored;
use crate::LogStore;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OnceCell, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tradewind_types::{Clock, Log, LogError, PartitionId, Record, TopicSpec};

/// The largest batch of records: a group with all its members is one record.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A segment of the topic. Small, because only sealed ones are compacted.
const SEGMENT_BYTES: usize = 16 << 20;
/// How long a request waits for the groups to be loaded before its client is told to try again.
const LOADED_WAIT: Duration = Duration::from_secs(2);
/// How long to wait before loading is tried again.
const LOAD_AGAIN: Duration = Duration::from_secs(10);

/// The consumer groups of a log.
#[derive(Clone)]
pub struct GroupCoordinator {
    inner: Arc<Inner>,
}

struct Inner {
    store: LogStore,
    clock: Arc<dyn Clock>,
    settings: GroupSettings,
    /// What the steady clock counts from.
    began: Instant,
    registry: Mutex<Registry>,
    /// The queues of the topic's partitions, once it is there.
    lanes: OnceCell<Lanes>,
    loaded: watch::Sender<bool>,
    /// A group is due earlier than the timer knows.
    earlier: Notify,
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("GroupCoordinator")
    }
}

impl GroupCoordinator {
    /// The coordinator of `store`'s groups. There must be one only, and its [`run`](Self::run)
    /// must be running: until it has read the groups, requests wait.
    pub fn new(store: LogStore, settings: GroupSettings) -> Self {
        let inner = Inner {
            clock: store.clock(),
            store,
            registry: Mutex::new(Registry::new(settings.clone())),
            settings,
            began: Instant::now(),
            lanes: OnceCell::new(),
            loaded: watch::Sender::new(false),
            earlier: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Loads the groups, then does what time brings: members that are not heard of, rebalances
    /// whose time is over, offsets past their retention. Ends only when it is dropped.
    pub async fn run(&self) {
        let inner = &self.inner;
        while let Err(error) = self.load().await {
            tracing::error!(%error, "consumer groups cannot be loaded and are not served");
            tokio::time::sleep(LOAD_AGAIN).await;
        }
        inner.loaded.send_replace(true);
        let mut retention = Instant::now() + inner.settings.retention_check_interval;
        loop {
            let due = inner.registry.lock().next_due();
            let due = due.map(|at_ms| inner.began + Duration::from_millis(at_ms));
            tokio::select! {
                () = sleep_until(due.unwrap_or(retention).min(retention)) => {}
                () = inner.earlier.notified() => continue,
            }
            inner.tick();
            if Instant::now() >= retention {
                self.expire_offsets();
                retention = Instant::now() + inner.settings.retention_check_interval;
            }
        }
    }

    async fn load(&self) -> Result<(), LogError> {
        let inner = &self.inner;
        let Some(topic) = inner.store.topic(OFFSETS_TOPIC) else { return Ok(()) };
        let partitions = usize::try_from(topic.partitions).unwrap_or(0);
        load::load(&inner.store, partitions, &inner.registry, inner.now()).await?;
        // An error means that somebody else was faster.
        let _ = inner.lanes.set((0..partitions).map(|_| Default::default()).collect());
        let groups = inner.registry.lock().len();
        tracing::info!(groups, "consumer groups loaded");
        Ok(())
    }

    /// Returns once the groups are loaded.
    ///
    /// # Errors
    /// [`GroupError::Loading`] when that takes long.
    pub(crate) async fn ready(&self) -> Result<(), GroupError> {
        let mut loaded = self.inner.loaded.subscribe();
        match timeout(LOADED_WAIT, loaded.wait_for(|loaded| *loaded)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(GroupError::Loading),
        }
    }

    /// The partition of [`OFFSETS_TOPIC`] a group is kept in; the topic is made if it is not
    /// there. Transactions write their markers there.
    ///
    /// # Errors
    /// [`GroupError::NotAvailable`] when the topic cannot be made, [`GroupError::Loading`].
    pub async fn offsets_partition_of(&self, group: &str) -> Result<PartitionId, GroupError> {
        Ok(partition_of(group, self.lanes().await?.len()))
    }

    /// The queues of the topic, which is made if it is not there.
    async fn lanes(&self) -> Result<Lanes, GroupError> {
        self.ready().await?;
        let made = self.inner.lanes.get_or_try_init(|| async {
            let partitions = self.make_topic().await?;
            Ok::<Lanes, LogError>((0..partitions).map(|_| Default::default()).collect())
        });
        made.await.cloned().map_err(|error| {
            tracing::warn!(%error, "{OFFSETS_TOPIC} could not be made");
            GroupError::NotAvailable
        })
    }

    async fn make_topic(&self) -> Result<i32, LogError> {
        let inner = &self.inner;
        let partitions = inner.settings.offsets_partitions.max(1);
        let setting = |name: &str, value: String| (name.to_owned(), value);
        let settings = BTreeMap::from([
            setting("max.message.bytes", BATCH_BYTES_MAX.to_string()),
            setting("retention.ms", "-1".into()),
            setting("retention.bytes", "-1".into()),
            setting("segment.bytes", SEGMENT_BYTES.to_string()),
            setting("cleanup.policy", "compact".into()),
        ]);
        let spec = TopicSpec { name: OFFSETS_TOPIC.into(), partitions, settings };
        let made = inner.store.create_topic(&spec).await;
        match made {
            Ok(()) => Ok(partitions),
            Err(LogError::TopicExists { .. }) => {
                Ok(inner.store.topic(OFFSETS_TOPIC).map_or(partitions, |topic| topic.partitions))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at the groups. What is written and not durable yet is not seen.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Registry) -> R) -> R {
        look(&self.inner.registry.lock())
    }
}

impl Inner {
    fn now(&self) -> Now {
        Now { steady_ms: millis(self.began.elapsed()), wall_ms: self.clock.now_ms() }
    }

    /// Does something to the groups and sees to it that the timer knows.
    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Registry) -> R) -> R {
        let mut registry = self.registry.lock();
        let before = registry.next_due();
        let result = change(&mut registry);
        let after = registry.next_due();
        drop(registry);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.earlier.notify_one();
        }
        result
    }

    fn tick(self: &Arc<Self>) {
        self.change(|registry| {
            for (group, store) in registry.tick(self.now()) {
                self.store_groups(registry, &group, vec![store]);
            }
        });
    }

    /// Queues a batch of a group's records. `then` is done once they are durable, or failed.
    fn write(self: &Arc<Self>, group: &str, batch: &Batch, then: Then) -> Result<(), LogError> {
        let Some(lanes) = self.lanes.get().cloned() else {
            return Err(LogError::NoTopic { topic: OFFSETS_TOPIC.into() });
        };
        let partition = partition_of(group, lanes.len());
        lanes[partition as usize].queue(batch, BATCH_BYTES_MAX, then)?;
        let this = Arc::clone(self);
        tokio::spawn(async move {
            lanes[partition as usize].flush(&this.store, partition, &this.registry).await;
            // What followed may have set a timer.
            this.earlier.notify_one();
        });
        Ok(())
    }

    /// Queues records of a group, in their order.
    fn store_groups(self: &Arc<Self>, registry: &mut Registry, group: &Arc<str>, all: Vec<Store>) {
        for Store { record, then } in all {
            let record = Record {
                timestamp_ms: self.clock.now_ms(),
                key: Some(stored::group_key(group)),
                value: Some(stored::group_value(&record)),
                headers: Vec::new(),
            };
            let (this, id) = (Arc::clone(self), Arc::clone(group));
            // Behind a lock of its own, so that it is done once, by the log or right here.
            let then = Arc::new(Mutex::new(Some(then)));
            let later = Arc::clone(&then);
            let after = Box::new(move |registry: &mut Registry, result: Result<_, &LogError>| {
                let result = result.map(drop).map_err(GroupError::from);
                this.after_store(registry, &id, &later, result);
            });
            let batch = Batch { records: vec![record], part_of: None };
            if let Err(error) = self.write(group, &batch, after) {
                tracing::warn!(%group, %error, "a group could not be stored");
                self.after_store(registry, group, &then, Err(GroupError::from(&error)));
            }
        }
    }

    fn after_store(
        self: &Arc<Self>,
        registry: &mut Registry,
        group: &Arc<str>,
        then: &Mutex<Option<super::machine::Then>>,
        result: Result<(), GroupError>,
    ) {
        let Some(then) = then.lock().take() else { return };
        let now = self.now();
        let stepped =
            registry.step(group, now, |group, context| group.after_store(then, result, context));
        if let Some(((), more)) = stepped {
            self.store_groups(registry, group, more);
        }
    }
}

/// Whether a group may be called this.
fn check_id(group: &str) -> Result<(), GroupError> {
    match group.len() {
        1..=GROUP_ID_BYTES_MAX => Ok(()),
        _ => Err(GroupError::InvalidGroupId),
    }
}

/// As [`check_id`], where Kafka takes the empty id for the sake of old consumers.
fn check_id_or_empty(group: &str) -> Result<(), GroupError> {
    if group.is_empty() { Ok(()) } else { check_id(group) }
}
