//! What a statement can fail with: whose fault it is, what is wrong, and what to do about it.
//!
//! Guarantees: every message is one lowercase line that names the file, line, column, table or
//! setting at fault; the person's mistake, the environment and our bug are told apart.
//! Left out: HTTP status, which the serving edge derives from [`Fault`].

use crate::class::ErrorClass;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::logical_expr::sqlparser::parser::ParserError;
use std::fmt;
use tradewind_sql::Position;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The statement, or the data it names, is not what the person meant.
    User,
    /// A disk, a network or a limit of this machine.
    Environment,
    /// Tradewind's own.
    Bug,
}

/// Why a statement could not be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub struct AnalyzeError {
    /// Whose fault it is.
    pub fault: Fault,
    /// What is wrong, in one line.
    pub message: String,
    /// More about it, where there is more.
    pub detail: Option<String>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// What kind of mistake it is.
    pub class: ErrorClass,
    /// Where in the script it is, where that is known.
    pub place: Option<Position>,
}

impl fmt::Display for AnalyzeError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(to, ": {detail}")?;
        }
        match &self.hint {
            Some(hint) => write!(to, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl AnalyzeError {
    /// The person's mistake.
    pub fn user(message: impl Into<String>) -> Self {
        let message = message.into();
        let class = ErrorClass::of_message(&message);
        Self { fault: Fault::User, message, detail: None, hint: None, class, place: None }
    }

    /// Something around us that does not work.
    pub fn environment(message: impl Into<String>) -> Self {
        Self { fault: Fault::Environment, class: ErrorClass::System, ..Self::user(message) }
    }

    /// Our own mistake.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { fault: Fault::Bug, class: ErrorClass::Internal, ..Self::user(message) }
    }

    /// Of a certain kind.
    #[must_use]
    pub fn class(mut self, class: ErrorClass) -> Self {
        self.class = class;
        self
    }

    /// With its place in the script, unless it has one already.
    #[must_use]
    pub fn place(mut self, place: Option<Position>) -> Self {
        self.place = self.place.or(place);
        self
    }

    /// PostgreSQL's code for it.
    pub fn sqlstate(&self) -> &'static str {
        self.class.sqlstate()
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With `did you mean "x"?`, where one of `known` is close to `name`.
    #[must_use]
    pub fn did_you_mean<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(name, known) {
            Some(near) => self.hint(format!("did you mean \"{near}\"?")),
            None => self,
        }
    }
}

/// The known name that a typing mistake would turn into `name`: at most a third of its letters
/// away.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

