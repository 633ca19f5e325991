//! Schemas, other names, comments, and what is dropped with what depends on it.
//!
//! Guarantees: each object is changed as a whole and durably; what depends on a dropped object goes
//! before it, so that nothing is left that names what is gone.
//! Left out: dropping several objects as one change: a crash within `CASCADE` leaves the rest.
//! Pipelines are never dropped by `CASCADE`: they are no part of what PostgreSQL knows.

use super::create_as::of_catalogue;
use crate::error::AnalyzeError;
use crate::session::Session;
use std::sync::Arc;
use tradewind_sql::{Catalogue, ObjectKind, Statement, StatementKind, split_key};

impl Session {
    /// What is the catalogue's alone.
    pub(crate) fn define(&self, kind: &StatementKind) -> Result<String, AnalyzeError> {
        let catalogue = self.catalogue()?;
        let tag = match kind {
            StatementKind::CreateSchema { name, if_not_exists } => {
                catalogue.create_schema(name, *if_not_exists).map_err(of_catalogue)?;
                "CREATE SCHEMA"
            }
            StatementKind::Rename(rename) => {
                catalogue.rename(rename).map_err(of_catalogue)?;
                match rename.kind {
                    ObjectKind::View => "ALTER VIEW",
                    _ => "ALTER TABLE",
                }
            }
            StatementKind::Comment(comment) => {
                catalogue.comment(comment).map_err(of_catalogue)?;
                "COMMENT"
            }
            _ => return Err(AnalyzeError::bug("a statement the catalogue does not know")),
        };
        Ok(tag.into())
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>, AnalyzeError> {
        self.check_changes()?;
        let catalogue = self.platform().parts().catalogue.clone();
        catalogue.ok_or_else(|| AnalyzeError::user("there is no data folder to change"))
    }

    pub(crate) async fn drop_object(
        &mut self,
        statement: &Statement,
    ) -> Result<String, AnalyzeError> {
        let StatementKind::Drop { kind, if_exists, name, cascade } = &statement.kind else {
            return Err(AnalyzeError::bug("no DROP"));
        };
        let tag = format!("DROP {}", kind.name().to_uppercase());
        if *kind == ObjectKind::Table && self.temporaries().remove(name) {
            return Ok(tag);
        }
        if !cascade || *kind == ObjectKind::Pipeline {
            return self.change_tag(statement).await;
        }
        let catalogue = self.catalogue()?;
        match catalogue.relation(name) {
            Some(found) if found.kind() == *kind => {
                self.drop_readers(&catalogue, name).await?;
                self.drop_one(*kind, name).await?;
                Ok(tag)
            }
            _ if *if_exists => Ok(tag),
            _ => self.change_tag(statement).await,
        }
    }

    async fn drop_readers(
        &mut self,
        catalogue: &Catalogue,
        name: &str,
    ) -> Result<(), AnalyzeError> {
        for reader in catalogue.readers(name) {
            self.drop_one(reader.kind(), reader.name()).await?;
        }
        Ok(())
    }

    async fn drop_one(&mut self, kind: ObjectKind, name: &str) -> Result<(), AnalyzeError> {
        let drop =
            StatementKind::Drop { kind, if_exists: true, name: name.to_string(), cascade: false };
        let span = tradewind_sql::Span { start: START, end: START };
        let statement = Statement { kind: drop, text: "DROP".into(), span };
        self.change(&statement).await.map(|_| ())
    }

    pub(crate) async fn drop_schema(
        &mut self,
        name: &str,
        (if_exists, cascade): (bool, bool),
    ) -> Result<String, AnalyzeError> {
        let catalogue = self.catalogue()?;
        if cascade && catalogue.schemas().iter().any(|schema| schema.name == name) {
            let within =
                |relation: &&Arc<tradewind_sql::Relation>| split_key(relation.name()).0 == name;
            // Each may go with one before it.
            while let Some(first) = catalogue.relations().iter().find(within) {
                self.drop_readers(&catalogue, first.name()).await?;
                self.drop_one(first.kind(), first.name()).await?;
            }
        }
        catalogue.drop_schema(name, if_exists).map_err(of_catalogue)?;
        Ok("DROP SCHEMA".into())
    }
}

/// A statement of ours stands nowhere.
const START: tradewind_sql::Position = tradewind_sql::Position { line: 1, column: 1 };
