//! What can go wrong with a lake, told apart by who can do something about it.
//!
//! Guarantees: a message names the table, the file or the setting at fault and, where there is
//! one, the way out.
//! Left out: SQLSTATE and HTTP status, which exist only at the serving edge.

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use std::io;
use std::path::PathBuf;
use tradewind_types::SinkError;

/// Why the lake could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// No table of that name.
    #[error("there is no table {0:?} in the lake")]
    NoSuchTable(String),
    /// A name that cannot be a table's folder.
    #[error("table name {0:?} is not allowed: use letters, digits and '_', at most 128")]
    TableName(String),
    /// The table is there with other columns.
    #[error("table {table:?} is there already, and differs: {difference}")]
    Differs {
        /// The table.
        table: String,
        /// The first difference.
        difference: String,
    },
    /// Columns that a table cannot have, or rows that do not fit the table's.
    #[error("table {table:?}: {reason}")]
    Schema {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// A folder in the lake that is not one of our tables.
    #[error("{}: {reason}", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// The table and a pipeline's manifest do not belong together: one of them was restored.
    #[error("table {table:?}: {reason}")]
    OutOfStep {
        /// The table.
        table: String,
        /// Which of the two is older, and what to do.
        reason: String,
    },
    /// A staged file is missing or not what the manifest says.
    #[error("table {table:?}: staged file {file} {reason}")]
    StagedFile {
        /// The table.
        table: String,
        /// The file, relative to the table's folder.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tail has no room until a commit makes some.
    #[error(
        "table {table:?}: {used} bytes wait for a commit, the limit {setting} is {limit}{cause}"
    )]
    TailFull {
        /// The table.
        table: String,
        /// Bytes in the tail.
        used: usize,
        /// The setting's value, bytes.
        limit: usize,
        /// The setting.
        setting: &'static str,
        /// Why commits fail, when they do.
        cause: String,
    },
    /// Another statement rewrote the same files first.
    #[error("table {0:?} was rewritten meanwhile: nothing was changed, try again")]
    Conflict(String),
    /// A statement that takes rows out of a table into which pipelines are writing.
    #[error("table {table:?} has {rows} rows that wait for a pipeline's commit")]
    RowsInFlight {
        /// The table.
        table: String,
        /// How many.
        rows: usize,
    },
    /// A commit whose end nobody could find out.
    #[error("table {table:?}: it is not known whether the rows were committed: {cause}")]
    Unknown {
        /// The table.
        table: String,
        /// Why the commit failed.
        cause: String,
    },
    /// The disk below.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Delta refused, or could not be read or written.
    #[error("table {table:?}: {source}")]
    Delta {
        /// The table.
        table: String,
        /// What Delta said.
        source: Box<DeltaTableError>,
    },
    /// Arrow or Parquet refused a batch.
    #[error("table {table:?}: {source}")]
    DataFusion {
        /// The table.
        table: String,
        /// What the engine said.
        source: Box<DataFusionError>,
    },
}

impl LakeError {
    pub(crate) fn schema(table: &str, reason: impl Into<String>) -> Self {
        Self::Schema { table: table.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn delta(table: &str) -> impl FnOnce(DeltaTableError) -> Self + use<> {
        let table = table.to_owned();
        move |source| Self::Delta { table, source: Box::new(source) }
    }

    pub(crate) fn engine<E: Into<DataFusionError>>(table: &str) -> impl FnOnce(E) -> Self + use<E> {
        let table = table.to_owned();
        move |source| Self::DataFusion { table, source: Box::new(source.into()) }
    }

    /// Whether the same call may succeed later: a full tail or disk, a conflict, a lost disk.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TailFull { .. } | Self::Io { .. } | Self::Conflict(_) => true,
            Self::Delta { source, .. } => delta_is_transient(source),
            _ => false,
        }
    }

    /// The same for the engine above, which retries one kind and pauses on the other.
    pub(crate) fn into_sink_error(self, table: &str) -> SinkError {
        let transient = self.is_transient();
        let text = self.to_string();
        let prefix = format!("table {table:?}: ");
        let reason = text.strip_prefix(&prefix).unwrap_or(&text).to_owned();
        let table = table.to_owned();
        if transient {
            SinkError::Transient { table, reason }
        } else {
            SinkError::Permanent { table, reason }
        }
    }
}

/// Delta's own refusals (protocol, schema) stay refusals; storage and conflicts may pass.
fn delta_is_transient(error: &DeltaTableError) -> bool {
    use deltalake::kernel::transaction::TransactionError;
    match error {
        DeltaTableError::ObjectStore { .. }
        | DeltaTableError::VersionAlreadyExists(_)
        | DeltaTableError::Kernel { .. }
        | DeltaTableError::KernelError(_)
        | DeltaTableError::Generic(_)
        | DeltaTableError::GenericError { .. } => true,
        DeltaTableError::Transaction { source } => !matches!(
            source,
            TransactionError::UnsupportedTableFeatures(_)
                | TransactionError::TableFeaturesRequired(_)
                | TransactionError::DeltaTableAppendOnly
        ),
        _ => false,
    }
}
