//! The objects of the catalogue, as the rest of the system sees them.
//!
//! Guarantees: a table's columns and a pipeline's query are read from its SQL when it is loaded,
//! so they cannot disagree with it.
//! Left out: the stored form, which is the store's.

use super::CatalogueError;
use crate::{
    CreateView, Dialect, Insert, ObjectKind, SqlError, StatementKind, TableDefinition, parse_script,
};
use datafusion::sql::sqlparser::ast;
use std::fmt;
use tradewind_types::TimestampMicros;

/// Who may change an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Whoever sends SQL.
    Sql,
    /// A pack of this name.
    Pack(String),
    /// `tradewind.toml`.
    Config,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql => f.write_str("sql"),
            Self::Pack(name) => write!(f, "pack {name:?}"),
            Self::Config => f.write_str("tradewind.toml"),
        }
    }
}

/// A table or view.
#[derive(Debug, Clone)]
pub struct Relation {
    /// What it is.
    pub definition: Definition,
    /// Who may change it.
    pub owner: Owner,
    /// Microseconds since the Unix epoch.
    pub created_at: TimestampMicros,
}

/// What a relation is.
#[derive(Debug, Clone)]
pub enum Definition {
    /// A topic or a lake table.
    Table(Box<TableDefinition>),
    /// A stored query.
    View(ViewDefinition),
}

/// A stored query.
#[derive(Debug, Clone)]
pub struct ViewDefinition {
    /// As it is looked up.
    pub name: String,
    /// The columns' names, when the statement gives them.
    pub columns: Vec<String>,
    /// What it stands for.
    pub query: Box<ast::Query>,
    /// How the text was meant.
    pub dialect: Dialect,
    /// The `CREATE VIEW` statement as written.
    pub sql: String,
}

/// An `INSERT INTO … SELECT` that runs.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// A UUID, given once: names the folder of its manifests.
    pub id: String,
    /// Unique among pipelines.
    pub name: String,
    /// 1, and one more each time the definition changes under the same name.
    pub incarnation: u64,
    /// The statement as written.
    pub sql: String,
    /// How the text was meant.
    pub dialect: Dialect,
    /// Who may change it.
    pub owner: Owner,
    /// A person paused it.
    pub paused: bool,
    /// The table it writes.
    pub target: String,
    /// The statement, read.
    pub insert: Insert,
    /// Name and type of each column of its query when it was first planned; empty before.
    pub columns: Vec<(String, String)>,
    /// Microseconds since the Unix epoch.
    pub created_at: TimestampMicros,
}

/// A pipeline to keep.
#[derive(Debug, Clone)]
pub struct NewPipeline {
    /// Unique among pipelines.
    pub name: String,
    /// The `INSERT INTO` statement.
    pub sql: String,
    /// How the text is meant.
    pub dialect: Dialect,
    /// Who may change it.
    pub owner: Owner,
    /// Name and type of each column of its query, once planned.
    pub columns: Vec<(String, String)>,
}

impl Relation {
    /// Its name.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// `Table` or `View`.
    pub fn kind(&self) -> ObjectKind {
        match self.definition {
            Definition::Table(_) => ObjectKind::Table,
            Definition::View(_) => ObjectKind::View,
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&TableDefinition> {
        match &self.definition {
            Definition::Table(table) => Some(table),
            Definition::View(_) => None,
        }
    }

    /// The view, if it is one.
    pub fn view(&self) -> Option<&ViewDefinition> {
        match &self.definition {
            Definition::View(view) => Some(view),
            Definition::Table(_) => None,
        }
    }

    /// The `CREATE` statement as written.
    pub fn sql(&self) -> &str {
        match &self.definition {
            Definition::Table(table) => &table.sql,
            Definition::View(view) => &view.sql,
        }
    }

    /// How its text was meant.
    pub fn dialect(&self) -> Dialect {
        match &self.definition {
            Definition::Table(table) => table.dialect,
            Definition::View(view) => view.dialect,
        }
    }
}

impl Definition {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
        }
    }

    /// Whether two definitions stand for the same rows: layout and comments of the text aside.
    pub fn same_meaning(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(left), Self::Table(right)) => meaning(left) == meaning(right),
            (Self::View(left), Self::View(right)) => {
                (left.query.to_string(), &left.columns, left.dialect)
                    == (right.query.to_string(), &right.columns, right.dialect)
            }
            _ => false,
        }
    }

    /// Reads a stored `CREATE` statement.
    pub(super) fn parse(sql: &str, dialect: Dialect) -> Result<Self, String> {
        match only_statement(sql, dialect)? {
            StatementKind::CreateTable(table) => Ok(Self::Table(Box::new(table.definition))),
            StatementKind::CreateView(view) => Ok(Self::View(ViewDefinition::new(&view, dialect))),
            _ => Err("it is no CREATE statement".into()),
        }
    }
}

/// A table without what does not change its rows.
fn meaning(table: &TableDefinition) -> TableDefinition {
    let mut table = table.clone();
    table.sql.clear();
    table.comment = None;
    table.columns.iter_mut().for_each(|column| column.comment = None);
    table
}

impl ViewDefinition {
    pub(super) fn new(view: &CreateView, dialect: Dialect) -> Self {
        Self {
            name: view.name.clone(),
            columns: view.columns.clone(),
            query: view.query.clone(),
            dialect,
            sql: view.sql.clone(),
        }
    }
}

impl Pipeline {
    pub(super) fn new(
        new: &NewPipeline,
        created_at: TimestampMicros,
    ) -> Result<Self, CatalogueError> {
        let insert = parse_insert(&new.sql, new.dialect).map_err(|reason| {
            CatalogueError::Stored { folder: "the request".into(), key: new.name.clone(), reason }
        })?;
        Ok(Self {
            id: uuid::Uuid::now_v7().to_string(),
            name: new.name.clone(),
            incarnation: 1,
            sql: new.sql.clone(),
            dialect: new.dialect,
            owner: new.owner.clone(),
            paused: false,
            target: insert.target.clone(),
            insert,
            columns: new.columns.clone(),
            created_at,
        })
    }

    /// Whether a statement means what this pipeline does: layout of the text aside.
    pub(super) fn same_meaning(&self, insert: &Insert, dialect: Dialect) -> bool {
        let meaning = |insert: &Insert| {
            (insert.target.clone(), insert.columns.clone(), insert.query.to_string())
        };
        self.dialect == dialect && meaning(&self.insert) == meaning(insert)
    }
}

/// Reads a stored `INSERT INTO`.
pub(super) fn parse_insert(sql: &str, dialect: Dialect) -> Result<Insert, String> {
    match only_statement(sql, dialect)? {
        StatementKind::Insert(insert) => Ok(*insert),
        _ => Err("it is no INSERT INTO … SELECT".into()),
    }
}

fn only_statement(sql: &str, dialect: Dialect) -> Result<StatementKind, String> {
    let mut statements = parse_script(sql, dialect).map_err(|error: SqlError| error.to_string())?;
    match (statements.pop(), statements.pop()) {
        (Some(statement), None) => Ok(statement.kind),
        _ => Err("it is not exactly one statement".into()),
    }
}
