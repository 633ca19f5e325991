//! From one type to another, names of objects to their oids and back.
//!
//! Guarantees: a text that is no value of the type, or names nothing there is, is an error with
//! PostgreSQL's words.
//! Left out: casts that lose digits in silence.

use super::context::Context;
use super::functions::Answer;
use super::procs;
use super::snapshot::{OWNER, PG_CATALOG, namespace_oid};
use super::text::{identifier_parts, quote_ident};
use super::types::Type;
use super::value::{Value, array_items};
use crate::error::AnalyzeError;
use crate::platform::PUBLIC;

/// Longest `name`, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// A value of type `from` as one of type `to`.
pub(super) fn cast(context: &Context, value: Value, from: Type, to: Type, modifier: i32) -> Answer {
    if value.is_null() {
        return Ok(value);
    }
    if to.is_text() || to == Type::UNKNOWN {
        return Ok(Value::text(shortened(&text(context, &value, from), to, modifier)));
    }
    if let Value::Array(items) = &value
        && let Some(element) = to.element()
    {
        let of = from.element().unwrap_or(Type::TEXT);
        let items = items.iter().map(|item| cast(context, item.clone(), of, element, modifier));
        return items.collect::<Result<Vec<_>, _>>().map(Value::array);
    }
    match &value {
        Value::Text(text) => read(context, text, to, modifier),
        Value::Int(number) => Ok(match to {
            Type::BOOL => Value::Bool(*number != 0),
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Value::Float(*number as f64),
            _ => whole(*number, to)?,
        }),
        Value::Float(number) if to.is_whole() => whole(number.round() as i64, to),
        Value::Bool(yes) if to.is_whole() => Ok(Value::Int((*yes).into())),
        Value::Micros(micros) if to == Type::DATE && from != Type::DATE => {
            Ok(Value::Micros(micros.div_euclid(86_400_000_000)))
        }
        Value::Micros(days) if from == Type::DATE && to != Type::DATE => {
            Ok(Value::Micros(days * 86_400_000_000))
        }
        _ => Ok(value),
    }
}

fn shortened(text: &str, to: Type, modifier: i32) -> String {
    let cut = |letters: usize| text.chars().take(letters).collect();
    match to {
        Type::CHAR => cut(1),
        Type::NAME => {
            let end = (0..=NAME_BYTES_MAX.min(text.len())).rev();
            let mut end = end.skip_while(|at| !text.is_char_boundary(*at));
            text[..end.next().unwrap_or(0)].to_string()
        }
        Type::VARCHAR | Type::BPCHAR if modifier > 4 => {
            cut(usize::try_from(modifier - 4).unwrap_or(usize::MAX))
        }
        _ => text.to_string(),
    }
}

fn whole(number: i64, to: Type) -> Answer {
    let fits = match to {
        Type::INT2 => i16::try_from(number).is_ok(),
        Type::INT4 => i32::try_from(number).is_ok(),
        Type::INT8 => true,
        _ => u32::try_from(number).is_ok() || i32::try_from(number).is_ok(),
    };
    match fits {
        true => Ok(Value::Int(number)),
        false => Err(AnalyzeError::user(format!("{} out of range", to.format(None)))),
    }
}

/// What a cast to `text` gives.
pub(super) fn text(context: &Context, value: &Value, ty: Type) -> String {
    match value {
        Value::Bool(yes) => if *yes { "true" } else { "false" }.into(),
        other => shown(context, other, ty),
    }
}

/// What a client is shown: of an oid that stands for an object, its name.
pub(super) fn shown(context: &Context, value: &Value, ty: Type) -> String {
    match value {
        Value::Int(oid) if ty.is_reg() => name(context, *oid, ty).unwrap_or_else(|| match oid {
            0 => "-".into(),
            oid => oid.to_string(),
        }),
        Value::Array(items) if ty.element().is_some_and(Type::is_reg) => {
            let element = ty.element().unwrap_or(ty);
            let names = items.iter().map(|item| Value::text(shown(context, item, element)));
            Value::array(names).plain(Type::TEXT_ARRAY)
        }
        other => other.plain(ty),
    }
}

fn name(context: &Context, oid: i64, ty: Type) -> Option<String> {
    let snapshot = &context.snapshot;
    match ty {
        Type::REGCLASS => {
            let (schema, name) = match snapshot.relation(oid) {
                Some(relation) => (&relation.schema, &relation.name),
                None => {
                    let (relation, key) =
                        snapshot.keyed(oid).filter(|(_, key)| i64::from(key.index) == oid)?;
                    (&relation.schema, &key.name)
                }
            };
            Some(match is_in_path(schema) {
                true => quote_ident(name),
                false => format!("{}.{}", quote_ident(schema), quote_ident(name)),
            })
        }
        Type::REGTYPE => Type(u32::try_from(oid).ok()?).row().map(|row| row.ty.format(None)),
        Type::REGPROC | Type::REGPROCEDURE => {
            procs::name(context, oid).map(|name| quote_ident(&name))
        }
        Type::REGNAMESPACE => snapshot.namespace(oid).map(quote_ident),
        Type::REGROLE => (oid == i64::from(OWNER)).then(|| quote_ident(context.identity.user())),
        _ => None,
    }
}

