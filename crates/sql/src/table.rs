//! A table as its `CREATE TABLE` says it is.
//!
//! Guarantees: a definition that was built has unique columns, a known connector, known options,
//! and keys and partition columns that exist.
//! Left out: the data, and where a topic or a lake table lives.

use crate::{Dialect, SqlError, did_you_mean, types};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// What a table's name stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDefinition {
    /// As it is looked up.
    pub name: String,
    /// In order.
    pub columns: Vec<Column>,
    /// `PRIMARY KEY (…) NOT ENFORCED`; empty when there is none.
    pub primary_key: Vec<String>,
    /// `WATERMARK FOR`, if any.
    pub watermark: Option<Watermark>,
    /// `PARTITIONED BY (…)`; empty when there is none.
    pub partitioned_by: Vec<String>,
    /// `WITH (…)`, all of it.
    pub options: BTreeMap<String, String>,
    /// `COMMENT`, if any.
    pub comment: Option<String>,
    /// What the options come to.
    pub connector: Connector,
    /// How the statement was meant.
    pub dialect: Dialect,
    /// The `CREATE TABLE` statement as written.
    pub sql: String,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// As it is looked up.
    pub name: String,
    /// Its type; for a computed column `Null` until it is planned.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
    /// `COMMENT`, if any.
    pub comment: Option<String>,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// The data itself.
    Physical,
    /// `AS expression`, as written.
    Computed(String),
    /// `METADATA FROM 'key'`: the record rather than its value.
    Metadata {
        /// `partition`, `offset`, `timestamp` or `topic`.
        key: String,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The event-time column.
    pub column: String,
    /// As written.
    pub expression: String,
}

/// Where a table's rows are.
#[derive(Debug, Clone, PartialEq)]
pub enum Connector {
    /// A topic of the log.
    Topic(TopicTable),
    /// A table of the lake.
    Lake,
}

/// How a topic is read as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTable {
    /// The topic's name.
    pub topic: String,
    /// How a record's value is read.
    pub format: Format,
    /// Where a pipeline without a checkpoint starts.
    pub startup: StartupMode,
}

/// How a record's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a record.
    Json,
    /// The whole value as the table's only physical column.
    Raw,
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

impl TableDefinition {
    /// The columns in order, without the hidden ones. Computed columns are left out.
    pub fn schema(&self) -> SchemaRef {
        let fields = self
            .columns
            .iter()
            .filter(|column| !column.is_computed())
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The topic this table reads, if it is one.
    pub fn topic(&self) -> Option<&TopicTable> {
        match &self.connector {
            Connector::Topic(topic) => Some(topic),
            Connector::Lake => None,
        }
    }

    /// Whether rows live in the lake.
    pub fn is_lake(&self) -> bool {
        self.connector == Connector::Lake
    }

    /// One line for each column: name, type, `true` where it may be null, comment.
    pub fn describe(&self) -> Vec<(String, String, bool, String)> {
        let line = |column: &Column| {
            let name = match &column.kind {
                ColumnKind::Computed(expression) => format!("AS {expression}"),
                _ => types::type_name(&column.data_type),
            };
            (column.name.clone(), name, column.nullable, column.comment.clone().unwrap_or_default())
        };
        self.columns.iter().map(line).collect()
    }

    /// What does not hold between the parts, or nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        for hidden in [PARTITION_COLUMN, OFFSET_COLUMN] {
            if names.contains(&hidden) {
                return Err(format!("column {hidden:?} is ours: every table has it, hidden"));
            }
        }
        for column in self.primary_key.iter().chain(&self.partitioned_by) {
            if !names.contains(&&**column) {
                return Err(missing(column, &names));
            }
        }
        if let Some(watermark) = &self.watermark {
            let root = watermark.column.split('.').next().unwrap_or_default();
            if !names.contains(&root) {
                return Err(missing(root, &names));
            }
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("column {:?} is there twice", pair[0])),
            None => self.check_connector(),
        }
    }

    fn check_connector(&self) -> Result<(), String> {
        let physical = self.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
        match &self.connector {
            Connector::Topic(topic) if topic.format == Format::Raw => {
                let types: Vec<_> = physical.map(|column| &column.data_type).collect();
                match types[..] {
                    [DataType::Utf8 | DataType::Binary] => Ok(()),
                    _ => {
                        Err("format 'raw' needs exactly one column, of type STRING or BYTES".into())
                    }
                }
            }
            Connector::Lake => {
                match self.columns.iter().find(|column| column.kind != ColumnKind::Physical) {
                    Some(column) => Err(format!(
                        "column {:?} is computed, and a lake table holds what is written to it",
                        column.name
                    )),
                    None => Ok(()),
                }
            }
            Connector::Topic(_) => Ok(()),
        }
    }
}

