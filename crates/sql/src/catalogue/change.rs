//! Schemas, other names, comments, and tables that appear with their rows.
//!
//! Guarantees: as all of the catalogue's: a change is durable and whole when it is answered. A name
//! that is reserved is nobody else's until the reservation ends.
//! Left out: the rows, which are the lake's.

use super::store::Change;
use super::{Catalogue, CatalogueError, Outcome, Owner, Relation, Schema, State, references};
use crate::catalogue::Definition;
use crate::{
    Comment, Commented, CreateTable, ObjectKind, PUBLIC, PipelineStatement, Rename, SYSTEM_SCHEMAS,
    did_you_mean, split_key,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table that is being made: its name and its folder are kept for it. Dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    catalogue: Arc<Catalogue>,
    name: String,
    folder: String,
    replaces: Option<String>,
}

impl Reservation {
    /// The folder of the table whose place it takes.
    pub fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    /// The lake's folder for the rows.
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.catalogue.lock().reserved.remove(&self.name);
    }
}

impl Catalogue {
    /// Every schema that somebody made, by name.
    pub fn schemas(&self) -> Vec<Schema> {
        self.lock().schemas.values().cloned().collect()
    }

    /// Whether there is such a schema, made by somebody or always there.
    pub fn has_schema(&self, name: &str) -> bool {
        self.lock().has_schema(name)
    }

    /// Makes a schema.
    ///
    /// # Errors
    /// There is one of that name and `if_not_exists` is not said.
    pub fn create_schema(&self, name: &str, if_not_exists: bool) -> Result<(), CatalogueError> {
        let mut state = self.lock();
        if state.has_schema(name) {
            let name = name.to_string();
            return match if_not_exists {
                true => Ok(()),
                false => Err(CatalogueError::Exists { kind: "schema", name }),
            };
        }
        let created_at = self.clock.now_us();
        let schema = Schema { name: name.to_string(), comment: None, created_at };
        state.apply(vec![Change::PutSchema(schema)])
    }

    /// Takes an empty schema out. Returns whether there was one.
    ///
    /// # Errors
    /// There is none and `if_exists` is not said; it is always there; it is not empty.
    pub fn drop_schema(&self, name: &str, if_exists: bool) -> Result<bool, CatalogueError> {
        let mut state = self.lock();
        if name == PUBLIC || SYSTEM_SCHEMAS.contains(&name) {
            return Err(CatalogueError::FixedSchema { name: name.to_string() });
        }
        if !state.schemas.contains_key(name) {
            return if if_exists { Ok(false) } else { Err(state.no_schema(name)) };
        }
        if let Some(first) = state.relations.values().find(|one| split_key(one.name()).0 == name) {
            let (kind, first) = (first.kind().name(), first.name().to_string());
            return Err(CatalogueError::NotEmpty { name: name.to_string(), kind, first });
        }
        state.apply(vec![Change::RemoveSchema(name.to_string())])?;
        Ok(true)
    }

    /// Keeps a name for a table that is being made, and says into which folder of the lake its rows
    /// go: one that neither the catalogue nor `taken` knows. `None`: there is a table of that name
    /// and that is allowed.
    ///
    /// # Errors
    /// The name is taken, or the schema is not there, or what has the name is not to be replaced.
    pub fn reserve(
        self: &Arc<Self>,
        name: &str,
        (if_not_exists, or_replace): (bool, bool),
        taken: impl Fn(&str) -> bool,
    ) -> Result<Option<Reservation>, CatalogueError> {
        let mut state = self.lock();
        if state.reserved.contains_key(name) {
            return Err(CatalogueError::BeingMade { name: name.to_string() });
        }
        state.check_name(name)?;
        match state.relations.get(name) {
            Some(_) if if_not_exists => return Ok(None),
            Some(old) if or_replace && old.table().is_some_and(|table| table.is_lake()) => {
                state.check_own(old)?;
                state.check_no_pipeline(name)?;
            }
            Some(old) => {
                let (kind, name) = (old.kind().name(), name.to_string());
                return Err(CatalogueError::Exists { kind, name });
            }
            None => {}
        }
        let old = state.relations.get(name).and_then(|old| old.table());
        let replaces = old.map(|old| old.folder.clone());
        let folder = state.free_folder(name, taken);
        state.reserved.insert(name.to_string(), folder.clone());
        let (catalogue, name) = (Arc::clone(self), name.to_string());
        Ok(Some(Reservation { catalogue, name, folder, replaces }))
    }

