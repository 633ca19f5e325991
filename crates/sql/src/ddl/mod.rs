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

use datafusion::sql::sqlparser::tokenizer::Tokenizer;

pub(crate) use create_table::create_table;
pub(crate) use cursor::{Cursor, byte_at, line_starts};
pub(crate) use renamed::renamed;

/// The type that a text of [`crate::type_name`]'s names; `None` where it is none.
pub fn parse_type(text: &str) -> Option<arrow_schema::DataType> {
    let mut tokens = Vec::new();
    let dialect = crate::Dialect::Flink;
    Tokenizer::new(dialect.grammar(), text).tokenize_with_location_into_buf(&mut tokens).ok()?;
    let lines = line_starts(text);
    let mut cursor = Cursor::new(text, &lines, dialect, crate::script::split_shifts(tokens));
    let (data_type, _) = data_type::data_type(&mut cursor).ok()?;
    cursor.at_end().then_some(data_type)
}
