//! Expressions whose names and types are settled, and their values.
//!
//! Guarantees: null is what SQL makes of it; numbers that do not fit are errors.
//! Left out: names, which `bind` has resolved.

use super::cast::cast;
use super::context::Context;
use super::functions::Function;
use super::query::Query;
use super::run;
use super::text::{is_like, pattern};
use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use std::cmp::Ordering;
use std::sync::Arc;

/// An expression.
#[derive(Clone)]
pub(super) enum Expr {
    Const(Value),
    Parameter(usize),
    /// A column of the query `depth` levels out.
    Slot {
        depth: usize,
        slot: usize,
    },
    Aggregate(usize),
    Window(usize),
    /// A function that gives several rows, in the list of results.
    Set(usize),
    Call(&'static Function, Vec<Self>),
    Special(Special, Vec<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Operator(Operator, Box<Self>, Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>, Type),
    IsNull(Box<Self>),
    /// `IS TRUE` or `IS FALSE`.
    Is(Box<Self>, bool),
    Distinct(Box<Self>, Box<Self>),
    Cast {
        of: Box<Self>,
        from: Type,
        to: Type,
        modifier: i32,
    },
    Case {
        arms: Vec<(Self, Self)>,
        otherwise: Option<Box<Self>>,
    },
    In(Box<Self>, Vec<Self>),
    /// `= ANY (array)`, `<> ALL (array)`.
    Quantified {
        left: Box<Self>,
        operator: Operator,
        array: Box<Self>,
        all: bool,
    },
    Array(Vec<Self>),
    Row(Vec<Self>),
    Subscript {
        array: Box<Self>,
        index: Box<Self>,
        first: i64,
    },
    Slice {
        array: Box<Self>,
        from: Option<Box<Self>>,
        to: Option<Box<Self>>,
    },
    Field(Box<Self>, usize),
    Scalar(Arc<Query>),
    Exists(Arc<Query>),
    /// `ARRAY (SELECT …)`
    Collect(Arc<Query>),
    /// `= ANY (SELECT …)`, `IN (SELECT …)`
    QuantifiedQuery {
        left: Vec<Self>,
        operator: Operator,
        query: Arc<Query>,
        all: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Compare(Comparison),
    Like {
        ignore_case: bool,
        negated: bool,
        escape: Option<char>,
    },
    Regex {
        ignore_case: bool,
        negated: bool,
    },
    /// `&&`, `@>` and `<@` of arrays.
    Overlaps,
    Contains,
    Contained,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    /// Of texts.
    Concat,
    /// Of arrays.
    Join,
}

/// What looks like a function and is none: its arguments are not all computed, or of any number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Coalesce,
    NullIf,
    Greatest,
    Least,
    Concat,
    ConcatWs,
    Format,
    ArrayToString,
    JsonObject,
}

/// Where an expression's columns are.
pub(super) struct Env<'a> {
    pub(super) context: &'a Context,
    pub(super) row: &'a [Value],
    pub(super) aggregates: &'a [Value],
    pub(super) windows: &'a [Value],
    pub(super) sets: &'a [Value],
    pub(super) outer: Option<&'a Env<'a>>,
}

impl<'a> Env<'a> {
    /// The surroundings of a row of a query.
    pub(super) fn of(context: &'a Context, row: &'a [Value], outer: Option<&'a Env<'a>>) -> Self {
        Self { context, row, aggregates: &[], windows: &[], sets: &[], outer }
    }
}

type Result<T = Value> = std::result::Result<T, AnalyzeError>;

impl Expr {
    pub(super) fn boxed(self) -> Box<Self> {
        Box::new(self)
    }

    pub(super) fn is_true(&self, env: &Env<'_>) -> Result<bool> {
        Ok(self.eval(env)?.is_true())
    }

