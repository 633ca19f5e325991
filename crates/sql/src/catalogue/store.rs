//! The catalogue on disk: fjall, one keyspace, JSON values. See `docs/formats/catalogue.md`.
//!
//! Guarantees: `commit` is all or nothing and durable when it returns; a folder of another format
//! version is refused before anything is read from it.
//! Left out: what the objects mean.

use super::CatalogueError;
use super::objects::{Definition, Owner, Pipeline, Relation, Schema, parse_pipeline};
use crate::Dialect;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What is written once an object needs it; a folder without schemas, comments and renamed tables
/// stays what it was.
const FORMAT_VERSION: u64 = 2;
/// The version before.
const FORMAT_VERSION_BEFORE: u64 = 1;
const FORMAT_KEY: &str = "format";
const RELATION_PREFIX: &str = "relation/";
const PIPELINE_PREFIX: &str = "pipeline/";
const SCHEMA_PREFIX: &str = "schema/";
/// Bytes of cache: the objects live in memory, the database is read once at start.
const CACHE_BYTES: u64 = 1 << 20;

/// The database.
pub(super) struct Store {
    folder: String,
    database: Database,
    objects: Keyspace,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// One step of a change.
#[derive(Debug)]
pub(super) enum Change {
    PutRelation(Arc<Relation>),
    PutPipeline(Arc<Pipeline>),
    PutSchema(Schema),
    RemoveSchema(String),
    RemoveRelation(String),
    RemovePipeline(String),
}

/// What was found at start.
#[derive(Debug)]
pub(super) enum Object {
    Relation(Relation),
    Pipeline(Pipeline),
    Schema(Schema),
}

#[derive(Serialize, Deserialize)]
struct StoredFormat {
    format_version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "by", content = "name")]
enum StoredOwner {
    Sql,
    Pack(String),
    Config,
}

#[derive(Serialize, Deserialize)]
struct StoredRelation {
    kind: String,
    name: String,
    sql: String,
    dialect: String,
    owner: StoredOwner,
    created_at: i64,
    /// The lake's folder, where it is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    comments: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct StoredSchema {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    created_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
struct StoredPipeline {
    id: String,
    name: String,
    incarnation: u64,
    sql: String,
    dialect: String,
    owner: StoredOwner,
    paused: bool,
    columns: Vec<StoredColumn>,
    created_at: i64,
}

impl Store {
    /// Opens or makes the database and reads all of it.
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<Object>), CatalogueError> {
        let folder = dir.display().to_string();
        let storage = |error: fjall::Error| match error {
            fjall::Error::Locked => CatalogueError::Locked { folder: folder.clone() },
            other => CatalogueError::Storage { folder: folder.clone(), reason: other.to_string() },
        };
        let database = Database::builder(dir).cache_size(CACHE_BYTES).open().map_err(storage)?;
        let objects =
            database.keyspace("objects", KeyspaceCreateOptions::default).map_err(storage)?;
        let store = Self { folder, database, objects };
        store.check_format()?;
        let found = store.read_all()?;
        Ok((store, found))
    }

