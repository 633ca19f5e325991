//! A topic with its history: what retention has taken from the log is read back from the lake.
//!
//! Guarantees: below the log's beginning a reader gets the records of the events that a lake table
//! keeps, with the offsets they had, in order, each field as the record had it; from the log's
//! beginning on it gets the log's own. Nothing is given twice, and nothing between the two is left
//! out as long as retention waits for the pipeline that fills the table.
//! Left out: records that never were events: they are dead letters already.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tradewind_types::connector::Positions;
use tradewind_types::log::{Appended, Isolation, Records, Watermarks};
use tradewind_types::{
    Event, Log, LogError, LogRecord, Offset, PartitionId, Record, TopicInfo, TopicSpec,
};

/// Offsets asked of the table at once: some 4 MB of usual events, 128 MB of the largest.
const SPAN: Offset = 4_096;

/// A lake table that keeps a topic's events.
#[async_trait]
pub trait History: fmt::Debug + Send + Sync + 'static {
    /// The first offset of each partition that has any.
    async fn begins(&self) -> Result<Positions, String>;

    /// The rows with `from <= _offset < to` of a partition, in order, with `_offset` as a column.
    async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<RecordBatch>, String>;
}

/// A log, one of whose topics begins where its history does.
pub(crate) struct HistoricLog {
    log: Arc<dyn Log>,
    topic: String,
    /// The table's name, for messages.
    table: String,
    history: Arc<dyn History>,
    begins: Positions,
}

impl HistoricLog {
    /// `topic` of `log`, before its beginning as `history` has it.
    pub(crate) async fn open(
        log: Arc<dyn Log>,
        topic: &str,
        table: &str,
        history: Arc<dyn History>,
    ) -> Result<Self, LogError> {
        let begins = history.begins().await.map_err(|reason| unreadable(table, reason))?;
        Ok(Self { log, topic: topic.to_string(), table: table.to_string(), history, begins })
    }

    /// The records of the first rows between two offsets; empty when there are none at all.
    async fn records(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<LogRecord>, LogError> {
        let mut from = from.max(self.begins.get(&partition).copied().unwrap_or(to));
        while from < to {
            let until = to.min(from + SPAN);
            let rows = self.history.read(partition, from, until).await;
            let rows = rows.map_err(|reason| unreadable(&self.table, reason))?;
            let mut records = Vec::new();
            for batch in &rows {
                self.encode(batch, &mut records)?;
            }
            if !records.is_empty() {
                return Ok(records);
            }
            from = until;
        }
        Ok(Vec::new())
    }

    fn encode(&self, rows: &RecordBatch, records: &mut Vec<LogRecord>) -> Result<(), LogError> {
        let events = Events::of(rows).map_err(|reason| unreadable(&self.table, reason))?;
        for row in 0..rows.num_rows() {
            let record = events.record(row).map_err(|reason| unreadable(&self.table, reason))?;
            records.push(record);
        }
        Ok(())
    }
}

#[async_trait]
impl Log for HistoricLog {
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
        let isolation = Isolation::ReadCommitted;
        let read = self.read_on(topic, partition, from, max_bytes, isolation).await?;
        if read.records.is_empty() {
            return self.log.read(topic, partition, read.next, max_bytes).await;
        }
        Ok(read.records)
    }

