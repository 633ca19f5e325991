//! Rows made up: `'connector' = 'datagen'`.
//!
//! Guarantees: row `n` is the same whenever it is made, so that a restart goes on exactly where it
//! stood; not more than `rows-per-second` come in a second; with `number-of-rows` or a sequence
//! the source ends.
//! Left out: rows and arrays.

use super::LineReader;
use crate::stream::plan::SourcePlan;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tradewind_sql::{DatagenField, DatagenKind, DatagenTable};
use tradewind_types::connector::Positions;
use tradewind_types::{Offset, PartitionId, Source, SourceBatch, SourceError};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// It has one partition.
const PARTITION: PartitionId = 0;
/// How often rows come within a second, at most.
const STEPS_PER_SECOND: u64 = 100;
/// Letters of random text: hexadecimal digits, as Flink's.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A generator.
pub(super) struct DatagenSource {
    reader: LineReader,
    schema: SchemaRef,
    fields: Vec<DatagenField>,
    rows_per_second: u64,
    /// Where it ends, if it does.
    rows_max: Option<Offset>,
    next: Offset,
    /// When row `since_row` was due.
    since: Instant,
    since_row: Offset,
}

impl DatagenSource {
    /// A generator at its first row.
    ///
    /// # Errors
    /// A column of a type it cannot make up.
    pub(super) fn open(
        table: &DatagenTable,
        plan: &SourcePlan,
        reader: LineReader,
    ) -> Result<Self, SourceError> {
        let mut fields = Vec::new();
        for column in &plan.read.columns {
            if column_of(&column.field, &DatagenField::default(), 0..0, 0).is_none() {
                let name = tradewind_sql::type_name(column.field.data_type());
                return Err(SourceError::Decode {
                    source_name: plan.definition.name.clone(),
                    reason: format!("column {:?}: datagen makes no {name}", column.field.name()),
                });
            }
            fields.push(table.fields.get(column.field.name()).cloned().unwrap_or_default());
        }
        let ends = table.fields.values().filter_map(|field| match field.kind {
            DatagenKind::Sequence { start, end } => Some(end.saturating_sub(start) + 1),
            DatagenKind::Random { .. } => None,
        });
        Ok(Self {
            reader,
            schema: plan.read.schema(),
            fields,
            rows_per_second: table.rows_per_second.max(1),
            rows_max: ends.chain(table.number_of_rows).min(),
            next: 0,
            since: Instant::now(),
            since_row: 0,
        })
    }

    /// The first row that is not due yet.
    fn due(&self) -> Offset {
        let elapsed = self.since.elapsed().as_micros();
        let rows = elapsed * u128::from(self.rows_per_second) / 1_000_000;
        let due = self.since_row.saturating_add(Offset::try_from(rows).unwrap_or(Offset::MAX));
        due.min(self.rows_max.unwrap_or(Offset::MAX))
    }
}

#[async_trait]
impl Source for DatagenSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn poll(&mut self, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let last = self.due().min(self.next.saturating_add(rows_max as Offset));
        if last <= self.next {
            return Ok(Vec::new());
        }
        let rows = self.next..last;
        let now_us = self.reader.clock.now_us();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.fields.len() + 2);
        for (field, how) in self.schema.fields().iter().zip(&self.fields) {
            let column = column_of(field, how, rows.clone(), now_us);
            let null = || new_null_array(field.data_type(), (last - rows.start) as usize);
            columns.push(column.unwrap_or_else(null));
        }
        columns.push(Arc::new(Int32Array::from(vec![PARTITION; (last - self.next) as usize])));
        columns.push(Arc::new(Int64Array::from_iter_values(rows)));
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let batch = batch.map_err(|error| SourceError::Decode {
            source_name: "datagen".into(),
            reason: error.to_string(),
        })?;
        self.next = last;
        let rejected = Vec::new();
        Ok(vec![SourceBatch { partition: PARTITION, batch, rejected, next_offset: last }])
    }

    async fn ready(&mut self) -> Result<(), SourceError> {
        while self.due() <= self.next && !self.ended() {
            let rows = (self.rows_per_second / STEPS_PER_SECOND).max(1);
            let wanted = (self.next - self.since_row).max(0) as u64 + rows;
            let micros = wanted.saturating_mul(1_000_000).div_ceil(self.rows_per_second);
            sleep_until(self.since + Duration::from_micros(micros)).await;
        }
        Ok(())
    }

    fn positions(&self) -> Positions {
        Positions::from([(PARTITION, self.next)])
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.next = positions.get(&PARTITION).copied().unwrap_or(0);
        (self.since, self.since_row) = (Instant::now(), self.next);
        Ok(())
    }

    fn ended(&self) -> bool {
        self.rows_max.is_some_and(|rows_max| self.next >= rows_max)
    }
}

