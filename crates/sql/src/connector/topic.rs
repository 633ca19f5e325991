//! `'connector' = 'kafka'` and `'upsert-kafka'`.

use super::options::Options;
use super::{Format, JsonEncoding};
use crate::{SqlError, did_you_mean};

/// How a topic is read and written as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTable {
    /// The topic's name.
    pub topic: String,
    /// How a record's value is read and written.
    pub format: Format,
    /// How a value is written where it is JSON.
    pub json: JsonEncoding,
    /// What a record's key is made of, where it has one.
    pub key: Option<TopicKey>,
    /// Records of one key replace each other, and one without a value takes the row away.
    pub upserts: bool,
    /// Where a pipeline without a checkpoint starts.
    pub startup: StartupMode,
    /// The lake table of events that keeps what retention takes from the topic: a pipeline that
    /// wants the beginning reads it there.
    pub history: Option<String>,
    /// How rows are written.
    pub writing: TopicWriting,
}

/// What a record's key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicKey {
    /// How it is written.
    pub format: Format,
    /// How it is written where it is JSON.
    pub json: JsonEncoding,
    /// `key.fields`: the columns. Of a table that upserts those of its primary key, and none here.
    pub fields: Vec<String>,
    /// `key.fields-prefix`: what the columns' names begin with and the key's fields' do not.
    pub prefix: String,
    /// `value.fields-include`: whether the value has these columns too.
    pub in_value: bool,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicWriting {
    /// `sink.delivery-guarantee`.
    pub delivery: Delivery,
    /// `sink.partitioner`.
    pub partitioner: Partitioner,
    /// `sink.transactional-id-prefix`.
    pub transactional_id_prefix: Option<String>,
}

/// How often a row is in the topic whatever fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Once: readers of what is committed see it when its checkpoint is.
    #[default]
    ExactlyOnce,
    /// Once, or again after a failure: readers see it at once.
    AtLeastOnce,
}

/// Which partition a record goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// As Kafka's producers choose: by the key, and without one a batch here, the next there.
    #[default]
    Default,
    /// All to one.
    Fixed,
    /// Each record to the next.
    RoundRobin,
}

/// Where a pipeline without a checkpoint starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartupMode {
    /// The first record kept.
    Earliest,
    /// The end, as it is when the pipeline is first started.
    Latest,
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

const DELIVERIES: [&str; 3] = ["exactly-once", "at-least-once", "none"];
const PARTITIONERS: [&str; 3] = ["default", "fixed", "round-robin"];
/// What scripts for a Kafka cluster say of its clients. The log here is in process, and pipelines
/// keep their own positions.
const CLIENT_PROPERTIES: [&str; 11] = [
    "acks",
    "auto.offset.reset",
    "batch.size",
    "bootstrap.servers",
    "client.id",
    "compression.type",
    "enable.idempotence",
    "group.id",
    "linger.ms",
    "max.request.size",
    "transaction.timeout.ms",
];
const STARTUP_MODES: [&str; 4] = ["earliest-offset", "latest-offset", "timestamp", "group-offsets"];

impl TopicTable {
    pub(super) fn from_options(options: &mut Options<'_>, upserts: bool) -> Result<Self, SqlError> {
        for key in CLIENT_PROPERTIES {
            options.ignore(&format!("properties.{key}"));
        }
        options.ignore("sink.parallelism");
        let connector = if upserts { "upsert-kafka" } else { "kafka" };
        let Some(topic) = options.text("topic").filter(|topic| !topic.is_empty()) else {
            let message = format!("a '{connector}' table needs a 'topic'");
            return Err(options.error("topic", message));
        };
        let format = Format::from_options(options, None)?;
        let json = JsonEncoding::from_options(options, "value.")?;
        let key = TopicKey::from_options(options, upserts)?;
        let writing = TopicWriting::from_options(options)?;
        let (mut history, mut start) = (None, StartupMode::Earliest);
        if upserts {
            // A tick is written with one record a key: there is nothing to wait for.
            options.ignore("sink.buffer-flush.max-rows");
            options.ignore("sink.buffer-flush.interval");
        } else {
            history = options.text("history.table").filter(|table| !table.is_empty());
            start = startup(options)?;
        }
        Ok(Self { topic, format, json, key, upserts, startup: start, history, writing })
    }
}

impl TopicTable {
    /// Why its records cannot be read as this table's rows, if they cannot.
    pub fn unreadable(&self) -> Option<&'static str> {
        self.upserts.then_some("its records replace each other by key")
    }
}

