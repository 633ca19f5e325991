//! `'connector' = 'filesystem'`.

use super::Format;
use super::options::Options;
use crate::SqlError;

/// Files to read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTable {
    /// A file, or a folder of them.
    pub path: String,
    /// How a line is read and written.
    pub format: Format,
    /// How often to look for what was added, in milliseconds; `None` reads what is there and ends.
    pub monitor_interval_ms: Option<u64>,
}

impl FileTable {
    pub(super) fn from_options(options: &mut Options<'_>) -> Result<Self, SqlError> {
        let Some(path) = options.text("path").filter(|path| !path.is_empty()) else {
            return Err(options.error("connector", "a 'filesystem' table needs a 'path'"));
        };
        Ok(Self {
            path,
            format: Format::from_options(options, None)?,
            monitor_interval_ms: options.milliseconds("source.monitor-interval")?,
        })
    }
}
