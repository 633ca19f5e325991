//! The objects of the catalogue, as the rest of the system sees them.
//!
//! Guarantees: a table's columns and a pipeline's query are read from its SQL when it is loaded,
//! so they cannot disagree with it.
//! Left out: the stored form, which is the store's.

use super::CatalogueError;
use crate::ddl::renamed;
use crate::{
    CreateView, Dialect, Insert, ObjectKind, SqlError, StatementKind, TableDefinition, parse_script,
};
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeMap;
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
    /// What `COMMENT ON` said: of it under the empty name, of its columns under theirs.
    pub comments: BTreeMap<String, String>,
}

/// A schema that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// As it is looked up.
    pub name: String,
    /// What `COMMENT ON` said.
    pub comment: Option<String>,
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
    /// A stored query that a pipeline of the same name keeps computed.
    MaterializedView(ViewDefinition),
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

/// An `INSERT INTO … SELECT` or a materialized view, that runs.
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
    /// The table or materialized view it writes.
    pub target: String,
    /// The statement, read.
    pub statement: PipelineStatement,
    /// Name and type of each column of its query when it was first planned; empty before.
    pub columns: Vec<(String, String)>,
    /// Microseconds since the Unix epoch.
    pub created_at: TimestampMicros,
}

/// What a pipeline runs.
#[derive(Debug, Clone)]
pub enum PipelineStatement {
    /// `INSERT INTO table SELECT …`
    Insert(Insert),
    /// `CREATE MATERIALIZED VIEW`
    View(CreateView),
}

/// A pipeline to keep.
#[derive(Debug, Clone)]
pub struct NewPipeline {
    /// Unique among pipelines.
    pub name: String,
    /// The `INSERT INTO` or `CREATE MATERIALIZED VIEW` statement.
    pub sql: String,
    /// How the text is meant.
    pub dialect: Dialect,
    /// Who may change it.
    pub owner: Owner,
    /// Name and type of each column of its query, once planned.
    pub columns: Vec<(String, String)>,
}

impl Relation {
    /// What a `COMMENT` says of it, where one does.
    pub fn comment(&self) -> Option<&str> {
        let said = self.comments.get("").map(String::as_str);
        said.or_else(|| self.table()?.comment.as_deref())
    }

