//! `CAST` and `TRY_CAST` as Flink means them.
//!
//! Guarantees: integers and decimals that are too large for an integer fail their row, where Flink
//! wraps around; floats saturate and decimals round half up and are null where they do not fit, as
//! in Flink; a text that does not say a value of the type fails its row. What fails in `CAST` is
//! null in `TRY_CAST`.
//! Left out: casts that cannot lose anything, which stay Arrow's; `INTERVAL`.

mod column;
mod parse;
mod zoned;

pub use parse::decimal_of;
pub(crate) use parse::{
    Decimal, date as parse_date, decimal as parse_decimal, timestamp as parse_timestamp,
};
pub(crate) use zoned::{to_instant, to_local};

use super::common::is_text;
use super::decimal::Digits;
use crate::types::{CHAR_LENGTH, IS_PADDED, PRECISION, precision_of};
use crate::{field_type_name, type_name};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// A cast from one type to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Conversion {
    to: FieldRef,
    /// What goes with the values: digits of a second there are and are wanted, and the zone.
    rules: Rules,
    signature: Signature,
}

/// How values are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    /// A value that cannot be cast is null instead of an error.
    fails_to_null: bool,
    /// Digits of a second of the times that are cast.
    from_precision: u8,
    /// Digits of a second that are kept.
    to_precision: Option<u8>,
    /// Characters of a `VARCHAR(n)`, and whether it is padded as a `CHAR(n)` is.
    length: Option<(usize, bool)>,
    /// The session's.
    zone: Tz,
}

impl Conversion {
    /// The cast, or `None` where Arrow's own says the same and cannot fail.
    ///
    /// # Errors
    /// A plan error where Flink has no such cast.
    pub(super) fn new(
        from: &Field,
        to: &FieldRef,
        fails_to_null: bool,
        zone: Tz,
    ) -> Result<Option<Self>> {
        let length = to.metadata().get(CHAR_LENGTH).and_then(|n| n.parse().ok());
        let rules = Rules {
            fails_to_null,
            from_precision: precision_of(from),
            to_precision: to.metadata().get(PRECISION).and_then(|digits| digits.parse().ok()),
            length: length.map(|length| (length, to.metadata().contains_key(IS_PADDED))),
            zone,
        };
        if is_arrows(from, to, rules) {
            return Ok(None);
        }
        if !column::is_castable(from.data_type(), to.data_type()) {
            return plan_err!(
                "there is no cast from {} to {}",
                field_type_name(from),
                type_name(to.data_type())
            );
        }
        let signature = Signature::user_defined(Volatility::Immutable);
        Ok(Some(Self { to: to.clone(), rules, signature }))
    }
}

/// Whether Arrow's cast keeps every value and writes none differently.
fn is_arrows(from: &Field, to: &Field, rules: Rules) -> bool {
    use DataType::{Float32, Float64, Interval, Null, Timestamp};
    let (source, target) = (from.data_type(), to.data_type());
    match (source, target) {
        (Null, _) => true,
        (Timestamp(_, a), Timestamp(TimeUnit::Microsecond, b)) if a.is_some() == b.is_some() => {
            rules.to_precision.is_none_or(|digits| digits == rules.from_precision)
        }
        (a, b) if is_text(a) && is_text(b) => rules.length.is_none(),
        (a, b) if a == b => true,
        (Float32, Float64) | (Interval(_), Interval(_)) => true,
        (a, Float64) => a.is_integer() || matches!(a, DataType::Decimal128(..)),
        (a, b) => match (Digits::of(a), Digits::of(b)) {
            (Some(x), Some(y)) if a.is_integer() && b.is_integer() => x.precision <= y.precision,
            (Some(x), Some(y)) if matches!(b, DataType::Decimal128(..)) => {
                x.scale <= y.scale
                    && i16::from(x.precision) - i16::from(x.scale)
                        <= i16::from(y.precision) - i16::from(y.scale)
            }
            _ => false,
        },
    }
}

impl ScalarUDFImpl for Conversion {
    fn name(&self) -> &str {
        if self.rules.fails_to_null { "try_cast" } else { "cast" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [value] => {
                let to = type_name(self.to.data_type());
                let limit = self.rules.length.map(|(length, _)| length.to_string());
                let digits = self.rules.to_precision.map(|digits| digits.to_string());
                let digits = digits.or(limit).map_or(String::new(), |n| format!("({n})"));
                Ok(format!("{}({} AS {to}{digits})", self.name(), value.schema_name()))
            }
            _ => internal_err!("a cast has one argument"),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.to.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = Field::new(self.name(), self.to.data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(self.to.metadata().clone())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = &args.args[..] else { return internal_err!("a cast has one argument") };
        let cast = |array| match column::convert(array, self.to.data_type(), self.rules) {
            Ok(array) => Ok(array),
            Err(reason) => exec_err!("CAST AS {}: {reason}", type_name(self.to.data_type())),
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(cast(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let array = cast(&scalar.to_array_of_size(1)?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
