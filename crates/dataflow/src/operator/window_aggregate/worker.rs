//! A worker's windows.
//!
//! Guarantees: each row is added once: to its slice where it is late for none of its windows, to
//! single windows where it is late for some, and to none where it is late for all.

use super::fire::Firing;
use super::slices::{SliceEnds, Window, complete_at, times};
use super::{WindowAggregate, Windows};
use crate::operator::{Keyed, StateWorker};
use crate::state::{Grouping, Groups};
use crate::{
    DataflowError, Hidden, Node, OperatorId, RowError, ShardRange, WATERMARK_NONE, Watermark,
    WindowSpec,
};
use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) struct WindowAggregateWorker {
    pub(super) grouping: Arc<Grouping>,
    pub(super) windows: Windows,
    pub(super) spec: WindowSpec,
    pub(super) shards: ShardRange,
    input: Hidden,
    pub(super) hidden: Hidden,
    pub(super) schema: SchemaRef,
    /// By the end of the slice on the wall clock.
    pub(super) slices: BTreeMap<i64, Groups>,
    /// What belongs to one window alone.
    pub(super) direct: BTreeMap<Window, Groups>,
    /// Up to where all windows have been given.
    pub(super) complete: Watermark,
    /// Whether the last state taken says so.
    pub(super) complete_is_saved: bool,
    pub(super) firing: Firing,
    /// Where rows came in this tick.
    touched: BTreeSet<Place>,
    late: Vec<RecordBatch>,
    errors: Vec<RowError>,
    id: OperatorId,
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Slice(i64),
    Direct(Window),
    Late,
    /// Nowhere, as nothing says when it was.
    Failed,
}

/// Rows by where they belong.
#[derive(Default)]
struct Sorted {
    by_place: HashMap<Place, usize>,
    rows: Vec<(Place, Vec<u32>)>,
    last: usize,
}

impl Sorted {
    #[inline]
    fn add(&mut self, place: Place, row: usize) {
        if self.rows.get(self.last).is_none_or(|(last, _)| *last != place) {
            self.last = *self.by_place.entry(place).or_insert_with(|| {
                self.rows.push((place, Vec::new()));
                self.rows.len() - 1
            });
        }
        self.rows[self.last].1.push(row as u32);
    }
}

impl WindowAggregateWorker {
    pub(crate) fn new(
        plan: &WindowAggregate,
        node: &Node,
        input: &Node,
        shards: ShardRange,
    ) -> Self {
        let spec = match plan.windows {
            Windows::Sliced { spec, .. } | Windows::Attached { spec, .. } => spec,
        };
        Self {
            grouping: Arc::new(Grouping::new(node, input, &plan.keys, &plan.calls)),
            windows: plan.windows.clone(),
            spec,
            shards,
            input: input.hidden,
            hidden: node.hidden,
            schema: node.schema.clone(),
            slices: BTreeMap::new(),
            direct: BTreeMap::new(),
            complete: WATERMARK_NONE,
            complete_is_saved: true,
            firing: Firing::default(),
            touched: BTreeSet::new(),
            late: Vec::new(),
            errors: Vec::new(),
            id: node.id.clone(),
        }
    }

    /// Whether a group without rows is nothing. A slice of hops is only part of a window's group:
    /// its rows may come to 0 because one of another part was taken back here.
    fn sweeps(&self) -> bool {
        let is_whole = match self.windows {
            Windows::Sliced { spec, .. } => spec.size_us == spec.slide_us,
            Windows::Attached { .. } => true,
        };
        self.input.weight && is_whole
    }

    /// Where each row of a batch belongs.
    fn sort(&self, batch: &RecordBatch) -> Result<Sorted, DataflowError> {
        let watermarks = self.input.watermarks(batch).map(|column| &column.values()[..]);
        let watermark =
            |row: usize| watermarks.map_or(self.complete, |all| all[row].max(self.complete));
        match self.windows {
            Windows::Sliced { time, .. } => self.by_time(&times(batch.column(time))?, watermark),
            Windows::Attached { start, end, .. } => {
                let (starts, ends) = (times(batch.column(start))?, times(batch.column(end))?);
                self.by_window(&starts, &ends, watermark)
            }
        }
    }

    fn by_time(
        &self,
        times: &Int64Array,
        watermark: impl Fn(usize) -> Watermark,
    ) -> Result<Sorted, DataflowError> {
        let mut sorted = Sorted::default();
        let mut slices = SliceEnds::new(self.spec);
        let mut due = Due::new(self.spec);
        for (row, time) in times.values().iter().enumerate() {
            if times.is_null(row) {
                sorted.add(Place::Failed, row);
                continue;
            }
            let slice = slices.of(*time);
            let (first, last) = due.of(slice);
            let watermark = watermark(row);
            if watermark < first {
                sorted.add(Place::Slice(slice), row);
            } else if watermark >= last {
                sorted.add(Place::Late, row);
            } else {
                self.add_direct(&mut sorted, row, slice, watermark);
            }
        }
        Ok(sorted)
    }

    /// Adds a row that is late for some of its windows to the others.
    fn add_direct(&self, sorted: &mut Sorted, row: usize, slice: i64, watermark: Watermark) {
        let (size, slide) = (self.spec.size_us, self.spec.slide_us);
        let ends = (0..size / slide).map(|window| slice.saturating_add(window * slide));
        for end in ends.filter(|end| !self.spec.is_complete(*end, watermark)) {
            sorted.add(Place::Direct(Window { end, start: end.saturating_sub(size) }), row);
        }
    }

