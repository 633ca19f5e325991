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

pub(crate) use insert::Inserted;
pub(crate) use modify::Placed;
pub(crate) use temporary::Temporaries;
