//! The server's configuration: one documented struct, resolved from a file, the environment and
//! the command line.
//!
//! Guarantees: [`SETTINGS`] is the one table that names, documents, bounds and defaults every
//! setting; the parser, the defaults and `docs/config.md` are made from it. Resolving has no side
//! effects: it reads no file, opens no port, looks at no clock. Later layers win: defaults, file,
//! environment (`TRADEWIND_LOG_SEGMENT_BYTES`), `key=value` from the command line. Whatever is
//! wrong is one error that names the file and line, the setting, its range, and the nearest name.
//! Left out: where the data folder is (an argument of every command), and settings of one topic
//! or one connection, which live with it.

mod docs;
mod expected;
mod layers;
mod settings;
mod units;

pub use docs::reference;
pub use layers::{Origin, ResolvedSetting, WriteKey};
pub use settings::{Kind, SETTINGS, Setting};
pub use units::{bytes, bytes_text, duration_text};

use layers::Layers;
use std::path::{Path, PathBuf};

/// Everything that can be set, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[server]`: the ports.
    pub server: ServerConfig,
    /// `[log]`: topics on disk.
    pub log: LogConfig,
    /// `[collect]`: the tracking API.
    pub collect: CollectConfig,
    /// `[lake]`: Delta tables.
    pub lake: LakeConfig,
    /// `[process]`: pipelines.
    pub process: ProcessConfig,
    /// `[sql]`: queries.
    pub sql: SqlConfig,
    /// `[demo]`: what is there to be looked at.
    pub demo: DemoConfig,
}

/// What is there to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoConfig {
    /// Serve the sample shop at `/shop`.
    pub shop: bool,
}

/// The ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// HTTP.
    pub http: HttpConfig,
    /// The Kafka protocol.
    pub kafka: KafkaConfig,
    /// How long requests under way may take after a stop was asked for.
    pub shutdown_timeout_ms: u64,
}

/// The HTTP port and what one connection may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// `host:port`; port 0 picks a free one.
    pub listen: String,
    /// Connections at once; more are closed as they come.
    pub connections_max: usize,
    /// How long a request's head may take.
    pub header_timeout_ms: u64,
    /// How long a request's body may take to arrive, and its answer to be taken.
    pub body_timeout_ms: u64,
    /// How long a connection may be silent between requests.
    pub idle_timeout_ms: u64,
    /// The longest request head.
    pub header_bytes_max: usize,
}

/// The Kafka port and what one connection may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`; port 0 picks a free one.
    pub listen: String,
    /// `host:port` clients are told to come back to; `None`: the address it listens on.
    pub advertised: Option<String>,
    /// Connections at once; more are closed as they come.
    pub connections_max: usize,
    /// The same for one address.
    pub connections_per_address_max: usize,
    /// The largest produce request.
    pub produce_bytes_max: usize,
    /// Requests of all connections together that are being received or worked on; as much again
    /// for answers.
    pub inflight_bytes_max: usize,
    /// The largest fetch answer.
    pub fetch_bytes_max: usize,
    /// How far a peer may fall behind 64 KiB/s while it sends a request or takes its answer.
    pub request_timeout_ms: u64,
    /// How long a connection may be silent between requests.
    pub idle_timeout_ms: u64,
    /// How long the first members of a consumer group are given to come together.
    pub group_rebalance_delay_ms: u64,
    /// The shortest session timeout of a consumer group's member.
    pub group_session_timeout_ms_min: u64,
    /// How long the offsets of a consumer group without members are kept.
    pub offsets_retention_ms: u64,
    /// Bytes a second a client may produce; `None` for no limit.
    pub quota_produce_bytes_per_second: Option<u64>,
    /// Bytes a second it may fetch.
    pub quota_fetch_bytes_per_second: Option<u64>,
    /// Requests a second it may send.
    pub quota_requests_per_second: Option<u64>,
}

/// When appended records become durable. They are not acknowledged before, in either mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// As soon as the disk is free.
    Always,
    /// At most once in this many milliseconds.
    IntervalMs(u64),
}

