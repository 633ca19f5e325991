//! A log as the server has it and an engine over it, on a disk that loses power.

use super::lake::{FileLake, FileSinks};
use super::world::{catalogue, insert_of, start_time_us, wait_for};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, SimDisk};
use tradewind_log::{LogSettings, LogStore};
use tradewind_process::{
    Engine, EngineParts, EngineSettings, PipelineRequest, PipelineStatus, ProcessError,
};
use tradewind_sql::{Catalogue, Dialect, Owner, PipelineStatement};
use tradewind_types::log::{Appended, Isolation, Records, Watermarks};
use tradewind_types::{
    Clock, Log, LogError, LogRecord, ManualClock, Offset, PartitionId, Producer, Record, TopicInfo,
    TopicLimits, TopicSpec, TopicWriter,
};

/// What is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Nothing.
    None,
    /// The disk says it has synced and has not.
    Syncs,
    /// What is open after a crash is committed.
    CommitsAll,
    /// What is open after a crash stays open.
    AbortsNothing,
    /// What a manifest names is taken for committed.
    CommitsNothing,
}

/// A record that readers are shown: key and value, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) partition: PartitionId,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) record: Record,
}

type Seen = Arc<Mutex<BTreeMap<String, Producer>>>;

/// Everything but what runs.
pub(crate) struct Topics {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) settings: EngineSettings,
    pub(crate) damage: Damage,
    /// Who has written last under each transactional id, over all lives.
    seen: Seen,
    _dir: tempfile::TempDir,
}

impl Topics {
    pub(crate) fn new(seed: u64, script: &str) -> Self {
        let (catalogue, dir) = catalogue(script);
        let disk = SimDisk::new(seed);
        disk.create_dir_all("/data".as_ref()).unwrap();
        Self {
            disk,
            clock: Arc::new(ManualClock::at(start_time_us())),
            catalogue,
            settings: EngineSettings {
                retry_backoff_ms_min: 1,
                retry_backoff_ms_max: 5,
                ..EngineSettings::default()
            },
            damage: Damage::None,
            seen: Seen::default(),
            _dir: dir,
        }
    }

    /// The log, recovered from whatever is there.
    pub(crate) fn log(&self) -> Result<LogStore, LogError> {
        let settings = LogSettings { disk_reserve_bytes: 0, ..LogSettings::default() };
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let opened = LogStore::open(disk, Path::new("/data/log"), settings, clock);
        opened.map(|(log, _)| log)
    }

    /// The log with topics of so many partitions.
    pub(crate) async fn log_with(&self, topics: &[(&str, i32)]) -> LogStore {
        let log = self.log().unwrap();
        for (topic, partitions) in topics {
            log.create_topic(&TopicSpec::new(*topic, *partitions)).await.unwrap();
        }
        log
    }

    pub(crate) async fn engine(&self, log: &LogStore) -> Result<Engine, ProcessError> {
        self.engine_with(log, self.lake()).await
    }

