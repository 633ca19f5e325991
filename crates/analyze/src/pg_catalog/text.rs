//! Functions of texts and arrays, as PostgreSQL has them.
//!
//! Guarantees: a text that is no identifier, pattern or number of repeats is an error, never a
//! guess; patterns are read once each.
//! Left out: what regular expressions PostgreSQL has beyond the `regex` crate's: references back,
//! and looking ahead.

use super::context::Context;
use super::functions::Answer;
use super::value::Value;
use crate::error::AnalyzeError;
use regex::Regex;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Longest text that `repeat` makes: pages of a catalogue, not a weapon.
const REPEAT_BYTES_MAX: usize = 1 << 20;
/// Patterns kept compiled: what one client's start-up asks with, several times over.
const PATTERNS_MAX: usize = 256;

static PATTERNS: LazyLock<Mutex<HashMap<(String, bool), Regex>>> = LazyLock::new(Mutex::default);

pub(super) fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn of(values: &[Value], change: impl Fn(&str) -> String) -> Value {
    Value::text(change(str_of(&values[0])))
}

/// A pattern of `~`, compiled.
pub(super) fn pattern(text: &str, ignore_case: bool) -> Result<Regex, AnalyzeError> {
    let key = (text.to_string(), ignore_case);
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = patterns.get(&key) {
        return Ok(found.clone());
    }
    let written = text.strip_prefix("***=").map_or_else(|| text.to_string(), regex::escape);
    let new = regex::RegexBuilder::new(&written)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|_| AnalyzeError::user(format!("invalid regular expression: {text:?}")))?;
    if patterns.len() >= PATTERNS_MAX {
        patterns.clear();
    }
    patterns.insert(key, new.clone());
    Ok(new)
}

/// Whether a text is like a pattern with `%` and `_`.
pub(super) fn is_like(
    text: &str,
    like: &str,
    escape: Option<char>,
    ignore_case: bool,
) -> Result<bool, AnalyzeError> {
    let mut written = String::from("(?s)^");
    let mut letters = like.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => written.push_str(".*"),
            '_' => written.push('.'),
            letter if Some(letter) == escape => match letters.next() {
                Some(next) => written.push_str(&regex::escape(&next.to_string())),
                None => return Err(AnalyzeError::user("LIKE pattern must not end with escape")),
            },
            other => written.push_str(&regex::escape(&other.to_string())),
        }
    }
    written.push('$');
    Ok(pattern(&written, ignore_case)?.is_match(text))
}

/// An identifier as SQL must write it.
pub(super) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !super::sets::is_reserved(name);
    if plain { name.into() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(super) fn quote_literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", escaped.replace('\\', "\\\\")),
        false => format!("'{escaped}'"),
    }
}

/// The parts of `a."B".c`, folded as SQL folds them; `None` where it is no such text.
pub(super) fn identifier_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part = match rest.strip_prefix('"') {
            Some(inner) => {
                let mut part = String::new();
                let mut from = 0;
                loop {
                    let end = from + inner[from..].find('"')?;
                    part.push_str(&inner[from..end]);
                    if !inner[end + 1..].starts_with('"') {
                        rest = &inner[end + 1..];
                        break;
                    }
                    part.push('"');
                    from = end + 2;
                }
                part
            }
            None => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                let part = rest[..end].to_lowercase();
                rest = &rest[end..];
                part
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None => return rest.is_empty().then_some(parts),
        }
    }
}

pub(super) fn parse_ident(_: &Context, of: &[Value]) -> Answer {
    let text = str_of(&of[0]);
    match identifier_parts(text) {
        Some(parts) => Ok(Value::array(parts.iter().map(Value::text))),
        None => Err(AnalyzeError::user(format!("string is not a valid identifier: {text:?}"))),
    }
}

pub(super) fn initcap(text: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let out = if start { c.to_uppercase().to_string() } else { c.to_lowercase().to_string() };
        start = !c.is_alphanumeric();
        out
    };
    text.chars().map(letter).collect()
}

pub(super) fn count(value: &Value) -> Value {
    Value::Int(str_of(value).chars().count() as i64)
}

pub(super) fn trim(of: &[Value], front: bool, back: bool) -> Value {
    let mut text = str_of(&of[0]);
    let set: Vec<char> = of.get(1).map_or_else(|| vec![' '], |set| str_of(set).chars().collect());
    if front {
        text = text.trim_start_matches(&set[..]);
    }
    if back {
        text = text.trim_end_matches(&set[..]);
    }
    Value::text(text)
}

pub(super) fn split_part(of: &[Value]) -> Value {
    let (text, by) = (str_of(&of[0]), str_of(&of[1]));
    let parts: Vec<&str> = if by.is_empty() { vec![text] } else { text.split(by).collect() };
    let at = of[2].as_int().unwrap_or(1);
    let place = if at < 0 { parts.len() as i64 + at } else { at - 1 };
    let part = usize::try_from(place).ok().and_then(|place| parts.get(place));
    Value::text(part.copied().unwrap_or_default())
}

pub(super) fn find(text: &Value, part: &Value) -> Value {
    let text = str_of(text);
    let at = text.find(str_of(part)).map_or(0, |at| text[..at].chars().count() + 1);
    Value::Int(at as i64)
}