/// Topics on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is closed at this size.
    pub segment_bytes: u64,
    /// A segment is closed this long after its first record.
    pub segment_ms: u64,
    /// When appended records become durable.
    pub flush: Flush,
    /// How long closed segments are kept; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// How much of a partition is kept; `None`: all.
    pub retention_bytes: Option<u64>,
    /// Bytes of the file system that are left free: appends are refused before.
    pub disk_reserve_bytes: u64,
    /// The largest record batch.
    pub batch_bytes_max: usize,
    /// Appends of all partitions together that wait for their fsync.
    pub append_inflight_bytes_max: usize,
    /// Recent records of all partitions together that are kept in memory for readers.
    pub tail_bytes_max: usize,
    /// Partitions of all topics together.
    pub partitions_max: usize,
    /// How long a producer that numbers its batches is remembered.
    pub producer_expiration_ms: u64,
    /// Producers that are remembered, over all partitions.
    pub producers_max: usize,
    /// The longest a transaction may be open.
    pub transaction_timeout_ms_max: u64,
    /// How long a transactional id is remembered after its last transaction.
    pub transactional_id_expiration_ms: u64,
    /// Transactional ids that are remembered.
    pub transactional_ids_max: usize,
    /// Whether a topic is made when a producer names one that is not there.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made because a client named it.
    pub default_partitions: i32,
}

/// The tracking API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectConfig {
    /// Partitions of topic `events` when it is made.
    pub events_partitions: i32,
    /// How long an event's id is remembered.
    pub dedup_window_hours: u64,
    /// How many ids are remembered; beyond, the oldest are forgotten early and counted.
    pub dedup_ids_max: usize,
    /// Who may send events, and as which store and source.
    pub write_keys: Vec<WriteKey>,
    /// Request bodies being worked on, unpacked, all together.
    pub inflight_bytes_max: usize,
    /// Whether the client's address is the first one in `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
}

/// Delta tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeConfig {
    /// A pipeline commits when this much is due.
    pub commit_bytes: usize,
    /// A pipeline commits when its oldest uncommitted row is this old.
    pub commit_interval_ms: u64,
    /// Rows of all tables in memory that no commit holds yet.
    pub tail_bytes_max: usize,
    /// Small files are rewritten into files of this size.
    pub compaction_target_bytes: u64,
    /// A lake partition is compacted when it has this many small files.
    pub compaction_files_min: usize,
    /// How often tables are looked after.
    pub maintenance_interval_ms: u64,
    /// How long files that no longer belong to a table are kept for readers of older versions.
    pub vacuum_retention_hours: u64,
    /// How long commits older than a checkpoint stay.
    pub log_retention_hours: u64,
    /// A Delta checkpoint is written every so many commits.
    pub checkpoint_commits: u64,
}

/// Pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Rows one tick takes in at most.
    pub tick_rows_max: usize,
    /// A tick stops taking in after this long.
    pub tick_budget_ms: u64,
    /// What operators' state may take in memory.
    pub state_memory_bytes: usize,
    /// After how long without a write state is forgotten; `None`: never.
    pub state_ttl_ms: Option<u64>,
    /// What the rows of materialized views may.
    pub view_memory_bytes: usize,
    /// The first wait after a failure; it doubles with each further one.
    pub retry_backoff_ms_min: u64,
    /// The longest wait between attempts.
    pub retry_backoff_ms_max: u64,
    /// Attempts before a pipeline is paused.
    pub retry_attempts_max: u32,
}

/// A SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlDialect {
    /// PostgreSQL's rules.
    Postgres,
    /// Flink's rules.
    Flink,
}

/// Queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlConfig {
    /// The dialect a connection starts with.
    pub dialect: SqlDialect,
    /// Memory of all queries together.
    pub memory_bytes: usize,
    /// Queries at once; more are refused.
    pub queries_max: usize,
    /// Rows of one answer over HTTP.
    pub result_rows_max: usize,
    /// Bytes of one answer over HTTP.
    pub result_bytes_max: usize,
    /// How long one statement may run.
    pub statement_timeout_ms: u64,
}