    /// What a `COMMENT` says of a column, where one does.
    pub fn column_comment(&self, column: &str) -> Option<&str> {
        let said = self.comments.get(column).map(String::as_str);
        let declared = || {
            let columns = &self.table()?.columns;
            columns.iter().find(|one| one.name == column)?.comment.as_deref()
        };
        said.or_else(declared)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// `Table`, `View` or `MaterializedView`.
    pub fn kind(&self) -> ObjectKind {
        match self.definition {
            Definition::Table(_) => ObjectKind::Table,
            Definition::View(_) => ObjectKind::View,
            Definition::MaterializedView(_) => ObjectKind::MaterializedView,
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&TableDefinition> {
        match &self.definition {
            Definition::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The view, if it is one.
    pub fn view(&self) -> Option<&ViewDefinition> {
        match &self.definition {
            Definition::View(view) => Some(view),
            _ => None,
        }
    }

    /// The materialized view, if it is one.
    pub fn materialized_view(&self) -> Option<&ViewDefinition> {
        match &self.definition {
            Definition::MaterializedView(view) => Some(view),
            _ => None,
        }
    }

    /// What a view of either kind stands for.
    pub fn query(&self) -> Option<&ast::Query> {
        self.view().or_else(|| self.materialized_view()).map(|view| &*view.query)
    }

    /// The `CREATE` statement as written.
    pub fn sql(&self) -> &str {
        match &self.definition {
            Definition::Table(table) => &table.sql,
            Definition::View(view) | Definition::MaterializedView(view) => &view.sql,
        }
    }

    /// How its text was meant.
    pub fn dialect(&self) -> Dialect {
        match &self.definition {
            Definition::Table(table) => table.dialect,
            Definition::View(view) | Definition::MaterializedView(view) => view.dialect,
        }
    }
}

impl Definition {
    /// The same under another name; a lake table's rows stay in their folder.
    pub(super) fn renamed(&self, to: &str) -> Result<Self, String> {
        let (sql, dialect) = match self {
            Self::Table(table) => (&table.sql, table.dialect),
            Self::View(view) | Self::MaterializedView(view) => (&view.sql, view.dialect),
        };
        let sql = renamed(sql, dialect, to).map_err(|error| error.to_string())?;
        let mut definition = Self::parse(&sql, dialect)?;
        if let (Self::Table(new), Self::Table(old)) = (&mut definition, self) {
            new.folder.clone_from(&old.folder);
        }
        Ok(definition)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) | Self::MaterializedView(view) => &view.name,
        }
    }

    /// Whether two definitions stand for the same rows: layout and comments of the text aside.
    pub fn same_meaning(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(left), Self::Table(right)) => meaning(left) == meaning(right),
            (Self::View(left), Self::View(right))
            | (Self::MaterializedView(left), Self::MaterializedView(right)) => {
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
            StatementKind::CreateMaterializedView(view) => {
                Ok(Self::MaterializedView(ViewDefinition::new(&view, dialect)))
            }
            _ => Err("it is no CREATE statement".into()),
        }
    }
}

/// A table without what does not change its rows.
fn meaning(table: &TableDefinition) -> TableDefinition {
    let mut table = table.clone();
    table.sql.clear();
    table.folder.clear();
    table.comment = None;
    table.columns.iter_mut().for_each(|column| column.comment = None);
    table
}

impl ViewDefinition {
    /// What a `CREATE [MATERIALIZED] VIEW` defines.
    pub fn new(view: &CreateView, dialect: Dialect) -> Self {
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
        let statement = parse_pipeline(&new.sql, new.dialect).map_err(|reason| {
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
            target: statement.target().to_string(),
            statement,
            columns: new.columns.clone(),
            created_at,
        })
    }

    /// Whether a statement means what this pipeline does: layout of the text aside.
    pub(super) fn same_meaning(&self, statement: &PipelineStatement, dialect: Dialect) -> bool {
        self.dialect == dialect && self.statement.meaning() == statement.meaning()
    }
}

impl PipelineStatement {
    /// The table or materialized view that is written.
    pub fn target(&self) -> &str {
        match self {
            Self::Insert(insert) => &insert.target,
            Self::View(view) => &view.name,
        }
    }

    /// The rows that are written.
    pub fn query(&self) -> &ast::Query {
        match self {
            Self::Insert(insert) => &insert.query,
            Self::View(view) => &view.query,
        }
    }

    /// The statement as written.
    pub fn sql(&self) -> &str {
        match self {
            Self::Insert(insert) => &insert.sql,
            Self::View(view) => &view.sql,
        }
    }

    /// The columns the statement names; empty where it names none.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Insert(insert) => &insert.columns,
            Self::View(view) => &view.columns,
        }
    }

    /// What it does, layout of the text aside.
    fn meaning(&self) -> (bool, &str, &[String], String) {
        let is_view = matches!(self, Self::View(_));
        (is_view, self.target(), self.columns(), self.query().to_string())
    }
}

/// Reads a stored pipeline's statement.
pub(super) fn parse_pipeline(sql: &str, dialect: Dialect) -> Result<PipelineStatement, String> {
    match only_statement(sql, dialect)? {
        StatementKind::Insert(insert) => Ok(PipelineStatement::Insert(*insert)),
        StatementKind::CreateMaterializedView(view) => Ok(PipelineStatement::View(*view)),
        _ => Err("it is neither INSERT INTO … SELECT nor CREATE MATERIALIZED VIEW".into()),
    }
}

fn only_statement(sql: &str, dialect: Dialect) -> Result<StatementKind, String> {
    let mut statements = parse_script(sql, dialect).map_err(|error: SqlError| error.to_string())?;
    match (statements.pop(), statements.pop()) {
        (Some(statement), None) => Ok(statement.kind),
        _ => Err("it is not exactly one statement".into()),
    }
}
