//! What a question about the catalogue is answered from: the moment's objects, who asks, and the
//! rows and indexes made of them on the way.
//!
//! Guarantees: rows of a relation are made once for each execution, and only of relations that it
//! reads.
//! Left out: keeping any of it longer. The next execution looks anew.

use super::registry::Definition;
use super::relations;
use super::snapshot::{OWNER, Snapshot};
use super::value::Value;
use crate::variables::Variables;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Who asks, and what he has set. A session puts it into its state; else it is the server itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) variables: Variables,
    pub(crate) time_zone: String,
}

impl Identity {
    /// What `current_user` is.
    pub(crate) fn user(&self) -> &str {
        let user = self.variables.get("session_authorization");
        user.filter(|user| !user.is_empty()).unwrap_or(super::snapshot::DATABASE)
    }

    /// What a setting is in this session.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        match name {
            "timezone" => Some(&self.time_zone),
            name => self.variables.get(name),
        }
    }

    /// Every setting of the session.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let mut all = self.variables.all();
        all.push(("TimeZone".into(), self.time_zone.clone()));
        all
    }
}

/// A row.
pub(crate) type Row = Vec<Value>;
/// Which rows have a value in a column.
pub(crate) type Index = HashMap<Value, Vec<usize>>;

/// One execution.
pub(crate) struct Context {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) parameters: Vec<Value>,
    /// Microseconds since the Unix epoch: of the execution.
    pub(crate) now: i64,
    /// The same: of the process.
    pub(crate) started_at: i64,
    tables: RefCell<HashMap<*const Definition, Rc<Table>>>,
    /// Rows of subqueries that depend on nothing around them, by their place in the plan.
    pub(super) kept: RefCell<HashMap<usize, Rc<Table>>>,
    /// Rows made so far.
    pub(super) work: std::cell::Cell<u64>,
}

/// Rows, and what finds some of them.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    indexes: RefCell<HashMap<usize, Rc<Index>>>,
}

impl Table {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows, indexes: RefCell::default() }
    }

    /// Finds rows by a column.
    pub(crate) fn index(&self, column: usize) -> Rc<Index> {
        let mut indexes = self.indexes.borrow_mut();
        let index = indexes.entry(column).or_insert_with(|| {
            let mut index = Index::new();
            for (at, row) in self.rows.iter().enumerate() {
                if !row[column].is_null() {
                    index.entry(row[column].clone()).or_default().push(at);
                }
            }
            Rc::new(index)
        });
        Rc::clone(index)
    }
}

impl Context {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        identity: Arc<Identity>,
        parameters: Vec<Value>,
        now: i64,
        started_at: i64,
    ) -> Self {
        Self {
            snapshot,
            identity,
            parameters,
            now,
            started_at,
            tables: RefCell::default(),
            kept: RefCell::default(),
            work: std::cell::Cell::new(0),
        }
    }

    /// A relation's rows.
    pub(crate) fn table(&self, definition: &'static Definition) -> Rc<Table> {
        let key = std::ptr::from_ref(definition);
        if let Some(found) = self.tables.borrow().get(&key) {
            return Rc::clone(found);
        }
        let table = Rc::new(Table::new(relations::rows(self, definition)));
        self.tables.borrow_mut().insert(key, Rc::clone(&table));
        table
    }

    /// A role's name.
    pub(crate) fn role(&self, oid: &Value) -> String {
        match oid.as_int() {
            Some(oid) if oid == i64::from(OWNER) => self.identity.user().into(),
            Some(oid) => format!("unknown (OID={oid})"),
            None => String::new(),
        }
    }
}
