//! Numbers: `ABS`, `SIGN`, `CEIL`, `FLOOR`, `ROUND`, `TRUNCATE`, `MOD`, and functions of doubles.
//!
//! Guarantees: exact numbers stay exact, with the digits Flink gives them; halves go away from zero.
//! Left out: chance.

use super::function::{Call, DOUBLE, Function, Gives, Kernel, TEXT, Takes};
use crate::typing::cast::{Decimal, parse_decimal};
use crate::typing::wide;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, Decimal128Array};
use arrow_schema::DataType;
use datafusion::arrow::compute::{self, CastOptions};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::{Result as PlanResult, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// What does not fit is an error.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut all = vec![
        Function::new("abs", &[Takes::Any], Gives::By(same_number), abs).shared(),
        Function::new("sign", &[Takes::Any], Gives::By(same_number), sign).shared(),
        Function::new("ceil", &[Takes::Any], Gives::By(whole_number), |call| {
            to_whole(call, f64::ceil, |value, unit| {
                value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0)
            })
        })
        .alias("ceiling")
        .shared(),
        Function::new("floor", &[Takes::Any], Gives::By(whole_number), |call| {
            to_whole(call, f64::floor, i128::div_euclid)
        })
        .shared(),
        Function::new("round", &[Takes::Any, Takes::Whole], Gives::By(rounded_type), |call| {
            rounded(call, false)
        })
        .optional(1)
        .shared(),
        Function::new("truncate", &[Takes::Any, Takes::Whole], Gives::By(rounded_type), |call| {
            rounded(call, true)
        })
        .optional(1)
        .shared(),
        Function::new("hex", &[Takes::Any], TEXT, hex).shared(),
        Function::new("bin", &[Takes::Whole], TEXT, |call| {
            let number = call.whole(0);
            call.texts(|row, out| {
                Ok(number.get(row).map(|number| out.push_str(&format!("{number:b}"))).is_some())
            })
        })
        .shared(),
    ];
    all.extend(doubles());
    all
}

/// Functions of one or two doubles.
fn doubles() -> Vec<Arc<ScalarUDF>> {
    let one: [(&'static str, Kernel); 19] = [
        ("sqrt", |call| of_double(call, f64::sqrt)),
        ("exp", |call| of_double(call, f64::exp)),
        ("ln", |call| of_double(call, f64::ln)),
        ("log10", |call| of_double(call, f64::log10)),
        ("log2", |call| of_double(call, f64::log2)),
        ("sin", |call| of_double(call, f64::sin)),
        ("cos", |call| of_double(call, f64::cos)),
        ("tan", |call| of_double(call, f64::tan)),
        ("cot", |call| of_double(call, |angle| 1.0 / angle.tan())),
        ("asin", |call| of_double(call, f64::asin)),
        ("acos", |call| of_double(call, f64::acos)),
        ("atan", |call| of_double(call, f64::atan)),
        ("sinh", |call| of_double(call, f64::sinh)),
        ("cosh", |call| of_double(call, f64::cosh)),
        ("tanh", |call| of_double(call, f64::tanh)),
        ("degrees", |call| of_double(call, f64::to_degrees)),
        ("radians", |call| of_double(call, f64::to_radians)),
        ("cbrt", |call| of_double(call, f64::cbrt)),
        ("log1p", |call| of_double(call, f64::ln_1p)),
    ];
    let mut all: Vec<_> = one
        .map(|(name, kernel)| Function::new(name, &[Takes::Double], DOUBLE, kernel).shared())
        .into();
    let two = &[Takes::Double; 2];
    all.push(
        Function::new("power", two, DOUBLE, |call| {
            let (base, exponent) = (call.double(0), call.double(1));
            call.doubles(|row| Some(base.get(row)?.powf(exponent.get(row)?)))
        })
        .shared(),
    );
    all.push(
        Function::new("atan2", two, DOUBLE, |call| {
            let (y, x) = (call.double(0), call.double(1));
            call.doubles(|row| Some(y.get(row)?.atan2(x.get(row)?)))
        })
        .shared(),
    );
    all.push(
        // LOG(x) is the natural logarithm, LOG(base, x) one to a base.
        Function::new("log", two, DOUBLE, |call| {
            let first = call.double(0);
            if call.len() == 1 {
                return call.doubles(|row| first.get(row).map(f64::ln));
            }
            let second = call.double(1);
            call.doubles(|row| Some(second.get(row)?.ln() / first.get(row)?.ln()))
        })
        .optional(1)
        .shared(),
    );
    all
}

fn of_double(call: &Call<'_>, function: fn(f64) -> f64) -> Result<ArrayRef, String> {
    let number = call.double(0);
    call.doubles(|row| number.get(row).map(function))
}

/// The argument's own type.
fn same_number(types: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    match &types[0] {
        DataType::Null => Ok(DataType::Int32),
        number if number.is_numeric() => Ok(number.clone()),
        other => plan_err!("a number is needed, not {}", crate::type_name(other)),
    }
}

/// A decimal keeps its precision and has no digits after the point.
fn whole_number(types: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    Ok(match same_number(types, &[])? {
        DataType::Decimal128(precision, _) => DataType::Decimal128(precision, 0),
        other => other,
    })
}

/// `ROUND(decimal, constant)` has as many digits after the point as it keeps.
fn rounded_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let number = same_number(types, &[])?;
    let DataType::Decimal128(precision, scale) = number else { return Ok(number) };
    let digits = match constants.get(1) {
        None => Some(0),
        Some(Some(digits)) => match digits.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(digits) => digits,
            _ => None,
        },
        Some(None) => None,
    };
    Ok(match digits {
        Some(digits) if digits < i64::from(scale) => {
            let kept = digits.max(0) as i8;
            // One more before the point: 9.9 is rounded to 10.
            let whole = i16::from(precision) - i16::from(scale) + 1;
            let precision = (whole + i16::from(kept)).clamp(1, 38);
            DataType::Decimal128(precision as u8, kept)
        }
        _ => DataType::Decimal128(precision, scale),
    })
}

