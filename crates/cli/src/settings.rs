//! The configuration, as each crate wants it.
//!
//! Guarantees: every setting of [`Config`] that a crate has a place for is handed to it here and
//! nowhere else.
//! Left out: reading and checking, which `types::config` does.

use std::path::{Path, PathBuf};
use std::time::Duration;
use tradewind_analyze::{AnalyzeSettings, Dialect, FileAccess, SettingRow};
use tradewind_collect::{CollectSettings, WriteKey};
use tradewind_lake::LakeSettings;
use tradewind_log::group::GroupSettings;
use tradewind_log::wire::{QuotaLimits, WireLimits};
use tradewind_log::{LogSettings, TopicDefaults, TransactionSettings};
use tradewind_serve::flight::FlightLimits;
use tradewind_serve::{Limits, PostgresLimits, SqlLimits};
use tradewind_types::config::{Config, Flush, ResolvedSetting, SqlDialect};

const HOUR_MS: u64 = 3_600_000;

/// For the log.
pub fn log(config: &Config) -> LogSettings {
    let from = &config.log;
    let default = LogSettings::default();
    LogSettings {
        flush: match from.flush {
            Flush::Always => tradewind_log::Flush::Always,
            Flush::IntervalMs(ms) => tradewind_log::Flush::IntervalMs(ms),
        },
        disk_reserve_bytes: from.disk_reserve_bytes,
        append_bytes_in_flight_max: from.append_inflight_bytes_max,
        tail_bytes_max: from.tail_bytes_max,
        partitions_max: from.partitions_max,
        producer_expiration_ms: from.producer_expiration_ms as i64,
        producers_max: from.producers_max,
        transactions: TransactionSettings {
            // At most a day.
            timeout_ms_max: from.transaction_timeout_ms_max as i32,
            id_expiration_ms: from.transactional_id_expiration_ms as i64,
            ids_max: from.transactional_ids_max,
        },
        topic: TopicDefaults {
            retention_ms: from.retention_ms.map(|ms| ms as i64),
            retention_bytes: from.retention_bytes,
            segment_bytes: from.segment_bytes,
            segment_ms: from.segment_ms as i64,
            max_message_bytes: from.batch_bytes_max,
            ..default.topic
        },
        ..default
    }
}

/// For the Kafka port.
pub fn wire(config: &Config) -> WireLimits {
    let from = &config.server.kafka;
    WireLimits {
        produce_bytes_max: from.produce_bytes_max,
        requests_in_flight_bytes_max: from.inflight_bytes_max,
        answers_in_flight_bytes_max: from.inflight_bytes_max,
        fetch_bytes_max: from.fetch_bytes_max,
        connections_max: from.connections_max,
        connections_per_ip_max: from.connections_per_address_max,
        idle_timeout: Duration::from_millis(from.idle_timeout_ms),
        stall_timeout: Duration::from_millis(from.request_timeout_ms),
        drain_timeout: Duration::from_millis(config.server.shutdown_timeout_ms),
        auto_create_partitions: match config.log.auto_create_topics {
            true => config.log.default_partitions,
            false => 0,
        },
        groups: GroupSettings {
            initial_rebalance_delay: Duration::from_millis(from.group_rebalance_delay_ms),
            session_timeout_min: Duration::from_millis(from.group_session_timeout_ms_min),
            offsets_retention: Duration::from_millis(from.offsets_retention_ms),
            ..GroupSettings::default()
        },
        quotas: QuotaLimits {
            produce_bytes_per_second: from.quota_produce_bytes_per_second,
            fetch_bytes_per_second: from.quota_fetch_bytes_per_second,
            requests_per_second: from.quota_requests_per_second,
        },
        ..WireLimits::default()
    }
}

/// For the Postgres port.
pub fn postgres(config: &Config) -> PostgresLimits {
    let from = &config.server.postgres;
    PostgresLimits {
        connections_max: from.connections_max,
        message_bytes_max: from.message_bytes_max,
        inflight_bytes_max: from.inflight_bytes_max,
        stall_timeout: Duration::from_millis(from.stall_timeout_ms),
        idle_timeout: from.idle_timeout_ms.map(Duration::from_millis),
        drain_timeout: Duration::from_millis(config.server.shutdown_timeout_ms),
        ..PostgresLimits::default()
    }
}

