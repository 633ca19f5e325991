//! The language: statements, types, the catalogue and the scalar functions.
//!
//! Guarantees: what [`parse_script`] accepts is either planned as written or refused by whoever
//! plans it; a change to the [`Catalogue`] is durable before it is answered.
//! Left out: planning and running. `process` plans pipelines, `analyze` plans queries.

pub mod aggregates;
pub mod catalogue;
pub mod connection;
mod connection_words;
mod connector;
mod ddl;
mod dialect;
mod error;
pub mod functions;
mod script;
mod statement;
mod table;
pub mod text;
mod types;
pub mod typing;

pub use catalogue::{
    Catalogue, CatalogueError, NewPipeline, Owner, PackFile, PackReport, Pipeline,
    PipelineStatement, Relation, ViewDefinition,
};
pub use connector::{
    Connector, CsvFormat, DatagenField, DatagenKind, DatagenTable, Delivery, FileTable, Format,
    JsonEncoding, NullKeys, Partitioner, PrintTable, SocketTable, StartupMode, TopicKey,
    TopicTable, TopicWriting,
};
pub use dialect::{Dialect, FlinkDialect};
pub use error::{Position, Span, SqlError, did_you_mean};
pub use script::parse_script;
pub use statement::{
    CreateTable, CreateView, Insert, ObjectKind, Statement, StatementKind, Subscribe, Subscribed,
    sets_dialect,
};
pub use table::{Column, ColumnKind, TableDefinition, Watermark};
pub use types::{FlinkTypes, PRECISION, field_type_name, precision_of, type_name, with_precision};
