//! A streaming script: tables and views, then queries that run to the end of their sources.
//!
//! Guarantees: statements take effect in order; what the script defines is gone with it; each
//! query sees what was defined before it.
//! Left out: pipelines that go on beside each other, which are a server's.

use crate::ProcessError;
use crate::stream::plan::{PlanOptions, explain, plan_insert, plan_query};
use crate::stream::run::{RowWriter, RunReport, RunSettings, run};
use crate::stream::source::SourceEnvironment;
use std::future::Future;
use std::sync::Arc;
use tradewind_sql::{
    Catalogue, CatalogueError, Dialect, Owner, Position, SqlError, Statement, StatementKind,
    did_you_mean,
};
use tradewind_types::config;

/// Settings that mean something here.
const SETTINGS: [&str; 6] = [
    "table.local-time-zone",
    "parallelism.default",
    "table.sql-dialect",
    "dialect",
    "state.memory_bytes",
    "table.exec.state.ttl",
];
/// Settings of Flink's that a script may make and that change no answer.
const FOREIGN_PREFIXES: [&str; 6] =
    ["table.exec.", "table.optimizer.", "pipeline.", "execution.", "sql-client.", "state."];

/// What a script has defined so far.
pub struct Script {
    catalogue: Catalogue,
    options: PlanOptions,
    environment: SourceEnvironment,
    settings: RunSettings,
}

/// What a statement came to.
#[derive(Debug)]
pub enum Outcome {
    /// It defined or set something.
    Done,
    /// It ran.
    Ran(RunReport),
    /// It explained something.
    Explained(String),
}

impl Script {
    /// An empty script.
    pub fn new(environment: SourceEnvironment, settings: RunSettings) -> Self {
        let catalogue = Catalogue::transient(environment.clock.clone());
        Self { catalogue, options: Dialect::Flink.into(), environment, settings }
    }

    /// How further statements are meant.
    pub fn options(&self) -> PlanOptions {
        self.options
    }

    /// The tables and views so far.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Carries out a statement. Rows of a query go to `writer`; `stop` ends it early.
    ///
    /// # Errors
    /// It means nothing, cannot run as a stream, or failed.
    pub async fn execute(
        &mut self,
        statement: &Statement,
        writer: &mut dyn RowWriter,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, ProcessError> {
        let start = statement.span.start;
        let plan = match &statement.kind {
            StatementKind::CreateTable(table) => {
                self.catalogue
                    .create_table(table, &Owner::Sql)
                    .map_err(|error| at(start, error))?;
                return Ok(Outcome::Done);
            }
            StatementKind::CreateView(view) => {
                let outcome = self.catalogue.create_view(view, self.options.dialect, &Owner::Sql);
                outcome.map_err(|error| at(start, error))?;
                return Ok(Outcome::Done);
            }
            StatementKind::Drop { kind, if_exists, name, .. } => {
                let dropped = self.catalogue.drop_object(*kind, name, *if_exists);
                dropped.map_err(|error| at(start, error))?;
                return Ok(Outcome::Done);
            }
            StatementKind::Set { key, value } => {
                self.set(key, value, start)?;
                return Ok(Outcome::Done);
            }
            StatementKind::Explain { statement, .. } => {
                return self.plan(statement).map(|plan| Outcome::Explained(explain(&plan)));
            }
            _ => self.plan(statement)?,
        };
        let (environment, settings) = (&self.environment, self.settings);
        run(Arc::new(plan), environment, settings, writer, stop).await.map(Outcome::Ran)
    }

    fn plan(&self, statement: &Statement) -> Result<crate::stream::plan::StreamPlan, ProcessError> {
        use datafusion::sql::sqlparser::ast;
        match &statement.kind {
            StatementKind::Insert(insert) => plan_insert(insert, self.options, &self.catalogue),
            StatementKind::Other(other) => match &**other {
                ast::Statement::Query(query) => plan_query(query, self.options, &self.catalogue),
                _ => Err(not_here(statement.span.start)),
            },
            _ => Err(not_here(statement.span.start)),
        }
    }

    fn set(&mut self, key: &str, value: &str, start: Position) -> Result<(), ProcessError> {
        let wrong = |what: &str| {
            let message = format!("'{key}' is {value:?}, and that is no {what}");
            ProcessError::Plan(SqlError::at(start, message))
        };
        match key {
            "table.local-time-zone" => {
                self.options.time_zone = value.parse().map_err(|_| wrong("time zone"))?;
            }
            "parallelism.default" => {
                let workers = value.parse().ok().filter(|workers| (1..=256).contains(workers));
                self.settings.executor.workers = workers.ok_or_else(|| wrong("number to 256"))?;
            }
            "table.exec.state.ttl" => {
                let time = duration_ms(value).ok_or_else(|| wrong("time"))?;
                self.settings.executor.state_ttl_ms = time;
            }
            "state.memory_bytes" => {
                let bytes = config::bytes(value).and_then(|bytes| usize::try_from(bytes).ok());
                self.settings.state_memory_bytes = bytes.ok_or_else(|| wrong("size"))?;
            }
            "table.sql-dialect" | "dialect" => {
                let name = if value == "default" { "flink" } else { value };
                let dialect = Dialect::from_name(name).ok_or_else(|| wrong("dialect"))?;
                self.options.dialect = dialect;
            }
            key if FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {}
            key => {
                let message = format!("there is no setting {key:?}");
                let error = SqlError::at(start, message).maybe_hint(did_you_mean(key, SETTINGS));
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Milliseconds of a time as Flink has it: `1 h`, `36000 ms`, `2 days`; without a unit milliseconds.
fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ms = match text[digits..].trim().to_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit_ms)
}

fn not_here(start: Position) -> ProcessError {
    SqlError::at(start, "a streaming script has no such statement")
        .hint("CREATE TABLE, CREATE VIEW, INSERT INTO, SELECT, EXPLAIN, SET or DROP")
        .into()
}

fn at(start: Position, error: CatalogueError) -> ProcessError {
    SqlError::at(start, error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_flink_reads_them() {
        assert_eq!(duration_ms("36000 ms"), Some(36_000));
        assert_eq!(duration_ms("2h"), Some(7_200_000));
        assert_eq!(duration_ms(" 1 Day "), Some(86_400_000));
        assert_eq!(duration_ms("0"), Some(0));
        for wrong in ["", "h", "1.5 h", "-1 s", "1 year", "18446744073709551615 d"] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }
}