impl Column {
    /// Whether it is computed from the others.
    pub fn is_computed(&self) -> bool {
        matches!(self.kind, ColumnKind::Computed(_))
    }
}

fn missing(column: &str, names: &[&str]) -> String {
    match did_you_mean(column, names.iter().copied()) {
        Some(hint) => format!("column {column:?} does not exist, {hint}"),
        None => format!("column {column:?} does not exist"),
    }
}

const CONNECTORS: [&str; 2] = ["kafka", "delta"];
const TOPIC_OPTIONS: [&str; 12] = [
    "connector",
    "topic",
    "format",
    "value.format",
    "scan.startup.mode",
    "scan.startup.timestamp-millis",
    "json.timestamp-format.standard",
    "json.fail-on-missing-field",
    "json.ignore-parse-errors",
    "properties.bootstrap.servers",
    "properties.group.id",
    "properties.auto.offset.reset",
];
const STARTUP_MODES: [&str; 4] = ["earliest-offset", "latest-offset", "timestamp", "group-offsets"];

impl Connector {
    /// What `WITH (…)` says. `option` finds the place of a key for an error.
    pub(crate) fn from_options(
        options: &BTreeMap<String, String>,
        error: impl Fn(&str, String) -> SqlError,
    ) -> Result<Self, SqlError> {
        let Some(connector) = options.get("connector") else {
            return Err(error("", "the table names no 'connector'".into()).hint(
                "WITH ('connector' = 'kafka', 'topic' = '…') or WITH ('connector' = 'delta')",
            ));
        };
        match connector.as_str() {
            "delta" => {
                known(options, &["connector"], &error)?;
                Ok(Self::Lake)
            }
            "kafka" => {
                known(options, &TOPIC_OPTIONS, &error)?;
                TopicTable::from_options(options, error).map(Self::Topic)
            }
            other => Err(error("connector", format!("there is no connector {other:?}"))
                .maybe_hint(
                    did_you_mean(other, CONNECTORS).or_else(|| Some("kafka or delta".into())),
                )),
        }
    }
}

fn known(
    options: &BTreeMap<String, String>,
    names: &[&str],
    error: impl Fn(&str, String) -> SqlError,
) -> Result<(), SqlError> {
    match options.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(error(key, format!("there is no option {key:?}"))
            .maybe_hint(did_you_mean(key, names.iter().copied()))),
        None => Ok(()),
    }
}

impl TopicTable {
    fn from_options(
        options: &BTreeMap<String, String>,
        error: impl Fn(&str, String) -> SqlError,
    ) -> Result<Self, SqlError> {
        let Some(topic) = options.get("topic").filter(|topic| !topic.is_empty()) else {
            return Err(error("topic", "a 'kafka' table needs a 'topic'".into()));
        };
        let format = options.get("format").or_else(|| options.get("value.format"));
        let format = match format.map(String::as_str) {
            Some("json") => Format::Json,
            Some("raw") => Format::Raw,
            Some(other) => {
                return Err(
                    error("format", format!("there is no format {other:?}")).hint("json or raw")
                );
            }
            None => {
                return Err(error("format", "a 'kafka' table needs a 'format'".into())
                    .hint("'format' = 'json' or 'format' = 'raw'"));
            }
        };
        let startup = startup(options, error)?;
        Ok(Self { topic: topic.clone(), format, startup })
    }
}

fn startup(
    options: &BTreeMap<String, String>,
    error: impl Fn(&str, String) -> SqlError,
) -> Result<StartupMode, SqlError> {
    const MODE: &str = "scan.startup.mode";
    const TIME: &str = "scan.startup.timestamp-millis";
    match options.get(MODE).map_or("earliest-offset", String::as_str) {
        // We keep our own positions; a consumer group's play no part in a pipeline.
        "earliest-offset" | "group-offsets" => Ok(StartupMode::Earliest),
        "latest-offset" => Ok(StartupMode::Latest),
        "timestamp" => match options.get(TIME).map(|millis| millis.parse()) {
            Some(Ok(millis)) => Ok(StartupMode::Timestamp(millis)),
            _ => Err(error(
                MODE,
                format!("start-up mode \"timestamp\" needs {TIME:?}, milliseconds since 1970"),
            )),
        },
        other => Err(error(MODE, format!("there is no start-up mode {other:?}"))
            .maybe_hint(did_you_mean(other, STARTUP_MODES))),
    }
}
