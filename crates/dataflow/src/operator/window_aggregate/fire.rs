//! Windows that are complete, given in the order of their ends.

use super::slices;
use super::slices::{Window, window_columns};
use super::worker::WindowAggregateWorker;
use crate::state::Groups;
use crate::{DataflowError, WATERMARK_NONE, Watermark};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What is still to be given in this tick.
#[derive(Default)]
pub(super) struct Firing {
    windows: VecDeque<Window>,
    current: Option<Current>,
}

/// A window that is being given.
struct Current {
    window: Window,
    groups: Groups,
    slots: Vec<u32>,
    given: usize,
}

impl Firing {
    /// Groups that are still to be given, and a window at least where there are more.
    pub(super) fn waiting(&self) -> usize {
        let current = self.current.as_ref();
        self.windows.len() + current.map_or(0, |current| current.slots.len() - current.given)
    }
}

impl WindowAggregateWorker {
    /// The least watermark at which a window is complete that is not now and has rows.
    pub(super) fn next_due(&self) -> Option<Watermark> {
        let given = slices::last_complete(&self.spec, self.complete);
        let sliced = self.slices.keys().next().map(|first| {
            let next = given.map_or(*first, |given| given.saturating_add(self.spec.slide_us));
            next.max(*first)
        });
        let direct = self.direct.keys().next().map(|window| window.end);
        let ends = sliced.into_iter().chain(direct);
        ends.map(|end| slices::complete_at(&self.spec, end)).min()
    }

    /// Notes which windows are complete now and were not.
    pub(super) fn fire(&mut self, watermark: Watermark) {
        if watermark <= self.complete {
            return;
        }
        let from = slices::last_complete(&self.spec, self.complete);
        self.complete = watermark;
        self.complete_is_saved = false;
        let mut windows = BTreeSet::new();
        if let Some(to) = slices::last_complete(&self.spec, watermark) {
            self.sliced_between(from, to, &mut windows);
        }
        let complete = |window: &&Window| self.spec.is_complete(window.end, watermark);
        windows.extend(self.direct.keys().take_while(complete));
        self.firing.windows.extend(windows);
    }

    /// The windows with slices whose ends are behind `from` and not behind `to`.
    fn sliced_between(&self, from: Option<i64>, to: i64, windows: &mut BTreeSet<Window>) {
        let (size, slide) = (self.spec.size_us, self.spec.slide_us);
        for slice in self.slices.range(..=to).map(|(end, _)| *end) {
            // Ends of windows are all slides apart, and so are `from` and the slice.
            let first = from.map_or(slice, |from| slice.max(from.saturating_add(slide)));
            let last = slice.saturating_add(size - slide).min(to);
            let mut next = Some(first);
            while let Some(end) = next.filter(|end| *end <= last) {
                windows.insert(Window { end, start: end.saturating_sub(size) });
                next = end.checked_add(slide);
            }
        }
    }

    /// The next rows, about `rows_max` of them.
    pub(super) fn next_rows(
        &mut self,
        rows_max: usize,
    ) -> Result<Option<RecordBatch>, DataflowError> {
        let (mut batches, mut rows) = (Vec::new(), 0);
        while rows < rows_max {
            if self.firing.current.is_none() && !self.next_window()? {
                break;
            }
            let Some(current) = &mut self.firing.current else { break };
            let end = current.slots.len().min(current.given + rows_max - rows);
            let range = current.given..end;
            current.given = end;
            if !range.is_empty() {
                rows += range.len();
                batches.push(self.window_rows(range)?);
            }
            let done = |current: &Current| current.given == current.slots.len();
            if self.firing.current.as_ref().is_some_and(done) {
                self.firing.current = None;
            }
        }
        match batches.len() {
            0 => Ok(None),
            1 => Ok(batches.pop()),
            _ => Ok(Some(concat_batches(&self.schema, &batches)?)),
        }
    }

    /// Makes the next window the one that is given.
    fn next_window(&mut self) -> Result<bool, DataflowError> {
        let Some(window) = self.firing.windows.pop_front() else { return Ok(false) };
        let direct = self.direct.remove(&window);
        let groups = match (self.slices_of(window)?, direct) {
            (Some(mut groups), Some(direct)) => {
                groups.merge(&direct)?;
                groups
            }
            (Some(groups), None) | (None, Some(groups)) => groups,
            (None, None) => return self.next_window(),
        };
        let slots = groups.there();
        self.firing.current = Some(Current { window, groups, slots, given: 0 });
        Ok(true)
    }

    /// The groups of a window's slices, without those slices that no later window needs.
    fn slices_of(&mut self, window: Window) -> Result<Option<Groups>, DataflowError> {
        let (size, slide) = (self.spec.size_us, self.spec.slide_us);
        if size == slide {
            return Ok(self.slices.remove(&window.end));
        }
        let mut merged: Option<Groups> = None;
        for (_, slice) in self.slices.range(window.start.saturating_add(1)..=window.end) {
            let merged = merged.get_or_insert_with(|| Groups::new(&self.grouping));
            merged.merge(slice)?;
        }
        self.drop_slices(window.end);
        Ok(merged)
    }

    /// Drops the slices that no window needs whose end is after `end`.
    pub(super) fn drop_slices(&mut self, end: i64) {
        let reach = self.spec.size_us - self.spec.slide_us;
        let needed = end.saturating_sub(reach).saturating_add(1);
        self.slices = self.slices.split_off(&needed);
    }

    /// Rows of the current window.
    fn window_rows(&self, range: std::ops::Range<usize>) -> Result<RecordBatch, DataflowError> {
        let Some(current) = &self.firing.current else {
            return Err(DataflowError::Internal("there is no window to give".into()));
        };
        let slots = &current.slots[range];
        let mut columns = current.groups.key_columns(slots)?;
        columns.extend(current.groups.results(slots)?);
        let (starts, ends) =
            (vec![current.window.start; slots.len()], vec![current.window.end; slots.len()]);
        let first = columns.len();
        columns.extend(window_columns(&self.spec, &starts, &ends, &self.schema, first)?);
        let all = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; slots.len()])) };
        if self.hidden.watermark {
            // Known to be in time: the rows behind it were.
            columns.push(all(WATERMARK_NONE));
        }
        if self.hidden.weight {
            columns.push(all(1));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
