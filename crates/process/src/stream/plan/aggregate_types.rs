//! The aggregates a stream has, and the types of their results.
//!
//! Guarantees: in Flink's dialect types are Flink's: a sum has its argument's type, decimals get
//! as many digits as there are, an average has its argument's type. In PostgreSQL's dialect they
//! are those of queries over the lake, so that a view and a query agree.
//! Left out: computing them, which the engine does.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};
use std::sync::Arc;
use tradewind_dataflow::operator::AggregateFunction;
use tradewind_sql::{Dialect, type_name};

use super::lower::expression;
use super::{refusal, refuse};

/// Digits of a decimal that was added up.
const DIGITS_MAX: u8 = 38;
/// Digits behind the point of an average at least, as in Flink.
const AVERAGE_SCALE_MIN: i8 = 6;

/// Their names.
const FUNCTIONS: [(&str, AggregateFunction); 5] = [
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("avg", AggregateFunction::Avg),
];

/// An aggregate as DataFusion's planner sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Planned {
    name: &'static str,
    dialect: Dialect,
    signature: Signature,
}

/// The aggregates of a dialect.
pub(super) fn all(dialect: Dialect) -> impl Iterator<Item = Arc<AggregateUDF>> {
    FUNCTIONS.into_iter().map(move |(name, _)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Planned { name, dialect, signature }))
    })
}

/// Which aggregate a name stands for.
pub(super) fn function(name: &str) -> Option<AggregateFunction> {
    FUNCTIONS.into_iter().find(|(found, _)| *found == name).map(|(_, function)| function)
}

/// A call as a person would write it.
pub(super) fn text(name: &str, params: &AggregateFunctionParams) -> String {
    let arguments: Vec<_> = params.args.iter().map(expression::text).collect();
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let arguments = match &params.args[..] {
        [Expr::Literal(value, _)] if name == "count" && !value.is_null() => "*".to_string(),
        _ => arguments.join(", "),
    };
    let mut text = format!("{}({distinct}{arguments})", name.to_uppercase());
    if let Some(filter) = &params.filter {
        text.push_str(&format!(" FILTER (WHERE {})", expression::text(filter)));
    }
    text
}

/// A result's type.
fn result(function: AggregateFunction, dialect: Dialect, argument: &DataType) -> Option<DataType> {
    use AggregateFunction as F;
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null};
    let integer = matches!(argument, Int8 | Int16 | Int32 | Int64);
    Some(match (function, dialect, argument) {
        (F::Count, ..) => Int64,
        (F::Min | F::Max, _, DataType::List(_) | DataType::Struct(_) | DataType::Map(..)) => {
            return None;
        }
        (F::Min | F::Max, ..) => argument.clone(),
        (F::Sum | F::Avg, Dialect::Flink, Null) => Int32,
        (F::Sum, Dialect::Flink, Decimal128(_, scale)) => Decimal128(DIGITS_MAX, *scale),
        (F::Avg, Dialect::Flink, Decimal128(_, scale)) => {
            Decimal128(DIGITS_MAX, AVERAGE_SCALE_MIN.max(*scale))
        }
        (F::Sum | F::Avg, Dialect::Flink, _) if integer => argument.clone(),
        (F::Sum | F::Avg, Dialect::Flink, Float32 | Float64) => argument.clone(),
        (F::Sum, _, Decimal128(digits, scale)) => {
            Decimal128(DIGITS_MAX.min(digits.saturating_add(10)), *scale)
        }
        (F::Avg, _, Decimal128(digits, scale)) => {
            let scale = scale.saturating_add(4).min(DIGITS_MAX as i8);
            Decimal128(DIGITS_MAX.min(digits.saturating_add(4)), scale)
        }
        (F::Sum, ..) if integer => Int64,
        (F::Avg, ..) if integer => Float64,
        (F::Sum | F::Avg, _, Float32 | Float64 | Null) => Float64,
        _ => return None,
    })
}

impl AggregateUDFImpl for Planned {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// With its arguments as they are: DataFusion's own name leaves out casts, and so calls two
    /// averages of one column in two types the same.
    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        Ok(text(self.name, params))
    }

    fn is_nullable(&self) -> bool {
        self.name != "count"
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.return_type(arguments)?;
        Ok(arguments.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let name = self.name.to_uppercase();
        let [argument] = arguments else {
            return refuse(refusal(format!("{name} takes one argument")));
        };
        let found =
            function(self.name).and_then(|function| result(function, self.dialect, argument));
        match found {
            Some(found) => Ok(found),
            None => refuse(refusal(format!("there is no {name} of {}", type_name(argument)))),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} is computed by the engine", self.name)
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        internal_err!("{} is computed by the engine", self.name)
    }
}
