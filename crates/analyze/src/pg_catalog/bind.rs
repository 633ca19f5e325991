//! Settles names: which relation and which column a question means.
//!
//! Guarantees: names are looked for as PostgreSQL does, inner queries first, `pg_catalog` before any
//! other schema; what is not the catalogue's is [`Refused::NotOurs`], and nothing was done.
//! Left out: types and functions, which are in `bind_expr`; the parts of a query, in `bind_query`.

use super::expr::Expr;
use super::query::{
    Aggregate, Body, Column, Distinct, From, Query, Select, SetCall, Source, Window,
};
use super::registry::{self, Definition};
use super::snapshot::PG_CATALOG;
use super::types::Type;
use crate::error::AnalyzeError;
use crate::platform::CATALOG;
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tradewind_sql::{Dialect, StatementKind, parse_script};

/// Relations that one `FROM` may hold.
const RELATIONS_MAX: usize = 64; // as many as a mask has bits
/// Queries within queries.
const LEVELS_MAX: usize = 64;

/// Why a statement is not answered here.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is about something else too, or holds what only DataFusion knows.
    NotOurs(AnalyzeError),
    /// It is wrong.
    Wrong(AnalyzeError),
}

impl std::convert::From<AnalyzeError> for Refused {
    fn from(error: AnalyzeError) -> Self {
        Self::Wrong(error)
    }
}

pub(super) type Result<T> = std::result::Result<T, Refused>;

/// Something that is not known here, though it may be elsewhere.
pub(super) fn not_ours<T>(message: impl Into<String>) -> Result<T> {
    Err(Refused::NotOurs(AnalyzeError::user(message)))
}

pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(Refused::Wrong(AnalyzeError::user(message)))
}

/// An expression with its type.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) ty: Type,
    /// Of a row, its columns.
    pub(super) fields: Option<Arc<[(String, Type)]>>,
}

impl Typed {
    pub(super) fn new(expr: Expr, ty: Type) -> Self {
        Self { expr, ty, fields: None }
    }
}

/// A relation in a `FROM`.
pub(super) struct Visible {
    pub(super) alias: String,
    pub(super) columns: Vec<Column>,
    /// Columns that `USING` has made one with another relation's.
    pub(super) merged: BTreeSet<usize>,
    /// The oid of a relation of the catalogue.
    pub(super) oid: u32,
}

/// A query that is being read.
#[derive(Default)]
pub(super) struct Level {
    pub(super) relations: Vec<Visible>,
    /// Relation and column of each slot.
    pub(super) slots: Vec<(usize, usize)>,
    /// Relations named since it was last emptied, a bit each.
    pub(super) touched: u64,
    /// A subquery of its `FROM` is being read that does not see its neighbours.
    pub(super) closed: bool,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) windows: Vec<Window>,
    pub(super) sets: Vec<SetCall>,
}

/// Reads one statement.
pub(super) struct Binder {
    dialect: Dialect,
    pub(super) levels: Vec<Level>,
    pub(super) ctes: Vec<(String, Arc<Query>)>,
    /// Types of the parameters, as far as they are known.
    pub(super) parameters: Vec<Option<Type>>,
    /// The outermost level that was named since it was last set.
    pub(super) lowest: usize,
    pub(super) queries: usize,
    views: HashMap<*const Definition, Arc<Query>>,
}

/// Where a name leads.
struct Found {
    level: usize,
    relation: usize,
    column: usize,
}

impl Binder {
    pub(super) fn new(dialect: Dialect, parameters: Vec<Option<Type>>) -> Self {
        Self {
            dialect,
            levels: Vec::new(),
            ctes: Vec::new(),
            parameters,
            lowest: usize::MAX,
            queries: 0,
            views: HashMap::new(),
        }
    }

    pub(super) fn fold(&self, ident: &Ident) -> String {
        self.dialect.fold(ident)
    }

