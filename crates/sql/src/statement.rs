//! What a statement asks for.
//!
//! Guarantees: names are as they are looked up; `sql` and `query_sql` are the text as written.
//! Left out: whether it can be done.

use crate::connection::Connection;
use crate::{Dialect, Span, TableDefinition};
use datafusion::sql::sqlparser::ast;

/// One statement of a script.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What it asks for.
    pub kind: StatementKind,
    /// Its text, without the closing semicolon.
    pub text: String,
    /// Where it stands in the script.
    pub span: Span,
}

/// What a statement asks for.
#[derive(Debug, Clone)]
pub enum StatementKind {
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`
    CreateView(Box<CreateView>),
    /// `CREATE MATERIALIZED VIEW`
    CreateMaterializedView(Box<CreateView>),
    /// `INSERT INTO table SELECT …`
    Insert(Box<Insert>),
    /// `DROP TABLE | VIEW | MATERIALIZED VIEW | PIPELINE`
    Drop {
        /// Of what kind.
        kind: ObjectKind,
        /// Nothing is wrong when it is not there.
        if_exists: bool,
        /// Which one.
        name: String,
    },
    /// `SHOW TABLES`, `SHOW VIEWS`, `SHOW MATERIALIZED VIEWS`, `SHOW PIPELINES`
    Show(ObjectKind),
    /// `SHOW CREATE TABLE | VIEW | MATERIALIZED VIEW | PIPELINE name`
    ShowCreate {
        /// Of what kind.
        kind: ObjectKind,
        /// Which one.
        name: String,
    },
    /// `DESCRIBE name`, `DESC name`
    Describe(String),
    /// `EXPLAIN statement`
    Explain {
        /// Run it and say what it took.
        analyze: bool,
        /// What to explain.
        statement: Box<Statement>,
    },
    /// `SET 'key' = 'value'`
    Set {
        /// The setting's name.
        key: String,
        /// Its value.
        value: String,
    },
    /// `ALTER PIPELINE | MATERIALIZED VIEW name PAUSE | RESUME`
    AlterPipeline {
        /// Which one.
        name: String,
        /// Whether it shall stand still.
        pause: bool,
    },
    /// `SUBSCRIBE [TO] view | (query) [AFTER 'token'] [LIMIT rows]`
    Subscribe(Subscribe),
    /// Transactions, settings, cursors, prepared statements, `COPY`
    Connection(Box<Connection>),
    /// Everything else, as sqlparser reads it: queries above all.
    Other(Box<ast::Statement>),
}

impl StatementKind {
    /// The dialect that the statements after this one are in, where it says so.
    pub(crate) fn sets_dialect(&self) -> Option<Dialect> {
        match self {
            Self::Set { key, value } if sets_dialect(key) => Dialect::from_name(value),
            Self::Connection(connection) => match &**connection {
                Connection::Set { name, value: Some(value), .. } if sets_dialect(name) => {
                    Dialect::from_name(value)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether `SET` of this key changes the dialect.
pub fn sets_dialect(key: &str) -> bool {
    ["dialect", "table.sql-dialect"].iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// A question for changes as they come.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Of what.
    pub to: Subscribed,
    /// The resume token of whoever has seen some already.
    pub after: Option<String>,
    /// Rows after which it ends.
    pub limit: Option<u64>,
}

/// What changes are asked for of.
#[derive(Debug, Clone)]
pub enum Subscribed {
    /// A materialized view.
    View(String),
    /// A query that is kept up to date for as long as somebody listens.
    Query(Box<ast::Query>),
}

/// The kinds of objects in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A topic or a lake table.
    Table,
    /// A stored query.
    View,
    /// A query that is kept computed.
    MaterializedView,
    /// A running `INSERT INTO`.
    Pipeline,
}

impl ObjectKind {
    /// `table`, `view`, `materialized view` or `pipeline`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Pipeline => "pipeline",
        }
    }
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table.
    pub definition: TableDefinition,
    /// Nothing is wrong when there is one of that name.
    pub if_not_exists: bool,
    /// Take the place of one of that name.
    pub or_replace: bool,
}

/// `CREATE [OR REPLACE] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] AS query`
#[derive(Debug, Clone)]
pub struct CreateView {
    /// As it is looked up.
    pub name: String,
    /// The columns' names, when they are given.
    pub columns: Vec<String>,
    /// What it stands for.
    pub query: Box<ast::Query>,
    /// The query as written.
    pub query_sql: String,
    /// The whole statement as written.
    pub sql: String,
    /// Nothing is wrong when there is one of that name.
    pub if_not_exists: bool,
    /// Take the place of one of that name.
    pub or_replace: bool,
}

/// `INSERT INTO table [(columns)] query`
#[derive(Debug, Clone)]
pub struct Insert {
    /// The table to write.
    pub target: String,
    /// The columns to write, in the query's order; empty means all in the table's order.
    pub columns: Vec<String>,
    /// What to write.
    pub query: Box<ast::Query>,
    /// The query as written.
    pub query_sql: String,
    /// The whole statement as written.
    pub sql: String,
}

impl Statement {
    /// Whether a session may run it without changing anything.
    pub fn is_query(&self) -> bool {
        matches!(&self.kind, StatementKind::Other(other) if matches!(**other, ast::Statement::Query(_)))
    }
}
