//! What happens before a collector takes its first request: settings, topics, state.
//!
//! Guarantees: nothing is taken before the state of every partition agrees with the log.

use crate::appender::Appender;
use crate::collector::CollectParts;
use crate::dedup::{DedupSettings, DedupState};
use crate::error::CollectError;
use crate::queue::Queue;
use crate::settings::CollectSettings;
use tradewind_types::event::EVENTS_TOPIC;
use tradewind_types::{Log, LogError, TopicInfo, TopicSpec};

/// Refuses settings that make no sense.
pub(crate) fn check(settings: &CollectSettings) -> Result<(), CollectError> {
    let bad = |setting, reason: &str| Err(CollectError::Setting { setting, reason: reason.into() });
    if settings.event_partitions < 1 {
        return bad("collect.events_partitions", "at least 1");
    }
    if settings.dedup_window_ms < 0 {
        return bad("collect.dedup_window_hours", "not negative");
    }
    if settings
        .write_keys
        .values()
        .any(|key| key.store_id.contains('\0') || key.source.contains('\0'))
    {
        return bad("collect.write_keys", "no NUL in a store's or source's name");
    }
    Ok(())
}

/// The topic, made with `partitions` when it is missing; one that is there keeps its number.
pub(crate) async fn ensure_topic(
    log: &dyn Log,
    topic: &str,
    partitions: i32,
) -> Result<TopicInfo, CollectError> {
    let failed = |source| CollectError::Log { topic: topic.to_owned(), source };
    if let Some(info) = log.topic(topic) {
        return Ok(info);
    }
    match log.create_topic(&TopicSpec::new(topic, partitions)).await {
        Ok(()) | Err(LogError::TopicExists { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    log.topic(topic).ok_or_else(|| failed(LogError::NoTopic { topic: topic.to_owned() }))
}

/// A partition's appender, its deduplication state restored.
pub(crate) async fn restore_partition(
    parts: &CollectParts,
    topic: &TopicInfo,
    partition: i32,
) -> Result<Appender, CollectError> {
    let settings = DedupSettings {
        disk: parts.disk.clone(),
        dir: parts.dir.join("dedup").join(partition.to_string()),
        topic_id: topic.id.iter().map(|byte| format!("{byte:02x}")).collect(),
        partition,
        window_ms: parts.settings.dedup_window_ms,
        ids_max: parts.settings.dedup_ids_max / topic.partitions.max(1) as u64,
    };
    let now_ms = parts.clock.now_ms();
    let (dedup, next_offset) =
        DedupState::restore(settings, &*parts.log, EVENTS_TOPIC, now_ms).await?;
    Ok(Appender {
        log: parts.log.clone(),
        clock: parts.clock.clone(),
        queue: Queue::new(parts.settings.queue_bytes_max),
        topic: EVENTS_TOPIC,
        partition,
        dedup: Some(dedup),
        next_offset,
    })
}
