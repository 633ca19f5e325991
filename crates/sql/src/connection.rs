//! Statements about the connection itself: transactions, settings, cursors, prepared statements, COPY.
//!
//! Guarantees: names are as they are looked up; a statement inside another keeps its own text and
//! its place in the whole script.
//! Left out: what a connection does with them.

use crate::Statement;
use datafusion::sql::sqlparser::ast;

/// What is asked of the connection.
#[derive(Debug, Clone)]
pub enum Connection {
    /// `BEGIN`, `START TRANSACTION`
    Begin(Modes),
    /// `COMMIT`, `END`
    Commit {
        /// Begin the next one at once.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`
    Rollback {
        /// Begin the next one at once.
        chain: bool,
    },
    /// `SAVEPOINT name`
    Savepoint(String),
    /// `ROLLBACK TO [SAVEPOINT] name`
    RollbackTo(String),
    /// `RELEASE [SAVEPOINT] name`
    Release(String),
    /// `SET TRANSACTION …`, `SET SESSION CHARACTERISTICS AS TRANSACTION …`
    SetTransaction {
        /// For all later ones, not for this one.
        session: bool,
        /// What they are to be.
        modes: Modes,
    },
    /// `SET [SESSION | LOCAL] name = value`
    Set {
        /// The setting, folded to lower case.
        name: String,
        /// Its value; `None` is what it was when the connection began.
        value: Option<String>,
        /// For this transaction alone.
        local: bool,
    },
    /// `SHOW name`; `all` shows all.
    Show(String),
    /// `RESET name`; `None` is all.
    Reset(Option<String>),
    /// `DISCARD …`
    Discard(Discard),
    /// `PREPARE name [(types)] AS statement`
    Prepare {
        /// What it is called.
        name: String,
        /// The parameters' types, as far as they are given.
        types: Vec<ast::DataType>,
        /// What is prepared.
        statement: Box<Statement>,
    },
    /// `EXECUTE name [(values)]`
    Execute {
        /// Which one.
        name: String,
        /// The parameters' values.
        values: Vec<ast::Expr>,
    },
    /// `DEALLOCATE name`; `None` is all.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR query`
    Declare(Declare),
    /// `FETCH …`, `MOVE …`
    Fetch {
        /// The cursor.
        cursor: String,
        /// How far.
        direction: Direction,
        /// Without showing the rows.
        moves: bool,
    },
    /// `CLOSE name`; `None` is all.
    Close(Option<String>),
    /// `COPY …`
    Copy(Copy),
    /// `UNLISTEN …`: nobody listens here.
    Unlisten,
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// Whether it only reads; `None` leaves it.
    pub read_only: Option<bool>,
    /// How much it sees of others; `None` leaves it.
    pub isolation: Option<Isolation>,
}

/// How much a transaction sees of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Anything.
    ReadUncommitted,
    /// What was committed before each statement.
    ReadCommitted,
    /// What was committed before the first statement.
    RepeatableRead,
    /// As if alone.
    Serializable,
}

impl Isolation {
    /// As settings spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

/// What `DISCARD` takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// All that the connection has.
    All,
    /// Plans that are kept.
    Plans,
    /// What sequences have given.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// `DECLARE name [BINARY] [INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH | WITHOUT} HOLD] FOR query`
#[derive(Debug, Clone)]
pub struct Declare {
    /// What it is called.
    pub name: String,
    /// Rows come in binary.
    pub binary: bool,
    /// Backwards as well.
    pub scroll: bool,
    /// Beyond the end of the transaction.
    pub hold: bool,
    /// What it reads.
    pub statement: Box<Statement>,
}

/// How far `FETCH` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// So many rows on.
    Forward(u64),
    /// To the end.
    All,
    /// Any way but on.
    Other,
}

/// `COPY {table [(columns)] | (query)} {TO STDOUT | FROM STDIN} [WITH (options)]`
#[derive(Debug, Clone)]
pub struct Copy {
    /// What is copied.
    pub what: Copied,
    /// Into the table, else out.
    pub from: bool,
    /// In which form.
    pub format: CopyFormat,
    /// The first line names the columns.
    pub header: bool,
    /// Between fields; `None` is the format's.
    pub delimiter: Option<char>,
    /// What stands for no value; `None` is the format's.
    pub null: Option<String>,
    /// Around fields of CSV; `None` is `"`.
    pub quote: Option<char>,
    /// Before a quote in quotes of CSV; `None` is the quote.
    pub escape: Option<char>,
}

/// What is copied.
#[derive(Debug, Clone)]
pub enum Copied {
    /// A table.
    Table {
        /// As written, for a query of it.
        sql: String,
        /// As it is looked up, its schema included.
        name: String,
        /// Its columns as they are looked up; none is all.
        columns: Vec<String>,
        /// The same as written, in parentheses.
        columns_sql: String,
    },
    /// The answer to a query.
    Query(Box<Statement>),
}

/// In which form rows are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// PostgreSQL's text: tabs between fields, `\N` for no value.
    Text,
    /// CSV.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
}
