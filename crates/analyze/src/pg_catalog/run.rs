//! Carries a question out: rows of relations, joined, grouped, ordered.
//!
//! Guarantees: what does not depend on a row is computed once; the rows made on the way are bounded,
//! and a question that makes more is refused.
//! Left out: spilling to disk. The catalogue is in memory already.

use super::cast::cast;
use super::context::{Context, Index, Row, Table};
use super::expr::{Env, Expr};
use super::group;
use super::query::{
    Body, Condition, Distinct, From, Join, Key, Operation, Query, Select, Sort, Source,
};
use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Rows that one question may make on its way: some hundred for each of the most columns there are.
const ROWS_MAX: u64 = 50_000_000;

type Result<T> = std::result::Result<T, AnalyzeError>;

/// A query's rows. Those of one that stands for itself are kept for the next time.
pub(super) fn rows(query: &Query, outer: &Env<'_>) -> Result<Rc<Table>> {
    if query.correlated {
        return Ok(Rc::new(Table::new(compute(query, outer.context, Some(outer))?)));
    }
    if let Some(kept) = outer.context.kept.borrow().get(&query.id) {
        return Ok(Rc::clone(kept));
    }
    let table = Rc::new(Table::new(compute(query, outer.context, Some(outer))?));
    outer.context.kept.borrow_mut().insert(query.id, Rc::clone(&table));
    Ok(table)
}

/// Computes a query's rows.
pub(super) fn compute(
    query: &Query,
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Row>> {
    let mut rows = match &query.body {
        Body::Select(one) => select(one, &query.order, context, outer)?,
        Body::Values(values) => {
            let env = Env::of(context, &[], outer);
            let row = |row: &Vec<Expr>| row.iter().map(|one| one.eval(&env)).collect();
            let rows = values.iter().map(row).collect::<Result<Vec<Row>>>()?;
            by_output(rows, &query.order)
        }
        Body::Both { operation, all, left, right, types } => {
            let to: Vec<Type> = query.columns.iter().map(|column| column.ty).collect();
            let left = converted(compute(left, context, outer)?, &types[0], &to, context)?;
            let right = converted(compute(right, context, outer)?, &types[1], &to, context)?;
            by_output(both(*operation, *all, left, right), &query.order)
        }
    };
    let env = Env::of(context, &[], outer);
    let number = |of: &Option<Expr>| -> Result<Option<usize>> {
        let value = of.as_ref().map(|of| of.eval(&env)).transpose()?;
        Ok(value.and_then(|value| usize::try_from(value.as_int()?).ok()))
    };
    if let Some(offset) = number(&query.offset)? {
        rows.drain(..offset.min(rows.len()));
    }
    if let Some(limit) = number(&query.limit)? {
        rows.truncate(limit);
    }
    Ok(rows)
}

fn converted(
    mut rows: Vec<Row>,
    from: &[Type],
    to: &[Type],
    context: &Context,
) -> Result<Vec<Row>> {
    for (at, (from, to)) in from.iter().zip(to).enumerate().filter(|(_, (from, to))| from != to) {
        for row in &mut rows {
            row[at] = cast(context, std::mem::take(&mut row[at]), *from, *to, -1)?;
        }
    }
    Ok(rows)
}

fn both(operation: Operation, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut rows = match operation {
        Operation::Union => left.into_iter().chain(right).collect(),
        Operation::Intersect | Operation::Except => {
            let mut counts: HashMap<Row, usize> = HashMap::new();
            for row in right {
                *counts.entry(row).or_default() += 1;
            }
            let wanted = operation == Operation::Intersect;
            let mut keep = |row: &Row| match counts.get_mut(row) {
                Some(count) if *count > 0 => {
                    if all {
                        *count -= 1;
                    }
                    wanted
                }
                _ => !wanted,
            };
            left.into_iter().filter(|row| keep(row)).collect::<Vec<_>>()
        }
    };
    if !all {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.clone()));
    }
    rows
}

