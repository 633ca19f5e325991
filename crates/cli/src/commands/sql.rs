//! `tradewind sql`: a statement, a script or a prompt.
//!
//! Guarantees: rows go to stdout, errors and timings to stderr; an error ends a script with exit
//! code 1.
//! Left out: paging and plots.

use super::follow;
use super::prompt::editor;
use super::remote::{Remote, RemoteAnswer};
use super::serve::Configuration;
use crate::commands;
use crate::data_dir::{Found, inspect};
use crate::server::{Server, ServerOptions};
use crate::settings::{self, Configured};
use arrow::array::RecordBatch;
use rustyline::error::ReadlineError;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tradewind_analyze::{AnalyzeError, Answer, Dialect, Platform, PlatformParts, Rows, Session};
use tradewind_disk::OsDisk;
use tradewind_serve::render;
use tradewind_sql::{Statement, StatementKind, parse_script};
use tradewind_types::SystemClock;

/// Rows of a table that are held to find its columns' widths; more need csv or json.
const TABLE_ROWS_MAX: usize = 10_000;

/// Arguments of `sql`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A statement, or several with semicolons between.
    #[arg(short = 'c', value_name = "SQL", conflicts_with = "file")]
    pub command: Option<String>,
    /// A script; - is stdin.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How rows are written; json is one object a line.
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Asks a server, as http://host:port.
    #[arg(long, conflicts_with = "data_dir")]
    pub url: Option<String>,
    /// Opens a data folder that no server has; without it and --url there are files only.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// postgres or flink.
    #[arg(long)]
    pub dialect: Option<String>,
    /// Ends a SUBSCRIBE after this many seconds; else LIMIT or Ctrl-C does.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns side by side.
    Table,
    /// RFC 4180.
    Csv,
    /// One object a line.
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
struct Showing {
    format: Format,
    /// When a `SUBSCRIBE` ends.
    timeout: Option<Duration>,
}

/// Who answers.
enum Backend {
    Remote {
        remote: Remote,
        dialect: Dialect,
        /// Settings of the session, which go with each statement.
        prefix: String,
        /// What the next pipeline is to be called, as a statement; it goes with the next statements
        /// until one makes a pipeline.
        pipeline_name: String,
    },
    Local {
        runtime: Runtime,
        session: Box<Session>,
        platform: Platform,
        server: Option<Box<Server>>,
    },
}

/// Runs the command.
///
/// # Errors
/// One line: what the first failing statement said.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("warn");
    let script = match (&arguments.command, &arguments.file) {
        (Some(command), _) => Some(command.clone()),
        (None, Some(file)) => Some(read_script(file)?),
        (None, None) if !std::io::stdin().is_terminal() => Some(read_script("-".as_ref())?),
        (None, None) => None,
    };
    let mut backend = Backend::open(arguments)?;
    let showing = Showing { format: arguments.format, timeout: arguments.timeout };
    let outcome = match script {
        Some(script) => backend.script(&script, showing),
        None => backend.prompt(showing),
    };
    let closed = backend.close();
    outcome?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

fn read_script(file: &std::path::Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
        .map_err(|error| anyhow::anyhow!("{}: {}", file.display(), crate::data_dir::plain(&error)))
}

fn dialect_of(arguments: &Arguments) -> anyhow::Result<Option<Dialect>> {
    let Some(name) = &arguments.dialect else { return Ok(None) };
    match Dialect::from_name(name) {
        Some(dialect) => Ok(Some(dialect)),
        None => anyhow::bail!("{name:?} is no dialect (postgres or flink)"),
    }
}

