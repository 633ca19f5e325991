//! What clients of PostgreSQL ask about the database: `pg_catalog` and `information_schema` over the
//! live catalogue.
//!
//! Guarantees: a question is answered from relations, with PostgreSQL's columns, types and names,
//! never by comparing its text with known ones; a statement that names neither these relations nor
//! their functions is not looked at any further, and what it means is DataFusion's alone.
//! Left out: changing anything through them. What they say of rights is that there are none to
//! give: whoever may connect may read.
//!
//! Why this does not run in DataFusion: these questions live of subqueries that name columns of the
//! queries around them, of arrays, rows and names of types that DataFusion plans only in part, and of
//! result types that Arrow does not have. The relations are small and in memory, so that a plain
//! evaluation of what the statement says answers in milliseconds. A statement that names tables of
//! the store beside them is DataFusion's, and reads the same relations as tables.

mod bind;
mod bind_call;
mod bind_expr;
mod bind_from;
mod bind_query;
mod builtin;
mod cast;
mod context;
mod describe;
mod expr;
mod functions;
mod group;
mod names;
mod node;
mod operators;
mod procs;
mod query;
mod registry;
mod relations;
mod run;
mod sets;
mod settle;
mod snapshot;
mod table;
mod text;
mod types;
mod value;

pub(crate) use context::Identity;
pub(crate) use node::Planner;
pub(crate) use settle::settle;
pub(crate) use snapshot::{PG_CATALOG, Shapes};
pub(crate) use table::table;
pub use types::PG_TYPE;

use crate::error::AnalyzeError;
use crate::platform::{INFORMATION_SCHEMA, Platform};
use crate::variables::SERVER_VERSION;
use bind::{Binder, Refused};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, Expr, ObjectName, ObjectNamePart, Query, TableFactor, Visit, Visitor,
};
use node::Question;
use std::collections::HashSet;
use std::ops::ControlFlow;
use tradewind_sql::Dialect;
use types::Type;

/// What `version()` says: PostgreSQL's clients read the number that follows its name.
fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION} (Tradewind {})", env!("CARGO_PKG_VERSION"))
}

/// The plan of a question about the catalogue alone; `None` for any other statement.
pub(crate) fn plan(
    platform: &Platform,
    state: &SessionState,
    statement: &ast::Statement,
    dialect: Dialect,
) -> Result<Option<LogicalPlan>, AnalyzeError> {
    let (query, declared) = match statement {
        ast::Statement::Query(query) => (query, Vec::new()),
        ast::Statement::Prepare { data_types, statement, .. } => match &**statement {
            ast::Statement::Query(query) => {
                let types = data_types.iter().map(|one| Type::named(&one.to_string()));
                (query, types.map(|ty| ty.map(|(ty, _)| ty)).collect())
            }
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !is_question(query, dialect) {
        return Ok(None);
    }
    let mut binder = Binder::new(dialect, declared);
    let mut bound = match binder.query(query) {
        Ok(bound) => bound,
        // DataFusion may know it: it reads the same relations.
        Err(Refused::NotOurs(_)) => return Ok(None),
        Err(Refused::Wrong(error)) => return Err(error),
    };
    bind_query::finish(&mut bound.columns);
    let types = binder.parameters.iter().map(|ty| ty.unwrap_or(Type::TEXT)).collect();
    Ok(Some(node::plan(Question::new(bound, platform, state, types))?))
}

/// Whether a query is about the catalogue and nothing else.
fn is_question(query: &Query, dialect: Dialect) -> bool {
    let mut seen = Seen { dialect, asks: false, others: false, own: HashSet::new() };
    let _ = query.visit(&mut seen);
    seen.asks && !seen.others
}

struct Seen {
    dialect: Dialect,
    /// It names a relation, a function or a type of the catalogue.
    asks: bool,
    /// It names another relation.
    others: bool,
    /// Names that its `WITH` gives.
    own: HashSet<String>,
}

impl Seen {
    fn parts(&self, name: &ObjectName) -> Vec<String> {
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
        idents.map(|ident| self.dialect.fold(ident)).collect()
    }
}

impl Visitor for Seen {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.own.insert(self.dialect.fold(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, args, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let parts = self.parts(name);
        let last = parts.last().map(String::as_str).unwrap_or_default();
        if args.is_some() {
            match sets::Set::named(last) {
                Some(sets::Set::Series | sets::Set::Unnest | sets::Set::Split) => {}
                Some(_) => self.asks = true,
                None => self.asks |= functions::asks_catalogue(last),
            }
            return ControlFlow::Continue(());
        }
        match is_relation(&parts) {
            true => self.asks = true,
            false if parts.len() == 1 && self.own.contains(last) => {}
            false => {
                self.others = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.asks |= match expr {
            Expr::Function(function) => {
                let parts = self.parts(&function.name);
                parts.last().is_some_and(|name| functions::asks_catalogue(name))
            }
            Expr::Identifier(ident) => {
                let name = ident.value.to_lowercase();
                ident.quote_style.is_none()
                    && ["current_schema", "session_user"].contains(&name.as_str())
            }
            Expr::Cast { data_type, .. } => Type::named(&data_type.to_string())
                .is_some_and(|(ty, _)| ty.is_reg() || ty == Type::OID),
            _ => false,
        };
        ControlFlow::Continue(())
    }
}

/// Whether a name is of a relation of the catalogue's schemas.
fn is_relation(parts: &[String]) -> bool {
    match parts {
        [name] => registry::find(PG_CATALOG, name).is_some(),
        [.., schema, name] => registry::find(schema, name).is_some(),
        [] => false,
    }
}

/// Whether a name without a schema is one of `pg_catalog`'s.
pub(crate) fn is_implicit(name: &str) -> bool {
    registry::find(PG_CATALOG, name).is_some()
}

/// The names in one of the catalogue's schemas.
pub(crate) fn names(schema: &str) -> Vec<&'static str> {
    let all = registry::all().iter().filter(|one| one.schema == schema);
    all.map(|one| one.name).collect()
}

/// Whether a schema is one of the catalogue's.
pub(crate) fn is_schema(name: &str) -> bool {
    [PG_CATALOG, INFORMATION_SCHEMA].contains(&name)
}
