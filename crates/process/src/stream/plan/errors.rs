//! DataFusion's planning errors as ours: a place, a reason, a hint.
//!
//! Guarantees: an unknown column or function is named with what was probably meant; our own
//! errors that came through the planner come out as they went in.
//! Left out: errors of rows.

use super::refusal;
use datafusion::common::{DataFusionError, SchemaError};
use tradewind_sql::{Position, SqlError, did_you_mean};

pub(super) fn from(error: &DataFusionError) -> SqlError {
    let root = root(error);
    if let DataFusionError::External(inner) = root
        && let Some(ours) = inner.downcast_ref::<SqlError>()
    {
        return ours.clone();
    }
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let mut refused = message(root);
    if let Some(span) = place.filter(|span| span.start.line > 0) {
        let position = Position { line: span.start.line, column: span.start.column };
        (refused.line, refused.column) = (position.line, position.column);
    }
    refused
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn message(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names = valid_fields.iter().map(|field| field.name());
                refusal(format!("column {:?} does not exist", field.flat_name().replace('"', "")))
                    .maybe_hint(did_you_mean(field.name(), names))
            }
            SchemaError::AmbiguousReference { field } => {
                refusal(format!("column {:?} is in more than one table", field.name()))
                    .hint("write the table's name before it")
            }
            other => refusal(other.to_string()),
        },
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => plan_text(text),
        DataFusionError::SQL(parser, _) => refusal(parser.to_string()),
        other => refusal(first_line(&other.to_string())),
    }
}

/// `Invalid function 'x'.\nDid you mean 'y'?` and other plain texts.
fn plan_text(text: &str) -> SqlError {
    let function = text.strip_prefix("Invalid function '").and_then(|rest| rest.split_once('\''));
    if let Some((name, rest)) = function {
        let meant = rest.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next());
        return refusal(format!("function {name:?} does not exist"))
            .maybe_hint(did_you_mean(name, meant));
    }
    refusal(first_line(text))
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut chars = line.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => line.to_string(),
    }
}