/// A column's values for some rows; `None` for a type that is not made up.
fn column_of(
    field: &Field,
    how: &DatagenField,
    rows: std::ops::Range<Offset>,
    now_us: i64,
) -> Option<ArrayRef> {
    let seed = xxh3_64_with_seed(field.name().as_bytes(), 0);
    let random = |row: Offset| xxh3_64_with_seed(&row.to_le_bytes(), seed);
    let (low, high) = match how.kind {
        DatagenKind::Random { min, max } => (min, max),
        DatagenKind::Sequence { .. } => (None, None),
    };
    // A whole number between the bounds, or the sequence's.
    let whole = |least: i64, most: i64| {
        let low = low.map_or(least, |low| low as i64);
        let high = high.map_or(most, |high| high as i64);
        let span = (i128::from(high) - i128::from(low) + 1).max(1);
        let kind = how.kind;
        rows.clone().map(move |row| match kind {
            DatagenKind::Sequence { start, .. } => start + row,
            DatagenKind::Random { .. } => {
                (i128::from(low) + i128::from(random(row)).rem_euclid(span)) as i64
            }
        })
    };
    let fraction = || {
        let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
        let kind = how.kind;
        rows.clone().map(move |row| match kind {
            DatagenKind::Sequence { start, .. } => (start + row) as f64,
            DatagenKind::Random { .. } => {
                low + (random(row) >> 11) as f64 / (1_u64 << 53) as f64 * (high - low)
            }
        })
    };
    let text = |row: Offset| match how.kind {
        DatagenKind::Sequence { start, .. } => (start + row).to_string(),
        DatagenKind::Random { .. } => {
            let letter = |place: usize| {
                let word = xxh3_64_with_seed(&[place as u8, (place >> 8) as u8], random(row));
                DIGITS[(word & 15) as usize] as char
            };
            (0..how.length).map(letter).collect()
        }
    };
    let past = |row: Offset| now_us - (random(row) % (how.max_past_us + 1)) as i64;
    let days = i64::from(i32::MAX) / 4;
    let values: ArrayRef = match field.data_type() {
        DataType::Boolean => {
            Arc::new(rows.clone().map(|row| Some(random(row) & 1 == 1)).collect::<BooleanArray>())
        }
        DataType::Int8 => Arc::new(Int8Array::from_iter_values(
            whole(i64::from(i8::MIN), i64::from(i8::MAX)).map(|value| value as i8),
        )),
        DataType::Int16 => Arc::new(Int16Array::from_iter_values(
            whole(i64::from(i16::MIN), i64::from(i16::MAX)).map(|value| value as i16),
        )),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(
            whole(i64::from(i32::MIN), i64::from(i32::MAX)).map(|value| value as i32),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(whole(i64::MIN, i64::MAX))),
        DataType::Float32 => {
            Arc::new(Float32Array::from_iter_values(fraction().map(|value| value as f32)))
        }
        DataType::Float64 => Arc::new(Float64Array::from_iter_values(fraction())),
        DataType::Decimal128(precision, scale) => {
            let most = 10_i64.pow(u32::from(*precision).min(18)) - 1;
            let unit = 10_i128.pow(scale.unsigned_abs().into());
            let bounded = low.is_some() || matches!(how.kind, DatagenKind::Sequence { .. });
            let values =
                whole(-most, most).map(|value| i128::from(value) * if bounded { unit } else { 1 });
            let array = Decimal128Array::from_iter_values(values);
            Arc::new(array.with_precision_and_scale(*precision, *scale).ok()?)
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(rows.clone().map(text))),
        DataType::Date32 => {
            Arc::new(Date32Array::from_iter_values(whole(0, days).map(|day| day as i32)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let array = TimestampMicrosecondArray::from_iter_values(rows.clone().map(past));
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        _ => return None,
    };
    if how.null_rate <= 0.0 {
        return Some(values);
    }
    let is_null = |row: Offset| {
        let word = xxh3_64_with_seed(b"null", random(row));
        Some(((word >> 11) as f64 / (1_u64 << 53) as f64) < how.null_rate)
    };
    nullif(&values, &rows.map(is_null).collect::<BooleanArray>()).ok()
}
