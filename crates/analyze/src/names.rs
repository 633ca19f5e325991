//! Names in a query: which column an identifier means, and what `*` stands for.
//!
//! Guarantees: in the `postgres` dialect an unquoted identifier is folded to lower case; where
//! nothing has that name, the one column that differs in case alone is meant, and several such
//! columns are an error. `*` leaves out the hidden columns ([`is_hidden`]), which can be named.
//! Clauses that the planner would ignore are refused.
//! Left out: scopes. All columns of the statement's tables count as visible everywhere; a name
//! that is not, is the planner's error.

use crate::error::AnalyzeError;
use arrow::datatypes::{DataType, Schema};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableFactor, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use tradewind_lake::{FILE_COLUMN, ROW_COLUMN};
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// Whether `*` leaves a column out: where a row comes from in the log or is in its table, and a
/// record's raw bytes.
pub(crate) fn is_hidden(column: &str) -> bool {
    [PARTITION_COLUMN, OFFSET_COLUMN, "_key", "_value", FILE_COLUMN, ROW_COLUMN].contains(&column)
}

/// What the tables of a statement offer.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Every name that can be meant: columns, fields of objects, aliases, tables.
    names: HashSet<String>,
    by_folded: HashMap<String, BTreeSet<String>>,
    /// Hidden columns by table, under the name the query's text uses for it.
    hidden: HashMap<String, Vec<String>>,
}

impl Known {
    /// Takes in the columns of a table, known in the text as `name`.
    pub(crate) fn add_table(&mut self, name: &str, schema: &Schema) {
        self.add(name);
        for field in schema.fields() {
            self.add_field(field.name(), field.data_type());
        }
        let hidden = schema.fields().iter().map(|field| field.name().clone());
        self.hidden.insert(name.to_string(), hidden.filter(|column| is_hidden(column)).collect());
    }

    fn add_field(&mut self, name: &str, data_type: &DataType) {
        self.add(name);
        match data_type {
            DataType::Struct(fields) => {
                for field in fields {
                    self.add_field(field.name(), field.data_type());
                }
            }
            DataType::List(item) => self.add_field(item.name(), item.data_type()),
            _ => {}
        }
    }

    fn add(&mut self, name: &str) {
        if self.names.insert(name.to_string()) {
            self.by_folded.entry(name.to_lowercase()).or_default().insert(name.to_string());
        }
    }

    /// Makes an unquoted identifier name what it means.
    fn resolve(&self, ident: &mut Ident) -> Result<(), AnalyzeError> {
        if ident.quote_style.is_some() {
            return Ok(());
        }
        let folded = ident.value.to_lowercase();
        if self.names.contains(&folded) {
            return Ok(());
        }
        let Some(matches) = self.by_folded.get(&folded) else { return Ok(()) };
        let mut matches = matches.iter();
        match (matches.next(), matches.next()) {
            (Some(only), None) => {
                ident.value = only.clone();
                ident.quote_style = Some('"');
                Ok(())
            }
            (Some(one), Some(other)) => Err(AnalyzeError::user(format!(
                "\"{}\" is ambiguous: it may mean \"{one}\" or \"{other}\"",
                ident.value
            ))
            .hint("put double quotes around the one you mean")),
            _ => Ok(()),
        }
    }
}