fn is_in_path(schema: &str) -> bool {
    [PUBLIC, PG_CATALOG].contains(&schema)
}

/// A text as a value of a type that is no text.
fn read(context: &Context, text: &str, to: Type, modifier: i32) -> Answer {
    let bad = || {
        let name = to.format(None);
        AnalyzeError::user(format!("invalid input syntax for type {name}: \"{text}\""))
    };
    let trimmed = text.trim();
    if to.is_reg() {
        return match find(context, to, &Value::text(trimmed)) {
            Value::Null => Err(missing(to, trimmed)),
            found => Ok(found),
        };
    }
    if to.is_whole() {
        return whole(trimmed.parse().map_err(|_| bad())?, to);
    }
    if to.is_vector() {
        let numbers = trimmed.split_whitespace().map(|one| one.parse().map(Value::Int));
        return numbers.collect::<Result<Vec<_>, _>>().map(Value::array).map_err(|_| bad());
    }
    if let Some(element) = to.element() {
        let items = array_items(text)
            .ok_or_else(|| AnalyzeError::user(format!("malformed array literal: \"{text}\"")))?;
        let items = items.into_iter().map(|item| match item {
            Some(item) => cast(context, Value::text(item), Type::UNKNOWN, element, modifier),
            None => Ok(Value::Null),
        });
        return items.collect::<Result<Vec<_>, _>>().map(Value::array);
    }
    match to {
        Type::BOOL => boolean(trimmed).map(Value::Bool).ok_or_else(bad),
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => {
            trimmed.parse().map(Value::Float).map_err(|_| bad())
        }
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let utc = arrow::array::timezone::Tz::from_str_utc();
            let moment = arrow::compute::kernels::cast_utils::string_to_datetime(&utc, trimmed);
            let micros = moment.map_err(|_| bad())?.timestamp_micros();
            Ok(Value::Micros(if to == Type::DATE {
                micros.div_euclid(86_400_000_000)
            } else {
                micros
            }))
        }
        _ => Ok(Value::text(text)),
    }
}

trait Utc {
    fn from_str_utc() -> Self;
}

impl Utc for arrow::array::timezone::Tz {
    fn from_str_utc() -> Self {
        "+00:00".parse().expect("the offset of UTC")
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn missing(ty: Type, text: &str) -> AnalyzeError {
    let kind = match ty {
        Type::REGCLASS => "relation",
        Type::REGTYPE => "type",
        Type::REGPROC | Type::REGPROCEDURE => "function",
        Type::REGNAMESPACE => "schema",
        Type::REGROLE => "role",
        _ => "object",
    };
    AnalyzeError::user(format!("{kind} \"{text}\" does not exist"))
}

/// The oid of what is named; null where nothing is.
pub(super) fn find(context: &Context, ty: Type, text: &Value) -> Value {
    let Some(text) = text.as_str().map(str::trim) else { return Value::Null };
    if let Ok(oid) = text.parse::<u32>() {
        return Value::Int(oid.into());
    }
    if text == "-" {
        return Value::Int(0);
    }
    let found = match ty {
        Type::REGTYPE => Type::named(text).map(|(found, _)| found.0),
        Type::REGPROC | Type::REGPROCEDURE => {
            let name = text.split('(').next().unwrap_or(text);
            let parts = identifier_parts(name).unwrap_or_default();
            parts.last().and_then(|name| procs::oid(context, name))
        }
        _ => identifier_parts(text).and_then(|parts| named(context, ty, &parts)),
    };
    found.map_or(Value::Null, |oid| Value::Int(oid.into()))
}

fn named(context: &Context, ty: Type, parts: &[String]) -> Option<u32> {
    let snapshot = &context.snapshot;
    match (ty, parts) {
        (Type::REGCLASS, [name]) => {
            snapshot.named(PG_CATALOG, name).or_else(|| snapshot.named(PUBLIC, name))
        }
        (Type::REGCLASS, [.., schema, name]) => snapshot.named(schema, name),
        (Type::REGNAMESPACE, [name]) => {
            let oid = namespace_oid(name);
            snapshot.namespace(oid.into()).map(|_| oid)
        }
        (Type::REGROLE, [name]) => (name == context.identity.user()).then_some(OWNER),
        _ => None,
    }
}
