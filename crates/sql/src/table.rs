//! A table as its `CREATE TABLE` says it is.
//!
//! Guarantees: a definition that was built has unique columns, a known connector, known options,
//! and keys and partition columns that exist.
//! Left out: the data, and where a topic or a lake table lives.

use crate::{Connector, Dialect, Format, TopicTable, did_you_mean, types};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// What a table's name stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDefinition {
    /// As it is looked up.
    pub name: String,
    /// The lake's folder of its rows, where they are in the lake: its first name, numbered where
    /// that was taken.
    pub folder: String,
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
    /// Digits of a second, where the type is a time that names them.
    pub digits: Option<u8>,
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
        /// `partition`, `offset`, `timestamp`, `headers` or `topic`.
        key: String,
        /// `VIRTUAL`: nothing is written to it.
        read_only: bool,
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

    /// The columns that are written, in order: neither computed nor `VIRTUAL`.
    pub fn written(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| match &column.kind {
            ColumnKind::Physical => true,
            ColumnKind::Computed(_) => false,
            ColumnKind::Metadata { read_only, .. } => !read_only,
        })
    }

    /// The columns that are written, as a schema.
    pub fn written_schema(&self) -> SchemaRef {
        let field =
            |column: &Column| Field::new(&column.name, column.data_type.clone(), column.nullable);
        Arc::new(Schema::new(self.written().map(field).collect::<Vec<_>>()))
    }

    /// The columns a record's key is made of, in order; none where records have no keys.
    pub fn record_key(&self) -> &[String] {
        match &self.connector {
            Connector::Topic(topic) if topic.upserts => &self.primary_key,
            Connector::Topic(topic) => topic.key.as_ref().map_or(&[], |key| &key.fields),
            _ => &[],
        }
    }

    /// The columns a record's value is made of, in order.
    pub fn record_value(&self) -> impl Iterator<Item = &Column> {
        let except: &[String] = match self.topic().and_then(|topic| topic.key.as_ref()) {
            Some(key) if !key.in_value => self.record_key(),
            _ => &[],
        };
        let physical = self.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
        physical.filter(|column| !except.contains(&column.name))
    }

    /// The topic this table stands for, if it does for one.
    pub fn topic(&self) -> Option<&TopicTable> {
        match &self.connector {
            Connector::Topic(topic) => Some(topic),
            _ => None,
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
        if let Connector::Topic(topic) = &self.connector {
            self.check_key(topic)?;
        }
        match &self.connector {
            connector if connector.format() == Some(&Format::Raw) => {
                let types: Vec<_> = self.record_value().map(|column| &column.data_type).collect();
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
            _ => Ok(()),
        }
    }
}

impl TableDefinition {
    /// What does not hold of the key of a topic's records.
    fn check_key(&self, topic: &TopicTable) -> Result<(), String> {
        if topic.upserts && self.primary_key.is_empty() {
            return Err("an 'upsert-kafka' table needs a PRIMARY KEY (…) NOT ENFORCED".into());
        }
        let mut types = Vec::new();
        for name in self.record_key() {
            let physical = self.columns.iter().filter(|one| one.kind == ColumnKind::Physical);
            let names: Vec<&str> = physical.clone().map(|one| &*one.name).collect();
            let found = physical.clone().find(|one| one.name == *name);
            types.push(&found.ok_or_else(|| missing(name, &names))?.data_type);
        }
        let Some(key) = &topic.key else { return Ok(()) };
        if let Some(name) = self.record_key().iter().find(|name| !name.starts_with(&key.prefix)) {
            let prefix = &key.prefix;
            return Err(format!("the key's column {name:?} does not begin with {prefix:?}"));
        }
        match (&key.format, &types[..]) {
            (Format::Raw, [DataType::Utf8 | DataType::Binary]) => Ok(()),
            (Format::Raw, _) => Err(
                "'key.format' = 'raw' needs a key of exactly one column, of type STRING or BYTES"
                    .into(),
            ),
            _ => Ok(()),
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
