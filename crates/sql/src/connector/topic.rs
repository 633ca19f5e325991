//! `'connector' = 'kafka'`.

use super::Format;
use super::options::Options;
use crate::{SqlError, did_you_mean};

/// How a topic is read as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTable {
    /// The topic's name.
    pub topic: String,
    /// How a record's value is read.
    pub format: Format,
    /// Where a pipeline without a checkpoint starts.
    pub startup: StartupMode,
    /// The lake table of events that keeps what retention takes from the topic: a pipeline that
    /// wants the beginning reads it there.
    pub history: Option<String>,
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

const STARTUP_MODES: [&str; 4] = ["earliest-offset", "latest-offset", "timestamp", "group-offsets"];

impl TopicTable {
    pub(super) fn from_options(options: &mut Options<'_>) -> Result<Self, SqlError> {
        // A script for a Kafka cluster names these; the log here is in process, and pipelines keep
        // their own positions.
        for key in ["bootstrap.servers", "group.id", "auto.offset.reset"] {
            options.ignore(&format!("properties.{key}"));
        }
        let Some(topic) = options.text("topic").filter(|topic| !topic.is_empty()) else {
            return Err(options.error("topic", "a 'kafka' table needs a 'topic'"));
        };
        let format = Format::from_options(options, None)?;
        let history = options.text("history.table").filter(|table| !table.is_empty());
        Ok(Self { topic, format, startup: startup(options)?, history })
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