    /// Makes the table that a reservation was for, its rows being in the reservation's folder.
    ///
    /// # Errors
    /// The disk; the catalogue is full.
    pub fn create_reserved(
        &self,
        reservation: &Reservation,
        table: &CreateTable,
    ) -> Result<(), CatalogueError> {
        let mut state = self.lock();
        let mut definition = table.definition.clone();
        definition.folder.clone_from(&reservation.folder);
        let (created_at, comments) = (self.clock.now_us(), BTreeMap::new());
        let definition = Definition::Table(Box::new(definition));
        let relation = Relation { definition, owner: Owner::Sql, created_at, comments };
        state.apply(vec![Change::PutRelation(Arc::new(relation))])
    }

    /// Gives a table or view another name. Views that name it by the old one stay as they are: they
    /// read whatever has that name when they are asked.
    ///
    /// # Errors
    /// There is none of that name and kind, the new name is taken, a pack owns it, or a pipeline
    /// reads or writes it.
    pub fn rename(&self, rename: &Rename) -> Result<Outcome, CatalogueError> {
        let mut state = self.lock();
        let Rename { kind, name, to, if_exists } = rename;
        let fits = |found: &&Arc<Relation>| match kind {
            ObjectKind::Table => found.kind() != ObjectKind::MaterializedView,
            kind => found.kind() == *kind,
        };
        let Some(old) = state.relations.get(name).filter(fits).cloned() else {
            return match if_exists {
                true => Ok(Outcome::Kept),
                false => Err(state.missing(*kind, name)),
            };
        };
        state.check_name(to)?;
        if let Some(there) = state.relations.get(to) {
            return Err(CatalogueError::Exists { kind: there.kind().name(), name: to.clone() });
        }
        state.check_own(&old)?;
        state.check_no_pipeline(name)?;
        let definition = old.definition.renamed(to).map_err(|reason| CatalogueError::Stored {
            folder: "the request".into(),
            key: name.clone(),
            reason,
        })?;
        let renamed = Relation { definition, ..Relation::clone(&old) };
        let changes =
            vec![Change::RemoveRelation(name.clone()), Change::PutRelation(Arc::new(renamed))];
        state.apply(changes)?;
        Ok(Outcome::Replaced)
    }

    /// Keeps a comment, or takes it away.
    ///
    /// # Errors
    /// There is nothing of that name.
    pub fn comment(&self, comment: &Comment) -> Result<(), CatalogueError> {
        let mut state = self.lock();
        let (name, column) = match &comment.on {
            Commented::Schema(name) => {
                let Some(schema) = state.schemas.get(name) else {
                    return Err(state.no_schema(name));
                };
                let schema = Schema { comment: comment.text.clone(), ..schema.clone() };
                return state.apply(vec![Change::PutSchema(schema)]);
            }
            Commented::Relation(name) => (name, ""),
            Commented::Column(name, column) => (name, column.as_str()),
        };
        let Some(old) = state.relations.get(name) else {
            return Err(state.missing_any(name));
        };
        let known = |table: &crate::TableDefinition| {
            column.is_empty() || table.columns.iter().any(|one| one.name == column)
        };
        if !old.table().is_none_or(known) {
            let (name, column) = (name.clone(), column.to_string());
            return Err(CatalogueError::NoColumn { name, column });
        }
        let mut relation = Relation::clone(old);
        match &comment.text {
            Some(text) => drop(relation.comments.insert(column.to_string(), text.clone())),
            None => drop(relation.comments.remove(column)),
        }
        state.apply(vec![Change::PutRelation(Arc::new(relation))])
    }