    pub(crate) async fn engine_with(
        &self,
        log: &LogStore,
        lake: Arc<FileLake>,
    ) -> Result<Engine, ProcessError> {
        let (log, seen) = (log.clone(), Arc::clone(&self.seen));
        let damaged = DamagedLog { log, damage: self.damage, seen };
        Engine::start(EngineParts {
            catalogue: self.catalogue.clone(),
            log: Arc::new(damaged),
            sinks: Arc::new(FileSinks(lake)),
            disk: self.disk.clone(),
            dir: "/data/pipelines".into(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
        })
        .await
    }

    /// The lake, where the dead letters are.
    pub(crate) fn lake(&self) -> Arc<FileLake> {
        Arc::new(FileLake::new(self.disk.clone(), "/data/lake".as_ref()))
    }

    pub(crate) async fn create(
        &self,
        engine: &Engine,
        name: &str,
        sql: &str,
    ) -> Result<PipelineStatus, ProcessError> {
        let request = PipelineRequest {
            name: Some(name.to_string()),
            statement: PipelineStatement::Insert(insert_of(sql)),
            dialect: Dialect::Flink,
            owner: Owner::Sql,
        };
        engine.create(request).await
    }

    /// Waits until a pipeline runs and has read all there is.
    pub(crate) async fn drained(&self, engine: &Engine, name: &str) {
        let drained = |status: &PipelineStatus| {
            let ends = |source: &tradewind_process::SourceStatus| {
                !source.ends.is_empty() && source.ends == source.positions
            };
            status.lag == 0 && !status.sources.is_empty() && status.sources.iter().all(ends)
        };
        let found = wait_for(|| engine.status(name).ok().filter(drained)).await;
        assert!(found.is_some(), "{:?}", engine.status(name));
    }
}

/// Appends a value without a key.
pub(crate) async fn put(
    log: &LogStore,
    topic: &str,
    partition: PartitionId,
    value: &str,
) -> Result<(), LogError> {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    let record = Record { timestamp_ms: 1_795_249_560_000, value, ..Record::default() };
    log.append(topic, partition, vec![record]).await.map(drop)
}

/// What a reader of a topic is shown, partition by partition.
pub(crate) async fn shown(log: &LogStore, topic: &str, isolation: Isolation) -> Vec<Written> {
    let mut written = Vec::new();
    for partition in 0..log.topic(topic).unwrap().partitions {
        let mut from = 0;
        loop {
            let read = log.read_on(topic, partition, from, 1 << 20, isolation).await.unwrap();
            if read.next == from {
                break;
            }
            from = read.next;
            let text = |bytes: &Option<Bytes>| {
                bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            written.extend(read.records.into_iter().map(|found| Written {
                partition,
                key: text(&found.record.key),
                value: text(&found.record.value),
                record: found.record,
            }));
        }
    }
    written
}

/// What a topic comes to whose records replace each other by key.
pub(crate) fn materialized(written: &[Written]) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for one in written {
        let key = one.key.clone().unwrap();
        match &one.value {
            Some(value) => drop(rows.insert(key, value.clone())),
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

/// Whether some reader cannot get to a topic's end.
pub(crate) fn hangs(log: &LogStore, topic: &str) -> bool {
    (0..log.topic(topic).unwrap().partitions).any(|partition| {
        let marks = log.watermarks(topic, partition).unwrap();
        marks.last_stable != marks.high_watermark
    })
}

/// A log whose writer does something wrong.
struct DamagedLog {
    log: LogStore,
    damage: Damage,
    seen: Seen,
}

struct DamagedWriter {
    writer: Arc<dyn TopicWriter>,
    damage: Damage,
    seen: Seen,
}

#[async_trait]
impl Log for DamagedLog {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.log.create_topic(spec).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.log.delete_topic(topic).await
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.log.topics()
    }

    fn topic(&self, topic: &str) -> Option<TopicInfo> {
        self.log.topic(topic)
    }

    async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        self.log.append(topic, partition, records).await
    }

    async fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.log.read(topic, partition, from, max_bytes).await
    }

    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Records, LogError> {
        self.log.read_on(topic, partition, from, max_bytes, isolation).await
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        self.log.watermarks(topic, partition)
    }

    async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        self.log.offset_at(topic, partition, timestamp_ms).await
    }

    async fn wait(&self, topic: &str, seen: &[Offset]) -> Result<(), LogError> {
        self.log.wait(topic, seen).await
    }

    fn writer(&self) -> Option<Arc<dyn TopicWriter>> {
        let writer = self.log.writer()?;
        match self.damage {
            Damage::None | Damage::Syncs => Some(writer),
            damage => {
                Some(Arc::new(DamagedWriter { writer, damage, seen: Arc::clone(&self.seen) }))
            }
        }
    }

    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>) {
        self.log.hold(holder, topic, partition, offset);
    }
}

#[async_trait]
impl TopicWriter for DamagedWriter {
    fn limits(&self, topic: &str) -> Result<TopicLimits, LogError> {
        self.writer.limits(topic)
    }

    fn batch_bytes(&self, records: &[Record]) -> usize {
        self.writer.batch_bytes(records)
    }

    async fn begin(&self, id: &str) -> Result<Producer, LogError> {
        self.writer.begin(id).await
    }

    async fn span(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partitions: &BTreeSet<PartitionId>,
    ) -> Result<(), LogError> {
        self.seen.lock().insert(id.to_string(), producer);
        self.writer.span(id, producer, topic, partitions).await
    }

    async fn append(
        &self,
        producer: Option<Producer>,
        topic: &str,
        partition: PartitionId,
        records: Vec<Record>,
    ) -> Result<Offset, LogError> {
        self.writer.append(producer, topic, partition, records).await
    }

    async fn synced_to(
        &self,
        topic: &str,
        partition: PartitionId,
        end: Offset,
    ) -> Result<(), LogError> {
        self.writer.synced_to(topic, partition, end).await
    }

    async fn commit(&self, id: &str, producer: Producer) -> Result<Producer, LogError> {
        match self.damage {
            Damage::CommitsNothing => Ok(producer),
            _ => self.writer.commit(id, producer).await,
        }
    }

    async fn abort(&self, id: &str) -> Result<(), LogError> {
        match self.damage {
            Damage::AbortsNothing => Ok(()),
            Damage::CommitsAll => {
                let seen = self.seen.lock().get(id).copied();
                if let Some(producer) = seen {
                    // One that is not open any more is committed or aborted already.
                    let _ = self.writer.commit(id, producer).await;
                }
                self.writer.abort(id).await
            }
            _ => self.writer.abort(id).await,
        }
    }

    async fn forget(&self, id: &str) -> Result<(), LogError> {
        self.writer.forget(id).await
    }

    async fn ids(&self) -> Result<Vec<String>, LogError> {
        self.writer.ids().await
    }
}
