//! Builders of types without parts.
//!
//! Guarantees: a value is taken whole or refused with a reason; nothing is added then. A value of
//! JSON has been passed over either way, unless the text is broken there.
//! Left out: nulls of the record's making, which the caller knows.

use super::{number, number::NumberError, time};
use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::sync::Arc;
use tradewind_json::{Cursor, Fault};
use tradewind_sql::{precision_of, type_name};

/// A builder of one type.
pub(in super::super) enum ScalarBuilder {
    /// And the bytes of a text in the last batch, on average.
    Text(StringBuilder, usize),
    Bytes(BinaryBuilder),
    Boolean(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    /// Its type, and the microseconds of its last digit: those past it are cut.
    Timestamp(TimestampMicrosecondBuilder, DataType, i64),
}

/// The same expression for every builder.
macro_rules! each {
    ($self:expr, $builder:ident => $body:expr) => {
        match $self {
            ScalarBuilder::Text($builder, _) => $body,
            ScalarBuilder::Bytes($builder) => $body,
            ScalarBuilder::Boolean($builder) => $body,
            ScalarBuilder::Int8($builder) => $body,
            ScalarBuilder::Int16($builder) => $body,
            ScalarBuilder::Int32($builder) => $body,
            ScalarBuilder::Int64($builder) => $body,
            ScalarBuilder::Float32($builder) => $body,
            ScalarBuilder::Float64($builder) => $body,
            ScalarBuilder::Decimal($builder, ..) => $body,
            ScalarBuilder::Date($builder) => $body,
            ScalarBuilder::Timestamp($builder, ..) => $body,
        }
    };
}

impl ScalarBuilder {
    pub(in super::super) fn new(field: &Field) -> Result<Self, String> {
        let data_type = field.data_type();
        Ok(match data_type {
            DataType::Utf8 => Self::Text(StringBuilder::new(), 0),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(PrimitiveBuilder::new()),
            DataType::Int16 => Self::Int16(PrimitiveBuilder::new()),
            DataType::Int32 => Self::Int32(PrimitiveBuilder::new()),
            DataType::Int64 => Self::Int64(PrimitiveBuilder::new()),
            DataType::Float32 => Self::Float32(PrimitiveBuilder::new()),
            DataType::Float64 => Self::Float64(PrimitiveBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal(
                Decimal128Builder::new().with_data_type(data_type.clone()),
                *precision,
                *scale,
            ),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(
                TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()),
                data_type.clone(),
                10_i64.pow(6_u32.saturating_sub(precision_of(field).into())),
            ),
            other => return Err(format!("JSON has no {}", type_name(other))),
        })
    }

    /// Adds so many nulls or, where there may be none, values that mean nothing.
    pub(in super::super) fn append_fillers(&mut self, nullable: bool, count: usize) {
        if nullable {
            return each!(self, builder => builder.append_nulls(count));
        }
        for _ in 0..count {
            match self {
                Self::Text(builder, _) => builder.append_value(""),
                Self::Bytes(builder) => builder.append_value(b""),
                Self::Boolean(builder) => builder.append_value(false),
                Self::Int8(builder) => builder.append_value(0),
                Self::Int16(builder) => builder.append_value(0),
                Self::Int32(builder) => builder.append_value(0),
                Self::Int64(builder) => builder.append_value(0),
                Self::Float32(builder) => builder.append_value(0.0),
                Self::Float64(builder) => builder.append_value(0.0),
                Self::Decimal(builder, ..) => builder.append_value(0),
                Self::Date(builder) => builder.append_value(0),
                Self::Timestamp(builder, ..) => builder.append_value(0),
            }
        }
    }

    /// Makes room for the rows of a batch, where growing would copy much.
    pub(super) fn reserve(&mut self, rows: usize) {
        if let Self::Text(builder, average) = self {
            let bytes = rows * (*average + *average / 8);
            *builder = StringBuilder::with_capacity(rows, bytes);
        }
    }

    /// Adds the value at the cursor, which begins with `first` and is not null.
    #[inline(always)]
    pub(super) fn append(&mut self, cursor: &mut Cursor<'_>, first: u8) -> Result<(), Stop> {
        match self {
            Self::Text(builder, _) => match first {
                b'"' => builder.append_value(characters(cursor)?),
                _ => builder.append_value(cursor.value()?),
            },
            Self::Int32(builder) => builder.append_value(integer(cursor, first, "INT")?),
            Self::Int64(builder) => builder.append_value(integer(cursor, first, "BIGINT")?),
            Self::Timestamp(builder, data_type, unit) => {
                let text = string(cursor, first)?;
                let micros = text.as_deref().and_then(time::instant).ok_or_else(|| {
                    format!("is no {} such as \"2026-11-21T08:26:00Z\"", type_name(data_type))
                })?;
                builder.append_value(match *unit {
                    1 => micros,
                    unit => micros.div_euclid(unit) * unit,
                });
            }
            other => other.append_rarer(cursor, first)?,
        }
        Ok(())
    }

