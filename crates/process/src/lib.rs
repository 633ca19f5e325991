//! Pipelines and materialized views: queries over topics, kept running.
//!
//! Guarantees: every record of the topic takes effect exactly once, in rows or in a dead letter,
//! whatever is killed; a pipeline that fails never takes another down.
//! Left out: the log and the lake themselves, met as traits; the operators, which are `dataflow`'s.

mod blocking;
pub mod dead_letters;
mod engine;
mod error;
mod history;
pub mod script;
mod settings;
mod shared;
mod status;
pub mod stream;
mod subscription;
mod supervisor;
mod view;
mod views;

pub use engine::{Engine, EngineParts, PipelineRequest, Sinks};
pub use error::ProcessError;
pub use history::History;
pub use settings::EngineSettings;
pub use status::{OperatorStatus, PipelineState, PipelineStatus, SourceStatus};
pub use stream::sinks::writers;
pub use subscription::{ResumeToken, Subscription, ViewEvent};
pub use view::{
    CHANGES_ROWS_MAX, CHANGES_TICKS_MAX, Following, Reached, View, ViewChanges, ViewSnapshot,
    reached_by_topic,
};
