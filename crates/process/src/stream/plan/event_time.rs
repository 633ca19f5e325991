//! `WATERMARK FOR time AS expression` in a logical plan.
//!
//! Guarantees: no filter moves below it, because every row of a table moves its watermark.
//! Left out: windows, which look at it.

use super::refusal;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use tradewind_sql::SqlError;

/// The rows of a table that has a watermark.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventTime {
    pub(super) input: LogicalPlan,
    /// The table, whose watermark is one however often it is read.
    pub(super) table: String,
    /// The event-time column's place.
    pub(super) column: usize,
    /// How far the table is complete, by one row.
    pub(super) watermark: Expr,
}

// DataFusion asks for an order of plans; there is none that means anything.
impl PartialOrd for EventTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for EventTime {
    fn name(&self) -> &str {
        "EventTime"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.watermark.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventTime: {}", self.watermark)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs, inputs);
        match (exprs.pop(), inputs.pop()) {
            (Some(watermark), Some(input)) => Ok(Self { input, watermark, ..self.clone() }),
            _ => datafusion::common::internal_err!("an event time has one expression and input"),
        }
    }
}

/// The node as one of our own, if it is one.
pub(super) fn of(plan: &LogicalPlan) -> Option<&EventTime> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// Takes out the watermarks of the tables that no window stands on.
pub(super) fn drop_unused(plan: LogicalPlan) -> std::result::Result<LogicalPlan, SqlError> {
    let mut used = HashSet::new();
    note_used(&plan, false, &mut used);
    let changed = plan.transform_down(|node| {
        Ok(match of(&node) {
            Some(found) if !used.contains(&found.table) => Transformed::yes(found.input.clone()),
            _ => Transformed::no(node),
        })
    });
    changed
        .map(|changed| changed.data)
        .map_err(|error| refusal(format!("the watermarks of the plan: {error}")))
}

fn note_used(plan: &LogicalPlan, below_window: bool, used: &mut HashSet<String>) {
    if let Some(found) = of(plan).filter(|_| below_window) {
        used.insert(found.table.clone());
    }
    let below_window = below_window || super::window::of(plan).is_some();
    plan.inputs().into_iter().for_each(|input| note_used(input, below_window, used));
}

/// An extension node as a plan.
pub(super) fn plan(node: EventTime) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: std::sync::Arc::new(node) })
}
