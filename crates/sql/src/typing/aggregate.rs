//! What an aggregate comes to, by dialect.
//!
//! Guarantees: for `flink` the type Apache Flink 2.3 gives; for `postgres` the type our sessions
//! give. `docs/numbers.md` is the same as a table.
//! Left out: computing it. Integer sums are kept wide and fail where the result does not fit its
//! type, in both dialects.

use super::decimal::DIGITS_MAX;
use crate::Dialect;
use arrow_schema::{DataType, Field};
use datafusion::common::{Result, plan_err};
use std::sync::Arc;

/// Digits after the point of an average of decimals, at least.
pub const AVERAGE_SCALE_MIN: i8 = 6;

/// The type of `function` over arguments of type `input`; `count(*)` takes any.
///
/// # Errors
/// A plan error where the function does not take such arguments or is none of `COUNT`,
/// `APPROX_COUNT_DISTINCT`, `SUM`, `AVG`, `MIN`, `MAX`, `FIRST_VALUE`, `LAST_VALUE`, `STDDEV_*`,
/// `VAR_*`, `LISTAGG` / `STRING_AGG`, `ARRAY_AGG`, `ROW_NUMBER`, `RANK` and `DENSE_RANK`.
pub fn aggregate_result_type(
    dialect: Dialect,
    function: &str,
    input: &DataType,
) -> Result<DataType> {
    let name = function.to_ascii_lowercase();
    match name.as_str() {
        "count"
        | "approx_count_distinct"
        | "approx_distinct"
        | "row_number"
        | "rank"
        | "dense_rank" => Ok(DataType::Int64),
        "sum" => sum(dialect, input),
        "avg" | "mean" => average(dialect, function, input),
        "stddev" | "stddev_pop" | "stddev_samp" | "var_pop" | "var_samp" | "variance"
        | "var_sample" => match dialect {
            Dialect::Flink => average(dialect, function, input),
            Dialect::Postgres => numeric(function, input).map(|()| DataType::Float64),
        },
        "min" | "max" => match input {
            DataType::Interval(_) | DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
                plan_err!("{function} takes no {}", crate::type_name(input))
            }
            other => Ok(other.clone()),
        },
        "first_value" | "last_value" => Ok(input.clone()),
        "listagg" | "string_agg" => match input {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Ok(DataType::Utf8)
            }
            other => plan_err!("{function} takes STRING, not {}", crate::type_name(other)),
        },
        "array_agg" => Ok(DataType::List(Arc::new(Field::new_list_field(input.clone(), true)))),
        _ => plan_err!("there is no aggregate {function}"),
    }
}

fn sum(dialect: Dialect, input: &DataType) -> Result<DataType> {
    numeric("SUM", input)?;
    Ok(match (dialect, input) {
        (Dialect::Flink, DataType::Decimal128(_, scale)) => {
            DataType::Decimal128(DIGITS_MAX, *scale)
        }
        (Dialect::Flink, other) => other.clone(),
        (Dialect::Postgres, DataType::Int64) => DataType::Decimal128(30, 0),
        (Dialect::Postgres, DataType::Int8 | DataType::Int16 | DataType::Int32) => DataType::Int64,
        (Dialect::Postgres, DataType::Decimal128(precision, scale)) => {
            DataType::Decimal128((precision + 10).min(DIGITS_MAX), *scale)
        }
        (Dialect::Postgres, _) => DataType::Float64,
    })
}

fn average(dialect: Dialect, function: &str, input: &DataType) -> Result<DataType> {
    numeric(function, input)?;
    Ok(match (dialect, input) {
        (Dialect::Flink, DataType::Decimal128(_, scale)) => {
            DataType::Decimal128(DIGITS_MAX, (*scale).max(AVERAGE_SCALE_MIN))
        }
        (Dialect::Flink, other) => other.clone(),
        (Dialect::Postgres, DataType::Decimal128(precision, scale)) => DataType::Decimal128(
            (precision + 4).min(DIGITS_MAX),
            (scale + 4).min(DIGITS_MAX.cast_signed()),
        ),
        (Dialect::Postgres, _) => DataType::Float64,
    })
}

fn numeric(function: &str, input: &DataType) -> Result<()> {
    match input {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Null => Ok(()),
        other => plan_err!("{function} is of numbers, not of {}", crate::type_name(other)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow_schema::DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Utf8};

    fn flink(function: &str, input: DataType) -> DataType {
        aggregate_result_type(Dialect::Flink, function, &input).unwrap()
    }

    #[test]
    fn flink_keeps_the_type_of_its_argument_and_widens_decimals() {
        for same in [Int8, Int16, Int32, Int64, Float32, Float64] {
            for function in ["SUM", "avg", "MIN", "MAX", "STDDEV_POP", "VAR_SAMP", "LAST_VALUE"] {
                assert_eq!(flink(function, same.clone()), same, "{function}");
            }
            assert_eq!(flink("COUNT", same), Int64);
        }
        assert_eq!(flink("SUM", Decimal128(10, 2)), Decimal128(38, 2));
        assert_eq!(flink("AVG", Decimal128(10, 2)), Decimal128(38, 6));
        assert_eq!(flink("AVG", Decimal128(20, 8)), Decimal128(38, 8));
        assert_eq!(flink("MAX", Decimal128(10, 2)), Decimal128(10, 2));
        assert_eq!(flink("LISTAGG", Utf8), Utf8);
    }

    #[test]
    fn sums_and_averages_are_of_numbers() {
        for dialect in [Dialect::Flink, Dialect::Postgres] {
            for function in ["SUM", "AVG", "STDDEV_POP"] {
                assert!(aggregate_result_type(dialect, function, &Utf8).is_err());
                assert!(aggregate_result_type(dialect, function, &DataType::Date32).is_err());
            }
        }
        assert!(aggregate_result_type(Dialect::Flink, "MEDIANISH", &Int32).is_err());
    }
}
