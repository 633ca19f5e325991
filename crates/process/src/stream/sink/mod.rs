//! Sinks of the connectors that need nothing of the server: `print`, `blackhole`, `filesystem`.
//!
//! Guarantees: files get every row exactly once; printed rows are printed again after a crash.
//! Left out: tables of the lake, which the server opens.

mod blackhole;
mod file;
mod print;

use super::plan::{SinkPlan, Target};
use tradewind_sql::Connector;
use tradewind_types::{Sink, SinkError};

/// Opens a sink for what a plan writes, or `None` where the server has to.
///
/// # Errors
/// The sink cannot take such rows.
pub fn open_sink(plan: &SinkPlan, writer: &str) -> Result<Option<Box<dyn Sink>>, SinkError> {
    let Target::Table(table) = &plan.target else { return Ok(None) };
    Ok(Some(match &table.connector {
        Connector::Print(print) => Box::new(print::PrintSink::new(print, plan)),
        Connector::Blackhole => Box::new(blackhole::BlackholeSink::default()),
        Connector::File(file) => Box::new(file::FileSink::open(file, plan, writer)?),
        _ => return Ok(None),
    }))
}
