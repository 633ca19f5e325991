//! Groups, windows, and rows that one row becomes.
//!
//! Guarantees: an aggregate sees its rows in the order they come in, or the one it asks for.
//! Left out: frames of windows; an aggregate over a window is of the whole partition.

use super::context::{Context, Row};
use super::expr::{Env, Expr};
use super::query::{Aggregate, Calculation, Key, Ranking, Select, SetCall, Sort, Window};
use super::run::Keyed;
use super::value::Value;
use crate::error::AnalyzeError;
use std::collections::{HashMap, HashSet};

type Result<T> = std::result::Result<T, AnalyzeError>;

/// What becomes one row of the answer, or as many as its sets have.
pub(super) struct Unit {
    /// Of a group, its first row.
    pub(super) row: Row,
    pub(super) aggregates: Vec<Value>,
    pub(super) windows: Vec<Value>,
}

/// The rows or groups of a `SELECT`.
pub(super) fn units(
    select: &Select,
    rows: Vec<Row>,
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Unit>> {
    let grouped =
        select.group.is_some() || !select.aggregates.is_empty() || select.having.is_some();
    let mut units = match grouped {
        true => groups(select, rows, context, outer)?,
        false => {
            let unit = |row| Unit { row, aggregates: Vec::new(), windows: Vec::new() };
            rows.into_iter().map(unit).collect()
        }
    };
    for window in &select.windows {
        let values = over(window, &units, context, outer)?;
        units.iter_mut().zip(values).for_each(|(unit, value)| unit.windows.push(value));
    }
    Ok(units)
}

fn groups(
    select: &Select,
    rows: Vec<Row>,
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Unit>> {
    let by = select.group.as_deref().unwrap_or_default();
    let mut places: HashMap<Vec<Value>, usize> = HashMap::new();
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let env = Env::of(context, &row, outer);
        let key = by.iter().map(|one| one.eval(&env)).collect::<Result<Vec<_>>>()?;
        let at = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(row);
    }
    // Without GROUP BY there is one group, of no rows too.
    if select.group.is_none() && groups.is_empty() {
        groups.push(Vec::new());
    }
    let mut units = Vec::with_capacity(groups.len());
    for rows in groups {
        let aggregate = |one: &Aggregate| of_rows(one, &rows, context, outer);
        let aggregates = select.aggregates.iter().map(aggregate).collect::<Result<Vec<_>>>()?;
        let row = rows.into_iter().next().unwrap_or_else(|| vec![Value::Null; select.width]);
        let env = Env { aggregates: &aggregates, ..Env::of(context, &row, outer) };
        let kept = select.having.as_ref().map_or(Ok(true), |having| having.is_true(&env))?;
        if kept {
            units.push(Unit { row, aggregates, windows: Vec::new() });
        }
    }
    Ok(units)
}

fn of_rows(
    aggregate: &Aggregate,
    rows: &[Row],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Value> {
    let mut taken: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    let mut seen = HashSet::new();
    for row in rows {
        let env = Env::of(context, row, outer);
        if let Some(filter) = &aggregate.filter
            && !filter.is_true(&env)?
        {
            continue;
        }
        let values = values(&aggregate.arguments, &env)?;
        if !aggregate.distinct || seen.insert(values.clone()) {
            taken.push((values, keys(&aggregate.order, &env)?));
        }
    }
    if !aggregate.order.is_empty() {
        let order = &aggregate.order[..];
        taken.sort_by(|one, other| {
            let keyed = |row: &(Vec<Value>, Vec<Value>)| Keyed { key: row.1.clone(), order };
            keyed(one).cmp(&keyed(other))
        });
    }
    let values: Vec<Vec<Value>> = taken.into_iter().map(|(values, _)| values).collect();
    Ok(aggregate.calculation.of(&values))
}

fn values(expressions: &[Expr], env: &Env<'_>) -> Result<Vec<Value>> {
    expressions.iter().map(|one| one.eval(env)).collect()
}

fn keys(order: &[Sort], env: &Env<'_>) -> Result<Vec<Value>> {
    let key = |sort: &Sort| match &sort.key {
        Key::Expr(expr) => expr.eval(env),
        Key::Output(_) => Ok(Value::Null),
    };
    order.iter().map(key).collect()
}

impl Calculation {
    /// Of the values of the arguments, row by row.
    fn of(self, rows: &[Vec<Value>]) -> Value {
        let there = || rows.iter().filter_map(|row| row.first()).filter(|value| !value.is_null());
        let bools = || there().map(Value::is_true);
        match self {
            Self::Count => {
                // COUNT(*) has no argument, and counts what is null.
                let counted =
                    rows.iter().filter(|row| row.first().is_none_or(|one| !one.is_null()));
                Value::Int(counted.count() as i64)
            }
            Self::Min => there().min_by(|one, other| one.order(other)).cloned().unwrap_or_default(),
            Self::Max => there().max_by(|one, other| one.order(other)).cloned().unwrap_or_default(),
            _ if self != Self::Array && self != Self::JsonArray && there().next().is_none() => {
                Value::Null
            }
            Self::Sum => {
                let whole =
                    there().map(Value::as_int).try_fold(0_i64, |sum, one| sum.checked_add(one?));
                whole.map_or_else(
                    || Value::Float(there().filter_map(Value::as_float).sum()),
                    Value::Int,
                )
            }
            Self::Average => {
                let sum: f64 = there().filter_map(Value::as_float).sum();
                Value::Float(sum / there().count() as f64)
            }
            Self::And => Value::Bool(bools().all(|yes| yes)),
            Self::Or => Value::Bool(bools().any(|yes| yes)),
            Self::Array | Self::JsonArray if rows.is_empty() => Value::Null,
            Self::Array => Value::array(rows.iter().map(|row| row[0].clone())),
            Self::JsonArray => {
                let items = rows.iter().map(|row| row[0].as_str().unwrap_or("null").to_string());
                Value::text(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
            }
            Self::Text => {
                let mut out = String::new();
                let there = rows.iter().filter(|row| !row[0].is_null());
                for (at, row) in there.enumerate() {
                    if at > 0 {
                        out.push_str(row.get(1).and_then(Value::as_str).unwrap_or_default());
                    }
                    out.push_str(row[0].as_str().unwrap_or_default());
                }
                Value::text(out)
            }
        }
    }
}

/// A window's value for each unit.
fn over(
    window: &Window,
    units: &[Unit],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Value>> {
    let mut partitions: HashMap<Vec<Value>, Vec<(usize, Vec<Value>)>> = HashMap::new();
    for (at, unit) in units.iter().enumerate() {
        let env = Env { aggregates: &unit.aggregates, ..Env::of(context, &unit.row, outer) };
        let partition = values(&window.partition, &env)?;
        partitions.entry(partition).or_default().push((at, keys(&window.order, &env)?));
    }
    let mut answer = vec![Value::Null; units.len()];
    for (_, mut members) in partitions {
        let order = &window.order[..];
        members.sort_by(|one, other| {
            let keyed = |key: &Vec<Value>| Keyed { key: key.clone(), order };
            keyed(&one.1).cmp(&keyed(&other.1))
        });
        if let Ranking::Of(calculation) = window.ranking {
            let mut rows = Vec::with_capacity(members.len());
            for (at, _) in &members {
                let unit = &units[*at];
                let env =
                    Env { aggregates: &unit.aggregates, ..Env::of(context, &unit.row, outer) };
                rows.push(values(&window.arguments, &env)?);
            }
            let value = calculation.of(&rows);
            members.iter().for_each(|(at, _)| answer[*at] = value.clone());
            continue;
        }
        let (mut rank, mut dense) = (1, 0);
        for (place, (at, key)) in members.iter().enumerate() {
            if place == 0 || members[place - 1].1 != *key {
                (rank, dense) = (place as i64 + 1, dense + 1);
            }
            answer[*at] = Value::Int(match window.ranking {
                Ranking::RowNumber | Ranking::Of(_) => place as i64 + 1,
                Ranking::Rank => rank,
                Ranking::DenseRank => dense,
            });
        }
    }
    Ok(answer)
}

/// The values of the sets in a list of results, row by row: as many rows as the longest has, the
/// others null behind their ends.
pub(super) fn sets(calls: &[SetCall], env: &Env<'_>) -> Result<Vec<Vec<Value>>> {
    if calls.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    let mut columns = Vec::with_capacity(calls.len());
    for call in calls {
        let arguments = values(&call.arguments, env)?;
        let rows = call.set.rows(&arguments, &call.types)?;
        let value = |row: Vec<Value>| match <[Value; 1]>::try_from(row) {
            Ok([only]) => only,
            Err(several) => Value::Row(several.into()),
        };
        columns.push(rows.into_iter().map(value).collect::<Vec<_>>());
    }
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let row = |at: usize| {
        columns.iter().map(|column| column.get(at).cloned().unwrap_or_default()).collect()
    };
    Ok((0..longest).map(row).collect())
}
