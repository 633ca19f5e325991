//! `tradewind doctor`: what is wrong with a data folder.
//!
//! Guarantees: nothing in the folder is changed; each finding is one line that says what to do;
//! exit code 1 when something is wrong.
//! Left out: repairing. What can be repaired without loss, a start repairs.

mod lake;
mod log;
mod pipelines;
mod read_only;

use super::serve::Configuration;
use crate::commands;
use crate::data_dir::{Found, inspect};
use read_only::ReadOnlyDisk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, OsDisk};
use tradewind_sql::Catalogue;
use tradewind_types::SystemClock;
use tradewind_types::config::bytes_text;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The data folder.
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// What was found, printed as it comes.
#[derive(Default)]
pub(crate) struct Findings {
    problems: usize,
}

impl Findings {
    /// Something that is as it should be.
    pub(crate) fn fine(&mut self, what: &str) {
        println!("ok       {what}");
    }

    /// Something worth knowing that the next start deals with.
    pub(crate) fn note(&mut self, what: &str) {
        println!("note     {what}");
    }

    /// Something that is wrong, with what to do.
    pub(crate) fn problem(&mut self, what: &str) {
        self.problems += 1;
        println!("problem  {what}");
    }
}

/// The end of each partition of each topic: the next offset.
pub(crate) type LogEnds = BTreeMap<(String, i32), i64>;

/// Runs the command.
///
/// # Errors
/// One line: why the folder cannot be looked at.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("warn");
    let config = arguments.configuration.resolve()?.config;
    let dir = &arguments.data_dir;
    if inspect(&OsDisk, dir)? == Found::Nothing {
        anyhow::bail!("{} holds no data folder", dir.display());
    }
    let mut findings = Findings::default();
    findings.fine(&format!("format: {}", crate::data_dir::FORMAT_VERSION));
    lock(dir, &mut findings);
    free_disk(dir, config.log.disk_reserve_bytes, &mut findings);
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    let ends = log::check(&disk, &dir.join("log"), &mut findings);
    catalogue(&dir.join("catalogue"), &mut findings);
    commands::runtime()?.block_on(lake::check(&disk, &dir.join("lake"), &config, &mut findings));
    pipelines::check(&disk, dir, &ends, &mut findings);
    Ok(match findings.problems {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("{count} problem{}", if count == 1 { "" } else { "s" });
            ExitCode::FAILURE
        }
    })
}

fn lock(dir: &Path, findings: &mut Findings) {
    match OsDisk.open(&dir.join("LOCK"), Create::No).and_then(|lock| lock.try_lock()) {
        Ok(()) => findings.fine("lock: no process has the folder"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => findings
            .note("lock: a process has the folder; what it writes while this runs may look torn"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.note("lock: there is none yet; the next start makes it");
        }
        Err(error) => findings.problem(&format!(
            "lock: {}; let this user write to the folder",
            crate::data_dir::plain(&error)
        )),
    }
}

fn free_disk(dir: &Path, reserve: u64, findings: &mut Findings) {
    match OsDisk.available_bytes(dir) {
        Ok(left) if left <= reserve => findings.problem(&format!(
            "disk: {} left and `log.disk_reserve_bytes` keeps {}: events are refused; make room",
            bytes_text(left),
            bytes_text(reserve)
        )),
        Ok(left) => findings.fine(&format!("disk: {left} bytes left")),
        Err(error) => findings.problem(&format!("disk: {}", crate::data_dir::plain(&error))),
    }
}

/// Opens a copy: opening writes.
fn catalogue(dir: &Path, findings: &mut Findings) {
    let copy =
        std::env::temp_dir().join(format!("tradewind-doctor-{}", uuid::Uuid::new_v4().simple()));
    let copied = copy_folder(dir, &copy);
    let found = match copied {
        Ok(()) => Catalogue::open(&copy, Arc::new(SystemClock)).map_err(|error| error.to_string()),
        Err(error) => Err(crate::data_dir::plain(&error)),
    };
    match found {
        Ok(catalogue) => findings.fine(&format!(
            "catalogue: {} tables and views, {} pipelines",
            catalogue.relations().len(),
            catalogue.pipelines().len()
        )),
        Err(reason) => findings
            .problem(&format!("catalogue: {reason}; restore {} from a backup", dir.display())),
    }
    if let Err(error) = std::fs::remove_dir_all(&copy)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("{} could not be removed: {error}", copy.display());
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), &target)?),
        }
    }
    Ok(())
}
