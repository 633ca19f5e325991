//! Pipelines: `INSERT INTO lake_table SELECT … FROM topic`, kept running.
//!
//! Guarantees: every record of the topic takes effect exactly once, in rows or in a dead letter,
//! whatever is killed; a pipeline that fails never takes another down.
//! Left out: the log and the lake themselves, met as traits; operators with state.

mod blocking;
pub mod dead_letters;
mod engine;
mod error;
mod settings;
mod status;
pub mod stream;
mod supervisor;

pub use engine::{Engine, EngineParts, PipelineRequest, Sinks};
pub use error::ProcessError;
pub use settings::EngineSettings;
pub use status::{PipelineState, PipelineStatus};
