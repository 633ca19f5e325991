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
    let cells = lines.map(|line| line.iter().map(|text| cell(text)).collect());
    laid_out(&cells.collect::<Vec<_>>(), right)
}

/// A value on one line.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL_CHARS_MAX + 1).collect();
    if shown.chars().count() > CELL_CHARS_MAX {
        shown = shown.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect();
    }
    shown.replace('\n', "\\n").replace('\r', "\\r").replace('\t', " ").replace('\u{1b}', "\\e")
}

fn laid_out(rows: &[Vec<String>], right: &[bool]) -> String {
    let mut widths = vec![0; right.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).zip(right).map(|((cell, width), right)| {
            let space = " ".repeat(width - cell.chars().count());
            if *right { format!(" {space}{cell} ") } else { format!(" {cell}{space} ") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("|").trim_end());
        text.push('\n');
        if index == 0 {
            let line = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>();
            text.push_str(&line.join("+"));
            text.push('\n');
        }
    }
    text
}
