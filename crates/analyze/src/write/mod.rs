//! Statements that change tables: rows into them, out of them and other ones in their place, and
//! tables, views and schemas themselves.
//!
//! Guarantees: a statement's rows are one durable commit, all of them or none; what does not fit a
//! column fails the statement and names row and column. Which `INSERT` is a batch and which a
//! pipeline is decided by what it reads: one that reads a stream never ends, so it is a pipeline.
//! Left out: several statements as one change. Each stands for itself.

mod assign;
mod create_as;
mod define;
mod insert;
mod modify;
mod target;
mod temporary;

pub(crate) use modify::Placed;
pub(crate) use temporary::Temporaries;

use crate::error::AnalyzeError;
use crate::session::{Answer, Call, Session};
use datafusion::sql::sqlparser::ast;
use insert::Inserted;
use tradewind_sql::{Statement, StatementKind};

/// Whether a statement is carried out here.
pub(crate) fn changes_tables(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::Other(other) => {
            matches!(**other, ast::Statement::Delete(_) | ast::Statement::Update(_))
        }
        StatementKind::Insert(_)
        | StatementKind::Truncate(_)
        | StatementKind::CreateTableAs(_)
        | StatementKind::CreateTemporary(_)
        | StatementKind::Drop { .. }
        | StatementKind::DropSchema { .. }
        | StatementKind::CreateSchema { .. }
        | StatementKind::Rename(_)
        | StatementKind::Comment(_) => true,
        _ => false,
    }
}

impl Session {
    /// Carries out a statement that changes tables.
    pub(crate) async fn write(
        &mut self,
        statement: &Statement,
        call: Call<'_>,
    ) -> Result<Answer, AnalyzeError> {
        let what = statement.text.split_whitespace().next().unwrap_or_default().to_uppercase();
        self.admit_change(&what)?;
        let tag = match &statement.kind {
            StatementKind::Insert(insert) => match self.insert(insert, call).await? {
                Inserted::Rows(rows) => format!("INSERT 0 {rows}"),
                Inserted::Endless => self.change_tag(statement).await?,
            },
            StatementKind::Other(other) => match other.as_ref() {
                ast::Statement::Delete(delete) => self.delete(delete, call).await?,
                ast::Statement::Update(update) => self.update(update, call).await?,
                _ => return Err(AnalyzeError::bug("a statement that changes no rows")),
            },
            StatementKind::Truncate(name) => self.truncate(name, call).await?,
            StatementKind::CreateTableAs(create) => self.create_table_as(create, call).await?,
            StatementKind::CreateTemporary(create) => self.create_temporary(create)?,
            StatementKind::Drop { .. } => self.drop_object(statement).await?,
            StatementKind::DropSchema { name, if_exists, cascade } => {
                self.drop_schema(name, (*if_exists, *cascade)).await?
            }
            kind => self.define(kind)?,
        };
        self.note_change(&tag);
        Ok(Answer::Done(tag))
    }

    /// What whoever carries out other changes says was done.
    async fn change_tag(&mut self, statement: &Statement) -> Result<String, AnalyzeError> {
        match self.change(statement).await? {
            Answer::Done(tag) => Ok(tag),
            _ => Err(AnalyzeError::bug("a change has no rows")),
        }
    }
}
