//! Changes of a view on stdout as they come, until there are enough or somebody stops them.
//!
//! Guarantees: lines are printed whole and in order; what waits to be printed is bounded, and
//! whoever is slower than the view is cut by the server, which says so.
//! Left out: asking for them.

use super::remote::{Remote, RemoteColumn, RemoteError};
use super::sql::{Format, is_number, print, tell};
use arrow::datatypes::Schema;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc;
use tradewind_analyze::{Change, Changes};
use tradewind_serve::render::{self, RunningTable};

/// Lines that wait to be printed: a second's worth; the rest waits in the connection.
const LINES_MAX: usize = 4_096;

/// A line of the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    columns: Option<Vec<RemoteColumn>>,
    kind: Option<String>,
    weight: i64,
    row: Vec<serde_json::Value>,
    progress: Option<String>,
    positions: serde_json::Value,
    reset: bool,
    end: Option<String>,
    error: Option<RemoteError>,
}

/// Asks a server and prints what comes. Returns how many rows that were.
///
/// # Errors
/// What the server said, at first or later.
pub(super) fn remote(
    remote: &Remote,
    sql: &str,
    format: Format,
    timeout: Option<Duration>,
) -> anyhow::Result<Option<usize>> {
    let asked = if format == Format::Csv { "csv" } else { "json" };
    let lines = remote.lines(sql, asked, timeout)?;
    let (sender, mut receiver) = mpsc::channel(LINES_MAX);
    // Reading blocks, and an interrupt must not wait for it. The thread ends with the answer, or
    // with the first line that nobody wants.
    std::thread::spawn(move || {
        for line in lines {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut printer = Printer::new(format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut lines = Vec::new();
        loop {
            let received = tokio::select! {
                received = receiver.recv_many(&mut lines, LINES_MAX) => received,
                _ = tokio::signal::ctrl_c() => break,
            };
            let mut text = String::new();
            for line in lines.drain(..) {
                let line =
                    line.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
                printer.line(&line, &mut text)?;
            }
            print(&text)?;
            if received == 0 {
                break;
            }
        }
        anyhow::Ok(())
    })?;
    printer.finish()
}

/// Prints what a session gives. Returns how many rows that were.
///
/// # Errors
/// What the session said.
pub(super) async fn local(
    mut changes: Changes,
    format: Format,
    timeout: Option<Duration>,
) -> anyhow::Result<Option<usize>> {
    let mut printer = Printer::new(format);
    let mut text = String::new();
    printer.begin(&changes.schema(), &mut text)?;
    print(&text)?;
    let end = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let mut end = std::pin::pin!(end);
    loop {
        let change = tokio::select! {
            change = changes.next() => change?,
            () = &mut end => break,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(change) = change else { break };
        let mut text = String::new();
        printer.change(&change, &mut text)?;
        print(&text)?;
    }
    printer.finish()
}

/// Makes lines for a person or a program of the answer's.
struct Printer {
    format: Format,
    names: Vec<String>,
    table: Option<RunningTable>,
    rows: usize,
    token: Option<String>,
    error: Option<String>,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { format, names: Vec::new(), table: None, rows: 0, token: None, error: None }
    }

    fn begin(&mut self, schema: &Schema, text: &mut String) -> anyhow::Result<()> {
        if self.format == Format::Csv {
            self.names = schema.fields().iter().map(|field| field.name().clone()).collect();
            text.push_str(&render::csv_changes_header(schema));
            return Ok(());
        }
        self.line(&format!("{{\"columns\":{}}}", render::json_columns(schema)), text)
    }

    /// A change of a session of this process.
    fn change(&mut self, change: &Change, text: &mut String) -> anyhow::Result<()> {
        let mut lines = String::new();
        match (change, self.format) {
            (Change::Rows { batch, kinds }, Format::Csv) => {
                render::csv_changes(batch, kinds, &mut lines)?
            }
            (Change::Rows { batch, kinds }, _) => render::json_changes(batch, kinds, &mut lines)?,
            (Change::Progress { token, .. }, Format::Csv) => {
                lines = format!("progress,,{token}{}\n", ",".repeat(self.names.len()));
            }
            (Change::Progress { token, positions }, _) => {
                let line = serde_json::json!({"progress": token, "positions": positions});
                lines = line.to_string();
            }
            (Change::Reset, Format::Csv) => {
                lines = format!("reset,,{}\n", ",".repeat(self.names.len()));
            }
            (Change::Reset, _) => lines = serde_json::json!({"reset": true}).to_string(),
        }
        lines.lines().try_for_each(|line| self.line(line, text))
    }

    /// A line of the answer.
    fn line(&mut self, line: &str, text: &mut String) -> anyhow::Result<()> {
        if self.format == Format::Csv {
            self.csv(line, text);
            return Ok(());
        }
        let line: Line = serde_json::from_str(line)
            .map_err(|error| anyhow::anyhow!("the answer is not as Tradewind's: {error}"))?;
        if let Some(columns) = line.columns {
            self.names = columns.iter().map(|column| column.name.clone()).collect();
            let right = columns.iter().map(|column| is_number(&column.kind));
            let right = std::iter::once(false).chain(right).collect();
            let names = std::iter::once(String::new()).chain(self.names.clone()).collect();
            self.table = Some(RunningTable::new(names, right));
        } else if let Some(kind) = &line.kind {
            self.rows += 1;
            self.row(kind, line.weight, &line.row, text);
        } else if line.reset {
            tell("the view comes anew");
            self.other(&[("_reset", true.into())], text);
        } else if line.progress.is_some() {
            // The same one again says that the connection is alive.
            if self.token != line.progress {
                let told =
                    [("_progress", line.progress.clone().into()), ("_positions", line.positions)];
                self.token = line.progress;
                self.other(&told, text);
            }
        } else if let Some(error) = line.error {
            self.error = Some(error.line());
        } else if let Some(why) = line.end {
            tell(&format!("ended: {why}"));
        }
        Ok(())
    }

    fn row(&mut self, kind: &str, weight: i64, row: &[serde_json::Value], text: &mut String) {
        if self.format == Format::Json {
            let fields = self.names.iter().zip(row);
            let fields = fields.map(|(name, value)| format!(",{}:{value}", json_text(name)));
            let fields = fields.collect::<String>();
            text.push_str(&format!("{{\"_kind\":\"{kind}\",\"_weight\":{weight}{fields}}}\n"));
        } else if let Some(table) = &mut self.table {
            let cells = row.iter().map(super::sql::plain_cell);
            let cells = std::iter::once(kind.to_string()).chain(cells).collect();
            text.push_str(&table.rows(vec![cells]));
        }
    }

    /// What is no row: an object of its own, for programs.
    fn other(&self, told: &[(&str, serde_json::Value)], text: &mut String) {
        if self.format == Format::Json {
            let fields = told.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            text.push_str(&format!("{{{}}}\n", fields.collect::<Vec<_>>().join(",")));
        }
    }

    fn csv(&mut self, line: &str, text: &mut String) {
        if let Some(error) = line.strip_prefix("# error: ") {
            self.error = Some(error.to_string());
        } else if let Some(why) = line.strip_prefix("# end: ") {
            tell(&format!("ended: {why}"));
        } else {
            let is_row = ["+I,", "-U,", "+U,", "-D,"].iter().any(|kind| line.starts_with(kind));
            self.rows += usize::from(is_row);
            text.push_str(line);
            text.push('\n');
        }
    }

    fn finish(self) -> anyhow::Result<Option<usize>> {
        if let Some(token) = &self.token {
            tell(&format!("AFTER '{token}' goes on from here"));
        }
        match self.error {
            Some(error) => Err(anyhow::anyhow!(error)),
            None => Ok(Some(self.rows)),
        }
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
