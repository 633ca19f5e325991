//! What the server has been told: tables, views, pipelines, and who owns each.
//!
//! Guarantees: a change is on disk (`PersistMode::SyncAll`) before the call that makes it returns,
//! and several changes that belong together are one batch; readers see whole changes. What others
//! depend on is not dropped or replaced under them.
//! Left out: planning. A pipeline here is a text, an id and an incarnation; whether it can run is
//! the engine's answer. The format is `docs/formats/catalogue.md`.

mod change;
mod error;
mod objects;
mod pack;
mod references;
mod store;

pub use change::Reservation;
pub use error::CatalogueError;
pub use objects::{
    Definition, NewPipeline, Owner, Pipeline, PipelineStatement, Relation, Schema, ViewDefinition,
};
pub use pack::{PackFile, PackReport};

use crate::{CreateTable, CreateView, Dialect, ObjectKind, TableDefinition};
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Change, Store};
use tradewind_types::Clock;

/// Most tables, views and pipelines together: each is read at start and kept in memory.
pub const OBJECTS_MAX: usize = 10_000;

/// The catalogue of one data folder.
#[derive(Debug)]
pub struct Catalogue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` for a catalogue that is kept nowhere.
    store: Option<Store>,
    relations: BTreeMap<String, Arc<Relation>>,
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    /// Those somebody made; `public` and the system's are always there.
    schemas: BTreeMap<String, Schema>,
    /// Names, and folders of the lake, of tables that are being made.
    reserved: BTreeMap<String, String>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now and was not before.
    Created,
    /// It took the place of another definition.
    Replaced,
    /// There was one already and that was allowed.
    Kept,
}

impl Catalogue {
    /// Opens the catalogue of a data folder, or makes an empty one. Blocks on the disk.
    ///
    /// # Errors
    /// The folder is in use, cannot be read, or has another format version.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogueError> {
        let (store, objects) = Store::open(dir)?;
        let (mut relations, mut pipelines) = (BTreeMap::new(), BTreeMap::new());
        let mut schemas = BTreeMap::new();
        for object in objects {
            match object {
                store::Object::Relation(relation) => {
                    relations.insert(relation.name().to_string(), Arc::new(relation));
                }
                store::Object::Pipeline(pipeline) => {
                    pipelines.insert(pipeline.name.clone(), Arc::new(pipeline));
                }
                store::Object::Schema(schema) => drop(schemas.insert(schema.name.clone(), schema)),
            }
        }
        let (store, reserved) = (Some(store), BTreeMap::new());
        let state = State { store, relations, pipelines, schemas, reserved };
        Ok(Self { clock, state: Mutex::new(state) })
    }

    /// An empty catalogue that is kept nowhere: a script's.
    pub fn transient(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            store: None,
            relations: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            schemas: BTreeMap::new(),
            reserved: BTreeMap::new(),
        };
        Self { clock, state: Mutex::new(state) }
    }

    /// The table or view of that exact name.
    pub fn relation(&self, name: &str) -> Option<Arc<Relation>> {
        self.lock().relations.get(name).cloned()
    }

    /// The table of that exact name.
    pub fn table(&self, name: &str) -> Option<TableDefinition> {
        self.relation(name)?.table().cloned()
    }

    /// The table or view a name means in a dialect: the exact one, or in `Postgres` the only one
    /// that differs by case alone.
    ///
    /// # Errors
    /// [`CatalogueError::Ambiguous`] when several differ by case alone and none is exact.
    pub fn resolve(
        &self,
        name: &str,
        dialect: Dialect,
    ) -> Result<Option<Arc<Relation>>, CatalogueError> {
        self.lock().meant(name, dialect)
    }

    /// The tables a query reads, through views too, that have no end: every one that is not in the
    /// lake. A materialized view is read as of now.
    pub fn streams_of(&self, query: &ast::Query, dialect: Dialect) -> Vec<String> {
        let state = self.lock();
        let meant = |name: String| match state.meant(&name, dialect) {
            Ok(Some(relation)) => relation.name().to_string(),
            _ => name,
        };
        let named = references::of_query(query, dialect).into_iter().map(meant).collect();
        let reached = references::reached(named, &state.relations).into_iter();
        let is_stream = |name: &String| {
            let relation = state.relations.get(name).and_then(|relation| relation.table());
            relation.is_some_and(|table| !table.is_lake())
        };
        reached.filter(is_stream).collect()
    }

    /// Every table and view, by name.
    pub fn relations(&self) -> Vec<Arc<Relation>> {
        self.lock().relations.values().cloned().collect()
    }

    /// The pipeline of that exact name.
    pub fn pipeline(&self, name: &str) -> Option<Arc<Pipeline>> {
        self.lock().pipelines.get(name).cloned()
    }

    /// Every pipeline, by name.
    pub fn pipelines(&self) -> Vec<Arc<Pipeline>> {
        self.lock().pipelines.values().cloned().collect()
    }

    /// Makes a table.
    ///
    /// # Errors
    /// The name is taken, or the table that would be replaced is in use or in the lake.
    pub fn create_table(
        &self,
        table: &CreateTable,
        owner: &Owner,
    ) -> Result<Outcome, CatalogueError> {
        let definition = Definition::Table(Box::new(table.definition.clone()));
        self.create_relation(definition, owner, table.if_not_exists, table.or_replace)
    }

    /// Makes a view. The view's query is not planned here.
    ///
    /// # Errors
    /// The name is taken, or pipelines read the view that would be replaced.
    pub fn create_view(
        &self,
        view: &CreateView,
        dialect: Dialect,
        owner: &Owner,
    ) -> Result<Outcome, CatalogueError> {
        let definition = Definition::View(ViewDefinition::new(view, dialect));
        self.create_relation(definition, owner, view.if_not_exists, view.or_replace)
    }

    /// Makes a materialized view and the pipeline that keeps it, in one change; both have its name.
    /// One that takes the place of another is a new incarnation, which begins anew.
    ///
    /// # Errors
    /// The name is taken, or others read the view that would be replaced.
    pub fn create_materialized_view(
        &self,
        view: &CreateView,
        dialect: Dialect,
        owner: &Owner,
        columns: Vec<(String, String)>,
    ) -> Result<Outcome, CatalogueError> {
        let mut state = self.lock();
        let name = view.name.clone();
        state.check_name(&name)?;
        let definition = Definition::MaterializedView(ViewDefinition::new(view, dialect));
        let outcome = match state.relations.get(&name) {
            None => Outcome::Created,
            Some(_) if view.if_not_exists => return Ok(Outcome::Kept),
            Some(old) if view.or_replace && old.definition.same_meaning(&definition) => {
                return Ok(Outcome::Kept);
            }
            Some(old) if view.or_replace && old.kind() == ObjectKind::MaterializedView => {
                state.check_replace(old, &definition)?;
                Outcome::Replaced
            }
            Some(old) => return Err(CatalogueError::Exists { kind: old.kind().name(), name }),
        };
        let created_at = self.clock.now_us();
        let new =
            NewPipeline { name, sql: view.sql.clone(), dialect, owner: owner.clone(), columns };
        let mut pipeline = Pipeline::new(&new, created_at)?;
        match (state.pipelines.get(&new.name), outcome) {
            (Some(old), Outcome::Replaced) => {
                pipeline.id.clone_from(&old.id);
                pipeline.incarnation = old.incarnation + 1;
            }
            (Some(_), _) => {
                return Err(CatalogueError::Exists { kind: "pipeline", name: new.name });
            }
            (None, _) => {}
        }
        let comments = BTreeMap::new();
        let relation = Relation { definition, owner: owner.clone(), created_at, comments };
        let (relation, pipeline) = (Arc::new(relation), Arc::new(pipeline));
        state.apply(vec![Change::PutRelation(relation), Change::PutPipeline(pipeline)])?;
        Ok(outcome)
    }

    /// Makes a pipeline a new incarnation of itself: it begins anew under the same definition.
    ///
    /// # Errors
    /// There is no such pipeline; the disk.
    pub fn renew(&self, name: &str) -> Result<Arc<Pipeline>, CatalogueError> {
        self.change_pipeline(name, |pipeline| pipeline.incarnation += 1)
    }

    fn create_relation(
        &self,
        mut definition: Definition,
        owner: &Owner,
        if_not_exists: bool,
        or_replace: bool,
    ) -> Result<Outcome, CatalogueError> {
        let mut state = self.lock();
        let name = definition.name().to_string();
        state.check_name(&name)?;
        let outcome = match state.relations.get(&name) {
            None => Outcome::Created,
            Some(_) if if_not_exists => return Ok(Outcome::Kept),
            Some(old) if or_replace => {
                state.check_replace(old, &definition)?;
                Outcome::Replaced
            }
            Some(old) => {
                return Err(CatalogueError::Exists { kind: old.kind().name(), name });
            }
        };
        if let Definition::Table(table) = &mut definition {
            let old = state.relations.get(&name).and_then(|old| old.table());
            table.folder = match old {
                Some(old) => old.folder.clone(),
                None => state.free_folder(&name, |_| false),
            };
        }
        let (created_at, comments) = (self.clock.now_us(), BTreeMap::new());
        let relation = Relation { definition, owner: owner.clone(), created_at, comments };
        state.apply(vec![Change::PutRelation(Arc::new(relation))])?;
        Ok(outcome)
    }

    /// Takes a table, view or pipeline out. A lake table's files and a topic's records stay.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// There is none and `if_exists` is not said; others depend on it; a pack owns it.
    pub fn drop_object(
        &self,
        kind: ObjectKind,
        name: &str,
        if_exists: bool,
    ) -> Result<bool, CatalogueError> {
        let mut state = self.lock();
        let owner = match kind {
            ObjectKind::Pipeline => state.pipelines.get(name).map(|found| found.owner.clone()),
            _ => state
                .relations
                .get(name)
                .filter(|found| found.kind() == kind)
                .map(|found| found.owner.clone()),
        };
        let Some(owner) = owner else {
            return if if_exists { Ok(false) } else { Err(state.missing(kind, name)) };
        };
        if owner != Owner::Sql {
            return Err(CatalogueError::Owned { kind: kind.name(), name: name.into(), owner });
        }
        let changes = match kind {
            ObjectKind::Pipeline => {
                if matches!(state.pipelines[name].statement, PipelineStatement::View(_)) {
                    return Err(CatalogueError::OfView { name: name.into() });
                }
                vec![Change::RemovePipeline(name.to_string())]
            }
            ObjectKind::MaterializedView => {
                state.check_unused(name)?;
                let name = name.to_string();
                vec![Change::RemovePipeline(name.clone()), Change::RemoveRelation(name)]
            }
            _ => {
                state.check_unused(name)?;
                vec![Change::RemoveRelation(name.to_string())]
            }
        };
        state.apply(changes)?;
        Ok(true)
    }

    /// Keeps a pipeline that has been planned.
    ///
    /// # Errors
    /// The name is taken; the target is not there.
    pub fn create_pipeline(&self, new: &NewPipeline) -> Result<Arc<Pipeline>, CatalogueError> {
        let mut state = self.lock();
        if state.pipelines.contains_key(&new.name) {
            return Err(CatalogueError::Exists { kind: "pipeline", name: new.name.clone() });
        }
        let pipeline = Arc::new(Pipeline::new(new, self.clock.now_us())?);
        state.apply(vec![Change::PutPipeline(pipeline.clone())])?;
        Ok(pipeline)
    }

    /// Says what columns a pipeline's query has, the first time it is planned.
    ///
    /// # Errors
    /// There is no such pipeline; the disk.
    pub fn freeze_columns(
        &self,
        name: &str,
        columns: Vec<(String, String)>,
    ) -> Result<Arc<Pipeline>, CatalogueError> {
        self.change_pipeline(name, |pipeline| pipeline.columns = columns)
    }

    /// Pauses or resumes a pipeline, over restarts too.
    ///
    /// # Errors
    /// There is no such pipeline; the disk.
    pub fn set_paused(&self, name: &str, paused: bool) -> Result<Arc<Pipeline>, CatalogueError> {
        self.change_pipeline(name, |pipeline| pipeline.paused = paused)
    }

    fn change_pipeline(
        &self,
        name: &str,
        change: impl FnOnce(&mut Pipeline),
    ) -> Result<Arc<Pipeline>, CatalogueError> {
        let mut state = self.lock();
        let Some(old) = state.pipelines.get(name) else {
            return Err(state.missing(ObjectKind::Pipeline, name));
        };
        let mut pipeline = Pipeline::clone(old);
        change(&mut pipeline);
        let pipeline = Arc::new(pipeline);
        state.apply(vec![Change::PutPipeline(pipeline.clone())])?;
        Ok(pipeline)
    }

    /// Brings a pack's objects to what its files say, all in one change. See [`PackReport`].
    ///
    /// # Errors
    /// A file that cannot be read as SQL, or a statement that has no place in a pack; nothing is
    /// changed then.
    pub fn apply_pack(&self, pack: &str, files: &[PackFile]) -> Result<PackReport, CatalogueError> {
        pack::apply(&mut self.lock(), pack, files, self.clock.now_us())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // State changes only after the store has them, in one step: a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes changes durable, then visible.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), CatalogueError> {
        let added = changes
            .iter()
            .filter(|change| matches!(change, Change::PutRelation(_) | Change::PutPipeline(_)))
            .count();
        if self.relations.len() + self.pipelines.len() + added > OBJECTS_MAX {
            return Err(CatalogueError::Full { objects_max: OBJECTS_MAX });
        }
        if let Some(store) = &self.store {
            store.commit(&changes)?;
        }
        for change in changes {
            match change {
                Change::PutRelation(relation) => {
                    self.relations.insert(relation.name().to_string(), relation);
                }
                Change::PutPipeline(pipeline) => {
                    self.pipelines.insert(pipeline.name.clone(), pipeline);
                }
                Change::PutSchema(schema) => drop(self.schemas.insert(schema.name.clone(), schema)),
                Change::RemoveSchema(name) => drop(self.schemas.remove(&name)),
                Change::RemoveRelation(name) => drop(self.relations.remove(&name)),
                Change::RemovePipeline(name) => drop(self.pipelines.remove(&name)),
            }
        }
        Ok(())
    }

    fn meant(&self, name: &str, dialect: Dialect) -> Result<Option<Arc<Relation>>, CatalogueError> {
        if let Some(exact) = self.relations.get(name) {
            return Ok(Some(exact.clone()));
        }
        if dialect == Dialect::Flink {
            return Ok(None);
        }
        let folded = name.to_lowercase();
        let mut close = self.relations.values().filter(|one| one.name().to_lowercase() == folded);
        match (close.next(), close.next()) {
            (Some(first), Some(second)) => Err(CatalogueError::Ambiguous {
                name: name.to_string(),
                first: first.name().to_string(),
                second: second.name().to_string(),
            }),
            (only, _) => Ok(only.cloned()),
        }
    }

    fn check_replace(&self, old: &Relation, new: &Definition) -> Result<(), CatalogueError> {
        if old.definition.same_meaning(new) {
            return Ok(());
        }
        if old.owner != Owner::Sql {
            return Err(CatalogueError::Owned {
                kind: old.kind().name(),
                name: old.name().into(),
                owner: old.owner.clone(),
            });
        }
        if old.table().is_some_and(TableDefinition::is_lake) {
            return Err(CatalogueError::LakeTable { name: old.name().into() });
        }
        self.check_unused(old.name())
    }

    /// Nothing reads or writes a relation.
    fn check_unused(&self, name: &str) -> Result<(), CatalogueError> {
        let in_use = |by: &str, kind: &'static str| {
            Err(CatalogueError::InUse { name: name.into(), by: by.into(), by_kind: kind })
        };
        for pipeline in self.pipelines.values() {
            // A materialized view is written by its own pipeline, which goes with it.
            let writes = pipeline.target == name
                && matches!(pipeline.statement, PipelineStatement::Insert(_));
            let query = pipeline.statement.query();
            if writes || references::names(query, pipeline.dialect, name) {
                return in_use(&pipeline.name, "pipeline");
            }
        }
        for relation in self.relations.values() {
            let reads = |query| references::names(query, relation.dialect(), name);
            if relation.query().is_some_and(reads) {
                return in_use(relation.name(), "view");
            }
        }
        Ok(())
    }

    fn missing(&self, kind: ObjectKind, name: &str) -> CatalogueError {
        let names: Vec<&str> = match kind {
            ObjectKind::Pipeline => self.pipelines.keys().map(String::as_str).collect(),
            _ => self
                .relations
                .values()
                .filter(|relation| relation.kind() == kind)
                .map(|relation| relation.name())
                .collect(),
        };
        CatalogueError::Missing {
            kind: kind.name(),
            name: name.to_string(),
            hint: crate::did_you_mean(name, names),
        }
    }
}
