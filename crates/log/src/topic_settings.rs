//! The settings of a topic: one list for checking, describing and documenting them.
//!
//! Guarantees: a setting nobody knows, or a value out of range, is refused with the reason; what
//! cannot be chosen here is accepted only with the value that holds.
//! Left out: where they are kept (topic_file) and what they do.

use crate::settings::{Cleanup, TimestampType, TopicCompression, TopicDefaults};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use tradewind_types::LogError;

/// Positions in a segment are 32-bit, and retention works on whole segments.
const SEGMENT_BYTES: RangeInclusive<i64> = 1024..=1 << 30;
/// One batch is held in memory whole, several times over.
const MESSAGE_BYTES: RangeInclusive<i64> = 128..=256 << 20;
/// Ratios are kept as millionths.
const MILLION: f64 = 1_000_000.0;

/// Kafka's kinds of settings, by their numbers in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    Text = 2,
    /// A whole number of 32 bits.
    Int = 3,
    /// A whole number of 64 bits.
    Long = 5,
    /// A number.
    Double = 6,
    /// Names with commas between them.
    List = 7,
}

/// One setting of a topic.
#[derive(Debug)]
pub struct TopicSetting {
    /// Kafka's name.
    pub name: &'static str,
    /// What its values are.
    pub kind: SettingKind,
    /// What Kafka calls the same for all topics of a broker.
    pub broker_name: &'static str,
    /// What it does here.
    pub doc: &'static str,
    set: fn(&TopicSetting, &mut TopicDefaults, &str) -> Result<(), String>,
    show: fn(&TopicDefaults) -> String,
}

impl TopicSetting {
    /// Its value in `settings`.
    pub fn value(&self, settings: &TopicDefaults) -> String {
        (self.show)(settings)
    }
}