impl From<AnalyzeError> for DataFusionError {
    fn from(error: AnalyzeError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for AnalyzeError {
    fn from(error: DataFusionError) -> Self {
        of_datafusion(&error)
    }
}

/// The cause under DataFusion's wrappers, in our words.
fn of_datafusion(error: &DataFusionError) -> AnalyzeError {
    match error {
        DataFusionError::Context(_, inner) => of_datafusion(inner),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let start = diagnostic.span.map(|span| span.start);
            let place = start.filter(|start| start.line > 0);
            of_datafusion(inner)
                .place(place.map(|start| Position { line: start.line, column: start.column }))
        }
        DataFusionError::Shared(inner) => of_datafusion(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => of_datafusion(first),
            None => AnalyzeError::bug("an empty collection of errors"),
        },
        DataFusionError::External(inner) => of_external(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => of_arrow(inner),
        DataFusionError::SchemaError(inner, _) => of_schema(inner),
        DataFusionError::SQL(inner, _) => AnalyzeError::user(match inner.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => one_line(text),
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".into(),
        })
        .class(ErrorClass::Syntax),
        DataFusionError::Plan(text) => of_plan(text),
        DataFusionError::NotImplemented(text) => {
            AnalyzeError::user(format!("not supported: {}", one_line(text)))
        }
        DataFusionError::Execution(text) | DataFusionError::Configuration(text) => {
            AnalyzeError::user(one_line(text))
        }
        DataFusionError::ResourcesExhausted(text) => {
            let mut error =
                AnalyzeError::environment("the query needs more memory than it may use")
                    .class(ErrorClass::OutOfMemory)
                    .hint("raise `sql.memory_bytes`, or let the query return or group by less");
            error.detail = Some(one_line(text));
            error
        }
        DataFusionError::IoError(inner) => AnalyzeError::environment(inner.to_string()),
        DataFusionError::Internal(text) => AnalyzeError::bug(one_line(text)),
        other => AnalyzeError::environment(one_line(&other.to_string())),
    }
}

fn of_external(inner: &(dyn std::error::Error + Send + Sync + 'static)) -> AnalyzeError {
    if let Some(own) = inner.downcast_ref::<AnalyzeError>() {
        return own.clone();
    }
    match inner.downcast_ref::<DataFusionError>() {
        Some(nested) => of_datafusion(nested),
        None => AnalyzeError::environment(one_line(&inner.to_string())),
    }
}

fn of_arrow(error: &arrow::error::ArrowError) -> AnalyzeError {
    use arrow::error::ArrowError as Arrow;
    match error {
        Arrow::ExternalError(inner) => of_external(inner.as_ref()),
        Arrow::DivideByZero => AnalyzeError::user("division by zero"),
        Arrow::ArithmeticOverflow(text) => {
            let text = text.strip_prefix("Overflow happened on:").unwrap_or(text);
            AnalyzeError::user(format!("number out of range: {}", one_line(text)))
                .class(ErrorClass::OutOfRange)
                .hint("cast to a wider type first: CAST(... AS DECIMAL(38, 0))")
        }
        Arrow::CastError(text) | Arrow::ComputeError(text) | Arrow::InvalidArgumentError(text) => {
            AnalyzeError::user(lower_first(&one_line(text)))
        }
        Arrow::IoError(text, _) => AnalyzeError::environment(one_line(text)),
        other => AnalyzeError::user(lower_first(&one_line(&other.to_string()))),
    }
}

fn of_schema(error: &SchemaError) -> AnalyzeError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<&str> = valid_fields.iter().map(|column| column.name()).collect();
            let message = match &field.relation {
                Some(table) => format!("column \"{table}.{}\" does not exist", field.name),
                None => format!("column \"{}\" does not exist", field.name),
            };
            let error = AnalyzeError::user(message).class(ErrorClass::UndefinedColumn);
            let error = error.did_you_mean(&field.name, known.iter().copied());
            match error.hint {
                Some(_) => error,
                None if known.is_empty() => error,
                None => error.hint(format!("there are: {}", listed(&known))),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            AnalyzeError::user(format!("column \"{}\" is ambiguous", field.name))
                .hint("name its table: table.column")
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => {
            AnalyzeError::user(format!("two columns are named \"{name}\""))
                .class(ErrorClass::DuplicateColumn)
                .hint("give one another name: ... AS name")
        }
    }
}

fn of_plan(text: &str) -> AnalyzeError {
    let line = one_line(text);
    let function = line.strip_prefix("Invalid function '").and_then(|rest| rest.split_once('\''));
    if let Some((name, rest)) = function {
        let error = AnalyzeError::user(format!("function {name}() does not exist"));
        return match rest.split_once("Did you mean '").and_then(|(_, near)| near.split_once('\'')) {
            Some((near, _)) => error.hint(format!("did you mean {near}()?")),
            None => error,
        };
    }
    AnalyzeError::user(lower_first(&line))
}

/// At most this many names in a hint: more would hide the message.
const NAMES_IN_HINT_MAX: usize = 20;

fn listed(names: &[&str]) -> String {
    let shown = &names[..names.len().min(NAMES_IN_HINT_MAX)];
    let more = if names.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The first line of a message of DataFusion's, without the notes it adds for its developers.
fn one_line(text: &str) -> String {
    let text = text.split("\n\nbacktrace").next().unwrap_or(text);
    let text = text.split("This issue was likely caused").next().unwrap_or(text);
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.trim_end_matches(['.', ' ']).to_string()
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        // A word in capitals (DISTINCT, UNION) stays as it is.
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_string(),
    }
}
