//! Expressions: DataFusion's, as the engine evaluates them.
//!
//! Guarantees: arithmetic fails where it would wrap; the reason of a failure is one line without
//! the names of the layers it came through.
//! Left out: what may stand in an expression, which is checked before.

use super::super::errors;
use super::super::needs::FieldPath;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, IntervalMonthDayNano, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{self as logical, Expr};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr, expressions};
use datafusion::sql::unparser::{Unparser, dialect::CustomDialectBuilder};
use std::sync::Arc;
use tradewind_dataflow::{Expression, Named};
use tradewind_sql::SqlError;

/// The layers an error of DataFusion's names before it says what is wrong.
const LAYERS: [&str; 4] =
    ["Arrow error: ", "Execution error: ", "Cast error: ", "Invalid argument error: "];

/// An expression over a batch's columns, by place.
#[derive(Debug)]
struct Evaluated(Arc<dyn PhysicalExpr>);

impl Expression for Evaluated {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let value = self.0.evaluate(batch);
        value.and_then(|value| value.into_array(batch.num_rows())).map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().next().unwrap_or_default();
            let reason =
                LAYERS.iter().fold(reason, |rest, layer| rest.strip_prefix(layer).unwrap_or(rest));
            reason.to_string()
        })
    }
}

/// An expression, made and named.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) physical: Arc<dyn PhysicalExpr>,
    pub(super) text: String,
}

impl Made {
    /// An expression over the columns of `schema`.
    pub(super) fn new(expression: &Expr, schema: &DFSchema) -> Result<Self, SqlError> {
        let physical = create_physical_expr(
            expression,
            schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        );
        let physical = physical
            .and_then(|made| checked(made, schema.as_arrow()))
            .map_err(|error| errors::from(&error))?;
        Ok(Self { physical, text: text(expression) })
    }

    /// A column by its place.
    pub(super) fn column(name: &str, place: usize) -> Self {
        let physical = Arc::new(expressions::Column::new(name, place));
        Self { physical, text: name.to_string() }
    }

    /// Something that is the same for every row.
    pub(super) fn constant(value: bool) -> Self {
        let physical = expressions::lit(ScalarValue::Boolean(Some(value)));
        Self { physical, text: value.to_string().to_uppercase() }
    }

    /// The column it is, if it is nothing else.
    pub(super) fn as_column(&self) -> Option<usize> {
        self.physical.downcast_ref::<expressions::Column>().map(expressions::Column::index)
    }

    /// The same over other columns: column `i` is now `columns[i]`.
    pub(super) fn over(&self, columns: &[(String, usize)]) -> Result<Self, SqlError> {
        let moved = self.physical.clone().transform_up(|part| {
            let Some(column) = part.downcast_ref::<expressions::Column>() else {
                return Ok(Transformed::no(part));
            };
            let (name, place) = &columns[column.index()];
            let column = expressions::Column::new(name, *place);
            Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
        });
        let physical = moved.map_err(|error| errors::from(&error))?.data;
        Ok(Self { physical, text: self.text.clone() })
    }

    /// As an operator has it.
    pub(super) fn named(&self) -> Named {
        let expression = Arc::new(Evaluated(self.physical.clone()));
        Named { expression, text: self.text.clone() }
    }
}

/// Arithmetic that fails where it would wrap.
fn checked(
    expression: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> datafusion::common::Result<Arc<dyn PhysicalExpr>> {
    let changed = expression.transform_up(|part| {
        if let Some(binary) = part.downcast_ref::<expressions::BinaryExpr>() {
            let strict = binary.clone().with_fail_on_overflow(true);
            return Ok(Transformed::yes(Arc::new(strict) as Arc<dyn PhysicalExpr>));
        }
        let Some(negative) = part.downcast_ref::<expressions::NegativeExpr>() else {
            return Ok(Transformed::no(part));
        };
        let data_type = negative.arg().data_type(schema)?;
        if !data_type.is_signed_integer() {
            return Ok(Transformed::no(part));
        }
        // The smallest integer has no negative: zero minus it says so.
        let zero = expressions::lit(ScalarValue::new_zero(&data_type)?);
        let minus = logical::Operator::Minus;
        let binary = expressions::BinaryExpr::new(zero, minus, negative.arg().clone());
        Ok(Transformed::yes(Arc::new(binary.with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(changed.data)
}

/// An expression as a person would write it, with `props.total` for a field, without its alias.
pub(in super::super) fn text(expression: &Expr) -> String {
    let readable = expression.clone().unalias().transform_down(|part| {
        let readable = match &part {
            Expr::ScalarFunction(_) => FieldPath::of(&part).map(|FieldPath { column, path }| {
                Column::new(column.relation, format!("{}.{}", column.name, path.join(".")))
            }),
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
                interval_text(interval).map(Column::new_unqualified)
            }
            _ => None,
        };
        Ok(match readable {
            Some(column) => Transformed::yes(Expr::Column(column)),
            None => operators(part),
        })
    });
    let readable = readable.map_or_else(|_| expression.clone(), |changed| changed.data);
    // Without quotes, and without parentheses that change nothing: it is read, never run.
    let dialect = CustomDialectBuilder::new().build();
    let sql = Unparser::new(&dialect).with_pretty(true).expr_to_sql(&readable);
    sql.map_or_else(|_| readable.to_string(), |sql| sql.to_string())
}

/// Arithmetic and casts of the `flink` dialect are calls; they are shown as they are written.
fn operators(part: Expr) -> Transformed<Expr> {
    let Expr::ScalarFunction(call) = &part else { return Transformed::no(part) };
    let operator = match call.func.name() {
        "plus" => logical::Operator::Plus,
        "minus" => logical::Operator::Minus,
        "multiply" => logical::Operator::Multiply,
        "divide" => logical::Operator::Divide,
        "cast" => {
            let to = call.func.return_type(&[DataType::Null]);
            return match (&call.args[..], to) {
                ([value], Ok(to)) => Transformed::yes(logical::cast(value.clone(), to)),
                _ => Transformed::no(part),
            };
        }
        _ => return Transformed::no(part),
    };
    match &call.args[..] {
        [left, right] => {
            Transformed::yes(logical::binary_expr(left.clone(), operator, right.clone()))
        }
        _ => Transformed::no(part),
    }
}

/// An interval of one unit.
fn interval_text(interval: &IntervalMonthDayNano) -> Option<String> {
    const UNITS: [(i64, &str); 3] =
        [(3_600_000_000_000, "HOUR"), (60_000_000_000, "MINUTE"), (1_000_000_000, "SECOND")];
    let (count, unit) = match (interval.months, interval.days, interval.nanoseconds) {
        (months, 0, 0) if months != 0 => (i64::from(months), "MONTH"),
        (0, days, 0) if days != 0 => (i64::from(days), "DAY"),
        (0, 0, nanos) => {
            let (size, unit) = UNITS.into_iter().find(|(size, _)| nanos % size == 0)?;
            (nanos / size, unit)
        }
        _ => return None,
    };
    Some(format!("INTERVAL '{count}' {unit}"))
}