fn by_output(mut rows: Vec<Row>, order: &[Sort]) -> Vec<Row> {
    let key = |row: &Row| -> Vec<Value> {
        let value = |sort: &Sort| match &sort.key {
            Key::Output(at) => row[*at].clone(),
            Key::Expr(_) => Value::Null,
        };
        order.iter().map(value).collect()
    };
    if !order.is_empty() {
        rows.sort_by_cached_key(|row| Keyed { key: key(row), order });
    }
    rows
}

/// A row's place in an order.
pub(super) struct Keyed<'a> {
    pub(super) key: Vec<Value>,
    pub(super) order: &'a [Sort],
}

impl Ord for Keyed<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.key.iter().zip(&other.key).zip(self.order);
        pairs.fold(Ordering::Equal, |order, ((one, other), sort)| {
            order.then_with(|| match (one.is_null(), other.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if sort.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if sort.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ if sort.descending => other.order(one),
                _ => one.order(other),
            })
        })
    }
}

impl PartialOrd for Keyed<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keyed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Keyed<'_> {}

fn select(
    select: &Select,
    order: &[Sort],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Row>> {
    let empty = vec![Value::Null; select.width];
    let mut input = from(&select.from, &empty, context, outer)?;
    retain(&mut input, &select.filters, context, outer)?;
    let units = group::units(select, input, context, outer)?;
    // Output, what it is ordered by, what DISTINCT ON looks at.
    let mut rows: Vec<(Row, Vec<Value>, Vec<Value>)> = Vec::with_capacity(units.len());
    for unit in &units {
        let env = Env {
            aggregates: &unit.aggregates,
            windows: &unit.windows,
            ..Env::of(context, &unit.row, outer)
        };
        for sets in group::sets(&select.sets, &env)? {
            let env = Env { sets: &sets, outer, ..env };
            let output: Row =
                select.output.iter().map(|one| one.eval(&env)).collect::<Result<_>>()?;
            let key = |sort: &Sort| match &sort.key {
                Key::Output(at) => Ok(output[*at].clone()),
                Key::Expr(expr) => expr.eval(&env),
            };
            let keys = order.iter().map(key).collect::<Result<_>>()?;
            let on = match &select.distinct {
                Distinct::On(on) => on.iter().map(|one| one.eval(&env)).collect::<Result<_>>()?,
                _ => Vec::new(),
            };
            count(context)?;
            rows.push((output, keys, on));
        }
    }
    if !order.is_empty() {
        rows.sort_by(|one, other| {
            let keyed = |row: &(Row, Vec<Value>, Vec<Value>)| Keyed { key: row.1.clone(), order };
            keyed(one).cmp(&keyed(other))
        });
    }
    let mut seen = HashSet::new();
    match &select.distinct {
        Distinct::No => {}
        Distinct::All => rows.retain(|(output, ..)| seen.insert(output.clone())),
        Distinct::On(_) => rows.retain(|(.., on)| seen.insert(on.clone())),
    }
    Ok(rows.into_iter().map(|(output, ..)| output).collect())
}

fn count(context: &Context) -> Result<()> {
    let done = context.work.get() + 1;
    context.work.set(done);
    match done > ROWS_MAX {
        true => Err(AnalyzeError::user("the question goes over too many rows of the catalogue")
            .hint("join on equal columns, or ask of fewer relations")),
        false => Ok(()),
    }
}

fn retain(
    rows: &mut Vec<Row>,
    filters: &[Expr],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<()> {
    for filter in filters {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if filter.is_true(&Env::of(context, &row, outer))? {
                kept.push(row);
            }
        }
        *rows = kept;
    }
    Ok(())
}

fn holds(
    conditions: &[Condition],
    row: &[Value],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<bool> {
    let env = Env::of(context, row, outer);
    for condition in conditions {
        if !condition.expr.is_true(&env)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rows of a source, each in a copy of `base`.
fn from(of: &From, base: &Row, context: &Context, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
    let env = Env::of(context, base, outer);
    let rows = match &of.source {
        Source::Join { kind, left, right, on } => {
            let rows = join(*kind, (left, right), on, base, context, outer)?;
            return kept(of, rows, context, outer);
        }
        Source::One => return kept(of, vec![base.clone()], context, outer),
        Source::Relation(definition) => {
            let table = context.table(definition);
            let places = match looked_up(of, &env, &table)? {
                Some(places) => places,
                None => (0..table.rows.len()).collect(),
            };
            return picked(of, base, &table, &places, context, outer);
        }
        Source::Query { query, .. } => {
            let table = rows(query, &env)?;
            let places: Vec<usize> = (0..table.rows.len()).collect();
            return picked(of, base, &table, &places, context, outer);
        }
        Source::Value(expr) => vec![vec![expr.eval(&env)?]],
        Source::Set { set, ordinality } => {
            let values =
                set.arguments.iter().map(|one| one.eval(&env)).collect::<Result<Vec<_>>>()?;
            let mut rows = set.set.rows(&values, &set.types)?;
            if *ordinality {
                (1..).zip(&mut rows).for_each(|(at, row)| row.push(Value::Int(at)));
            }
            rows
        }
    };
    let table = Table::new(rows);
    let places: Vec<usize> = (0..table.rows.len()).collect();
    picked(of, base, &table, &places, context, outer)
}

fn kept(of: &From, rows: Vec<Row>, context: &Context, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        if holds(&of.filters, &row, context, outer)? {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// Some rows of a table, in copies of `base`.
fn picked(
    of: &From,
    base: &Row,
    table: &Table,
    places: &[usize],
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for at in places {
        count(context)?;
        let mut row = base.clone();
        for (column, slot) in &of.outputs {
            row[*slot] = table.rows[*at][*column].clone();
        }
        if holds(&of.filters, &row, context, outer)? {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rows that a condition of the source's own finds by an index.
fn looked_up(of: &From, env: &Env<'_>, table: &Table) -> Result<Option<Vec<usize>>> {
    for condition in &of.filters {
        let Some((column, value)) = condition.finds(of, 0) else { continue };
        let value = value.eval(env)?;
        return Ok(Some(table.index(column).get(&value).cloned().unwrap_or_default()));
    }
    Ok(None)
}

impl Condition {
    /// The column of `of` that this says is equal to something, and to what: of what is known where
    /// only the relations `known` are.
    fn finds<'a>(&'a self, of: &From, known: u64) -> Option<(usize, &'a Expr)> {
        let [left, right] = self.sides.as_deref()?;
        [(left, right), (right, left)].into_iter().find_map(|(one, other)| {
            let Expr::Slot { depth: 0, slot } = one.0 else { return None };
            let column = of.outputs.iter().find(|(_, own)| *own == slot)?.0;
            (other.1 & !known == 0).then_some((column, &other.0))
        })
    }
}

type Sides<'a> = (&'a From, &'a From);

fn join(
    kind: Join,
    (left, right): Sides<'_>,
    on: &[Condition],
    base: &Row,
    context: &Context,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Row>> {
    let lefts = from(left, base, context, outer)?;
    let mut found = Matches::new(kind, (left, right), on, base, context, outer)?;
    let mut rows = Vec::new();
    let slots = right.slots();
    for row in lefts {
        let before = rows.len();
        found.of(&row, &slots, &mut rows)?;
        if kind != Join::Inner && rows.len() == before {
            rows.push(row);
        }
    }
    if kind == Join::Full {
        rows.extend(found.unmatched());
    }
    Ok(rows)
}

/// Finds what joins with a row on the left.
struct Matches<'a> {
    right: &'a From,
    on: &'a [Condition],
    context: &'a Context,
    outer: Option<&'a Env<'a>>,
    by: By<'a>,
}

enum By<'a> {
    /// The right side is made anew for each row.
    Row,
    /// An index of a relation.
    Index { table: Rc<Table>, index: Rc<Index>, value: &'a Expr },
    /// The right side's rows by the values of these.
    Hash {
        rows: Vec<Row>,
        keys: Vec<&'a Expr>,
        places: HashMap<Vec<Value>, Vec<usize>>,
        used: Vec<bool>,
    },
}

impl<'a> Matches<'a> {
    fn new(
        kind: Join,
        (left, right): (&From, &'a From),
        on: &'a [Condition],
        base: &Row,
        context: &'a Context,
        outer: Option<&'a Env<'a>>,
    ) -> Result<Self> {
        let new = |by| Ok(Self { right, on, context, outer, by });
        if right.is_lateral() {
            return new(By::Row);
        }
        // A full join must know which rows on the right were never found.
        if let Source::Relation(definition) = &right.source
            && kind != Join::Full
        {
            let found = on.iter().find_map(|one| one.finds(right, left.mask));
            if let Some((column, value)) = found {
                let table = context.table(definition);
                let index = table.index(column);
                return new(By::Index { table, index, value });
            }
        }
        let rows = from(right, base, context, outer)?;
        let sides = on.iter().filter_map(|one| {
            let [one, other] = one.sides.as_deref()?;
            [(one, other), (other, one)].into_iter().find(|(of_left, of_right)| {
                let is = |mask: u64, from: &From| mask != 0 && mask & !from.mask == 0;
                is(of_left.1, left) && is(of_right.1, right)
            })
        });
        let (keys, of_right): (Vec<&Expr>, Vec<&Expr>) =
            sides.map(|(of_left, of_right)| (&of_left.0, &of_right.0)).unzip();
        let mut places: HashMap<Vec<Value>, Vec<usize>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            let env = Env::of(context, row, outer);
            let key = of_right.iter().map(|one| one.eval(&env)).collect::<Result<Vec<_>>>()?;
            places.entry(key).or_default().push(at);
        }
        let used = vec![false; rows.len()];
        new(By::Hash { rows, keys, places, used })
    }

    /// Appends what joins with `row`.
    fn of(&mut self, row: &Row, slots: &[usize], rows: &mut Vec<Row>) -> Result<()> {
        let (context, outer) = (self.context, self.outer);
        let env = Env::of(context, row, outer);
        let candidates = match &mut self.by {
            By::Row => from(self.right, row, context, outer)?,
            By::Index { table, index, value } => {
                let value = value.eval(&env)?;
                match index.get(&value) {
                    Some(places) => picked(self.right, row, table, places, context, outer)?,
                    None => Vec::new(),
                }
            }
            By::Hash { rows: all, keys, places, used } => {
                let key = keys.iter().map(|one| one.eval(&env)).collect::<Result<Vec<_>>>()?;
                let there = !key.iter().any(Value::is_null);
                let found = if there { places.get(&key) } else { None };
                for at in found.map_or(&[][..], Vec::as_slice) {
                    count(context)?;
                    let mut joined = row.clone();
                    slots.iter().for_each(|slot| joined[*slot] = all[*at][*slot].clone());
                    if holds(self.on, &joined, context, outer)? {
                        used[*at] = true;
                        rows.push(joined);
                    }
                }
                return Ok(());
            }
        };
        for candidate in candidates {
            if holds(self.on, &candidate, context, outer)? {
                rows.push(candidate);
            }
        }
        Ok(())
    }

    /// Rows on the right that nothing joined with.
    fn unmatched(self) -> Vec<Row> {
        match self.by {
            By::Hash { rows, used, .. } => {
                let left = rows.into_iter().zip(used).filter(|(_, used)| !used);
                left.map(|(row, _)| row).collect()
            }
            By::Row | By::Index { .. } => Vec::new(),
        }
    }
}
