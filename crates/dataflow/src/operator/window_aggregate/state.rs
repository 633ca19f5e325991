//! The state of windows as rows, out and in.
//!
//! First a row that says up to where all windows have been given, then those of the groups, each
//! with its slice or window. Slices that are done with are not named: what is given is dropped.

use super::slices::{self, Window};
use super::worker::WindowAggregateWorker;
use crate::state::{CALL, DELETED, Extra, Groups, column};
use crate::{DataflowError, Watermark};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, partition};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use std::sync::Arc;

const COMPLETE: &str = "_complete";
const START: &str = "_start";
const END: &str = "_end";
const DIRECT: &str = "_direct";

impl WindowAggregateWorker {
    pub(super) fn take(&mut self, all: bool) -> Result<Vec<RecordBatch>, DataflowError> {
        let mut batches = Vec::new();
        if all || !self.complete_is_saved {
            batches.push(complete(self.complete)?);
            self.complete_is_saved = true;
        }
        let mut kinds: Vec<(SchemaRef, Vec<RecordBatch>)> = Vec::new();
        let size = self.spec.size_us;
        let slices = self.slices.iter_mut().map(|(end, groups)| {
            (Window { end: *end, start: end.saturating_sub(size) }, false, groups)
        });
        let direct = self.direct.iter_mut().map(|(window, groups)| (*window, true, groups));
        for (window, is_direct, groups) in slices.chain(direct) {
            for batch in groups.take(all, &extra(window, is_direct))? {
                match kinds.iter_mut().find(|(schema, _)| *schema == batch.schema()) {
                    Some((_, batches)) => batches.push(batch),
                    None => kinds.push((batch.schema(), vec![batch])),
                }
            }
        }
        // Groups before their values.
        kinds.sort_by_key(|(schema, _)| schema.index_of(DELETED).is_err());
        for (schema, parts) in kinds {
            batches.push(concat_batches(&schema, &parts)?);
        }
        Ok(batches)
    }

    pub(super) fn put(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        if rows.column_by_name(COMPLETE).is_some() {
            let complete = column(rows, COMPLETE)?.as_primitive::<Int64Type>().value(0);
            self.put_complete(complete);
            return Ok(());
        }
        let (rows, hashes) = self.grouping.of_shards(rows, &self.shards)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut by = vec![column(&rows, END)?, column(&rows, START)?, column(&rows, DIRECT)?];
        // One batch may hold the values of several aggregates.
        by.extend(rows.column_by_name(DELETED).or(rows.column_by_name(CALL)));
        let by: Vec<ArrayRef> = by.into_iter().cloned().collect();
        let (ends, starts) = (by[0].as_primitive::<Int64Type>(), by[1].as_primitive::<Int64Type>());
        for range in partition(&by)?.ranges() {
            let window = Window { end: ends.value(range.start), start: starts.value(range.start) };
            let part = rows.slice(range.start, range.len());
            let new = || Groups::new(&self.grouping);
            let groups = match by[2].as_boolean().value(range.start) {
                true => self.direct.entry(window).or_insert_with(new),
                false => self.slices.entry(window.end).or_insert_with(new),
            };
            groups.restore(&part, &hashes[range])?;
        }
        Ok(())
    }

    /// See [`crate::operator::StateWorker::state_hashes`].
    pub(super) fn hashes_of(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        match rows.column_by_name(COMPLETE) {
            Some(_) => Ok(None),
            None => self.grouping.state_hashes(rows).map(Some),
        }
    }

    fn put_complete(&mut self, watermark: Watermark) {
        self.complete = self.complete.max(watermark);
        if let Some(end) = slices::last_complete(&self.spec, self.complete) {
            self.drop_slices(end);
            let spec = self.spec;
            self.direct.retain(|window, _| !spec.is_complete(window.end, watermark));
        }
    }
}

fn complete(watermark: Watermark) -> Result<RecordBatch, DataflowError> {
    let schema = Schema::new(vec![Field::new(COMPLETE, DataType::Int64, false)]);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![watermark]));
    Ok(RecordBatch::try_new(Arc::new(schema), vec![column])?)
}

fn extra(window: Window, is_direct: bool) -> Extra {
    let int = |name: &str, value: i64| -> (Field, ArrayRef) {
        let column = Int64Array::from(vec![value]);
        (Field::new(name, DataType::Int64, false), Arc::new(column))
    };
    let direct = Field::new(DIRECT, DataType::Boolean, false);
    let direct: (Field, ArrayRef) = (direct, Arc::new(BooleanArray::from(vec![is_direct])));
    vec![int(START, window.start), int(END, window.end), direct]
}