fn abs(call: &Call<'_>) -> Result<ArrayRef, String> {
    each_number(call, Signs { whole: i64::checked_abs, wide: i128::wrapping_abs, float: f64::abs })
}

fn sign(call: &Call<'_>) -> Result<ArrayRef, String> {
    if let DataType::Decimal128(precision, scale) = call.gives {
        let one = wide::power_of_ten(scale.unsigned_abs()).cast_signed();
        let signs = call.column(0).as_primitive::<Decimal128Type>();
        let signs: Decimal128Array = signs.unary(|value| value.signum() * one);
        let signs = signs.with_precision_and_scale(*precision, *scale);
        return Ok(Arc::new(signs.map_err(|error| error.to_string())?));
    }
    let float = |value: f64| if value == 0.0 || value.is_nan() { value } else { value.signum() };
    each_number(call, Signs { whole: |v| Some(v.signum()), wide: i128::signum, float })
}

/// The same function for each kind of number.
struct Signs {
    /// Nothing where it does not fit.
    whole: fn(i64) -> Option<i64>,
    wide: fn(i128) -> i128,
    float: fn(f64) -> f64,
}

fn each_number(call: &Call<'_>, signs: Signs) -> Result<ArrayRef, String> {
    fn map<T: ArrowPrimitiveType<Native: ArrowNativeTypeOp>>(
        column: &ArrayRef,
        body: impl Fn(T::Native) -> T::Native,
    ) -> ArrayRef {
        let mapped = column.as_primitive::<T>().unary::<_, T>(body);
        Arc::new(mapped.with_data_type(column.data_type().clone()))
    }
    fn whole<T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>>(
        column: &ArrayRef,
        body: fn(i64) -> Option<i64>,
    ) -> Result<ArrayRef, String> {
        let mapped = column.as_primitive::<T>().try_unary::<_, T, _>(|value| {
            let (value, name) = (value.into(), || crate::type_name(column.data_type()));
            body(value)
                .and_then(|value| value.try_into().ok())
                .ok_or_else(|| format!("the result for {value} does not fit {}", name()))
        });
        Ok(Arc::new(mapped?))
    }
    let column = call.column(0);
    Ok(match column.data_type() {
        DataType::Int8 => whole::<Int8Type>(column, signs.whole)?,
        DataType::Int16 => whole::<Int16Type>(column, signs.whole)?,
        DataType::Int32 => whole::<Int32Type>(column, signs.whole)?,
        DataType::Int64 => whole::<Int64Type>(column, signs.whole)?,
        #[allow(clippy::cast_possible_truncation)] // back to where the value came from
        DataType::Float32 => map::<Float32Type>(column, |v| (signs.float)(v.into()) as f32),
        DataType::Float64 => map::<Float64Type>(column, signs.float),
        DataType::Decimal128(..) => map::<Decimal128Type>(column, signs.wide),
        _ => compute::cast(column, call.gives).map_err(|error| error.to_string())?,
    })
}

