//! Why the catalogue could not do what was asked.
//!
//! Guarantees: the user's mistakes name the object; the environment's name the folder.
//! Left out: mistakes in a text, which are [`SqlError`]'s.

use super::Owner;
use crate::SqlError;

/// Why the catalogue could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The name is taken.
    #[error("{kind} {name:?} exists already")]
    Exists {
        /// What has the name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// No such object.
    #[error("{kind} {name:?} does not exist{}", hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default())]
    Missing {
        /// What was looked for.
        kind: &'static str,
        /// Under which name.
        name: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// Several objects differ by case alone.
    #[error("{name:?} may be {first:?} or {second:?}: put the one you mean in quotes")]
    Ambiguous {
        /// The name as given.
        name: String,
        /// One object.
        first: String,
        /// Another.
        second: String,
    },
    /// No such schema.
    #[error("schema {name:?} does not exist{}", hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default())]
    NoSchema {
        /// The name.
        name: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// A schema that is always there.
    #[error("schema {name:?} is always there")]
    FixedSchema {
        /// The name.
        name: String,
    },
    /// A schema with something in it.
    #[error(
        "schema {name:?} is not empty: it has {kind} {first:?}, drop that first or say CASCADE"
    )]
    NotEmpty {
        /// The schema.
        name: String,
        /// What it has.
        kind: &'static str,
        /// Its name.
        first: String,
    },
    /// The object has no such column.
    #[error("column {column:?} of {name:?} does not exist")]
    NoColumn {
        /// The object.
        name: String,
        /// The column.
        column: String,
    },
    /// Somebody else is making it.
    #[error("{name:?} is being made by another statement: try again")]
    BeingMade {
        /// The name.
        name: String,
    },
    /// Others depend on it.
    #[error("{name:?} is in use by {by_kind} {by:?}: drop that first")]
    InUse {
        /// The object.
        name: String,
        /// What uses it.
        by_kind: &'static str,
        /// Its name.
        by: String,
    },
    /// It belongs to a pack or to the configuration.
    #[error("{kind} {name:?} belongs to {owner}: change it there")]
    Owned {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Whose it is.
        owner: Owner,
    },
    /// A pipeline that keeps a materialized view goes with it.
    #[error(
        "pipeline {name:?} keeps the materialized view of that name: DROP MATERIALIZED VIEW {name}"
    )]
    OfView {
        /// The pipeline's and the view's name.
        name: String,
    },
    /// A lake table's definition cannot change in place.
    #[error(
        "lake table {name:?} has rows in its present form: make another table, or drop this one first"
    )]
    LakeTable {
        /// The table.
        name: String,
    },
    /// Too many objects.
    #[error("the catalogue has room for {objects_max} objects")]
    Full {
        /// The bound.
        objects_max: usize,
    },
    /// A pack's file.
    #[error("pack {pack:?}, {file}: {source}")]
    Pack {
        /// The pack.
        pack: String,
        /// The file in it.
        file: String,
        /// What is wrong there.
        #[source]
        source: SqlError,
    },
    /// A stored statement that no longer reads.
    #[error("{key} in {folder} cannot be read: {reason}")]
    Stored {
        /// The catalogue's folder.
        folder: String,
        /// The key.
        key: String,
        /// What does not hold.
        reason: String,
    },
    /// Another version's catalogue.
    #[error(
        "{folder} has catalogue format {found}, this version reads {known}: use the version of tradewind that wrote it, or start with another data folder"
    )]
    Format {
        /// The catalogue's folder.
        folder: String,
        /// What it says.
        found: String,
        /// What we read.
        known: u64,
    },
    /// Another process has the folder open.
    #[error("{folder} is in use by another process: stop it, or start with another data folder")]
    Locked {
        /// The catalogue's folder.
        folder: String,
    },
    /// The disk or the database below.
    #[error("{folder}: {reason}")]
    Storage {
        /// The catalogue's folder.
        folder: String,
        /// What went wrong.
        reason: String,
    },
}
