//! `+`, `-`, `*` and the minus sign over integers, which DataFusion lets wrap around.
//!
//! Guarantees: a result that does not fit its type is an error, in a column as in a constant that
//! is computed while planning; names and types of a plan's columns stay as they were. Work is on
//! whole arrays.
//! Left out: `/` and `%`, decimals and intervals, which fail by themselves; floats, which have
//! infinities.

use arrow_schema::{DataType, FieldRef};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::Field;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, plan_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;
use std::sync::{Arc, LazyLock};

/// Replaces arithmetic over integers by functions that fail where it would wrap. Runs after types
/// are made equal on both sides of an operator.
#[derive(Debug, Default)]
pub struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(checked_node).data()
    }
}

fn checked_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let whole = scan.source.schema();
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &whole)?);
    }
    let names = NamePreserver::new(&plan);
    let changed = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let changed = expression.transform_up(|part| checked(part, &schema))?;
        Ok(changed.update_data(|expression| name.restore(expression)))
    })?;
    match changed.transformed {
        true => changed.map_data(LogicalPlan::recompute_schema),
        false => Ok(changed),
    }
}

fn checked(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (operation, arguments) = match &expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match Operation::of(*op) {
            Some(operation) => (operation, vec![left, right]),
            None => return Ok(Transformed::no(expression)),
        },
        Expr::Negative(inner) => (Operation::Negate, vec![inner]),
        _ => return Ok(Transformed::no(expression)),
    };
    for argument in &arguments {
        if !argument.get_type(schema)?.is_integer() {
            return Ok(Transformed::no(expression));
        }
    }
    let arguments = arguments.into_iter().map(|argument| argument.as_ref().clone()).collect();
    Ok(Transformed::yes(operation.function().call(arguments)))
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
    use Operation::{Add, Multiply, Negate, Subtract};
    [Add, Subtract, Multiply, Negate].map(|operation| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Checked { operation, signature }))
    })
});

impl Operation {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    /// Its function, in the order of [`FUNCTIONS`].
    fn function(self) -> &'static Arc<ScalarUDF> {
        &FUNCTIONS[self as usize]
    }
}

/// One operation as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        // The rule runs after coercion.
        Ok(arguments.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [one] => Ok(one.clone()),
            [left, right] if left == right => Ok(left.clone()),
            _ => plan_err!("{} of {arguments:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.operation, args.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, numeric::add),
            (Operation::Subtract, [left, right]) => apply(left, right, numeric::sub),
            (Operation::Multiply, [left, right]) => apply(left, right, numeric::mul),
            (Operation::Negate, [ColumnarValue::Array(array)]) => {
                Ok(ColumnarValue::Array(numeric::neg(array)?))
            }
            (Operation::Negate, [ColumnarValue::Scalar(value)]) => {
                let array = numeric::neg(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
                    &array, 0,
                )?))
            }
            (_, other) => Err(DataFusionError::Internal(format!(
                "{} has {} arguments",
                self.name(),
                other.len()
            ))),
        }
    }
}
