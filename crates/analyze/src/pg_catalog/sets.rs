//! Functions that give several rows.
//!
//! Guarantees: columns are named and typed as PostgreSQL has them; what would never end is refused.
//! Left out: sets made of user data.

use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// Most rows of one `generate_series`: more than any catalogue has columns.
const SERIES_ROWS_MAX: i64 = 1_000_000;

/// A function of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Series,
    Unnest,
    Subscripts,
    /// `information_schema._pg_expandarray`: each item with its place.
    Expand,
    Keywords,
    /// Rights, of which none are written down.
    Rights,
    /// `name=value` texts, apart.
    Options,
    /// A text, taken apart at another.
    Split,
}

/// A column: its name and type.
pub(crate) type SetColumn = (&'static str, Type);

impl Set {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "generate_series" => Self::Series,
            "unnest" => Self::Unnest,
            "generate_subscripts" => Self::Subscripts,
            "_pg_expandarray" => Self::Expand,
            "pg_get_keywords" => Self::Keywords,
            "aclexplode" => Self::Rights,
            "pg_options_to_table" => Self::Options,
            "string_to_table" | "regexp_split_to_table" => Self::Split,
            _ => return None,
        })
    }

    /// Its columns, for arguments of these types. One column alone has no name of its own.
    pub(crate) fn columns(self, arguments: &[Type]) -> Vec<SetColumn> {
        let first = arguments.first().copied().unwrap_or(Type::TEXT);
        let element = first.element().unwrap_or(Type::TEXT);
        match self {
            Self::Series if first == Type::INT8 => vec![("", Type::INT8)],
            Self::Series | Self::Subscripts => vec![("", Type::INT4)],
            Self::Unnest => vec![("", element)],
            Self::Expand => vec![("x", element), ("n", Type::INT4)],
            Self::Keywords => vec![
                ("word", Type::TEXT),
                ("catcode", Type::CHAR),
                ("barelabel", Type::BOOL),
                ("catdesc", Type::TEXT),
                ("baredesc", Type::TEXT),
            ],
            Self::Rights => vec![
                ("grantor", Type::OID),
                ("grantee", Type::OID),
                ("privilege_type", Type::TEXT),
                ("is_grantable", Type::BOOL),
            ],
            Self::Options => vec![("option_name", Type::TEXT), ("option_value", Type::TEXT)],
            Self::Split => vec![("", Type::TEXT)],
        }
    }

    /// Its rows.
    pub(crate) fn rows(
        self,
        arguments: &[Value],
        types: &[Type],
    ) -> Result<Vec<Vec<Value>>, AnalyzeError> {
        let first = arguments.first().unwrap_or(&Value::Null);
        Ok(match self {
            Self::Series => series(arguments)?,
            Self::Unnest => first.items().iter().map(|item| vec![item.clone()]).collect(),
            Self::Subscripts => {
                let from = i64::from(!types.first().is_some_and(|ty| ty.is_vector()));
                (from..).take(first.items().len()).map(|at| vec![Value::Int(at)]).collect()
            }
            Self::Expand => {
                let items = (1..).zip(first.items());
                items.map(|(at, item)| vec![item.clone(), Value::Int(at)]).collect()
            }
            Self::Keywords => keywords(),
            Self::Rights => Vec::new(),
            Self::Options => first.items().iter().filter_map(option).collect(),
            Self::Split => match (first.as_str(), arguments.get(1).and_then(Value::as_str)) {
                (Some(text), Some(by)) if !by.is_empty() => {
                    text.split(by).map(|part| vec![Value::text(part)]).collect()
                }
                (Some(text), _) => vec![vec![Value::text(text)]],
                _ => Vec::new(),
            },
        })
    }
}

fn option(item: &Value) -> Option<Vec<Value>> {
    let (name, value) = item.as_str()?.split_once('=')?;
    Some(vec![Value::text(name), Value::text(value)])
}

fn series(arguments: &[Value]) -> Result<Vec<Vec<Value>>, AnalyzeError> {
    let number = |at: usize| arguments.get(at).and_then(Value::as_int);
    let step = if arguments.len() > 2 { number(2) } else { Some(1) };
    let (Some(from), Some(to), Some(step)) = (number(0), number(1), step) else {
        return Ok(Vec::new());
    };
    if step == 0 {
        return Err(AnalyzeError::user("step size cannot equal zero"));
    }
    let count = (i128::from(to) - i128::from(from)) / i128::from(step);
    if count >= i128::from(SERIES_ROWS_MAX) {
        return Err(AnalyzeError::user(format!(
            "generate_series gives at most {SERIES_ROWS_MAX} rows beside the catalogue"
        )));
    }
    let first = i128::from(to) - i128::from(from);
    let empty = (step > 0 && first < 0) || (step < 0 && first > 0);
    let count = if empty { 0 } else { i64::try_from(count).unwrap_or(0) + 1 };
    Ok((0..count).map(|at| vec![Value::Int(from + at * step)]).collect())
}

/// A key word with its class and whether it may be a label without `AS`.
fn listed() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    include_str!("data/keywords.txt").lines().flat_map(|line| {
        let (class, words) = line.split_once(' ').expect("a class and words, as written");
        let (code, bare) = class.split_at(1);
        words.split(' ').map(move |word| (word, code, bare == "t"))
    })
}

fn keywords() -> Vec<Vec<Value>> {
    let mut rows: Vec<Vec<Value>> = listed()
        .map(|(word, code, bare)| {
            let class = match code {
                "U" => "unreserved",
                "C" => "unreserved (cannot be function or type name)",
                "T" => "reserved (can be function or type name)",
                _ => "reserved",
            };
            let label = if bare { "can be bare label" } else { "requires AS" };
            let bare = Value::Bool(bare);
            vec![Value::text(word), Value::text(code), bare, Value::text(class), Value::text(label)]
        })
        .collect();
    rows.sort_by(|left, right| left[0].order(&right[0]));
    rows
}

static RESERVED: LazyLock<HashSet<Arc<str>>> = LazyLock::new(|| {
    listed().filter(|(_, code, _)| *code != "U").map(|(word, _, _)| word.into()).collect()
});

/// Whether a word must be quoted to be a name.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(word)
}