    async fn read_on(
        &self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Records, LogError> {
        let mut from = from;
        if topic == self.topic {
            let log_start = self.log.watermarks(topic, partition)?.log_start;
            if from < log_start {
                let records = self.records(partition, from, log_start).await?;
                if let Some(last) = records.last() {
                    let next = last.offset + 1;
                    return Ok(Records { records, next });
                }
                from = log_start;
            }
        }
        self.log.read_on(topic, partition, from, max_bytes, isolation).await
    }

    fn watermarks(&self, topic: &str, partition: PartitionId) -> Result<Watermarks, LogError> {
        let mut marks = self.log.watermarks(topic, partition)?;
        if topic == self.topic
            && let Some(begin) = self.begins.get(&partition)
        {
            marks.log_start = marks.log_start.min(*begin);
        }
        Ok(marks)
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

    fn hold(&self, holder: &str, topic: &str, partition: PartitionId, offset: Option<Offset>) {
        self.log.hold(holder, topic, partition, offset);
    }
}

fn unreadable(table: &str, reason: String) -> LogError {
    LogError::Io { path: format!("lake table {table}"), source: std::io::Error::other(reason) }
}

/// Columns of a table of events, by the names of an event's fields.
struct Events<'a> {
    rows: &'a RecordBatch,
    offsets: ArrayRef,
    event_times: ArrayRef,
    received: ArrayRef,
    clamped: Option<BooleanArray>,
}

impl<'a> Events<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, String> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let clamped = match rows.column_by_name("clock_clamped") {
            Some(column) => Some(
                column.as_boolean_opt().ok_or("its column clock_clamped is not BOOLEAN")?.clone(),
            ),
            None => None,
        };
        Ok(Self {
            rows,
            offsets: needed(rows, "_offset", &DataType::Int64)?,
            event_times: needed(rows, "event_time", &micros)?,
            received: needed(rows, "received_at", &micros)?,
            clamped,
        })
    }

    fn record(&self, row: usize) -> Result<LogRecord, String> {
        let offset = self.offsets.as_primitive::<Int64Type>().value(row);
        let failed = |reason: String| format!("the row at offset {offset}: {reason}");
        let event = self.event(row).map_err(failed)?;
        let value = serde_json::to_vec(&event).map_err(|error| failed(error.to_string()))?;
        let record = Record {
            timestamp_ms: event.received_at.div_euclid(1_000),
            key: Some(Bytes::copy_from_slice(event.visitor_id.as_bytes())),
            value: Some(value.into()),
            headers: Vec::new(),
        };
        Ok(LogRecord { offset, record })
    }

    fn event(&self, row: usize) -> Result<Event<'_>, String> {
        let micros =
            |column: &ArrayRef| column.as_primitive::<TimestampMicrosecondType>().value(row);
        let known = |name: &str| {
            self.text(name, row).map(Cow::Borrowed).ok_or_else(|| format!("it has no {name}"))
        };
        let maybe = |name: &str| self.text(name, row).map(Cow::Borrowed);
        Ok(Event {
            message_id: known("message_id")?,
            store_id: known("store_id")?,
            source: known("source")?,
            kind: known("type")?,
            event: maybe("event"),
            event_time: micros(&self.event_times),
            received_at: micros(&self.received),
            clock_clamped: self.clamped.as_ref().is_some_and(|c| c.is_valid(row) && c.value(row)),
            visitor_id: known("visitor_id")?,
            user_id: maybe("user_id"),
            anonymous_id: maybe("anonymous_id"),
            group_id: maybe("group_id"),
            previous_id: maybe("previous_id"),
            original_event: maybe("original_event"),
            properties: self.json("properties", row)?,
            traits: self.json("traits", row)?,
            context: self.json("context", row)?,
            consent: self.json("consent", row)?,
            integrations: self.json("integrations", row)?,
            extra: self.json("extra", row)?,
        })
    }

    fn text(&self, name: &str, row: usize) -> Option<&str> {
        let column = self.rows.column_by_name(name)?;
        if column.is_null(row) {
            return None;
        }
        match column.data_type() {
            DataType::Utf8View => Some(column.as_string_view().value(row)),
            DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
            _ => None,
        }
    }

    fn json(&self, name: &str, row: usize) -> Result<Option<&RawValue>, String> {
        let Some(text) = self.text(name, row) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| format!("{name}: {error}"))
    }
}

fn needed(rows: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef, String> {
    let column = rows.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))?;
    let column = cast(column, as_type).map_err(|error| format!("its column {name}: {error}"))?;
    match column.null_count() {
        0 => Ok(column),
        _ => Err(format!("its column {name} has no value at some rows")),
    }
}
