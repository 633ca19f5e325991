//! The rules a query may be rewritten by.
//!
//! Guarantees: each keeps every row's meaning, none folds a function of time, and none makes a
//! plan that depends on how many rows there are.
//! Left out: choosing between plans by cost: a stream's sizes are not known before it runs.

use super::grouping_sets;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerContext};
use std::sync::Arc;
use tradewind_sql::Dialect;
use tradewind_sql::typing::FlinkExpressions;

/// Gives the expressions of a query the types and the meaning they have in its dialect.
pub(super) fn analyze(
    plan: LogicalPlan,
    dialect: Dialect,
    options: &Arc<ConfigOptions>,
) -> Result<LogicalPlan> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = Vec::new();
    if dialect == Dialect::Flink {
        rules.push(Arc::new(FlinkExpressions));
    }
    rules.push(Arc::new(TypeCoercion::new()));
    rules.push(Arc::new(Constants));
    Analyzer::with_rules(rules).execute_and_check(plan, options, |_, _| {})
}

/// Makes constants of constants in another type: a function's type may depend on the value, as that
/// of `ROUND(price, 2)` does, and all types above on it.
#[derive(Debug)]
struct Constants;

impl AnalyzerRule for Constants {
    fn name(&self) -> &str {
        "constants"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let changed = plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let folded = expression.transform_up(|part| Ok(folded(part)))?;
                Ok(folded.update_data(|expression| name.restore(expression)))
            })?;
            // Types below may have changed even where nothing here has.
            changed.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(changed.data)
    }
}

fn folded(expression: Expr) -> Transformed<Expr> {
    let Expr::Cast(cast) = &expression else { return Transformed::no(expression) };
    let Expr::Literal(value, metadata) = &*cast.expr else { return Transformed::no(expression) };
    match value.cast_to(cast.field.data_type()) {
        Ok(value) => Transformed::yes(Expr::Literal(value, metadata.clone())),
        // It fails where it is computed.
        Err(_) => Transformed::no(expression),
    }
}

/// Rewrites a plan whose expressions have their types.
pub(super) fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    // What a target's columns take was put around the query after its own types were found.
    let plan = grouping_sets::expand(analyze(plan, Dialect::Postgres, options)?)?;
    let rules = Optimizer::with_rules(vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
    ]);
    let config = OptimizerContext::new_with_config_options(options.clone())
        .without_query_execution_start_time();
    rules.optimize(plan, &config, |_, _| {})
}
