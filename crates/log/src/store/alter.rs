//! Changing topics that are there: settings, partitions, the oldest records.
//!
//! Guarantees: a change is durable before it is answered, and holds from then on; one that was not
//! answered holds after a crash or does not, whole. Partitions that were made and not counted yet
//! are no partitions. Left out: who may ask for what (wire).

use super::admin::PARTITION_FILES_BYTES;
use super::{Inner, LogStore, Topic};
use crate::blocking;
use crate::partition::{Partition, Place};
use crate::report::RecoveryReport;
use crate::settings::TopicDefaults;
use crate::topic_file::{TopicFile, io_error};
use crate::topic_settings;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tradewind_types::{LogError, Offset, PartitionId};

/// What a topic's settings are to be, from what they are.
pub(crate) type Change =
    Box<dyn FnOnce(&mut BTreeMap<String, String>) -> Result<(), LogError> + Send>;

impl LogStore {
    /// What topics have that do not say otherwise.
    pub fn topic_defaults(&self) -> &TopicDefaults {
        &self.inner.shared.settings.topic
    }

    /// Where the log lies.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Where the log lies, and the bytes its file system has left.
    ///
    /// # Errors
    /// [`LogError::Io`] when the file system does not say.
    pub fn place(&self) -> Result<(&Path, u64), LogError> {
        let dir = self.inner.dir.as_path();
        let available = self.inner.shared.disk.available_bytes(dir);
        Ok((dir, available.map_err(|source| io_error(dir, source))?))
    }

    /// Changes a topic's settings, durably and at once; with `check_only`, says whether it could.
    ///
    /// # Errors
    /// [`LogError::NoTopic`]; [`LogError::Invalid`] for settings that are not taken; what `change`
    /// says; [`LogError::Io`].
    pub(crate) async fn alter_settings(
        &self,
        topic: &str,
        check_only: bool,
        change: Change,
    ) -> Result<(), LogError> {
        let admin = Arc::clone(&self.inner.admin).lock_owned().await;
        let topic = self.topic_named(topic)?;
        let mut file = topic.file.clone();
        change(&mut file.settings)?;
        let settings = topic_settings::resolve(self.topic_defaults(), &file.settings)?;
        if check_only || file == topic.file {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        blocking::run(move || {
            inner.put_file(&topic, &file)?;
            topic.config.set(settings);
            tracing::info!(topic = file.name, settings = ?file.settings, "topic settings changed");
            let partitions = topic.partitions.clone();
            inner.topics.write().insert(topic.changed_to(file, partitions));
            drop(admin);
            Ok(())
        })
        .await
    }

    /// Sets one of a topic's settings, or with `None` takes it back to its default, durably and at
    /// once.
    ///
    /// # Errors
    /// [`LogError::NoTopic`]; [`LogError::Invalid`] for a setting nobody knows or a value that is
    /// not taken; [`LogError::Io`].
    pub async fn set_topic_setting(
        &self,
        topic: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), LogError> {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let change: Change = Box::new(move |settings| {
            match value {
                Some(value) => drop(settings.insert(name, value)),
                None => drop(settings.remove(&name)),
            }
            Ok(())
        });
        self.alter_settings(topic, false, change).await
    }

    /// Gives a topic more partitions, `count` in all; with `check_only`, says whether it could.
    ///
    /// # Errors
    /// [`LogError::NoTopic`]; [`LogError::Invalid`] when it has as many already, or there would be
    /// too many in all; [`LogError::DiskReserve`]; [`LogError::Io`].
    pub async fn add_partitions(
        &self,
        topic: &str,
        count: i32,
        check_only: bool,
    ) -> Result<(), LogError> {
        let admin = Arc::clone(&self.inner.admin).lock_owned().await;
        let topic = self.topic_named(topic)?;
        let there = topic.file.partitions;
        if count <= there {
            return Err(LogError::Invalid(format!(
                "topic {:?} has {there} partitions already, {count} were asked for",
                topic.file.name
            )));
        }
        if check_only {
            return self.inner.check_count(count - there);
        }
        let inner = Arc::clone(&self.inner);
        blocking::run(move || {
            let added = inner.add_partitions(&topic, count);
            drop(admin);
            added
        })
        .await
    }

    /// Gives up the records of a partition below `before` (`None`: all that can be read) and
    /// answers the new log start, durably.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] when `before` is negative or past the high watermark;
    /// [`LogError::Invalid`] when a pipeline has not read them yet.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: PartitionId,
        before: Option<Offset>,
    ) -> Result<Offset, LogError> {
        let (_, partition) = self.partition(topic, partition)?;
        blocking::run(move || partition.delete_records(before)).await
    }

    /// A topic's settings as they hold.
    pub fn topic_settings(&self, topic: &str) -> Option<Arc<TopicDefaults>> {
        self.inner.topics.read().by_name.get(topic).map(|topic| topic.config.get())
    }
}

impl Topic {
    /// The same topic with another file and partitions.
    fn changed_to(&self, file: TopicFile, partitions: Vec<Arc<Partition>>) -> Arc<Self> {
        Arc::new(Self {
            file,
            config: Arc::clone(&self.config),
            partitions,
            changed: Arc::clone(&self.changed),
            deleted: Arc::clone(&self.deleted),
        })
    }
}

impl Inner {
    /// Writes a topic's changed file. One that failed is taken back, as far as the disk allows: it
    /// must not hold after a restart when it does not hold now.
    fn put_file(&self, topic: &Topic, file: &TopicFile) -> Result<(), LogError> {
        let disk = &*self.shared.disk;
        let topic_dir = self.dir.join(&file.name);
        let written = file.write(disk, &topic_dir);
        if written.is_err()
            && let Err(error) = topic.file.write(disk, &topic_dir)
        {
            tracing::warn!(topic = file.name, %error, "a change that failed may hold after a restart");
        }
        written
    }

    fn add_partitions(&self, topic: &Topic, count: i32) -> Result<(), LogError> {
        let there = topic.file.partitions;
        self.check_count(count - there)?;
        self.shared.reserve.take((count - there) as u64 * PARTITION_FILES_BYTES)?;
        let topic_dir = self.dir.join(&topic.file.name);
        let mut partitions = topic.partitions.clone();
        for id in there..count {
            partitions.push(Arc::new(self.new_partition(topic, &topic_dir, id)?));
        }
        let file = TopicFile { partitions: count, ..topic.file.clone() };
        self.put_file(topic, &file)?;
        self.shared.partitions.fetch_add((count - there) as usize, Ordering::Relaxed);
        tracing::info!(topic = file.name, partitions = count, "partitions added");
        self.topics.write().insert(topic.changed_to(file, partitions));
        topic.changed.notify_waiters();
        Ok(())
    }

    fn new_partition(
        &self,
        topic: &Topic,
        topic_dir: &Path,
        id: PartitionId,
    ) -> Result<Partition, LogError> {
        let (disk, dir) = (&self.shared.disk, topic_dir.join(id.to_string()));
        // What an attempt that failed left behind: nothing in it was ever acknowledged.
        if disk.metadata(&dir).is_ok() {
            disk.remove_dir_all(&dir)
                .and_then(|()| disk.sync_dir(topic_dir))
                .map_err(|source| io_error(&dir, source))?;
        }
        let place = Place {
            shared: Arc::clone(&self.shared),
            topic: topic.file.name.as_str().into(),
            id,
            dir,
            config: Arc::clone(&topic.config),
            changed: Arc::clone(&topic.changed),
        };
        place.create(&mut RecoveryReport::default())
    }
}
