//! Rows as text: JSON, CSV, and a table for a terminal; and as Arrow.
//!
//! Guarantees: no value changes on its way: decimals, and integers beyond 2^53, are strings in
//! JSON; instants are ISO 8601; bytes are hexadecimal after `\x`, as in PostgreSQL.
//! Left out: limits, which are the caller's.

mod arrow;
mod csv;
mod json;
mod table;

pub use self::arrow::{ARROW_STREAM, ArrowStream, plain_rows, plain_schema};
pub use csv::{csv_changes, csv_changes_header, csv_header, csv_rows};
pub(crate) use json::json_value;
pub use json::{json_changes, json_columns, json_objects, json_rows};
pub use table::{RunningTable, table, text_table};

use ::arrow::array::Array;
use ::arrow::datatypes::DataType;
use ::arrow::error::ArrowError;
use ::arrow::util::display::{ArrayFormatter, FormatOptions};
use tradewind_analyze::RowKind;

/// How often a changed row counts.
fn weight(kind: RowKind) -> i8 {
    match kind {
        RowKind::Insert | RowKind::UpdateAfter => 1,
        RowKind::UpdateBefore | RowKind::Delete => -1,
    }
}

/// How values are written.
fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_null("").with_display_error(false)
}

/// Whether a value is null. Every value of a column of type Null is, which Arrow does not say.
fn is_null(column: &dyn Array, row: usize) -> bool {
    column.is_null(row) || *column.data_type() == DataType::Null
}

/// Writes a column's values as plain text.
fn formatter(column: &dyn Array) -> Result<ArrayFormatter<'_>, ArrowError> {
    ArrayFormatter::try_new(column, &OPTIONS)
}

static OPTIONS: std::sync::LazyLock<FormatOptions<'static>> = std::sync::LazyLock::new(options);
