//! Which relations a query names.
//!
//! Guarantees: every table factor is found, at any depth; a name may be in the answer that a
//! `WITH` defines, which errs on the safe side.
//! Left out: what the names resolve to.

use super::{Pipeline, Relation};
use datafusion::sql::sqlparser::ast::{Query, visit_relations};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The names in a query.
pub(super) fn of_query(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = visit_relations(query, |name| {
        if let Some(identifier) = name.0.last().and_then(|part| part.as_ident()) {
            names.insert(identifier.value.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// The names in a pipeline's query.
pub(super) fn of_pipeline(pipeline: &Pipeline) -> BTreeSet<String> {
    of_query(pipeline.statement.query())
}

/// The same, seen through views.
pub(super) fn through_views(
    pipeline: &Pipeline,
    relations: &BTreeMap<String, Arc<Relation>>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<String> = of_pipeline(pipeline).into_iter().collect();
    while let Some(name) = open.pop() {
        if let Some(view) = relations.get(&name).and_then(|relation| relation.view())
            && !names.contains(&name)
        {
            open.extend(of_query(&view.query));
        }
        names.insert(name);
    }
    names
}