    /// The value.
    pub(super) fn eval(&self, env: &Env<'_>) -> Result {
        Ok(match self {
            Self::Const(value) => value.clone(),
            Self::Parameter(at) => env.context.parameters.get(*at).cloned().unwrap_or_default(),
            Self::Slot { depth, slot } => {
                let mut env = env;
                for _ in 0..*depth {
                    env = env.outer.expect("a query stands in as many as its columns reach out of");
                }
                env.row[*slot].clone()
            }
            Self::Aggregate(at) => env.aggregates.get(*at).cloned().unwrap_or_default(),
            Self::Window(at) => env.windows.get(*at).cloned().unwrap_or_default(),
            Self::Set(at) => env.sets.get(*at).cloned().unwrap_or_default(),
            Self::Call(function, arguments) => {
                let values = all(arguments, env)?;
                match function.strict && values.iter().any(Value::is_null) {
                    true => Value::Null,
                    false => (function.body)(env.context, &values)?,
                }
            }
            Self::Special(special, arguments) => special.eval(arguments, env)?,
            Self::And(left, right) => both(left, right, env, false)?,
            Self::Or(left, right) => both(left, right, env, true)?,
            Self::Not(of) => not(of.eval(env)?),
            Self::Operator(operator, left, right) => {
                operator.apply(&left.eval(env)?, &right.eval(env)?)?
            }
            Self::Arithmetic(arithmetic, left, right, ty) => {
                arithmetic.apply(&left.eval(env)?, &right.eval(env)?, *ty)?
            }
            Self::IsNull(of) => Value::Bool(of.eval(env)?.is_null()),
            Self::Is(of, wanted) => {
                Value::Bool(matches!(of.eval(env)?, Value::Bool(is) if is == *wanted))
            }
            Self::Distinct(left, right) => Value::Bool(left.eval(env)? != right.eval(env)?),
            Self::Cast { of, from, to, modifier } => {
                cast(env.context, of.eval(env)?, *from, *to, *modifier)?
            }
            Self::Case { arms, otherwise } => case(arms, otherwise.as_deref(), env)?,
            Self::In(left, list) => within(left, list, env)?,
            Self::Array(items) => Value::array(all(items, env)?),
            Self::Row(items) => Value::Row(all(items, env)?.into()),
            Self::Field(of, at) => of.eval(env)?.items().get(*at).cloned().unwrap_or_default(),
            Self::Subscript { array, index, first } => {
                let index = index.eval(env)?.as_int();
                let at = index.and_then(|index| usize::try_from(index - first).ok());
                let array = array.eval(env)?;
                at.and_then(|at| array.items().get(at)).cloned().unwrap_or_default()
            }
            Self::Slice { array, from, to } => {
                slice(&array.eval(env)?, bound(from.as_deref(), env)?, bound(to.as_deref(), env)?)
            }
            _ => self.of_query(env)?,
        })
    }

