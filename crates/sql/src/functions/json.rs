//! `JSON_VALUE`, `JSON_QUERY` and `JSON_EXISTS` over a text and a path.
//!
//! Guarantees: a path is `$` and any number of `.name`, `['name']` and `[index]`; numbers keep the
//! digits they were sent with; text that is no JSON gives null, as Flink's `NULL ON ERROR` does.
//! Left out: filters, wildcards, and the `RETURNING` and `ON ERROR` clauses.

use super::text::{Body, function};
use datafusion::logical_expr::ScalarUDF;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn json_value() -> Arc<ScalarUDF> {
    function(
        "json_value",
        2,
        Body::Text(|row| {
            Ok(find(row[0], row[1])?.and_then(|found| match found.get().as_bytes()[0] {
                b'{' | b'[' | b'n' => None,
                b'"' => serde_json::from_str(found.get()).ok(),
                _ => Some(found.get().to_string()),
            }))
        }),
    )
}

pub(super) fn json_query() -> Arc<ScalarUDF> {
    function(
        "json_query",
        2,
        Body::Text(|row| {
            let found = find(row[0], row[1])?.map(RawValue::get);
            Ok(found.filter(|text| text.starts_with(['{', '['])).map(compact))
        }),
    )
}

pub(super) fn json_exists() -> Arc<ScalarUDF> {
    function(
        "json_exists",
        2,
        Body::Test(|row| {
            // As in Flink a null is not there.
            Ok(Some(find(row[0], row[1])?.is_some_and(|found| found.get() != "null")))
        }),
    )
}

/// Without white space between the parts, as Flink writes it; texts and numbers stay as they are.
fn compact(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let keep = |letter: &char| {
        let kept = inside || !letter.is_ascii_whitespace();
        if *letter == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && *letter == '\\' && !escaped;
        kept
    };
    json.chars().filter(keep).collect()
}

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

fn find<'a>(text: &'a str, path: &str) -> Result<Option<&'a RawValue>, String> {
    let steps = steps(path).ok_or_else(|| format!("{path:?} is no path such as $.a.b[0]"))?;
    let mut found: &RawValue = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => return Ok(None),
    };
    for step in steps {
        let next = match step {
            // Owned keys: a name with escapes cannot be borrowed from the text.
            Step::Name(name) => serde_json::from_str::<HashMap<String, &RawValue>>(found.get())
                .ok()
                .and_then(|object| object.get(name).copied()),
            Step::Index(index) => serde_json::from_str::<Vec<&RawValue>>(found.get())
                .ok()
                .and_then(|array| array.get(index).copied()),
        };
        match next {
            Some(value) => found = value,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let path = path.strip_prefix("lax ").or(path.strip_prefix("strict ")).unwrap_or(path);
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(".['").or(rest.strip_prefix("['")) {
            let end = after.find("']")?;
            steps.push(Step::Name(&after[..end]));
            rest = &after[end + 2..];
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            steps.push(Step::Name(after.get(..end).filter(|name| !name.is_empty())?));
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[')?;
            let end = after.find(']')?;
            steps.push(Step::Index(after[..end].parse().ok()?));
            rest = &after[end + 1..];
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        let expected = vec![Step::Name("a"), Step::Index(2), Step::Name("b c"), Step::Name("d")];
        assert_eq!(steps("$.a[2]['b c'].d").unwrap(), expected);
        for bad in ["", "a", "$.", "$[", "$[x]", "$['a'"] {
            assert!(steps(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let found = find(r#"{"p": [{"price": 0.10000000000000000001}]}"#, "$.p[0].price");
        assert_eq!(found.unwrap().unwrap().get(), "0.10000000000000000001");
        assert!(find("not json", "$.a").unwrap().is_none());
    }
}
