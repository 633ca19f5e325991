//! The hidden columns at the end of an engine's batches.
//!
//! Guarantees: whichever of them a stream has, they stand last and in one order: `_partition`,
//! `_offset` (together: where a row comes from), `_watermark`, `_weight`.
//! Left out: who needs which; the planner decides for each operator.

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef};
use std::sync::Arc;
use tradewind_types::{OFFSET_COLUMN, Offset, PARTITION_COLUMN, PartitionId};

/// The running watermark of a row's own partition before that row; microseconds since 1970.
pub const WATERMARK_COLUMN: &str = "_watermark";
/// How often a row was added (positive) or taken back (negative).
pub const WEIGHT_COLUMN: &str = "_weight";

/// Which hidden columns the batches of a stream end with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hidden {
    /// `_partition` INT and `_offset` BIGINT: the record a row comes from.
    pub origin: bool,
    /// `_watermark` BIGINT.
    pub watermark: bool,
    /// `_weight` BIGINT, never 0. Without it every row counts once and is never taken back.
    pub weight: bool,
}

impl Hidden {
    /// Rows as a source hands them out.
    pub const ORIGIN: Self = Self { origin: true, watermark: false, weight: false };
    /// Rows that are only added and come from no one record.
    pub const NONE: Self = Self { origin: false, watermark: false, weight: false };
    /// Rows that are added and taken back.
    pub const CHANGES: Self = Self { origin: false, watermark: false, weight: true };

    /// How many columns they are.
    pub const fn count(self) -> usize {
        2 * self.origin as usize + self.watermark as usize + self.weight as usize
    }

    /// Their fields, in order.
    pub fn fields(self) -> Vec<Field> {
        let mut fields = Vec::with_capacity(self.count());
        if self.origin {
            fields.push(Field::new(PARTITION_COLUMN, DataType::Int32, false));
            fields.push(Field::new(OFFSET_COLUMN, DataType::Int64, false));
        }
        if self.watermark {
            fields.push(Field::new(WATERMARK_COLUMN, DataType::Int64, false));
        }
        if self.weight {
            fields.push(Field::new(WEIGHT_COLUMN, DataType::Int64, false));
        }
        fields
    }

    /// A schema of visible columns with these behind it.
    pub fn behind(self, visible: &Schema) -> SchemaRef {
        let hidden = self.fields().into_iter().map(Arc::new);
        Arc::new(Schema::new(visible.fields().iter().cloned().chain(hidden).collect::<Fields>()))
    }

    /// How many of a batch's columns are visible.
    pub fn visible(self, batch: &RecordBatch) -> usize {
        batch.num_columns() - self.count()
    }

    /// The weights, or `None` where every row counts once.
    pub fn weights(self, batch: &RecordBatch) -> Option<&Int64Array> {
        let last = batch.num_columns().checked_sub(1)?;
        self.weight.then(|| batch.column(last).as_primitive::<Int64Type>())
    }

    /// The running watermarks, or `None` where rows have none.
    pub fn watermarks(self, batch: &RecordBatch) -> Option<&Int64Array> {
        let index = batch.num_columns().checked_sub(1 + self.weight as usize)?;
        self.watermark.then(|| batch.column(index).as_primitive::<Int64Type>())
    }

    /// The record that row `row` comes from.
    pub fn origin_of(self, batch: &RecordBatch, row: usize) -> Option<(PartitionId, Offset)> {
        if !self.origin || row >= batch.num_rows() {
            return None;
        }
        let first = self.visible(batch);
        let partition = batch.column(first).as_primitive::<Int32Type>();
        let offset = batch.column(first + 1).as_primitive::<Int64Type>();
        debug_assert!(partition.null_count() + offset.null_count() == 0);
        Some((partition.value(row), offset.value(row)))
    }
}
