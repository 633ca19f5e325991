//! `tradewind serve`: the server until it is told to stop.

use crate::commands;
use crate::server::{Server, ServerOptions};
use crate::settings::{self, Configured};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tradewind_disk::OsDisk;
use tradewind_types::SystemClock;
use tradewind_types::config::bytes_text;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The data folder; made when it is not there.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// Where settings come from, besides the environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Configuration {
    /// A configuration file; `docs/config.md` lists the settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where HTTP is served, as host:port; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// Where the Kafka protocol is served, as host:port; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub kafka_listen: Option<String>,
    /// Where PostgreSQL's protocol is served, as host:port; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub postgres_listen: Option<String>,
    /// A setting, as in --set log.segment_bytes="64 MB"; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Configuration {
    /// Everything resolved.
    ///
    /// # Errors
    /// One line: what is wrong and where.
    pub fn resolve(&self) -> anyhow::Result<Configured> {
        let mut set = self.set.clone();
        set.extend(self.http_listen.iter().map(|to| format!("server.http_listen={to}")));
        set.extend(self.kafka_listen.iter().map(|to| format!("server.kafka_listen={to}")));
        set.extend(self.postgres_listen.iter().map(|to| format!("server.postgres_listen={to}")));
        settings::resolve(self.config.as_deref(), &set)
    }
}

/// Runs the command.
///
/// # Errors
/// One line: why the server could not start or stop in order.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("info");
    let Configured { config, rows } = arguments.configuration.resolve()?;
    let reserve = config.log.disk_reserve_bytes;
    let options = ServerOptions {
        data_dir: arguments.data_dir.clone(),
        config,
        settings: rows,
        disk: Arc::new(OsDisk),
        clock: Arc::new(SystemClock),
    };
    commands::runtime()?.block_on(async {
        let stop = commands::stop_signal()?;
        let server = Server::start(options).await?;
        report_recovery(&server);
        warn_of_full_disk(&arguments.data_dir, reserve);
        announce(&server)?;
        stop.await;
        eprintln!("stopping");
        server.shutdown().await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// One address a line, then `ready`.
fn announce(server: &Server) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let ports = [
        ("http ", server.http_addr()),
        ("kafka", server.kafka_addr()),
        ("postgres", server.postgres_addr()),
        ("flight", server.flight_addr()),
    ];
    for (name, address) in ports {
        if let Some(address) = address {
            writeln!(out, "{name}  {address}")?;
        }
    }
    writeln!(out, "ready")?;
    out.flush()
}

fn report_recovery(server: &Server) {
    for tail in &server.recovery().torn_tails {
        eprintln!(
            "recovered {}: {} bytes that were never acknowledged were cut at byte {} ({})",
            tail.file.display(),
            tail.bytes,
            tail.position,
            tail.reason
        );
    }
    for corruption in &server.recovery().corruptions {
        eprintln!(
            "warning: {} is damaged at byte {}: {}; `tradewind doctor` says more",
            corruption.file.display(),
            corruption.position,
            corruption.reason
        );
    }
}

fn warn_of_full_disk(data_dir: &std::path::Path, reserve: u64) {
    use tradewind_disk::Disk;
    if let Ok(available) = OsDisk.available_bytes(data_dir)
        && available <= reserve
    {
        eprintln!(
            "warning: the disk of {} has {} left and `log.disk_reserve_bytes` keeps {}: events are refused until there is room",
            data_dir.display(),
            bytes_text(available),
            bytes_text(reserve)
        );
    }
}
