//! Durable, partitioned topics in Kafka's own format (docs/formats/log-segment.md).
//!
//! Guarantees: what an append acknowledged survives power loss; nothing above the high watermark,
//! which is what has been fsynced, is ever read; a checksum is verified before a batch is written
//! and after it is read; a torn tail is cut and reported, anything else that is wrong is reported
//! and kept. Left out: consumer groups, transactions, compaction, replication.

mod report;
mod settings;
mod store;

pub use report::{Corruption, RecoveryReport, TornTail};
pub use settings::{Flush, LogSettings, TopicDefaults};
pub use store::{LogStore, RawAppended, RawRead};
