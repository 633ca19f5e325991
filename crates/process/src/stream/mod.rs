//! Pipelines: SQL to operators, and the loop that runs them.

pub(crate) mod checkpoint;
pub mod manifest;
pub mod operator;
pub mod plan;
pub mod source;
pub(crate) mod tick;