    /// The value of what holds a query, or runs over an array.
    fn of_query(&self, env: &Env<'_>) -> Result {
        match self {
            Self::Quantified { left, operator, array, all } => {
                let (left, array) = (left.eval(env)?, array.eval(env)?);
                if array.is_null() {
                    return Ok(Value::Null);
                }
                quantified(array.items().iter().map(|item| operator.apply(&left, item)), *all)
            }
            Self::Scalar(query) => {
                let rows = run::rows(query, env)?;
                match rows.rows.len() {
                    0 => Ok(Value::Null),
                    1 => Ok(rows.rows[0].first().cloned().unwrap_or_default()),
                    _ => Err(AnalyzeError::user(
                        "more than one row returned by a subquery used as an expression",
                    )),
                }
            }
            Self::Exists(query) => Ok(Value::Bool(!run::rows(query, env)?.rows.is_empty())),
            Self::Collect(query) => {
                let rows = run::rows(query, env)?;
                Ok(Value::array(rows.rows.iter().map(|row| row[0].clone())))
            }
            Self::QuantifiedQuery { left, operator, query, all: every } => {
                let left = all(left, env)?;
                let rows = run::rows(query, env)?;
                if let ([one], Operator::Compare(Comparison::Eq), false) =
                    (&left[..], operator, every)
                    && !one.is_null()
                    && rows.index(0).contains_key(one)
                {
                    return Ok(Value::Bool(true));
                }
                let compared = rows.rows.iter().map(|row| match &left[..] {
                    [one] => operator.apply(one, &row[0]),
                    several => {
                        let pairs =
                            several.iter().zip(row).map(|(one, other)| operator.apply(one, other));
                        quantified(pairs, true)
                    }
                });
                quantified(compared, *every)
            }
            _ => Err(AnalyzeError::bug("an expression that is no query's")),
        }
    }
}

fn all(expressions: &[Expr], env: &Env<'_>) -> Result<Vec<Value>> {
    expressions.iter().map(|one| one.eval(env)).collect()
}

fn not(value: Value) -> Value {
    match value {
        Value::Bool(yes) => Value::Bool(!yes),
        _ => Value::Null,
    }
}

/// `AND`, or `OR`: of either side `decides` is the whole.
fn both(left: &Expr, right: &Expr, env: &Env<'_>, decides: bool) -> Result {
    let left = left.eval(env)?;
    if matches!(left, Value::Bool(yes) if yes == decides) {
        return Ok(left);
    }
    Ok(match (left, right.eval(env)?) {
        (_, Value::Bool(yes)) if yes == decides => Value::Bool(decides),
        (Value::Bool(_), Value::Bool(_)) => Value::Bool(!decides),
        _ => Value::Null,
    })
}

fn within(left: &Expr, list: &[Expr], env: &Env<'_>) -> Result {
    let left = left.eval(env)?;
    let mut equal = Some(false);
    for one in list {
        match left.equals(&one.eval(env)?) {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => equal = None,
        }
    }
    Ok(equal.map_or(Value::Null, Value::Bool))
}

fn case(arms: &[(Expr, Expr)], otherwise: Option<&Expr>, env: &Env<'_>) -> Result {
    for (when, then) in arms {
        if when.is_true(env)? {
            return then.eval(env);
        }
    }
    otherwise.map_or(Ok(Value::Null), |otherwise| otherwise.eval(env))
}

fn bound(of: Option<&Expr>, env: &Env<'_>) -> Result<Option<i64>> {
    of.map(|of| of.eval(env)).transpose().map(|value| value.and_then(|value| value.as_int()))
}

fn slice(array: &Value, from: Option<i64>, to: Option<i64>) -> Value {
    if array.is_null() {
        return Value::Null;
    }
    let inside = from.unwrap_or(1)..=to.unwrap_or(i64::MAX);
    let items = (1_i64..).zip(array.items()).filter(|(at, _)| inside.contains(at));
    Value::array(items.map(|(_, item)| item.clone()))
}

/// `ANY` or `ALL` of what was compared.
fn quantified(compared: impl Iterator<Item = Result>, all: bool) -> Result {
    let mut answer = Value::Bool(all);
    for one in compared {
        match one? {
            Value::Bool(yes) if yes != all => return Ok(Value::Bool(yes)),
            Value::Bool(_) => {}
            _ => answer = Value::Null,
        }
    }
    Ok(answer)
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order == Ordering::Equal,
            Self::Ne => order != Ordering::Equal,
            Self::Lt => order == Ordering::Less,
            Self::Le => order != Ordering::Greater,
            Self::Gt => order == Ordering::Greater,
            Self::Ge => order != Ordering::Less,
        }
    }
}

impl Operator {
    fn apply(self, left: &Value, right: &Value) -> Result {
        if left.is_null() || right.is_null() {
            return Ok(Value::Null);
        }
        let texts = || (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
        let contains =
            |all: &Value, some: &Value| some.items().iter().all(|one| all.items().contains(one));
        Ok(Value::Bool(match self {
            Self::Compare(comparison) => comparison.holds(left.order(right)),
            Self::Like { ignore_case, negated, escape } => {
                let (text, like) = texts();
                is_like(text, like, escape, ignore_case)? != negated
            }
            Self::Regex { ignore_case, negated } => {
                let (text, written) = texts();
                pattern(written, ignore_case)?.is_match(text) != negated
            }
            Self::Overlaps => left.items().iter().any(|one| right.items().contains(one)),
            Self::Contains => contains(left, right),
            Self::Contained => contains(right, left),
        }))
    }
}

impl Arithmetic {
    fn apply(self, left: &Value, right: &Value, ty: Type) -> Result {
        if self == Self::Join {
            return Ok(match (left, right) {
                (Value::Null, other) | (other, Value::Null) => other.clone(),
                _ => super::text::joined(left, right.items()),
            });
        }
        if left.is_null() || right.is_null() {
            return Ok(Value::Null);
        }
        if self == Self::Concat {
            let (left, right) =
                (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
            return Ok(Value::text([left, right].concat()));
        }
        match (left.as_int(), right.as_int()) {
            (Some(left), Some(right)) if ty.is_whole() => self.of_integers(left, right),
            _ => self.of_floats(left.as_float(), right.as_float()),
        }
    }

    fn of_integers(self, left: i64, right: i64) -> Result {
        let shift = u32::try_from(right.rem_euclid(64)).unwrap_or(0);
        let number = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Modulo if right == 0 => {
                return Err(AnalyzeError::user("division by zero"));
            }
            Self::Divide => left.checked_div(right),
            Self::Modulo => left.checked_rem(right),
            Self::And => Some(left & right),
            Self::Or => Some(left | right),
            Self::Xor => Some(left ^ right),
            Self::ShiftLeft => Some(left.wrapping_shl(shift)),
            Self::ShiftRight => Some(left.wrapping_shr(shift)),
            Self::Concat | Self::Join => None,
        };
        number.map(Value::Int).ok_or_else(|| AnalyzeError::user("number out of range"))
    }

