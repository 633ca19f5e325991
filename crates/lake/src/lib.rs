//! Delta Lake tables with a hot tail: rows are visible when they are written, durable by epoch,
//! and in the table exactly once.
//!
//! Guarantees: see `docs/formats/lake.md` for the files and [`tradewind_types::Sink`] for the
//! protocol. A query reads one [`ReadSnapshot`] of each table.
//! Left out: keyed tables (upserts) and changes of a table's columns.

mod batch;
mod commit;
mod error;
mod files;
mod lake;
mod maintain;
mod names;
mod provider;
mod read;
mod rewrite;
mod rows;
mod schema;
mod settings;
mod settle;
mod sink;
mod stats;
mod store;
mod table;
mod tail;

pub use batch::LakeBatch;
pub use error::LakeError;
pub use lake::Lake;
pub use maintain::Maintained;
pub use read::{ReadSnapshot, ReadSnapshots};
pub use rewrite::Rewrite;
pub use rows::{FILE_COLUMN, ROW_COLUMN};
pub use schema::{TableSpec, hidden_fields};
pub use settings::LakeSettings;
pub use sink::LakeSink;
pub use store::DiskStore;
pub use table::{LakeTable, TableStatus};