    pub(super) fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("an expression stands in a query")
    }

    pub(super) fn next_id(&mut self) -> usize {
        self.queries += 1;
        self.queries
    }

    pub(super) fn check_depth(&self) -> Result<()> {
        match self.levels.len() >= LEVELS_MAX {
            true => wrong(format!("queries stand in each other more than {LEVELS_MAX} deep")),
            false => Ok(()),
        }
    }

    /// Adds a relation to the `FROM` that is being read; its place.
    pub(super) fn add(&mut self, visible: Visible) -> Result<usize> {
        let level = self.level();
        if level.relations.len() == RELATIONS_MAX {
            return wrong(format!("FROM holds more than {RELATIONS_MAX} relations"));
        }
        if level.relations.iter().any(|one| one.alias == visible.alias && !one.alias.is_empty()) {
            return wrong(format!("table name \"{}\" specified more than once", visible.alias));
        }
        level.relations.push(visible);
        Ok(level.relations.len() - 1)
    }

    /// The parts of a name, folded.
    pub(super) fn parts(&self, name: &ObjectName) -> Vec<String> {
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
        idents.map(|ident| self.fold(ident)).collect()
    }

    /// The relation of the catalogue of that name.
    pub(super) fn definition(&self, parts: &[String]) -> Option<&'static Definition> {
        match parts {
            [name] => registry::find(PG_CATALOG, name),
            [schema, name] => registry::find(schema, name),
            [catalog, schema, name] if catalog == CATALOG => registry::find(schema, name),
            _ => None,
        }
    }

    /// A column by its name, alone or behind its relation's.
    pub(super) fn column(&mut self, parts: &[String]) -> Result<Typed> {
        let (name, of) = parts.split_last().expect("a name has a part");
        let of = of.last();
        for at in (0..self.levels.len()).rev() {
            let level = &self.levels[at];
            if level.closed {
                continue;
            }
            if let Some(found) = find(level, at, of.map(String::as_str), name)? {
                return Ok(self.slot(&found));
            }
            let relation = match of {
                Some(of) => level.relations.iter().find(|one| one.alias == *of),
                None => None,
            };
            if let Some(relation) = relation {
                return match system_column(relation, name) {
                    Some(column) => Ok(column),
                    None => wrong(format!("column {}.{name} does not exist", relation.alias)),
                };
            }
            if of.is_none()
                && let Some(place) = level.relations.iter().position(|one| one.alias == *name)
            {
                return Ok(self.whole_row(at, place));
            }
        }
        match of {
            Some(of) => wrong(format!("missing FROM-clause entry for table \"{of}\"")),
            None => wrong(format!("column \"{name}\" does not exist")),
        }
    }

    /// The slot of a column, which is given one when it is first named.
    fn slot(&mut self, found: &Found) -> Typed {
        let depth = self.levels.len() - 1 - found.level;
        self.lowest = self.lowest.min(found.level);
        let level = &mut self.levels[found.level];
        level.touched |= 1 << found.relation;
        let key = (found.relation, found.column);
        let slot = level.slots.iter().position(|one| *one == key).unwrap_or_else(|| {
            level.slots.push(key);
            level.slots.len() - 1
        });
        let column = &level.relations[found.relation].columns[found.column];
        Typed { expr: Expr::Slot { depth, slot }, ty: column.ty, fields: column.fields.clone() }
    }

    pub(super) fn own_slot(&mut self, relation: usize, column: usize) -> Typed {
        let level = self.levels.len() - 1;
        self.slot(&Found { level, relation, column })
    }

    fn whole_row(&mut self, level: usize, relation: usize) -> Typed {
        let columns = self.levels[level].relations[relation].columns.clone();
        // A relation of one column without a name of its own is that column: generate_series(…) s.
        let slots =
            (0..columns.len()).map(|column| self.slot(&Found { level, relation, column }).expr);
        let expr = Expr::Row(slots.collect());
        let fields = columns.into_iter().map(|column| (column.name, column.ty)).collect();
        Typed { expr, ty: Type::RECORD, fields: Some(fields) }
    }

    /// A view of the catalogue: its query, with the columns that PostgreSQL's view has.
    pub(super) fn view(
        &mut self,
        definition: &'static Definition,
        sql: &str,
    ) -> Result<Arc<Query>> {
        let key = std::ptr::from_ref(definition);
        if let Some(found) = self.views.get(&key) {
            return Ok(Arc::clone(found));
        }
        self.check_depth()?;
        let statements = parse_script(sql, Dialect::Postgres).map_err(AnalyzeError::from)?;
        let Some(StatementKind::Other(statement)) = statements.first().map(|one| &one.kind) else {
            return Err(AnalyzeError::bug(format!("view {} is no query", definition.name)).into());
        };
        let ast::Statement::Query(query) = &**statement else {
            return Err(AnalyzeError::bug(format!("view {} is no query", definition.name)).into());
        };
        // A view sees nothing of the statement that names it.
        let outer = std::mem::take(&mut self.levels);
        let ctes = std::mem::take(&mut self.ctes);
        let dialect = std::mem::replace(&mut self.dialect, Dialect::Postgres);
        let lowest = self.lowest;
        let bound = self.query(query);
        (self.levels, self.ctes, self.dialect, self.lowest) = (outer, ctes, dialect, lowest);
        let shaped = Arc::new(self.shaped(bound?, definition));
        self.views.insert(key, Arc::clone(&shaped));
        Ok(shaped)
    }

    /// All of a relation.
    pub(super) fn whole(mut self, definition: &'static Definition) -> Result<Query> {
        let source = match definition.query {
            Some(sql) => Source::Query { query: self.view(definition, sql)?, lateral: false },
            None => Source::Relation(definition),
        };
        let slots: Vec<(usize, usize)> = (0..definition.columns.len()).map(|at| (0, at)).collect();
        let output = (0..slots.len()).map(|slot| Expr::Slot { depth: 0, slot });
        let mut select = Select::plain(From::new(source, 1), output.collect());
        select.from.settle(&slots);
        select.width = slots.len();
        Ok(self.selected(select, definition))
    }

    fn selected(&mut self, select: Select, definition: &Definition) -> Query {
        let columns = definition.columns.iter().map(|column| Column {
            name: column.name.into(),
            ty: column.ty,
            fields: None,
        });
        Query {
            id: self.next_id(),
            body: Body::Select(Box::new(select)),
            columns: columns.collect(),
            order: Vec::new(),
            limit: None,
            offset: None,
            correlated: false,
        }
    }

    /// A query with the columns of a relation: those it has by name, null for the others.
    fn shaped(&mut self, query: Query, definition: &Definition) -> Query {
        let mut slots = Vec::new();
        let mut output = Vec::new();
        for column in &definition.columns {
            match query.columns.iter().position(|one| one.name == column.name) {
                Some(at) => {
                    let of = Expr::Slot { depth: 0, slot: slots.len() };
                    let (from, to) = (query.columns[at].ty, column.ty);
                    slots.push((0, at));
                    output.push(match from == to {
                        true => of,
                        false => Expr::Cast { of: of.boxed(), from, to, modifier: -1 },
                    });
                }
                None => output.push(Expr::Const(super::value::Value::Null)),
            }
        }
        let source = Source::Query { query: Arc::new(query), lateral: false };
        let mut select = Select::plain(From::new(source, 1), output);
        select.from.settle(&slots);
        select.width = slots.len();
        self.selected(select, definition)
    }
}