    fn of_floats(self, left: Option<f64>, right: Option<f64>) -> Result {
        let (Some(left), Some(right)) = (left, right) else {
            return Err(AnalyzeError::user("these types cannot be computed with in the catalogue"));
        };
        Ok(Value::Float(match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide if right == 0.0 => return Err(AnalyzeError::user("division by zero")),
            Self::Divide => left / right,
            Self::Modulo => left % right,
            _ => return Err(AnalyzeError::user("bits are of whole numbers")),
        }))
    }
}

impl Special {
    fn eval(self, arguments: &[Expr], env: &Env<'_>) -> Result {
        if self == Self::Coalesce {
            for one in arguments {
                let value = one.eval(env)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            return Ok(Value::Null);
        }
        let values = all(arguments, env)?;
        let there = || values.iter().filter(|value| !value.is_null());
        let texts =
            |from: usize| values[from..].iter().filter_map(Value::as_str).collect::<Vec<_>>();
        Ok(match self {
            Self::NullIf if values[0].equals(&values[1]) == Some(true) => Value::Null,
            Self::NullIf => values[0].clone(),
            Self::Greatest => {
                there().max_by(|one, other| one.order(other)).cloned().unwrap_or_default()
            }
            Self::Least => {
                there().min_by(|one, other| one.order(other)).cloned().unwrap_or_default()
            }
            Self::Concat => Value::text(texts(0).concat()),
            Self::ConcatWs => match values[0].as_str() {
                Some(between) => Value::text(texts(1).join(between)),
                None => Value::Null,
            },
            Self::Format => format(&values),
            Self::ArrayToString => array_to_string(&values),
            Self::JsonObject => json_object(&values),
            Self::Coalesce => Value::Null,
        })
    }
}

fn array_to_string(values: &[Value]) -> Value {
    let Some(between) = values[1].as_str() else { return Value::Null };
    if values[0].is_null() {
        return Value::Null;
    }
    let of_null = values.get(2).and_then(Value::as_str);
    let items = values[0].items().iter();
    let items = items.filter_map(|item| item.as_str().or(of_null));
    Value::text(items.collect::<Vec<_>>().join(between))
}

/// `%s`, `%I` and `%L`, one after another.
fn format(values: &[Value]) -> Value {
    let Some(pattern) = values[0].as_str() else { return Value::Null };
    let mut rest = values[1..].iter();
    let mut out = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('s') => out.push_str(rest.next().and_then(Value::as_str).unwrap_or_default()),
            Some('I') => {
                let name = rest.next().and_then(Value::as_str).unwrap_or_default();
                out.push_str(&super::text::quote_ident(name));
            }
            Some('L') => match rest.next().and_then(Value::as_str) {
                Some(text) => out.push_str(&super::text::quote_literal(text)),
                None => out.push_str("NULL"),
            },
            Some(other) => out.push(other),
            None => {}
        }
    }
    Value::text(out)
}

fn json_object(values: &[Value]) -> Value {
    let quoted = |text: &str| {
        let letter = |letter: char| match letter {
            '"' => "\\\"".into(),
            '\\' => "\\\\".into(),
            control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
            other => other.to_string(),
        };
        format!("\"{}\"", text.chars().map(letter).collect::<String>())
    };
    let pairs = values.chunks(2).map(|pair| {
        let value = match pair.get(1) {
            None | Some(Value::Null) => "null".into(),
            Some(Value::Bool(yes)) => yes.to_string(),
            Some(number @ (Value::Int(_) | Value::Float(_))) => number.plain(Type::INT8),
            Some(other) => quoted(&other.plain(Type::TEXT)),
        };
        format!("{} : {value}", quoted(pair[0].as_str().unwrap_or_default()))
    });
    Value::text(format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")))
}
