//! One column of a file being read: values arrive as the file's text and leave as an Arrow array.
//!
//! Guarantees: numbers go from their text to integers or decimals without passing through a float;
//! a value that does not fit the column's type is an error, never a null or a rounded number.
//! Left out: where the text comes from (JSON and CSV decoders) and which type a column has
//! (inference).

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListArray,
    StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use std::sync::Arc;
use tradewind_json::Keys;

/// A column under construction.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Decimal { precision: u8, scale: i8, values: Decimal128Builder },
    Float64(Float64Builder),
    Text(StringBuilder),
    List { field: FieldRef, lengths: Vec<usize>, valid: Vec<bool>, items: Box<Column> },
    Struct { fields: Fields, columns: FieldColumns, valid: Vec<bool> },
}

/// The columns of an object, found by name.
pub(super) struct FieldColumns {
    columns: Vec<Column>,
    names: Vec<String>,
    pub(super) keys: Keys,
}

impl FieldColumns {
    pub(super) fn new(fields: &Fields) -> Self {
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let columns = fields.iter().map(|field| Column::new(field.data_type())).collect();
        Self { columns, keys: Keys::new(names.iter().map(String::as_str)), names }
    }

    pub(super) fn name(&self, at: usize) -> &str {
        &self.names[at]
    }

    pub(super) fn column(&mut self, at: usize) -> &mut Column {
        &mut self.columns[at]
    }

    /// How many values column `at` has.
    pub(super) fn len_of(&self, at: usize) -> usize {
        self.columns[at].len()
    }

    /// Gives every column that has no value in this row a null, so that all have `rows`.
    pub(super) fn fill_to(&mut self, rows: usize) {
        for column in &mut self.columns {
            if column.len() < rows {
                column.null();
            }
        }
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

impl Column {
    /// An empty column of one of the types that inference gives.
    pub(super) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal {
                precision: *precision,
                scale: *scale,
                values: Decimal128Builder::new().with_data_type(data_type.clone()),
            },
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::List(field) => Self::List {
                field: Arc::clone(field),
                lengths: Vec::new(),
                valid: Vec::new(),
                items: Box::new(Self::new(field.data_type())),
            },
            DataType::Struct(fields) => Self::Struct {
                fields: fields.clone(),
                columns: FieldColumns::new(fields),
                valid: Vec::new(),
            },
            _ => Self::Text(StringBuilder::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Decimal { values, .. } => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::List { valid, .. } | Self::Struct { valid, .. } => valid.len(),
        }
    }

    pub(super) fn null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::Int64(values) => values.append_null(),
            Self::Decimal { values, .. } => values.append_null(),
            Self::Float64(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
            Self::List { lengths, valid, .. } => {
                lengths.push(0);
                valid.push(false);
            }
            Self::Struct { columns, valid, .. } => {
                valid.push(false);
                columns.fill_to(valid.len());
            }
        }
    }

    /// Appends a scalar from its text: a number's digits, `true`, `false`, or characters.
    pub(super) fn text(&mut self, text: &str) -> Result<(), String> {
        match self {
            Self::Text(values) => values.append_value(text),
            Self::Int64(values) => {
                values.append_value(text.parse().map_err(|_| misfit(text, "a whole number"))?);
            }
            Self::Decimal { precision, scale, values } => {
                values.append_value(decimal(text, *precision, *scale)?);
            }
            Self::Float64(values) => {
                values.append_value(text.parse().map_err(|_| misfit(text, "a number"))?);
            }
            Self::Boolean(values) => match text {
                "true" | "TRUE" | "True" => values.append_value(true),
                "false" | "FALSE" | "False" => values.append_value(false),
                _ => return Err(misfit(text, "true or false")),
            },
            Self::List { .. } => return Err(misfit(text, "a list")),
            Self::Struct { .. } => return Err(misfit(text, "an object")),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Decimal { values, .. } => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::List { field, lengths, valid, items } => Arc::new(ListArray::new(
                Arc::clone(field),
                OffsetBuffer::from_lengths(std::mem::take(lengths)),
                items.finish(),
                Some(NullBuffer::from(std::mem::take(valid))),
            )),
            Self::Struct { fields, columns, valid } => {
                let valid = std::mem::take(valid);
                let nulls = Some(NullBuffer::from(valid.clone()));
                match fields.is_empty() {
                    true => Arc::new(StructArray::new_empty_fields(valid.len(), nulls)),
                    false => Arc::new(StructArray::new(fields.clone(), columns.finish(), nulls)),
                }
            }
        }
    }
}

/// At most this much of an unfit value in a message.
const VALUE_IN_MESSAGE_CHARS_MAX: usize = 60;

