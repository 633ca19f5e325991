//! The types of a file's columns, from a sample of its rows.
//!
//! Guarantees: numbers with a fraction are decimals with the digits the sample has, so sums of
//! money are exact; numbers with an exponent, or with more than [`FRACTION_DIGITS_MAX`] digits
//! after the point, are floats; values of several kinds in one column are text.
//! Left out: dates and times, which stay text until a cast says what they are.

use super::column::Number;
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::HashMap;

/// More digits after the point than this are a measurement, not money.
const FRACTION_DIGITS_MAX: i64 = 9;
/// Numbers up to this many digits get room to [`NARROW_PRECISION`], larger ones to 38.
const NARROW_DIGITS_MAX: usize = 14;
const NARROW_PRECISION: u8 = 18;
/// An object with more fields than this is a map: its JSON text is kept instead.
const OBJECT_FIELDS_MAX: usize = 1_000;
/// Deeper values are kept as their JSON text.
pub(super) const DEPTH_MAX: usize = 16;

/// What a column's values have been so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Seen {
    #[default]
    Nothing,
    Boolean,
    /// Numbers: the most digits before the point and after it.
    Number {
        whole: usize,
        fraction: i64,
    },
    Float,
    Text,
    List(Box<Seen>),
    Object(Shape),
}

/// The fields of an object in the order they were first seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shape {
    fields: Vec<(String, Seen)>,
    by_name: HashMap<String, usize>,
}

impl Shape {
    pub(super) fn field(&mut self, name: &str) -> &mut Seen {
        let at = match self.by_name.get(name) {
            Some(at) => *at,
            None => {
                self.by_name.insert(name.to_string(), self.fields.len());
                self.fields.push((name.to_string(), Seen::Nothing));
                self.fields.len() - 1
            }
        };
        &mut self.fields[at].1
    }

    /// The columns of rows of this shape.
    pub(super) fn columns(&self) -> Fields {
        self.fields.iter().map(|(name, seen)| Field::new(name, seen.data_type(), true)).collect()
    }

    /// Whether there are too many fields for columns.
    pub(super) fn is_map(&self) -> bool {
        self.fields.len() > OBJECT_FIELDS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl Seen {
    /// What a number written like this is.
    pub(super) fn number(text: &str) -> Self {
        match Number::parse(text) {
            Some(number) if !number.exponent && number.fraction <= FRACTION_DIGITS_MAX => {
                Self::Number { whole: number.whole, fraction: number.fraction }
            }
            _ => Self::Float,
        }
    }

    /// Takes another value of the column in, neither a list nor an object: what those hold is added
    /// to what is in them.
    pub(super) fn add(&mut self, other: Seen) {
        *self = std::mem::take(self).with(other);
    }

    fn with(self, other: Seen) -> Self {
        match (self, other) {
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (
                Self::Number { whole, fraction },
                Self::Number { whole: other_whole, fraction: other_fraction },
            ) => Self::Number {
                whole: whole.max(other_whole),
                fraction: fraction.max(other_fraction),
            },
            (Self::Float | Self::Number { .. }, Self::Float)
            | (Self::Float, Self::Number { .. }) => Self::Float,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            _ => Self::Text,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            // Up to 18 digits fit an Int64, whatever they are.
            Self::Number { whole, fraction: 0 } if *whole <= 18 => DataType::Int64,
            Self::Number { whole, fraction } => {
                let narrow = whole + *fraction as usize <= NARROW_DIGITS_MAX;
                DataType::Decimal128(if narrow { NARROW_PRECISION } else { 38 }, *fraction as i8)
            }
            Self::Float => DataType::Float64,
            Self::List(items) => DataType::new_list(items.data_type(), true),
            Self::Object(shape) if !shape.is_empty() => DataType::Struct(shape.columns()),
            _ => DataType::Utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> DataType {
        let mut seen = Seen::Nothing;
        for text in texts {
            seen.add(Seen::number(text));
        }
        seen.data_type()
    }

    #[test]
    fn numbers_get_the_digits_the_sample_has() {
        assert_eq!(of(&["1", "200"]), DataType::Int64);
        assert_eq!(of(&["1", "2.5", "10.25"]), DataType::Decimal128(18, 2));
        assert_eq!(of(&["1234567890123.45"]), DataType::Decimal128(38, 2));
        assert_eq!(of(&["12345678901234567890"]), DataType::Decimal128(38, 0));
        assert_eq!(of(&["2.5", "1e3"]), DataType::Float64);
        assert_eq!(of(&["52.5200065999999"]), DataType::Float64);
    }

    #[test]
    fn a_column_of_several_kinds_is_text() {
        let mut seen = Seen::number("1");
        seen.add(Seen::Text);
        seen.add(Seen::number("2"));
        assert_eq!(seen.data_type(), DataType::Utf8);
    }
}
