//! The analyzer rule: expressions as DataFusion's planner leaves them, rewritten to Flink's meaning.
//!
//! Guarantees: what is there already keeps its name, so columns above are still found.
//! Left out: aggregates and windows themselves; their arguments are rewritten.

use super::arithmetic::Arithmetic;
use super::cast::Conversion;
use super::common::{common_type, is_number, is_text};
use super::compare;
use crate::type_name;
use arrow_schema::{DataType, FieldRef};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, Like, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, cast,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// Gives expressions Flink's types and meaning. Put it before DataFusion's `TypeCoercion`.
///
/// The session's zone is `execution.time_zone` of the options, `UTC` where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlinkExpressions;

impl AnalyzerRule for FlinkExpressions {
    fn name(&self) -> &str {
        "flink_expressions"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = session_zone(config)?;
        Ok(plan.transform_up_with_subqueries(|plan| rewrite_plan(plan, zone, config))?.data)
    }
}

/// The zone that casts and calendar functions use.
///
/// # Errors
/// The name is none of the IANA database.
pub(crate) fn session_zone(config: &ConfigOptions) -> Result<Tz> {
    match config.execution.time_zone.as_deref() {
        None | Some("+00:00" | "Z") => Ok(Tz::UTC),
        Some(name) => match name.parse() {
            Ok(zone) => Ok(zone),
            Err(_) => plan_err!("there is no time zone {name:?}"),
        },
    }
}

fn rewrite_plan(
    plan: LogicalPlan,
    zone: Tz,
    config: &ConfigOptions,
) -> Result<Transformed<LogicalPlan>> {
    if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::Extension(_)) {
        return Ok(Transformed::no(plan));
    }
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &scan.source.schema(),
        )?);
    }
    let rewriter = Rewriter { schema: &schema, zone, config };
    if let LogicalPlan::Values(values) = plan {
        let rows = values.values.into_iter();
        let rows = rows.map(|row| row.into_iter().map(|expr| rewriter.all(expr)).collect());
        let rows = rows.collect::<Result<Vec<Vec<Expr>>>>()?;
        return Ok(Transformed::yes(LogicalPlanBuilder::values(rows)?.build()?));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(Transformed::yes(name.restore(rewriter.all(expr)?)))
    })?
    .map_data(|plan| plan.recompute_schema())
}

struct Rewriter<'a> {
    schema: &'a DFSchema,
    zone: Tz,
    config: &'a ConfigOptions,
}

