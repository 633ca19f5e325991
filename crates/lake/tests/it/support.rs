//! A lake on a temporary folder or a simulated disk, and queries on it.

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Disk, OsDisk};
use tradewind_lake::{Lake, LakeSettings, LakeTable, ReadSnapshots, TableSpec, hidden_fields};
use tradewind_types::{Clock, ManualClock, Sink};

/// 2024-03-01T00:00:00Z.
pub(crate) const NOW_US: i64 = 1_709_251_200_000_000;
pub(crate) const HOUR_US: i64 = 3_600_000_000;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW_US))
}

pub(crate) async fn open_on(
    disk: Arc<dyn Disk>,
    dir: &Path,
    settings: LakeSettings,
    clock: Arc<dyn Clock>,
) -> Lake {
    Lake::open(disk, dir, settings, clock).await.unwrap()
}

pub(crate) async fn open(dir: &Path) -> Lake {
    open_on(Arc::new(OsDisk), dir, LakeSettings::default(), clock()).await
}

/// `orders(store_id, event_date, event_time, n, amount)`, partitioned.
pub(crate) fn orders() -> TableSpec {
    let fields = vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("event_date", DataType::Date32, false),
        Field::new(
            "event_time",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ),
        Field::new("n", DataType::Int64, false),
        Field::new("amount", DataType::Decimal128(18, 6), true),
    ];
    TableSpec {
        name: "orders".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        partition_columns: vec!["store_id".to_owned(), "event_date".to_owned()],
    }
}

/// Orders `from..to`: two stores, a day per thousand orders, amount `n` + 0.000001.
pub(crate) fn order_rows(from: i64, to: i64) -> RecordBatch {
    let numbers: Vec<i64> = (from..to).collect();
    let us = |n: i64| NOW_US + (n / 1000) * 24 * HOUR_US + n;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| format!("store {}", n % 2)))),
        Arc::new(arrow::array::Date32Array::from_iter_values(
            numbers.iter().map(|&n| (us(n) / (24 * HOUR_US)) as i32),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(numbers.iter().map(|&n| us(n)))
                .with_timezone("UTC"),
        ),
        Arc::new(Int64Array::from(numbers.clone())),
        Arc::new(
            Decimal128Array::from_iter_values(
                numbers.iter().map(|&n| i128::from(n) * 1_000_000 + 1),
            )
            .with_precision_and_scale(18, 6)
            .unwrap(),
        ),
        Arc::new(Int32Array::from_iter_values(numbers.iter().map(|n| (n % 4) as i32))),
        Arc::new(Int64Array::from(numbers)),
    ];
    with_hidden(&orders(), columns)
}

pub(crate) fn with_hidden(spec: &TableSpec, columns: Vec<ArrayRef>) -> RecordBatch {
    let mut fields = spec.schema.fields().to_vec();
    fields.extend(hidden_fields());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub(crate) async fn sink(lake: &Lake, writer: &str) -> Box<dyn Sink> {
    let mut sink = lake.sink("orders", writer).unwrap();
    sink.recover(None).await.unwrap();
    sink
}

/// A session that sees one snapshot of each table for as long as it lives.
pub(crate) fn session(tables: &[Arc<LakeTable>]) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_extension(Arc::new(ReadSnapshots::default()));
    let session = SessionContext::new_with_config(config);
    for table in tables {
        session.register_table(table.name(), table.provider()).unwrap();
    }
    session
}

pub(crate) async fn query(lake: &Lake, sql: &str) -> Vec<RecordBatch> {
    session(&lake.tables()).sql(sql).await.unwrap().collect().await.unwrap()
}

/// The single number a query answers.
pub(crate) async fn number(lake: &Lake, sql: &str) -> i64 {
    first_number(&query(lake, sql).await)
}

pub(crate) fn first_number(batches: &[RecordBatch]) -> i64 {
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

/// Every order's number, sorted.
pub(crate) async fn numbers(lake: &Lake) -> Vec<i64> {
    let batches = query(lake, "SELECT n FROM orders ORDER BY n").await;
    let values = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>());
    values.flat_map(|column| column.values().to_vec()).collect()
}

pub(crate) async fn text(lake: &Lake, sql: &str) -> String {
    let batches = query(lake, sql).await;
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}
