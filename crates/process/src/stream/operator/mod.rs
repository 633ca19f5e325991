//! What is done with rows between the source and the sink.
//!
//! Guarantees: an operator's id stays the same as long as its pipeline's plan does; the hidden
//! columns are the last of every batch and pass through unchanged; a row that fails is found and
//! handed back with the expression and the reason, and the rows beside it go on.
//! Left out: operators with state. They are further cases of [`OperatorKind`]; a change's weight
//! is a further hidden column.

mod bisect;
mod filter;
mod project;
mod unnest;

pub use bisect::RowError;
pub use filter::Filter;
pub use project::Project;
pub use unnest::Unnest;

use arrow::array::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use std::fmt;
use std::sync::Arc;

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Names it in messages, metrics and, one day, its state.
    pub id: OperatorId,
    /// What it does.
    pub kind: OperatorKind,
}

/// `filter-1`: what it is, and the how manieth from the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperatorId(Arc<str>);

/// Every kind of operator.
#[derive(Debug, Clone)]
pub enum OperatorKind {
    /// Keeps rows.
    Filter(Filter),
    /// Computes columns.
    Project(Project),
    /// Makes a row of each element of an array.
    Unnest(Unnest),
}

/// An expression and its text.
#[derive(Debug, Clone)]
pub struct Named {
    /// What is evaluated.
    pub expression: Arc<dyn PhysicalExpr>,
    /// As the statement has it, for messages.
    pub text: String,
}

/// A row or batch that an expression could not be evaluated for.
#[derive(Debug)]
pub(super) struct Failed {
    expression: String,
    reason: String,
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl OperatorKind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Filter(_) => "filter",
            Self::Project(_) => "project",
            Self::Unnest(_) => "unnest",
        }
    }
}

impl Operator {
    /// Gives operators their ids, in order from the source.
    pub(crate) fn number(kinds: Vec<OperatorKind>) -> Vec<Self> {
        let mut operators: Vec<Self> = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let same = operators.iter().filter(|before| before.kind.name() == kind.name());
            let id = OperatorId(format!("{}-{}", kind.name(), same.count() + 1).into());
            operators.push(Self { id, kind });
        }
        operators
    }

    /// Runs a batch through; rows that fail are added to `errors` and left out.
    pub fn run(&self, batch: &RecordBatch, errors: &mut Vec<RowError>) -> Vec<RecordBatch> {
        bisect::run(batch, &|batch| self.apply(batch), &self.id, errors)
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failed> {
        match &self.kind {
            OperatorKind::Filter(filter) => filter.apply(batch),
            OperatorKind::Project(project) => project.apply(batch),
            OperatorKind::Unnest(unnest) => unnest.apply(batch),
        }
    }
}

impl Named {
    fn evaluate(&self, batch: &RecordBatch) -> Result<arrow::array::ArrayRef, Failed> {
        let value = self.expression.evaluate(batch);
        value
            .and_then(|value| value.into_array(batch.num_rows()))
            .map_err(|error| Failed::new(&self.text, &error.to_string()))
    }
}

impl Failed {
    fn new(expression: &str, reason: &str) -> Self {
        let reason = reason.lines().next().unwrap_or_default();
        let reason =
            ["Arrow error: ", "Execution error: ", "Cast error: ", "Invalid argument error: "]
                .iter()
                .fold(reason, |reason, prefix| reason.strip_prefix(prefix).unwrap_or(reason));
        Self { expression: expression.to_string(), reason: reason.to_string() }
    }
}
