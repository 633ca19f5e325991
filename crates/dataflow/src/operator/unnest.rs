//! Makes a row of each element of an array.
//!
//! Guarantees: rows of one input row stand together, in the array's order, and share its hidden
//! columns. Without `outer` an empty or null array gives no row; with it one row of nulls.

use crate::{Failed, Hidden, Named};
use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt32Array, UInt32Builder,
};
use arrow::compute::{is_null, nullif, take};
use arrow::datatypes::SchemaRef;

/// `CROSS JOIN UNNEST(…)`.
#[derive(Debug, Clone)]
pub struct Unnest {
    /// The array.
    pub array: Named,
    /// Keep a row whose array is empty or null.
    pub outer: bool,
    /// The input's columns that go on, by place.
    pub kept: Vec<usize>,
    /// The element's columns: a field of a row, or `None` for the element itself.
    pub elements: Vec<Option<String>>,
    /// The columns kept, the element's columns, the input's hidden ones.
    pub schema: SchemaRef,
}

impl Unnest {
    pub(crate) fn apply(&self, batch: &RecordBatch, input: Hidden) -> Result<RecordBatch, Failed> {
        let array = self.array.evaluate(batch)?;
        let lists = array.as_list_opt::<i32>();
        let lists = lists.ok_or_else(|| Failed::new(&self.array.text, "it is no ARRAY"))?;
        let (rows, places) = self.indices(lists);
        let failed =
            |error: arrow::error::ArrowError| Failed::new(&self.array.text, &error.to_string());
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for kept in &self.kept {
            columns.push(take(batch.column(*kept), &rows, None).map_err(failed)?);
        }
        for element in &self.elements {
            let values = match element {
                Some(field) => field_of(lists.values().as_struct(), field).map_err(failed)?,
                None => lists.values().clone(),
            };
            columns.push(take(&values, &places, None).map_err(failed)?);
        }
        for hidden in &batch.columns()[input.visible(batch)..] {
            columns.push(take(hidden, &rows, None).map_err(failed)?);
        }
        RecordBatch::try_new(self.schema.clone(), columns).map_err(failed)
    }

    /// For each output row its input row and its element.
    fn indices(&self, lists: &ListArray) -> (UInt32Array, UInt32Array) {
        let mut rows = UInt32Builder::with_capacity(lists.values().len());
        let mut places = UInt32Builder::with_capacity(lists.values().len());
        let offsets = lists.value_offsets();
        for row in 0..lists.len() {
            let range = if lists.is_null(row) { 0..0 } else { offsets[row]..offsets[row + 1] };
            if range.is_empty() && self.outer {
                rows.append_value(row as u32);
                places.append_null();
            }
            for place in range {
                rows.append_value(row as u32);
                places.append_value(place as u32);
            }
        }
        (rows.finish(), places.finish())
    }
}

/// A field of rows that may be null themselves.
fn field_of(rows: &StructArray, name: &str) -> Result<ArrayRef, arrow::error::ArrowError> {
    let missing = || arrow::error::ArrowError::SchemaError(format!("an element has no {name:?}"));
    let values = rows.column_by_name(name).ok_or_else(missing)?;
    match rows.null_count() {
        0 => Ok(values.clone()),
        _ => nullif(values, &is_null(rows)?),
    }
}
