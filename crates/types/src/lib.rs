//! The nouns of Tradewind and the traits its crates meet at.
//!
//! Guarantees: no I/O, no engine. A person who writes a collector or a model compiles this crate
//! and Arrow's arrays, never a query engine.
//!
//! Left out on purpose: wire and disk formats (they live at the edges that own them) and every
//! implementation of the traits except the clocks.

pub mod clock;
pub mod config;
pub mod connector;
pub mod dead_letter;
pub mod ecommerce;
pub mod event;
pub mod log;
pub mod money;
pub mod partitioner;
pub mod topic_writer;

pub use clock::{Clock, ManualClock, SystemClock, TimestampMicros};
pub use connector::{Sink, SinkError, Source, SourceBatch, SourceError, Staged};
pub use dead_letter::DeadLetter;
pub use event::Event;
pub use log::{Log, LogError, LogRecord, Offset, PartitionId, Record, TopicInfo, TopicSpec};
pub use money::{Currency, Decimal, Money, MoneyError};
pub use partitioner::partition_of;
pub use topic_writer::{Producer, TopicLimits, TopicWriter};

/// A checkpoint's number within one incarnation of a pipeline. The first is 1; 0 is "none yet".
pub type Epoch = u64;

/// Hidden column of every lake row: the log partition it came from (`Int32`).
pub const PARTITION_COLUMN: &str = "_partition";
/// Hidden column of every lake row: the log offset it came from (`Int64`). Rows that one event was
/// unnested into share it.
pub const OFFSET_COLUMN: &str = "_offset";
/// The store an event belongs to until a write key says otherwise.
pub const DEFAULT_STORE: &str = "default";
