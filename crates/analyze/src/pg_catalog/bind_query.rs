//! The parts of a query: `WITH`, `FROM`, `WHERE`, `GROUP BY`, results, order.
//!
//! Guarantees: every clause is read or refused.
//! Left out: `WITH RECURSIVE` that names itself, `GROUPING SETS`, and locks.

use super::bind::{Binder, Level, Result, Typed, not_ours, wrong};
use super::expr::Expr;
use super::names::output_name;
use super::query::{Body, Column, Distinct, From, Key, Operation, Query, Select, Sort, Source};
use super::types::Type;
use datafusion::sql::sqlparser::ast::{
    self, GroupByExpr, LimitClause, OrderByKind, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, SetOperator, SetQuantifier, TableAlias,
};
use std::sync::Arc;

impl Binder {
    /// Reads a query.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        self.check_depth()?;
        if query.fetch.is_some() || !query.pipe_operators.is_empty() {
            return not_ours("FETCH is not read here");
        }
        let ctes = self.ctes.len();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let mut bound = self.query(&cte.query)?;
            if bound.correlated {
                return not_ours("WITH that names a query around it is not read here");
            }
            rename(&mut bound.columns, self, &cte.alias);
            finish(&mut bound.columns);
            self.ctes.push((self.fold(&cte.alias.name), Arc::new(bound)));
        }
        // Which levels are named from in here: the query depends on those outside of it.
        let around = std::mem::replace(&mut self.lowest, usize::MAX);
        let own = self.levels.len();
        let bound = self.body(query);
        let lowest = self.lowest;
        self.lowest = around.min(lowest);
        self.ctes.truncate(ctes);
        let mut bound = bound?;
        bound.correlated = lowest < own;
        Ok(bound)
    }

    fn body(&mut self, query: &ast::Query) -> Result<Query> {
        let order = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[][..],
            Some(OrderByKind::Expressions(order)) => order,
            Some(OrderByKind::All(_)) => return not_ours("ORDER BY ALL is not read here"),
        };
        let mut bound = match &*query.body {
            SetExpr::Select(select) => self.select(select, order)?,
            body => {
                let mut bound = self.set_expr(body)?;
                if !bound.order.is_empty() || bound.limit.is_some() {
                    bound = self.wrapped(bound);
                }
                for one in order {
                    let at = output_place(self, &one.expr, &bound.columns)?;
                    let Some(at) = at else { return not_ours("ORDER BY of an expression") };
                    bound.order.push(sort(Key::Output(at), &one.options));
                }
                bound
            }
        };
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        };
        self.levels.push(Level::default());
        let mut number = |of: &ast::Expr| {
            let of = self.expr(of)?;
            self.coerce(of, Type::INT8)
        };
        bound.limit = limit.map(&mut number).transpose()?.map(|of| of.expr);
        bound.offset = offset.map(&mut number).transpose()?.map(|of| of.expr);
        self.levels.pop();
        Ok(bound)
    }

    fn set_expr(&mut self, body: &SetExpr) -> Result<Query> {
        match body {
            SetExpr::Select(select) => self.select(select, &[]),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => {
                let rows: Vec<&Vec<ast::Expr>> =
                    values.rows.iter().map(|row| &row.content).collect();
                self.values(&rows)
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let operation = match op {
                    SetOperator::Union => Operation::Union,
                    SetOperator::Intersect => Operation::Intersect,
                    SetOperator::Except | SetOperator::Minus => Operation::Except,
                };
                let all = *set_quantifier == SetQuantifier::All;
                let (left, right) = (self.set_expr(left)?, self.set_expr(right)?);
                self.both(operation, all, left, right)
            }
            _ => not_ours("this kind of query is not read here"),
        }
    }

    fn both(
        &mut self,
        operation: Operation,
        all: bool,
        left: Query,
        right: Query,
    ) -> Result<Query> {
        if left.columns.len() != right.columns.len() {
            return wrong("each UNION query must have the same number of columns");
        }
        let types =
            |query: &Query| query.columns.iter().map(|column| column.ty).collect::<Vec<_>>();
        let types = [types(&left), types(&right)];
        let mut columns = left.columns.clone();
        for (column, other) in columns.iter_mut().zip(&right.columns) {
            column.ty = super::bind_expr::common(&[column.ty, other.ty]);
        }
        Ok(self.new_query(
            Body::Both { operation, all, left: Arc::new(left), right: Arc::new(right), types },
            columns,
        ))
    }

    fn values(&mut self, rows: &[&Vec<ast::Expr>]) -> Result<Query> {
        self.levels.push(Level::default());
        let bound = rows.iter().map(|row| row.iter().map(|one| self.expr(one)).collect());
        let bound: Result<Vec<Vec<Typed>>> = bound.collect();
        self.levels.pop();
        let mut bound = bound?;
        let width = bound.first().map_or(0, Vec::len);
        if bound.iter().any(|row| row.len() != width) {
            return wrong("VALUES lists must all be the same length");
        }
        let mut columns = Vec::new();
        for at in 0..width {
            let types: Vec<Type> = bound.iter().map(|row| row[at].ty).collect();
            let ty = super::bind_expr::common(&types);
            let fields = bound[0][at].fields.clone();
            columns.push(Column { name: format!("column{}", at + 1), ty, fields });
            for row in &mut bound {
                row[at] = self.coerce(row[at].clone(), ty)?;
            }
        }
        let rows = bound.into_iter().map(|row| row.into_iter().map(|one| one.expr).collect());
        Ok(self.new_query(Body::Values(rows.collect()), columns))
    }

    fn new_query(&mut self, body: Body, columns: Vec<Column>) -> Query {
        let id = self.next_id();
        Query { id, body, columns, order: Vec::new(), limit: None, offset: None, correlated: false }
    }

    /// A query as the only source of another.
    fn wrapped(&mut self, query: Query) -> Query {
        let columns = query.columns.clone();
        let slots: Vec<(usize, usize)> = (0..columns.len()).map(|at| (0, at)).collect();
        let output = (0..columns.len()).map(|slot| Expr::Slot { depth: 0, slot });
        let source = Source::Query { query: Arc::new(query), lateral: false };
        let mut select = Select::plain(From::new(source, 1), output.collect());
        select.from.settle(&slots);
        select.width = slots.len();
        self.new_query(Body::Select(Box::new(select)), columns)
    }

    fn select(&mut self, select: &ast::Select, order: &[ast::OrderByExpr]) -> Result<Query> {
        let read = select.top.is_none()
            && select.into.is_none()
            && select.qualify.is_none()
            && select.lateral_views.is_empty()
            && select.named_window.is_empty()
            && select.prewhere.is_none();
        if !read {
            return not_ours("this clause of SELECT is not read here");
        }
        self.levels.push(Level::default());
        let bound = self.select_parts(select, order);
        let level = self.levels.pop().expect("it was pushed above");
        let (mut bound, columns, order) = bound?;
        bound.width = level.slots.len();
        bound.from.settle(&level.slots);
        (bound.aggregates, bound.windows, bound.sets) =
            (level.aggregates, level.windows, level.sets);
        let mut query = self.new_query(Body::Select(Box::new(bound)), columns);
        query.order = order;
        Ok(query)
    }

    fn select_parts(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<(Select, Vec<Column>, Vec<Sort>)> {
        let mut from = self.tables_of(&select.from)?;
        let mut filters = Vec::new();
        for part in select.selection.iter().flat_map(parts) {
            let condition = self.condition(part)?;
            match condition.mask {
                0 => filters.push(condition.expr),
                _ => from.push(condition),
            }
        }
        if !self.level().aggregates.is_empty() {
            return wrong("aggregate functions are not allowed in WHERE");
        }
        let (outputs, columns) = self.outputs(&select.projection)?;
        let group = self.group(&select.group_by, &outputs, &columns)?;
        let having = select.having.as_ref().map(|having| self.boolean(having)).transpose()?;
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => Distinct::No,
            Some(ast::Distinct::Distinct) => Distinct::All,
            Some(ast::Distinct::On(on)) => {
                let mut bound = Vec::new();
                for one in on {
                    bound.push(match output_place(self, one, &columns)? {
                        Some(at) => outputs[at].clone(),
                        None => self.expr(one)?.expr,
                    });
                }
                Distinct::On(bound)
            }
        };
        let mut sorts = Vec::new();
        for one in order {
            let key = match output_place(self, &one.expr, &columns)? {
                Some(at) => Key::Output(at),
                None => Key::Expr(self.expr(&one.expr)?.expr),
            };
            sorts.push(sort(key, &one.options));
        }
        let bound = Select { filters, group, having, distinct, ..Select::plain(from, outputs) };
        Ok((bound, columns, sorts))
    }

    fn outputs(&mut self, items: &[SelectItem]) -> Result<(Vec<Expr>, Vec<Column>)> {
        let (mut outputs, mut columns) = (Vec::new(), Vec::new());
        let mut add = |name: String, typed: Typed| {
            outputs.push(typed.expr);
            columns.push(Column { name, ty: typed.ty, fields: typed.fields });
        };
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    add(output_name(self, expr), self.expr(expr)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    add(self.fold(alias), self.expr(expr)?)
                }
                SelectItem::Wildcard(_) => {
                    for relation in 0..self.level().relations.len() {
                        self.star(relation, false)
                            .into_iter()
                            .for_each(|(name, one)| add(name, one));
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(of),
                    _,
                ) => {
                    let of = self.parts(of).pop().unwrap_or_default();
                    let place = self.level().relations.iter().position(|one| one.alias == of);
                    let Some(relation) = place else {
                        return wrong(format!("missing FROM-clause entry for table \"{of}\""));
                    };
                    self.star(relation, true).into_iter().for_each(|(name, one)| add(name, one));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                    let row = self.expr(expr)?;
                    let fields = row.fields.clone().unwrap_or_default();
                    for (at, (name, ty)) in fields.iter().enumerate() {
                        let field = Expr::Field(row.expr.clone().boxed(), at);
                        add(name.clone(), Typed::new(field, *ty));
                    }
                }
                SelectItem::ExprWithAliases { .. } => {
                    return not_ours("several names of one result");
                }
            }
        }
        Ok((outputs, columns))
    }

    /// A relation's columns, as `*` means them; with those that `USING` merged where it is `t.*`.
    fn star(&mut self, relation: usize, merged: bool) -> Vec<(String, Typed)> {
        let visible = &self.level().relations[relation];
        let names: Vec<(usize, String)> = visible
            .columns
            .iter()
            .enumerate()
            .filter(|(at, _)| merged || !visible.merged.contains(at))
            .map(|(at, column)| (at, column.name.clone()))
            .collect();
        names.into_iter().map(|(at, name)| (name, self.own_slot(relation, at))).collect()
    }

    fn group(
        &mut self,
        by: &GroupByExpr,
        outputs: &[Expr],
        columns: &[Column],
    ) -> Result<Option<Vec<Expr>>> {
        let by = match by {
            GroupByExpr::Expressions(by, modifiers) if modifiers.is_empty() => by,
            _ => return not_ours("this GROUP BY is not read here"),
        };
        let mut bound = Vec::new();
        for one in by {
            // Unlike in ORDER BY, a column of the relations comes before a result of its name.
            let place = match one {
                ast::Expr::Identifier(_) => None,
                other => output_place(self, other, columns)?,
            };
            bound.push(match place {
                Some(at) => outputs[at].clone(),
                None => match (self.expr(one), output_place(self, one, columns)?) {
                    (Ok(found), _) => found.expr,
                    (Err(_), Some(at)) => outputs[at].clone(),
                    (Err(error), None) => return Err(error),
                },
            });
        }
        Ok((!bound.is_empty()).then_some(bound))
    }
}

