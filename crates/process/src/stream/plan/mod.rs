//! From SQL to the engine's operators.
//!
//! Guarantees: what comes out gives the query's answer over what has come in so far, in the
//! target's columns and types; what cannot be kept up to date is refused with the place, the
//! reason and what to do instead; the same statement gives the same operators.
//! Left out: running.

mod aggregate_types;
mod context;
mod errors;
mod event_time;
mod explain;
mod grouping_sets;
mod insert;
mod lower;
mod needs;
mod optimize;
mod prefilter;
pub mod reference;
mod refuse;
mod stream_plan;
mod syntax;
mod times;
mod unnest;
mod window;

pub use explain::{describe, explain};
pub use stream_plan::{Read, SinkPlan, SourcePlan, StreamPlan, Target};

use crate::ProcessError;
use arrow::datatypes::{Schema, SchemaRef};
use chrono_tz::Tz;
use context::PlanContext;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;
use lower::Goal;
use std::sync::Arc;
use tradewind_sql::{
    Catalogue, Connector, CreateView, Dialect, Insert, PipelineStatement, Position, SqlError,
    type_name,
};

/// What a statement is planned under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// How the text is meant.
    pub dialect: Dialect,
    /// `table.local-time-zone`: the zone whose wall clock windows of instants lie on.
    pub time_zone: Tz,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { dialect: Dialect::default(), time_zone: Tz::UTC }
    }
}

impl From<Dialect> for PlanOptions {
    fn from(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }
}

/// Plans a pipeline.
///
/// # Errors
/// [`ProcessError::Plan`] with the place, the reason and what to do instead.
pub fn plan_statement(
    statement: &PipelineStatement,
    options: impl Into<PlanOptions>,
    catalogue: &Catalogue,
) -> Result<StreamPlan, ProcessError> {
    match statement {
        PipelineStatement::Insert(insert) => plan_insert(insert, options, catalogue),
        PipelineStatement::View(view) => plan_view(view, options, catalogue),
    }
}

/// Plans an `INSERT INTO`.
///
/// # Errors
/// [`ProcessError::Plan`] with the place, the reason and what to do instead.
pub fn plan_insert(
    insert: &Insert,
    options: impl Into<PlanOptions>,
    catalogue: &Catalogue,
) -> Result<StreamPlan, ProcessError> {
    let plan = |context: &PlanContext<'_>| {
        let target = insert::target(insert, catalogue)?;
        let query = logical(&insert.query, context)?;
        let columns = columns_of(&query);
        let plan = insert::fit(query, insert, &target)?;
        let schema = target.written_schema();
        let grows = only_grows(&target.connector);
        let name = target.name.clone();
        let goal = Goal { target: Target::Table(Box::new(target)), schema, columns };
        let plan = lower(plan, context, goal)?;
        match grows.filter(|_| plan.sinks.iter().any(|sink| sink.hidden.weight)) {
            Some(hint) => {
                let message = format!("rows of this query change, and {name:?} only grows");
                Err(refusal(message).hint(hint))
            }
            None => Ok(plan),
        }
    };
    placed(plan(&PlanContext::new(catalogue, options.into())), &insert.query)
}

/// What to use in place of a table whose rows are never taken back; `None` for others.
fn only_grows(connector: &Connector) -> Option<&'static str> {
    match connector {
        Connector::Lake | Connector::File(_) => {
            Some("use a MATERIALIZED VIEW, or GROUP BY windows of event time")
        }
        Connector::Topic(topic) if !topic.upserts => Some(
            "use 'connector' = 'upsert-kafka' with a PRIMARY KEY, or GROUP BY windows of event time",
        ),
        _ => None,
    }
}

/// Plans a `CREATE MATERIALIZED VIEW`.
///
/// # Errors
/// [`ProcessError::Plan`] with the place, the reason and what to do instead.
pub fn plan_view(
    view: &CreateView,
    options: impl Into<PlanOptions>,
    catalogue: &Catalogue,
) -> Result<StreamPlan, ProcessError> {
    let plan = |context: &PlanContext<'_>| {
        let query = logical(&view.query, context)?;
        let query = context::rename(query, &view.columns).map_err(|error| errors::from(&error))?;
        if let Some(name) = insert::twice(query.schema()) {
            return Err(refusal(format!("the view has two columns {name:?}"))
                .hint("give one of them another name: AS …"));
        }
        let goal = Goal::of(&query, Target::View(view.name.clone()));
        lower(query, context, goal)
    };
    placed(plan(&PlanContext::new(catalogue, options.into())), &view.query)
}

/// Plans a query whose rows go to whoever asks.
///
/// # Errors
/// [`ProcessError::Plan`] with the place, the reason and what to do instead.
pub fn plan_query(
    query: &ast::Query,
    options: impl Into<PlanOptions>,
    catalogue: &Catalogue,
) -> Result<StreamPlan, ProcessError> {
    let plan = |context: &PlanContext<'_>| {
        let planned = logical(query, context)?;
        let goal = Goal::of(&planned, Target::Query);
        lower(planned, context, goal)
    };
    placed(plan(&PlanContext::new(catalogue, options.into())), query)
}

/// A query as a plan that can be kept up to date.
fn logical(query: &ast::Query, context: &PlanContext<'_>) -> Result<LogicalPlan, SqlError> {
    let plan = context.plan_query(query)?;
    refuse::check(&plan)?;
    event_time::drop_unused(plan)
        .and_then(|plan| optimize::analyze(plan, context.dialect(), context.options()))
        .map_err(|error| errors::from(&error))
}

fn lower(plan: LogicalPlan, context: &PlanContext<'_>, goal: Goal) -> Result<StreamPlan, SqlError> {
    let plan = optimize::optimize(plan, context.options()).map_err(|error| errors::from(&error))?;
    lower::lower(&plan, goal)
}

/// An error without a place of its own stands where the query begins.
fn placed<T>(planned: Result<T, SqlError>, query: &ast::Query) -> Result<T, ProcessError> {
    planned.map_err(|mut error| {
        if error.line == 0 {
            let start = query.span().start;
            (error.line, error.column) = (start.line.max(1), start.column.max(1));
        }
        error.into()
    })
}

fn columns_of(plan: &LogicalPlan) -> Vec<(String, String)> {
    let fields = plan.schema().fields().iter();
    fields.map(|field| (field.name().clone(), type_name(field.data_type()))).collect()
}

impl Goal {
    /// The columns of a query as they are.
    fn of(query: &LogicalPlan, target: Target) -> Self {
        let schema: SchemaRef = Arc::new(Schema::new(query.schema().fields().clone()));
        Self { target, schema, columns: columns_of(query) }
    }
}

/// A refusal without a place of its own: it is put where the query begins.
fn refusal(message: impl Into<String>) -> SqlError {
    SqlError::at(Position { line: 0, column: 0 }, message)
}

/// A refusal of something in the text.
fn refusal_at(span: Span, message: impl Into<String>) -> SqlError {
    let Span { start, .. } = span;
    SqlError::at(Position { line: start.line, column: start.column }, message)
}

/// Carries one of our errors through DataFusion's planner.
fn refuse<T>(error: SqlError) -> datafusion::common::Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}