impl Backend {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        if let Some(url) = &arguments.url {
            let dialect = dialect_of(arguments)?;
            let prefix = dialect.map(|dialect| format!("SET 'dialect' = '{dialect}'; "));
            return Ok(Self::Remote {
                remote: Remote::new(url),
                dialect: dialect.unwrap_or(Dialect::Postgres),
                prefix: prefix.unwrap_or_default(),
                pipeline_name: String::new(),
            });
        }
        let Configured { config, rows } = arguments.configuration.resolve()?;
        let runtime = commands::runtime()?;
        let (platform, server) = match &arguments.data_dir {
            None => {
                let settings = settings::analyze(&config, None);
                let parts =
                    PlatformParts { settings, configuration: rows, ..PlatformParts::default() };
                (Platform::new(parts)?, None)
            }
            Some(dir) => {
                if inspect(&OsDisk, dir)? == Found::Nothing {
                    anyhow::bail!(
                        "data folder {0} does not exist; `tradewind serve --data-dir {0}` makes it",
                        dir.display()
                    );
                }
                let options = ServerOptions {
                    data_dir: dir.clone(),
                    config,
                    settings: rows,
                    disk: Arc::new(OsDisk),
                    clock: Arc::new(SystemClock),
                };
                let server = runtime.block_on(Server::embedded(options))?;
                (server.platform().clone(), Some(Box::new(server)))
            }
        };
        let mut session = Box::new(platform.session());
        if let Some(dialect) = dialect_of(arguments)? {
            session.set_dialect(dialect);
        }
        Ok(Self::Local { runtime, session, platform, server })
    }

    fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Local { runtime, server: Some(server), .. } => {
                Ok(runtime.block_on(server.shutdown())?)
            }
            _ => Ok(()),
        }
    }

    /// Runs statements one after another and prints each one's answer.
    fn script(&mut self, script: &str, showing: Showing) -> anyhow::Result<()> {
        let Showing { format, timeout } = showing;
        match self {
            Self::Remote { remote, dialect, prefix, pipeline_name } => {
                for statement in parse_script(script, *dialect).map_err(AnalyzeError::from)? {
                    let started = Instant::now();
                    let asked = format!("{prefix}{pipeline_name}{}", statement.text);
                    let rows = match format {
                        _ if matches!(statement.kind, StatementKind::Subscribe(_)) => {
                            follow::remote(remote, &asked, format, timeout)?
                        }
                        Format::Csv => {
                            let server = remote.clone();
                            print(&interruptible(move || server.ask_csv(&asked))?)?;
                            None
                        }
                        _ => {
                            let server = remote.clone();
                            print_remote(&interruptible(move || server.ask(&asked))?, format)?
                        }
                    };
                    // A request is a session of its own: settings go with each.
                    match &statement.kind {
                        StatementKind::Set { key, .. }
                            if key.eq_ignore_ascii_case("pipeline.name") =>
                        {
                            *pipeline_name = format!("{}; ", statement.text);
                        }
                        StatementKind::Set { .. } => {
                            prefix.push_str(&format!("{}; ", statement.text))
                        }
                        StatementKind::Insert(_) => pipeline_name.clear(),
                        _ => {}
                    }
                    tell_time(rows, started);
                }
                Ok(())
            }
            Self::Local { runtime, session, .. } => {
                let statements = session.parse(script)?;
                for statement in &statements {
                    let started = Instant::now();
                    let rows = runtime.block_on(run_local(session, statement, showing))?;
                    tell_time(rows, started);
                }
                Ok(())
            }
        }
    }

    fn prompt(&mut self, showing: Showing) -> anyhow::Result<()> {
        let (mut editor, history) = editor(self.names())?;
        eprintln!("statements end with ; and \\q leaves");
        loop {
            match editor.readline("tradewind> ") {
                Ok(line) => match line.trim() {
                    "" => {}
                    "\\q" | "exit;" | "quit;" => break,
                    command if command.starts_with('\\') => {
                        eprintln!("there is no {command}; \\q leaves");
                    }
                    statement => {
                        if let Err(error) = self.script(statement, showing) {
                            eprintln!("error: {error}");
                        }
                    }
                },
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(file) = history
            && let Err(error) = editor.save_history(&file)
        {
            eprintln!("the history could not be saved in {}: {error}", file.display());
        }
        Ok(())
    }

    /// Tables and columns, for completion.
    fn names(&self) -> Vec<String> {
        const COLUMNS: &str = "SELECT name FROM sys.tables UNION SELECT name FROM sys.columns";
        match self {
            Self::Local { platform, .. } => platform.names(),
            Self::Remote { remote, .. } => {
                let answer = remote.ask(COLUMNS).unwrap_or_default();
                let names = answer.rows.into_iter().flatten();
                names.filter_map(|name| name.as_str().map(str::to_string)).collect()
            }
        }
    }
}

/// Asks a server, until an interrupt. Once somebody has waited for one, it ends no process by
/// itself any more.
fn interruptible<T: Send + 'static>(
    ask: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = sender.send(ask());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            answer = answer => answer.unwrap_or_else(|_| Err(anyhow::anyhow!("the answer broke off"))),
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
        }
    })
}