/// Whether the statement's text names a hidden column.
pub(crate) fn names_hidden(statement: &mut Statement) -> bool {
    struct Finder;
    impl VisitorMut for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let last = match expr {
                Expr::Identifier(ident) => Some(&*ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            match last {
                Some(ident) if is_hidden(&ident.value.to_lowercase()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    statement.visit(&mut Finder).is_break()
}

/// The names a query gives to its own parts, which hide columns of the same spelling.
pub(crate) fn add_aliases(statement: &mut Statement, known: &mut Known) {
    struct Finder<'a>(&'a mut Known);
    impl VisitorMut for Finder<'_> {
        type Break = ();
        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &select.projection {
                if let SelectItem::ExprWithAlias { alias, .. } = item {
                    self.0.add(&folded(alias));
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let Some(alias) = alias_of(factor) {
                self.0.add(&alias);
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            for table in query.with.iter().flat_map(|with| &with.cte_tables) {
                self.0.add(&folded(&table.alias.name));
                for column in &table.alias.columns {
                    self.0.add(&folded(&column.name));
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Finder(known));
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The name that a table factor's columns can be qualified with.
fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(folded(&alias.name)),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().map(folded),
        _ => None,
    }
}

/// The name a table has in [`Known`]: as it is written, folded.
pub(crate) fn table_key(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded);
    parts.collect::<Vec<_>>().join(".")
}

/// Rewrites identifiers and wildcards to what they mean.
///
/// # Errors
/// An ambiguous identifier, or a clause that the planner does not read.
pub(crate) fn rewrite(
    statement: &mut Statement,
    known: &Known,
    fold: bool,
) -> Result<(), AnalyzeError> {
    let mut rewriter = Rewriter { known, fold };
    match statement.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter<'a> {
    known: &'a Known,
    fold: bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = AnalyzeError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<AnalyzeError> {
        if !self.fold {
            return ControlFlow::Continue(());
        }
        let resolved = match expr {
            Expr::Identifier(ident) => self.known.resolve(ident),
            Expr::CompoundIdentifier(parts) => {
                parts.iter_mut().try_for_each(|part| self.known.resolve(part))
            }
            _ => Ok(()),
        };
        match resolved {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<AnalyzeError> {
        match unread_clause(factor) {
            Some(clause) => {
                ControlFlow::Break(AnalyzeError::user(format!("{clause} is not supported")))
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<AnalyzeError> {
        self.hide(select);
        ControlFlow::Continue(())
    }
}

/// What the planner would leave out in silence.
fn unread_clause(factor: &TableFactor) -> Option<&'static str> {
    match factor {
        TableFactor::Table { version: Some(_), .. } => Some("FOR SYSTEM_TIME AS OF"),
        TableFactor::Table { sample: Some(_), .. }
        | TableFactor::Derived { sample: Some(_), .. } => Some("TABLESAMPLE"),
        TableFactor::Table { with_ordinality: true, .. } => Some("WITH ORDINALITY"),
        TableFactor::Table { json_path: Some(_), .. } => Some("a path behind a table"),
        TableFactor::Table { with_hints, index_hints, partitions, .. }
            if !(with_hints.is_empty() && index_hints.is_empty() && partitions.is_empty()) =>
        {
            Some("a hint behind a table")
        }
        _ => None,
    }
}

impl Rewriter<'_> {
    fn hide(&self, select: &mut Select) {
        let tables: Vec<(String, &[String])> =
            select.from.iter().flat_map(factors).filter_map(|each| self.hidden_of(each)).collect();
        let hiding = tables.iter().filter(|(_, hidden)| !hidden.is_empty()).count();
        if hiding == 0 {
            return;
        }
        let merged =
            select.from.iter().flat_map(|from| &from.joins).any(|join| merges(&join.join_operator));
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) if !options_given(&options) && hiding == 1 => {
                    let hidden = tables.iter().flat_map(|(_, hidden)| hidden.iter());
                    items.push(SelectItem::Wildcard(excluding(options, hidden)));
                }
                // Each table's own star: two tables have hidden columns of the same name.
                SelectItem::Wildcard(options) if !options_given(&options) && !merged => {
                    for (table, hidden) in &tables {
                        let kind =
                            SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![
                                Ident::with_quote('"', table),
                            ]));
                        let options = excluding(options.clone(), hidden.iter());
                        items.push(SelectItem::QualifiedWildcard(kind, options));
                    }
                }
                SelectItem::QualifiedWildcard(kind, options) if !options_given(&options) => {
                    let name = match &kind {
                        SelectItemQualifiedWildcardKind::ObjectName(name) => table_key(name),
                        SelectItemQualifiedWildcardKind::Expr(_) => String::new(),
                    };
                    let found = tables.iter().find(|(table, _)| *table == name);
                    let hidden = found.map_or(&[][..], |(_, hidden)| hidden);
                    items.push(SelectItem::QualifiedWildcard(
                        kind,
                        excluding(options, hidden.iter()),
                    ));
                }
                other => items.push(other),
            }
        }
        select.projection = items;
    }

    /// A table's name in this FROM clause and its hidden columns.
    fn hidden_of(&self, factor: &TableFactor) -> Option<(String, &[String])> {
        let alias = alias_of(factor)?;
        let hidden = match factor {
            TableFactor::Table { name, .. } => self.known.hidden.get(&table_key(name)),
            _ => None,
        };
        Some((alias, hidden.map_or(&[], Vec::as_slice)))
    }
}

fn factors(
    from: &datafusion::sql::sqlparser::ast::TableWithJoins,
) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

/// Whether a join makes one column of two, which only an unqualified star does.
fn merges(join: &JoinOperator) -> bool {
    let constraint = match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => constraint,
        _ => return false,
    };
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

fn options_given(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_some() || options.opt_except.is_some()
}

fn excluding<'a>(
    mut options: WildcardAdditionalOptions,
    hidden: impl Iterator<Item = &'a String>,
) -> WildcardAdditionalOptions {
    let names: Vec<ObjectName> =
        hidden.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)])).collect();
    if !names.is_empty() {
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
    options
}