impl Rewriter<'_> {
    fn all(&self, expr: Expr) -> Result<Expr> {
        Ok(expr.transform_up(|expr| self.one(expr).map(Transformed::yes))?.data)
    }

    fn one(&self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::Literal(value, metadata) => Ok(Expr::Literal(literal(value), metadata)),
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Cast(cast) => self.cast(*cast.expr, &cast.field, false),
            Expr::TryCast(cast) => self.cast(*cast.expr, &cast.field, true),
            Expr::Negative(inner) => self.negative(*inner),
            Expr::Case(case) => self.case(case),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::Like(like) => self.like(like),
            Expr::SimilarTo(like) => similar(like),
            Expr::ScalarFunction(function) => self.function(function),
            Expr::AggregateFunction(mut function) => {
                later_arguments(&mut function);
                Ok(Expr::AggregateFunction(function))
            }
            Expr::WindowFunction(mut function) => {
                window_arguments(&mut function);
                Ok(Expr::WindowFunction(function))
            }
            other => Ok(other),
        }
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.schema)
    }

    fn binary(&self, binary: BinaryExpr) -> Result<Expr> {
        let BinaryExpr { left, op, right } = binary;
        let (from_left, from_right) = (self.type_of(&left)?, self.type_of(&right)?);
        match op {
            Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo => self.arithmetic(*left, &from_left, op, *right, &from_right),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => self.comparison(*left, op, *right),
            Operator::StringConcat if !(is_text(&from_left) || from_left.is_null()) => {
                refuse_text("||", &from_left)
            }
            Operator::StringConcat if !(is_text(&from_right) || from_right.is_null()) => {
                refuse_text("||", &from_right)
            }
            _ => Ok(binary_expr(*left, op, *right)),
        }
    }

    fn arithmetic(
        &self,
        left: Expr,
        from_left: &DataType,
        op: Operator,
        right: Expr,
        from_right: &DataType,
    ) -> Result<Expr> {
        if let Some(function) = Arithmetic::of(op, from_left, from_right) {
            let [to_left, to_right] = function.operands(from_left, from_right);
            let arguments =
                vec![widen(left, from_left, to_left), widen(right, from_right, to_right)];
            return Ok(call(ScalarUDF::new_from_impl(function), arguments));
        }
        match (from_left, from_right) {
            (a, b) if is_number(a) && is_number(b) => {
                let Some(to) = float_type(a, b) else {
                    return plan_err!("{op} takes no {} and {}", type_name(a), type_name(b));
                };
                if op == Operator::Modulo {
                    return plan_err!("% takes exact numbers, not {}", type_name(&to));
                }
                let (a, b) = (widen(left, a, to.clone()), widen(right, b, to.clone()));
                Ok(binary_expr(a, op, b))
            }
            (DataType::Date32, DataType::Interval(_)) => {
                Ok(cast(binary_expr(left, op, right), DataType::Date32))
            }
            (a, b) if is_text(a) != is_text(b) && (is_number(a) || is_number(b)) => {
                plan_err!("{op} takes no {} and {}", type_name(a), type_name(b))
            }
            _ => Ok(binary_expr(left, op, right)),
        }
    }

    /// The smallest integer has no opposite: zero minus it says so.
    fn negative(&self, inner: Expr) -> Result<Expr> {
        let from = self.type_of(&inner)?;
        if !from.is_integer() {
            return Ok(Expr::Negative(Box::new(inner)));
        }
        let zero = Expr::Literal(ScalarValue::new_zero(&from)?, None);
        self.arithmetic(zero, &from, Operator::Minus, inner, &from)
    }

    fn comparison(&self, left: Expr, op: Operator, right: Expr) -> Result<Expr> {
        let [left, right] = self.comparable(vec![left, right])?.try_into().expect("two for two");
        Ok(binary_expr(left, op, right))
    }

    /// Casts what is compared to one type.
    fn comparable(&self, sides: Vec<Expr>) -> Result<Vec<Expr>> {
        let types = sides.iter().map(|side| self.type_of(side)).collect::<Result<Vec<_>>>()?;
        let Some(to) = compare::comparable_type(&types)? else { return Ok(sides) };
        let pairs = sides.into_iter().zip(types);
        pairs.map(|(side, from)| self.convert(side, &from, &to)).collect()
    }

    /// Casts by Flink's rules.
    fn convert(&self, expr: Expr, from: &DataType, to: &DataType) -> Result<Expr> {
        let field: FieldRef = Arc::new(arrow_schema::Field::new("", to.clone(), true));
        match from == to {
            true => Ok(expr),
            false => self.cast(expr, &field, false),
        }
    }

    fn cast(&self, expr: Expr, to: &FieldRef, fails_to_null: bool) -> Result<Expr> {
        let (_, from) = expr.to_field(self.schema)?;
        match Conversion::new(&from, to, fails_to_null, self.zone)? {
            Some(conversion) => Ok(call(ScalarUDF::new_from_impl(conversion), vec![expr])),
            // Nothing can be lost: Arrow's cast, which DataFusion's rules see through.
            None if from.data_type() == to.data_type() => Ok(expr),
            None => Ok(cast(expr, to.data_type().clone())),
        }
    }

    fn case(&self, mut case: Case) -> Result<Expr> {
        if let Some(subject) = case.expr.take() {
            let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref().clone());
            let mut sides = self.comparable(std::iter::once(*subject).chain(whens).collect())?;
            let rest = sides.split_off(1);
            case.expr = sides.pop().map(Box::new);
            for ((when, _), new) in case.when_then_expr.iter_mut().zip(rest) {
                **when = new;
            }
        }
        let mut results: Vec<&mut Box<Expr>> =
            case.when_then_expr.iter_mut().map(|(_, then)| then).collect();
        results.extend(case.else_expr.as_mut());
        let types =
            results.iter().map(|result| self.type_of(result)).collect::<Result<Vec<_>>>()?;
        let Some(to) = common_type(&types) else {
            let names: Vec<_> = types.iter().map(type_name).collect();
            return plan_err!("CASE mixes {}", names.join(" and "));
        };
        for (result, from) in results.into_iter().zip(types) {
            let taken = std::mem::take(result.as_mut());
            **result = self.convert(taken, &from, &to)?;
        }
        Ok(Expr::Case(case))
    }

    fn between(&self, between: Between) -> Result<Expr> {
        let Between { expr, negated, low, high } = between;
        let sides = self.comparable(vec![*expr, *low, *high])?;
        let [expr, low, high] = sides.try_into().expect("three for three");
        Ok(Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high))))
    }

    fn in_list(&self, list: InList) -> Result<Expr> {
        let InList { expr, list, negated } = list;
        let mut sides = self.comparable(std::iter::once(*expr).chain(list).collect())?;
        let list = sides.split_off(1);
        let expr = sides.pop().expect("one before the list");
        Ok(Expr::InList(InList::new(Box::new(expr), list, negated)))
    }

    /// Flink's pattern has no escape unless it names one; Arrow's always has the backslash.
    fn like(&self, like: Like) -> Result<Expr> {
        let Like { negated, expr, pattern, escape_char, case_insensitive } = like;
        let pattern = match *pattern {
            Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) => {
                let text = compare::arrow_pattern(&text, escape_char)?;
                Expr::Literal(ScalarValue::Utf8(Some(text)), metadata)
            }
            other => {
                let escape = escape_char.map(|escape| datafusion::prelude::lit(escape.to_string()));
                let arguments = std::iter::once(other).chain(escape).collect();
                call(compare::like_pattern(), arguments)
            }
        };
        Ok(Expr::Like(Like::new(negated, expr, Box::new(pattern), None, case_insensitive)))
    }

    fn function(&self, function: ScalarFunction) -> Result<Expr> {
        let ScalarFunction { func, args } = function;
        let branches = |args: Vec<Expr>| -> Result<Vec<Expr>> {
            let types = args.iter().map(|arg| self.type_of(arg)).collect::<Result<Vec<_>>>()?;
            let Some(to) = common_type(&types) else {
                let names: Vec<_> = types.iter().map(type_name).collect();
                return plan_err!("{} mixes {}", func.name(), names.join(" and "));
            };
            args.into_iter().zip(types).map(|(arg, from)| self.convert(arg, &from, &to)).collect()
        };
        match (func.name(), args.len()) {
            ("if", 3) => {
                let mut args = args.into_iter();
                let condition = args.next().expect("three arguments");
                let results = branches(args.collect())?;
                let [then, otherwise] = results.try_into().expect("two results");
                Ok(Expr::Case(Case::new(
                    None,
                    vec![(Box::new(condition), Box::new(then))],
                    Some(Box::new(otherwise)),
                )))
            }
            ("coalesce" | "ifnull" | "nvl", 1..) => {
                let coalesce = datafusion::functions::core::coalesce();
                Ok(call_shared(coalesce, branches(args)?))
            }
            ("nullif", 2) => {
                let [value, other] = args.try_into().expect("two arguments");
                let nothing = ScalarValue::try_from(&self.type_of(&value)?)?;
                let equal = self.comparison(value.clone(), Operator::Eq, other)?;
                Ok(Expr::Case(Case::new(
                    None,
                    vec![(Box::new(equal), Box::new(Expr::Literal(nothing, None)))],
                    Some(Box::new(value)),
                )))
            }
            ("mod", 2) => {
                let [value, divisor] = args.try_into().expect("two arguments");
                let (from, by) = (self.type_of(&value)?, self.type_of(&divisor)?);
                self.arithmetic(value, &from, Operator::Modulo, divisor, &by)
            }
            ("greatest" | "least", 1..) => {
                let args = branches(args)?;
                null_where_any_is(args, |args| call_shared(func.clone(), args), self.schema)
            }
            _ => {
                // Functions of ours that look at the session's zone take it in here.
                let func = func.inner().with_updated_config(self.config).map_or(func, Arc::new);
                Ok(call_shared(func, args))
            }
        }
    }
}

