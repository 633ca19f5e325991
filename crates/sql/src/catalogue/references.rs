//! Which relations a query names.
//!
//! Guarantees: every table factor is found, at any depth; a name may be in the answer that a
//! `WITH` defines, which errs on the safe side.
//! Left out: what the names resolve to.

use super::{Pipeline, Relation};
use crate::{Dialect, relation_key};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, TableFactor, Visit, Visitor,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The names in a query, as they are looked up: `table`, or `schema.table`.
pub(super) fn of_query(query: &Query, dialect: Dialect) -> BTreeSet<String> {
    let mut found = Finder { dialect, names: BTreeSet::new() };
    let _ = query.visit(&mut found);
    found.names
}

struct Finder {
    dialect: Dialect,
    names: BTreeSet<String>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.names.insert(looked_up(name, self.dialect));
        ControlFlow::Continue(())
    }

    /// The tables among the arguments of functions: `TUMBLE(TABLE t, …)`.
    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let arguments: &[FunctionArg] = match factor {
            TableFactor::Table { args: Some(args), .. } => &args.args,
            TableFactor::Function { args, .. } => args,
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                match &function.args {
                    FunctionArguments::List(list) => &list.args,
                    _ => &[],
                }
            }
            _ => &[],
        };
        for argument in arguments {
            let (FunctionArg::Named { arg, .. }
            | FunctionArg::ExprNamed { arg, .. }
            | FunctionArg::Unnamed(arg)) = argument;
            let parts: &[Ident] = match arg {
                FunctionArgExpr::Expr(Expr::Identifier(part)) => std::slice::from_ref(part),
                FunctionArgExpr::Expr(Expr::CompoundIdentifier(parts)) => parts,
                _ => continue,
            };
            let parts = parts.iter().map(|part| self.dialect.fold(part));
            self.names.insert(relation_key(parts.collect()));
        }
        ControlFlow::Continue(())
    }
}

/// A name as it is looked up.
fn looked_up(name: &ObjectName, dialect: Dialect) -> String {
    let parts = name.0.iter().filter_map(ObjectNamePart::as_ident);
    relation_key(parts.map(|part| dialect.fold(part)).collect())
}

/// The names in a pipeline's query.
pub(super) fn of_pipeline(pipeline: &Pipeline) -> BTreeSet<String> {
    of_query(pipeline.statement.query(), pipeline.dialect)
}

/// Whether a query names a relation: in the `postgres` dialect in any case, to be safe.
pub(super) fn names(query: &Query, dialect: Dialect, relation: &str) -> bool {
    let folded = relation.to_lowercase();
    let found = of_query(query, dialect);
    found.contains(relation) || (dialect == Dialect::Postgres && found.contains(&folded))
}

/// The names in a pipeline's query, and those behind views.
pub(super) fn through_views(
    pipeline: &Pipeline,
    relations: &BTreeMap<String, Arc<Relation>>,
) -> BTreeSet<String> {
    reached(of_pipeline(pipeline), relations)
}

/// `open` and what is read through the views among them.
pub(super) fn reached(
    open: BTreeSet<String>,
    relations: &BTreeMap<String, Arc<Relation>>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<String> = open.into_iter().collect();
    while let Some(name) = open.pop() {
        if let Some(view) = relations.get(&name).and_then(|relation| relation.view())
            && !names.contains(&name)
        {
            open.extend(of_query(&view.query, view.dialect));
        }
        names.insert(name);
    }
    names
}
