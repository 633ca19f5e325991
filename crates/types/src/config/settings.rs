//! The table of settings.
//!
//! Guarantees: a setting's name, default, range and explanation stand here and nowhere else; the
//! tests read every default through its own kind, so a default out of range cannot be.
//! Left out: reading (`layers`), printing (`docs`), and what is accepted in words (`expected`).

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `section.name`.
    pub key: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Its default, as it would be written after `key=` on the command line.
    pub default: &'static str,
    /// What it does and why its bound is what it is, in sentences for the person running a store.
    pub doc: &'static str,
}

/// What a setting accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `host:port`.
    Address,
    /// A size between `min` and `max` bytes.
    Bytes {
        /// The smallest accepted.
        min: u64,
        /// The largest accepted.
        max: u64,
    },
    /// A time between `min` and `max` milliseconds.
    Milliseconds {
        /// The shortest accepted.
        min: u64,
        /// The longest accepted.
        max: u64,
    },
    /// A time between `min` and `max` whole hours.
    Hours {
        /// The shortest accepted.
        min: u64,
        /// The longest accepted.
        max: u64,
    },
    /// A whole number between `min` and `max`.
    Count {
        /// The smallest accepted.
        min: u64,
        /// The largest accepted.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of [`super::WriteKey`]s.
    WriteKeys,
    /// `"none"`, or what is inside.
    OrNone(&'static Kind),
}

/// The sections, in the order they are documented, each with what it is about.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("server", "The ports, and what a connection may cost."),
    ("log", "Topics on disk: durability, retention, and what is kept in memory."),
    ("collect", "The tracking API: who may send, and how repeated events are known."),
    ("lake", "Delta tables: when rows are committed, and how tables are looked after."),
    ("process", "Pipelines: how much work a tick takes on, and what a failure leads to."),
    ("sql", "Queries: their dialect and their bounds."),
    ("demo", "What is there to be looked at, and not on a shop's own server."),
];

/// A mebibyte, for bounds.
const MIB: u64 = 1 << 20;
/// A gibibyte, for bounds.
const GIB: u64 = 1 << 30;
/// A tebibyte, for bounds.
const TIB: u64 = 1 << 40;
/// A second in milliseconds, for bounds.
const SECOND: u64 = 1_000;
/// An hour in milliseconds, for bounds.
const HOUR: u64 = 3_600 * SECOND;
/// A day in milliseconds, for bounds.
const DAY: u64 = 24 * HOUR;

const CONNECTIONS: Kind = Kind::Count { min: 1, max: 1_000_000 };
const TIMEOUT: Kind = Kind::Milliseconds { min: 10, max: HOUR };
const MEMORY: Kind = Kind::Bytes { min: MIB, max: TIB };
const PARTITIONS: Kind = Kind::Count { min: 1, max: 10_000 };

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting { key, kind, default, doc }
}

