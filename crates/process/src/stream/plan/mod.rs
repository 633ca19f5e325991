//! From an `INSERT INTO … SELECT` to operators.
//!
//! Guarantees: what comes out has the target's columns in the target's types, then the two hidden
//! columns; what cannot run row by row is refused with the reason; only rules named in
//! [`optimize`] rewrite the query, none of which looks at a clock.
//! Left out: running.

mod context;
mod errors;
mod explain;
mod insert;
mod lower;
mod needs;
mod refuse;
mod stream_plan;
mod unnest;

pub use explain::explain;
pub use stream_plan::{Read, SinkPlan, SourcePlan, StreamPlan, Target};

use crate::ProcessError;
use crate::stream::operator::Operator;
use crate::stream::source::TopicRead;
use arrow::datatypes::{Fields, Schema, SchemaRef};
use context::PlanContext;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion::sql::sqlparser::ast::Spanned;
use std::sync::Arc;
use tradewind_sql::{
    Catalogue, Dialect, Insert, SqlError, StartupMode, TableDefinition, type_name,
};

/// Plans an insert.
///
/// # Errors
/// [`ProcessError::Plan`] with the place, the reason and what to do instead.
pub fn plan_insert(
    insert: &Insert,
    dialect: Dialect,
    catalogue: &Catalogue,
) -> Result<StreamPlan, ProcessError> {
    plan(insert, dialect, catalogue).map_err(|mut error| {
        if error.line == 0 {
            let start = insert.query.span().start;
            (error.line, error.column) = (start.line.max(1), start.column.max(1));
        }
        error.into()
    })
}

fn plan(insert: &Insert, dialect: Dialect, catalogue: &Catalogue) -> Result<StreamPlan, SqlError> {
    let target = insert::target(insert, catalogue)?;
    let context = PlanContext::new(catalogue, dialect);
    let query = context.plan_query(&insert.query)?;
    refuse::check(&query)?;
    let columns = query.schema().fields().iter();
    let columns =
        columns.map(|field| (field.name().clone(), type_name(field.data_type()))).collect();
    let plan = insert::fit(query, insert, &target)?;
    let plan = optimize(plan, context.options()).map_err(|error| errors::from(&error))?;
    let lowered = lower::lower(&plan)?;
    let startup = lowered.startup;
    let (read, operators) = lowered.finish(&target.schema())?;
    Ok(StreamPlan { read, startup, operators, target, columns })
}

/// The rules a stream may be rewritten by: each keeps every row's meaning, and none folds a
/// function of time.
fn optimize(
    plan: LogicalPlan,
    options: &Arc<ConfigOptions>,
) -> datafusion::common::Result<LogicalPlan> {
    let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
    let plan = analyzer.execute_and_check(plan, options, |_, _| {})?;
    let rules = Optimizer::with_rules(vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(PushDownFilter::new()),
    ]);
    let config = OptimizerContext::new_with_config_options(options.clone())
        .without_query_execution_start_time();
    rules.optimize(plan, &config, |_, _| {})
}

impl StreamPlan {
    /// The schema of what reaches the sink, the two hidden columns last.
    pub fn sink_schema(&self) -> SchemaRef {
        with_hidden(&self.target.schema())
    }
}

/// A schema with the two hidden columns behind it.
pub(crate) fn with_hidden(schema: &Schema) -> SchemaRef {
    let hidden = crate::stream::source::hidden_fields().into_iter().map(Arc::new);
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(hidden).collect::<Fields>()))
}

/// A refusal without a place of its own: [`plan_insert`] puts it where the query begins.
fn refusal(message: impl Into<String>) -> SqlError {
    SqlError::at(tradewind_sql::Position { line: 0, column: 0 }, message)
}
