//! Builders of types without parts.
//!
//! Guarantees: a value is taken whole or refused with a reason; nothing is added then.
//! Left out: nulls of the record's making, which the caller knows.

use super::{number, number::NumberError, time};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, PrimitiveBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};
use std::sync::Arc;
use tradewind_sql::{precision_of, type_name};

/// A builder of one type.
pub(in super::super) enum ScalarBuilder {
    Text(StringBuilder),
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
            ScalarBuilder::Text($builder) => $body,
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
            DataType::Utf8 => Self::Text(StringBuilder::new()),
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

    pub(in super::super) fn append_filler(&mut self, nullable: bool) {
        if nullable {
            return each!(self, builder => builder.append_null());
        }
        match self {
            Self::Text(builder) => builder.append_value(""),
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

    /// Adds a value that is not null, or says what it is not.
    pub(super) fn append(&mut self, value: &LazyValue<'_>) -> Result<(), String> {
        match self {
            Self::Text(builder) => builder.append_value(string(value)?),
            Self::Bytes(builder) => {
                let text = value.as_str().ok_or("is no text in base64")?;
                builder.append_value(STANDARD.decode(text).map_err(|_| "is no base64")?);
            }
            Self::Boolean(builder) => builder.append_value(boolean(value)?),
            Self::Int8(builder) => builder.append_value(integer(value, "TINYINT")?),
            Self::Int16(builder) => builder.append_value(integer(value, "SMALLINT")?),
            Self::Int32(builder) => builder.append_value(integer(value, "INT")?),
            Self::Int64(builder) => builder.append_value(integer(value, "BIGINT")?),
            Self::Float32(builder) => builder.append_value(float(value, "FLOAT")? as f32),
            Self::Float64(builder) => builder.append_value(float(value, "DOUBLE")?),
            Self::Decimal(builder, precision, scale) => {
                builder.append_value(decimal(value, *precision, *scale)?);
            }
            Self::Date(builder) => {
                let days = value.as_str().and_then(time::date);
                builder.append_value(days.ok_or("is no DATE such as \"2026-11-21\"")?);
            }
            Self::Timestamp(builder, data_type, unit) => {
                let micros = value.as_str().and_then(time::instant).ok_or_else(|| {
                    format!("is no {} such as \"2026-11-21T08:26:00Z\"", type_name(data_type))
                })?;
                builder.append_value(micros.div_euclid(*unit) * *unit);
            }
        }
        Ok(())
    }

    /// Whether [`Self::append_text`] would take a text.
    pub(in super::super) fn check_text(&self, text: &str) -> Result<(), String> {
        Parsed::new(self, text).map(|_| ())
    }

    /// Adds a value from its text, as it stands in CSV, or says what it is not.
    pub(in super::super) fn append_text(&mut self, text: &str) -> Result<(), String> {
        let parsed = Parsed::new(self, text)?;
        match (self, parsed) {
            (Self::Text(builder), _) => builder.append_value(text),
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
            _ => return Err("is of another type".to_string()),
        }
        Ok(())
    }

    pub(in super::super) fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// A text's value in a builder's type.
enum Parsed {
    Text,
    Bytes(Vec<u8>),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Decimal(i128),
    Date(i32),
    Timestamp(i64),
}

impl Parsed {
    fn new(builder: &ScalarBuilder, text: &str) -> Result<Self, String> {
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
            B::Text(_) => Self::Text,
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

/// The JSON of a value as it stands. The parser leaves white space behind a number in an array.
pub(super) fn raw<'a>(value: &'a LazyValue<'_>) -> &'a str {
    value.as_raw_str().trim_ascii()
}

/// A text without its quotes and escapes; of anything else the JSON as it stands.
fn string<'a>(value: &'a LazyValue<'_>) -> Result<&'a str, String> {
    if value.get_type() == JsonType::String {
        return value.as_str().ok_or_else(|| "is no text: an escape in it means nothing".into());
    }
    Ok(raw(value))
}

fn boolean(value: &LazyValue<'_>) -> Result<bool, String> {
    boolean_of(value.as_str().unwrap_or_else(|| raw(value)))
}

fn boolean_of(text: &str) -> Result<bool, String> {
    match text {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("is no BOOLEAN".to_string()),
    }
}

/// The text of a number, or of a text that may be one.
fn numeral<'a>(value: &'a LazyValue<'_>) -> Option<&'a str> {
    match value.get_type() {
        JsonType::Number => Some(raw(value)),
        JsonType::String => value.as_str().map(str::trim_ascii),
        _ => None,
    }
}

fn integer<T: TryFrom<i64>>(value: &LazyValue<'_>, name: &str) -> Result<T, String> {
    let text = numeral(value).ok_or_else(|| format!("is no {name}"))?;
    let wide = number::integer(text).map_err(|error| explain(error, name))?;
    T::try_from(wide).map_err(|_| explain(NumberError::Range, name))
}

fn decimal(value: &LazyValue<'_>, precision: u8, scale: i8) -> Result<i128, String> {
    let name = || type_name(&DataType::Decimal128(precision, scale));
    let text = numeral(value).ok_or_else(|| format!("is no {}", name()))?;
    number::decimal(text, precision, scale).map_err(|error| explain(error, &name()))
}

fn float(value: &LazyValue<'_>, name: &str) -> Result<f64, String> {
    let text = numeral(value).ok_or_else(|| format!("is no {name}"))?;
    text.parse().map_err(|_| format!("is no {name}"))
}

fn explain(error: NumberError, name: &str) -> String {
    match error {
        NumberError::Syntax => format!("is no {name}"),
        NumberError::Range => format!("does not fit {name}"),
        NumberError::Fraction => format!("has a fraction, and {name} has none"),
    }
}