/// Every setting, by section.
pub const SETTINGS: &[Setting] = &[
    setting(
        "server.http_listen",
        Kind::Address,
        "127.0.0.1:8080",
        "Where HTTP is served: tracking, queries, metrics. Port 0 picks a free one.",
    ),
    setting(
        "server.http_connections_max",
        CONNECTIONS,
        "20000",
        "HTTP connections at once; more are closed as they come. Twice what one address is seen to open \
         in an attack, so that others still get in.",
    ),
    setting(
        "server.http_header_timeout_ms",
        TIMEOUT,
        "10 s",
        "How long a request's head may take to arrive.",
    ),
    setting(
        "server.http_body_timeout_ms",
        TIMEOUT,
        "30 s",
        "How long a request's body may take to arrive, and its answer to be taken.",
    ),
    setting(
        "server.http_idle_timeout_ms",
        TIMEOUT,
        "75 s",
        "How long a connection may be silent between requests; a little more than the minute most \
         load balancers wait.",
    ),
    setting(
        "server.http_header_bytes_max",
        Kind::Bytes { min: 8 << 10, max: MIB },
        "16 KiB",
        "The longest request head.",
    ),
    setting(
        "server.kafka_listen",
        Kind::Address,
        "127.0.0.1:9092",
        "Where the Kafka protocol is served. Port 0 picks a free one.",
    ),
    setting(
        "server.kafka_advertised",
        Kind::OrNone(&Kind::Address),
        "none",
        "The address Kafka clients are told to come back to, when it is not the one listened on.",
    ),
    setting(
        "server.kafka_connections_max",
        CONNECTIONS,
        "20000",
        "Kafka connections at once; more are closed as they come.",
    ),
    setting(
        "server.kafka_connections_per_address_max",
        CONNECTIONS,
        "12000",
        "Kafka connections of one address at once, so that one cannot take them all.",
    ),
    setting(
        "server.kafka_produce_bytes_max",
        Kind::Bytes { min: 64 << 10, max: GIB },
        "100 MiB",
        "The largest produce request, as in Kafka. A client that announces more is disconnected before \
         anything is read.",
    ),
    setting(
        "server.kafka_inflight_bytes_max",
        MEMORY,
        "128 MiB",
        "Kafka requests of all connections together that are being received or worked on, and as much \
         again for answers; further ones wait unread.",
    ),
    setting(
        "server.kafka_fetch_bytes_max",
        Kind::Bytes { min: 64 << 10, max: GIB },
        "4 MiB",
        "The largest answer to one fetch, whatever the client asks for; one batch may exceed it.",
    ),
    setting(
        "server.kafka_request_timeout_ms",
        TIMEOUT,
        "30 s",
        "How far a Kafka client may fall behind 64 KiB/s while it sends a request or takes an answer \
         before it is disconnected. One that moves nothing is disconnected after this time; while others wait for the memory, after 1 s.",
    ),
    setting(
        "server.kafka_idle_timeout_ms",
        Kind::Milliseconds { min: SECOND, max: DAY },
        "10 min",
        "How long a Kafka connection may be silent between requests.",
    ),
    setting(
        "server.kafka_group_rebalance_delay_ms",
        Kind::Milliseconds { min: 0, max: HOUR },
        "3 s",
        "How long a consumer group without members waits for others when the first one joins, and again after each that comes. Groups that never had more than one member wait a tenth of it.",
    ),
    setting(
        "server.kafka_group_session_timeout_ms_min",
        Kind::Milliseconds { min: SECOND, max: 30 * 60 * SECOND },
        "6 s",
        "The shortest session timeout a member of a consumer group may ask for.",
    ),
    setting(
        "server.kafka_offsets_retention_ms",
        Kind::Milliseconds { min: 60 * SECOND, max: 3_650 * DAY },
        "7 d",
        "How long the offsets of a consumer group without members are kept.",
    ),
    setting(
        "server.kafka_quota_produce_bytes_per_second",
        QUOTA,
        "none",
        "Bytes of produce requests a second that a Kafka client, by its client id, may send in the \
         long run. One that sends more is told how long it has to wait, and not read from meanwhile.",
    ),
    setting(
        "server.kafka_quota_fetch_bytes_per_second",
        QUOTA,
        "none",
        "The same for the bytes it fetches.",
    ),
    setting(
        "server.kafka_quota_requests_per_second",
        Kind::OrNone(&Kind::Count { min: 1, max: 1_000_000_000 }),
        "none",
        "The same for its requests of any kind.",
    ),
    setting(
        "server.shutdown_timeout_ms",
        TIMEOUT,
        "10 s",
        "How long requests under way may take once a stop was asked for.",
    ),
    setting(
        "log.segment_bytes",
        Kind::Bytes { min: 64 << 10, max: GIB },
        "256 MiB",
        "A segment file is closed at this size. Retention removes whole segments, and recovery \
         reads the last one.",
    ),
    setting(
        "log.segment_ms",
        Kind::Milliseconds { min: SECOND, max: 3_650 * DAY },
        "7 d",
        "A segment file is closed this long after its first record, so that retention can reach it.",
    ),
    setting(
        "log.flush",
        Kind::OneOf(&["always", "interval"]),
        "always",
        "`always`: written records are made durable as soon as the disk is free. `interval`: at most once \
         per `flush_interval_ms`; senders wait for it. Either way a record is durable before its sender \
         hears so and before anybody reads it.",
    ),
    setting(
        "log.flush_interval_ms",
        Kind::Milliseconds { min: 1, max: HOUR },
        "100 ms",
        "The interval of `flush = \"interval\"`.",
    ),
    setting(
        "log.retention_ms",
        Kind::OrNone(&Kind::Milliseconds { min: SECOND, max: 36_500 * DAY }),
        "7 d",
        "How long records are kept in topics that do not say otherwise. What a pipeline has yet to \
         read is kept longer.",
    ),
    setting(
        "log.retention_bytes",
        Kind::OrNone(&Kind::Bytes { min: MIB, max: 1024 * TIB }),
        "none",
        "How much of each partition is kept in topics that do not say otherwise.",
    ),
    setting(
        "log.disk_reserve_bytes",
        Kind::Bytes { min: 0, max: 1024 * TIB },
        "1 GiB",
        "Bytes of the file system that stay free. Appends are refused before, so that commits, \
         compaction and the operator still have room.",
    ),
    setting(
        "log.batch_bytes_max",
        Kind::Bytes { min: 64 << 10, max: 256 * MIB },
        "4 MiB",
        "The largest record batch.",
    ),
    setting(
        "log.append_inflight_bytes_max",
        MEMORY,
        "64 MiB",
        "Appends of all partitions together that wait for the disk; beyond, senders are told to \
         come back.",
    ),
    setting(
        "log.tail_bytes_max",
        MEMORY,
        "16 MiB",
        "Recent records of all partitions together that are kept in memory for readers.",
    ),
    setting(
        "log.partitions_max",
        Kind::Count { min: 1, max: 100_000 },
        "2000",
        "Partitions of all topics together: each costs open files and time at start.",
    ),
    setting(
        "log.producer_expiration_ms",
        Kind::Milliseconds { min: 60 * SECOND, max: 365 * DAY },
        "1 d",
        "How long a producer that numbers its batches is remembered after its last one, so that \
         none of them is stored twice. Kafka's `producer.id.expiration.ms`.",
    ),
    setting(
        "log.producers_max",
        Kind::Count { min: 100, max: 10_000_000 },
        "200000",
        "Producers that are remembered, over all partitions: 250 bytes each, and no more than \
         10,000 in one. Beyond, those go that were silent longest.",
    ),
    setting(
        "log.transaction_timeout_ms_max",
        Kind::Milliseconds { min: SECOND, max: DAY },
        "15 min",
        "The longest a transaction may be open; its records, and what comes after them in their \
         partitions, are not read before it ends. Kafka's `transaction.max.timeout.ms`.",
    ),
    setting(
        "log.transactional_id_expiration_ms",
        Kind::Milliseconds { min: HOUR, max: 365 * DAY },
        "7 d",
        "How long a transactional id is remembered after its last transaction. Kafka's \
         `transactional.id.expiration.ms`.",
    ),
    setting(
        "log.transactional_ids_max",
        Kind::Count { min: 1, max: 10_000_000 },
        "100000",
        "Transactional ids that are remembered. One more is refused.",
    ),
    setting(
        "log.auto_create_topics",
        Kind::Flag,
        "true",
        "Whether a topic is made when a Kafka client names one that is not there.",
    ),
    setting(
        "log.default_partitions",
        PARTITIONS,
        "1",
        "Partitions of a topic that is made because a client named it.",
    ),
    setting(
        "collect.events_partitions",
        PARTITIONS,
        "4",
        "Partitions of the topic `events`, when it is first made. It cannot change later: a \
         visitor's events stay in one partition, in order.",
    ),
    setting(
        "collect.dedup_window_hours",
        Kind::Hours { min: 1, max: 24 * 31 },
        "24",
        "How long an event's id is remembered, so that a repetition is not taken twice.",
    ),
    setting(
        "collect.dedup_ids_max",
        Kind::Count { min: 1_000, max: 10_000_000_000 },
        "16000000",
        "How many ids are remembered; beyond, the oldest are forgotten early and counted. An \
         older id costs 2 bytes of memory and 24 of disk.",
    ),
    setting(
        "collect.write_keys",
        Kind::WriteKeys,
        "[{ key = \"demo\", store_id = \"default\", source = \"web\" }]",
        "Who may send events. An event belongs to the `store_id` of the key it came with \
         (\"default\" when left out), and its `source` (\"web\" when left out) is part of its \
         identity; with a `bearer_token`, senders must show that too. Replace the key `demo` before the port is reachable by others.",
    ),
    setting(
        "collect.inflight_bytes_max",
        MEMORY,
        "64 MiB",
        "Request bodies being received or worked on, unpacked, all together; beyond, senders are \
         told to come back.",
    ),
    setting(
        "collect.trust_forwarded_for",
        Kind::Flag,
        "false",
        "Whether the client's address is the first one in `X-Forwarded-For`: only behind a proxy that \
         sets it.",
    ),
    setting(
        "lake.commit_bytes",
        MEMORY,
        "64 MB",
        "A pipeline commits its table when this much is due. Queries see rows before that.",
    ),
    setting(
        "lake.commit_interval_ms",
        Kind::Milliseconds { min: 100, max: DAY },
        "60 s",
        "A pipeline commits its table when its oldest uncommitted row is this old.",
    ),
    setting(
        "lake.tail_bytes_max",
        MEMORY,
        "512 MB",
        "Rows of all tables in memory that no commit holds yet. When it is full, pipelines wait.",
    ),
    setting(
        "lake.compaction_target_bytes",
        Kind::Bytes { min: MIB, max: 16 * GIB },
        "64 MiB",
        "Small files are rewritten into files of about this size.",
    ),
    setting(
        "lake.compaction_files_min",
        Kind::Count { min: 2, max: 100_000 },
        "8",
        "A lake partition is compacted when it has this many small files.",
    ),
    setting(
        "lake.maintenance_interval_ms",
        Kind::Milliseconds { min: SECOND, max: 7 * DAY },
        "5 min",
        "How often tables are compacted, vacuumed and given a checkpoint where that is due.",
    ),
    setting(
        "lake.vacuum_retention_hours",
        Kind::Hours { min: 1, max: 24 * 3_650 },
        "168",
        "How long files that no longer belong to a table are kept, for readers of older versions.",
    ),
    setting(
        "lake.log_retention_hours",
        Kind::Hours { min: 1, max: 24 * 3_650 },
        "720",
        "How long commits older than a checkpoint stay, which is how far one can travel in time.",
    ),
    setting(
        "lake.checkpoint_commits",
        Kind::Count { min: 1, max: 10_000 },
        "20",
        "A Delta checkpoint is written every so many commits; readers start from it.",
    ),
    setting(
        "process.tick_rows_max",
        Kind::Count { min: 1, max: 10_000_000 },
        "65536",
        "Rows one tick takes in at most. Larger ticks work faster, smaller ones answer sooner.",
    ),
    setting(
        "process.tick_budget_ms",
        Kind::Milliseconds { min: 1, max: 10 * SECOND },
        "20 ms",
        "A tick takes in no further rows after this long.",
    ),
    setting(
        "process.state_memory_bytes",
        Kind::Bytes { min: 4 << 10, max: 1 << 50 },
        "1 GiB",
        "What the groups, windows and joins of all pipelines keep in memory. Past it the shards that \
         have gone longest without rows are kept on disk, where a pipeline goes on more slowly. \
         From half of it on state is divided into shards.",
    ),
    setting(
        "process.state_ttl_ms",
        Kind::OrNone(&Kind::Milliseconds { min: 1, max: 3_650 * DAY }),
        "none",
        "State of groups and joins that no window ends is forgotten when nothing was written to it \
         for so long, as with Flink's `table.exec.state.ttl`: a group begins anew, a row of a join \
         meets nothing that comes. What was given stays. It bounds state at the price of answers \
         that are no longer those over all input; `none` keeps all.",
    ),
    setting(
        "process.view_memory_bytes",
        Kind::Bytes { min: 4 << 10, max: 1 << 50 },
        "2 GiB",
        "What the rows of all materialized views may take in memory, where readers find them. A view \
         that grows beyond stands still, with the reason in `sys.pipelines`.",
    ),
    setting(
        "process.retry_backoff_ms_min",
        Kind::Milliseconds { min: 1, max: HOUR },
        "100 ms",
        "The wait after a pipeline's first failure; it doubles with each further one.",
    ),
    setting(
        "process.retry_backoff_ms_max",
        Kind::Milliseconds { min: 1, max: DAY },
        "30 s",
        "The longest wait between a pipeline's attempts.",
    ),
    setting(
        "process.retry_attempts_max",
        Kind::Count { min: 1, max: 1_000_000 },
        "20",
        "Attempts before a pipeline is paused, with the reason in `sys.pipelines`. At the default \
         waits that is about seven minutes.",
    ),
    setting(
        "sql.dialect",
        Kind::OneOf(&["postgres", "flink"]),
        "postgres",
        "The dialect a connection starts with.",
    ),
    setting(
        "sql.memory_bytes",
        Kind::Bytes { min: 16 * MIB, max: TIB },
        "1 GiB",
        "Memory of all queries together; a query that needs more spills to disk or fails.",
    ),
    setting(
        "sql.queries_max",
        Kind::Count { min: 1, max: 10_000 },
        "32",
        "Queries at once; more are refused.",
    ),
    setting(
        "sql.result_rows_max",
        Kind::Count { min: 1, max: 1_000_000_000 },
        "1000000",
        "Rows of one answer over HTTP; a larger answer is refused with the advice to write LIMIT.",
    ),
    setting("sql.result_bytes_max", MEMORY, "256 MB", "Bytes of one answer over HTTP."),
    setting(
        "sql.statement_timeout_ms",
        Kind::Milliseconds { min: 10, max: 7 * DAY },
        "10 min",
        "How long one statement may run.",
    ),
    setting(
        "demo.shop",
        Kind::Flag,
        "false",
        "Serve the sample shop at /shop, whose orders are events like any other shop's. \
         `tradewind demo` turns it on.",
    ),
];

/// Bytes a second, or no limit.
const QUOTA: Kind = Kind::OrNone(&Kind::Bytes { min: 1 << 10, max: 1 << 40 });

/// Pairs of settings of which the first may not be larger than the second: what has to fit into
/// what.
pub(super) const ORDERED: &[(&str, &str)] = &[
    ("server.kafka_produce_bytes_max", "server.kafka_inflight_bytes_max"),
    ("log.batch_bytes_max", "log.append_inflight_bytes_max"),
    ("lake.commit_bytes", "lake.tail_bytes_max"),
    ("process.retry_backoff_ms_min", "process.retry_backoff_ms_max"),
];

impl Setting {
    /// The environment variable that sets it: `TRADEWIND_LOG_SEGMENT_BYTES`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The setting of that name.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// What the names of our environment variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "TRADEWIND_";
