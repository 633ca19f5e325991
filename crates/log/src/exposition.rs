//! Topics and partitions for `/metrics`, under the names that dashboards for Kafka ask for.
//!
//! Guarantees: the figures of the moment; one line a partition and name.
//! Left out: counters, which the recorder has; consumer groups.

use crate::LogStore;
use std::fmt::Write;
use tradewind_types::Log;
use tradewind_types::log::PartitionFigures;

/// A figure of a partition: its name, what it means, and where it comes from.
type Figure = (&'static str, &'static str, fn(&PartitionFigures) -> Option<i64>);

/// Those of kafka_exporter, then those of Kafka's own JMX exporter.
const FIGURES: &[Figure] = &[
    ("kafka_topic_partition_current_offset", "The offset after the last readable record.", |p| {
        Some(p.watermarks.high_watermark)
    }),
    ("kafka_topic_partition_oldest_offset", "The first readable offset.", |p| {
        Some(p.watermarks.log_start)
    }),
    ("kafka_topic_partition_leader", "The broker that leads it.", |_| Some(1)),
    ("kafka_topic_partition_replicas", "How many brokers have it.", |_| Some(1)),
    ("kafka_topic_partition_in_sync_replica", "How many of them are in sync.", |p| {
        Some(i64::from(p.offline.is_none()))
    }),
    (
        "kafka_topic_partition_under_replicated_partition",
        "1 when it takes no writes because an fsync failed.",
        |p| Some(i64::from(p.offline.is_some())),
    ),
    ("kafka_log_log_size", "Bytes of its segments.", |p| i64::try_from(p.bytes).ok()),
    ("kafka_log_log_numlogsegments", "How many segments it has.", |p| {
        i64::try_from(p.segments).ok()
    }),
    ("kafka_log_log_logstartoffset", "The first readable offset.", |p| {
        Some(p.watermarks.log_start)
    }),
    ("kafka_log_log_logendoffset", "The offset after the last readable record.", |p| {
        Some(p.watermarks.high_watermark)
    }),
    ("tradewind_log_compacted_to_offset", "Compaction has been over everything below.", |p| {
        Some(p.compacted_to)
    }),
    ("tradewind_log_newest_timestamp_ms", "The newest timestamp of its records.", |p| p.newest_ms),
];

impl LogStore {
    /// Topics and partitions as Prometheus text.
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        head(&mut text, "kafka_brokers", "How many brokers there are.");
        text.push_str("kafka_brokers 1\n");
        head(&mut text, "kafka_topic_partitions", "How many partitions a topic has.");
        for topic in self.topics() {
            let (name, partitions) = (&topic.name, topic.partitions);
            // The names of topics need no escapes.
            let _ = writeln!(text, "kafka_topic_partitions{{topic=\"{name}\"}} {partitions}");
        }
        let partitions = self.stats();
        for (name, help, value) in FIGURES {
            head(&mut text, name, help);
            for partition in &partitions {
                let Some(value) = value(partition) else { continue };
                let (topic, number) = (&partition.topic, partition.partition);
                let _ =
                    writeln!(text, "{name}{{topic=\"{topic}\",partition=\"{number}\"}} {value}");
            }
        }
        text
    }
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