    fn append_rarer(&mut self, cursor: &mut Cursor<'_>, first: u8) -> Result<(), Stop> {
        match self {
            Self::Bytes(builder) => {
                let text = string(cursor, first)?.ok_or("is no text in base64")?;
                builder.append_value(STANDARD.decode(&*text).map_err(|_| "is no base64")?);
            }
            Self::Boolean(builder) => {
                let text = match first {
                    b'"' => characters(cursor)?,
                    _ => Cow::Borrowed(cursor.value()?),
                };
                builder.append_value(boolean_of(&text)?);
            }
            Self::Int8(builder) => builder.append_value(integer(cursor, first, "TINYINT")?),
            Self::Int16(builder) => builder.append_value(integer(cursor, first, "SMALLINT")?),
            Self::Float32(builder) => builder.append_value(float(cursor, first, "FLOAT")? as f32),
            Self::Float64(builder) => builder.append_value(float(cursor, first, "DOUBLE")?),
            Self::Decimal(builder, precision, scale) => {
                let name = || type_name(&DataType::Decimal128(*precision, *scale));
                let text = numeral(cursor, first)?.ok_or_else(|| format!("is no {}", name()))?;
                let value = number::decimal(text.trim_ascii(), *precision, *scale);
                builder.append_value(value.map_err(|error| explain(error, &name()))?);
            }
            Self::Date(builder) => {
                let days = string(cursor, first)?.as_deref().and_then(time::date);
                builder.append_value(days.ok_or("is no DATE such as \"2026-11-21\"")?);
            }
            Self::Text(..) | Self::Int32(_) | Self::Int64(_) | Self::Timestamp(..) => {
                unreachable!("they are read where all are told apart")
            }
        }
        Ok(())
    }

