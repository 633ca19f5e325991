//! The schema of text files from a sample: the start of several files, and of a large plain file
//! its middle and end too, since what is different often comes late.
//!
//! Guarantees: at most [`FILES_SAMPLED_MAX`] files are opened, and of each no more is read than the
//! bounds below say, however large it is.
//! Left out: certainty. A later row that does not fit is an error when it is read.

use super::infer::Shape;
use super::input::{Chunk, Input, Layout, ReadFault, Records};
use super::scan::{explain, layout_of, lines_schema};
use super::{Kind, csv, json};
use crate::error::AnalyzeError;
use arrow::datatypes::{Schema, SchemaRef};
use std::sync::Arc;

/// Files that are looked into, spread evenly over all that match.
const FILES_SAMPLED_MAX: usize = 16;
/// How much of a file's start is looked at.
const START_BYTES: u64 = 1 << 20;
/// How much is looked at in each of [`PARTS`] further places of a large plain file.
const PART_BYTES: u64 = 128 << 10;
/// How much of a CSV file's start is looked at. It cannot be entered in its middle (a quoted field
/// may hold line breaks), so there is more of it: a shop's year is looked at whole.
const CSV_BYTES: u64 = 64 << 20;
/// Further places in a large plain file, the last of them at its end.
const PARTS: u64 = 4;

/// The columns that `inputs`, at least one, have together.
pub(super) fn schema(kind: Kind, inputs: &[Arc<Input>]) -> Result<SchemaRef, AnalyzeError> {
    if kind == Kind::Lines {
        return Ok(lines_schema());
    }
    let mut shape = Shape::default();
    let step = inputs.len().div_ceil(FILES_SAMPLED_MAX);
    for input in inputs.iter().step_by(step) {
        let taken = match kind {
            Kind::Csv => take_csv(input, &mut shape),
            _ => take_json(input, &mut shape),
        };
        taken.map_err(|fault| explain(input, fault))?;
    }
    match shape.is_empty() {
        true => {
            Err(AnalyzeError::user(format!("{}: there are no columns", inputs[0].path.display())))
        }
        false => Ok(Arc::new(Schema::new(shape.columns()))),
    }
}

fn take_json(input: &Arc<Input>, shape: &mut Shape) -> Result<(), ReadFault> {
    let layout = layout_of(input)?;
    let whole = Chunk { input: Arc::clone(input), range: None };
    take_records(&mut Records::open(&whole, layout)?, START_BYTES, shape)?;
    if input.gzip || layout == Layout::Values || input.len < START_BYTES + PARTS * PART_BYTES {
        return Ok(());
    }
    for part in 1..=PARTS {
        let start = START_BYTES + (input.len - START_BYTES - PART_BYTES) / PARTS * part;
        let chunk = Chunk { input: Arc::clone(input), range: Some(start..input.len) };
        take_records(&mut Records::open(&chunk, layout)?, start + PART_BYTES, shape)?;
    }
    Ok(())
}

/// Looks at the records that start before `end`.
fn take_records(records: &mut Records, end: u64, shape: &mut Shape) -> Result<(), ReadFault> {
    while let Some((record, position)) = records.next()? {
        if position >= end {
            break;
        }
        if !record.trim_ascii().is_empty() {
            json::infer(record, shape).map_err(|reason| ReadFault::Content { position, reason })?;
        }
    }
    Ok(())
}

fn take_csv(input: &Input, shape: &mut Shape) -> Result<(), ReadFault> {
    let (form, names) = csv::Form::of(input)?;
    for name in &names {
        shape.field(name);
    }
    let mut rows = form.rows(input)?;
    while let Some(row) = rows.next()? {
        csv::infer(row, &names, shape)?;
        if row.position().is_some_and(|at| at.byte() >= CSV_BYTES) {
            break;
        }
    }
    Ok(())
}