impl TopicKey {
    fn from_options(options: &mut Options<'_>, upserts: bool) -> Result<Option<Self>, SqlError> {
        let format = Format::of_key(options)?;
        let json = JsonEncoding::from_options(options, "key.")?;
        let mut fields = Vec::new();
        if !upserts && let Some(text) = options.text("key.fields") {
            fields = text.split(';').map(str::trim).map(str::to_string).collect();
            fields.retain(|field| !field.is_empty());
        }
        let prefix = options.text("key.fields-prefix").unwrap_or_default();
        let included = options.text("value.fields-include");
        let in_value = match included.as_deref() {
            None | Some("ALL") => true,
            Some("EXCEPT_KEY") => false,
            Some(other) => {
                let message = format!("\"value.fields-include\" is {other:?}");
                let error = options.error("value.fields-include", message);
                return Err(error.hint("ALL or EXCEPT_KEY"));
            }
        };
        let place = |key| move |message: &str| options.error(key, message);
        match &format {
            None if upserts => {
                Err(place("connector")("an 'upsert-kafka' table needs a 'key.format'")
                    .hint("'key.format' = 'json', 'csv' or 'raw'"))
            }
            None if !fields.is_empty() => {
                Err(place("key.fields")("'key.fields' needs a 'key.format'")
                    .hint("'key.format' = 'json', 'csv' or 'raw'"))
            }
            Some(_) if !upserts && fields.is_empty() => {
                Err(place("key.format")("'key.format' needs 'key.fields'")
                    .hint("'key.fields' = 'column;column'"))
            }
            _ if !prefix.is_empty() && in_value => {
                let message = "a prefix of the key's fields is for values without them";
                Err(place("key.fields-prefix")(message)
                    .hint("'value.fields-include' = 'EXCEPT_KEY'"))
            }
            None if !in_value => {
                let message = "there is no key to leave out of the value";
                Err(place("value.fields-include")(message).hint("'key.fields' and 'key.format'"))
            }
            None => Ok(None),
            Some(format) => {
                Ok(Some(Self { format: format.clone(), json, fields, prefix, in_value }))
            }
        }
    }
}

impl TopicWriting {
    fn from_options(options: &mut Options<'_>) -> Result<Self, SqlError> {
        const DELIVERY: &str = "sink.delivery-guarantee";
        const PARTITIONER: &str = "sink.partitioner";
        let delivery = match options.text(DELIVERY).as_deref() {
            None | Some("exactly-once") => Delivery::ExactlyOnce,
            // What may be lost elsewhere is not lost here.
            Some("at-least-once" | "none") => Delivery::AtLeastOnce,
            Some(other) => {
                let message = format!("there is no delivery guarantee {other:?}");
                let hint = did_you_mean(other, DELIVERIES);
                return Err(options.error(DELIVERY, message).maybe_hint(hint));
            }
        };
        let partitioner = match options.text(PARTITIONER).as_deref() {
            None | Some("default") => Partitioner::Default,
            Some("fixed") => Partitioner::Fixed,
            Some("round-robin") => Partitioner::RoundRobin,
            Some(other) => {
                let message = format!("there is no partitioner {other:?}");
                let hint = did_you_mean(other, PARTITIONERS)
                    .unwrap_or_else(|| "default, fixed or round-robin".into());
                return Err(options.error(PARTITIONER, message).hint(hint));
            }
        };
        let prefix = options.text("sink.transactional-id-prefix");
        let transactional_id_prefix = prefix.filter(|prefix| !prefix.is_empty());
        Ok(Self { delivery, partitioner, transactional_id_prefix })
    }
}

fn startup(options: &mut Options<'_>) -> Result<StartupMode, SqlError> {
    const MODE: &str = "scan.startup.mode";
    const TIME: &str = "scan.startup.timestamp-millis";
    let time = options.text(TIME).map(|millis| millis.parse());
    match options.text(MODE).as_deref().unwrap_or("earliest-offset") {
        // We keep our own positions; a consumer group's play no part in a pipeline.
        "earliest-offset" | "group-offsets" => Ok(StartupMode::Earliest),
        "latest-offset" => Ok(StartupMode::Latest),
        "timestamp" => match time {
            Some(Ok(millis)) => Ok(StartupMode::Timestamp(millis)),
            _ => Err(options.error(
                MODE,
                format!("start-up mode \"timestamp\" needs {TIME:?}, milliseconds since 1970"),
            )),
        },
        other => {
            let message = format!("there is no start-up mode {other:?}");
            Err(options.error(MODE, message).maybe_hint(did_you_mean(other, STARTUP_MODES)))
        }
    }
}