/// Why a configuration is refused. One line each; the first one found is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{file}:{line}: {reason}")]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// No such section or setting.
    #[error("{place}: unknown setting {key:?}{}", hint(suggestion.as_deref()))]
    Unknown {
        /// `file:line`, or the variable or argument.
        place: String,
        /// The name that was written.
        key: String,
        /// The nearest name there is.
        suggestion: Option<String>,
    },
    /// A value that does not fit its setting.
    #[error("{place}: {key} = {value} is refused: it must be {expected}")]
    Value {
        /// `file:line`, or the variable or argument.
        place: String,
        /// The setting.
        key: String,
        /// What was written.
        value: String,
        /// What would be accepted: type and range.
        expected: String,
    },
    /// An override without `=`.
    #[error("{text:?} is not key=value; write for example log.segment_bytes=\"64 MB\"")]
    NotAnOverride {
        /// What was written.
        text: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

impl Default for Config {
    /// Every setting at its default.
    fn default() -> Self {
        Self::from_layers(&Layers::defaults())
    }
}

impl Config {
    /// Resolves the configuration from its layers.
    ///
    /// `file` is a file's name (for messages) and text; `environment` any variables, of which
    /// those that name a setting count; `overrides` are `key=value` arguments.
    ///
    /// # Errors
    /// The first thing wrong, see [`ConfigError`].
    pub fn resolve(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        Ok(Self::resolve_and_explain(file, environment, overrides)?.0)
    }

    /// As [`Config::resolve`], with each setting's value and where it came from.
    ///
    /// # Errors
    /// As for [`Config::resolve`].
    pub fn resolve_and_explain(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<(Self, Vec<ResolvedSetting>), ConfigError> {
        let mut layers = Layers::defaults();
        if let Some((name, text)) = file {
            layers.add_file(name, text)?;
        }
        for (name, value) in environment {
            layers.add_variable(&name, &value)?;
        }
        for text in overrides {
            layers.add_override(text)?;
        }
        layers.check()?;
        Ok((Self::from_layers(&layers), layers.resolved()))
    }

    fn from_layers(layers: &Layers) -> Self {
        Self {
            server: ServerConfig::from_layers(layers),
            log: LogConfig::from_layers(layers),
            collect: CollectConfig::from_layers(layers),
            lake: LakeConfig::from_layers(layers),
            process: ProcessConfig::from_layers(layers),
            sql: SqlConfig::from_layers(layers),
            demo: DemoConfig { shop: layers.flag("demo.shop") },
        }
    }
}

impl ServerConfig {
    fn from_layers(layers: &Layers) -> Self {
        Self {
            http: HttpConfig {
                listen: layers.text("server.http_listen"),
                connections_max: layers.size("server.http_connections_max"),
                header_timeout_ms: layers.number("server.http_header_timeout_ms"),
                body_timeout_ms: layers.number("server.http_body_timeout_ms"),
                idle_timeout_ms: layers.number("server.http_idle_timeout_ms"),
                header_bytes_max: layers.size("server.http_header_bytes_max"),
            },
            kafka: KafkaConfig {
                listen: layers.text("server.kafka_listen"),
                advertised: layers.optional_text("server.kafka_advertised"),
                connections_max: layers.size("server.kafka_connections_max"),
                connections_per_address_max: layers
                    .size("server.kafka_connections_per_address_max"),
                produce_bytes_max: layers.size("server.kafka_produce_bytes_max"),
                inflight_bytes_max: layers.size("server.kafka_inflight_bytes_max"),
                fetch_bytes_max: layers.size("server.kafka_fetch_bytes_max"),
                request_timeout_ms: layers.number("server.kafka_request_timeout_ms"),
                idle_timeout_ms: layers.number("server.kafka_idle_timeout_ms"),
                group_rebalance_delay_ms: layers.number("server.kafka_group_rebalance_delay_ms"),
                group_session_timeout_ms_min: layers
                    .number("server.kafka_group_session_timeout_ms_min"),
                offsets_retention_ms: layers.number("server.kafka_offsets_retention_ms"),
                quota_produce_bytes_per_second: layers
                    .optional_number("server.kafka_quota_produce_bytes_per_second"),
                quota_fetch_bytes_per_second: layers
                    .optional_number("server.kafka_quota_fetch_bytes_per_second"),
                quota_requests_per_second: layers
                    .optional_number("server.kafka_quota_requests_per_second"),
            },
            shutdown_timeout_ms: layers.number("server.shutdown_timeout_ms"),
        }
    }
}

impl LogConfig {
    fn from_layers(layers: &Layers) -> Self {
        let flush = match layers.text("log.flush").as_str() {
            "always" => Flush::Always,
            _ => Flush::IntervalMs(layers.number("log.flush_interval_ms")),
        };
        Self {
            segment_bytes: layers.number("log.segment_bytes"),
            segment_ms: layers.number("log.segment_ms"),
            flush,
            retention_ms: layers.optional_number("log.retention_ms"),
            retention_bytes: layers.optional_number("log.retention_bytes"),
            disk_reserve_bytes: layers.number("log.disk_reserve_bytes"),
            batch_bytes_max: layers.size("log.batch_bytes_max"),
            append_inflight_bytes_max: layers.size("log.append_inflight_bytes_max"),
            tail_bytes_max: layers.size("log.tail_bytes_max"),
            partitions_max: layers.size("log.partitions_max"),
            producer_expiration_ms: layers.number("log.producer_expiration_ms"),
            producers_max: layers.size("log.producers_max"),
            transaction_timeout_ms_max: layers.number("log.transaction_timeout_ms_max"),
            transactional_id_expiration_ms: layers.number("log.transactional_id_expiration_ms"),
            transactional_ids_max: layers.size("log.transactional_ids_max"),
            auto_create_topics: layers.flag("log.auto_create_topics"),
            default_partitions: layers.small("log.default_partitions"),
        }
    }
}

impl CollectConfig {
    fn from_layers(layers: &Layers) -> Self {
        Self {
            events_partitions: layers.small("collect.events_partitions"),
            dedup_window_hours: layers.number("collect.dedup_window_hours"),
            dedup_ids_max: layers.size("collect.dedup_ids_max"),
            write_keys: layers.write_keys("collect.write_keys"),
            inflight_bytes_max: layers.size("collect.inflight_bytes_max"),
            trust_forwarded_for: layers.flag("collect.trust_forwarded_for"),
        }
    }
}

impl LakeConfig {
    fn from_layers(layers: &Layers) -> Self {
        Self {
            commit_bytes: layers.size("lake.commit_bytes"),
            commit_interval_ms: layers.number("lake.commit_interval_ms"),
            tail_bytes_max: layers.size("lake.tail_bytes_max"),
            compaction_target_bytes: layers.number("lake.compaction_target_bytes"),
            compaction_files_min: layers.size("lake.compaction_files_min"),
            maintenance_interval_ms: layers.number("lake.maintenance_interval_ms"),
            vacuum_retention_hours: layers.number("lake.vacuum_retention_hours"),
            log_retention_hours: layers.number("lake.log_retention_hours"),
            checkpoint_commits: layers.number("lake.checkpoint_commits"),
        }
    }
}

impl ProcessConfig {
    fn from_layers(layers: &Layers) -> Self {
        Self {
            tick_rows_max: layers.size("process.tick_rows_max"),
            tick_budget_ms: layers.number("process.tick_budget_ms"),
            state_memory_bytes: layers.size("process.state_memory_bytes"),
            state_ttl_ms: layers.optional_number("process.state_ttl_ms"),
            view_memory_bytes: layers.size("process.view_memory_bytes"),
            retry_backoff_ms_min: layers.number("process.retry_backoff_ms_min"),
            retry_backoff_ms_max: layers.number("process.retry_backoff_ms_max"),
            retry_attempts_max: layers.small("process.retry_attempts_max"),
        }
    }
}

impl SqlConfig {
    fn from_layers(layers: &Layers) -> Self {
        let dialect = match layers.text("sql.dialect").as_str() {
            "flink" => SqlDialect::Flink,
            _ => SqlDialect::Postgres,
        };
        Self {
            dialect,
            memory_bytes: layers.size("sql.memory_bytes"),
            queries_max: layers.size("sql.queries_max"),
            result_rows_max: layers.size("sql.result_rows_max"),
            result_bytes_max: layers.size("sql.result_bytes_max"),
            statement_timeout_ms: layers.number("sql.statement_timeout_ms"),
        }
    }
}

#[cfg(test)]
mod tests;
