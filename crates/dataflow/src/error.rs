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
    /// Our bug: batches that do not fit their schemas, weights that do not add up.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<arrow::error::ArrowError> for DataflowError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}