/// `SIMILAR TO` is of the whole text, with `%` and `_` as in `LIKE` in a regular expression.
fn similar(like: Like) -> Result<Expr> {
    let Like { negated, expr, pattern, escape_char, case_insensitive } = like;
    let Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) = *pattern else {
        return plan_err!("the pattern of SIMILAR TO must be a constant");
    };
    let text = ScalarValue::Utf8(Some(compare::similar_pattern(&text)));
    let pattern = Box::new(Expr::Literal(text, metadata));
    Ok(Expr::SimilarTo(Like::new(negated, expr, pattern, escape_char, case_insensitive)))
}

/// `CASE WHEN a IS NULL OR … THEN NULL ELSE f(a, …) END`.
fn null_where_any_is(
    args: Vec<Expr>,
    function: impl Fn(Vec<Expr>) -> Expr,
    schema: &DFSchema,
) -> Result<Expr> {
    let nothing = ScalarValue::try_from(&args[0].get_type(schema)?)?;
    let missing = args
        .iter()
        .map(|arg| arg.clone().is_null())
        .reduce(Expr::or)
        .expect("called with one argument at least");
    Ok(Expr::Case(Case::new(
        None,
        vec![(Box::new(missing), Box::new(Expr::Literal(nothing, None)))],
        Some(Box::new(function(args))),
    )))
}

