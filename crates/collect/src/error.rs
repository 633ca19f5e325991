//! Why a collector could not start.
//!
//! Left out: why one request was refused (see `refusal`) or one event rejected (see `reject`):
//! those are answers, not failures.

use tradewind_types::LogError;

/// What stops a collector from opening or closing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A setting makes no sense.
    #[error("{setting}: {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What does not hold.
        reason: String,
    },
    /// The log failed.
    #[error("topic {topic:?}: {source}")]
    Log {
        /// The topic that was being opened or read.
        topic: String,
        /// What the log said.
        #[source]
        source: LogError,
    },
    /// The deduplication state cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The deduplication state was written by a newer program.
    #[error(
        "{path} has format version {found}, this program reads version {known}; \
         start a newer tradewind, or remove the folder to have it rebuilt from the log"
    )]
    Newer {
        /// The manifest.
        path: String,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// A background task ended by a panic: our bug.
    #[error("the appender of {topic}-{partition} panicked")]
    Panicked {
        /// The topic it appended to.
        topic: String,
        /// The partition it appended to.
        partition: i32,
    },
}