fn misfit(text: &str, wanted: &str) -> String {
    let shown: String = text.chars().take(VALUE_IN_MESSAGE_CHARS_MAX).collect();
    format!("{shown:?} is not {wanted}, which the sampled rows have there")
}

/// The powers of ten that fit a decimal.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A number's text as an integer in units of 10^-scale, exactly.
fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let number = Number::parse(text).ok_or_else(|| misfit(text, "a number"))?;
    let scale = i64::from(scale);
    let unscaled = number.at_scale(scale).ok_or_else(|| {
        format!(
            "{text} does not fit DECIMAL({precision}, {scale}), which the sampled rows have there"
        )
    })?;
    match unscaled.unsigned_abs() < POWERS[usize::from(precision)] {
        true => Ok(unscaled),
        false => Err(format!("{text} does not fit DECIMAL({precision}, {scale})")),
    }
}

/// A decimal number as written: `digits` x 10^-`fraction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: u128,
    /// Digits after the point; negative for a positive exponent.
    pub(super) fraction: i64,
    /// Whether it was written with an exponent.
    pub(super) exponent: bool,
    /// Digits before the point.
    pub(super) whole: usize,
}

impl Number {
    /// Reads an optional sign, digits, an optional fraction and an optional exponent; `None` for
    /// anything else and for more digits than 38.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(rest);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => Some(split_digits(rest)).filter(|(fraction, _)| !fraction.is_empty())?,
            None => ("", rest),
        };
        let exponent = match rest.strip_prefix(['e', 'E']) {
            Some(exponent) => Some(exponent.parse::<i32>().ok()?),
            None => None,
        };
        if whole.is_empty() || (exponent.is_none() && !rest.is_empty()) {
            return None;
        }
        Some(Self {
            negative,
            digits: digits(whole, fraction)?,
            fraction: fraction.len() as i64 - i64::from(exponent.unwrap_or(0)),
            exponent: exponent.is_some(),
            whole: whole.trim_start_matches('0').len(),
        })
    }

    /// The number in units of 10^-scale; `None` when digits would be lost or it is too large.
    fn at_scale(self, scale: i64) -> Option<i128> {
        let shift = scale - self.fraction;
        let power = *POWERS.get(usize::try_from(shift.abs()).ok()?)?;
        let magnitude = match shift >= 0 {
            true => self.digits.checked_mul(power)?,
            false if self.digits.is_multiple_of(power) => self.digits / power,
            false => return None,
        };
        let signed = i128::try_from(magnitude).ok()?;
        Some(if self.negative { -signed } else { signed })
    }
}

/// The digits that `text` starts with, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// The number that the digits of `whole` and `fraction` make together; `None` if it is too large.
fn digits(whole: &str, fraction: &str) -> Option<u128> {
    let mut each = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
    // Nineteen digits fit 64 bits, which are several times as fast.
    match whole.len() + fraction.len() <= 19 {
        true => Some(each.fold(0u64, |number, digit| number * 10 + u64::from(digit)).into()),
        false => each.try_fold(0u128, |number, digit| {
            number.checked_mul(10)?.checked_add(u128::from(digit))
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal("12.5", 18, 2), Ok(1250));
        assert_eq!(decimal("-0.01", 18, 2), Ok(-1));
        assert_eq!(decimal("1e3", 18, 2), Ok(100_000));
        assert_eq!(decimal("1.2300", 18, 2), Ok(123));
        assert!(decimal("1.234", 18, 2).unwrap_err().contains("1.234"));
        assert!(decimal("12345678901234567.00", 18, 2).is_err());
        assert_eq!(decimal("99999999999999999.99", 19, 2), Ok(9_999_999_999_999_999_999));
        assert_eq!(decimal("999999999999999999.99", 20, 2), Ok(99_999_999_999_999_999_999));
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Ok(10i128.pow(38) - 1));
        assert!(decimal(&"9".repeat(39), 38, 0).is_err());
        for wrong in ["", "-", "--1", ".5", "5.", "5.e1", "1.2.3", "1e", "1e5x", "0x1", "1 ", "NaN"]
        {
            assert!(decimal(wrong, 18, 2).is_err(), "{wrong:?} was read as a number");
        }
    }

    #[test]
    fn huge_exponents_are_refused_without_work() {
        assert!(decimal("1e2000000000", 38, 2).is_err());
        assert!(decimal("1e-2000000000", 38, 2).is_err());
        assert!(
            decimal("0e-2000000000", 38, 2).is_err() || decimal("0e-2000000000", 38, 2) == Ok(0)
        );
    }
}
