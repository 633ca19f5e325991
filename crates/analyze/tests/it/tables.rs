//! Lake tables with their tail, topics and system tables.

use crate::support::{ask, columns, error};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tradewind_analyze::{Platform, PlatformParts, Session};
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings, TableSpec};
use tradewind_types::log::{Appended, Isolation, Records, Watermarks};
use tradewind_types::{
    Log, LogError, LogRecord, Offset, PartitionId, Record, Sink, SystemClock, TopicInfo, TopicSpec,
};

/// Two partitions of three records each, the value being `<partition>-<offset>`.
#[derive(Default)]
struct FixedLog {
    /// Offsets readers are not shown: markers of transactions, and what was aborted.
    hidden: &'static [Offset],
    /// Offsets that retention takes once a query knows of them.
    taken: Range<Offset>,
}

#[async_trait]
impl Log for FixedLog {
    async fn create_topic(&self, _spec: &TopicSpec) -> Result<(), LogError> {
        Err(LogError::Invalid("fixed".into()))
    }
    async fn delete_topic(&self, _topic: &str) -> Result<(), LogError> {
        Err(LogError::Invalid("fixed".into()))
    }
    fn topics(&self) -> Vec<TopicInfo> {
        vec![TopicInfo {
            name: "events".into(),
            id: [0; 16],
            partitions: 2,
            settings: Default::default(),
        }]
    }
    fn topic(&self, topic: &str) -> Option<TopicInfo> {
        self.topics().into_iter().find(|info| info.name == topic)
    }
    async fn append(
        &self,
        _topic: &str,
        _partition: PartitionId,
        _records: Vec<Record>,
    ) -> Result<Appended, LogError> {
        Err(LogError::Invalid("fixed".into()))
    }
    async fn read(
        &self,
        _topic: &str,
        partition: PartitionId,
        from: Offset,
        _max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        // Whole batches of two records, as a log may answer: it can start before `from`.
        let start = from / 2 * 2;
        let records = (start..(start + 2).min(3)).map(|offset| LogRecord {
            offset,
            record: Record {
                timestamp_ms: 1_000 * offset,
                key: None,
                value: Some(format!("{partition}-{offset}").into()),
                headers: vec![(b"h".as_slice().into(), None)],
            },
        });
        Ok(records.collect())
    }
    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        _isolation: Isolation,
    ) -> Result<Records, LogError> {
        if self.taken.contains(&from) {
            let (topic, log_start) = (topic.to_owned(), self.taken.end);
            let (offset, high_watermark) = (from, 3);
            return Err(LogError::OutOfRange {
                topic,
                partition,
                offset,
                log_start,
                high_watermark,
            });
        }
        let mut records = self.read(topic, partition, from, max_bytes).await?;
        let next = records.last().map_or(from, |last| last.offset + 1);
        records.retain(|found| !self.hidden.contains(&found.offset));
        Ok(Records { records, next })
    }
    fn watermarks(&self, _topic: &str, _partition: PartitionId) -> Result<Watermarks, LogError> {
        Ok(Watermarks { log_start: 0, last_stable: 3, high_watermark: 3 })
    }
    async fn offset_at(
        &self,
        _topic: &str,
        _partition: PartitionId,
        _timestamp_ms: i64,
    ) -> Result<Option<Offset>, LogError> {
        Ok(None)
    }
    async fn wait(&self, _topic: &str, _seen: &[Offset]) -> Result<(), LogError> {
        std::future::pending().await
    }
    fn hold(&self, _: &str, _: &str, _: PartitionId, _: Option<Offset>) {}
}

fn topics_only() -> Session {
    topics_of(FixedLog::default())
}