/// For the tracking API.
pub fn collect(config: &Config) -> CollectSettings {
    let from = &config.collect;
    let keys = from.write_keys.iter().map(|key| {
        let stands_for = WriteKey {
            store_id: key.store_id.clone(),
            source: key.source.clone(),
            bearer_token: key.bearer_token.clone(),
        };
        (key.key.clone(), stands_for)
    });
    CollectSettings {
        event_partitions: from.events_partitions,
        write_keys: keys.collect(),
        in_flight_bytes_max: from.inflight_bytes_max,
        body_timeout_ms: config.server.http.body_timeout_ms,
        dedup_window_ms: (from.dedup_window_hours * HOUR_MS) as i64,
        dedup_ids_max: from.dedup_ids_max as u64,
        trust_forwarded_for: from.trust_forwarded_for,
        ..CollectSettings::default()
    }
}

/// For the lake.
pub fn lake(config: &Config) -> LakeSettings {
    let from = &config.lake;
    LakeSettings {
        tail_bytes_max: from.tail_bytes_max / 2,
        tail_bytes_max_total: from.tail_bytes_max,
        target_file_bytes: from.compaction_target_bytes,
        compact_files_min: from.compaction_files_min,
        checkpoint_commits: from.checkpoint_commits,
        vacuum_retention_hours: from.vacuum_retention_hours,
        log_retention_hours: from.log_retention_hours,
        ..LakeSettings::default()
    }
}

/// For the HTTP port.
pub fn http(config: &Config) -> Limits {
    let from = &config.server.http;
    Limits {
        connections_max: from.connections_max,
        header_timeout: Duration::from_millis(from.header_timeout_ms),
        body_timeout: Duration::from_millis(from.body_timeout_ms),
        idle_timeout: Duration::from_millis(from.idle_timeout_ms),
        header_bytes_max: from.header_bytes_max,
        shutdown_timeout: Duration::from_millis(config.server.shutdown_timeout_ms),
    }
}

/// For the Flight SQL port.
pub fn flight(config: &Config) -> FlightLimits {
    FlightLimits {
        connections_max: config.server.flight.connections_max,
        statement_timeout: Duration::from_millis(config.sql.statement_timeout_ms),
        shutdown_timeout: Duration::from_millis(config.server.shutdown_timeout_ms),
    }
}

/// For answers over HTTP.
pub fn sql_limits(config: &Config) -> SqlLimits {
    SqlLimits {
        rows_max: config.sql.result_rows_max,
        bytes_max: config.sql.result_bytes_max,
        statement_timeout: Duration::from_millis(config.sql.statement_timeout_ms),
    }
}

/// For queries; they spill to `spill_dir`.
pub fn analyze(config: &Config, spill_dir: Option<PathBuf>) -> AnalyzeSettings {
    AnalyzeSettings {
        memory_bytes: config.sql.memory_bytes,
        queries_max: config.sql.queries_max,
        spill_dir,
        dialect: match config.sql.dialect {
            SqlDialect::Postgres => Dialect::Postgres,
            SqlDialect::Flink => Dialect::Flink,
        },
        files: FileAccess::Anywhere,
        ..AnalyzeSettings::default()
    }
}

/// For `sys.settings`.
fn row(resolved: ResolvedSetting) -> SettingRow {
    SettingRow {
        name: resolved.setting.key.to_string(),
        value: resolved.value,
        default: resolved.setting.default.to_string(),
        source: resolved.origin.name().to_string(),
        place: resolved.place,
        description: resolved.setting.doc.to_string(),
    }
}

/// What a command was configured with.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Everything that can be set.
    pub config: Config,
    /// The same for people, with where each value came from.
    pub rows: Vec<SettingRow>,
}

/// The configuration of a command: a file, the environment, `--set`.
///
/// # Errors
/// One line: the file cannot be read, or what is wrong in it.
pub fn resolve(file: Option<&Path>, set: &[String]) -> anyhow::Result<Configured> {
    let text = match file {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            anyhow::anyhow!("{}: {}", path.display(), crate::data_dir::plain(&error))
        })?),
    };
    let named = file.zip(text.as_deref());
    let (config, resolved) = Config::resolve_and_explain(named, std::env::vars(), set)?;
    Ok(Configured { config, rows: resolved.into_iter().map(row).collect() })
}

#[cfg(test)]
mod tests {
    use tradewind_log::wire::SLOWEST_BYTES_PER_SECOND;
    use tradewind_types::config::{SETTINGS, bytes_text};

    #[test]
    fn the_request_timeout_said_what_it_is_not() {
        let key = "server.kafka_request_timeout_ms";
        let setting = SETTINGS.iter().find(|setting| setting.key == key).expect("it is a setting");
        let speed = format!("{}/s", bytes_text(SLOWEST_BYTES_PER_SECOND as u64));
        assert!(setting.doc.contains(&speed), "{}", setting.doc);
    }
}
