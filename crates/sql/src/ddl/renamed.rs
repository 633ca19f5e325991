//! A `CREATE` statement's text under another name.
//!
//! Guarantees: the name alone changes; the rest is as it was written.
//! Left out: names of it elsewhere, as in the queries of views.

use super::{Cursor, line_starts};
use crate::{Dialect, Position, Span, SqlError, split_key};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

/// `CREATE … old …` as `CREATE … new …`, `new` being a relation's key.
pub(crate) fn renamed(sql: &str, dialect: Dialect, new: &str) -> Result<String, SqlError> {
    let first = Position { line: 1, column: 1 };
    let tokens = Tokenizer::new(dialect.grammar(), sql)
        .tokenize_with_location()
        .map_err(|error| SqlError::at(first, error.to_string()))?;
    let lines = line_starts(sql);
    let mut cursor = Cursor::new(sql, &lines, dialect, tokens);
    cursor.expect(&["CREATE"])?;
    cursor.eat(&["OR", "REPLACE"]);
    cursor.eat(&["MATERIALIZED"]);
    if !cursor.eat(&["TABLE"]) {
        cursor.expect(&["VIEW"])?;
    }
    cursor.eat(&["IF", "NOT", "EXISTS"]);
    let start = cursor.position();
    cursor.relation("a name")?;
    let old = cursor.since(start);
    let before = cursor.slice(Span { start: first, end: start }).len();
    let from = sql[before..].find(old).map_or(before, |blanks| before + blanks);
    let (schema, name) = split_key(new);
    let quote = |part: &str| match dialect {
        Dialect::Flink => format!("`{}`", part.replace('`', "``")),
        Dialect::Postgres => format!("\"{}\"", part.replace('"', "\"\"")),
    };
    let name = match new.contains('.') {
        true => format!("{}.{}", quote(schema), quote(name)),
        false => quote(name),
    };
    Ok(format!("{}{name}{}", &sql[..from], &sql[from + old.len()..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_name_alone_changes() {
        let cases = [
            ("CREATE VIEW a AS SELECT a FROM a", "b", "CREATE VIEW \"b\" AS SELECT a FROM a"),
            (
                "CREATE OR REPLACE\n  TABLE IF NOT EXISTS public . \"T\"(t INT)",
                "s.t",
                "CREATE OR REPLACE\n  TABLE IF NOT EXISTS \"s\".\"t\"(t INT)",
            ),
        ];
        for (sql, new, expected) in cases {
            assert_eq!(renamed(sql, Dialect::Postgres, new).unwrap(), expected);
        }
        let flink = renamed("CREATE TABLE `a b` (a INT)", Dialect::Flink, "c").unwrap();
        assert_eq!(flink, "CREATE TABLE `c` (a INT)");
    }
}