    fn check_format(&self) -> Result<(), CatalogueError> {
        let Some(bytes) = self.objects.get(FORMAT_KEY).map_err(|error| self.storage(&error))?
        else {
            let format = json(&StoredFormat { format_version: FORMAT_VERSION_BEFORE });
            self.objects.insert(FORMAT_KEY, format).map_err(|error| self.storage(&error))?;
            return self
                .database
                .persist(PersistMode::SyncAll)
                .map_err(|error| self.storage(&error));
        };
        match serde_json::from_slice::<StoredFormat>(&bytes) {
            Ok(format)
                if [FORMAT_VERSION_BEFORE, FORMAT_VERSION].contains(&format.format_version) =>
            {
                Ok(())
            }
            Ok(format) => Err(self.format(format.format_version.to_string())),
            Err(_) => Err(self.format(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    fn format(&self, found: String) -> CatalogueError {
        CatalogueError::Format { folder: self.folder.clone(), found, known: FORMAT_VERSION }
    }

    fn read_all(&self) -> Result<Vec<Object>, CatalogueError> {
        let mut found = Vec::new();
        for entry in self.objects.iter() {
            let (key, value) = entry.into_inner().map_err(|error| self.storage(&error))?;
            let key = String::from_utf8_lossy(&key).into_owned();
            let read = if key.starts_with(RELATION_PREFIX) {
                read_relation(&value).map(Object::Relation)
            } else if key.starts_with(PIPELINE_PREFIX) {
                read_pipeline(&value).map(Object::Pipeline)
            } else if key.starts_with(SCHEMA_PREFIX) {
                read_schema(&value).map(Object::Schema)
            } else {
                continue;
            };
            found.push(read.map_err(|reason| CatalogueError::Stored {
                folder: self.folder.clone(),
                key,
                reason,
            })?);
        }
        Ok(found)
    }

    /// Makes changes durable, all or none.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<(), CatalogueError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        if changes.iter().any(needs_version_2) {
            let format = json(&StoredFormat { format_version: FORMAT_VERSION });
            batch.insert(&self.objects, FORMAT_KEY, format);
        }
        for change in changes {
            match change {
                Change::PutSchema(schema) => batch.insert(
                    &self.objects,
                    format!("{SCHEMA_PREFIX}{}", schema.name),
                    json(&stored_schema(schema)),
                ),
                Change::RemoveSchema(name) => {
                    batch.remove(&self.objects, format!("{SCHEMA_PREFIX}{name}"));
                }
                Change::PutRelation(relation) => batch.insert(
                    &self.objects,
                    format!("{RELATION_PREFIX}{}", relation.name()),
                    json(&stored_relation(relation)),
                ),
                Change::PutPipeline(pipeline) => batch.insert(
                    &self.objects,
                    format!("{PIPELINE_PREFIX}{}", pipeline.name),
                    json(&stored_pipeline(pipeline)),
                ),
                Change::RemoveRelation(name) => {
                    batch.remove(&self.objects, format!("{RELATION_PREFIX}{name}"));
                }
                Change::RemovePipeline(name) => {
                    batch.remove(&self.objects, format!("{PIPELINE_PREFIX}{name}"));
                }
            }
        }
        batch.commit().map_err(|error| self.storage(&error))
    }

    fn storage(&self, error: &fjall::Error) -> CatalogueError {
        CatalogueError::Storage { folder: self.folder.clone(), reason: error.to_string() }
    }
}

/// Whether version 1 of the software would read something else than was said.
fn needs_version_2(change: &Change) -> bool {
    match change {
        Change::PutSchema(_) => true,
        Change::PutRelation(relation) => {
            folder(relation).is_some() || !relation.comments.is_empty()
        }
        _ => false,
    }
}

/// A lake table's folder, where it is not its name.
fn folder(relation: &Relation) -> Option<String> {
    let table = relation.table().filter(|table| table.folder != table.name)?;
    Some(table.folder.clone())
}

fn stored_schema(schema: &Schema) -> StoredSchema {
    let Schema { name, comment, created_at } = schema.clone();
    StoredSchema { name, comment, created_at }
}

fn read_schema(bytes: &[u8]) -> Result<Schema, String> {
    let StoredSchema { name, comment, created_at } =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    Ok(Schema { name, comment, created_at })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text, numbers and lists of them always serialise")
}

fn stored_owner(owner: &Owner) -> StoredOwner {
    match owner {
        Owner::Sql => StoredOwner::Sql,
        Owner::Pack(name) => StoredOwner::Pack(name.clone()),
        Owner::Config => StoredOwner::Config,
    }
}

fn read_owner(owner: StoredOwner) -> Owner {
    match owner {
        StoredOwner::Sql => Owner::Sql,
        StoredOwner::Pack(name) => Owner::Pack(name),
        StoredOwner::Config => Owner::Config,
    }
}

fn read_dialect(name: &str) -> Result<Dialect, String> {
    Dialect::from_name(name).ok_or_else(|| format!("there is no dialect {name:?}"))
}

fn stored_relation(relation: &Relation) -> StoredRelation {
    StoredRelation {
        kind: relation.kind().name().to_string(),
        name: relation.name().to_string(),
        sql: relation.sql().to_string(),
        dialect: relation.dialect().name().to_string(),
        owner: stored_owner(&relation.owner),
        created_at: relation.created_at,
        folder: folder(relation),
        comments: relation.comments.clone(),
    }
}

fn read_relation(bytes: &[u8]) -> Result<Relation, String> {
    let stored: StoredRelation = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let mut definition = Definition::parse(&stored.sql, read_dialect(&stored.dialect)?)?;
    if let (Definition::Table(table), Some(folder)) = (&mut definition, stored.folder) {
        table.folder = folder;
    }
    let (owner, comments) = (read_owner(stored.owner), stored.comments);
    Ok(Relation { definition, owner, created_at: stored.created_at, comments })
}

fn stored_pipeline(pipeline: &Pipeline) -> StoredPipeline {
    let column = |(name, r#type): &(String, String)| StoredColumn {
        name: name.clone(),
        r#type: r#type.clone(),
    };
    StoredPipeline {
        id: pipeline.id.clone(),
        name: pipeline.name.clone(),
        incarnation: pipeline.incarnation,
        sql: pipeline.sql.clone(),
        dialect: pipeline.dialect.name().to_string(),
        owner: stored_owner(&pipeline.owner),
        paused: pipeline.paused,
        columns: pipeline.columns.iter().map(column).collect(),
        created_at: pipeline.created_at,
    }
}

fn read_pipeline(bytes: &[u8]) -> Result<Pipeline, String> {
    let stored: StoredPipeline = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let dialect = read_dialect(&stored.dialect)?;
    let statement = parse_pipeline(&stored.sql, dialect)?;
    Ok(Pipeline {
        id: stored.id,
        name: stored.name,
        incarnation: stored.incarnation,
        sql: stored.sql,
        dialect,
        owner: read_owner(stored.owner),
        paused: stored.paused,
        target: statement.target().to_string(),
        statement,
        columns: stored.columns.into_iter().map(|column| (column.name, column.r#type)).collect(),
        created_at: stored.created_at,
    })
}
