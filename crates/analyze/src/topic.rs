//! `topic('name')`: a topic's records as rows, from the first one kept to the high watermark.
//!
//! Guarantees: the range read is fixed when the query starts; conditions on `_partition` and
//! `_offset` limit what is read. What retention takes of a partition before the query comes to it is
//! not there; what it takes from under the query ends that with an error, so that no answer has a gap.
//! Left out: decoding of values, which is what a declared table is for.

use crate::error::AnalyzeError;
use crate::scan::{Out, Part, Scan, ScanTable};
use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, ListBuilder, RecordBatch, RecordBatchOptions,
    StringBuilder, StructBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::FutureExt;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tradewind_types::log::Isolation;
use tradewind_types::{
    Log, LogError, LogRecord, OFFSET_COLUMN, Offset, PARTITION_COLUMN, PartitionId, TopicInfo,
};

/// How much of a partition is read at once.
const READ_BYTES: usize = 1 << 20;

/// The table function.
pub(crate) struct TopicFunction(pub(crate) Option<Arc<dyn Log>>);

impl fmt::Debug for TopicFunction {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("TopicFunction")
    }
}

impl TableFunctionImpl for TopicFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let name = match args.exprs() {
            [Expr::Literal(ScalarValue::Utf8(Some(name)), _)] => name,
            _ => return Err(AnalyzeError::user("topic() takes one name: topic('events')").into()),
        };
        Ok(Arc::new(ScanTable(TopicTable::of(self.0.as_ref(), name)?)))
    }
}

/// A topic as a table.
pub(crate) struct TopicTable {
    log: Arc<dyn Log>,
    info: TopicInfo,
    schema: SchemaRef,
}

impl fmt::Debug for TopicTable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "TopicTable({})", self.info.name)
    }
}

impl TopicTable {
    fn of(log: Option<&Arc<dyn Log>>, name: &str) -> Result<Self, AnalyzeError> {
        let Some(log) = log else {
            return Err(AnalyzeError::user("topics are in a data folder, and none is open")
                .hint("give --data-dir, or --url to ask a server"));
        };
        let Some(info) = log.topic(name) else {
            let topics = log.topics();
            return Err(AnalyzeError::user(format!("topic \"{name}\" does not exist"))
                .did_you_mean(name, topics.iter().map(|topic| topic.name.as_str())));
        };
        Ok(Self { log: Arc::clone(log), info, schema: schema() })
    }

    /// The offsets that can be read now, within what the filters allow.
    fn ranges(&self, filters: &[Expr]) -> Result<Vec<(PartitionId, Range<Offset>)>> {
        let mut ranges = Vec::new();
        for partition in 0..self.info.partitions {
            let marks = self
                .log
                .watermarks(&self.info.name, partition)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let mut range = marks.log_start..marks.last_stable;
            let mut wanted = true;
            for condition in filters.iter().filter_map(Condition::of) {
                match condition.column {
                    PARTITION_COLUMN => wanted &= condition.admits(i64::from(partition)),
                    _ => condition.narrow(&mut range),
                }
            }
            if wanted && !range.is_empty() {
                ranges.push((partition, range));
            }
        }
        Ok(ranges)
    }
}

/// The columns of every topic. `key` and `value` are text, in which bytes that are not UTF-8 show
/// as U+FFFD; `_key` and `_value` are the bytes.
pub(crate) fn schema() -> SchemaRef {
    let header = DataType::Struct(header_fields());
    Arc::new(Schema::new(vec![
        Field::new(
            "timestamp",
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            false,
        ),
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("headers", DataType::new_list(header, true), false),
        Field::new("_key", DataType::Binary, true),
        Field::new("_value", DataType::Binary, true),
        Field::new(PARTITION_COLUMN, DataType::Int32, false),
        Field::new(OFFSET_COLUMN, DataType::Int64, false),
    ]))
}

fn header_fields() -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("value", DataType::Binary, true),
    ])
}

impl Scan for TopicTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn narrows(&self, condition: &Expr) -> bool {
        Condition::of(condition).is_some()
    }

    fn parts(&self, schema: &SchemaRef, conditions: &[Expr]) -> Result<Vec<Part>> {
        let parts = self.ranges(conditions)?.into_iter().map(|(partition, range)| {
            let topic = self.info.name.clone();
            let (log, schema) = (Arc::clone(&self.log), Arc::clone(schema));
            Part::new(format!("{topic}-{partition} {range:?}"), move |out| {
                let (log, schema) = (Arc::clone(&log), Arc::clone(&schema));
                let place = Place { topic: topic.clone(), partition, range: range.clone() };
                async move { place.read(log.as_ref(), &schema, &out).await }.boxed()
            })
        });
        Ok(parts.collect())
    }
}