/// From a character on, counted from 1; what lies before the first is not there.
pub(super) fn substring(of: &[Value]) -> Value {
    let from = of[1].as_int().unwrap_or(1);
    let to = of.get(2).and_then(Value::as_int).map_or(i64::MAX, |count| from.saturating_add(count));
    let inside = (1_i64..).zip(str_of(&of[0]).chars());
    Value::text(
        inside.filter(|(at, _)| (from..to).contains(at)).map(|(_, c)| c).collect::<String>(),
    )
}

pub(super) fn left(of: &[Value]) -> Value {
    let letters: Vec<char> = str_of(&of[0]).chars().collect();
    let asked = of[1].as_int().unwrap_or(0);
    let count = if asked < 0 { letters.len() as i64 + asked } else { asked };
    let count = usize::try_from(count).unwrap_or(0).min(letters.len());
    Value::text(letters[..count].iter().collect::<String>())
}

pub(super) fn right(of: &[Value]) -> Value {
    let letters: Vec<char> = str_of(&of[0]).chars().collect();
    let asked = of[1].as_int().unwrap_or(0);
    let from = if asked < 0 { -asked } else { letters.len() as i64 - asked };
    let from = usize::try_from(from).unwrap_or(0).min(letters.len());
    Value::text(letters[from..].iter().collect::<String>())
}

pub(super) fn repeat(_: &Context, of: &[Value]) -> Answer {
    let times = usize::try_from(of[1].as_int().unwrap_or(0)).unwrap_or(0);
    let text = str_of(&of[0]);
    if text.len().saturating_mul(times) > REPEAT_BYTES_MAX {
        return Err(AnalyzeError::user(format!("repeat() makes at most {REPEAT_BYTES_MAX} bytes")));
    }
    Ok(Value::text(text.repeat(times)))
}

pub(super) fn translate(of: &[Value]) -> Value {
    let (from, to): (Vec<char>, Vec<char>) =
        (str_of(&of[1]).chars().collect(), str_of(&of[2]).chars().collect());
    let letter = |c: char| match from.iter().position(|one| *one == c) {
        Some(at) => to.get(at).copied(),
        None => Some(c),
    };
    Value::text(str_of(&of[0]).chars().filter_map(letter).collect::<String>())
}

pub(super) fn regexp_substr(_: &Context, of: &[Value]) -> Answer {
    let pattern = pattern(str_of(&of[1]), false)?;
    let found = pattern.captures(str_of(&of[0]));
    let part = found.and_then(|found| found.get(1).or_else(|| found.get(0)));
    Ok(part.map_or(Value::Null, |part| Value::text(part.as_str())))
}

pub(super) fn regexp_match(_: &Context, of: &[Value]) -> Answer {
    let pattern = pattern(str_of(&of[1]), false)?;
    let Some(found) = pattern.captures(str_of(&of[0])) else { return Ok(Value::Null) };
    let from = usize::from(found.len() > 1);
    let groups = found.iter().skip(from);
    Ok(Value::array(groups.map(|one| one.map_or(Value::Null, |one| Value::text(one.as_str())))))
}

pub(super) fn regexp_replace(_: &Context, of: &[Value]) -> Answer {
    let flags = of.get(3).map_or("", str_of);
    let pattern = pattern(str_of(&of[1]), flags.contains('i'))?;
    let by = by_groups(str_of(&of[2]));
    let text = str_of(&of[0]);
    Ok(Value::text(match flags.contains('g') {
        true => pattern.replace_all(text, &by),
        false => pattern.replace(text, &by),
    }))
}

/// `\1` and `\&` as the `regex` crate writes them.
fn by_groups(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => out.push_str("$$"),
            '\\' => match letters.next() {
                Some('&') => out.push_str("${0}"),
                Some(digit) if digit.is_ascii_digit() => out.push_str(&format!("${{{digit}}}")),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

pub(super) fn split(text: &Value, by: &Value) -> Value {
    match (text, by.as_str()) {
        (Value::Null, _) => Value::Null,
        (text, _) if str_of(text).is_empty() => Value::array([]),
        (text, None) => Value::array(str_of(text).chars().map(|c| Value::text(c.to_string()))),
        (text, Some("")) => Value::array([text.clone()]),
        (text, Some(by)) => Value::array(str_of(text).split(by).map(Value::text)),
    }
}

pub(super) fn joined(left: &Value, right: &[Value]) -> Value {
    Value::array(left.items().iter().chain(right).cloned())
}

pub(super) fn without(array: &Value, gone: &Value) -> Value {
    Value::array(array.items().iter().filter(|item| *item != gone).cloned())
}

pub(super) fn position_in(array: &Value, wanted: &Value) -> Value {
    let at = array.items().iter().position(|item| item == wanted);
    at.map_or(Value::Null, |at| Value::Int(at as i64 + 1))
}

/// The last place of the first dimension; null of an empty array, which has none.
pub(super) fn upper(array: &Value, dimension: &Value, first: i64) -> Value {
    match array.items().len() {
        0 => Value::Null,
        _ if dimension.as_int() != Some(1) => Value::Null,
        count => Value::Int(count as i64 - 1 + first),
    }
}

pub(super) fn lower(array: &Value, first: i64) -> Value {
    if array.items().is_empty() { Value::Null } else { Value::Int(first) }
}

/// `12 kB`
pub(super) fn size(bytes: &Value) -> Value {
    let Some(bytes) = bytes.as_float() else { return Value::Null };
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut shown, mut at) = (bytes, 0);
    while shown.abs() >= 10_240.0 && at + 1 < units.len() {
        (shown, at) = (shown / 1024.0, at + 1);
    }
    Value::text(format!("{shown:.0} {}", units[at]))
}
