//! A column's type, as Flink and PostgreSQL write it, to Arrow.
//!
//! Guarantees: timestamps are microseconds, `TIMESTAMP` without a zone and `TIMESTAMP_LTZ` as an
//! instant; `DECIMAL` is exact. A type nobody reads yet is refused with what to use instead.
//! Left out: enforcing `VARCHAR(n)`, which Flink does not do either unless told to.

use super::Cursor;
use crate::{Dialect, SqlError, did_you_mean};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// Most digits of a `DECIMAL`.
const DECIMAL_DIGITS_MAX: u64 = 38;
/// Digits of a `DECIMAL` that names none, as in Flink.
const FLINK_DECIMAL: (u64, u64) = (10, 0);
/// The same in the `postgres` dialect, where it means any number: what a cast to it gives, and
/// enough for every amount.
const POSTGRES_DECIMAL: (u64, u64) = (38, 10);
/// How deep types may nest.
const DEPTH_MAX: usize = 16; // deeper JSON is kept as text

const NAMES: [&str; 37] = [
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BYTEA",
    "BYTES",
    "CHAR",
    "CHARACTER",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "MAP",
    "NUMERIC",
    "REAL",
    "ROW",
    "SMALLINT",
    "STRING",
    "TEXT",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
    "BOOL",
    "DEC",
    "INT2",
    "INT4",
    "INT8",
    "FLOAT4",
    "FLOAT8",
    "TIME",
    "MULTISET",
    "INTERVAL",
];

/// The digits of a second of the type that comes next, where it is a time that names them.
pub(super) fn digits(cursor: &mut Cursor<'_>) -> Option<u8> {
    const TIMES: [&str; 3] = ["TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMPTZ"];
    if !TIMES.iter().any(|name| cursor.at_words(&[name])) {
        return None;
    }
    let parser = cursor.parser();
    match (&parser.peek_nth_token_ref(1).token, &parser.peek_nth_token_ref(2).token) {
        (Token::LParen, Token::Number(digits, _)) => digits.parse().ok(),
        _ => None,
    }
}

/// Reads a type and whether it may be null.
pub(super) fn data_type(cursor: &mut Cursor<'_>) -> Result<(DataType, bool), SqlError> {
    nested(cursor, 0)
}

fn nested(cursor: &mut Cursor<'_>, depth: usize) -> Result<(DataType, bool), SqlError> {
    if depth == DEPTH_MAX {
        return Err(SqlError::at(
            cursor.position(),
            format!("a type nests at most {DEPTH_MAX} levels"),
        ));
    }
    let start = cursor.position();
    let name = cursor.identifier("a type")?.to_uppercase();
    let data_type = match name.as_str() {
        "ROW" => row(cursor, depth)?,
        "ARRAY" => {
            cursor.expect_token(&Token::Lt)?;
            let (element, nullable) = nested(cursor, depth + 1)?;
            close(cursor)?;
            DataType::List(Arc::new(Field::new_list_field(element, nullable)))
        }
        "MAP" => map(cursor, depth)?,
        "DECIMAL" | "NUMERIC" | "DEC" => decimal(cursor)?,
        "TIMESTAMP" | "TIMESTAMP_LTZ" | "TIMESTAMPTZ" => timestamp(cursor, &name)?,
        _ => simple(cursor, &name).ok_or_else(|| unknown(&name, start))?,
    };
    length(cursor, &name)?;
    let nullable = if cursor.eat(&["NOT", "NULL"]) {
        false
    } else {
        cursor.eat(&["NULL"]);
        true
    };
    Ok((data_type, nullable))
}

fn simple(cursor: &mut Cursor<'_>, name: &str) -> Option<DataType> {
    Some(match name {
        "STRING" | "VARCHAR" | "CHAR" | "TEXT" => DataType::Utf8,
        "BYTES" | "BINARY" | "VARBINARY" | "BYTEA" => DataType::Binary,
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" | "INT2" => DataType::Int16,
        "INT" | "INTEGER" | "INT4" => DataType::Int32,
        "BIGINT" | "INT8" => DataType::Int64,
        "CHARACTER" => {
            cursor.eat(&["VARYING"]);
            DataType::Utf8
        }
        "FLOAT" if cursor.at_token(&Token::LParen) => float(cursor)?,
        "FLOAT" | "REAL" | "FLOAT4" => DataType::Float32,
        "DOUBLE" | "FLOAT8" => {
            cursor.eat(&["PRECISION"]);
            DataType::Float64
        }
        "DATE" => DataType::Date32,
        _ => return None,
    })
}

