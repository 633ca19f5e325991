//! Comparing: which types compare, patterns, and the few operators without an Arrow kernel.
//!
//! Guarantees: a text is compared with a time as the time it says, and never with a number; what
//! Flink refuses to compare is refused.
//! Left out: comparing itself, which Arrow does. As there, NaN equals NaN and is above all numbers.

use super::common::{common_type, is_number, is_text};
use crate::functions::function::{Function, Gives, TEXT, Takes};
use crate::type_name;
use arrow_array::cast::AsArray;
use arrow_array::types::IntervalMonthDayNanoType;
use arrow_array::{Array, IntervalMonthDayNanoArray};
use arrow_schema::{DataType, IntervalUnit};
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// What all sides are cast to before they are compared; `None`: DataFusion's own coercion does it.
pub(super) fn comparable_type(types: &[DataType]) -> Result<Option<DataType>> {
    let is_time = |one: &DataType| matches!(one, DataType::Timestamp(..) | DataType::Date32);
    if let Some(time) = types.iter().find(|one| is_time(one)) {
        let instant = types.iter().find(|one| matches!(one, DataType::Timestamp(_, Some(_))));
        let stamp = types.iter().find(|one| matches!(one, DataType::Timestamp(..)));
        return Ok(instant.or(stamp).or(Some(time)).cloned());
    }
    let text = types.iter().find(|one| is_text(one));
    if let (Some(text), Some(number)) = (text, types.iter().find(|one| is_number(one))) {
        return plan_err!(
            "{} and {} do not compare: CAST one of them",
            type_name(text),
            type_name(number)
        );
    }
    if let (Some(_), Some(boolean)) = (text, types.iter().find(|one| **one == DataType::Boolean)) {
        return Ok(Some(boolean.clone()));
    }
    match types.iter().any(|one| matches!(one, DataType::Decimal128(..))) {
        // Two decimals of many digits have no common type that keeps them all.
        true => Ok(common_type(types)),
        false => Ok(None),
    }
}

/// A pattern of Flink's as one of Arrow's, whose escape is the backslash.
pub(super) fn arrow_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(next) = chars.next() {
        if Some(next) != escape {
            if next == '\\' {
                out.push('\\');
            }
            out.push(next);
            continue;
        }
        match chars.next() {
            Some(escaped) if escaped == next || matches!(escaped, '%' | '_') => {
                out.extend(['\\', escaped]);
            }
            _ => return plan_err!("invalid escape sequence in the pattern {pattern:?}"),
        }
    }
    Ok(out)
}

/// A pattern of `SIMILAR TO` as a regular expression.
pub(super) fn similar_pattern(pattern: &str) -> String {
    let mut out = String::from("^(?s:");
    for letter in pattern.chars() {
        match letter {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '.' | '^' | '$' | '\\' => out.extend(['\\', letter]),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    out
}

/// `like_pattern(pattern [, escape])`: the same for patterns that are not known before.
pub(super) fn like_pattern() -> ScalarUDF {
    Function::new("like_pattern", &[Takes::Text, Takes::Text], TEXT, |call| {
        let (pattern, escape) = (call.text(0), (call.len() > 1).then(|| call.text(1)));
        call.texts(|row, out| {
            let Some(pattern) = pattern.get(row) else { return Ok(false) };
            let escape = escape.and_then(|escape| escape.get(row)).and_then(|e| e.chars().next());
            out.push_str(&arrow_pattern(pattern, escape).map_err(|error| error.to_string())?);
            Ok(true)
        })
    })
    .optional(1)
    .udf()
}

/// `interval * whole number`.
pub(super) fn interval_times() -> ScalarUDF {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    Function::new("interval_times", &[Takes::Any, Takes::Whole], Gives::Type(interval), |call| {
        let intervals = call.column(0).as_primitive::<IntervalMonthDayNanoType>();
        let times = call.whole(1);
        let product = |row: usize| {
            let index = call.row_of(0, row);
            let times = times.get(row).filter(|_| intervals.is_valid(index))?;
            let one = intervals.value(index);
            let small = i32::try_from(times).ok()?;
            Some(IntervalMonthDayNano::new(
                one.months.checked_mul(small)?,
                one.days.checked_mul(small)?,
                one.nanoseconds.checked_mul(times)?,
            ))
        };
        Ok(Arc::new((0..call.rows).map(product).collect::<IntervalMonthDayNanoArray>()))
    })
    .udf()
}
