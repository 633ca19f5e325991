//! The language: statements, types, the catalogue and the scalar functions.
//!
//! Guarantees: what [`parse_script`] accepts is either planned as written or refused by whoever
//! plans it; a change to the [`Catalogue`] is durable before it is answered.
//! Left out: planning and running. `process` plans pipelines, `analyze` plans queries.

pub mod catalogue;
mod ddl;
mod dialect;
mod error;
pub mod functions;
mod script;
mod statement;
mod table;
mod types;

pub use catalogue::{
    Catalogue, CatalogueError, NewPipeline, Owner, PackFile, PackReport, Pipeline,
    PipelineStatement, Relation, ViewDefinition,
};
pub use dialect::{Dialect, FlinkDialect};
pub use error::{Position, Span, SqlError, did_you_mean};
pub use script::parse_script;
pub use statement::{CreateTable, CreateView, Insert, ObjectKind, Statement, StatementKind};
pub use table::{
    Column, ColumnKind, Connector, Format, StartupMode, TableDefinition, TopicTable, Watermark,
};
pub use types::{FlinkTypes, field_type_name, type_name};