/// The parts between `AND`.
pub(super) fn parts(of: &ast::Expr) -> Vec<&ast::Expr> {
    match of {
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            [parts(left), parts(right)].concat()
        }
        ast::Expr::Nested(inner) => match &**inner {
            ast::Expr::BinaryOp { .. } | ast::Expr::Nested(_) => parts(inner),
            _ => vec![of],
        },
        _ => vec![of],
    }
}

pub(super) fn sort(key: Key, options: &ast::OrderByOptions) -> Sort {
    let descending = options.asc == Some(false);
    Sort { key, descending, nulls_first: options.nulls_first.unwrap_or(descending) }
}

/// The result that a number or a name in `ORDER BY` means.
fn output_place(binder: &Binder, of: &ast::Expr, columns: &[Column]) -> Result<Option<usize>> {
    match of {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => {
                let place =
                    number.to_string().parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                match place.filter(|at| *at < columns.len()) {
                    Some(at) => Ok(Some(at)),
                    None => wrong(format!("ORDER BY position {number} is not in select list")),
                }
            }
            _ => Ok(None),
        },
        ast::Expr::Identifier(ident) => {
            let name = binder.fold(ident);
            Ok(columns.iter().position(|one| one.name == name))
        }
        _ => Ok(None),
    }
}

/// The names that an alias gives to columns.
pub(super) fn rename(columns: &mut [Column], binder: &Binder, alias: &TableAlias) {
    for (column, new) in columns.iter_mut().zip(&alias.columns) {
        column.name = binder.fold(&new.name);
    }
}

/// A literal that nothing gave a type is text.
pub(super) fn finish(columns: &mut [Column]) {
    for column in columns.iter_mut().filter(|column| column.ty == Type::UNKNOWN) {
        column.ty = Type::TEXT;
    }
}
