//! Sinks of every connector but the lake's: `kafka`, `upsert-kafka`, `print`, `blackhole`,
//! `filesystem`.
//!
//! Guarantees: topics and files get every row exactly once; printed rows are printed again after a
//! crash.
//! Left out: tables of the lake, which the server opens.

mod blackhole;
mod file;
mod print;
mod topic;

use super::plan::{SinkPlan, Target};
use std::sync::Arc;
use tradewind_sql::Connector;
use tradewind_types::{Clock, Sink, SinkError, TopicWriter};

/// What sinks are opened with.
pub struct SinkEnvironment {
    /// Topics; `None` where there is no data folder.
    pub writer: Option<Arc<dyn TopicWriter>>,
    /// For the time of records and dead letters.
    pub clock: Arc<dyn Clock>,
    /// `pipeline:<name>`, for dead letters.
    pub name: String,
    /// `<pipeline's id>.<sink>`, for transactional ids.
    pub id: String,
    /// The topic that rows with a place come from, where there is just one.
    pub origin: Option<String>,
}

/// Opens a sink for what a plan writes, or `None` where the server has to.
///
/// # Errors
/// The sink cannot take such rows.
pub fn open_sink(
    plan: &SinkPlan,
    writer: &str,
    environment: &SinkEnvironment,
) -> Result<Option<Box<dyn Sink>>, SinkError> {
    let Target::Table(table) = &plan.target else { return Ok(None) };
    Ok(Some(match &table.connector {
        Connector::Print(print) => Box::new(print::PrintSink::new(print, plan)),
        Connector::Blackhole => Box::new(blackhole::BlackholeSink::default()),
        Connector::Topic(topic) => {
            Box::new(topic::TopicSink::open(table, topic, plan, environment)?)
        }
        Connector::File(file) => Box::new(file::FileSink::open(file, plan, writer)?),
        _ => return Ok(None),
    }))
}
