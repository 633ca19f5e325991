//! Flink's data definition, on sqlparser's tokens.
//!
//! Guarantees: whatever is parsed here is kept; a clause we do not know is an error at its place,
//! never skipped.
//! Left out: queries and expressions, which sqlparser reads.

pub(crate) mod change;
mod create_table;
mod cursor;
mod data_type;
mod renamed;

pub(crate) use create_table::create_table;
pub(crate) use cursor::{Cursor, byte_at, line_starts};
pub(crate) use renamed::renamed;
