//! A planned statement: what the runtime is given.
//!
//! Guarantees: `graph` passes [`Graph::check`]; `OperatorKind::Source(i)` is fed by `sources[i]`,
//! `OperatorKind::Sink(i)` is what `sinks[i]` gets; the same statement over the same catalogue
//! gives the same operators under the same ids.
//! Left out: opening sources and sinks.

use crate::stream::source::{Prefilter, ReadColumn};
use arrow::datatypes::{Fields, Schema, SchemaRef};
use std::sync::Arc;
use tradewind_dataflow::{Graph, Hidden, NodeIndex};
use tradewind_sql::TableDefinition;

/// A query or pipeline, planned.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// What is done with rows, from the sources to the sinks.
    pub graph: Arc<Graph>,
    /// What is read, each table once.
    pub sources: Vec<SourcePlan>,
    /// What is written.
    pub sinks: Vec<SinkPlan>,
    /// Name and type of each column of the query.
    pub columns: Vec<(String, String)>,
    /// The node that keeps a materialized view's rows.
    pub view: Option<NodeIndex>,
}

/// One table that is read.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Which one.
    pub definition: TableDefinition,
    /// What of it.
    pub read: Read,
    /// Whether something of the plan waits for this table's event time.
    pub has_watermark: bool,
}

/// What is read of a table: only these columns, only these records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// The columns, each pruned to what is asked for, with where it comes from.
    pub columns: Vec<ReadColumn>,
    /// Records that fail one of these are of no interest.
    pub prefilters: Vec<Prefilter>,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// To what.
    pub target: Target,
    /// The visible columns.
    pub schema: SchemaRef,
    /// The hidden ones behind them.
    pub hidden: Hidden,
    /// Visible columns that tell the rows of an updating query apart; empty where only whole rows
    /// do.
    pub key: Vec<usize>,
}

/// What rows go to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A table of the catalogue.
    Table(Box<TableDefinition>),
    /// A materialized view.
    View(String),
    /// Whoever asked.
    Query,
}

impl Read {
    /// The rows' schema, the hidden columns of a source last.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| column.field.clone());
        Hidden::ORIGIN.behind(&Schema::new(fields.collect::<Fields>()))
    }
}

impl Target {
    /// As messages name it.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(name) => name,
            Self::Query => "query",
        }
    }
}
