//! Why a dataflow could not go on.
//!
//! Left out: rows that fail, which are handed out as [`crate::RowError`].

/// Why a tick, a checkpoint or a restore failed. The executor is useless afterwards; a new one
/// takes up from the last checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum DataflowError {
    /// A value that the result type cannot hold.
    #[error("{operator}: {reason}")]
    Overflow {
        /// The operator's id.
        operator: String,
        /// Which aggregate, of what, and what to write instead.
        reason: String,
    },
    /// The rows of materialized views do not fit into memory.
    #[error(
        "materialized views keep {all} bytes of rows in memory, {own} of them this one's, and \
         process.view_memory_bytes is {bytes_max}: raise it, or make the view smaller"
    )]
    ViewsTooLarge {
        /// This executor's views.
        own: usize,
        /// All views.
        all: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Evicted state could not be written or read.
    #[error("evicted state: {path}: {source}")]
    Scratch {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Our bug: batches that do not fit their schemas, weights that do not add up.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<arrow::error::ArrowError> for DataflowError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}