    /// A value from its text, as it stands in CSV, or what it is not.
    pub(in super::super) fn parse<'a>(&self, text: &'a str) -> Result<Parsed<'a>, String> {
        Parsed::new(self, text)
    }

    /// Adds what [`Self::parse`] has read.
    pub(in super::super) fn append_parsed(&mut self, parsed: Parsed<'_>) {
        match (self, parsed) {
            (Self::Text(builder, _), Parsed::Text(value)) => builder.append_value(value),
            (Self::Bytes(builder), Parsed::Bytes(value)) => builder.append_value(value),
            (Self::Boolean(builder), Parsed::Boolean(value)) => builder.append_value(value),
            (Self::Int8(builder), Parsed::Integer(value)) => builder.append_value(value as i8),
            (Self::Int16(builder), Parsed::Integer(value)) => builder.append_value(value as i16),
            (Self::Int32(builder), Parsed::Integer(value)) => builder.append_value(value as i32),
            (Self::Int64(builder), Parsed::Integer(value)) => builder.append_value(value),
            (Self::Float32(builder), Parsed::Float(value)) => builder.append_value(value as f32),
            (Self::Float64(builder), Parsed::Float(value)) => builder.append_value(value),
            (Self::Decimal(builder, ..), Parsed::Decimal(value)) => builder.append_value(value),
            (Self::Date(builder), Parsed::Date(value)) => builder.append_value(value),
            (Self::Timestamp(builder, ..), Parsed::Timestamp(value)) => builder.append_value(value),
            _ => unreachable!("a column appends what it has parsed itself"),
        }
    }

    pub(in super::super) fn finish(&mut self) -> ArrayRef {
        if let Self::Text(builder, average) = self {
            *average = builder.values_slice().len() / builder.len().max(1);
        }
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// Why a value was not added.
pub(super) enum Stop {
    /// The text is not JSON where the cursor stands.
    Broken(Fault),
    /// The value is JSON, but nothing for its column: what it is not.
    Misfit(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Misfit(reason.to_string())
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Misfit(reason)
    }
}

/// A text's value in a builder's type.
#[derive(Debug, Clone)]
pub(in super::super) enum Parsed<'a> {
    Text(&'a str),
    Bytes(Vec<u8>),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Decimal(i128),
    Date(i32),
    Timestamp(i64),
}

impl<'a> Parsed<'a> {
    fn new(builder: &ScalarBuilder, text: &'a str) -> Result<Self, String> {
        use ScalarBuilder as B;
        let trimmed = text.trim_ascii();
        let integer = |name: &str, fits: fn(i64) -> bool| {
            let value = number::integer(trimmed).map_err(|error| explain(error, name))?;
            match fits(value) {
                true => Ok(Self::Integer(value)),
                false => Err(explain(NumberError::Range, name)),
            }
        };
        Ok(match builder {
            B::Text(..) => Self::Text(text),
            B::Bytes(_) => Self::Bytes(STANDARD.decode(text).map_err(|_| "is no base64")?),
            B::Boolean(_) => Self::Boolean(boolean_of(trimmed)?),
            B::Int8(_) => integer("TINYINT", |value| i8::try_from(value).is_ok())?,
            B::Int16(_) => integer("SMALLINT", |value| i16::try_from(value).is_ok())?,
            B::Int32(_) => integer("INT", |value| i32::try_from(value).is_ok())?,
            B::Int64(_) => integer("BIGINT", |_| true)?,
            B::Float32(_) => Self::Float(trimmed.parse().map_err(|_| "is no FLOAT")?),
            B::Float64(_) => Self::Float(trimmed.parse().map_err(|_| "is no DOUBLE")?),
            B::Decimal(_, precision, scale) => {
                let name = || type_name(&DataType::Decimal128(*precision, *scale));
                let value = number::decimal(trimmed, *precision, *scale);
                Self::Decimal(value.map_err(|error| explain(error, &name()))?)
            }
            B::Date(_) => Self::Date(time::date(trimmed).ok_or("is no DATE")?),
            B::Timestamp(_, data_type, unit) => {
                let value = time::instant(trimmed);
                let value = value.ok_or_else(|| format!("is no {}", type_name(data_type)))?;
                Self::Timestamp(value.div_euclid(*unit) * *unit)
            }
        })
    }
}

/// A text's characters.
#[inline(always)]
fn characters<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Stop> {
    let text = cursor.string()?;
    let nothing = |_| Stop::Misfit("is no text: an escape in it means nothing".to_string());
    text.characters().map_err(nothing)
}

/// A text's characters; `None` of anything else.
#[inline(always)]
fn string<'a>(cursor: &mut Cursor<'a>, first: u8) -> Result<Option<Cow<'a, str>>, Fault> {
    match first {
        b'"' => Ok(cursor.string()?.characters().ok()),
        _ => cursor.skip().map(|()| None),
    }
}

fn boolean_of(text: &str) -> Result<bool, String> {
    match text {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("is no BOOLEAN".to_string()),
    }
}

/// The text of a number, or a text that may be one.
fn numeral<'a>(cursor: &mut Cursor<'a>, first: u8) -> Result<Option<Cow<'a, str>>, Fault> {
    match first {
        b'-' | b'0'..=b'9' => cursor.value().map(|text| Some(Cow::Borrowed(text))),
        _ => string(cursor, first),
    }
}

#[inline(always)]
fn integer<T: TryFrom<i64>>(cursor: &mut Cursor<'_>, first: u8, name: &str) -> Result<T, Stop> {
    let wide = match cursor.integer() {
        Some(wide) => wide,
        None => rarer_integer(cursor, first, name)?,
    };
    Ok(T::try_from(wide).map_err(|_| explain(NumberError::Range, name))?)
}

/// A whole number that is a text, or has a point or an exponent or many digits.
#[cold]
fn rarer_integer(cursor: &mut Cursor<'_>, first: u8, name: &str) -> Result<i64, Stop> {
    let text = numeral(cursor, first)?.ok_or_else(|| format!("is no {name}"))?;
    Ok(number::integer(text.trim_ascii()).map_err(|error| explain(error, name))?)
}

fn float(cursor: &mut Cursor<'_>, first: u8, name: &str) -> Result<f64, Stop> {
    let text = numeral(cursor, first)?.ok_or_else(|| format!("is no {name}"))?;
    Ok(text.trim_ascii().parse().map_err(|_| format!("is no {name}"))?)
}

fn explain(error: NumberError, name: &str) -> String {
    match error {
        NumberError::Syntax => format!("is no {name}"),
        NumberError::Range => format!("does not fit {name}"),
        NumberError::Fraction => format!("has a fraction, and {name} has none"),
    }
}
