//! `WATERMARK FOR time AS expression` in a logical plan.
//!
//! Guarantees: no filter moves below it, because every row of a table moves its watermark.
//! Left out: windows, which look at it.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// The name of the column that says how far a table is complete; no statement has it.
pub(super) const COLUMN: &str = "watermark of the row";

/// The rows of a table that has a watermark.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventTime {
    /// The table's columns, and last how far the table is complete by the row.
    pub(super) input: LogicalPlan,
    /// The table, whose watermark is one however often it is read.
    pub(super) table: String,
    /// The event-time column's place.
    pub(super) column: usize,
    /// The table's columns.
    schema: DFSchemaRef,
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
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventTime: {}", self.table)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.pop() {
            Some(input) => Self::new(input, &self.table, self.column),
            None => datafusion::common::internal_err!("an event time has one input"),
        }
    }
}

impl EventTime {
    fn new(input: LogicalPlan, table: &str, column: usize) -> Result<Self> {
        let columns = input.schema().fields().len() - 1;
        let fields = input.schema().iter().take(columns);
        let fields = fields.map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
        let schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        Ok(Self { input, table: table.to_string(), column, schema: Arc::new(schema) })
    }

    /// The table's columns.
    pub(super) fn columns(&self) -> &DFSchemaRef {
        &self.schema
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
pub(super) fn drop_unused(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut used = HashSet::new();
    note_used(&plan, false, &mut used);
    let changed = plan.transform_down_with_subqueries(|node| match of(&node) {
        Some(found) if !used.contains(&found.table) => {
            let columns = found.schema.columns().into_iter().map(Expr::Column);
            let input = found.input.clone();
            LogicalPlanBuilder::from(input).project(columns)?.build().map(Transformed::yes)
        }
        _ => Ok(Transformed::no(node)),
    });
    Ok(changed?.data)
}

fn note_used(plan: &LogicalPlan, below_window: bool, used: &mut HashSet<String>) {
    if let Some(found) = of(plan).filter(|_| below_window) {
        used.insert(found.table.clone());
    }
    let below_window = below_window || super::window::of(plan).is_some();
    plan.inputs().into_iter().for_each(|input| note_used(input, below_window, used));
}

/// A table's rows and its watermark, the last column of `input`, as a plan.
pub(super) fn plan(input: LogicalPlan, table: &str, column: usize) -> Result<LogicalPlan> {
    let node = Arc::new(EventTime::new(input, table, column)?);
    Ok(LogicalPlan::Extension(Extension { node }))
}