/// Every setting, by name.
pub const TOPIC_SETTINGS: &[TopicSetting] = &[
    TopicSetting {
        name: "cleanup.policy",
        kind: SettingKind::List,
        broker_name: "log.cleanup.policy",
        doc: "What becomes of old records: delete (by retention), compact (the last record of each key stays), or both.",
        set: |setting, to, value| {
            to.cleanup = cleanup(value).ok_or_else(|| {
                format!("`{}` is {value:?}, not delete, compact or both", setting.name)
            })?;
            Ok(())
        },
        show: |from| from.cleanup.text().to_owned(),
    },
    TopicSetting {
        name: "compression.type",
        kind: SettingKind::Text,
        broker_name: "compression.type",
        doc: "producer: batches stay as their producer compressed them. gzip, snappy, lz4, zstd, uncompressed: they are kept, and sent, like this.",
        set: |setting, to, value| {
            to.compression = TopicCompression::of(value.trim()).ok_or_else(|| {
                format!(
                    "`{}` is {value:?}, not producer, uncompressed, gzip, snappy, lz4 or zstd",
                    setting.name
                )
            })?;
            Ok(())
        },
        show: |from| from.compression.text().to_owned(),
    },
    TopicSetting {
        name: "delete.retention.ms",
        kind: SettingKind::Long,
        broker_name: "log.cleaner.delete.retention.ms",
        doc: "How long compaction keeps a tombstone after it has first seen it.",
        set: |setting, to, value| {
            to.delete_retention_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.delete_retention_ms.to_string(),
    },
    TopicSetting {
        name: "file.delete.delay.ms",
        kind: SettingKind::Long,
        broker_name: "log.segment.delete.delay.ms",
        doc: "Without effect: when a file goes is the server's own matter.",
        set: |setting, to, value| {
            to.layout.file_delete_delay_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.layout.file_delete_delay_ms.to_string(),
    },
    TopicSetting {
        name: "flush.messages",
        kind: SettingKind::Long,
        broker_name: "log.flush.interval.messages",
        doc: "Without effect: nothing is acknowledged with acks=all, or readable, before it is durable.",
        set: |setting, to, value| {
            to.layout.flush_messages = number(setting, value, 1..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.layout.flush_messages.to_string(),
    },
    TopicSetting {
        name: "flush.ms",
        kind: SettingKind::Long,
        broker_name: "log.flush.interval.ms",
        doc: "Without effect, as `flush.messages`.",
        set: |setting, to, value| {
            to.layout.flush_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.layout.flush_ms.to_string(),
    },
    TopicSetting {
        name: "index.interval.bytes",
        kind: SettingKind::Int,
        broker_name: "log.index.interval.bytes",
        doc: "Without effect: a segment's index is the server's own matter.",
        set: |setting, to, value| {
            to.layout.index_interval_bytes = number(setting, value, 0..=i64::from(i32::MAX))?;
            Ok(())
        },
        show: |from| from.layout.index_interval_bytes.to_string(),
    },
    TopicSetting {
        name: "max.compaction.lag.ms",
        kind: SettingKind::Long,
        broker_name: "log.cleaner.max.compaction.lag.ms",
        doc: "After this time a record is compacted, however little there is to compact.",
        set: |setting, to, value| {
            to.max_compaction_lag_ms = number(setting, value, 1..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.max_compaction_lag_ms.to_string(),
    },
    TopicSetting {
        name: "max.message.bytes",
        kind: SettingKind::Int,
        broker_name: "message.max.bytes",
        doc: "The largest record batch that is taken, as it is sent.",
        set: |setting, to, value| {
            to.max_message_bytes = number(setting, value, MESSAGE_BYTES)? as usize;
            Ok(())
        },
        show: |from| from.max_message_bytes.to_string(),
    },
    TopicSetting {
        name: "message.timestamp.after.max.ms",
        kind: SettingKind::Long,
        broker_name: "log.message.timestamp.after.max.ms",
        doc: "How far ahead of the server's clock a producer's timestamp may be.",
        set: |setting, to, value| {
            to.timestamp_after_max_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.timestamp_after_max_ms.to_string(),
    },
    TopicSetting {
        name: "message.timestamp.before.max.ms",
        kind: SettingKind::Long,
        broker_name: "log.message.timestamp.before.max.ms",
        doc: "How far behind the server's clock a producer's timestamp may be.",
        set: |setting, to, value| {
            to.timestamp_before_max_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.timestamp_before_max_ms.to_string(),
    },
    TopicSetting {
        name: "message.timestamp.type",
        kind: SettingKind::Text,
        broker_name: "log.message.timestamp.type",
        doc: "CreateTime: records keep their producer's timestamp. LogAppendTime: they get the server's.",
        set: |setting, to, value| {
            to.timestamp_type = TimestampType::of(value.trim()).ok_or_else(|| {
                format!("`{}` is {value:?}, not CreateTime or LogAppendTime", setting.name)
            })?;
            Ok(())
        },
        show: |from| from.timestamp_type.text().to_owned(),
    },
    TopicSetting {
        name: "min.cleanable.dirty.ratio",
        kind: SettingKind::Double,
        broker_name: "log.cleaner.min.cleanable.ratio",
        doc: "The share of a partition's sealed segments that must be new since the last compaction before the next.",
        set: |setting, to, value| {
            let ratio = value.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            let ratio: f64 = ratio.ok_or_else(|| {
                format!("`{}` is {value:?}, not a number from 0 to 1", setting.name)
            })?;
            to.min_dirty_millionths = (ratio * MILLION).round() as u32;
            Ok(())
        },
        show: |from| (f64::from(from.min_dirty_millionths) / MILLION).to_string(),
    },
    TopicSetting {
        name: "min.compaction.lag.ms",
        kind: SettingKind::Long,
        broker_name: "log.cleaner.min.compaction.lag.ms",
        doc: "How long a record is safe from compaction.",
        set: |setting, to, value| {
            to.min_compaction_lag_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.min_compaction_lag_ms.to_string(),
    },
    TopicSetting {
        name: "min.insync.replicas",
        kind: SettingKind::Int,
        broker_name: "min.insync.replicas",
        doc: "1: there is one broker. Nothing else is offered.",
        set: |setting, _, value| fixed(setting, value, "1", "there is one broker"),
        show: |_| "1".into(),
    },
    TopicSetting {
        name: "preallocate",
        kind: SettingKind::Boolean,
        broker_name: "log.preallocate",
        doc: "false: segments grow as they are written. Nothing else is offered.",
        set: |setting, _, value| {
            fixed(setting, value, "false", "segments grow as they are written")
        },
        show: |_| "false".into(),
    },
    TopicSetting {
        name: "retention.bytes",
        kind: SettingKind::Long,
        broker_name: "log.retention.bytes",
        doc: "What a partition keeps at most, in whole segments; -1 for no limit.",
        set: |setting, to, value| {
            let bytes = unlimited(number(setting, value, -1..=i64::MAX)?);
            to.retention_bytes = bytes.map(|bytes| bytes as u64);
            Ok(())
        },
        show: |from| from.retention_bytes.map_or("-1".into(), |bytes| bytes.to_string()),
    },
    TopicSetting {
        name: "retention.ms",
        kind: SettingKind::Long,
        broker_name: "log.retention.ms",
        doc: "How long a sealed segment is kept after its last append; -1 for ever.",
        set: |setting, to, value| {
            to.retention_ms = unlimited(number(setting, value, -1..=i64::MAX)?);
            Ok(())
        },
        show: |from| from.retention_ms.map_or("-1".into(), |ms| ms.to_string()),
    },
    TopicSetting {
        name: "segment.bytes",
        kind: SettingKind::Int,
        broker_name: "log.segment.bytes",
        doc: "A segment is sealed before it grows past this.",
        set: |setting, to, value| {
            to.segment_bytes = number(setting, value, SEGMENT_BYTES)? as u64;
            Ok(())
        },
        show: |from| from.segment_bytes.to_string(),
    },
    TopicSetting {
        name: "segment.index.bytes",
        kind: SettingKind::Int,
        broker_name: "log.index.size.max.bytes",
        doc: "Without effect, as `index.interval.bytes`.",
        set: |setting, to, value| {
            to.layout.segment_index_bytes = number(setting, value, 4..=i64::from(i32::MAX))?;
            Ok(())
        },
        show: |from| from.layout.segment_index_bytes.to_string(),
    },
    TopicSetting {
        name: "segment.jitter.ms",
        kind: SettingKind::Long,
        broker_name: "log.roll.jitter.ms",
        doc: "Without effect: a segment is sealed when `segment.ms` says so.",
        set: |setting, to, value| {
            to.layout.segment_jitter_ms = number(setting, value, 0..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.layout.segment_jitter_ms.to_string(),
    },
    TopicSetting {
        name: "segment.ms",
        kind: SettingKind::Long,
        broker_name: "log.roll.ms",
        doc: "A segment is sealed by the first append that comes this long after its first.",
        set: |setting, to, value| {
            to.segment_ms = number(setting, value, 1..=i64::MAX)?;
            Ok(())
        },
        show: |from| from.segment_ms.to_string(),
    },
    TopicSetting {
        name: "unclean.leader.election.enable",
        kind: SettingKind::Boolean,
        broker_name: "unclean.leader.election.enable",
        doc: "false: there is one broker, and no election. Nothing else is offered.",
        set: |setting, _, value| fixed(setting, value, "false", "there is one broker"),
        show: |_| "false".into(),
    },
];

/// The setting of this name.
pub fn topic_setting(name: &str) -> Option<&'static TopicSetting> {
    TOPIC_SETTINGS.iter().find(|setting| setting.name == name)
}

/// A topic's settings over the defaults.
///
/// # Errors
/// [`LogError::Invalid`] for a name nobody knows or a value that is not taken.
pub(crate) fn resolve(
    defaults: &TopicDefaults,
    settings: &BTreeMap<String, String>,
) -> Result<TopicDefaults, LogError> {
    let mut out = defaults.clone();
    for (name, value) in settings {
        let setting = topic_setting(name).ok_or_else(|| {
            let known: Vec<&str> = TOPIC_SETTINGS.iter().map(|setting| setting.name).collect();
            LogError::Invalid(format!(
                "topic setting `{name}` is not known, these are: {}",
                known.join(", ")
            ))
        })?;
        (setting.set)(setting, &mut out, value)
            .map_err(|reason| LogError::Invalid(format!("topic setting {reason}")))?;
    }
    Ok(out)
}

/// Kafka writes "no limit" as -1.
fn unlimited(value: i64) -> Option<i64> {
    (value >= 0).then_some(value)
}

fn cleanup(value: &str) -> Option<Cleanup> {
    let mut found = Cleanup { delete: false, compact: false };
    for policy in value.split(',') {
        match policy.trim() {
            "delete" => found.delete = true,
            "compact" => found.compact = true,
            _ => return None,
        }
    }
    Some(found)
}

fn fixed(setting: &TopicSetting, value: &str, only: &str, why: &str) -> Result<(), String> {
    if value.trim() == only {
        return Ok(());
    }
    Err(format!("`{}` is {value:?}, only {only:?} is offered: {why}", setting.name))
}

fn number(
    setting: &TopicSetting,
    value: &str,
    allowed: RangeInclusive<i64>,
) -> Result<i64, String> {
    value.trim().parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        format!(
            "`{}` is {value:?}, not a number from {} to {}",
            setting.name,
            allowed.start(),
            allowed.end()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_setting_takes_the_value_it_shows_and_stands_in_order() {
        let defaults = TopicDefaults::default();
        for setting in TOPIC_SETTINGS {
            let shown = BTreeMap::from([(setting.name.to_owned(), setting.value(&defaults))]);
            assert_eq!(resolve(&defaults, &shown).unwrap(), defaults, "{}", setting.name);
            let wrong = BTreeMap::from([(setting.name.to_owned(), "nonsense".to_owned())]);
            let error = resolve(&defaults, &wrong).unwrap_err().to_string();
            assert!(error.contains(setting.name) && error.contains("nonsense"), "{error}");
        }
        assert!(TOPIC_SETTINGS.is_sorted_by_key(|setting| setting.name));
    }
}
