//! Expressions as the engine sees them: a batch in, a column out.
//!
//! Left out: how they are made and computed, which is the planner's.

use crate::{Hidden, OperatorId};
use arrow::array::{ArrayRef, RecordBatch};
use std::fmt;
use std::sync::Arc;
use tradewind_types::{Offset, PartitionId};

/// Something that can be computed for every row of a batch.
pub trait Expression: fmt::Debug + Send + Sync {
    /// One value for each row.
    ///
    /// # Errors
    /// Why it cannot be computed for at least one of the rows, in one line.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String>;
}

/// An expression and its text.
#[derive(Debug, Clone)]
pub struct Named {
    /// What is evaluated.
    pub expression: Arc<dyn Expression>,
    /// As the statement has it, for messages.
    pub text: String,
}

/// A row or batch that an expression could not be evaluated for.
#[derive(Debug)]
pub struct Failed {
    /// The expression's text.
    pub expression: String,
    /// Why, in one line.
    pub reason: String,
}

/// A row that could not be computed.
#[derive(Debug, Clone)]
pub struct RowError {
    /// Which operator failed.
    pub operator: OperatorId,
    /// On which expression.
    pub expression: String,
    /// Why.
    pub reason: String,
    /// The record it comes from, where it comes from one.
    pub origin: Option<(PartitionId, Offset)>,
    /// The row as the operator met it, its hidden columns last.
    pub row: RecordBatch,
    /// Which hidden columns those are.
    pub hidden: Hidden,
}

impl Named {
    /// One value for each row.
    ///
    /// # Errors
    /// Which expression failed, and why.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, Failed> {
        self.expression.evaluate(batch).map_err(|reason| Failed::new(&self.text, &reason))
    }
}

impl Failed {
    pub(crate) fn new(expression: &str, reason: &str) -> Self {
        let reason = reason.lines().next().unwrap_or_default();
        Self { expression: expression.to_string(), reason: reason.to_string() }
    }
}
