//! `+ - * / %` of exact numbers as Flink computes them.
//!
//! Guarantees: integers of one type stay in it, and what does not fit it fails its row, where Flink
//! wraps around; a decimal result has
//! [`Digits`]' digits, a quotient or product that has more is rounded half up once, and one that
//! does not fit 38 digits is null; division by zero fails its row.
//! Left out: floats and times, which Arrow computes.

use super::decimal::Digits;
use super::wide;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, Datum, Decimal128Array, PrimitiveArray,
    Scalar,
};
use arrow_schema::{ArrowError, DataType};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// One of the five operators over two exact numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Arithmetic {
    operator: Operator,
    result: DataType,
    signature: Signature,
}

impl Arithmetic {
    /// The operator and what it comes to, or nothing where the arguments are not exact numbers.
    pub(super) fn of(operator: Operator, left: &DataType, right: &DataType) -> Option<Self> {
        let (a, b) = (Digits::of(left)?, Digits::of(right)?);
        let is_decimal = [left, right].iter().any(|one| matches!(one, DataType::Decimal128(..)));
        let result = match operator {
            // As in Flink the remainder has the type of what is divided by.
            Operator::Modulo if !is_decimal => right.clone(),
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide
                if !is_decimal =>
            {
                if a.precision >= b.precision {
                    left.clone()
                } else {
                    right.clone()
                }
            }
            Operator::Plus | Operator::Minus => a.sum(b).data_type(),
            Operator::Multiply => a.multiply(b).data_type(),
            Operator::Divide => a.divide(b).data_type(),
            Operator::Modulo => a.modulo(b).data_type(),
            _ => return None,
        };
        Some(Self { operator, result, signature: Signature::user_defined(Volatility::Immutable) })
    }

    /// What both sides are cast to before.
    pub(super) fn operands(&self, left: &DataType, right: &DataType) -> [DataType; 2] {
        match self.result {
            DataType::Decimal128(..) => {
                [left, right].map(|side| Digits::of(side).map_or(DataType::Null, Digits::data_type))
            }
            _ => {
                let wider = if Digits::of(left).map(|d| d.precision)
                    >= Digits::of(right).map(|d| d.precision)
                {
                    left
                } else {
                    right
                };
                [wider.clone(), wider.clone()]
            }
        }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Plus => "plus",
            Operator::Minus => "minus",
            Operator::Multiply => "multiply",
            Operator::Divide => "divide",
            _ => "modulo",
        }
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        match args {
            [left, right] => {
                Ok(format!("{} {} {}", left.schema_name(), self.operator, right.schema_name()))
            }
            _ => internal_err!("arithmetic has two sides"),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let [left, right] = &args.args[..] else {
            return internal_err!("arithmetic has two sides");
        };
        let (left, right) = (Side::new(left)?, Side::new(right)?);
        let rows = if constant { 1 } else { args.number_rows };
        let array = match &self.result {
            DataType::Decimal128(precision, scale) => {
                self.decimals(&left, &right, rows, *precision, *scale)?
            }
            _ => match left.array.data_type() {
                DataType::Int8 => self.integers::<Int8Type>(&left, &right, rows)?,
                DataType::Int16 => self.integers::<Int16Type>(&left, &right, rows)?,
                DataType::Int32 => self.integers::<Int32Type>(&left, &right, rows)?,
                DataType::Int64 => self.integers::<Int64Type>(&left, &right, rows)?,
                other => return internal_err!("{} over {other}", self.name()),
            },
        };
        match constant {
            true => Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
                &array, 0,
            )?)),
            false => Ok(ColumnarValue::Array(array)),
        }
    }
}

/// A column, or one value for all rows.
struct Side {
    array: ArrayRef,
    constant: bool,
}

impl Side {
    fn new(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self { array: array.clone(), constant: false },
            ColumnarValue::Scalar(scalar) => {
                Self { array: scalar.to_array_of_size(1)?, constant: true }
            }
        })
    }

    fn at(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }
}

/// Applies `body` where both sides have a value.
fn each<T: ArrowPrimitiveType>(
    left: &Side,
    right: &Side,
    rows: usize,
    mut body: impl FnMut(T::Native, T::Native) -> Result<Option<T::Native>>,
) -> Result<PrimitiveArray<T>> {
    let (a, b) = (left.array.as_primitive::<T>(), right.array.as_primitive::<T>());
    (0..rows)
        .map(|row| {
            let (i, j) = (left.at(row), right.at(row));
            if a.is_null(i) || b.is_null(j) {
                return Ok(None);
            }
            body(a.value(i), b.value(j))
        })
        .collect()
}

/// A kernel that fails where a result does not fit.
fn both(
    left: &Side,
    right: &Side,
    kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef> {
    let scalar = |side: &Side| Scalar::new(side.array.clone());
    Ok(match (left.constant, right.constant) {
        (true, false) => kernel(&scalar(left), &right.array)?,
        (false, true) => kernel(&left.array, &scalar(right))?,
        _ => kernel(&left.array, &right.array)?,
    })
}

fn division_by_zero<T>() -> Result<T> {
    Err(DataFusionError::Execution("division by zero".into()))
}

impl Arithmetic {
    fn integers<T: ArrowPrimitiveType>(
        &self,
        left: &Side,
        right: &Side,
        rows: usize,
    ) -> Result<ArrayRef> {
        let whole = |array: ArrayRef| array.as_primitive::<T>().clone();
        let array = match self.operator {
            Operator::Plus => whole(both(left, right, numeric::add)?),
            Operator::Minus => whole(both(left, right, numeric::sub)?),
            Operator::Multiply => whole(both(left, right, numeric::mul)?),
            Operator::Divide => each::<T>(left, right, rows, |a, b| match b.is_zero() {
                true => division_by_zero(),
                false => Ok(Some(a.div_checked(b)?)),
            })?,
            Operator::Modulo => each::<T>(left, right, rows, |a, b| match b.is_zero() {
                true => division_by_zero(),
                // The smallest integer by -1 leaves nothing; only its quotient does not fit.
                false => Ok(Some(a.mod_wrapping(b))),
            })?,
            other => return exec_err!("{other} is no arithmetic"),
        };
        // A remainder fits the type of what is divided by.
        Ok(datafusion::arrow::compute::cast(&array, &self.result)?)
    }

    fn decimals(
        &self,
        left: &Side,
        right: &Side,
        rows: usize,
        precision: u8,
        scale: i8,
    ) -> Result<ArrayRef> {
        let (from_left, from_right) = (scale_of(left)?, scale_of(right)?);
        let limit = wide::power_of_ten(precision);
        let operator = self.operator;
        let array: Decimal128Array = each::<Decimal128Type>(left, right, rows, |a, b| {
            let value = match operator {
                Operator::Plus => wide::add(a, from_left, b, from_right, scale),
                Operator::Minus => wide::add(a, from_left, -b, from_right, scale),
                Operator::Multiply => wide::multiply(a, b, from_left + from_right - scale),
                _ if b == 0 => return division_by_zero(),
                Operator::Divide => wide::divide(a, b, scale - from_left + from_right),
                _ => wide::modulo(a, from_left, b, from_right),
            };
            Ok(value.filter(|value| value.unsigned_abs() < limit))
        })?;
        Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
    }
}

fn scale_of(side: &Side) -> Result<i8> {
    match side.array.data_type() {
        DataType::Decimal128(_, scale) => Ok(*scale),
        other => internal_err!("{other} is no decimal"),
    }
}