    /// The views and materialized views that read a relation, and those that read them: whoever
    /// reads comes before what he reads.
    pub fn readers(&self, name: &str) -> Vec<Arc<Relation>> {
        let state = self.lock();
        let mut found: Vec<Arc<Relation>> = Vec::new();
        let mut open = vec![name.to_string()];
        // Views that read each other in a ring, which renaming can make, are found once a round.
        let mut rounds = state.relations.len();
        while let Some(name) = open.pop().filter(|_| rounds > 0) {
            rounds -= 1;
            for relation in state.relations.values() {
                let reads = |query| references::names(query, relation.dialect(), &name);
                if relation.name() != name && relation.query().is_some_and(reads) {
                    // Found once more, it has to go before what was found since.
                    found.retain(|one| one.name() != relation.name());
                    found.push(Arc::clone(relation));
                    open.push(relation.name().to_string());
                }
            }
        }
        found.reverse();
        found
    }
}

impl State {
    fn has_schema(&self, name: &str) -> bool {
        name == PUBLIC || SYSTEM_SCHEMAS.contains(&name) || self.schemas.contains_key(name)
    }

    fn no_schema(&self, name: &str) -> CatalogueError {
        let known = self.schemas.keys().map(String::as_str).chain([PUBLIC]);
        CatalogueError::NoSchema { name: name.to_string(), hint: did_you_mean(name, known) }
    }

    /// Something of this name can be made: its schema is there and not the system's.
    pub(super) fn check_name(&self, name: &str) -> Result<(), CatalogueError> {
        let (schema, _) = split_key(name);
        if SYSTEM_SCHEMAS.contains(&schema) {
            return Err(CatalogueError::FixedSchema { name: schema.to_string() });
        }
        if self.reserved.contains_key(name) {
            return Err(CatalogueError::BeingMade { name: name.to_string() });
        }
        if self.has_schema(schema) { Ok(()) } else { Err(self.no_schema(schema)) }
    }

    /// The folder of a new table: its name, or with the first number from 2 on that makes it new.
    pub(super) fn free_folder(&self, name: &str, taken: impl Fn(&str) -> bool) -> String {
        let is_taken = |folder: &String| {
            let tables = self.relations.values().filter_map(|relation| relation.table());
            taken(folder)
                || self.reserved.values().any(|other| other == folder)
                || tables.filter(|table| table.name != name).any(|table| table.folder == *folder)
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut folders = std::iter::once(name.to_string()).chain(numbered);
        folders.find(|folder| !is_taken(folder)).expect("the numbers do not end")
    }

    fn check_own(&self, relation: &Relation) -> Result<(), CatalogueError> {
        if relation.owner == Owner::Sql {
            return Ok(());
        }
        let (kind, owner) = (relation.kind().name(), relation.owner.clone());
        Err(CatalogueError::Owned { kind, name: relation.name().into(), owner })
    }

    /// No pipeline, and no materialized view, reads or writes it.
    fn check_no_pipeline(&self, name: &str) -> Result<(), CatalogueError> {
        for pipeline in self.pipelines.values() {
            let writes = pipeline.target == name
                && matches!(pipeline.statement, PipelineStatement::Insert(_));
            let query = pipeline.statement.query();
            if writes || references::names(query, pipeline.dialect, name) {
                let (by, by_kind) = (pipeline.name.clone(), "pipeline");
                return Err(CatalogueError::InUse { name: name.into(), by, by_kind });
            }
        }
        Ok(())
    }

    fn missing_any(&self, name: &str) -> CatalogueError {
        let hint = did_you_mean(name, self.relations.keys().map(String::as_str));
        CatalogueError::Missing { kind: "table", name: name.to_string(), hint }
    }
}
