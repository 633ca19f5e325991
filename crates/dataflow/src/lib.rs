//! The streaming engine's machine room: operators over Arrow batches, their state, and ticks.
//!
//! Guarantees: what a graph has put out after a tick is what its query answers over the input taken
//! in so far, whatever the number of workers and however the input was cut into ticks.
//! Left out: SQL, expressions, sources, sinks and manifests: `process` plans statements into a
//! [`Graph`], feeds an [`Executor`] and keeps what it hands out. No query engine is named here.

mod budget;
mod error;
mod executor;
mod expression;
mod graph;
pub mod hidden;
pub mod operator;
mod scratch;
mod shard;
pub mod state;
mod window;

pub use budget::StateBudget;
pub use error::DataflowError;
pub use executor::{
    Eviction, Executor, ExecutorSettings, LateRows, OperatorWork, SourceInput, StatePiece,
    StateRows, TickOutput,
};
pub use expression::{Expression, Failed, Named, RowError};
pub use graph::{Graph, Node, NodeIndex, OperatorId, OperatorKind};
pub use hidden::Hidden;
pub use scratch::{EvictedRows, Extent, Scratch, ScratchFile};
pub use shard::{SHARDS, Shard, ShardRange, shard_of};
pub use window::{WATERMARK_END, WATERMARK_NONE, Watermark, WindowSpec};
