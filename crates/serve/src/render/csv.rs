//! Rows as CSV (RFC 4180): a null is an empty field, an empty text is `""`.

use super::{formatter, is_null, weight};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use tradewind_analyze::RowKind;

/// The header line.
pub fn csv_header(schema: &Schema) -> String {
    let names = schema.fields().iter().map(|field| quoted(field.name()));
    names.collect::<Vec<_>>().join(",") + "\n"
}

/// Appends a batch's rows, at most `rows_max` of them.
///
/// # Errors
/// A value that cannot be written, such as an instant outside the calendar.
pub fn csv_rows(batch: &RecordBatch, rows_max: usize, to: &mut String) -> Result<(), ArrowError> {
    let columns = batch.columns().iter().map(|column| formatter(column));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows().min(rows_max) {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            if is_null(batch.column(index), row) {
                continue;
            }
            to.push_str(&quoted(&super::json::plain(column, batch.column(index), row)?));
        }
        to.push('\n');
    }
    Ok(())
}

/// The header line of changes: what becomes of a row, how often it counts, and the resume token of
/// lines that are no rows, before the view's columns.
pub fn csv_changes_header(schema: &Schema) -> String {
    format!("_kind,_weight,_token,{}", csv_header(schema))
}

/// Appends changes, one a line.
///
/// # Errors
/// As [`csv_rows`].
pub fn csv_changes(
    batch: &RecordBatch,
    changes: &[(usize, RowKind)],
    to: &mut String,
) -> Result<(), ArrowError> {
    for (row, kind) in changes {
        to.push_str(&format!("{},{},,", kind.text(), weight(*kind)));
        csv_rows(&batch.slice(*row, 1), 1, to)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    match text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}
