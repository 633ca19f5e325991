//! `WITH ('connector' = …)`: where a table's rows are.
//!
//! Each file beside this holds one connector's options; their names are Flink's.
//!
//! Guarantees: an option nobody reads is refused, with what was probably meant.
//! Left out: reading and writing, which the engine does.

mod datagen;
mod file;
mod format;
mod options;
mod topic;

pub use datagen::{DatagenField, DatagenKind, DatagenTable};
pub use file::FileTable;
pub use format::{CsvFormat, Format, JsonEncoding, NullKeys};
pub use topic::{Delivery, Partitioner, StartupMode, TopicKey, TopicTable, TopicWriting};

use crate::{SqlError, did_you_mean};
use options::Options;
use std::collections::BTreeMap;

/// Where a table's rows are.
#[derive(Debug, Clone, PartialEq)]
pub enum Connector {
    /// A topic of the log: `kafka`, `upsert-kafka`.
    Topic(Box<TopicTable>),
    /// A table of the lake: `delta`.
    Lake,
    /// Files of a folder: `filesystem`.
    File(FileTable),
    /// A TCP server's lines: `socket`.
    Socket(SocketTable),
    /// Rows made up: `datagen`.
    Datagen(DatagenTable),
    /// Standard output: `print`.
    Print(PrintTable),
    /// Nowhere: `blackhole`.
    Blackhole,
}

/// A TCP server to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketTable {
    /// Its name or address.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// How a line is read.
    pub format: Format,
}

/// How rows are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrintTable {
    /// What stands before each row, if anything.
    pub identifier: Option<String>,
}

/// The connectors' names, as `WITH` has them.
const CONNECTORS: [&str; 8] =
    ["kafka", "upsert-kafka", "delta", "filesystem", "socket", "datagen", "print", "blackhole"];

impl Connector {
    /// What `WITH (…)` says. `error` finds the place of a key for an error.
    pub(crate) fn from_options(
        options: &BTreeMap<String, String>,
        error: impl Fn(&str, String) -> SqlError,
    ) -> Result<Self, SqlError> {
        let error: &dyn Fn(&str, String) -> SqlError = &error;
        let Some(connector) = options.get("connector") else {
            return Err(error("", "the table names no 'connector'".into()).hint(
                "WITH ('connector' = 'kafka', 'topic' = '…') or WITH ('connector' = 'delta')",
            ));
        };
        let mut options = Options::new(options, error);
        match Self::of(connector, &mut options) {
            Ok(made) => options.finish().map(|()| made),
            Err(error) => Err(options.misspelt().unwrap_or(error)),
        }
    }

    fn of(connector: &str, options: &mut Options<'_>) -> Result<Self, SqlError> {
        Ok(match connector {
            "kafka" => Self::Topic(Box::new(TopicTable::from_options(options, false)?)),
            "upsert-kafka" => Self::Topic(Box::new(TopicTable::from_options(options, true)?)),
            "delta" => Self::Lake,
            "filesystem" => FileTable::from_options(options).map(Self::File)?,
            "socket" => Self::Socket(SocketTable {
                hostname: options.text("hostname").unwrap_or_else(|| "localhost".into()),
                port: options.required_number("port")?,
                format: Format::from_options(options, Some("raw"))?,
            }),
            "datagen" => DatagenTable::from_options(options).map(Self::Datagen)?,
            "print" => {
                options.ignore("standard-error");
                Self::Print(PrintTable { identifier: options.text("print-identifier") })
            }
            "blackhole" => Self::Blackhole,
            other => {
                let hint = did_you_mean(other, CONNECTORS)
                    .unwrap_or_else(|| format!("one of {}", CONNECTORS.join(", ")));
                let message = format!("there is no connector {other:?}");
                return Err(options.error("connector", message).hint(hint));
            }
        })
    }

    /// How a record is read, where there are records.
    pub fn format(&self) -> Option<&Format> {
        match self {
            Self::Topic(topic) => Some(&topic.format),
            Self::File(file) => Some(&file.format),
            Self::Socket(socket) => Some(&socket.format),
            Self::Lake | Self::Datagen(_) | Self::Print(_) | Self::Blackhole => None,
        }
    }

    /// Whether a stream can read it.
    pub fn is_source(&self) -> bool {
        !matches!(self, Self::Lake | Self::Print(_) | Self::Blackhole)
    }
}