impl Select {
    /// Rows of a source without further ado.
    pub(super) fn plain(from: From, output: Vec<Expr>) -> Self {
        Self {
            from,
            width: 0,
            filters: Vec::new(),
            group: None,
            aggregates: Vec::new(),
            having: None,
            windows: Vec::new(),
            sets: Vec::new(),
            output,
            distinct: Distinct::No,
        }
    }
}

/// A column in one level: of a relation, or of the only one that has it.
fn find(level: &Level, at: usize, of: Option<&str>, name: &str) -> Result<Option<Found>> {
    let mut found = None;
    for (relation, visible) in level.relations.iter().enumerate() {
        if of.is_some_and(|of| of != visible.alias) {
            continue;
        }
        let own = visible.columns.iter().enumerate().filter(|(column, one)| {
            one.name == name && (of.is_some() || !visible.merged.contains(column))
        });
        for (column, _) in own {
            if found.is_some() {
                return wrong(format!("column reference \"{name}\" is ambiguous"));
            }
            found = Some(Found { level: at, relation, column });
        }
    }
    Ok(found)
}

/// What every relation has beside its columns.
fn system_column(relation: &Visible, name: &str) -> Option<Typed> {
    let number =
        |number: u32, ty| Typed::new(Expr::Const(super::value::Value::Int(number.into())), ty);
    match name {
        "tableoid" if relation.oid != 0 => Some(number(relation.oid, Type::OID)),
        "xmin" if relation.oid != 0 => Some(number(1, Type::XID)),
        _ => None,
    }
}
