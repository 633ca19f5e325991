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
use std::collections::HashMap;
use std::sync::Arc;

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
    by_name: HashMap<String, usize>,
}

impl FieldColumns {
    pub(super) fn new(fields: &Fields) -> Self {
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let by_name = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let columns = fields.iter().map(|field| Column::new(field.data_type())).collect();
        Self { columns, names, by_name }
    }

    /// The column of `name`. `guess` is where the last object had its next field: objects of one
    /// file mostly keep their order, which saves the hash.
    pub(super) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        match self.names.get(guess) {
            Some(expected) if expected == name => Some(guess),
            _ if self.names.is_empty() => None,
            _ => self.by_name.get(name).copied(),
        }
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

/// A number's text as an integer in units of 10^-scale, exactly.
fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let number = Number::parse(text).ok_or_else(|| misfit(text, "a number"))?;
    let scale = i64::from(scale);
    let unscaled = number.at_scale(scale).ok_or_else(|| {
        format!(
            "{text} does not fit DECIMAL({precision}, {scale}), which the sampled rows have there"
        )
    })?;
    match unscaled.unsigned_abs() < 10u128.pow(u32::from(precision)) {
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
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Some(rest[at + 1..].parse::<i32>().ok()?)),
            None => (rest, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || (mantissa.contains('.') && fraction.is_empty()) {
            return None;
        }
        let mut digits = 0u128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let value = digit.wrapping_sub(b'0');
            if value > 9 {
                return None;
            }
            digits = digits.checked_mul(10)?.checked_add(u128::from(value))?;
        }
        Some(Self {
            negative,
            digits,
            fraction: fraction.len() as i64 - i64::from(exponent.unwrap_or(0)),
            exponent: exponent.is_some(),
            whole: whole.trim_start_matches('0').len(),
        })
    }

    /// The number in units of 10^-scale; `None` when digits would be lost or it is too large.
    fn at_scale(self, scale: i64) -> Option<i128> {
        let shift = scale - self.fraction;
        let magnitude = match u32::try_from(shift) {
            Ok(up) => self.digits.checked_mul(10u128.checked_pow(up)?)?,
            Err(_) => {
                let power = 10u128.checked_pow(u32::try_from(-shift).ok()?)?;
                match self.digits % power {
                    0 => self.digits / power,
                    _ => return None,
                }
            }
        };
        let signed = i128::try_from(magnitude).ok()?;
        Some(if self.negative { -signed } else { signed })
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
        for wrong in ["", "-", ".5", "5.", "1.2.3", "1e", "0x1", "1 ", "NaN"] {
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
