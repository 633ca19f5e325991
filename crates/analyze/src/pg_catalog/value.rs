//! A value in a question about the catalogue.
//!
//! Guarantees: values of one type are ordered as PostgreSQL's `C` collation orders them, nulls last;
//! text in and out is PostgreSQL's, arrays and rows too.
//! Left out: arithmetic on decimals. The catalogue counts, and numbers with a point are floats.

use super::types::Type;
use std::cmp::Ordering;
use std::sync::Arc;

/// A value. Which type it is of, the expression knows.
#[derive(Debug, Clone, Default)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Integers, oids and what is shown by an oid's name.
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// Microseconds since the Unix epoch; of a date the days.
    Micros(i64),
    Array(Arc<[Self]>),
    Row(Arc<[Self]>),
}

impl Value {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    pub(crate) fn array(values: impl IntoIterator<Item = Self>) -> Self {
        Self::Array(values.into_iter().collect())
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Row(items) => items,
            _ => &[],
        }
    }

    /// Total order: nulls behind everything, numbers by what they count.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Greater,
            (_, Self::Null) => Ordering::Less,
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Micros(left), Self::Micros(right)) => left.cmp(right),
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Array(left), Self::Array(right)) | (Self::Row(left), Self::Row(right)) => {
                let pairs = left.iter().zip(right.iter()).map(|(one, other)| one.order(other));
                pairs.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
            }
            _ => match (self.as_float(), other.as_float()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Float(_) => 1,
            Self::Micros(_) => 2,
            Self::Text(_) => 3,
            Self::Array(_) => 4,
            Self::Row(_) => 5,
            Self::Null => 6,
        }
    }

    /// Equality as `=` has it; `None` where one is null.
    pub(crate) fn equals(&self, other: &Self) -> Option<bool> {
        match self.is_null() || other.is_null() {
            true => None,
            false => Some(self.order(other) == Ordering::Equal),
        }
    }

    /// As text that is no type's own: what [`super::cast`] adds names of objects to.
    pub(crate) fn plain(&self, ty: Type) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(yes) => if *yes { "t" } else { "f" }.into(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                format!("{number:.0}")
            }
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            Self::Micros(micros) => moment(*micros, ty),
            Self::Array(items) if ty.is_vector() => {
                items.iter().map(|item| item.plain(Type::INT4)).collect::<Vec<_>>().join(" ")
            }
            Self::Array(items) => {
                let element = ty.element().unwrap_or(Type::TEXT);
                let items = items.iter().map(|item| match item {
                    Self::Null => "NULL".into(),
                    Self::Array(_) => item.plain(ty),
                    _ => quoted(&item.plain(element), "{},\"\\"),
                });
                format!("{{{}}}", items.collect::<Vec<_>>().join(","))
            }
            Self::Row(items) => {
                let items = items.iter().map(|item| match item {
                    Self::Null => String::new(),
                    _ => quoted(&item.plain(Type::TEXT), "(),\"\\"),
                });
                format!("({})", items.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => 0_u8.hash(state),
            Self::Bool(yes) => yes.hash(state),
            // Whole floats equal integers, so both hash alike.
            Self::Int(number) => (*number as f64).to_bits().hash(state),
            Self::Float(number) => number.to_bits().hash(state),
            Self::Text(text) => text.hash(state),
            Self::Micros(micros) => micros.hash(state),
            Self::Array(items) | Self::Row(items) => items.hash(state),
        }
    }
}

fn moment(micros: i64, ty: Type) -> String {
    use arrow::temporal_conversions as times;
    let text = match ty {
        Type::DATE => i32::try_from(micros)
            .ok()
            .and_then(times::date32_to_datetime)
            .map(|day| day.format("%Y-%m-%d").to_string()),
        _ => times::timestamp_us_to_datetime(micros)
            .map(|moment| moment.format("%Y-%m-%d %H:%M:%S%.f").to_string()),
    };
    let zone = if ty == Type::TIMESTAMPTZ { "+00" } else { "" };
    text.map(|text| format!("{text}{zone}")).unwrap_or_default()
}

fn quoted(text: &str, special: &str) -> String {
    let must = text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| c.is_whitespace() || special.contains(c));
    match must {
        true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        false => text.into(),
    }
}

/// The items of `{a,"b c",NULL}`; `None` where it is no such text.
pub(crate) fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let (mut item, mut was_quoted, mut in_quotes) = (String::new(), false, false);
    let mut letters = inner.chars();
    let finish = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        match std::mem::take(was_quoted) {
            true => Some(text),
            false if text.trim().eq_ignore_ascii_case("null") => None,
            false => Some(text.trim().to_string()),
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.push(letters.next()?),
            '"' => (in_quotes, was_quoted) = (!in_quotes, true),
            ',' if !in_quotes => items.push(finish(&mut item, &mut was_quoted)),
            '{' | '}' if !in_quotes => return None,
            other => item.push(other),
        }
    }
    items.push(finish(&mut item, &mut was_quoted));
    (!in_quotes).then_some(items)
}