    fn by_window(
        &self,
        starts: &Int64Array,
        ends: &Int64Array,
        watermark: impl Fn(usize) -> Watermark,
    ) -> Result<Sorted, DataflowError> {
        let mut sorted = Sorted::default();
        let mut due = Due::new(WindowSpec { size_us: self.spec.slide_us, ..self.spec });
        for row in 0..ends.len() {
            let end = ends.value(row);
            let place = if starts.is_null(row) || ends.is_null(row) {
                Place::Failed
            } else if watermark(row) < due.of(end).0 {
                Place::Direct(Window { end, start: starts.value(row) })
            } else {
                Place::Late
            };
            sorted.add(place, row);
        }
        Ok(sorted)
    }

    fn add(
        &mut self,
        place: Place,
        batch: RecordBatch,
        hashes: &[u64],
    ) -> Result<(), DataflowError> {
        let groups = match place {
            Place::Late => {
                self.late.push(batch);
                return Ok(());
            }
            Place::Failed => {
                self.fail(&batch);
                return Ok(());
            }
            Place::Slice(end) => self.slices.entry(end),
            Place::Direct(window) => {
                let groups = self.direct.entry(window);
                let groups = groups.or_insert_with(|| Groups::new(&self.grouping));
                return push(groups, self.input, &batch, hashes);
            }
        };
        push(groups.or_insert_with(|| Groups::new(&self.grouping)), self.input, &batch, hashes)
    }
}

impl WindowAggregateWorker {
    /// Hands rows without a time or a window back, each alone.
    fn fail(&mut self, batch: &RecordBatch) {
        let (column, reason) = match self.windows {
            Windows::Sliced { time, .. } => {
                (time, "its event time is NULL; filter such rows out before the window")
            }
            Windows::Attached { end, .. } => (end, "its window is NULL"),
        };
        let name = batch.schema_ref().field(column).name();
        let (expression, hidden) = (format!("window over {name:?}"), self.input);
        self.errors.extend((0..batch.num_rows()).map(|row| RowError {
            operator: self.id.clone(),
            expression: expression.clone(),
            reason: reason.to_string(),
            origin: hidden.origin_of(batch, row),
            row: batch.slice(row, 1),
            hidden,
        }));
    }
}

fn push(
    groups: &mut Groups,
    input: Hidden,
    batch: &RecordBatch,
    hashes: &[u64],
) -> Result<(), DataflowError> {
    let weights = input.weights(batch).map(|weights| &weights.values()[..]);
    groups.push(batch, hashes, weights, |_, _| Ok(()))
}

/// The watermarks at which the first and the last window of a slice are complete.
struct Due {
    spec: WindowSpec,
    last: Option<(i64, (Watermark, Watermark))>,
}

impl Due {
    fn new(spec: WindowSpec) -> Self {
        Self { spec, last: None }
    }

    #[inline]
    fn of(&mut self, slice: i64) -> (Watermark, Watermark) {
        match self.last {
            Some((known, due)) if known == slice => due,
            _ => {
                let last = slice.saturating_add(self.spec.size_us - self.spec.slide_us);
                let due = (complete_at(&self.spec, slice), complete_at(&self.spec, last));
                self.last = Some((slice, due));
                due
            }
        }
    }
}

impl StateWorker for WindowAggregateWorker {
    fn push(&mut self, _input: usize, keyed: Keyed) -> Result<(), DataflowError> {
        let Keyed { rows: batch, hashes } = keyed;
        let sorted = self.sort(&batch)?;
        for (place, rows) in sorted.rows {
            if !matches!(place, Place::Late | Place::Failed) {
                self.touched.insert(place);
            }
            // All rows, once each.
            if rows.len() == batch.num_rows() {
                self.add(place, batch.clone(), &hashes)?;
                continue;
            }
            let of_rows: Vec<u64> = rows.iter().map(|row| hashes[*row as usize]).collect();
            self.add(place, take_record_batch(&batch, &UInt32Array::from(rows))?, &of_rows)?;
        }
        Ok(())
    }

    fn end_tick(&mut self, watermark: Watermark) -> Result<(), DataflowError> {
        let sweeps = self.sweeps();
        for place in std::mem::take(&mut self.touched) {
            let groups = match place {
                Place::Slice(end) => self.slices.get_mut(&end),
                Place::Direct(window) => self.direct.get_mut(&window),
                Place::Late | Place::Failed => None,
            };
            groups.map_or(Ok(()), |groups| groups.untouch(sweeps))?;
        }
        self.fire(watermark);
        Ok(())
    }

    fn next_output(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, DataflowError> {
        self.next_rows(rows_max)
    }

    fn take_late(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.late)
    }

    fn take_errors(&mut self) -> Vec<RowError> {
        std::mem::take(&mut self.errors)
    }

    fn take_changes(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.take(false)
    }

    fn take_all(&mut self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.take(true)
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        self.put(rows)
    }

    fn state_hashes(&self, rows: &RecordBatch) -> Result<Option<Vec<u64>>, DataflowError> {
        self.hashes_of(rows)
    }

    fn advance(&mut self, watermark: Watermark) {
        if watermark > self.complete {
            self.complete = watermark;
            self.complete_is_saved = false;
        }
    }

    fn complete(&self) -> Watermark {
        self.complete
    }

    fn due(&self) -> Option<Watermark> {
        self.next_due()
    }

    fn waiting(&self) -> usize {
        self.firing.waiting()
    }

    fn keys(&self) -> usize {
        self.slices.values().chain(self.direct.values()).map(Groups::len).sum()
    }

    fn bytes(&self) -> usize {
        self.slices.values().chain(self.direct.values()).map(Groups::bytes).sum()
    }
}
