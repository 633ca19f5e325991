//! The aggregates a stream has, and the types of their results.
//!
//! Guarantees: types are those of [`aggregate_result_type`]; a call's name says all of it.
//! Left out: computing them, which the engine does; over all rows at once DataFusion does.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Signature, Volatility,
};
use std::sync::Arc;
use tradewind_dataflow::operator::AggregateFunction;
use tradewind_sql::typing::aggregate_result_type;
use tradewind_sql::{Dialect, type_name};

use super::lower::expression;
use super::{refusal, refuse};

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

    /// Arguments stay as they are; what does not fit is refused by the result's type, whose words
    /// reach the user.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let name = self.name.to_uppercase();
        let [argument] = arguments else {
            return refuse(refusal(format!("{name} takes one argument")));
        };
        if matches!(self.name, "min" | "max") && argument.is_nested() {
            return refuse(refusal(format!("there is no {name} of {}", type_name(argument))));
        }
        aggregate_result_type(self.dialect, self.name, argument)
    }

    /// The least and the greatest of some times have their precision.
    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<_> = arguments.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name, self.return_type(&types)?, self.is_nullable());
        Ok(Arc::new(match (self.name, arguments) {
            ("min" | "max", [argument]) => field.with_metadata(argument.metadata().clone()),
            _ => field,
        }))
    }

    /// A correlated subquery that counts nothing is 0.
    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.name {
            "count" => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.batch()?.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.batch()?.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.batch().is_ok_and(|batch| batch.groups_accumulator_supported(args))
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.batch()?.create_groups_accumulator(args)
    }
}

impl Planned {
    /// The same in the batch engine.
    fn batch(&self) -> Result<Arc<AggregateUDF>> {
        let all = match self.dialect {
            Dialect::Flink => SessionStateDefaults::default_aggregate_functions()
                .into_iter()
                .chain(tradewind_sql::aggregates::flink()),
            Dialect::Postgres => return internal_err!("{} is computed by the engine", self.name),
        };
        match all.filter(|function| function.name() == self.name).last() {
            Some(function) => Ok(function),
            None => internal_err!("there is no {}", self.name),
        }
    }
}
