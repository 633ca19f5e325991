//! Making and removing topics.
//!
//! Guarantees: a topic that was acknowledged survives; one that was not is gone after a crash, or
//! whole. Left out: changing a topic's settings or partitions (alter).

use super::open::{build_topic, remove_topic};
use super::{Inner, LogStore, Topic};
use crate::blocking;
use crate::report::RecoveryReport;
use crate::topic_file::{self, TopicFile, io_error};
use crate::topic_settings;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tradewind_types::{LogError, TopicSpec};

/// What a partition's first files take on disk, in bytes.
pub(super) const PARTITION_FILES_BYTES: u64 = 8 << 10;

impl LogStore {
    /// Whether a topic of this name that is not there could be made.
    ///
    /// # Errors
    /// As [`tradewind_types::Log::create_topic`].
    pub(crate) fn check_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        topic_file::check_spec(spec)?;
        topic_settings::resolve(&self.inner.shared.settings.topic, &spec.settings)?;
        self.inner.check_count(spec.partitions)
    }

    pub(super) async fn make_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        topic_file::check_spec(spec)?;
        topic_settings::resolve(&self.inner.shared.settings.topic, &spec.settings)?;
        let admin = Arc::clone(&self.inner.admin).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        let file = TopicFile::new(spec);
        blocking::run(move || {
            let made = inner.make_topic(file);
            drop(admin);
            made
        })
        .await
    }

    pub(super) async fn unmake_topic(&self, name: &str) -> Result<(), LogError> {
        let admin = Arc::clone(&self.inner.admin).lock_owned().await;
        let topic = self.topic_named(name)?;
        let inner = Arc::clone(&self.inner);
        blocking::run(move || {
            let unmade = inner.unmake_topic(&topic);
            drop(admin);
            unmade
        })
        .await
    }
}

impl Inner {
    fn make_topic(&self, file: TopicFile) -> Result<(), LogError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(LogError::Busy("it is closed".into()));
        }
        if self.topics.read().by_name.contains_key(&file.name) {
            return Err(LogError::TopicExists { topic: file.name });
        }
        self.check_room(file.partitions)?;
        let disk = &*self.shared.disk;
        let topic_dir = self.dir.join(&file.name);
        // What a failed removal, or a failed attempt at this, left behind.
        if disk.metadata(&topic_dir).is_ok() {
            remove_topic(disk, &self.dir, &topic_dir)?;
        }
        disk.create_dir_all(&topic_dir).map_err(|source| io_error(&topic_dir, source))?;
        let mut nothing = RecoveryReport::default();
        let topic =
            build_topic(&self.shared, &topic_dir, file, |place| place.create(&mut nothing))?;
        if let Err(error) = topic.file.write(disk, &topic_dir) {
            self.shared.partitions.fetch_sub(topic.partitions.len(), Ordering::Relaxed);
            return Err(error);
        }
        tracing::info!(topic = topic.file.name, partitions = topic.file.partitions, "topic made");
        self.topics.write().insert(topic);
        Ok(())
    }

    fn check_room(&self, partitions: i32) -> Result<(), LogError> {
        self.check_count(partitions)?;
        self.shared.reserve.take(partitions.unsigned_abs() as u64 * PARTITION_FILES_BYTES)
    }

    /// Whether there may be so many partitions more.
    pub(super) fn check_count(&self, partitions: i32) -> Result<(), LogError> {
        let (there, max) =
            (self.shared.partitions.load(Ordering::Relaxed), self.shared.settings.partitions_max);
        let more = usize::try_from(partitions).unwrap_or(usize::MAX);
        if there.saturating_add(more) > max {
            return Err(LogError::Invalid(format!(
                "{more} partitions more than the {there} there are would pass \
                 `log.partitions_max` ({max})"
            )));
        }
        Ok(())
    }

    fn unmake_topic(&self, topic: &Topic) -> Result<(), LogError> {
        let disk = &*self.shared.disk;
        let topic_dir = self.dir.join(&topic.file.name);
        let marked = TopicFile { deleted: true, ..topic.file.clone() }.write(disk, &topic_dir);
        if let Err(error) = marked {
            self.unmark(topic);
            return Err(error);
        }
        // From here on the topic is gone, whatever happens to its files.
        self.topics.write().remove(&topic.file.name);
        self.shared.partitions.fetch_sub(topic.partitions.len(), Ordering::Relaxed);
        topic.deleted.store(true, Ordering::Relaxed);
        for partition in &topic.partitions {
            partition.stop_deleted();
            partition.await_compaction();
        }
        tracing::info!(topic = topic.file.name, "topic removed");
        remove_topic(disk, &self.dir, &topic_dir)
    }

    /// A mark that failed may be there after a restart, so nothing may be appended under it.
    fn unmark(&self, topic: &Topic) {
        let topic_dir = self.dir.join(&topic.file.name);
        if let Err(error) = topic.file.write(&*self.shared.disk, &topic_dir) {
            for partition in &topic.partitions {
                partition.stop(&format!("the topic's removal failed half way: {error}"));
            }
        }
    }
}
