//! Durable, partitioned topics in Kafka's own format (docs/formats/log-segment.md).
//!
//! Guarantees: what an append acknowledged survives power loss; nothing above the high watermark,
//! which is what has been fsynced, is ever read; a checksum is verified before a batch is written
//! and after it is read; a torn tail is cut and reported, anything else that is wrong is reported
//! and kept. A producer's numbered batch is written once and in order; a transaction's records are
//! shown whole or not at all. Left out: replication.

pub mod batch;
mod blocking;
pub mod client;
mod exposition;
pub mod group;
mod metrics_names;
mod partition;
mod report;
mod reserve;
mod segment;
mod settings;
#[cfg(test)]
mod simulation;
mod store;
mod topic_file;
mod topic_settings;
mod transactions;
pub mod wire;

pub use metrics_names::describe_metrics;
pub use report::{Corruption, RecoveryReport, TornTail};
pub use segment::{Bad, ScanOutcome, scan_bytes};
pub use settings::{
    Cleanup, Flush, KafkaLayout, LogSettings, TimestampType, TopicCompression, TopicDefaults,
    TransactionSettings,
};
pub use store::{LogStore, Maintained, PartitionStats, RawAppended, RawRead};
pub use topic_settings::{SettingKind, TOPIC_SETTINGS, TopicSetting, topic_setting};
