//! Operators that DataFusion's planner refuses before any rule sees them.
//!
//! Guarantees: `interval * whole number`, either way around, is an interval.
//! Left out: all other operators, which [`super::FlinkExpressions`] gives their meaning.

use super::compare;
use super::decimal::Digits;
use arrow_schema::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, expr::ScalarFunction};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

/// Put it before DataFusion's own planners.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlinkOperators;

impl ExprPlanner for FlinkOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        let (left, right) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let is_interval = |one: &DataType| matches!(one, DataType::Interval(_));
        let arguments = if is_interval(&left) && Digits::of(&right).is_some() {
            vec![expr.left, expr.right]
        } else if is_interval(&right) && Digits::of(&left).is_some() {
            vec![expr.right, expr.left]
        } else {
            return Ok(PlannerResult::Original(expr));
        };
        let function = ScalarFunction::new_udf(Arc::new(compare::interval_times()), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(function)))
    }
}
