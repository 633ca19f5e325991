//! Pipelines: each newest manifest, against the log it reads and the table it writes.
//!
//! Guarantees: a manifest that cannot be read, a position past the log's end, and a table that is
//! ahead of its manifest are problems; a table behind it is a note, since the next start commits.
//! Left out: a table's transactions that its checkpoint alone still holds.

use super::{Findings, LogEnds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_process::stream::manifest::{Manifest, decode};

/// Checks the manifests in `data_dir`.
pub(super) fn check(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    ends: &LogEnds,
    findings: &mut Findings,
) {
    let dir = data_dir.join("pipelines");
    let mut folders: Vec<PathBuf> = match disk.list(&dir) {
        Ok(entries) => entries.into_iter().filter(|each| each.dir).map(|each| each.path).collect(),
        Err(_) => return findings.note("pipelines: none has made a checkpoint yet"),
    };
    folders.sort();
    for folder in folders {
        let Some(file) = newest(disk, &folder) else { continue };
        let read = disk.read(&file).map_err(|error| crate::data_dir::plain(&error));
        match read.and_then(|bytes| decode(&bytes)) {
            Ok(manifest) => {
                if positions_hold(&file, &manifest, ends, findings)
                    & tables_hold(disk, data_dir, &file, &manifest, findings)
                {
                    findings
                        .fine(&format!("pipeline {}: epoch {}", manifest.pipeline, manifest.epoch));
                }
            }
            Err(reason) => findings.problem(&format!(
                "{}: {reason}; restore it from a backup, or drop the pipeline and make it anew",
                file.display()
            )),
        }
    }
}

fn newest(disk: &Arc<dyn Disk>, folder: &Path) -> Option<PathBuf> {
    let files = disk.list(folder).ok()?.into_iter().map(|entry| entry.path);
    files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).max()
}

fn positions_hold(
    file: &Path,
    manifest: &Manifest,
    ends: &LogEnds,
    findings: &mut Findings,
) -> bool {
    let mut hold = true;
    for source in &manifest.sources {
        for (partition, position) in &source.positions {
            let end = ends.get(&(source.topic.clone(), *partition)).copied().unwrap_or_default();
            if *position > end {
                findings.problem(&format!(
                    "{}: it has read {}-{partition} up to {position} and the log ends at {end}; restore the log from a backup",
                    file.display(),
                    source.topic
                ));
                hold = false;
            }
        }
    }
    hold
}

fn tables_hold(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    file: &Path,
    manifest: &Manifest,
    findings: &mut Findings,
) -> bool {
    let writer = format!("{}/{}", manifest.pipeline_id, manifest.incarnation);
    let mut hold = true;
    for work in &manifest.staged {
        let table = &work.staged.table;
        let log = data_dir.join("lake").join(table).join("_delta_log");
        match committed(disk, &log, &writer) {
            Some(epoch) if epoch > work.staged.epoch => {
                findings.problem(&format!(
                    "table {table} has epoch {epoch} of pipeline {} and {} is epoch {}: a manifest was lost; restore the folder as a whole from a backup",
                    manifest.pipeline,
                    file.display(),
                    work.staged.epoch
                ));
                hold = false;
            }
            Some(epoch) if epoch < work.staged.epoch => findings.note(&format!(
                "table {table}: epoch {} of pipeline {} is staged; the next start commits it",
                work.staged.epoch, manifest.pipeline
            )),
            _ => {}
        }
    }
    hold
}

/// The newest epoch of `writer` in a table's commits, as far as they are kept as JSON.
fn committed(disk: &Arc<dyn Disk>, log: &Path, writer: &str) -> Option<u64> {
    let mut commits: Vec<PathBuf> =
        disk.list(log).ok()?.into_iter().map(|entry| entry.path).collect();
    commits.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    commits.sort();
    commits.iter().rev().find_map(|commit| {
        let text = disk.read(commit).ok()?;
        text.split(|byte| *byte == b'\n').find_map(|line| {
            let action: serde_json::Value = serde_json::from_slice(line).ok()?;
            let transaction = action.get("txn")?;
            (transaction["appId"] == writer).then(|| transaction["version"].as_u64()).flatten()
        })
    })
}