fn topics_of(log: FixedLog) -> Session {
    let log = Arc::new(log);
    let parts = PlatformParts { log: Some(log), ..PlatformParts::default() };
    Platform::new(parts).unwrap().session()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_read_past_what_is_hidden() {
    let sql = "SELECT value FROM topic('events') ORDER BY value";
    for (hidden, shown) in [
        (&[0, 1][..], "0-2\n1-2"),
        (&[2], "0-0\n0-1\n1-0\n1-1"),
        (&[1], "0-0\n0-2\n1-0\n1-2"),
        (&[0, 1, 2], ""),
    ] {
        let mut session = topics_of(FixedLog { hidden, ..FixedLog::default() });
        assert_eq!(ask(&mut session, sql).await.unwrap(), shown, "without {hidden:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_takes_from_a_query_leaves_no_gap_in_its_answer() {
    let sql = "SELECT value FROM topic('events') ORDER BY value";
    for (taken, shown) in [(0..2, "0-2\n1-2"), (0..3, "")] {
        let mut session = topics_of(FixedLog { taken, ..FixedLog::default() });
        assert_eq!(ask(&mut session, sql).await.unwrap(), shown);
    }
    let mut session = topics_of(FixedLog { taken: 2..3, ..FixedLog::default() });
    let message = error(&mut session, sql).await;
    assert!(message.contains("retention took records of events-"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_a_table_of_its_records() {
    let mut session = topics_only();
    let sql = "SELECT value FROM topic('events') ORDER BY value";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "0-0\n0-1\n0-2\n1-0\n1-1\n1-2");
    let shown = columns(&mut session, "SELECT * FROM topic('events')").await;
    assert_eq!(shown, ["timestamp", "key", "value", "headers"]);
    let sql = "SELECT _partition, _offset, value FROM topic('events') AS t \
               WHERE _partition = 1 AND _offset > 0 ORDER BY _offset";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "1|1|1-1\n1|2|1-2");
    let sql = "SELECT count(*) FROM topic('events')";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "6");
    let message = error(&mut session, "SELECT * FROM topic('event')").await;
    assert!(message.contains("did you mean \"events\"?"), "{message}");
    let sql = "SELECT sum(records) FROM sys.topics";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "6");
}

async fn lake(folder: &Path) -> Lake {
    let lake = Lake::open(Arc::new(OsDisk), folder, LakeSettings::default(), Arc::new(SystemClock));
    lake.await.unwrap()
}

fn rows(first: i64, count: i64) -> RecordBatch {
    let names = (first..first + count).map(|id| format!("item {id}"));
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(first..first + count)) as ArrayRef),
        ("Name", Arc::new(StringArray::from_iter_values(names))),
        ("_partition", Arc::new(Int32Array::from_value(0, count as usize))),
        ("_offset", Arc::new(Int64Array::from_iter_values(first..first + count))),
    ])
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_table_is_its_files_and_its_tail_and_hides_where_rows_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("Name", DataType::Utf8, true),
    ]);
    let spec =
        TableSpec { name: "items".into(), schema: Arc::new(schema), partition_columns: vec![] };
    lake.create_table(&spec).await.unwrap();
    let mut sink: Box<dyn Sink> = lake.sink("items", "test/1").unwrap();
    sink.recover(None).await.unwrap();
    sink.write(vec![rows(0, 10)]).await.unwrap();
    let staged = sink.stage(1).await.unwrap();
    sink.commit(&staged).await.unwrap();
    sink.write(vec![rows(10, 5)]).await.unwrap();
    let parts = PlatformParts { lake: Some(lake), ..PlatformParts::default() };
    let mut session = Platform::new(parts).unwrap().session();
    for (sql, expected) in [
        ("SELECT count(*), sum(id) FROM items", "15|105"),
        ("SELECT name FROM ITEMS WHERE id = 12", "item 12"),
        ("SELECT max(_offset) FROM items", "14"),
        // One snapshot for both scans of a statement.
        ("SELECT count(*) FROM items a JOIN items b ON a.id = b.id", "15"),
        (
            "SELECT a.* FROM items a JOIN items b ON a._offset = b._offset WHERE b.id = 3",
            "3|item 3",
        ),
    ] {
        assert_eq!(ask(&mut session, sql).await.unwrap(), expected, "{sql}");
    }
    for (sql, expected) in [
        ("SELECT * FROM items", vec!["id", "Name"]),
        ("SELECT *, _offset FROM items", vec!["id", "Name", "_offset"]),
        (
            "SELECT * FROM items a JOIN items b ON a._offset = b._offset",
            vec!["id", "Name", "id", "Name"],
        ),
        ("SELECT * FROM (SELECT id, _offset FROM items) t", vec!["id", "_offset"]),
    ] {
        assert_eq!(columns(&mut session, sql).await, expected, "{sql}");
    }
    let message = error(&mut session, "SELECT * FROM itms").await;
    assert!(message.contains("did you mean \"items\"?"), "{message}");
    assert_eq!(ask(&mut session, "DESCRIBE items").await.unwrap().lines().count(), 2);
    // A transaction sees one moment of the table, a statement outside the moment it is asked.
    let count = "SELECT count(*) FROM items";
    ask(&mut session, "BEGIN; SELECT count(*) FROM items").await.unwrap();
    sink.write(vec![rows(15, 5)]).await.unwrap();
    assert_eq!(ask(&mut session, count).await.unwrap(), "15");
    ask(&mut session, "COMMIT").await.unwrap();
    assert_eq!(ask(&mut session, count).await.unwrap(), "20");
}