async fn run_local(
    session: &mut Session,
    statement: &Statement,
    showing: Showing,
) -> anyhow::Result<Option<usize>> {
    let printed = async {
        match session.run(statement).await? {
            Answer::Rows(rows) => print_rows(rows, showing.format).await,
            Answer::Changes(changes) => {
                follow::local(changes, showing.format, showing.timeout).await
            }
            Answer::Done(tag) => {
                tell(&tag);
                Ok(None)
            }
        }
    };
    // An interrupt is how a subscription ends, not how it fails.
    if matches!(statement.kind, StatementKind::Subscribe(_)) {
        return printed.await;
    }
    tokio::select! {
        printed = printed => printed,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
    }
}

/// Writes to stdout; a reader that has enough (`| head`) is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

pub(super) fn tell(text: &str) {
    if std::io::stdout().is_terminal() {
        eprintln!("{text}");
    }
}

fn tell_time(rows: Option<usize>, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    match rows {
        Some(1) => tell(&format!("(1 row, {seconds:.3} s)")),
        Some(rows) => tell(&format!("({rows} rows, {seconds:.3} s)")),
        None => tell(&format!("({seconds:.3} s)")),
    }
}

async fn print_rows(mut rows: Rows, format: Format) -> anyhow::Result<Option<usize>> {
    let schema = rows.schema();
    let mut count = 0;
    let mut held: Vec<RecordBatch> = Vec::new();
    if format == Format::Csv {
        print(&render::csv_header(&schema))?;
    }
    while let Some(batch) = rows.next().await.transpose()? {
        let mut text = String::new();
        count += batch.num_rows();
        match format {
            Format::Csv => render::csv_rows(&batch, usize::MAX, &mut text)?,
            Format::Json => render::json_objects(&batch, &mut text)?,
            Format::Table => {
                held.push(batch);
                if count > TABLE_ROWS_MAX {
                    break;
                }
            }
        }
        print(&text)?;
    }
    if format == Format::Table {
        let shown = shown(held);
        print(&render::table(&schema, &shown)?)?;
        if count > TABLE_ROWS_MAX {
            eprintln!("only the first {TABLE_ROWS_MAX} rows are shown; --format csv writes all");
            count = TABLE_ROWS_MAX;
        }
    }
    Ok(Some(count))
}

/// The batches' first rows, up to what a table shows.
fn shown(batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
    let mut left = TABLE_ROWS_MAX;
    let mut shown = Vec::with_capacity(batches.len());
    for batch in batches {
        let taken = batch.num_rows().min(left);
        left -= taken;
        shown.push(batch.slice(0, taken));
    }
    shown
}

pub(super) fn print_remote(answer: &RemoteAnswer, format: Format) -> anyhow::Result<Option<usize>> {
    if let Some(tag) = &answer.done {
        tell(tag);
        return Ok(None);
    }
    let mut text = String::new();
    match format {
        Format::Json => {
            for row in &answer.rows {
                let fields = answer.columns.iter().zip(row);
                let object = fields.map(|(column, value)| {
                    format!("{}:{value}", serde_json::Value::from(column.name.as_str()))
                });
                text.push_str(&format!("{{{}}}\n", object.collect::<Vec<_>>().join(",")));
            }
        }
        _ => text = remote_table(answer),
    }
    print(&text)?;
    if answer.truncated {
        eprintln!("the server cut the answer after {} rows", answer.rows.len());
    }
    Ok(Some(answer.rows.len()))
}

pub(super) fn remote_table(answer: &RemoteAnswer) -> String {
    let names = answer.columns.iter().map(|column| column.name.clone()).collect();
    let right: Vec<bool> = answer.columns.iter().map(|column| is_number(&column.kind)).collect();
    let rows = answer.rows.iter().map(|row| row.iter().map(plain_cell).collect());
    render::text_table(names, rows.collect(), &right)
}

/// A value of an answer as a person reads it.
pub(super) fn plain_cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn is_number(kind: &str) -> bool {
    let kind = kind.split('(').next().unwrap_or_default().trim();
    ["TINYINT", "SMALLINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE", "REAL"].contains(&kind)
}