/// `FLOAT(bits)`, as PostgreSQL has it: up to 24 are a `REAL`. Any other length is for the caller.
fn float(cursor: &mut Cursor<'_>) -> Option<DataType> {
    cursor.expect_token(&Token::LParen).ok()?;
    let bits = cursor.integer("how many bits").ok()?;
    cursor.expect_token(&Token::RParen).ok()?;
    match bits {
        1..=24 => Some(DataType::Float32),
        25..=53 => Some(DataType::Float64),
        _ => None,
    }
}

fn unknown(name: &str, start: crate::Position) -> SqlError {
    match name {
        "TIME" | "MULTISET" | "INTERVAL" => {
            SqlError::at(start, format!("columns of type {name} are not supported"))
                .hint("STRING keeps the value as text")
        }
        _ => SqlError::at(start, format!("there is no type {name}"))
            .maybe_hint(did_you_mean(name, NAMES)),
    }
}

/// `(n)` after the types that take a length.
fn length(cursor: &mut Cursor<'_>, name: &str) -> Result<(), SqlError> {
    if matches!(name, "VARCHAR" | "CHAR" | "CHARACTER" | "BINARY" | "VARBINARY")
        && cursor.eat_token(&Token::LParen)
    {
        cursor.integer("a length")?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(())
}

fn decimal(cursor: &mut Cursor<'_>) -> Result<DataType, SqlError> {
    let start = cursor.position();
    let (mut precision, mut scale) = match cursor.dialect() {
        Dialect::Flink => FLINK_DECIMAL,
        Dialect::Postgres => POSTGRES_DECIMAL,
    };
    if cursor.eat_token(&Token::LParen) {
        (precision, scale) = (cursor.integer("how many digits")?, 0);
        if cursor.eat_token(&Token::Comma) {
            scale = cursor.integer("how many digits after the point")?;
        }
        cursor.expect_token(&Token::RParen)?;
    }
    if precision == 0 || precision > DECIMAL_DIGITS_MAX || scale > precision {
        return Err(SqlError::at(
            start,
            format!(
                "DECIMAL({precision}, {scale}) cannot be: 1 to {DECIMAL_DIGITS_MAX} digits, of which at most all are after the point"
            ),
        ));
    }
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

fn timestamp(cursor: &mut Cursor<'_>, name: &str) -> Result<DataType, SqlError> {
    let start = cursor.position();
    if cursor.eat_token(&Token::LParen) {
        let digits = cursor.integer("how many digits of a second")?;
        cursor.expect_token(&Token::RParen)?;
        if digits > 6 {
            return Err(SqlError::at(
                start,
                format!("{name}({digits}) is finer than microseconds"),
            )
            .hint(format!("{name}(6) is the finest")));
        }
    }
    let mut instant = name != "TIMESTAMP";
    if !instant {
        instant =
            cursor.eat(&["WITH", "LOCAL", "TIME", "ZONE"]) || cursor.eat(&["WITH", "TIME", "ZONE"]);
        if !instant {
            cursor.eat(&["WITHOUT", "TIME", "ZONE"]);
        }
    }
    Ok(DataType::Timestamp(TimeUnit::Microsecond, instant.then(|| "UTC".into())))
}

/// `ROW<name type, …>` or `ROW(name type, …)`.
fn row(cursor: &mut Cursor<'_>, depth: usize) -> Result<DataType, SqlError> {
    let round = cursor.eat_token(&Token::LParen);
    if !round {
        cursor.expect_token(&Token::Lt)?;
    }
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let start = cursor.position();
        let name = cursor.identifier("a field's name")?;
        if fields.iter().any(|field| *field.name() == name) {
            return Err(SqlError::at(start, format!("field {name:?} is there twice")));
        }
        let (data_type, nullable) = nested(cursor, depth + 1)?;
        if matches!(cursor.parser().peek_token_ref().token, Token::SingleQuotedString(_)) {
            cursor.string("a comment")?;
        }
        fields.push(Field::new(name, data_type, nullable));
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    if round {
        cursor.expect_token(&Token::RParen)?
    } else {
        close(cursor)?
    }
    Ok(DataType::Struct(Fields::from(fields)))
}

fn map(cursor: &mut Cursor<'_>, depth: usize) -> Result<DataType, SqlError> {
    cursor.expect_token(&Token::Lt)?;
    let start = cursor.position();
    let (key, _) = nested(cursor, depth + 1)?;
    if key != DataType::Utf8 {
        return Err(
            SqlError::at(start, "the keys of a MAP are STRING").hint("JSON has no other keys")
        );
    }
    cursor.expect_token(&Token::Comma)?;
    let (value, nullable) = nested(cursor, depth + 1)?;
    close(cursor)?;
    let entries =
        Fields::from(vec![Field::new("key", key, false), Field::new("value", value, nullable)]);
    Ok(DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false))
}

/// `>`; the tokenizer's `>>` has been taken apart before.
fn close(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    if cursor.eat_token(&Token::Gt) { Ok(()) } else { Err(cursor.expected("',' or '>'")) }
}
