//! `tradewind run`: a streaming script to the end of its bounded sources, or until it is stopped.
//!
//! Guarantees: rows of a `SELECT` go to stdout as they change, `+I[be, 1]` and so on; errors and
//! statistics go to stderr; what could not be read is counted and said.
//! Left out: checkpoints. A pipeline that must survive belongs to a server.

use crate::commands;
use crate::data_dir::plain;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tradewind_process::script::{Outcome, Script};
use tradewind_process::stream::changelog::Changelog;
use tradewind_process::stream::job::TickLimits;
use tradewind_process::stream::plan::SinkPlan;
use tradewind_process::stream::run::{RowWriter, RunReport, RunSettings};
use tradewind_process::stream::source::SourceEnvironment;
use tradewind_process::{EngineSettings, ProcessError};
use tradewind_sql::{Dialect, Statement, parse_script};
use tradewind_types::{SinkError, SystemClock};

/// Rows one tick takes in at most: few and large ticks make most of a file.
const TICK_ROWS_MAX: usize = 262_144;
/// How long one tick reads, in microseconds, when rows are there: what comes slowly is shown soon.
const TICK_BUDGET_US: i64 = 200_000;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The script; - is stdin.
    #[arg(value_name = "SCRIPT.sql")]
    pub script: PathBuf,
    /// Says what each query took: rows, seconds, rows a second.
    #[arg(long)]
    pub stats: bool,
    /// Workers that state is divided among; as many as there are cores where it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
}

/// Runs the command.
///
/// # Errors
/// One line: which statement failed, where and why.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("warn");
    let text = read(&arguments.script)?;
    let name = arguments.script.display().to_string();
    let statements = parse_script(&text, Dialect::Flink)
        .map_err(|error| failed(&name, &ProcessError::from(error)))?;
    let mut executor = EngineSettings::default().executor;
    if let Some(workers) = arguments.workers {
        executor.workers = workers.into();
    }
    let limits = TickLimits { rows_max: TICK_ROWS_MAX, budget_us: TICK_BUDGET_US };
    let environment =
        SourceEnvironment { log: None, clock: Arc::new(SystemClock), name: format!("run:{name}") };
    let settings =
        RunSettings { executor, limits, state_memory_bytes: commands::memory_bytes() / 2 };
    let mut script = Script::new(environment, settings);
    let runtime = commands::runtime()?;
    for statement in &statements {
        let outcome = runtime.block_on(execute(&mut script, statement));
        match outcome.map_err(|error| failed(&name, &error))? {
            Outcome::Done => {}
            Outcome::Explained(text) => println!("{text}"),
            Outcome::Ran(report) => tell(statement, &report, arguments.stats),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn execute(script: &mut Script, statement: &Statement) -> Result<Outcome, ProcessError> {
    let stop = async {
        // Without a handler for the signal the process just ends, which is what it asks for.
        let _ = tokio::signal::ctrl_c().await;
    };
    script.execute(statement, &mut ToStdout, stop).await
}

fn read(script: &Path) -> anyhow::Result<String> {
    if script.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(script)
        .map_err(|error| anyhow::anyhow!("{}: {}", script.display(), plain(&error)))
}

fn failed(script: &str, error: &ProcessError) -> anyhow::Error {
    match error {
        ProcessError::Plan(error) => {
            let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
            let place = format!("{script}:{}:{}", error.line, error.column);
            anyhow::anyhow!("{place}: {}{}", error.message, hint.unwrap_or_default())
        }
        other => anyhow::anyhow!("{script}: {other}"),
    }
}

/// Says what a query took, and what it could not use.
fn tell(statement: &Statement, report: &RunReport, stats: bool) {
    let first = statement.text.lines().next().unwrap_or_default();
    if report.dead_letters > 0 {
        let reason = report.first_dead_letter.as_deref().unwrap_or_default();
        let count = report.dead_letters;
        eprintln!("warning: {count} records could not be read or computed; the first: {reason}");
    }
    if report.late_events > 0 {
        eprintln!("warning: {} rows came after their windows", report.late_events);
    }
    if stats {
        let seconds = report.elapsed.as_secs_f64();
        let rate = report.records as f64 / seconds.max(f64::MIN_POSITIVE);
        let (records, rows) = (report.records, report.rows);
        eprintln!("{records} rows in, {rows} out, {seconds:.3} s, {rate:.0} rows/s: {first}");
    }
}

/// Prints the rows of a `SELECT`.
struct ToStdout;

impl RowWriter for ToStdout {
    fn write(
        &mut self,
        plan: &SinkPlan,
        rows: &[arrow::array::RecordBatch],
    ) -> Result<(), SinkError> {
        let changelog = Changelog::new(plan);
        let mut text = String::new();
        for line in rows.iter().flat_map(|batch| changelog.lines(batch)) {
            text.push_str(&line);
            text.push('\n');
        }
        io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(|error| SinkError::Permanent { table: "stdout".into(), reason: plain(&error) })
    }
}
