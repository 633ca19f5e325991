//! Notes beside each row how far its own partition's event time had come before it.
//!
//! Guarantees: a partition's watermark never goes back; what is noted depends on the order of
//! records in the partition alone, not on ticks; a null gives none and moves none.
//! Left out: lateness, which the windows decide by what is noted here.

use crate::{DataflowError, Hidden, WATERMARK_END, WATERMARK_NONE, Watermark};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::PartitionId;

/// `WATERMARK FOR time AS expression`.
#[derive(Debug, Clone)]
pub struct AssignWatermark {
    /// The input's visible column that holds the expression's value: a timestamp. It is not
    /// handed on: the planner puts it last of the visible columns.
    pub column: usize,
}

/// How far the partitions of one source have come, for a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkState {
    /// Microseconds since 1970; [`WATERMARK_NONE`] where nothing has come.
    pub partitions: BTreeMap<PartitionId, Watermark>,
    /// The least of those waited for, which never goes back.
    pub combined: Option<Watermark>,
}

/// How far the partitions of one source have come.
#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    partitions: BTreeMap<PartitionId, Watermark>,
    /// Partitions that are not waited for.
    idle: Vec<PartitionId>,
    ended: bool,
    /// The minimum so far, which never goes back.
    combined: Option<Watermark>,
}

impl AssignWatermark {
    /// The batch with `_watermark` in place of the expression's column.
    pub(crate) fn apply(
        &self,
        batch: &RecordBatch,
        input: Hidden,
        schema: &SchemaRef,
        watermarks: &mut Watermarks,
    ) -> Result<RecordBatch, DataflowError> {
        let times = microseconds(batch.column(self.column))?;
        let visible = input.visible(batch);
        let partitions = batch.column(visible).as_primitive::<Int32Type>();
        let mut noted = Vec::with_capacity(batch.num_rows());
        let mut row = 0;
        while row < batch.num_rows() {
            // Rows mostly come in long runs of one partition.
            let partition = partitions.value(row);
            let mut running = watermarks.before(partition);
            while row < batch.num_rows() && partitions.value(row) == partition {
                noted.push(running);
                if times.is_valid(row) {
                    running = running.max(times.value(row));
                }
                row += 1;
            }
            watermarks.partitions.insert(partition, running);
        }
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns.remove(self.column);
        // Behind `_partition` and `_offset`, which have moved up by one.
        columns.insert(visible - 1 + 2, Arc::new(Int64Array::from(noted)));
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

fn microseconds(times: &ArrayRef) -> Result<Int64Array, DataflowError> {
    let micros = match times.data_type() {
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => times.clone(),
        _ => cast(times, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?,
    };
    Ok(micros.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
}

impl Watermarks {
    /// What is noted beside the next row of a partition. One that comes back from being idle goes
    /// on from where the others are: their windows have fired.
    fn before(&mut self, partition: PartitionId) -> Watermark {
        let own = self.partitions.get(&partition).copied().unwrap_or(WATERMARK_NONE);
        match self.idle.iter().position(|idle| *idle == partition) {
            None => own,
            Some(place) => {
                self.idle.swap_remove(place);
                own.max(self.combined.unwrap_or(WATERMARK_NONE))
            }
        }
    }

    /// Says which partitions there are, which of them nothing has come from for long, and whether
    /// nothing will come any more.
    pub(crate) fn set(&mut self, partitions: &[PartitionId], idle: &[PartitionId], ended: bool) {
        for partition in partitions {
            self.partitions.entry(*partition).or_insert(WATERMARK_NONE);
        }
        self.idle = idle.to_vec();
        self.ended = ended;
    }

    /// Up to where all partitions have come that are waited for.
    pub(crate) fn combined(&mut self) -> Watermark {
        if self.ended {
            return WATERMARK_END;
        }
        let waited = self.partitions.iter().filter(|(partition, _)| !self.idle.contains(partition));
        let least = waited.map(|(_, watermark)| *watermark).min();
        let before = self.combined.unwrap_or(WATERMARK_NONE);
        let now = least.map_or(before, |least| least.max(before));
        self.combined = Some(now);
        now
    }

    /// For a checkpoint.
    pub(crate) fn state(&self) -> WatermarkState {
        WatermarkState { partitions: self.partitions.clone(), combined: self.combined }
    }

    /// From a checkpoint.
    pub(crate) fn restore(&mut self, state: &WatermarkState) {
        self.partitions.clone_from(&state.partitions);
        self.combined = state.combined;
    }
}
