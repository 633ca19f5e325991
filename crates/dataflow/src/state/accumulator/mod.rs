//! What aggregates keep for each slot, in columns.
//!
//! Guarantees: a row at -1 undoes the same row at +1, in whatever order they come; what is saved
//! and loaded goes on as it would have.
//! Left out: which slots there are, which the caller sees to with [`Accumulator::grow`] and
//! [`Accumulator::clear`].

mod count;
mod distinct;
mod extreme;
mod multisets;
mod sum;
mod tally;
mod values;

use crate::DataflowError;
use crate::operator::{AggregateCall, AggregateFunction};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Field};
use std::any::Any;

/// One aggregate's values by slot.
pub(crate) trait Accumulator: Send {
    /// Slots up to this many exist from now on, empty where they are new.
    fn grow(&mut self, slots: usize);

    /// Adds rows' values to their slots.
    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError>;

    /// Adds what another of the same call has in slots `from` to the slots `into`.
    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError>;

    /// The results of slots, in the call's output type.
    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError>;

    /// Empties a slot.
    fn clear(&mut self, slot: u32);

    /// The columns of a slot's state, apart from its multiset.
    fn fields(&self) -> Vec<Field>;

    /// Those columns for slots.
    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError>;

    /// Sets slots from such columns.
    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError>;

    /// The multiset's values of slots with their counts: all, or those that have changed since the
    /// last call, then with a count of 0 where they are gone. `None` without a multiset.
    fn save_values(&mut self, _slots: &[u32], _all: bool) -> Result<Option<Values>, DataflowError> {
        Ok(None)
    }

    /// Sets the counts of values.
    fn load_values(&mut self, _values: &Values) -> Result<(), DataflowError> {
        Ok(())
    }

    /// Bytes in memory, about.
    fn bytes(&self) -> usize;

    /// For [`Accumulator::merge`].
    fn as_any(&self) -> &dyn Any;
}

/// Part of multisets: `counts[i]` times `values[i]` in `slots[i]`.
pub(crate) struct Values {
    pub(crate) slots: Vec<u32>,
    pub(crate) values: ArrayRef,
    pub(crate) counts: Vec<i64>,
}

/// Rows to be added, with their arguments for one call.
pub(crate) struct Rows<'a> {
    /// The slot of each row.
    pub(crate) slots: &'a [u32],
    /// The weight of each row; 1 without.
    pub(crate) weights: Option<&'a [i64]>,
    /// The call's argument; `None` for `COUNT(*)`.
    pub(crate) argument: Option<ArrayRef>,
    /// The rows that count; all without.
    pub(crate) counted: Option<BooleanBuffer>,
}

impl<'a> Rows<'a> {
    /// The rows of a batch as a call sees them: without those its filter leaves out and those
    /// whose argument is null.
    pub(crate) fn of(
        call: &AggregateCall,
        batch: &RecordBatch,
        slots: &'a [u32],
        weights: Option<&'a [i64]>,
    ) -> Self {
        let argument = call.argument.map(|column| batch.column(column).clone());
        let filter = call.filter.map(|column| {
            let filter = batch.column(column).as_boolean();
            match filter.null_count() {
                0 => filter.values().clone(),
                _ => prep_null_mask_filter(filter).values().clone(),
            }
        });
        let valid = argument.as_ref().and_then(|argument| argument.logical_nulls());
        let valid = valid.filter(|nulls| nulls.null_count() > 0).map(NullBuffer::into_inner);
        let counted = match (filter, valid) {
            (Some(filter), Some(valid)) => Some(&filter & &valid),
            (filter, valid) => filter.or(valid),
        };
        Self { slots, weights, argument, counted }
    }

    /// Calls back with row, slot and weight of each row that counts.
    #[inline(always)]
    pub(crate) fn each(&self, mut add: impl FnMut(usize, usize, i64)) {
        match (self.weights, &self.counted) {
            (None, None) => {
                self.slots.iter().enumerate().for_each(|(row, slot)| add(row, *slot as usize, 1));
            }
            (Some(weights), None) => {
                for (row, (slot, weight)) in self.slots.iter().zip(weights).enumerate() {
                    add(row, *slot as usize, *weight);
                }
            }
            (weights, Some(counted)) => counted.set_indices().for_each(|row| {
                add(row, self.slots[row] as usize, weights.map_or(1, |weights| weights[row]));
            }),
        }
    }
}

/// An accumulator for a call over an argument of a type. `weighted`: rows may be taken back.
pub(crate) fn build(
    call: &AggregateCall,
    argument: Option<&DataType>,
    weighted: bool,
    operator: &str,
) -> Box<dyn Accumulator> {
    let about = About {
        text: call.text.clone(),
        operator: operator.to_string(),
        output: call.output.clone(),
        average: call.function == AggregateFunction::Avg,
    };
    let argument = argument.cloned().unwrap_or(DataType::Null);
    let is_extreme = matches!(call.function, AggregateFunction::Min | AggregateFunction::Max);
    if call.distinct && !is_extreme && call.argument.is_some() {
        let inner = plain(call, &argument, about);
        return distinct::build(argument, inner);
    }
    if is_extreme {
        let max = call.function == AggregateFunction::Max;
        return extreme::build(argument, about, max, weighted);
    }
    plain(call, &argument, about)
}

fn plain(call: &AggregateCall, argument: &DataType, about: About) -> Box<dyn Accumulator> {
    match call.function {
        AggregateFunction::Count => Box::new(count::Count::new(about)),
        _ if argument.is_floating() => Box::new(sum::FloatSum::new(about)),
        _ => Box::new(sum::ExactSum::new(about, argument)),
    }
}

/// What an accumulator knows of its call.
#[derive(Debug, Clone)]
pub(crate) struct About {
    text: String,
    operator: String,
    output: DataType,
    average: bool,
}

impl About {
    fn overflow(&self, hint: &str) -> DataflowError {
        DataflowError::Overflow {
            operator: self.operator.clone(),
            reason: format!("{} does not fit {}{hint}", self.text, self.output),
        }
    }

    fn wrong(&self, found: &DataType) -> DataflowError {
        DataflowError::Internal(format!(
            "{}: {} cannot be computed for values of type {found}",
            self.operator, self.text
        ))
    }
}

/// The same accumulator of another set of slots.
fn same<T: Accumulator + 'static>(other: &dyn Accumulator) -> Result<&T, DataflowError> {
    let other = other.as_any().downcast_ref::<T>();
    other.ok_or_else(|| DataflowError::Internal("merged accumulators of different calls".into()))
}
