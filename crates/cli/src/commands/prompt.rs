//! The SQL prompt: lines edited with history and completion until a statement ends.
//!
//! Guarantees: a statement is complete at a semicolon outside quotes and comments.
//! Left out: running it.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use std::path::PathBuf;

/// Words that complete besides names, in the order they are offered.
const KEYWORDS: [&str; 48] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "AS",
    "WITH",
    "UNION ALL",
    "DISTINCT",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "CAST",
    "INTERVAL",
    "DESC",
    "CREATE TABLE",
    "CREATE VIEW",
    "INSERT INTO",
    "DROP",
    "SHOW TABLES",
    "SHOW PIPELINES",
    "DESCRIBE",
    "EXPLAIN",
    "SET",
    "TOPIC",
    "UNNEST",
    "SUBSCRIBE",
    "ALTER PIPELINE",
];
/// Statements kept in the history file.
const HISTORY_MAX: usize = 10_000;

/// What completes and what tells whether a statement is whole.
pub(crate) struct SqlHelper {
    names: Vec<String>,
}

impl SqlHelper {
    pub(crate) fn new(mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        Self { names }
    }

    fn candidates(&self, word: &str) -> Vec<String> {
        let folded = word.to_lowercase();
        let fits = |text: &&str| text.to_lowercase().starts_with(&folded);
        let names = self.names.iter().map(String::as_str).filter(fits).map(str::to_string);
        // Keywords come in the case that the word was begun in.
        let lower = word.chars().next().is_some_and(char::is_lowercase);
        let keywords = KEYWORDS.into_iter().filter(fits).map(|keyword| match lower {
            true => keyword.to_lowercase(),
            false => keyword.to_string(),
        });
        names.chain(keywords).collect()
    }
}

impl Helper for SqlHelper {}
impl Highlighter for SqlHelper {}
impl Hinter for SqlHelper {
    type Hint = String;
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let is_part = |character: char| character.is_alphanumeric() || "_.".contains(character);
        let start = before
            .rfind(|character| !is_part(character))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        match start == position {
            true => Ok((position, Vec::new())),
            false => Ok((start, self.candidates(&before[start..]))),
        }
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(match is_whole(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

/// Whether the text is a command of the prompt, empty, or ends its statement.
pub(crate) fn is_whole(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.starts_with('\\') {
        return true;
    }
    let bytes = text.as_bytes();
    let (mut at, mut ended) = (0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest {
            [quote @ (b'\'' | b'"' | b'`'), ..] => match closing(&rest[1..], *quote) {
                Some(length) => length + 2,
                None => return false,
            },
            [b'-', b'-', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            _ => {
                if !rest[0].is_ascii_whitespace() {
                    ended = rest[0] == b';';
                }
                at += 1;
                continue;
            }
        };
        ended &= rest.starts_with(b"--");
        at += length;
    }
    ended
}

fn closing(bytes: &[u8], quote: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == quote)
}

/// An editor with the person's history.
///
/// # Errors
/// The terminal cannot be used.
pub(crate) fn editor(
    names: Vec<String>,
) -> rustyline::Result<(Editor<SqlHelper, FileHistory>, Option<PathBuf>)> {
    let config = Config::builder().max_history_size(HISTORY_MAX)?.auto_add_history(true).build();
    let history = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(SqlHelper::new(names)));
    let file = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".tradewind_history"));
    if let Some(file) = &file {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    Ok((editor, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_of_their_own() {
        for whole in ["SELECT 1;", "SELECT 1; ", "\\q", "", "SELECT ';';", "SELECT 1; -- done"] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in ["SELECT 1", "SELECT ';'", "SELECT ';", "SELECT 1 -- ;", "SELECT 1; SELECT"] {
            assert!(!is_whole(open), "{open}");
        }
    }

    #[test]
    fn names_and_keywords_complete() {
        let helper = SqlHelper::new(vec!["order_lines".into(), "orders".into()]);
        assert_eq!(helper.candidates("order"), ["order_lines", "orders", "order by"]);
        assert_eq!(helper.candidates("SEL"), ["SELECT"]);
    }
}
