//! Rows as a table for a terminal: numbers to the right, nulls empty.

use super::{formatter, is_null};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

/// A cell is cut at this many characters: a table is to be looked at.
const CELL_CHARS_MAX: usize = 80;

/// The batches as lines, the header first. All rows are held to find the columns' widths.
///
/// # Errors
/// A value that cannot be written, such as an instant outside the calendar.
pub fn table(schema: &Schema, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| formatter(column));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells =
                columns.iter().zip(batch.columns()).map(|(formatter, column)| {
                    match is_null(column, row) {
                        true => Ok(String::new()),
                        false => super::json::plain(formatter, column, row),
                    }
                });
            rows.push(cells.collect::<Result<_, _>>()?);
        }
    }
    let right: Vec<bool> =
        schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
    Ok(text_table(names, rows, &right))
}

/// Texts as a table: `right` says which columns stand to the right.
pub fn text_table(names: Vec<String>, rows: Vec<Vec<String>>, right: &[bool]) -> String {
    let lines = std::iter::once(names).chain(rows);
    let cells: Vec<Vec<String>> =
        lines.map(|line| line.iter().map(|text| cell(text)).collect()).collect();
    let mut widths = vec![0; right.len()];
    widen(&mut widths, &cells);
    laid_out(&cells, &widths, right, true)
}

/// A table whose rows come bit by bit: a column is as wide as its widest cell so far.
#[derive(Debug)]
pub struct RunningTable {
    names: Vec<String>,
    right: Vec<bool>,
    widths: Vec<usize>,
    begun: bool,
}

impl RunningTable {
    /// Of columns, with which of them stand to the right.
    pub fn new(names: Vec<String>, right: Vec<bool>) -> Self {
        let widths = vec![0; names.len()];
        Self { names, right, widths, begun: false }
    }

    /// Further rows as lines, the header before the first.
    pub fn rows(&mut self, rows: Vec<Vec<String>>) -> String {
        let header = (!self.begun).then(|| self.names.clone());
        let with_header = header.is_some();
        self.begun = true;
        let cells: Vec<Vec<String>> = header
            .into_iter()
            .chain(rows)
            .map(|row| row.iter().map(|text| cell(text)).collect())
            .collect();
        widen(&mut self.widths, &cells);
        laid_out(&cells, &self.widths, &self.right, with_header)
    }
}

/// A value on one line.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL_CHARS_MAX + 1).collect();
    if shown.chars().count() > CELL_CHARS_MAX {
        shown = shown.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect();
    }
    shown.replace('\n', "\\n").replace('\r', "\\r").replace('\t', " ").replace('\u{1b}', "\\e")
}

fn widen(widths: &mut [usize], rows: &[Vec<String>]) {
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
}

/// Lines of cells, under the first of them a line where it is the header.
fn laid_out(rows: &[Vec<String>], widths: &[usize], right: &[bool], header: bool) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).zip(right).map(|((cell, width), right)| {
            let space = " ".repeat(width - cell.chars().count());
            if *right { format!(" {space}{cell} ") } else { format!(" {cell}{space} ") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("|").trim_end());
        text.push('\n');
        if index == 0 && header {
            let line = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>();
            text.push_str(&line.join("+"));
            text.push('\n');
        }
    }
    text
}
