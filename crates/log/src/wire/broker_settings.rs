//! What clients are told the broker's settings are, by Kafka's names.
//!
//! Guarantees: the values that hold. Left out: settings of Kafka that mean nothing here; those of
//! topics (topic_settings).

use super::broker::{Broker, NODE_ID};
use crate::topic_settings::SettingKind;

/// One setting of the broker.
pub(crate) struct BrokerSetting {
    /// Kafka's name.
    pub(crate) name: &'static str,
    pub(crate) kind: SettingKind,
    /// What it does here, and where it is set.
    pub(crate) doc: &'static str,
    pub(crate) value: fn(&Broker) -> String,
}

/// Every setting, by name.
pub(crate) const BROKER_SETTINGS: &[BrokerSetting] = &[
    BrokerSetting {
        name: "advertised.listeners",
        kind: SettingKind::List,
        doc: "Where clients are told to connect to.",
        value: |broker| format!("PLAINTEXT://{}:{}", broker.host.as_str(), broker.port),
    },
    BrokerSetting {
        name: "auto.create.topics.enable",
        kind: SettingKind::Boolean,
        doc: "Whether a topic is made because a client names it: `log.auto_create_topics`.",
        value: |broker| (broker.limits.auto_create_partitions > 0).to_string(),
    },
    BrokerSetting {
        name: "broker.id",
        kind: SettingKind::Int,
        doc: "The one broker's number.",
        value: |_| NODE_ID.to_string(),
    },
    BrokerSetting {
        name: "connections.max.idle.ms",
        kind: SettingKind::Long,
        doc: "How long a connection may be silent: `server.kafka_idle_timeout_ms`.",
        value: |broker| broker.limits.idle_timeout.as_millis().to_string(),
    },
    BrokerSetting {
        name: "default.replication.factor",
        kind: SettingKind::Int,
        doc: "1: there is one broker.",
        value: |_| "1".into(),
    },
    BrokerSetting {
        name: "fetch.max.bytes",
        kind: SettingKind::Int,
        doc: "The most one fetch answers with: `server.kafka_fetch_bytes_max`.",
        value: |broker| broker.limits.fetch_bytes_max.to_string(),
    },
    BrokerSetting {
        name: "group.max.session.timeout.ms",
        kind: SettingKind::Int,
        doc: "The longest session timeout of a group's member.",
        value: |broker| broker.limits.groups.session_timeout_max.as_millis().to_string(),
    },
    BrokerSetting {
        name: "group.min.session.timeout.ms",
        kind: SettingKind::Int,
        doc: "The shortest session timeout of a group's member: \
              `server.kafka_group_session_timeout_ms_min`.",
        value: |broker| broker.limits.groups.session_timeout_min.as_millis().to_string(),
    },
    BrokerSetting {
        name: "log.dirs",
        kind: SettingKind::List,
        doc: "Where the topics lie.",
        value: |broker| broker.store.dir().display().to_string(),
    },
    BrokerSetting {
        name: "max.connections",
        kind: SettingKind::Int,
        doc: "Open connections, all peers together: `server.kafka_connections_max`.",
        value: |broker| broker.limits.connections_max.to_string(),
    },
    BrokerSetting {
        name: "max.connections.per.ip",
        kind: SettingKind::Int,
        doc: "Open connections from one address: `server.kafka_connections_per_address_max`.",
        value: |broker| broker.limits.connections_per_ip_max.to_string(),
    },
    BrokerSetting {
        name: "node.id",
        kind: SettingKind::Int,
        doc: "The one broker's number.",
        value: |_| NODE_ID.to_string(),
    },
    BrokerSetting {
        name: "num.partitions",
        kind: SettingKind::Int,
        doc: "Partitions of a topic that does not say how many: `log.default_partitions`.",
        value: |broker| broker.limits.auto_create_partitions.max(1).to_string(),
    },
    BrokerSetting {
        name: "socket.request.max.bytes",
        kind: SettingKind::Int,
        doc: "The largest request: `server.kafka_produce_bytes_max`.",
        value: |broker| broker.limits.produce_bytes_max.to_string(),
    },
];
