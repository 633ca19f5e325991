//! The user's mistakes in a script: where, what, and what was probably meant.
//!
//! Guarantees: lines and columns count from 1, columns in characters, in the text as given.
//! Left out: the environment's failures, which are [`crate::CatalogueError`]'s.

use datafusion::sql::sqlparser::tokenizer::Location;
use std::fmt;

/// A place in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { line: location.line.max(1), column: location.column.max(1) }
    }
}

/// From the first character to just past the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// Just past the last one.
    pub end: Position,
}

/// A mistake in a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SqlError {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
}

impl SqlError {
    /// A mistake at a place, without advice.
    pub fn at(position: impl Into<Position>, message: impl Into<String>) -> Self {
        let Position { line, column } = position.into();
        Self { line, column, message: message.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with advice where there is any.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same at another place.
    #[must_use]
    pub(crate) fn place(mut self, position: Position) -> Self {
        (self.line, self.column) = (position.line, position.column);
        self
    }

    /// From a parser's text that ends in `at Line: 3, Column: 5`.
    pub(crate) fn from_parser(message: &str, fallback: Position) -> Self {
        let message =
            message.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1);
        let Some((text, place)) = message.rsplit_once(" at Line: ") else {
            return Self::at(fallback, lowercase_first(&message));
        };
        let mut numbers = place.split(", Column: ").map(str::trim).map(str::parse::<u64>);
        let (line, column) = match (numbers.next(), numbers.next()) {
            (Some(Ok(line)), Some(Ok(column))) if line > 0 => (line, column),
            _ => (fallback.line, fallback.column),
        };
        Self { line, column, message: lowercase_first(text), hint: None }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

fn lowercase_first(text: &str) -> String {
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let mut chars = text.chars();
    match chars.next() {
        // "SQL" and "JSON" keep their capitals.
        Some(first) if !chars.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}

/// `did you mean "gmv"?` where one of `candidates` is close enough to `word` to be meant.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let folded = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &candidate.to_lowercase()), candidate))
        .min()
        .filter(|(distance, _)| {
            // A name of one letter is not a misspelling of another.
            let letters = folded.chars().count();
            *distance <= 1 + letters / 4 && *distance < letters
        })
        .map(|(_, candidate)| format!("did you mean {candidate:?}?"))
}