fn binary_expr(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn call(function: ScalarUDF, arguments: Vec<Expr>) -> Expr {
    call_shared(Arc::new(function), arguments)
}

fn call_shared(function: Arc<ScalarUDF>, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

fn widen(expr: Expr, from: &DataType, to: DataType) -> Expr {
    if *from == to { expr } else { cast(expr, to) }
}

/// What two numbers, one of them a float, are computed in.
fn float_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Float32, Float64};
    match (a, b) {
        (Float32, Decimal128(..)) | (Decimal128(..), Float32) => Some(Float64),
        // As in Flink the left of two floating types wins.
        (Float32 | Float64, Float32 | Float64) => Some(a.clone()),
        (Float64, other) | (other, Float64) if is_number(other) => Some(Float64),
        (Float32, other) | (other, Float32) if is_number(other) => Some(Float32),
        _ => None,
    }
}

/// A whole number is an `INT` where it fits; `0.5` is a `DECIMAL(2, 1)`.
fn literal(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Int64(Some(number)) => match i32::try_from(number) {
            Ok(number) => ScalarValue::Int32(Some(number)),
            Err(_) => ScalarValue::Int64(Some(number)),
        },
        ScalarValue::UInt64(Some(number)) => {
            ScalarValue::Decimal128(Some(i128::from(number)), 20, 0)
        }
        ScalarValue::Decimal128(value, precision, scale) if precision <= scale.unsigned_abs() => {
            ScalarValue::Decimal128(value, (scale.unsigned_abs() + 1).max(precision), scale)
        }
        other => other,
    }
}

/// Gives arguments that DataFusion takes as constants their type back.
fn as_long(expr: &mut Expr) {
    if let Expr::Literal(value, _) = expr
        && let ScalarValue::Int32(Some(number)) = *value
    {
        *value = ScalarValue::Int64(Some(i64::from(number)));
    }
}

fn later_arguments(function: &mut AggregateFunction) {
    function.params.args.iter_mut().skip(1).for_each(as_long);
}

fn window_arguments(function: &mut WindowFunction) {
    use datafusion::logical_expr::WindowFunctionDefinition::WindowUDF;
    let is_offset = matches!(function.fun, WindowUDF(_));
    let constant = match function.params.args.len() {
        // NTILE(4)
        1 if is_offset => 0,
        _ => 1,
    };
    function.params.args.iter_mut().skip(constant).take(1).for_each(as_long);
}

fn refuse_text<T>(operator: &str, given: &DataType) -> Result<T> {
    plan_err!("{operator} takes STRING, not {}: CAST(… AS STRING)", type_name(given))
}
