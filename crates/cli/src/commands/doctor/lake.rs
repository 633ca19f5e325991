//! Lake tables: each opened as a server opens it, and each row's origin read.
//!
//! Left out: comparing rows with the log.

use super::Findings;
use crate::settings;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::path::Path;
use std::sync::Arc;
use tradewind_analyze::{AnalyzeError, Answer, Platform, PlatformParts};
use tradewind_disk::Disk;
use tradewind_lake::Lake;
use tradewind_types::SystemClock;
use tradewind_types::config::Config;

/// Checks every table in `dir`.
pub(super) async fn check(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: &Config,
    findings: &mut Findings,
) {
    let opened =
        Lake::open(Arc::clone(disk), dir, settings::lake(config), Arc::new(SystemClock)).await;
    let lake = match opened {
        Ok(lake) => lake,
        Err(error) => return findings.problem(&format!("lake: {error}")),
    };
    let parts = PlatformParts {
        lake: Some(lake.clone()),
        settings: settings::analyze(config, None),
        ..PlatformParts::default()
    };
    let platform = match Platform::new(parts) {
        Ok(platform) => platform,
        Err(error) => return findings.problem(&format!("lake: {error}")),
    };
    for table in lake.tables() {
        let name = table.name();
        let status = table.status();
        match rows(&platform, name).await {
            Ok(rows) => findings.fine(&format!(
                "lake {name}: {rows} rows, version {}, {} files, {} bytes",
                status.version, status.files, status.file_bytes
            )),
            Err(error) => findings.problem(&format!(
                "lake {name}: {error}; restore {} from a backup",
                dir.join(name).display()
            )),
        }
    }
}

/// Counts a table's rows by reading a column of every file.
async fn rows(platform: &Platform, table: &str) -> Result<i64, AnalyzeError> {
    let sql = format!("SELECT count(*) FROM \"{table}\" WHERE _offset >= 0");
    let Answer::Rows(rows) = platform.session().execute(&sql).await? else { return Ok(0) };
    let batches = rows.collect().await?;
    let counts = batches.iter().filter(|batch| batch.num_rows() > 0);
    Ok(counts.map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0)).sum())
}