/// A comparison of `_partition` or `_offset` with a number.
struct Condition {
    column: &'static str,
    operator: Operator,
    number: i64,
}

impl Condition {
    fn of(filter: &Expr) -> Option<Self> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
        let (column, operator, literal) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
            _ => return None,
        };
        let column = match column.name() {
            PARTITION_COLUMN => PARTITION_COLUMN,
            OFFSET_COLUMN => OFFSET_COLUMN,
            _ => return None,
        };
        let number = match literal {
            ScalarValue::Int64(Some(number)) => *number,
            ScalarValue::Int32(Some(number)) => i64::from(*number),
            _ => return None,
        };
        use Operator::{Eq, Gt, GtEq, Lt, LtEq};
        matches!(operator, Eq | Gt | GtEq | Lt | LtEq).then_some(Self { column, operator, number })
    }

    fn admits(&self, value: i64) -> bool {
        match self.operator {
            Operator::Eq => value == self.number,
            Operator::Gt => value > self.number,
            Operator::GtEq => value >= self.number,
            Operator::Lt => value < self.number,
            _ => value <= self.number,
        }
    }

    fn narrow(&self, range: &mut Range<Offset>) {
        let after = self.number.saturating_add(1);
        match self.operator {
            Operator::Eq => *range = range.start.max(self.number)..range.end.min(after),
            Operator::Gt => range.start = range.start.max(after),
            Operator::GtEq => range.start = range.start.max(self.number),
            Operator::Lt => range.end = range.end.min(self.number),
            _ => range.end = range.end.min(after),
        }
    }
}

/// One partition's part of a query.
struct Place {
    topic: String,
    partition: PartitionId,
    range: Range<Offset>,
}

impl Place {
    async fn read(&self, log: &dyn Log, schema: &SchemaRef, out: &Out) -> Result<()> {
        let (mut next, mut begun) = (self.range.start, false);
        while next < self.range.end {
            let isolation = Isolation::ReadCommitted;
            let read = log.read_on(&self.topic, self.partition, next, READ_BYTES, isolation).await;
            let mut read = match read {
                Err(LogError::OutOfRange { log_start, .. }) if log_start > next => {
                    if begun {
                        return Err(self.overtaken().into());
                    }
                    next = log_start;
                    continue;
                }
                other => other.map_err(|error| DataFusionError::External(Box::new(error)))?,
            };
            if read.next == next {
                break;
            }
            (next, begun) = (read.next, true);
            read.records.retain(|record| self.range.contains(&record.offset));
            if read.records.is_empty() {
                continue;
            }
            if !out.send(rows(schema, self.partition, &read.records)?).await {
                break;
            }
        }
        Ok(())
    }

    fn overtaken(&self) -> AnalyzeError {
        let Self { topic, partition, .. } = self;
        AnalyzeError::user(format!(
            "retention took records of {topic}-{partition} that were being read"
        ))
        .hint("ask again: what is kept now will be read")
    }
}

fn rows(schema: &SchemaRef, partition: PartitionId, records: &[LogRecord]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| column(field.name(), partition, records));
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)?)
}

fn column(name: &str, partition: PartitionId, records: &[LogRecord]) -> ArrayRef {
    let of = |record: &LogRecord| match name {
        "key" | "_key" => record.record.key.clone(),
        _ => record.record.value.clone(),
    };
    match name {
        PARTITION_COLUMN => Arc::new(Int32Array::from_value(partition, records.len())),
        OFFSET_COLUMN => {
            Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.offset)))
        }
        "timestamp" => {
            let times = records.iter().map(|record| record.record.timestamp_ms);
            Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
        }
        "headers" => headers(records),
        "_key" | "_value" => {
            let mut values = BinaryBuilder::new();
            records.iter().for_each(|record| values.append_option(of(record)));
            Arc::new(values.finish())
        }
        _ => {
            let mut values = StringBuilder::new();
            for record in records {
                values.append_option(of(record).as_deref().map(String::from_utf8_lossy));
            }
            Arc::new(values.finish())
        }
    }
}

fn headers(records: &[LogRecord]) -> ArrayRef {
    let mut lists = ListBuilder::new(StructBuilder::from_fields(header_fields(), 0));
    for record in records {
        for (name, value) in &record.record.headers {
            let header = lists.values();
            if let Some(names) = header.field_builder::<StringBuilder>(0) {
                names.append_value(String::from_utf8_lossy(name));
            }
            if let Some(values) = header.field_builder::<BinaryBuilder>(1) {
                values.append_option(value.as_ref());
            }
            header.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
