//! `tradewind replay`: a file's rows to a server, as live traffic.

use crate::commands;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tradewind_collect::client::ClientSettings;
use tradewind_collect::replay::{
    FileFormat, Mapping, Progress, ReplaySettings, Speed, Summary, inputs, replay,
};

/// Lines of progress without a terminal come this often.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A CSV or JSON-lines file (also .gz), a folder or a pattern.
    pub file: String,
    /// A TOML file that says how a row becomes an event; without it every column is a property.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The event's name when there is no mapping.
    #[arg(long, default_value = "Row Replayed", conflicts_with = "mapping")]
    pub event: String,
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The write key, which the server derives store and source from.
    #[arg(long, default_value = "demo")]
    pub write_key: String,
    /// max, a factor of the history's own speed (60x), or events a second (1000/s).
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// csv or json, where the file's name does not say.
    #[arg(long)]
    pub format: Option<String>,
    /// Where it is kept how far the replay came and which rows were rejected.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub state_dir: PathBuf,
    /// Put before every message id: keeps files of one name apart.
    #[arg(long, default_value = "")]
    pub id_prefix: String,
    /// Connections at a time; with 1, rows keep their order.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Compress requests.
    #[arg(long)]
    pub gzip: bool,
    /// Send everything again, whatever was sent before.
    #[arg(long)]
    pub restart: bool,
}

/// Runs the command.
///
/// # Errors
/// One line: why it ended early.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("warn");
    let mapping = match &arguments.mapping {
        None => Mapping::every_column(&arguments.event),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                anyhow::anyhow!("{}: {}", path.display(), crate::data_dir::plain(&error))
            })?;
            Mapping::parse(&text)
                .map_err(|reason| anyhow::anyhow!("{}: {}", path.display(), reason.trim()))?
        }
    };
    let format = match arguments.format.as_deref() {
        None => None,
        Some("csv") => Some(FileFormat::Csv),
        Some("json" | "jsonl" | "ndjson") => Some(FileFormat::JsonLines),
        Some(other) => anyhow::bail!("{other:?} is no format (csv or json)"),
    };
    let (files, skipped) = inputs(&arguments.file, format)?;
    for path in skipped {
        eprintln!("{} is neither CSV nor JSON and is left out", path.display());
    }
    let client = ClientSettings {
        connections: arguments.connections,
        gzip: arguments.gzip,
        ..ClientSettings::new(&arguments.url, &arguments.write_key)
    };
    let settings = ReplaySettings {
        speed: arguments.speed.parse::<Speed>()?,
        state_dir: arguments.state_dir.clone(),
        id_prefix: arguments.id_prefix.clone(),
        restart: arguments.restart,
        ..ReplaySettings::new(client, mapping)
    };
    let runtime = commands::runtime()?;
    let stop = commands::stop_flag(&runtime)?;
    let mut view = View::new();
    let outcome = replay(&files, &settings, &stop, &mut |progress| view.show(progress));
    view.bar.finish_and_clear();
    let summary = outcome?;
    Ok(report(&summary))
}

/// A bar on a terminal, a line now and then elsewhere.
struct View {
    bar: ProgressBar,
    terminal: bool,
    told: Instant,
}

impl View {
    fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template(
            "{bar:30} {percent:>3}%  {bytes}/{total_bytes}  {msg}  {eta} left",
        );
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, terminal, told: Instant::now() }
    }

    fn show(&mut self, progress: &Progress) {
        let trouble = progress.trouble.as_ref().map(|trouble| format!("  waiting: {trouble}"));
        let message = format!(
            "{} rows, {:.0}/s{}",
            progress.rows_acknowledged,
            progress.rows_per_second(),
            trouble.unwrap_or_default()
        );
        if self.terminal {
            self.bar.set_length(progress.bytes_total);
            self.bar.set_position(progress.bytes_read);
            self.bar.set_message(message);
        } else if self.told.elapsed() >= LINE_INTERVAL {
            self.told = Instant::now();
            eprintln!("{message}");
        }
    }
}

/// Prints what came of it; a replay that was stopped or lost rows is no success.
fn report(summary: &Summary) -> ExitCode {
    let Progress {
        rows_acknowledged,
        rows_duplicate,
        rows_conflicting,
        rows_rejected,
        rows_resumed,
        ..
    } = &summary.progress;
    println!(
        "{rows_acknowledged} rows acknowledged, of which {rows_duplicate} were there already; \
         {rows_resumed} were done before; {rows_rejected} rejected; {:.0} rows/s",
        summary.progress.rows_per_second()
    );
    for line in &summary.rejected_first {
        eprintln!("rejected: {line}");
    }
    for file in &summary.rejected_files {
        eprintln!("all rejected rows are in {}", file.display());
    }
    if *rows_conflicting > 0 {
        eprintln!(
            "{rows_conflicting} rows have the id of other rows the server has, and were not taken: \
             give this file an --id-prefix"
        );
    }
    if summary.stopped {
        eprintln!("stopped; the same command goes on from here");
    }
    match summary.stopped || *rows_conflicting > 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
