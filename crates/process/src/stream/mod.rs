//! Pipelines: SQL to operators, and the loop that runs them.

pub mod changelog;
pub(crate) mod checkpoint;
mod frames;
pub mod job;
pub mod manifest;
pub(crate) mod outlive;
mod output;
pub mod plan;
pub mod run;
pub mod scratch;
pub mod sink;
pub(crate) mod sinks;
pub mod source;
pub mod state_store;
pub(crate) mod tick;
pub(crate) mod transactions;
