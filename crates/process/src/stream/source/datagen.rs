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
/// The last day that is made up, in days after 1970: in the year 2243.
const DAYS_MAX: i64 = 99_999;
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
    let maker = Maker { how, seed, now_us };
    let values = maker.values(field.data_type(), rows.clone())?;
    if how.null_rate <= 0.0 {
        return Some(values);
    }
    nullif(&values, &rows.map(|row| Some(maker.is_null(row))).collect::<BooleanArray>()).ok()
}

/// Makes the values of one column.
#[derive(Clone, Copy)]
struct Maker<'a> {
    how: &'a DatagenField,
    /// Of the column's name: columns differ from each other.
    seed: u64,
    now_us: i64,
}

impl Maker<'_> {
    fn random(self, row: Offset) -> u64 {
        xxh3_64_with_seed(&row.to_le_bytes(), self.seed)
    }

    /// From 0 to 1, without 1.
    fn share(word: u64) -> f64 {
        (word >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn is_null(self, row: Offset) -> bool {
        Self::share(xxh3_64_with_seed(b"null", self.random(row))) < self.how.null_rate
    }

    /// The bounds of a random value, or those of the type.
    fn bounds<T: Copy>(self, least: T, most: T, to: fn(f64) -> T) -> (T, T) {
        match self.how.kind {
            DatagenKind::Random { min, max } => (min.map_or(least, to), max.map_or(most, to)),
            DatagenKind::Sequence { .. } => (least, most),
        }
    }

    /// A whole number between the bounds, or the sequence's.
    fn whole(self, row: Offset, least: i64, most: i64) -> i64 {
        if let DatagenKind::Sequence { start, .. } = self.how.kind {
            return start + row;
        }
        let (low, high) = self.bounds(least, most, |bound| bound as i64);
        let span = (i128::from(high) - i128::from(low) + 1).max(1);
        (i128::from(low) + i128::from(self.random(row)).rem_euclid(span)) as i64
    }

    fn fraction(self, row: Offset) -> f64 {
        if let DatagenKind::Sequence { start, .. } = self.how.kind {
            return (start + row) as f64;
        }
        let (low, high) = self.bounds(0.0, 1.0, |bound| bound);
        low + Self::share(self.random(row)) * (high - low)
    }

    fn text(self, row: Offset) -> String {
        if let DatagenKind::Sequence { start, .. } = self.how.kind {
            return (start + row).to_string();
        }
        let letter = |place: usize| {
            let word = xxh3_64_with_seed(&[place as u8, (place >> 8) as u8], self.random(row));
            DIGITS[(word & 15) as usize] as char
        };
        (0..self.how.length).map(letter).collect()
    }

    fn past(self, row: Offset) -> i64 {
        self.now_us - (self.random(row) % (self.how.max_past_us + 1)) as i64
    }

    fn decimal(self, row: Offset, precision: u8, scale: i8) -> i128 {
        let most = 10_i64.pow(u32::from(precision).min(18)) - 1;
        let bounded = !matches!(self.how.kind, DatagenKind::Random { min: None, max: None });
        let unit = if bounded { 10_i128.pow(scale.unsigned_abs().into()) } else { 1 };
        i128::from(self.whole(row, -most, most)) * unit
    }

    fn values(self, data_type: &DataType, rows: std::ops::Range<Offset>) -> Option<ArrayRef> {
        let whole =
            |least: i64, most: i64| rows.clone().map(move |row| self.whole(row, least, most));
        Some(match data_type {
            DataType::Boolean => {
                Arc::new(rows.map(|row| Some(self.random(row) & 1 == 1)).collect::<BooleanArray>())
            }
            DataType::Int8 => Arc::new(Int8Array::from_iter_values(
                whole(i8::MIN.into(), i8::MAX.into()).map(|value| value as i8),
            )),
            DataType::Int16 => Arc::new(Int16Array::from_iter_values(
                whole(i16::MIN.into(), i16::MAX.into()).map(|value| value as i16),
            )),
            DataType::Int32 => Arc::new(Int32Array::from_iter_values(
                whole(i32::MIN.into(), i32::MAX.into()).map(|value| value as i32),
            )),
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(whole(i64::MIN, i64::MAX))),
            DataType::Float32 => {
                Arc::new(Float32Array::from_iter_values(rows.map(|row| self.fraction(row) as f32)))
            }
            DataType::Float64 => {
                Arc::new(Float64Array::from_iter_values(rows.map(|row| self.fraction(row))))
            }
            DataType::Decimal128(precision, scale) => {
                let values = rows.map(|row| self.decimal(row, *precision, *scale));
                let array = Decimal128Array::from_iter_values(values);
                Arc::new(array.with_precision_and_scale(*precision, *scale).ok()?)
            }
            DataType::Utf8 => {
                Arc::new(StringArray::from_iter_values(rows.map(|row| self.text(row))))
            }
            DataType::Date32 => {
                Arc::new(Date32Array::from_iter_values(whole(0, DAYS_MAX).map(|day| day as i32)))
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let times = rows.map(|row| self.past(row));
                let array = TimestampMicrosecondArray::from_iter_values(times);
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            _ => return None,
        })
    }
}
