//! `REGEXP`, `REGEXP_EXTRACT`, `REGEXP_REPLACE`, `REGEXP_COUNT`, `REGEXP_SUBSTR`, `REGEXP_INSTR`.
//!
//! Guarantees: a pattern that is a constant is compiled once; matching takes time in the length of
//! the text, whatever the pattern. A pattern that is none gives null, as in Flink.
//! Left out: look-around and back references of Java's patterns, which are refused.

use super::function::{BOOLEAN, Call, Function, INT, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let two = &[Takes::Text; 2];
    vec![
        Function::new("regexp", two, BOOLEAN, |call| {
            let (text, patterns) = (call.text(0), Patterns::new(call, 1));
            call.booleans(|row| {
                let text = text.get(row)?;
                // As in Flink an empty pattern is found nowhere.
                let pattern = patterns.get(row)?;
                Some(!pattern.as_str().is_empty() && pattern.is_match(text))
            })
        })
        .shared(),
        extract(),
        // What it is replaced by is taken as it is.
        Function::new("regexp_replace", &[Takes::Text; 3], TEXT, |call| {
            let (text, patterns, to) = (call.text(0), Patterns::new(call, 1), call.text(2));
            call.texts(|row, out| {
                let (Some(text), Some(pattern), Some(to)) =
                    (text.get(row), patterns.get(row), to.get(row))
                else {
                    return Ok(false);
                };
                out.push_str(&pattern.replace_all(text, regex::NoExpand(to)));
                Ok(true)
            })
        })
        .shared(),
        Function::new("regexp_count", two, INT, |call| {
            let (text, patterns) = (call.text(0), Patterns::new(call, 1));
            call.ints(|row| {
                let text = text.get(row)?;
                patterns.get(row)?.find_iter(text).count().try_into().ok()
            })
        })
        .shared(),
        Function::new("regexp_substr", two, TEXT, |call| {
            let (text, patterns) = (call.text(0), Patterns::new(call, 1));
            call.texts(|row, out| {
                let (Some(text), Some(pattern)) = (text.get(row), patterns.get(row)) else {
                    return Ok(false);
                };
                Ok(pattern.find(text).map(|found| out.push_str(found.as_str())).is_some())
            })
        })
        .shared(),
        Function::new("regexp_instr", two, INT, |call| {
            let (text, patterns) = (call.text(0), Patterns::new(call, 1));
            call.ints(|row| {
                let text = text.get(row)?;
                let found = patterns.get(row)?.find(text);
                let place = found.map_or(0, |found| text[..found.start()].chars().count() + 1);
                place.try_into().ok()
            })
        })
        .shared(),
    ]
}

/// `REGEXP_EXTRACT(text, pattern [, group])`: group 0 is all of what was found.
fn extract() -> Arc<ScalarUDF> {
    let takes = &[Takes::Text, Takes::Text, Takes::Whole];
    Function::new("regexp_extract", takes, TEXT, |call| {
        let (text, patterns) = (call.text(0), Patterns::new(call, 1));
        let group = (call.len() > 2).then(|| call.whole(2));
        call.texts(|row, out| {
            let group = group.map_or(Some(0), |group| group.get(row));
            let (Some(text), Some(pattern), Some(group)) =
                (text.get(row), patterns.get(row), group)
            else {
                return Ok(false);
            };
            let Ok(group) = usize::try_from(group) else { return Ok(false) };
            let found = match group {
                0 => pattern.find(text),
                _ => pattern.captures(text).and_then(|captures| captures.get(group)),
            };
            Ok(found.map(|found| out.push_str(found.as_str())).is_some())
        })
    })
    .optional(1)
    .shared()
}

/// The patterns of an argument.
struct Patterns<'a> {
    constant: Option<Option<Regex>>,
    texts: super::function::Reader<'a, arrow_array::StringArray>,
}

impl<'a> Patterns<'a> {
    fn new(call: &'a Call<'_>, index: usize) -> Self {
        let texts = call.text(index);
        Self { constant: texts.constant().map(|text| Regex::new(text).ok()), texts }
    }

    fn get(&self, row: usize) -> Option<Cow<'_, Regex>> {
        match &self.constant {
            Some(constant) => constant.as_ref().map(Cow::Borrowed),
            None => Regex::new(self.texts.get(row)?).ok().map(Cow::Owned),
        }
    }
}
