//! `FROM`: relations, subqueries, functions and how they are joined.
//!
//! Guarantees: `USING` and `NATURAL` make one column of two; a function in `FROM` sees what stands
//! before it.
//! Left out: `TABLESAMPLE`, and `unnest` of several arrays at once.

use super::bind::{Binder, Result, Visible, not_ours, wrong};
use super::bind_query::{finish, parts, rename};
use super::expr::{Comparison, Expr, Operator};
use super::query::{Column, Condition, From, Join, SetCall, Source};
use super::sets::Set;
use super::types::Type;
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, JoinConstraint, JoinOperator, TableAlias, TableFactor,
    TableWithJoins,
};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Binder {
    pub(super) fn tables_of(&mut self, list: &[TableWithJoins]) -> Result<From> {
        let mut all: Option<From> = None;
        for one in list {
            let next = self.table_with_joins(one)?;
            all = Some(match all {
                None => next,
                Some(before) => joined(Join::Inner, before, next, Vec::new()),
            });
        }
        Ok(all.unwrap_or_else(|| From::new(Source::One, 0)))
    }

    fn table_with_joins(&mut self, of: &TableWithJoins) -> Result<From> {
        let mut from = self.factor(&of.relation)?;
        for join in &of.joins {
            let right = self.factor(&join.relation)?;
            let (kind, swapped, constraint) = match &join.join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => {
                    (Join::Inner, false, on)
                }
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Join::Left, false, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (Join::Left, true, on),
                JoinOperator::FullOuter(on) => (Join::Full, false, on),
                _ => return not_ours("this join is not read here"),
            };
            let on = self.constraint(constraint, from.mask, right.mask)?;
            let (left, right) = if swapped { (right, from) } else { (from, right) };
            from = joined(kind, left, right, on);
        }
        Ok(from)
    }

    fn constraint(&mut self, of: &JoinConstraint, left: u64, right: u64) -> Result<Vec<Condition>> {
        match of {
            JoinConstraint::None => Ok(Vec::new()),
            JoinConstraint::On(on) => {
                parts(on).into_iter().map(|part| self.condition(part)).collect()
            }
            JoinConstraint::Using(names) => {
                let names =
                    names.iter().filter_map(|name| self.parts(name).pop()).collect::<Vec<_>>();
                names.iter().map(|name| self.using(name, left, right)).collect()
            }
            JoinConstraint::Natural => {
                let names = |mask: u64, binder: &Self| -> BTreeSet<String> {
                    let level = binder.levels.last().expect("a join stands in a query");
                    let inside =
                        level.relations.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
                    inside.flat_map(|(_, one)| &one.columns).map(|one| one.name.clone()).collect()
                };
                let both = &names(left, self) & &names(right, self);
                both.iter().map(|name| self.using(name, left, right)).collect()
            }
        }
    }

    /// Makes two columns of one name one.
    fn using(&mut self, name: &str, left: u64, right: u64) -> Result<Condition> {
        let find = |mask: u64, binder: &Self| {
            let level = binder.levels.last().expect("a join stands in a query");
            let mut inside =
                level.relations.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
            inside.find_map(|(at, one)| {
                let mut columns = one.columns.iter().enumerate();
                let column =
                    columns.find(|(column, own)| own.name == name && !one.merged.contains(column));
                Some((at, column?.0))
            })
        };
        let (Some(one), Some(other)) = (find(left, self), find(right, self)) else {
            return wrong(format!("column \"{name}\" specified in USING clause does not exist"));
        };
        let (left, right) = (self.own_slot(one.0, one.1), self.own_slot(other.0, other.1));
        self.level().relations[other.0].merged.insert(other.1);
        let sides = [(left.expr.clone(), 1 << one.0), (right.expr.clone(), 1 << other.0)];
        let (left, right) = self.unified(left, right)?;
        let equal = Operator::Compare(Comparison::Eq);
        Ok(Condition {
            expr: Expr::Operator(equal, left.expr.boxed(), right.expr.boxed()),
            mask: 1 << one.0 | 1 << other.0,
            sides: Some(Box::new(sides)),
        })
    }

    /// A part of `WHERE` or `ON`, with what it names.
    pub(super) fn condition(&mut self, part: &ast::Expr) -> Result<Condition> {
        let before = std::mem::take(&mut self.level().touched);
        let condition = self.condition_of(part);
        self.level().touched |= before;
        condition
    }

    fn condition_of(&mut self, part: &ast::Expr) -> Result<Condition> {
        if let ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } = part {
            let left = self.expr(left)?;
            let of_left = std::mem::take(&mut self.level().touched);
            let right = self.expr(right)?;
            let of_right = self.level().touched;
            let (left, right) = self.unified(left, right)?;
            let sides = [(left.expr.clone(), of_left), (right.expr.clone(), of_right)];
            let equal = Operator::Compare(Comparison::Eq);
            let expr = Expr::Operator(equal, left.expr.boxed(), right.expr.boxed());
            return Ok(Condition { expr, mask: of_left | of_right, sides: Some(Box::new(sides)) });
        }
        let expr = self.boolean(part)?;
        Ok(Condition { expr, mask: self.level().touched, sides: None })
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<From> {
        match factor {
            TableFactor::Table { name, alias, args: None, sample: None, version: None, .. } => {
                self.relation(&self.parts(name), alias.as_ref())
            }
            TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } => {
                self.table_function(&self.parts(name), &args.args, *with_ordinality, alias.as_ref())
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.table_function(&self.parts(name), args, *with_ordinality, alias.as_ref())
            }
            TableFactor::UNNEST {
                alias, array_exprs, with_offset: false, with_ordinality, ..
            } => {
                let [array] = &array_exprs[..] else {
                    return not_ours("unnest of several arrays is not read here");
                };
                let array = [FunctionArg::Unnamed(FunctionArgExpr::Expr(array.clone()))];
                self.table_function(&["unnest".into()], &array, *with_ordinality, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                let closed = std::mem::replace(&mut self.level().closed, !*lateral);
                let query = self.query(subquery);
                self.level().closed = closed;
                let mut query = query?;
                finish(&mut query.columns);
                let lateral = *lateral && query.correlated;
                let mut columns = query.columns.clone();
                let name = match alias {
                    Some(alias) => {
                        rename(&mut columns, self, alias);
                        self.fold(&alias.name)
                    }
                    None => String::new(),
                };
                self.source(Source::Query { query: Arc::new(query), lateral }, name, columns, 0)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.table_with_joins(table_with_joins)
            }
            _ => not_ours("this kind of relation is not read here"),
        }
    }

    fn source(
        &mut self,
        source: Source,
        alias: String,
        columns: Vec<Column>,
        oid: u32,
    ) -> Result<From> {
        let merged = BTreeSet::new();
        let at = self.add(Visible { alias, columns, merged, oid })?;
        Ok(From::new(source, 1 << at))
    }

    fn relation(&mut self, parts: &[String], alias: Option<&TableAlias>) -> Result<From> {
        let name = alias.map_or_else(
            || parts.last().cloned().unwrap_or_default(),
            |alias| self.fold(&alias.name),
        );
        let cte = match parts {
            [only] => self
                .ctes
                .iter()
                .rev()
                .find(|(name, _)| name == only)
                .map(|(_, query)| Arc::clone(query)),
            _ => None,
        };
        let (source, mut columns, oid) = match cte {
            Some(query) => {
                let columns = query.columns.clone();
                (Source::Query { query, lateral: false }, columns, 0)
            }
            None => {
                let Some(definition) = self.definition(parts) else {
                    return not_ours(format!("table \"{}\" does not exist", parts.join(".")));
                };
                let source = match definition.query {
                    Some(sql) => {
                        Source::Query { query: self.view(definition, sql)?, lateral: false }
                    }
                    None => Source::Relation(definition),
                };
                let columns = definition.columns.iter();
                let column = |one: &super::registry::Column| Column {
                    name: one.name.into(),
                    ty: one.ty,
                    fields: None,
                };
                (source, columns.map(column).collect(), definition.oid)
            }
        };
        if let Some(alias) = alias {
            rename(&mut columns, self, alias);
        }
        self.source(source, name, columns, oid)
    }

    fn table_function(
        &mut self,
        parts: &[String],
        arguments: &[FunctionArg],
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<From> {
        let name = parts.last().cloned().unwrap_or_default();
        let arguments = self.arguments(arguments)?;
        let alias_name = alias.map_or_else(|| name.clone(), |alias| self.fold(&alias.name));
        let (source, mut columns) = match Set::named(&name) {
            Some(set) => {
                let arguments = self.set_arguments(set, arguments)?;
                let types: Vec<Type> = arguments.iter().map(|one| one.ty).collect();
                let columns = set.columns(&types).into_iter().map(|(own, ty)| {
                    let name = if own.is_empty() { alias_name.clone() } else { own.to_string() };
                    Column { name, ty, fields: None }
                });
                let columns: Vec<Column> = columns.collect();
                let arguments = arguments.into_iter().map(|one| one.expr).collect();
                (Source::Set { set: SetCall { set, arguments, types }, ordinality }, columns)
            }
            None => {
                let value = self.call(&name, arguments)?;
                let column =
                    Column { name: alias_name.clone(), ty: value.ty, fields: value.fields };
                (Source::Value(value.expr), vec![column])
            }
        };
        if ordinality {
            columns.push(Column { name: "ordinality".into(), ty: Type::INT8, fields: None });
        }
        if let Some(alias) = alias {
            rename(&mut columns, self, alias);
        }
        self.source(source, alias_name, columns, 0)
    }
}

fn joined(kind: Join, left: From, mut right: From, on: Vec<Condition>) -> From {
    let mask = left.mask | right.mask;
    let mut own = Vec::new();
    let mut later = Vec::new();
    for condition in on {
        match kind {
            Join::Inner => later.push(condition),
            // What is said of the right side alone says which of its rows can join.
            Join::Left if condition.mask != 0 && condition.mask & !right.mask == 0 => {
                right.push(condition)
            }
            Join::Left | Join::Full => own.push(condition),
        }
    }
    let source = Source::Join { kind, left: Box::new(left), right: Box::new(right), on: own };
    let mut from = From::new(source, mask);
    for condition in later {
        from.push(condition);
    }
    from
}