fn to_whole(
    call: &Call<'_>,
    float: fn(f64) -> f64,
    exact: fn(i128, i128) -> i128,
) -> Result<ArrayRef, String> {
    let column = call.column(0);
    let (DataType::Decimal128(_, scale), DataType::Decimal128(precision, _)) =
        (column.data_type(), call.gives)
    else {
        return each_number(call, Signs { whole: Some, wide: |v| v, float });
    };
    let unit = wide::power_of_ten(scale.unsigned_abs()).cast_signed();
    let values: Decimal128Array =
        column.as_primitive::<Decimal128Type>().unary(|value| exact(value, unit));
    let values = values.with_precision_and_scale(*precision, 0);
    Ok(Arc::new(values.map_err(|error| error.to_string())?))
}

/// `ROUND` and `TRUNCATE`: digits after the point, or before it where they are negative.
fn rounded(call: &Call<'_>, cut: bool) -> Result<ArrayRef, String> {
    let column = call.column(0);
    let digits = (call.len() > 1).then(|| call.whole(1));
    let digits = |row: usize| digits.map_or(Some(0), |digits| digits.get(row));
    let of = |row: usize| {
        let at = call.row_of(0, row);
        column.is_valid(at).then_some(at).zip(digits(row))
    };
    match (column.data_type(), call.gives) {
        (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) => {
            let values = column.as_primitive::<Decimal128Type>();
            let one = |row| {
                let (at, digits) = of(row)?;
                round_exact(values.value(at), *from, digits, *to, cut)
            };
            let values = (0..call.rows).map(one).collect::<Decimal128Array>();
            let values = values.with_precision_and_scale(*precision, *to);
            Ok(Arc::new(values.map_err(|error| error.to_string())?))
        }
        (DataType::Float32 | DataType::Float64, _) => {
            let values = column.clone();
            let shown = |at: usize| {
                let mut text = String::new();
                match values.data_type() {
                    DataType::Float32 => crate::text::write_float(
                        &mut text,
                        values.as_primitive::<Float32Type>().value(at),
                    ),
                    _ => crate::text::write_double(
                        &mut text,
                        values.as_primitive::<Float64Type>().value(at),
                    ),
                }
                text
            };
            let numbers = call.doubles(|row| {
                let (at, digits) = of(row)?;
                round_text(&shown(at), digits, cut)
            })?;
            compute::cast(&numbers, call.gives).map_err(|error| error.to_string())
        }
        _ => {
            let whole = compute::cast(column, &DataType::Int64).map_err(|e| e.to_string())?;
            let whole = whole.as_primitive::<Int64Type>();
            let numbers = call.longs(|row| {
                let Some((at, digits)) = of(row) else { return Ok(None) };
                let value = round_exact(i128::from(whole.value(at)), 0, digits, 0, cut);
                let fits =
                    |value: i128| i64::try_from(value).map_err(|_| "the result does not fit");
                Ok(value.map(fits).transpose()?)
            })?;
            compute::cast_with_options(&numbers, call.gives, &STRICT)
                .map_err(|error| error.to_string())
        }
    }
}

/// A value at scale `from`, kept to `digits`, at scale `to`.
fn round_exact(value: i128, from: i8, digits: i64, to: i8, cut: bool) -> Option<i128> {
    let drop = i64::from(from).checked_sub(digits)?;
    if drop > 38 {
        return Some(0);
    }
    let kept = match drop {
        ..=0 => value,
        _ => {
            let unit = wide::power_of_ten(u8::try_from(drop).ok()?).cast_signed();
            (if cut { value / unit } else { wide::round(value, unit) }) * unit
        }
    };
    wide::rescale(kept, to - from)
}

/// Doubles are rounded as the decimal they print as; those too large or small for that stay.
fn round_text(text: &str, digits: i64, cut: bool) -> Option<f64> {
    const SCALE: i8 = 18;
    let number: f64 = text.parse().ok()?;
    match parse_decimal(text, 38, SCALE) {
        Decimal::Value(value) if digits < i64::from(SCALE) => {
            let value = round_exact(value, SCALE, digits, SCALE, cut)?;
            let mut out = String::new();
            crate::text::write_decimal(&mut out, value, SCALE);
            out.parse().ok()
        }
        _ => Some(number),
    }
}

/// Of a number, or of a text's bytes.
fn hex(call: &Call<'_>) -> Result<ArrayRef, String> {
    let column = call.column(0);
    if *column.data_type() == DataType::Utf8 {
        let text = call.text(0);
        return call.texts(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            text.bytes().for_each(|byte| out.push_str(&format!("{byte:02X}")));
            Ok(true)
        });
    }
    let numbers = compute::cast(column, &DataType::Int64).map_err(|error| error.to_string())?;
    let numbers = numbers.as_primitive::<Int64Type>();
    call.texts(|row, out| {
        let at = call.row_of(0, row);
        if numbers.is_null(at) {
            return Ok(false);
        }
        out.push_str(&format!("{:X}", numbers.value(at)));
        Ok(true)
    })
}
